"""How far rows of entities are from their own past, and from their group: what is compared with a level.

A pod is measured by its workload and by itself. Pods of one workload may be of unequal size, so a pod's distance from
its own mean is taken in units of the ratio of that mean to the workload's: a small follower is not hidden by a large
leader. And what differs from the workload without having changed, such as the memory of a new revision, is no news.
"""

from typing import Any

import numpy as np

from aiops_assets.learners.contracts import Flags
from aiops_assets.timeseries.series import Floats

SMALLEST, LARGEST = 0.2, 5.0
"""An entity counts as at least and at most so many times its group's mean."""
MEAN_MOST = 3.0
"""A row enters an entity's own mean as at most so many times the usual: an incident must not become the mean."""
BEGINNING = 3.0
"""Weight of the newest of the first n rows in a mean, times n: what a start looks like is soon forgotten."""
PAIRED_MOST = 10.0
"""The larger of two high rows counts as at most so many times the smaller one: a blip has none beside it."""


def share_of_newest(age_rows: Floats, memory_rows: float) -> Floats:
    """Weight of the newest row in a mean that forgets two thirds within ``memory_rows``, sooner while it is younger."""
    beginning = np.minimum(BEGINNING / np.maximum(age_rows, 1.0), 1.0)
    return np.asarray(np.maximum(1.0 - np.exp(-1.0 / memory_rows), beginning))


def moved_mean(mean: Floats, read: Floats, share: Floats) -> Floats:
    """The mean after a row; a missing value changes nothing, the first value is the first mean."""
    begun = np.where(np.isfinite(mean), mean + share * (read - mean), read)
    return np.where(np.isfinite(read), begun, mean)


def clipped(read: Floats, mean: Floats, centre: Floats) -> Floats:
    """Rows as they enter an entity's mean: at most some times that and the group's."""
    most = MEAN_MOST * np.fmax(np.abs(mean), np.abs(centre))
    most = np.where(most > 0, most, np.inf)
    return np.where(np.isfinite(mean), np.clip(read, -most, most), read)


def in_units_of_group(read: Floats, mean: Floats, centre: Floats, old: Flags) -> tuple[Floats, Floats]:
    """Rows as if their entities were of the size of their group's mean.

    Args:
        read: (n, n_signals) rows.
        mean: the same of the entities' own means, NaN where there is none.
        centre: the same of the groups' means of those, NaN where there is none.
        old: (n,) whether an entity's mean is old enough to be its size; younger ones are taken as they are.

    Returns:
        the rows in the scale of their groups, and their distances from the entities' own means in that scale.
    """
    sized = old[:, np.newaxis] & np.isfinite(mean) & np.isfinite(centre) & (centre != 0)
    size = np.ones_like(read)
    np.divide(mean, centre, out=size, where=sized)
    apart = (read - mean) / np.clip(size, SMALLEST, LARGEST)
    return np.where(sized, centre + apart, read), apart


def of_three(three: Floats, usual: Floats) -> Floats:
    """(n, n_sides) how high an entity's newest three rows are together: none is, unless two of them are.

    It is the geometric mean of the two largest excesses over the usual level, so that what comes in bursts counts
    though its second row is smaller. What is not above the usual level counts as the second largest row.

    Args:
        three: (n, 3, n_sides), ``-inf`` where a row is missing.
        usual: (n, n_sides), NaN where nothing is known.
    """
    ordered = np.sort(three, axis=1)
    base = np.nan_to_num(usual)
    second = ordered[:, -2] - base
    above = np.isfinite(second) & (second > 0)
    second = np.where(above, second, 0.0)
    first = np.minimum(np.where(above, ordered[:, -1] - base, 0.0), PAIRED_MOST * second)
    return np.where(above, base + np.sqrt(first * second), ordered[:, -2])


def shared_by_half(excess: Floats, group: "np.ndarray[Any, np.dtype[np.int64]]") -> Floats:
    """(n, n_sides) what at least half of the entities of each one's group have; 0 of an entity that is alone.

    Args:
        excess: (n, n_sides) how far entities are above the usual level, at least 0.
        group: (n,) of each entity.
    """
    order = np.argsort(group, kind="stable")
    begins = np.flatnonzero(np.diff(group[order], prepend=-1))
    sizes = np.diff(np.append(begins, len(order)))
    shared = np.zeros_like(excess)
    for size in np.unique(sizes[sizes > 1]).tolist():
        members = order[begins[sizes == size][:, np.newaxis] + np.arange(size)]
        shared[members] = np.sort(excess[members], axis=1)[:, (size - 1) // 2][:, np.newaxis]
    return shared
