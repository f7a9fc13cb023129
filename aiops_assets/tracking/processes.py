"""Is the process that left something behind still the one that works on it?"""

import psutil

CLOCK_SECONDS = 2.0
"""A process' start time is computed from the boot time, which moves when the clock is set."""


def started(pid: int) -> float | None:
    """When a process on this machine started, Unix seconds; ``None`` when it is gone or only its exit code is left."""
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else float(process.create_time())
    except psutil.NoSuchProcess:
        return None


def started_then(pid: int, when: float) -> bool:
    """Whether it runs and started at that time: a number is given again to another process."""
    now = started(pid)
    return now is not None and abs(now - when) <= CLOCK_SECONDS


def ran_at(pid: int, when: float) -> bool:
    """Whether it runs and already did at that time."""
    now = started(pid)
    return now is not None and now <= when + CLOCK_SECONDS
