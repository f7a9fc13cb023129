"""From deviations to alerts: scales that keep learning, terms, a score, and an alert threshold that moves.

A deviation is how far a metric is from its expected value, per row and metric, of some kind. Each is divided by the
training rows' 99 % quantile, corrected by how large the metric's deviations have been lately compared with training
(exponentially weighted mean, half-life three days, and a day of prior).
"""

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from aiops_assets.errors import ModelError
from aiops_assets.timeseries.frames import Grid, cadence, on_grid
from aiops_assets.timeseries.series import Floats

SCALE_QUANTILE = 0.99
RARE_SCALE = 0.5
"""Where most deviations are 0, a scale is at least this share of their root mean square."""
STILL_SCALE = 0.3
"""The scale of a metric that stood still in training, in mean deviations since."""
SCALE_HALF_LIFE_HOURS = 72.0
SCALE_PRIOR_HOURS = 24.0
SCALE_BOUNDS = (0.05, 20.0)
MAX_OF_SCALE = 20.0
"""A deviation counts at most this many times its scale: one metric must not drown the others."""
LEAST_TERM, MOST_TERM = -1.0, 5.0
"""One kind of deviation counts for so much at most: several that agree come before one that is extreme."""
LEAST_SPREAD = 1e-3
"""A term's 99 % quantile counts as at least so far above its median, in training."""
TOP_SHARE = 0.2
MIN_TRAIN_ROWS = 10
MAX_SMOOTHING_SHARE = 0.1
"""A term is smoothed over at most this share of the training span: how far a smoothed term wanders, fewer than ten
independent stretches do not show."""
NOTHING = 1e-100
"""What stands for zero in a scale, whatever the unit."""
QUIET_SHARE = 0.3
"""A metric whose recent mean is below this share of its scale is quiet, and how quiet does not matter."""


def training_grids(frames: Sequence[pd.DataFrame], columns: tuple[str, ...], step_seconds: int | None) -> list[Grid]:
    """Training rows of each entity on the grid of their cadence, that of the longest frame by default.

    Raises:
        ModelError: fewer than ten rows, or no value at all.
        SchemaError: a column is missing or holds no numbers.
        DataError: no cadence between 10 s and 1 h.
    """
    rows = sum(map(len, frames))
    if rows < MIN_TRAIN_ROWS:
        raise ModelError(
            f"{rows} training rows: at least {MIN_TRAIN_ROWS} are needed, mark more",
            code="too_few_rows",
            rows=rows,
            least=MIN_TRAIN_ROWS,
        )
    step = step_seconds or cadence(max(frames, key=len)["timestamp"])
    grids = [on_grid(frame, columns, step) for frame in frames if len(frame)]
    if not any(np.isfinite(grid.values).any() for grid in grids):
        raise ModelError("no training row has a value: is the metric scraped at all?", code="no_values")
    return grids


def smoothing_hours(hours: Sequence[float], grids: Sequence[Grid]) -> Floats:
    """(n_terms,) how long each term is smoothed, as far as the training span allows."""
    span = max(len(grid.values) for grid in grids) * grids[0].step_seconds / 3600
    return np.minimum(hours, MAX_SMOOTHING_SHARE * span)


def least_scale(values: Floats) -> Floats:
    """(n_metrics,) the size, in a metric's unit, below which nothing counts: rounding noise of a constant, say."""
    known = np.isfinite(values)
    count = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, values, 0.0).sum(axis=0) / count
    deviation = np.sqrt(np.where(known, (values - mean) ** 2, 0.0).sum(axis=0) / count)
    return 1e-3 * deviation + 1e-6 * np.abs(mean) + NOTHING


def scale_of(found: Floats, floor: Floats | float, least_seen_share: float = 0.0) -> tuple[Floats, Floats]:
    """(n_metrics,) quantile and mean of one kind's training deviations, by which later ones are measured.

    Args:
        found: (n_rows, n_metrics) deviations of training rows; NaN where unknown.
        floor: what is too small to count, in the deviations' unit.
        least_seen_share: a metric that is known in a smaller share of the rows, or fewer than five, has zeros.
    """
    known = np.isfinite(found).sum(axis=0)
    at = np.maximum(np.ceil(SCALE_QUANTILE * known).astype(int) - 1, 0)
    upper = np.sort(found, axis=0)[at, np.arange(found.shape[1])]  # NaN are last
    seen = known >= max(MIN_TRAIN_ROWS // 2, least_seen_share * len(found))
    mean = np.nansum(found, axis=0) / np.maximum(known, 1)
    # Where most deviations are 0, the quantile may be too, or far below those that are not.
    mostly_none = 2 * (found > 0).sum(axis=0) < known
    rare = np.where(mostly_none, RARE_SCALE * np.sqrt(np.nansum(found**2, axis=0) / np.maximum(known, 1)), 0.0)
    upper = np.maximum(np.nan_to_num(upper, nan=0.0), rare)
    return np.where(seen, upper + floor, 0.0), np.where(seen & (mean > 0), mean + floor, 0.0)


def learnt_ratios(found: Floats, quantile: Floats, mean: Floats, grid: Grid) -> Floats:
    """(n_rows, n_metrics) deviations of one kind in units of a scale that keeps learning; NaN where unknown.

    Args:
        found: (n_rows, n_metrics) deviations.
        quantile, mean: (n_metrics,) of those of training. A quantile of 0: training hardly saw the metric. A mean of 0:
            it saw the metric stand still, so that its scale is learnt from these rows alone.
        grid: the grid of the rows.
    """
    alpha = 1 - 0.5 ** (1 / grid.rows(SCALE_HALF_LIFE_HOURS))
    lately = pd.DataFrame(bounded(found, quantile, mean)).ewm(alpha=alpha).mean().shift(1).to_numpy()
    return ratios_to(found, lately, np.arange(len(found))[:, np.newaxis], quantile, mean, grid)


def bounded(found: Floats, quantile: Floats, mean: Floats) -> Floats:
    """(..., n_metrics) deviations as they count for later scales, see :func:`learnt_ratios`."""
    seen, still = quantile > 0, mean == 0
    found = np.where(seen, found, np.nan)
    return np.where(still, found, np.minimum(found, MAX_OF_SCALE * np.where(seen, quantile, 1.0)))


def ratios_to(
    found: Floats, lately: Floats, rows_before: npt.NDArray[np.int64], quantile: Floats, mean: Floats, grid: Grid
) -> Floats:
    """(..., n_metrics) deviations in units of a scale, see :func:`learnt_ratios`.

    ``lately`` is the weighted mean of what was before each, ``rows_before`` the number of rows before it.
    """
    alpha = 1 - 0.5 ** (1 / grid.rows(SCALE_HALF_LIFE_HOURS))
    prior = grid.rows(SCALE_PRIOR_HOURS)
    weight = (1 - (1 - alpha) ** rows_before) / alpha
    seen, still = quantile > 0, mean == 0
    quantile, mean = np.where(seen, quantile, 1.0), np.where(still, 1.0, mean)
    found = np.where(seen, found, np.nan)
    lately = np.where(np.isfinite(lately), lately, np.where(still, 0.0, mean))
    learnt = (prior * mean + weight * lately) / (prior + weight)
    scale = quantile * np.clip(learnt / mean, *SCALE_BOUNDS)
    scale = np.where(still, np.maximum(quantile, STILL_SCALE * lately), scale)
    return np.minimum(found / scale, MAX_OF_SCALE)


def shares(ratios: Floats, over: str) -> Floats:
    """Each metric's part in the mean over "all", or over the fifth that is largest ("top"): (n_rows, n_metrics)."""
    known = np.nan_to_num(ratios, nan=0.0)
    if over == "all":
        return known / np.maximum(np.isfinite(ratios).sum(axis=1, keepdims=True), 1)
    n = max(1, int(TOP_SHARE * ratios.shape[1]))
    if n == ratios.shape[1]:
        return known / n
    bar = np.partition(known, -n, axis=1)[:, -n][:, np.newaxis]
    return np.where(known >= bar, known, 0.0) / n


def total(terms: Floats, middle: Floats, spread: Floats, most: float) -> Floats:
    """(n_rows,) the score: the sum of the terms, each as the distance to its training median in units of its spread.

    ``most``: what one term counts at most.
    """
    return np.clip((terms - middle) / spread, LEAST_TERM, most).sum(axis=1)


def contributions(ratios: Iterable[Floats], grid: Grid) -> Floats:
    """How large each metric's deviations are now beside those of its last day; rows sum to 1, or to 0.

    Not the score's own parts: those are smoothed, so that metrics that wander all day would come before the one that
    just jumped.
    """
    strength = np.zeros(grid.values.shape)
    alpha = 1 - 0.5 ** (1 / grid.rows(24))
    for found in ratios:
        ratio = np.nan_to_num(found, nan=0.0)
        recent = pd.DataFrame(ratio).ewm(alpha=alpha).mean().shift(1).to_numpy()
        strength += (ratio / (np.nan_to_num(recent, nan=0.0) + QUIET_SHARE)) ** 2
    together = strength.sum(axis=1, keepdims=True)
    return strength / np.where(together > 0, together, 1.0)
