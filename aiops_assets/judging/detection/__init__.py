"""Judging detectors: figures on labelled rows, null model, gate, shadow, back-test."""
