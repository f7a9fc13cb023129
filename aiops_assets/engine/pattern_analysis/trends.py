"""Finds trends and changes of level that are more than noise, a random walk or part of a daily season."""

import numpy as np

from aiops_assets.engine.pattern_analysis.grids import Grid, block_means, lag_one, robust_sigma
from aiops_assets.engine.pattern_analysis.pattern_types import Pattern, described, utc_time
from aiops_assets.engine.wording import say
from aiops_assets.judging.statements import Statement
from aiops_assets.timeseries.series import DAY_SECONDS, Floats

SIGNIFICANCE = 0.01
MONOTONE = 0.9
"""Rank correlation with time from which on a curve is a trend, however smooth its deviation from a line is."""
MIN_CHANGE = 1.5
"""Least change of a trend, in standard deviations of its residuals."""
NEGLIGIBLE = 0.01
"""Share of the largest value below which a change is no trend for anybody, however sure it is."""
MAX_TREND_POINTS = 400
COARSE_BLOCKS = 24
RHYTHM_MARGIN = 10.0
"""Difference of BIC from which on a line fits clearly better than a daily sine (Kass & Raftery 1995)."""
MAX_CHANGE_POINTS = 1000
PENALTY = 6.0
"""Penalty of a change point, in variances times log n; BIC has 2 for a known variance, and this one is estimated."""
MIN_STEP = 2.0
"""Least step of the level, in standard deviations around it."""
MIN_SCORE = 6.0
"""Least step, in standard errors of the difference of two autocorrelated means."""
HARMONICS = 4
"""Number of harmonics of a season that is fitted together with steps."""
STEP_MARGIN = 8.0
"""Difference of BIC from which on a step fits better than a bend."""


def find_trend(grid: Grid, deseasoned: Floats) -> tuple[Pattern | None, Statement | None]:
    """A monotone trend, or a sentence about why a rise is not called one; ``None`` otherwise.

    The test is that of Mann and Kendall with Sen's slope. Its variance uses the number of independent points, estimated
    from the autocorrelation of the residuals on two scales (Bayley & Hammersley 1946), because smooth noise drifts by
    itself. Below two days a line must also fit the samples better than a daily sine.

    Args:
        grid: grid of the metric.
        deseasoned: (n,) its values without the season that was found.
    """
    from scipy.stats import kendalltau, norm, theilslopes

    values = block_means(deseasoned, MAX_TREND_POINTS)
    times = np.linspace(0.0, 1.0, len(values))
    slope, intercept, *_ = theilslopes(values, times)
    rest = values - intercept - slope * times
    sigma = robust_sigma(rest)
    if slope == 0 or abs(slope) < max(MIN_CHANGE * sigma, NEGLIGIBLE * float(np.abs(values).max())):
        return None, None
    tau = float(kendalltau(times, values).statistic)
    points = _independent(rest) if sigma > 1e-6 * abs(slope) else float(len(values))
    score = abs(tau) * np.sqrt(9 * points * (points - 1) / (2 * (2 * points + 5)))
    p = float(2 * norm.sf(score))
    if p > SIGNIFICANCE and abs(tau) < MONOTONE:
        return None, None
    up = slope > 0
    if grid.span < 2 * DAY_SECONDS and _may_be_a_rhythm(values, times, grid.span, slope):
        doubt = "rise_or_rhythm" if up else "fall_or_rhythm"
        return None, say(doubt, name=grid.shown, change=abs(float(slope)), span=grid.span)
    return (
        described(
            "upward_trend" if up else "downward_trend",
            (grid.name,),
            (1 - min(p, 0.1)) * (0.5 + abs(tau) / 2),
            grid.start,
            grid.end,
            name=grid.shown,
            change=abs(float(slope)),
            span=grid.span,
            before=float(intercept),
            after=float(intercept + slope),
        ),
        None,
    )


def _independent(rest: Floats) -> float:
    """Effective number of independent points of the residuals of a line, at least 2."""
    counts = []
    for scaled in (rest, block_means(rest, COARSE_BLOCKS)):
        n = len(scaled)
        # Detrending biases the estimate towards zero (Kendall 1954; Marriott & Pope 1954).
        rho = min(0.999, max(0.0, (n * lag_one(scaled) + 2) / (n - 4)))
        counts.append(n * (1 - rho) / (1 + rho))
    return max(2.0, min(counts))


def _may_be_a_rhythm(values: Floats, times: Floats, span: float, slope: float) -> bool:
    """Whether a daily sine fits the values about as well as a line, with a plausible amplitude."""
    swing = 2 * abs(slope) / span * DAY_SECONDS / (2 * np.pi)
    if swing > 2 * float(np.abs(values).max()):
        return False
    angle = 2 * np.pi * times * span / DAY_SECONDS
    ones = np.ones_like(times)
    line = _bic(np.column_stack([ones, times]), values)
    sine = _bic(np.column_stack([ones, np.sin(angle), np.cos(angle)]), values)
    return sine - line < RHYTHM_MARGIN


def _bic(columns: Floats, values: Floats) -> float:
    n = len(values)
    fitted = columns @ np.linalg.lstsq(columns, values, rcond=None)[0]
    unexplained = max(float(np.mean((values - fitted) ** 2)), 1e-12 * float(np.var(values)), 1e-300)
    return float(n * np.log(unexplained) + columns.shape[1] * np.log(n))


def find_change_points(grid: Grid, season_seconds: float) -> list[Pattern]:
    """Abrupt changes of the level, in order of time.

    PELT (Killick 2012) is applied to the innovations of a first-order autoregression, whose coefficient is estimated
    robustly (Chakar et al. 2017, "AR1seg"), so that smooth noise has no change points. A change that is not abrupt
    belongs to a trend or a season and is left out.
    """
    from ruptures import KernelCPD

    values = block_means(grid.values, MAX_CHANGE_POINTS)
    size = len(grid.values) // len(values)
    n = len(values)
    shortest = max(4, n // 32)
    if n < 2 * shortest or float(np.ptp(values)) <= 1e-9 * float(np.abs(values).max()):
        return []
    rho = _robust_rho(values)
    innovations = values[1:] - rho * values[:-1]
    moves = np.diff(innovations)
    floor = 0.01 * float(np.ptp(values))
    # Counts mostly do not change from point to point, which says nothing about their other changes.
    spread = max(robust_sigma(moves), float(np.std(moves)) / 2, floor * (1 - rho)) / np.sqrt(2)
    if spread == 0:  # a straight line
        return []
    search = KernelCPD(kernel="linear", min_size=shortest).fit((innovations / spread).reshape(-1, 1))
    found = [int(end) + 1 for end in search.predict(pen=PENALTY * float(np.log(n)))[:-1]]
    positions = [position for position in found if _is_abrupt(values, position)]
    if not positions:
        return []
    heights, rest = _heights(values, positions, season_seconds / (grid.step * size))
    sigma = max(robust_sigma(rest), float(np.std(rest)) / 2, floor)
    edges = [0, *positions, n]
    patterns = []
    for height, around in zip(heights, zip(edges[:-2], edges[1:-1], edges[2:], strict=True), strict=True):
        if abs(height) >= max(MIN_STEP * sigma, MIN_SCORE * sigma * _error(rest, around)):
            patterns.append(_change(grid, values, around, size, abs(height) / (abs(height) + sigma)))
    return patterns


def _robust_rho(values: Floats) -> float:
    """Coefficient (0 to 1) of a first-order autoregression, estimated robustly against steps."""
    one = float(np.median(np.abs(np.diff(values))))
    two = float(np.median(np.abs(values[2:] - values[:-2])))
    return min(1.0, max(0.0, (two / one) ** 2 - 1)) if one > 0 else 0.0


def _heights(values: Floats, positions: list[int], period: float) -> tuple[Floats, Floats]:
    """Heights of steps fitted together with a level or a slow curve and a season, and the residuals.

    Heights are zero where a model without steps fits the values as well.
    """
    n = len(values)
    places = np.arange(n)
    steps = (places[:, None] >= np.array(positions)).astype(np.float64)
    angles = 2 * np.pi * places[:, None] * np.arange(1, HARMONICS + 1) / max(period, 1.0)
    season = np.column_stack([np.sin(angles), np.cos(angles)]) if period >= 2 * HARMONICS else np.empty((n, 0))
    curves = [np.column_stack([np.vander(np.linspace(-1.0, 1.0, n), degree + 1), season]) for degree in (0, 3)]
    # The positions of the steps are estimated parameters too.
    searched = len(positions) * float(np.log(n))
    stepped = [np.column_stack([steps, curve]) for curve in curves]
    best = min(stepped, key=lambda columns: _bic(columns, values))
    if min(_bic(curve, values) for curve in curves) <= _bic(best, values) + searched:
        return np.zeros(len(positions)), values - values.mean()
    fitted = np.linalg.lstsq(best, values, rcond=None)[0]
    return fitted[: len(positions)], values - best @ fitted


def _error(rest: Floats, edges: tuple[int, int, int]) -> float:
    """Standard error of the difference of the means beside an edge, in standard deviations of the residuals."""
    before, position, after = edges
    rho = min(0.99, max(0.0, lag_one(rest)))
    return float(np.sqrt((1 / (position - before) + 1 / (after - position)) * (1 + rho) / (1 - rho)))


def _is_abrupt(values: Floats, position: int) -> bool:
    """Whether a step fits the values around a position clearly better than a line, or a line with a bend."""
    reach = max(6, len(values) // 16)
    first, last = max(0, position - reach), min(len(values), position + reach)
    near = values[first:last]
    places = np.arange(first, last, dtype=np.float64) - position
    ones, after = np.ones_like(places), (places >= 0).astype(np.float64)
    step = _bic(np.column_stack([ones, after]), near)
    bent = _bic(np.column_stack([ones, places, after * places]), near)
    return min(bent, _bic(np.column_stack([ones, places]), near)) - step > STEP_MARGIN


def _change(grid: Grid, values: Floats, edges: tuple[int, int, int], size: int, confidence: float) -> Pattern:
    before, position, after = edges
    reach = max(6, len(values) // 16)
    return described(
        "change_point",
        (grid.name,),
        confidence,
        grid.at(before * size),
        grid.at(min(after * size, len(grid.values)) - 1),
        name=grid.shown,
        before=float(np.median(values[max(before, position - reach) : position])),
        after=float(np.median(values[position : min(after, position + reach)])),
        time=utc_time(grid.at(position * size)),
    )
