"""Straight lines from features to what comes, for each metric and several steps ahead.

Trees answer by steps: where what comes is nearly what was at this time on other days, a line is nearer. Lines are
fitted to least absolute errors by iteratively reweighted least squares (Schlossmacher, "An iterative technique for
absolute deviations curve fitting", JASA 68, 1973), with a small ridge.
"""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from aiops_assets.learners.contracts import Flags
from aiops_assets.learners.forecasters.features import AHEAD, HOUR_MEDIAN, Steps
from aiops_assets.timeseries.series import Floats

KNOTS = 6
"""Lines are fitted for so many numbers of steps ahead, evenly on a logarithmic scale; between them they are mixed."""
OVERLAP = 1.5
"""A line learns from pairs up to this factor nearer or farther ahead than the knot's own."""
MIN_PAIRS = 100
"""With fewer pairs around a knot, its line learns from all pairs of the metric."""
FARTHEST = 4.0
"""A feature counts as so many standard deviations from its mean at most: a line through a spike leads anywhere."""
RARE = 0.02
"""Share of origins on each side whose last hour counts as unknown."""
RIDGE, ITERATIONS, NEAR = 3e-4, 5, 0.1
"""Errors below this share of their median count as if they were of it: the weight of a pair is bounded."""


@dataclass(frozen=True)
class Lines:
    """Fitted lines.

    Attributes:
        usual: (n_metrics, n_features) medians, which stand in for features that are not known.
        center, unit: (n_metrics, n_features) mean and standard deviation of features.
        knots: (n_knots,) logarithms of steps ahead, increasing.
        slopes: (n_metrics, n_knots, 1 + n_features) constants and slopes of features in their unit.
        reach: (n_metrics, 2) the least and the most that came: lines are not followed beyond it.
        levels: (n_metrics, 2) between which the last hour lay until a day ago, but for rare origins on either side.
    """

    usual: Floats
    center: Floats
    unit: Floats
    knots: Floats
    slopes: Floats
    reach: Floats
    levels: Floats

    @classmethod
    def of(cls, x: Floats, y: Floats, metric: Steps, metrics: int, settled: Flags) -> Self:
        """Fit.

        Args:
            x: (n, n_features) features of :mod:`aiops_assets.learners.forecasters.features`; NaN: not known.
            y: (n,) what came.
            metric: (n,) positions of metrics.
            metrics: how many there are; one without pairs is answered by 0, the median of its last day.
            settled: (n,) whether an origin is more than a day old: a level that shifted since then is not known yet.
        """
        features = x.shape[1]
        edges = np.geomspace(1, x[:, AHEAD].max() + 1, KNOTS + 1)
        parts: dict[str, Floats] = {
            "usual": np.zeros((metrics, features)),
            "center": np.zeros((metrics, features)),
            "unit": np.ones((metrics, features)),
            "slopes": np.zeros((metrics, KNOTS, 1 + features)),
            "reach": np.zeros((metrics, 2)),
            "levels": np.zeros((metrics, 2)),
        }
        for m in np.unique(metric):
            own, came = x[metric == m], y[metric == m]
            known = ~np.isnan(own).all(axis=0)
            parts["usual"][m, known] = np.nanmedian(own[:, known], axis=0)
            filled = np.where(np.isnan(own), parts["usual"][m], own)
            parts["center"][m], parts["unit"][m] = filled.mean(axis=0), filled.std(axis=0) + 1e-9
            parts["reach"][m] = came.min(), came.max()
            usual = settled & (metric == m)
            usual = usual if usual.any() else metric == m
            parts["levels"][m] = np.quantile(x[usual, HOUR_MEDIAN], (RARE, 1 - RARE))
            a = _with_constant(filled, parts["center"][m], parts["unit"][m])
            for k, (begin, end) in enumerate(itertools.pairwise(edges)):
                near = (own[:, AHEAD] >= begin / OVERLAP) & (own[:, AHEAD] < end * OVERLAP)
                near |= near.sum() < MIN_PAIRS
                parts["slopes"][m, k] = _least_absolute(a[near], came[near])
        return cls(knots=np.log(np.sqrt(edges[:-1] * edges[1:])), **parts)

    def predict(self, x: Floats, metric: Steps) -> Floats:
        """(n, n_features), (n,) -> (n,) predictions."""
        filled = np.where(np.isnan(x), self.usual[metric], x)
        a = _with_constant(filled, self.center[metric], self.unit[metric])
        ahead = np.log(x[:, AHEAD])
        right = np.clip(np.searchsorted(self.knots, ahead), 1, len(self.knots) - 1)
        share = np.clip((ahead - self.knots[right - 1]) / (self.knots[right] - self.knots[right - 1]), 0.0, 1.0)
        near, far = (np.einsum("nf,nf->n", a, self.slopes[metric, k]) for k in (right - 1, right))
        return np.clip(near + share * (far - near), *self.reach[metric].T)

    def knows(self, x: Floats, metric: Steps) -> Flags:
        """(n, n_features), (n,) -> (n,) whether the last hour lies where it did in what was learnt.

        Elsewhere a level has just shifted: lines lead back to one that may be gone.
        """
        low, high = self.levels[metric].T
        inside: Flags = (x[:, HOUR_MEDIAN] >= low) & (x[:, HOUR_MEDIAN] <= high)
        return inside

    def to_dict(self) -> dict[str, Floats]:
        """Plain arrays."""
        return dict(vars(self))

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Lines from :meth:`to_dict`."""
        return cls(**data)


def _with_constant(x: Floats, center: Floats, unit: Floats) -> Floats:
    scaled = np.clip((x - center) / unit, -FARTHEST, FARTHEST)
    return np.concatenate([np.ones((len(x), 1)), scaled], axis=1)


def _least_absolute(a: Floats, y: Floats) -> Floats:
    errors, slopes = y - np.median(y), np.zeros(a.shape[1])
    ridge = np.full(a.shape[1], RIDGE)
    ridge[0] = 0.0
    for _ in range(ITERATIONS):
        size = np.abs(errors)
        weight = 1 / np.maximum(size, NEAR * np.median(size) + 1e-6)
        gram = (a * weight[:, None]).T @ a + np.diag(ridge * weight.sum() + 1e-9)
        slopes = np.linalg.solve(gram, a.T @ (weight * y))
        errors = y - a @ slopes
    return slopes
