"""The members of a learned forecaster, and how much each of them counts.

Trees alone answer by steps; straight lines, with trees for what they leave, are nearer where what comes is nearly one
of the features. Which is better differs by metric and by how far ahead, so each counts by its errors on pairs that it
has not learnt from (Bates and Granger, "The combination of forecasts", Operational Research Quarterly 20, 1969; with a
sharper exponent).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np

from aiops_assets.learners.forecasters.features import Steps
from aiops_assets.learners.forecasters.lines import Lines
from aiops_assets.learners.forecasters.trees import TREES, Trees
from aiops_assets.timeseries.series import Floats

KNOTS = 6
"""Weights are found for so many ranges of steps ahead, evenly on a logarithmic scale."""
SHARPNESS = 8
"""Exponent of the errors in the weights: with 9 % less error a forecast counts twice."""
HALF_LIFE_DAYS = 5.0
"""An error counts half as much as one that is so much newer."""
MIN_ERRORS = 50
"""A range with fewer errors has the weights of all of them."""


@dataclass(frozen=True)
class Weights:
    """Shares of members.

    Attributes:
        knots: (n_knots,) logarithms of steps ahead, increasing.
        shares: (n_members, n_metrics, n_knots), their sum over members is 1.
    """

    knots: Floats = field(default_factory=lambda: np.zeros(1))
    shares: Floats = field(default_factory=lambda: np.ones((1, 1, 1)))

    @classmethod
    def of(cls, errors: Floats, days_ago: Floats, ahead: Steps, metric: Steps, metrics: int) -> Self:
        """Find the shares.

        Args:
            errors: (n_members, n) absolute errors, NaN where there is none.
            days_ago: (n,) age of the origins.
            ahead, metric: (n,) steps ahead, from 1, and positions of metrics.
            metrics: how many metrics there are; those without errors have equal shares.
        """
        newness = 0.5 ** (days_ago / HALF_LIFE_DAYS)
        edges = np.geomspace(1, ahead.max() + 1, KNOTS + 1)
        known = np.isfinite(errors).all(axis=0)
        shares = np.full((len(errors), metrics, KNOTS), 1 / len(errors))
        for m in np.unique(metric[known]):
            own = known & (metric == m)
            for k in range(KNOTS):
                near = own & (ahead >= edges[k]) & (ahead < edges[k + 1])
                near = near if near.sum() >= MIN_ERRORS else own
                wrong = errors[:, near] @ newness[near]
                if wrong.min() > 0:
                    counts = (wrong.min() / wrong) ** SHARPNESS
                    shares[:, m, k] = counts / counts.sum()
        return cls(np.log(np.sqrt(edges[:-1] * edges[1:])), shares)

    def mix(self, said: Floats, ahead: Floats | Steps, metric: Steps) -> Floats:
        """(n_members, n) predictions, (n,) steps ahead and positions of metrics -> (n,) predictions."""
        if len(said) == 1:
            return said[0]
        mixed = np.empty(said.shape[1])
        for m in np.unique(metric):
            own = metric == m
            shares = [np.interp(np.log(ahead[own]), self.knots, one) for one in self.shares[:, m]]
            mixed[own] = (np.array(shares) * said[:, own]).sum(axis=0)
        return mixed


@dataclass(frozen=True)
class Members:
    """Trees, and beside them lines with trees for what these leave, and the median of the last day; or trees alone.

    Attributes:
        trees: fitted or not.
        lines, remainder: both or none of them.
        weights: of the members, in this order.
    """

    trees: Trees
    lines: Lines | None = None
    remainder: Trees | None = None
    weights: Weights = field(default_factory=Weights)

    def predict(self, x: Floats, metric: Steps) -> Floats:
        """(n, n_features), (n,) positions of metrics -> (n_members, n)."""
        trees = self.trees.predict(x)
        if not (self.lines and self.remainder):
            return trees[np.newaxis]
        beside = self.lines.predict(x, metric) + self.remainder.predict(x)
        # Everything is relative to the median of the last day. Where a level has just shifted, trees alone answer.
        knows = self.lines.knows(x, metric)
        return np.stack([trees, np.where(knows, beside, trees), np.where(knows, 0.0, trees)])

    def state(self) -> dict[str, Any]:
        """Plain arrays, and scikit-learn's own estimators."""
        beside = None
        if self.lines and self.remainder:
            beside = {
                "lines": self.lines.to_dict(),
                "remainder": self.remainder.stages,
                "knots": self.weights.knots,
                "shares": self.weights.shares,
            }
        return {"trees": self.trees.name, "stages": self.trees.stages, "beside": beside}

    @classmethod
    def from_state(cls, state: Mapping[str, Any], seed: int) -> Self:
        """Members from :meth:`state`; one of an earlier release has trees alone. Raises KeyError."""
        make = TREES[state["trees"]]
        trees, beside = make(seed, tuple(state["stages"])), state.get("beside")
        if beside is None:
            return cls(trees)
        return cls(
            trees,
            Lines.from_dict(beside["lines"]),
            make(seed, tuple(beside["remainder"])),
            Weights(beside["knots"], beside["shares"]),
        )
