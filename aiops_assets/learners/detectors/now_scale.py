"""How unusual a row's own values are, where a detector's score does not say it: a condition of :mod:`alert_rule`."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from aiops_assets.learners.detectors.deviation_scores import (
    LEAST_SPREAD,
    SCALE_QUANTILE,
    learnt_ratios,
    least_scale,
    scale_of,
    shares,
)
from aiops_assets.learners.detectors.deviations import NOW, deviations
from aiops_assets.timeseries.frames import Grid
from aiops_assets.timeseries.series import Floats


@dataclass(frozen=True)
class NowScale:
    """Training deviations of the kinds :data:`~aiops_assets.learners.detectors.deviations.NOW`.

    Attributes:
        quantile, mean: (n_kinds, n_metrics), see :func:`~aiops_assets.learners.detectors.deviation_scores.scale_of`.
        usual: (n_kinds,) 99 % quantiles of the mean over the metrics.
    """

    quantile: Floats
    mean: Floats
    usual: Floats

    @classmethod
    def of(cls, grids: Sequence[Grid]) -> "NowScale":
        """By training rows, a grid of each entity, counters as increases."""
        least = least_scale(np.concatenate([grid.values for grid in grids]))
        found = [deviations(grid, None, NOW) for grid in grids]
        scales = [scale_of(np.concatenate([kinds[kind] for kinds in found]), least) for kind in NOW]
        quantile, mean = (np.array(part) for part in zip(*scales, strict=True))
        plain = cls(quantile, mean, np.ones(len(NOW)))
        usual = np.quantile(np.concatenate([plain._of_kinds(grid) for grid in grids]), SCALE_QUANTILE, axis=0)
        return cls(quantile, mean, np.maximum(usual, LEAST_SPREAD))

    def now(self, grid: Grid) -> Floats:
        """(n_rows,) the larger kind, in units of training's 99 % quantile."""
        return np.asarray((self._of_kinds(grid) / self.usual).max(axis=1))

    def _of_kinds(self, grid: Grid) -> Floats:
        """(n_rows, n_kinds) mean over the metrics."""
        found = deviations(grid, None, NOW)
        scales = zip(NOW, self.quantile, self.mean, strict=True)
        ratios = [learnt_ratios(found[kind], upper, mean, grid) for kind, upper, mean in scales]
        return np.stack([shares(ratio, "all").sum(axis=1) for ratio in ratios], axis=1)
