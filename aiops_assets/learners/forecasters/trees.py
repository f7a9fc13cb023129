"""Regression trees of forecasters: scikit-learn's gradient boosting of the median, or the documents' random forest."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
from typing_extensions import override

from aiops_assets.timeseries.series import Floats

BOOSTING = {
    "max_iter": 80, "learning_rate": 0.08, "max_leaf_nodes": 8, "l2_regularization": 1.0, "early_stopping": False,
}  # fmt: skip
WARM_ITERATIONS = 30
"""Boosting has so many iterations after a warm start from trees of an earlier window."""
REMAINDER_ITERATIONS = 50
"""What straight lines leave is smaller, and takes fewer iterations."""
MAX_STAGES = 4
"""A booster is of so many windows at most: a fit anew then forgets what is older."""
LEAF_PAIRS, LEAF_SHARE = 100, 0.05
FOREST = {"n_estimators": 50, "max_features": 0.33, "max_samples": 0.15, "min_samples_leaf": 10, "n_jobs": 1}


class Trees(Protocol):
    """Trees that may be fitted or not.

    Attributes:
        name: name of the kind, also in files.
        stages: scikit-learn's estimators, whose sum is the prediction; empty: not fitted.
    """

    name: str
    stages: tuple[Any, ...]

    def unfitted(self) -> "Trees":
        """Trees of this kind that are not fitted."""

    def fit(self, x: Floats, y: Floats, before: "Trees | None" = None) -> "Trees":
        """Fitted trees: x (n, n_features), NaN is not known; y (n,); ``before``: earlier trees for a warm start."""

    def predict(self, x: Floats) -> Floats:
        """(n, n_features) -> (n,) predictions of y."""

    def why_anew(self) -> str:
        """Why there is no warm start from these trees; empty when there is one."""

    def for_remainder(self) -> "Trees | None":
        """Unfitted trees for what straight lines leave, to forecast beside these; ``None``: these forecast alone."""


class Boosting(Trees):
    """Gradient boosting of the median. A warm start boosts the residuals of earlier trees."""

    name = "boosting"

    def __init__(
        self, seed: int = 42, stages: tuple[Any, ...] = (), iterations: int = int(BOOSTING["max_iter"])
    ) -> None:
        self.seed, self.stages, self.iterations = seed, stages, iterations

    @override
    def unfitted(self) -> "Boosting":
        return Boosting(self.seed, iterations=self.iterations)

    @override
    def fit(self, x: Floats, y: Floats, before: Trees | None = None) -> "Boosting":
        from sklearn.ensemble import HistGradientBoostingRegressor

        earlier = before.stages if before and before.name == self.name and not before.why_anew() else ()
        size = {**BOOSTING, "max_iter": WARM_ITERATIONS if earlier else self.iterations}
        model = HistGradientBoostingRegressor(
            loss="quantile", quantile=0.5, min_samples_leaf=_leaf(len(y)), random_state=self.seed, **size
        )
        # scikit-learn cannot bin a column without any value: in a history of two days nothing was two days ago.
        model.fit(np.where(np.isnan(x).all(axis=0), 0.0, x), y - _sum(earlier, x))
        return Boosting(self.seed, (*earlier, model), self.iterations)

    @override
    def predict(self, x: Floats) -> Floats:
        return _sum(self.stages, x)

    @override
    def why_anew(self) -> str:
        if not self.stages:
            return "the champion has no booster"
        return "" if len(self.stages) < MAX_STAGES else f"the champion's booster is of {MAX_STAGES} windows already"

    @override
    def for_remainder(self) -> "Boosting":
        return Boosting(self.seed, iterations=REMAINDER_ITERATIONS)


class RandomForest(Trees):
    """The mean of deep trees, each fitted on some of the pairs, as in ADR-051; there is no warm start."""

    name = "random_forest"

    def __init__(self, seed: int = 42, stages: tuple[Any, ...] = ()) -> None:
        self.seed, self.stages = seed, stages

    @override
    def unfitted(self) -> "RandomForest":
        return RandomForest(self.seed)

    @override
    def fit(self, x: Floats, y: Floats, before: Trees | None = None) -> "RandomForest":
        from sklearn.ensemble import RandomForestRegressor

        model = RandomForestRegressor(random_state=self.seed, **FOREST)
        model.fit(x, y)
        return RandomForest(self.seed, (model,))

    @override
    def predict(self, x: Floats) -> Floats:
        return _sum(self.stages, x)

    @override
    def why_anew(self) -> str:
        return "a random forest is always fitted anew"

    @override
    def for_remainder(self) -> None:
        return None


TREES: Mapping[str, Callable[..., Trees]] = {"boosting": Boosting, "random_forest": RandomForest}
"""Kind -> makes trees from a seed and, when a file is read, its stages."""


def _sum(stages: tuple[Any, ...], x: Floats) -> Floats:
    total = np.zeros(len(x))
    for stage in stages:
        total += stage.predict(x)
    return total


def _leaf(pairs: int) -> int:
    return max(1, min(LEAF_PAIRS, round(LEAF_SHARE * pairs)))
