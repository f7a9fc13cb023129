"""The forecasters of all metrics and horizons at once: trees, and the trivial ones that they have to beat."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from typing_extensions import override

from aiops_assets.learners.forecasters.direct import DirectForecaster, Pairs
from aiops_assets.learners.forecasters.features import HOUR_MEDIAN
from aiops_assets.learners.forecasters.trees import TREES, Boosting, Trees
from aiops_assets.learners.threads import one_thread
from aiops_assets.timeseries.history import History
from aiops_assets.timeseries.series import Floats

BLOCKS = 3
MIN_DAYS, MIN_MEMORIES = 1.5, 2
"""A shorter history (in days, or in memories) has no season to learn: the median of the last hour is forecast."""


class LearnedForecaster(DirectForecaster):
    """Regression trees on what is known at an origin, fitted on all pairs.

    Their errors are estimated by cross-validation: the history is cut into blocks of time, and the origins of a block
    are forecast by trees of the other blocks.

    Args:
        seed: makes the drawn pairs and the trees reproducible.
        memory: rows that are known at an origin; all there are by default.
        trees: unfitted trees of the kind to fit; boosting by default.
        start: a fitted forecaster of the same metrics, for a warm start of boosting. Errors on rows that it was fitted
            on are a little too small then.
    """

    def __init__(
        self,
        seed: int = 42,
        memory: int | None = None,
        trees: Trees | None = None,
        start: "LearnedForecaster | None" = None,
    ) -> None:
        super().__init__(seed, memory)
        self.trees = trees or Boosting(seed)
        self.before = start.trees if start and start.trees.stages else None

    @override
    def fit(self, history: History, *, alike: Sequence[History] = (), others: Sequence[History] = ()) -> None:
        import sklearn.ensemble  # noqa: F401  # threads are limited in what is loaded

        with one_thread():
            super().fit(history, alike=alike, others=others)

    def _learn(self, pairs: Pairs) -> Floats:
        self.trees = self.trees.unfitted()
        # Where less than a season is known at an origin, a short history teaches as much as a long one.
        least = MIN_DAYS * pairs.day if self.memory is None else MIN_MEMORIES * self.memory
        if pairs.rows < least:
            return pairs.y - self._predict(pairs.x)
        errors = np.full(len(pairs.y), np.nan)
        edges = np.linspace(pairs.first, pairs.rows, BLOCKS + 1)
        block = np.searchsorted(edges, pairs.t, side="right") - 1
        for k in range(BLOCKS):
            # Nothing is learnt from an origin in the block, nor from an earlier one whose step lies in it or after it.
            learnt = (block != k) & ~((pairs.t < edges[k]) & (pairs.t + pairs.h >= edges[k]))
            here = (block == k) & pairs.own
            if here.any() and learnt.any():
                fitted = self.trees.fit(pairs.x[learnt], pairs.y[learnt], self.before)
                errors[here] = pairs.y[here] - fitted.predict(pairs.x[here])
        if np.isnan(errors).all():  # nearly all is a gap: the errors of a model cannot be estimated
            return pairs.y - self._predict(pairs.x)
        self.trees = self.trees.fit(pairs.x, pairs.y, self.before)
        return errors

    def _predict(self, x: Floats) -> Floats:
        return self.trees.predict(x) if self.trees.stages else x[:, HOUR_MEDIAN]

    @override
    def state(self) -> dict[str, Any]:
        """All that was learnt; the trees are scikit-learn's own estimators."""
        return {**super().state(), "trees": self.trees.name, "stages": self.trees.stages}

    @override
    def restore(self, state: Mapping[str, Any]) -> None:
        super().restore(state)
        self.trees = TREES[state["trees"]](self.seed, tuple(state["stages"]))
