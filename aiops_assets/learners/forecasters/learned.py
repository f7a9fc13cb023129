"""The forecasters of all metrics and horizons at once: trees, and the trivial ones that they have to beat."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from typing_extensions import override

from aiops_assets.learners.contracts import Flags
from aiops_assets.learners.forecasters.direct import DirectForecaster, Pairs
from aiops_assets.learners.forecasters.features import HOUR_MEDIAN, Steps
from aiops_assets.learners.forecasters.lines import Lines
from aiops_assets.learners.forecasters.members import Members, Weights
from aiops_assets.learners.forecasters.trees import Boosting, Trees
from aiops_assets.learners.threads import one_thread
from aiops_assets.timeseries.history import History
from aiops_assets.timeseries.series import Floats

BLOCKS = 3
MIN_DAYS, MIN_MEMORIES = 1.5, 2
"""A shorter history (in days, or in memories) has no season to learn: the median of the last hour is forecast."""


class LearnedForecaster(DirectForecaster):
    """Regression trees on what is known at an origin, fitted on all pairs; where all of a history is known, lines, too.

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
        self._take(Members(trees or Boosting(seed)))
        self.before = start.trees if start and start.trees.stages else None

    @override
    def fit(self, history: History, *, alike: Sequence[History] = (), others: Sequence[History] = ()) -> None:
        import sklearn.ensemble  # noqa: F401  # threads are limited in what is loaded

        with one_thread():
            super().fit(history, alike=alike, others=others)

    def _learn(self, pairs: Pairs) -> Floats:
        self._take(Members(self.trees.unfitted()))
        # Where less than a season is known at an origin, a short history teaches as much as a long one.
        least = MIN_DAYS * pairs.day if self.memory is None else MIN_MEMORIES * self.memory
        if pairs.rows < least:
            return pairs.y - self._predict(pairs.x, pairs.metric)
        said: Floats | None = None
        knows = np.ones(len(pairs.y), dtype=bool)
        edges = np.linspace(pairs.first, pairs.rows, BLOCKS + 1)
        block = np.searchsorted(edges, pairs.t, side="right") - 1
        for k in range(BLOCKS):
            # Nothing is learnt from an origin in the block, nor from an earlier one whose step lies in it or after it.
            learnt = (block != k) & ~((pairs.t < edges[k]) & (pairs.t + pairs.h >= edges[k]))
            here = (block == k) & pairs.own
            if here.any() and learnt.any():
                members = self._fit_members(pairs, learnt)
                found = members.predict(pairs.x[here], pairs.metric[here])
                said = np.full((len(found), len(pairs.y)), np.nan) if said is None else said
                said[:, here] = found
                knows[here] = members.knows(pairs.x[here], pairs.metric[here])
        if said is None:  # nearly all is a gap: the errors of a model cannot be estimated
            return pairs.y - self._predict(pairs.x, pairs.metric)
        days_ago = (pairs.rows - pairs.t) / pairs.day
        weights = Weights.of(np.abs(pairs.y - said), days_ago, pairs.h, pairs.metric, len(self.metrics))
        self._take(replace(self._fit_members(pairs, np.ones(len(pairs.y), dtype=bool)), weights=weights))
        return pairs.y - weights.mix(said, pairs.h, pairs.metric, knows)

    def _take(self, members: Members) -> None:
        self.members, self.trees = members, members.trees

    def _fit_members(self, pairs: Pairs, learnt: Flags) -> Members:
        x, y, metric = pairs.x[learnt], pairs.y[learnt], pairs.metric[learnt]
        trees = self.trees.fit(x, y, self.before)
        remainder = self.trees.for_remainder() if self.memory is None else None
        if remainder is None:
            return Members(trees)
        settled = pairs.t[learnt] < pairs.rows - pairs.day
        lines = Lines.of(x, y, metric, len(self.metrics), settled)
        return Members(trees, lines, remainder.fit(x, y - lines.predict(x, metric)))

    def _predict(self, x: Floats, metric: Steps) -> Floats:
        if not self.members.trees.stages:
            return x[:, HOUR_MEDIAN]
        return self.members.forecast(x, metric)

    @override
    def state(self) -> dict[str, Any]:
        """All that was learnt; the trees are scikit-learn's own estimators."""
        return {**super().state(), **self.members.state()}

    @override
    def restore(self, state: Mapping[str, Any]) -> None:
        super().restore(state)
        self._take(Members.from_state(state, self.seed))
