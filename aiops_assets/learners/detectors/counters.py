"""Counters among the metrics: their increases are what can be compared over time."""

from collections.abc import Sequence

import numpy as np

from aiops_assets.learners.contracts import Flags
from aiops_assets.timeseries.series import Floats

MIN_RISES = 10
MIN_RISES_A_RESTART = 50
MAX_OF_RESTART = 0.1


def increases(values: Floats, counters: Flags) -> Floats:
    """Values with each counter as its increase since the row before: (n_rows, n_metrics).

    A counter that fell has begun anew at 0. NaN after a missing sample.
    """
    if not counters.any():
        return values
    counts = values[:, counters]
    change = np.full_like(counts, np.nan)
    change[1:] = np.diff(counts, axis=0)
    result = values.copy()
    result[:, counters] = np.where(change < 0, counts, change)
    return result


def counters_of(stretches: Sequence[Floats]) -> Flags:
    """(n_metrics,) whether a metric counts, by training rows: it rises, and all but never falls.

    A fall to a tenth or less is a restart of the process that counts; one is allowed in fifty rises. A level
    that was raised a few times is no counter: ten rises are.
    """
    width = stretches[0].shape[1]
    rises, falls, restarts = (np.zeros(width, dtype=np.int64) for _ in range(3))
    for values in stretches:
        before, after = values[:-1], values[1:]
        rises += (after > before).sum(axis=0)
        falls += (after < before).sum(axis=0)
        restarts += ((after < before) & (after >= 0) & (after <= MAX_OF_RESTART * before)).sum(axis=0)
    return np.asarray((rises >= MIN_RISES) & (falls == restarts) & (falls * MIN_RISES_A_RESTART <= rises))
