"""Finds seasons: patterns that repeat each day, each week or every few hours."""

import numpy as np

from aiops_assets.engine.pattern_analysis.grids import FEWEST_POINTS, Grid
from aiops_assets.engine.pattern_analysis.pattern_types import Pattern, described
from aiops_assets.timeseries.series import DAY_SECONDS, Floats

HOUR = 3600.0
PERIODS = (7.0 * DAY_SECONDS, float(DAY_SECONDS), *(hours * HOUR for hours in (12, 8, 6, 4, 3, 2, 1)))
"""Candidate periods in seconds, the longest first."""
FEWEST_STEPS = 6
"""Fewest points per period."""
MIN_STRENGTH = 0.64
"""Least strength of a season, from which on Hyndman's nsdiffs calls it strong."""
CLEARLY = 0.1
"""Least difference of strength by which a longer season is preferred to a shorter one, which has fewer parameters."""
MIN_REPEAT, MIN_REPEAT_OF_TWO = 0.4, 0.6
"""Least autocorrelation at the period; the second applies to series of only two periods, which must agree better."""
MIN_SECOND_REPEAT = 0.25
"""Least autocorrelation at twice the period: noise correlates with itself once by chance, but seldom twice."""
CONTRAST = 0.4
"""Least difference of the autocorrelation at the period to that at half of it, which a slow drift does not reach."""


def find_season(grid: Grid) -> tuple[Pattern | None, float, Floats]:
    """The strongest season, its period in seconds and its component (n,); ``None``, 0 and zeros where there is none.

    The series must have two whole periods. The autocorrelation has to be high at the period and low at half of it; then
    the strength of the season in an STL decomposition, F_s = max(0, 1 - Var(R) / Var(S + R)), has to be high
    (Hyndman & Athanasopoulos, Forecasting: Principles and Practice, 3rd ed., section 4.3).
    """
    none = np.zeros_like(grid.values)
    correlation = _autocorrelation(grid.values)
    if correlation is None:
        return None, 0.0, none
    best: tuple[float, float, Floats] | None = None
    for seconds in PERIODS:
        period = round(seconds / grid.step)
        if not _repeats(correlation, period, len(grid.values)) or abs(period * grid.step - seconds) > grid.step / 2:
            continue
        strength, component = _strength(grid.values, period)
        # Of a season and its multiples the shortest is used, unless a longer one is clearly stronger.
        if strength >= MIN_STRENGTH and (best is None or strength > best[0] - CLEARLY):
            best = (strength, seconds, component)
    if best is None:
        return None, 0.0, none
    strength, seconds, component = best
    periods = (grid.span + grid.step) / seconds
    kind = {7.0 * DAY_SECONDS: "weekly_season", float(DAY_SECONDS): "daily_season"}.get(seconds, "hourly_season")
    pattern = described(
        kind,
        (grid.name,),
        strength * (1 - 0.5**periods),
        grid.start,
        grid.end,
        name=grid.shown,
        span=seconds,
        strength=strength,
        periods=periods,
    )
    return pattern, seconds, component


def _autocorrelation(values: Floats) -> Floats | None:
    """Autocorrelation of the detrended values at each lag, scaled to its number of pairs; ``None`` for a constant."""
    from scipy.signal import detrend
    from statsmodels.tsa.stattools import acf

    n = len(values)
    if n < FEWEST_POINTS or float(np.ptp(values)) <= 1e-9 * float(np.abs(values).max()):
        return None
    rest = detrend(values)
    if float(np.var(rest)) <= 1e-18 * float(np.var(values)):
        return None
    return np.asarray(acf(rest, nlags=n - 1, adjusted=True, fft=True), dtype=np.float64)


def _repeats(correlation: Floats, period: int, n: int) -> bool:
    if period < FEWEST_STEPS or n < 2 * period:
        return False
    at, between = float(correlation[period]), float(correlation[period // 2])
    if n < 3 * period:
        return at >= MIN_REPEAT_OF_TWO and at - between >= CONTRAST
    return at >= MIN_REPEAT and at - between >= CONTRAST and float(correlation[2 * period]) >= MIN_SECOND_REPEAT


def _strength(values: Floats, period: int) -> tuple[float, Floats]:
    from statsmodels.tsa.seasonal import STL

    # The season has a fixed shape: a flexible one would absorb a change of level.
    rigid = 10 * (len(values) // period) + 1
    # STL interpolates within each fifth of a period, which takes a fifth of the time.
    jump = max(1, period // 5)
    stl = STL(values, period=period, seasonal=rigid, seasonal_jump=jump, trend_jump=jump, low_pass_jump=jump)
    # Two iterations suffice without robustness weights (Cleveland et al. 1990, section 3.3).
    parts = stl.fit(inner_iter=2)
    season, rest = np.asarray(parts.seasonal), np.asarray(parts.resid)
    both = float(np.var(season + rest))
    return (max(0.0, 1 - float(np.var(rest)) / both) if both > 0 else 0.0), season
