"""Finds metrics whose changes correlate, and which of two changes first."""

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from aiops_assets.engine.pattern_analysis.grids import FEWEST_POINTS, Grid, lag_one
from aiops_assets.engine.pattern_analysis.pattern_types import Correlation, Pattern, bounded, described
from aiops_assets.timeseries.series import Floats

MIN_COEFFICIENT = 0.5
SIGNIFICANCE = 0.01
"""Significance level of all pairs and lags together."""
MAX_LAG_SECONDS = 3600.0
MAX_METRICS = 40
"""Most metrics that are compared: 780 pairs."""
MAX_POINTS = 1000
FEWEST_DIFFERENCES = 20

Window = tuple[int, float, float, int]
"""(identity of a grid, start and step in seconds, number of times)."""


def find_correlations(grids: Sequence[Grid]) -> list[tuple[Correlation, Pattern]]:
    """Pairs whose differences correlate at some lag within an hour, the strongest first.

    Spearman's rank correlation of first differences on a common grid: levels of two trends, or of two random walks,
    correlate without having anything in common (Granger & Newbold 1974). Its significance uses the
    effective number of points given the differences' autocorrelation (Bayley & Hammersley 1946), corrected for all
    pairs and lags that were tried.

    Args:
        grids: grids of the metrics; the first :data:`MAX_METRICS` are used.
    """
    pairs = list(combinations(grids[:MAX_METRICS], 2))
    found = []
    # Most pairs have the same times, so that each series is ranked once.
    ranks: dict[Window, Floats | None] = {}
    for first, second in pairs:
        correlation = _correlate(first, second, len(pairs), ranks)
        if correlation is not None:
            start, end = max(first.start, second.start), min(first.end, second.end)
            found.append((correlation, _pattern(correlation, first.shown, second.shown, start, end)))
    return sorted(found, key=lambda one: -abs(one[0].coefficient))


def _pattern(correlation: Correlation, first: str, second: str, start: float, end: float) -> Pattern:
    return described(
        "correlated_metrics",
        (correlation.metric_a, correlation.metric_b),
        correlation.confidence,
        start,
        end,
        first=first,
        second=second,
        coefficient=correlation.coefficient,
        lag=correlation.lag_seconds,
    )


def _correlate(first: Grid, second: Grid, pairs: int, ranks: dict[Window, Floats | None]) -> Correlation | None:
    from scipy.stats import norm

    step = max(first.step, second.step)
    start, end = max(first.start, second.start), min(first.end, second.end)
    step = max(step, (end - start) / MAX_POINTS)
    count = int((end - start) / step) + 1 if end > start else 0
    if count < max(FEWEST_POINTS, FEWEST_DIFFERENCES + 1):
        return None
    times = start + step * np.arange(count, dtype=np.float64)
    for grid in (first, second):
        if (id(grid), start, step, count) not in ranks:
            ranks[id(grid), start, step, count] = _changes(grid, times)
    a, b = ranks[id(first), start, step, count], ranks[id(second), start, step, count]
    if a is None or b is None:
        return None
    most = min(int(MAX_LAG_SECONDS / step), (len(a) - FEWEST_DIFFERENCES) // 2)
    lags = np.arange(-most, most + 1)
    coefficients = _spearman(a, b, lags)
    # Of equally strong lags the shortest is used.
    best = min(range(len(lags)), key=lambda i: (-round(abs(float(coefficients[i])), 3), abs(lags[i])))
    coefficient, lag = float(coefficients[best]), int(lags[best])
    shared = np.clip(lag_one(a) * lag_one(b), -0.99, 0.99)
    points = (len(a) - abs(lag)) * min(1.0, (1 - shared) / (1 + shared))
    if abs(coefficient) < MIN_COEFFICIENT or points < 5:
        return None
    score = np.arctanh(min(abs(coefficient), 0.9999)) * np.sqrt((points - 3) / 1.06)
    p = float(2 * norm.sf(score)) * pairs * len(lags)
    if p > SIGNIFICANCE:
        return None
    return Correlation(
        first.name, second.name, round(coefficient, 4), round(lag * step), bounded(abs(coefficient) * (1 - p))
    )


def _changes(grid: Grid, times: Floats) -> Floats | None:
    """Ranks of the differences at these times; ``None`` where most of them are the same."""
    from scipy.stats import rankdata

    own = grid.start + grid.step * np.arange(len(grid.values))
    changes = np.diff(np.interp(times, own, grid.values))
    changes[np.abs(changes) < 1e-9 * max(float(np.abs(grid.values).max()), 1e-300)] = 0.0
    # The differences of a straight line are only its rounding errors.
    if float(np.ptp(changes)) < 1e-6 * float(np.abs(changes).max()) or (changes == 0).mean() > 0.9:
        return None
    return rankdata(changes)


def _spearman(a: Floats, b: Floats, lags: "np.ndarray") -> Floats:
    """Pearson's correlations of the ranks ``a`` with ``b`` ``lags`` points later; lags are consecutive."""
    n = len(a)
    # All lags at once: series with steps of seconds have a thousand of them.
    a, b = a - a.mean(), b - b.mean()
    products = np.correlate(b, a, mode="full")[n - 1 + lags]
    counts = n - np.abs(lags)
    first_a, first_b = np.maximum(0, -lags), np.maximum(0, lags)
    sum_a, sum_b = (_sums(one, first, counts) for one, first in ((a, first_a), (b, first_b)))
    power_a = _sums(a * a, first_a, counts) - sum_a**2 / counts
    power_b = _sums(b * b, first_b, counts) - sum_b**2 / counts
    power = power_a * power_b
    usable = (power_a > 1e-9 * float(a @ a)) & (power_b > 1e-9 * float(b @ b))
    shared = products - sum_a * sum_b / counts
    return np.where(usable, shared / np.sqrt(np.where(usable, power, 1.0)), 0.0)


def _sums(values: Floats, firsts: "np.ndarray", counts: "np.ndarray") -> Floats:
    sofar = np.concatenate([[0.0], np.cumsum(values)])
    return np.asarray(sofar[firsts + counts] - sofar[firsts], dtype=np.float64)
