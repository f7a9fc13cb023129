"""The forecasters: gradient boosting, and the trivial ones that it has to beat."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from aiops_assets.models.base import Forecaster
from aiops_assets.models.direct_forecaster import DirectForecaster, Pairs
from aiops_assets.models.forecast_features import DAY_BEFORE, HOUR_MEDIAN, LAST
from aiops_assets.timeseries.series import Floats

BLOCKS = 3
LEAST_DAYS = 1.5
"""A shorter history has no season that could be learnt: the median of the last hour goes on."""
BOOSTING = {
    "max_iter": 80, "learning_rate": 0.08, "max_leaf_nodes": 8, "l2_regularization": 1.0, "early_stopping": False,
}  # fmt: skip
LEAF_PAIRS, LEAF_SHARE = 300, 0.05


class BoostedForecaster(DirectForecaster):
    """Gradient boosting of the median (scikit-learn's histogram trees), fitted on all pairs.

    How wrong it is, is told by models of parts of the history: it is cut into blocks of time, and the origins of a
    block are forecast by a model of the other blocks.
    """

    model: Any = None

    def _learn(self, pairs: Pairs) -> Floats:
        self.model = None
        if pairs.rows < LEAST_DAYS * pairs.day:
            return pairs.y - self._predict(pairs.x)
        errors = np.full(len(pairs.y), np.nan)
        edges = np.linspace(pairs.first, pairs.rows, BLOCKS + 1)
        block = np.searchsorted(edges, pairs.t, side="right") - 1
        for k in range(BLOCKS):
            # Nothing is learnt from an origin in the block, nor from one that is asked about the block.
            learnt = (block != k) & ~((pairs.t < edges[k]) & (pairs.t + pairs.h >= edges[k]))
            here = block == k
            if here.any() and learnt.any():
                errors[here] = pairs.y[here] - self._fitted(pairs.x[learnt], pairs.y[learnt]).predict(pairs.x[here])
        if np.isnan(errors).all():  # nearly all is a gap: nobody could say how wrong a model is
            return pairs.y - self._predict(pairs.x)
        self.model = self._fitted(pairs.x, pairs.y)
        return errors

    def _predict(self, x: Floats) -> Floats:
        predicted: Floats = x[:, HOUR_MEDIAN] if self.model is None else self.model.predict(x)
        return predicted

    def _fitted(self, x: Floats, y: Floats) -> Any:
        from sklearn.ensemble import HistGradientBoostingRegressor

        leaf = max(1, min(LEAF_PAIRS, round(LEAF_SHARE * len(y))))
        model = HistGradientBoostingRegressor(
            loss="quantile", quantile=0.5, min_samples_leaf=leaf, random_state=self.seed, **BOOSTING
        )
        # scikit-learn cannot bin a column without any value: in a history of two days nothing was two days ago.
        return model.fit(np.where(np.isnan(x).all(axis=0), 0.0, x), y)


class TrivialForecaster(DirectForecaster):
    """One of the features is the forecast; the last value where it is not known."""

    def __init__(self, column: int | None, seed: int = 42) -> None:
        super().__init__(seed)
        self.column = column

    def _learn(self, pairs: Pairs) -> Floats:
        return pairs.y - self._predict(pairs.x)

    def _predict(self, x: Floats) -> Floats:
        if self.column is None:  # everything is relative to the median of the last day
            return np.zeros(len(x))
        return np.where(np.isnan(x[:, self.column]), x[:, LAST], x[:, self.column])


FORECASTERS: Mapping[str, Callable[[int], Forecaster]] = {
    "predictive-analytics": lambda seed: BoostedForecaster(seed),
    "last-value": lambda seed: TrivialForecaster(LAST, seed),
    "median-24h": lambda seed: TrivialForecaster(None, seed),
    "seasonal-naive": lambda seed: TrivialForecaster(DAY_BEFORE, seed),
}
"""Name -> makes an unfitted forecaster from a seed."""
