"""The baselines that every other forecaster has to beat."""

from collections.abc import Callable, Mapping

import numpy as np

from aiops_assets.learners.contracts import Forecaster
from aiops_assets.learners.forecasters.direct import DirectForecaster, Pairs
from aiops_assets.learners.forecasters.features import DAY_BEFORE, LAST, Steps
from aiops_assets.timeseries.series import Floats


class TrivialForecaster(DirectForecaster):
    """One of the features is the forecast; the last value where it is not known."""

    def __init__(self, column: int | None, seed: int = 42) -> None:
        super().__init__(seed)
        self.column = column

    def _learn(self, pairs: Pairs) -> Floats:
        return pairs.y - self._predict(pairs.x, pairs.metric)

    def _predict(self, x: Floats, metric: Steps) -> Floats:
        if self.column is None:  # everything is relative to the median of the last day
            return np.zeros(len(x))
        return np.where(np.isnan(x[:, self.column]), x[:, LAST], x[:, self.column])


TRIVIAL: Mapping[str, Callable[[int], Forecaster]] = {
    "last-value": lambda seed: TrivialForecaster(LAST, seed),
    "median-24h": lambda seed: TrivialForecaster(None, seed),
    "seasonal-naive": lambda seed: TrivialForecaster(DAY_BEFORE, seed),
}
"""Name -> makes an unfitted forecaster from a seed."""
