"""Finds short peaks and dips, and peaks that occur each day."""

import numpy as np

from aiops_assets.engine.pattern_analysis.grids import FEWEST_POINTS, Grid, robust_sigma
from aiops_assets.engine.pattern_analysis.pattern_types import Pattern, described, utc_time
from aiops_assets.timeseries.series import DAY_SECONDS, Floats

PROMINENCE = 8.0
"""Least prominence of a spike in robust standard deviations: noise of 288 points reaches 6."""
HEIGHT = 6.0
"""Least height of a spike above the moving median, in robust standard deviations."""
WINDOW_SHARE = 8
"""The window of the moving median is the series' length divided by this."""
MAX_WINDOW_POINTS = 73
STANDS_OUT = 2.0
"""Least ratio of a spike to the highest other peak: heavy-tailed noise has peaks of every height without a gap."""
MAX_SPIKES_SHARE = 0.05
SAME_TIME_SECONDS = 3600.0
"""Peaks whose times of day differ by less than these seconds are at the same time of day."""
FEWEST_DAYS = 3


def find_spikes(grid: Grid) -> list[Pattern]:
    """Short peaks or dips that stand out from their surroundings; at most one pattern of each kind.

    Heights are measured from a moving median in robust standard deviations, so that a season is not a spike.
    """
    values = grid.values
    if len(values) < FEWEST_POINTS or float(np.ptp(values)) == 0:
        return []
    rest, base, sigma = _stand_out(values)
    patterns = []
    for kind, sign in (("spike", 1.0), ("dip", -1.0)):
        positions, lefts, rights = _peaks(sign * rest / sigma, _window(len(values)))
        if not len(positions):
            continue
        first, last = grid.at(lefts.min()), grid.at(rights.max())
        daily = _same_time_of_day(grid, positions) if kind == "spike" else None
        if daily is not None:
            time, days, confidence = daily
            facts = {"name": grid.shown, "time": time, "days": days}
            patterns.append(described("daily_spike", (grid.name,), confidence, first, last, **facts))
            continue
        top = int(positions[np.argmax(sign * rest[positions])])
        height = abs(float(rest[top])) / sigma
        patterns.append(
            described(
                kind,
                (grid.name,),
                height / (height + 3),
                first,
                last,
                name=grid.shown,
                count=len(positions),
                value=float(values[top]),
                time=utc_time(grid.at(top)),
                usual=float(base[top]),
            )
        )
    return patterns


def _window(n: int) -> int:
    return min(MAX_WINDOW_POINTS, max(7, n // WINDOW_SHARE)) | 1


def _stand_out(values: Floats) -> tuple[Floats, Floats, float]:
    """The residuals of a moving median, that median, and the residuals' robust standard deviation."""
    from scipy.ndimage import median_filter

    base = median_filter(values, size=_window(len(values)), mode="mirror")
    rest = values - base
    low, high = np.quantile(values, [0.05, 0.95])
    # A nearly constant series has a deviation of zero.
    floor = max(0.02 * float(high - low), 0.01 * abs(float(np.median(values))))
    if floor == 0:
        floor = 0.1 * float(np.abs(rest).max()) or 1.0
    # Counts that are mostly zero have a median deviation of zero, and heavy tails need a larger one.
    wide = float(np.quantile(np.abs(rest), 0.95)) / 1.96
    return rest, base, max(robust_sigma(rest), wide, floor)


def _peaks(scaled: Floats, window: int) -> tuple["np.ndarray", "np.ndarray", "np.ndarray"]:
    from scipy.signal import find_peaks

    # With zeros at both ends the first and the last sample can be peaks too.
    padded = np.concatenate([[0.0], scaled, [0.0]])
    found, about = find_peaks(padded, height=0.0, prominence=0.0, width=(None, window / 2), rel_height=0.5)
    heights = about["peak_heights"]
    order = np.argsort(-heights, kind="stable")
    falling = np.append(heights[order], 0.0)
    most = max(1, int(MAX_SPIKES_SHARE * len(scaled)))
    apart = falling[:-1] >= STANDS_OUT * falling[1:]
    count = max((i + 1 for i in np.flatnonzero(apart)[:most] if i < most and falling[i] >= HEIGHT), default=0)
    kept = np.sort(order[:count])
    kept = kept[about["prominences"][kept] >= PROMINENCE]
    last = len(scaled) - 1
    lefts = np.clip(np.floor(about["left_ips"][kept]).astype(int) - 1, 0, last)
    rights = np.clip(np.ceil(about["right_ips"][kept]).astype(int) - 1, 0, last)
    return np.clip(found[kept] - 1, 0, last), lefts, rights


def _same_time_of_day(grid: Grid, positions: "np.ndarray") -> tuple[str, int, float] | None:
    """The common time of day of the peaks, the number of days, and a confidence; ``None``: there is none."""
    seconds = np.array([grid.at(position) for position in positions])
    return daily_time(seconds, grid.span)


def daily_time(seconds: Floats, span: float) -> tuple[str, int, float] | None:
    """The time of day at which something happens each day, "HH:MM" in UTC, the number of days, and a confidence.

    Each day is counted once, so that many events at one time are not many days. By chance n days agree within an hour
    either way with probability n (1/12)^(n-1).

    Args:
        seconds: (n,) Unix seconds of the events.
        span: length of the window, seconds.
    """
    days = np.floor(seconds / DAY_SECONDS)
    angles = 2 * np.pi * (seconds % DAY_SECONDS) / DAY_SECONDS
    centre = np.angle(np.exp(1j * angles).sum()) % (2 * np.pi)
    away = np.abs((angles - centre + np.pi) % (2 * np.pi) - np.pi) * DAY_SECONDS / (2 * np.pi)
    near = away <= SAME_TIME_SECONDS
    count = len(np.unique(days[near]))
    covered = max(1.0, span / DAY_SECONDS)
    if count < FEWEST_DAYS or count < 0.6 * covered or near.mean() < 0.75:
        return None
    chance = count * (1 / 12) ** (count - 1)
    minutes = round(float(centre) / (2 * np.pi) * 1440) % 1440
    return f"{minutes // 60:02d}:{minutes % 60:02d}", count, (1 - chance) * float(near.mean())
