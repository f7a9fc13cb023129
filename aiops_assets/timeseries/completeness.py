"""How many series a day of a metric should have at each instant, and how much of that is there.

Two facts say what should be there: the companion, which is the number of series that the server itself counts for the
query, and the life of each series: one that has samples before and after an instant has lost the one between.
"""

import numpy as np
import numpy.typing as npt

from aiops_assets.timeseries.series import Floats

Counts = npt.NDArray[np.int64]

TOLERATED_SHARE = 0.01
"""Share of samples that may be missing from an answer before it counts as incomplete. On a sound server a query and its
count agree exactly; what is allowed here are samples that arrive between the two requests."""


def alive(values: Floats) -> Counts:
    """Number of series that live at each instant: their first sample is not later, their last one not earlier.

    Args:
        values: (n_series, n_instants), NaN where there is no sample.

    Returns:
        (n_instants,) counts.
    """
    there = ~np.isnan(values)
    if there.all():
        return np.full(values.shape[1], len(values), dtype=np.int64)
    begun = np.logical_or.accumulate(there, axis=1)
    goes_on = np.logical_or.accumulate(there[:, ::-1], axis=1)[:, ::-1]
    return np.asarray((begun & goes_on).sum(axis=0), dtype=np.int64)


def wanted(values: Floats, counted: Floats) -> Counts:
    """Number of series that should have a sample at each instant.

    The larger one of those that live and those that the server counted. Where nothing lives and nothing was counted
    (before the begin of a server's retention, during an outage), it is the median of the other instants.

    Args:
        values: (n_series, n_instants), NaN where there is no sample.
        counted: (n_instants,) the companion's number of series; NaN where it is not known.

    Returns:
        (n_instants,) counts; all are 0 where there is no series and no count.
    """
    known_counts = between(counted)
    found = np.maximum(alive(values), np.where(np.isnan(known_counts), 0, known_counts).astype(np.int64))
    known = found > 0
    if known.any() and not known.all():
        found[~known] = max(1, int(np.median(found[known])))
    return found


def missing_of_count(values: Floats, counted: Floats) -> float:
    """Share (0 to 1) of the counted series that have no sample at the instant at which they were counted.

    Args:
        values: (n_series, n_instants), NaN where there is no sample.
        counted: (n_instants,) the companion's number of series; NaN where it is not known.
    """
    known = ~np.isnan(counted)
    total = float(counted[known].sum())
    there = (~np.isnan(values)).sum(axis=0)[known]
    return float(np.maximum(counted[known] - there, 0).sum() / total) if total else 0.0


def lost_since(stored: Floats, answer: Floats) -> float:
    """Share (0 to 1) of stored samples that an answer lacks, at the instants at which it has any series at all.

    A server that had a sample has it until its retention ends, which takes whole instants: where only some series are
    missing, the answer is incomplete.

    Args:
        stored, answer: (n_series, n_instants) of the same series and instants, NaN where there is no sample.
    """
    at = (~np.isnan(answer)).any(axis=0)
    before = ~np.isnan(stored[:, at])
    n_before = int(before.sum())
    return float((before & np.isnan(answer[:, at])).sum() / n_before) if n_before else 0.0


def between(counted: Floats) -> Floats:
    """Counts also between the instants at which the server counted: the smaller one of the two beside.

    Args:
        counted: (n_instants,) NaN where the server did not count. Where two counts are further apart than the nearest
            two, the server did not answer between them, and nothing is known.
    """
    at = np.flatnonzero(~np.isnan(counted))
    if len(at) < 2:
        return counted
    gaps = np.diff(at)
    usual = int(gaps.min())
    filled = counted.copy()
    for first, gap in zip(at[:-1].tolist(), gaps.tolist(), strict=True):
        if gap == usual:
            filled[first + 1 : first + gap] = min(counted[first], counted[first + gap])
    return filled
