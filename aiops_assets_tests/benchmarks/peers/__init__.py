"""Other detectors on the same labelled series as ours: `make peers DATA=<folder>`.

Two environments meet in a folder of score files. ``runner``, ``methods`` and what they import run in the peers'
environment and import nothing of ``aiops_assets``; ``ours`` and ``judge`` run in the project's.
"""
