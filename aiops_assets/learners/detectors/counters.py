"""Counters among the metrics: their increases are what can be compared over time."""

from collections.abc import Sequence

import numpy as np

from aiops_assets.learners.contracts import Flags
from aiops_assets.timeseries.series import Floats

MIN_RISES = 10
MIN_RISES_A_FALL = 20
MIN_RISES_OF_WHOLE_NUMBERS = 3
"""Restarts of a pod, say: rises are rare, and there is no fall."""
MAX_OF_RESTART = 0.1
MAX_GAP_ROWS = 12
"""Beyond so many missing rows an increase is not spread over them: on a grid, a gap may stand for a longer one."""


def increases(values: Floats, counters: Flags) -> Floats:
    """Values with each counter as its increase a row since the last known one: (n_rows, n_metrics).

    A counter that fell to a tenth or less has begun anew at 0. A smaller fall says nothing of what was counted (one of
    the counters in a sum has gone): NaN, as after more than 12 missing rows.
    """
    if not counters.any():
        return values
    counts = values[:, counters]
    rows = np.arange(len(counts))[:, np.newaxis]
    known = np.maximum.accumulate(np.where(np.isfinite(counts), rows, -1), axis=0)
    last = np.concatenate([np.full_like(known[:1], -1), known[:-1]])
    gap = rows - last
    before = np.take_along_axis(counts, np.maximum(last, 0), axis=0)
    change = np.where(_restarted(before, counts), counts, np.where(counts < before, np.nan, counts - before))
    result = values.copy()
    result[:, counters] = np.where((last >= 0) & (gap <= MAX_GAP_ROWS), change / gap, np.nan)
    return result


def counters_of(stretches: Sequence[Floats]) -> Flags:
    """(n_metrics,) whether a metric counts, by training rows: it rises, and all but never falls.

    Ten rises and twenty for each fall, or, of whole numbers of at least 0 that never fall, three: a level that was
    raised once or twice is no counter.
    """
    width = stretches[0].shape[1]
    rises, falls = (np.zeros(width, dtype=np.int64) for _ in range(2))
    whole = np.ones(width, dtype=bool)
    for values in stretches:
        before, after = values[:-1], values[1:]
        rises += (after > before).sum(axis=0)
        falls += (after < before).sum(axis=0)
        whole &= (np.isnan(values) | ((values >= 0) & (values == np.floor(values)))).all(axis=0)
    seldom = whole & (falls == 0) & (rises >= MIN_RISES_OF_WHOLE_NUMBERS)
    return np.asarray(seldom | ((rises >= MIN_RISES) & (falls * MIN_RISES_A_FALL <= rises)))


def _restarted(before: Floats, after: Floats) -> Flags:
    return np.asarray((after < before) & (after >= 0) & (after <= MAX_OF_RESTART * before))
