"""How long until something happens, as clients read it; :mod:`aiops_assets.insights.go_durations` reads what they send.

Source: ADR-009's answer example ("5m"); Go's Duration, with days as people write them.
"""

import math

HOUR_MINUTES, DAY_MINUTES = 60, 1440
HALF_HOURS_UNTIL, HOURS_UNTIL = 6 * HOUR_MINUTES, 2 * DAY_MINUTES


def duration_text(minutes: float) -> str:
    """Finite minutes from now: "5m", in half hours up to six hours ("1h30m"), "7h", from two days on "3d".

    What is nearer than a minute, or past, is "1m".
    """
    whole = max(1, _rounded(minutes))
    if whole < HOUR_MINUTES:
        return f"{whole}m"
    if whole < HALF_HOURS_UNTIL:
        hours, half = divmod(_rounded(whole / 30), 2)
        return f"{hours}h30m" if half else f"{hours}h"
    if whole < HOURS_UNTIL:
        return f"{_rounded(whole / HOUR_MINUTES)}h"
    return f"{_rounded(whole / DAY_MINUTES)}d"


def _rounded(value: float) -> int:
    """Halves up: Python's own round() takes them to the even number."""
    return math.floor(value + 0.5)
