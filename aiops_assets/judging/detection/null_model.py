"""The null model, a detector's baseline: the distance from a moving median, in moving median absolute deviations.

A first version must not be worse. Per metric: deviation = |value - median| / (1.4826 MAD + a small share of the
median's size), Iglewicz and Hoaglin's modified z-score ("How to detect and handle outliers", 1993). The score is the
mean over metrics. There is nothing to fit and no threshold to tune.

It reads what its opponent reads. Against a window detector the reference is the pod's own last day. Against a row
detector it is the six minutes that one row holds: that detector scores one row, of a pod it does not know.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from aiops_assets.learners.contracts import Scored
from aiops_assets.learners.detectors.alert_rule import ALERT_BUDGET
from aiops_assets.timeseries.features import FEATURES, STATISTICS
from aiops_assets.timeseries.series import Floats

WINDOW_ROWS = 288
"""So many rows are a day of every five minutes."""
MIN_HISTORY_ROWS = 10
"""With fewer earlier rows nothing is known, and the score is 0."""
ROW_HISTORY = ("mean_5m", "min_5m", "max_5m", "lag_1", "lag_5")
"""The statistics of a row that stand for its last minutes."""
MAD_TO_SIGMA = 1.4826
SMALL_SHARE = 0.05
"""Share of the median's size that is added to the spread: a value that never changed has none, and is not an anomaly by
its last bit."""
TINY = 1e-9
MAX_DEVIATION = 20.0
"""A metric's deviation counts no more than this: the first restart of a quiet pod is not infinitely anomalous."""
ROW_ALERT_SHARE = 0.03
"""The null model alerts on this share of rows where a row detector is its opponent: ADR-052's contamination. Where a
window detector is, it has that detector's budget of time: a comparison at unequal budgets favours who alerts more."""

Owner = npt.NDArray[np.integer]


def of_series(rows: pd.DataFrame, columns: Sequence[str]) -> Scored:
    """Score rows from the earlier rows of the same pod.

    Args:
        rows: n rows in any order with ``timestamp``, ``pod``, ``source`` and the columns; NaN is not known.
        columns: the metrics' own values.

    Returns:
        scores from 0 to :data:`MAX_DEVIATION`, alerts, contributions, in the order of rows; 0 where nothing is known.
    """
    segment = rows.groupby(["source", "pod"], observed=True, sort=False).ngroup().to_numpy()
    order = np.lexsort((rows["timestamp"].to_numpy(), segment))
    owner = segment[order]
    values = pd.DataFrame(rows[list(columns)].to_numpy(dtype=np.float64)[order]).replace([np.inf, -np.inf], np.nan)
    median = _past(values, owner, 0.5)
    distance = (values - median).abs()
    # The spread of past distances, each from the median of its own time.
    spread = _past(distance, owner, 0.5).fillna(0.0)
    return _scored(distance.to_numpy(), median.to_numpy(), spread.to_numpy(), owner, order, ALERT_BUDGET)


def of_rows(rows: pd.DataFrame) -> Scored:
    """Score rows of the 45 columns from the six minutes that each of them holds.

    Args:
        rows: n rows in any order with ``timestamp`` and the feature columns.

    Returns:
        as :func:`of_series`; the alert's threshold is that of earlier rows of all pods.
    """
    order = np.argsort(rows["timestamp"].to_numpy(), kind="stable")
    matrix = rows[list(FEATURES)].to_numpy(dtype=np.float64)[order].reshape(len(rows), -1, len(STATISTICS))
    recent = matrix[..., [STATISTICS.index(name) for name in ROW_HISTORY]]
    median = np.median(recent, axis=-1)
    spread = np.median(np.abs(recent - median[..., np.newaxis]), axis=-1)
    distance = np.abs(matrix[..., STATISTICS.index("value")] - median)
    return _scored(distance, median, spread, np.zeros(len(rows), dtype=np.int64), order, ROW_ALERT_SHARE)


def _scored(
    distance: Floats, median: Floats, spread: Floats, owner: Owner, order: npt.NDArray[np.intp], alert_share: float
) -> Scored:
    """Arrays are (n_rows, n_metrics) in the order of time that ``order`` made; the answer is in that of the rows."""
    deviation = np.minimum(distance / (MAD_TO_SIGMA * spread + SMALL_SHARE * np.abs(median) + TINY), MAX_DEVIATION)
    known = np.isfinite(deviation)
    deviation = np.where(known, deviation, 0.0)
    total = deviation.sum(axis=1)
    scores = total / np.maximum(known.sum(axis=1), 1)
    threshold = _past(pd.DataFrame(scores), owner, 1 - alert_share)[0].to_numpy()
    contributions = np.divide(deviation, total[:, np.newaxis], out=np.zeros_like(deviation), where=total[:, None] > 0)
    back = np.argsort(order)
    return Scored(score=scores[back], alert=(scores > threshold)[back], contributions=contributions[back])


def _past(values: pd.DataFrame, owner: Owner, quantile: float) -> pd.DataFrame:
    """Rolling quantile over the earlier rows of the same owner, NaN below :data:`MIN_HISTORY_ROWS` of them."""
    rolling = values.groupby(owner, sort=True).rolling(WINDOW_ROWS, min_periods=MIN_HISTORY_ROWS, closed="left")
    result: Floats = rolling.quantile(quantile).to_numpy()
    return pd.DataFrame(result)
