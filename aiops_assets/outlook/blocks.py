"""A history as means of blocks of rows, fine where it is new and coarse where it is old, with their noise."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd

from aiops_assets.timeseries.series import Floats

BLOCK_SHARE = 0.08
"""A block of rows is so long in relation to its age: the newest rows stand alone, old ones are means of many."""
NEIGHBOURS, OUTLIER_ROWS, OUTLIER_SPREADS = 3, 49, 6.0
"""A row is an outlier when it is so many times the usual distance away from the median of so many rows to each side."""
TINY = 1e-12


@dataclass(frozen=True)
class Blocks:
    """Means of blocks of rows, the newest first.

    Attributes:
        age: (n,) rows from the newest one to the middle of each block.
        value: (n,) means.
        first, last: (n,) ages of the newest and of the oldest row's far side.
        known: (n,) number of samples.
    """

    age: Floats
    value: Floats
    first: Floats
    last: Floats
    known: Floats


def blocks_of(values: Floats) -> Blocks:
    """Blocks of the rows that have a sample; NaN is where none is."""
    values = without_outliers(values)
    edges = [0]
    while edges[-1] < len(values):
        edges.append(min(edges[-1] + max(1, int(BLOCK_SHARE * edges[-1])), len(values)))
    newest = values[::-1]
    found = []
    for first, last in pairwise(edges):
        part = newest[first:last]
        there = np.isfinite(part)
        if there.any():
            at = np.flatnonzero(there)
            found.append((first + at.mean(), part[there].mean(), first, last, len(at)))
    return Blocks(*(np.array(column, dtype=np.float64) for column in zip(*found, strict=True)))


def without_outliers(values: Floats) -> Floats:
    """Rows that are far from the median of their neighbours are taken for unknown (Hampel's identifier)."""
    series = pd.Series(values)
    near = series.rolling(2 * NEIGHBOURS + 1, center=True, min_periods=3).median()
    off = (series - near).abs()
    usual = off.rolling(OUTLIER_ROWS, center=True, min_periods=7).median()
    return np.where((off > OUTLIER_SPREADS * usual + TINY).to_numpy(), np.nan, values)


def covariance(blocks: Blocks, rows: float, nugget: float) -> Floats:
    """(n, n) of the blocks' means for noise of variance 1: a share of it white, the rest with a correlation time."""
    white = np.diag(1 / blocks.known)
    if rows == 0:
        return white
    x = (blocks.last - blocks.first) / rows
    inside = -np.expm1(-x) / x
    gap = np.maximum(blocks.first[:, None] - blocks.last[None, :], blocks.first[None, :] - blocks.last[:, None])
    between = np.exp(-np.maximum(gap, 0.0) / rows) * np.outer(inside, inside)
    # The mean's own variance, whose closed form loses its digits for short blocks.
    own = np.where(x < 1e-3, 1 - x / 3, 2 * (x + np.expm1(-x)) / np.maximum(x, 1e-3) ** 2)
    np.fill_diagonal(between, own)
    return (1 - nugget) * between + nugget * white
