"""Ranking scores of a detector that was trained on less than a day: half of each is by a spread that keeps learning.

Terms are normalised once, on training rows. A few hours show a smoothed term on little of its way, so that later it is
at its bound on rows that are normal, and ranks nothing. Here each term is also measured by the mean and the standard
deviation of all it has been since (exponentially weighted, with the half-life of the scales); the score is the mean of
both. Alerts stay on the score by training alone.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from aiops_assets.learners.detectors.deviation_scores import LEAST_TERM, SCALE_HALF_LIFE_HOURS
from aiops_assets.learners.detectors.running_means import weighted_before
from aiops_assets.timeseries.frames import Grid
from aiops_assets.timeseries.series import Floats

SHORT_HOURS = 24.0
"""With a day of training or more, the spread by training ranks better."""
ONLINE_SHARE = 0.5
"""With 1, Kubernetes pods are ranked better still (VUS-PR .70, not .67), and servers worse than without (.18, not
.22)."""
UPPER_DEVIATIONS = 2.33
"""The 99 % quantile of a normal distribution: where the spread by training has its unit."""
LEAST_SHARE = 0.05
"""The spread is at least this share of that of training."""


def is_short(rows: int, step_seconds: int) -> bool:
    """Whether training of so many rows is shorter than a day."""
    return rows * step_seconds < SHORT_HOURS * 3600


@dataclass(frozen=True)
class SpreadMemory:
    """What is kept of the rows so far: weighted means of terms and of their squared deviations, (n_entities, n_terms).

    Each has the weight that it has beside the next value, as :func:`weighted_before` wants it.
    """

    spread_mean: Floats
    spread_mean_weight: Floats
    spread_square: Floats
    spread_square_weight: Floats

    @classmethod
    def begun(cls, n_entities: int, n_terms: int) -> "SpreadMemory":
        """Of entities without a row."""
        shape = n_entities, n_terms
        return cls(np.full(shape, np.nan), np.ones(shape), np.full(shape, np.nan), np.ones(shape))


def online_total(terms: Floats, spread: Floats, most: float, grid: Grid) -> Floats:
    """(n_rows,) the score by the spread of earlier rows; ``terms`` (n_rows, n_terms), ``spread`` of training."""
    alpha = _alpha(grid)
    mean = pd.DataFrame(terms).ewm(alpha=alpha).mean().shift(1).to_numpy()
    square = pd.DataFrame((terms - mean) ** 2).ewm(alpha=alpha).mean().shift(1).to_numpy()
    return _total(terms, mean, square, spread, most)


def running_total(
    terms: Floats, spread: Floats, most: float, grid: Grid, memory: SpreadMemory
) -> tuple[Floats, SpreadMemory]:
    """The same of the newest rows of several entities, (n_rows, n_entities), and the memory after the last one.

    ``terms`` (n_rows, n_entities, n_terms) are NaN before an entity begins.
    """
    alpha = _alpha(grid)
    mean, of_mean = weighted_before(terms, memory.spread_mean, memory.spread_mean_weight, alpha)
    square, of_square = weighted_before((terms - mean) ** 2, memory.spread_square, memory.spread_square_weight, alpha)
    return _total(terms, mean, square, spread, most), SpreadMemory(*of_mean, *of_square)


def mixed(by_training: Floats, online: Floats) -> Floats:
    """The ranking score of both."""
    return (1 - ONLINE_SHARE) * by_training + ONLINE_SHARE * online


def _total(terms: Floats, mean: Floats, square: Floats, spread: Floats, most: float) -> Floats:
    found = (terms - mean) / (UPPER_DEVIATIONS * np.sqrt(square) + LEAST_SHARE * spread)
    return np.clip(np.nan_to_num(found, nan=0.0), LEAST_TERM, most).sum(axis=-1)


def _alpha(grid: Grid) -> float:
    return 1 - float(0.5 ** (1 / grid.rows(SCALE_HALF_LIFE_HOURS)))
