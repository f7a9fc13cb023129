"""The members of a learned forecaster, and how much each of them counts.

Trees alone answer by steps; straight lines, with trees for what they leave, are nearer where what comes is nearly one
of the features. Beside them stand four trivial forecasts: on a flat series nothing is better than the median of the
last day, and after a shift nothing than the level of the last hour. Which is best differs by metric and by how far
ahead, so each counts by its errors on pairs that it has not learnt from (Bates and Granger, "The combination of
forecasts", Operational Research Quarterly 20, 1969; with a sharper exponent), and the forecast is their weighted
median: a member that is far off does not move it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np

from aiops_assets.learners.contracts import Flags
from aiops_assets.learners.forecasters.features import AHEAD, HOUR_MEDIAN, LAST, SHAPE, SIX_HOUR_MEDIAN, Steps
from aiops_assets.learners.forecasters.lines import Lines
from aiops_assets.learners.forecasters.trees import TREES, Trees
from aiops_assets.timeseries.series import Floats

KNOTS = 6
"""Weights are found for so many ranges of steps ahead, evenly on a logarithmic scale."""
NEAR_KNOTS = 1.0
"""Errors of neighbouring ranges count, too, by a normal density with this deviation in ranges."""
SHARPNESS, HALF_LIFE_DAYS = 8.0, 3.0
"""Exponent of the errors in the weights (with 9 % less error a forecast counts twice), and the age at which an error
counts half."""
SHIFTED_SHARPNESS, SHIFTED_HALF_LIFE_DAYS = 2.0, 0.3
"""The same where a level has just shifted: whether it returns is told by the newest errors, which are few."""
MIN_ERRORS = 50
"""A range with fewer errors has the weights of all of them."""
TINY = 1e-12


@dataclass(frozen=True)
class Weights:
    """Shares of members.

    Attributes:
        knots: (n_knots,) logarithms of steps ahead, increasing.
        usual, shifted: (n_members, n_metrics, n_knots), their sum over members is 1; for origins at a level that
            was learnt from, and at one that was not.
    """

    knots: Floats = field(default_factory=lambda: np.zeros(1))
    usual: Floats = field(default_factory=lambda: np.ones((1, 1, 1)))
    shifted: Floats = field(default_factory=lambda: np.ones((1, 1, 1)))

    @classmethod
    def of(cls, errors: Floats, days_ago: Floats, ahead: Steps, metric: Steps, metrics: int) -> Self:
        """Find the shares.

        Args:
            errors: (n_members, n) absolute errors, NaN where there is none.
            days_ago: (n,) age of the origins.
            ahead, metric: (n,) steps ahead, from 1, and positions of metrics.
            metrics: how many metrics there are; those without errors have equal shares.
        """
        edges = np.geomspace(1, ahead.max() + 1, KNOTS + 1)
        place = np.clip(np.searchsorted(edges, ahead, side="right") - 1, 0, KNOTS - 1)
        known = np.isfinite(errors).all(axis=0)
        found = []
        for half_life, sharpness in ((HALF_LIFE_DAYS, SHARPNESS), (SHIFTED_HALF_LIFE_DAYS, SHIFTED_SHARPNESS)):
            shares = np.full((len(errors), metrics, KNOTS), 1 / len(errors))
            for m in np.unique(metric[known]):
                own = known & (metric == m)
                newness = 0.5 ** ((days_ago[own] - days_ago[own].min()) / half_life)
                shares[:, m] = _shares(errors[:, own], newness, place[own], sharpness)
            found.append(shares)
        return cls(np.log(np.sqrt(edges[:-1] * edges[1:])), *found)

    def mix(self, said: Floats, ahead: Floats | Steps, metric: Steps, knows: Flags) -> Floats:
        """The forecast of pairs.

        Args:
            said: (n_members, n) predictions.
            ahead, metric: (n,) steps ahead, and positions of metrics.
            knows: (n,) whether the level at the origin was learnt from.

        Returns:
            (n,) weighted medians.
        """
        if len(said) == 1:
            return said[0]
        mixed = np.empty(said.shape[1])
        for m in np.unique(metric):
            for of, here in ((self.usual, knows), (self.shifted, ~knows)):
                own = (metric == m) & here
                shares = np.array([np.interp(np.log(ahead[own]), self.knots, one) for one in of[:, m]])
                mixed[own] = weighted_median(said[:, own], shares)
        return mixed


@dataclass(frozen=True)
class Members:
    """Trees alone, or six: trees; lines with trees for what these leave; and four trivial forecasts.

    These are the medians of the last day and of the last six hours, the last value, and the median of the last hour
    with the change that earlier days had from now to then.

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
        # Everything is relative to the median of the last day.
        shape = x[:, HOUR_MEDIAN] + np.nan_to_num(x[:, SHAPE])
        return np.stack([trees, beside, np.zeros(len(x)), x[:, SIX_HOUR_MEDIAN], x[:, LAST], shape])

    def knows(self, x: Floats, metric: Steps) -> Flags:
        """(n, n_features), (n,) -> (n,) whether the last hour lies where it did in what was learnt."""
        return self.lines.knows(x, metric) if self.lines else np.ones(len(x), dtype=bool)

    def forecast(self, x: Floats, metric: Steps) -> Floats:
        """(n, n_features), (n,) positions of metrics -> (n,) what the members forecast together."""
        return self.weights.mix(self.predict(x, metric), x[:, AHEAD], metric, self.knows(x, metric))

    def state(self) -> dict[str, Any]:
        """Plain arrays, and scikit-learn's own estimators."""
        beside = None
        if self.lines and self.remainder:
            beside = {
                "lines": self.lines.to_dict(),
                "remainder": self.remainder.stages,
                "weights": dict(vars(self.weights)),
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
            Weights(**beside["weights"]),
        )


def weighted_median(values: Floats, shares: Floats) -> Floats:
    """Weighted medians of columns, interpolated between the two values around half of the weight.

    Args:
        values: (k, n), k of at least 2.
        shares: (k, n), their sum over k is 1.

    Returns:
        (n,)
    """
    order = np.argsort(values, axis=0)
    values, shares = (np.take_along_axis(one, order, axis=0) for one in (values, shares))
    middle = np.cumsum(shares, axis=0) - shares / 2
    above = np.clip((middle < 0.5).sum(axis=0), 1, len(values) - 1)
    column = np.arange(values.shape[1])
    low, high = middle[above - 1, column], middle[above, column]
    between = np.clip((0.5 - low) / np.maximum(high - low, TINY), 0.0, 1.0)
    found: Floats = values[above - 1, column] + between * (values[above, column] - values[above - 1, column])
    return found


def _shares(errors: Floats, newness: Floats, place: Steps, sharpness: float) -> Floats:
    """(n_members, n) errors of a metric, (n,) their weights and ranges -> (n_members, n_knots) shares."""
    wrong = np.empty((len(errors), KNOTS))
    for k in range(KNOTS):
        near = place == k
        counted = newness * near if near.sum() >= MIN_ERRORS else newness
        wrong[:, k] = np.log(errors @ counted / counted.sum() + TINY)
    distance = np.subtract.outer(np.arange(KNOTS), np.arange(KNOTS)) / NEAR_KNOTS
    density = np.exp(-(distance**2) / 2)
    relative = (wrong - wrong.min(axis=0)) @ (density / density.sum(axis=0))
    counts = np.exp(-sharpness * relative)
    shares: Floats = counts / counts.sum(axis=0)
    return shares
