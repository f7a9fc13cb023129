"""The lines by which a run tells another program how far it is; without Dagster, which takes seconds to import."""

import json

LOGGER_NAME = "progress"
"""Name of the logger that writes them, for Dagster's run configuration."""
MARK = "aiops"
"""Key that every line has: other lines are what some package prints."""
STARTED, FINISHED, FAILED, MESSAGE, WARNED = "started", "finished", "failed", "message", "warned"
"""Kinds of events; of a check that fails and stops nothing, ``step`` is asset and check, ``text`` what it found."""


def write_line(kind: str, step: str, level: str = "INFO", text: str = "", run: str = "") -> str:
    """The line of an event, without a line end; ``run`` is the run's id."""
    return json.dumps({MARK: kind, "step": step, "level": level, "text": text, "run": run})


def read_line(line: str) -> dict[str, str] | None:
    """The event of a line; ``None``: the line is of somebody else."""
    if not line.startswith("{"):
        return None
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) and MARK in event else None
