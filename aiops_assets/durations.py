"""Durations as people and Go programs write them ("30s", "1h30m", "7d"), and in the short form of answers ("5m", "3d").

Source: Go's ``time.ParseDuration``; ADR-009's answer example ("5m").
"""

import math
import re
from datetime import timedelta

from aiops_assets.errors import DataError

UNIT_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
"""Unit -> seconds; Go's have no day, which people write too."""
MAX_SECONDS = 3650 * 86_400.0
_PART = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|ms|s|m|h|d)")
HOUR_MINUTES, DAY_MINUTES = 60, 1440
HALF_HOURS_BELOW_MINUTES, HOURS_BELOW_MINUTES = 6 * HOUR_MINUTES, 2 * DAY_MINUTES


def parse_duration(text: str) -> timedelta:
    """A duration written as Go's ``time.ParseDuration`` reads it, and also in days: "24h", "1h30m", "7d".

    Raises:
        DataError: it is not of that form, not above zero, or longer than ten years.
    """
    written = text.strip()
    parts = _PART.findall(written)
    seconds = math.fsum(float(number) * UNIT_SECONDS[unit] for number, unit in parts)
    whole = "".join(number + unit for number, unit in parts) == written
    if not parts or not whole or not 0 < seconds <= MAX_SECONDS:
        raise DataError(f"duration {text[:40]!r}: write a number and a unit, such as 30s, 5m, 1h30m, 24h or 7d")
    return timedelta(seconds=seconds)


def duration_text(minutes: float) -> str:
    """Finite minutes from now: "5m", in half hours up to six hours ("1h30m"), "7h", from two days on "3d".

    What is nearer than a minute, or past, is "1m".
    """
    whole = max(1, _rounded(minutes))
    if whole < HOUR_MINUTES:
        return f"{whole}m"
    if whole < HALF_HOURS_BELOW_MINUTES:
        hours, half = divmod(_rounded(whole / 30), 2)
        return f"{hours}h30m" if half else f"{hours}h"
    if whole < HOURS_BELOW_MINUTES:
        return f"{_rounded(whole / HOUR_MINUTES)}h"
    return f"{_rounded(whole / DAY_MINUTES)}d"


def _rounded(value: float) -> int:
    """Halves up: Python's own round() takes them to the even number."""
    return math.floor(value + 0.5)
