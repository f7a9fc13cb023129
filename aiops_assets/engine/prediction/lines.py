"""Forecasts of series without a model: a robust line if there is a significant trend, else the newest level.

The slope is the median of pairwise slopes (Theil 1950, Sen 1968; scipy.stats.theilslopes). Its interval is widened for
autocorrelated residuals (a first-order autoregression): a random walk has no trend. On generated series it was no worse
than statsmodels' damped Holt and twenty times as fast, and a single outlier does not change it.
"""

import math
from dataclasses import dataclass

import numpy as np

from aiops_assets.timeseries.series import Floats

MIN_SAMPLES = 12
"""Fewest samples for a trend; with fewer, the last value is the forecast."""
MIN_FOR_SLOPE = 5
NEWEST = 120
"""Most samples that are used, because the number of pairwise slopes is quadratic."""
SURE = 2.5
"""Least distance of a significant slope from zero, in standard errors."""
MAX_CORRELATED = 0.97
HALF_INTERVAL = 1.2815515655446004
"""Half width of an 80 % interval, in standard deviations."""
LEVEL_SAMPLES = 3
UNKNOWN_SHARE = 0.1
"""Standard deviation as a share of the value where samples are too few to estimate one."""
HOUR_SECONDS = 3600.0


@dataclass(frozen=True)
class Level:
    """Level and trend of a series.

    Attributes:
        level: present level, in the unit of the series.
        median: median of the newest samples, at most :data:`NEWEST`.
        slope: change per hour; 0 without a significant trend.
        slope_error: standard error of the slope, per hour.
        spread: standard deviation around the line, in the unit of the series.
        window_hours: length of the samples, hours.
        samples: number of samples.
        step_hours: median distance of samples, hours.
        walk: first-order autocorrelation of the residuals, 0-1.
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
        """Median and 80 % interval ``hours`` ahead: (value, lower, upper).

        A trend is extrapolated for ``share`` of the length of the samples, and is constant after that. The spread grows
        with the square root of time like that of a random walk, weighted by ``walk``.
        """
        value = self.level + self.slope * min(hours, share * self.window_hours)
        steps = hours / self.step_hours if self.step_hours > 0 else 1.0
        spread = self.spread * math.sqrt(1 + self.walk * max(steps, 0.0))
        half = HALF_INTERVAL * math.hypot(spread, self.slope_error * hours)
        return value, value - half, value + half


def level_of(values: Floats, times: "np.ndarray[tuple[int], np.dtype[np.datetime64]]") -> Level:
    """Estimate level and trend of a series.

    Args:
        values: (n,) float64, finite, oldest first, n >= 1.
        times: (n,) datetime64, all different.
    """
    values = values[-NEWEST:]
    hours = (times[-NEWEST:] - times[-1]) / np.timedelta64(1, "s") / HOUR_SECONDS
    n = len(values)
    step = float(np.median(np.diff(hours))) if n > 1 else 0.0
    window = float(-hours[0])
    if n < MIN_FOR_SLOPE or np.ptp(values) == 0:
        last, median = float(values[-1]), float(np.median(values))
        jumps = float(np.abs(np.diff(values)).mean()) if n > 1 else 0.0
        # A spread of zero is only plausible with enough equal values.
        unknown = UNKNOWN_SHARE * abs(last) if n < MIN_SAMPLES else 0.0
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

    # Shift and scale the values: products of huge ones must not overflow.
    scale = float(np.abs(values).max())
    slope, _, low, high = theilslopes(values / scale, hours, 0.8)
    rest = values / scale - slope * hours
    rest = rest - np.median(rest)
    spread = max(1.4826 * float(np.median(np.abs(rest))), 0.5 * float(rest.std()))
    r = float((rest[1:] @ rest[:-1]) / max(rest @ rest, 1e-300))
    # The residuals of a line underestimate the autocorrelation by about (2 + 4 r) / n; Marriott and Pope (1954) show
    # (1 + 3 r) / n for those of a mean.
    r = float(np.clip(r + (2 + 4 * max(r, 0.0)) / len(values), 0.0, MAX_CORRELATED))
    error = math.sqrt((1 + r) / (1 - r)) * float(high - low) / (2 * HALF_INTERVAL)
    # Rounding errors of a line are neither spread nor autocorrelation.
    if spread < 1e-12:
        spread, r = 0.0, 0.0
    return float(slope) * scale, error * scale, spread * scale, r
