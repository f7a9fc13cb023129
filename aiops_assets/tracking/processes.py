"""Whether the process that created something is still running, by its id and start time."""

import psutil

CLOCK_SECONDS = 2.0
"""Tolerance of start times: they are computed from the boot time, which moves when the clock is set."""


def started(pid: int) -> float | None:
    """Start time of a process of this machine, Unix seconds; ``None`` when it has ended, also as a zombie."""
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else float(process.create_time())
    except psutil.NoSuchProcess:
        return None


def started_then(pid: int, when: float) -> bool:
    """Whether a process runs and started at ``when``: another process may have been given the same id."""
    now = started(pid)
    return now is not None and abs(now - when) <= CLOCK_SECONDS


def ran_at(pid: int, when: float) -> bool:
    """Whether a process runs and already ran at ``when``, Unix seconds."""
    now = started(pid)
    return now is not None and now <= when + CLOCK_SECONDS
