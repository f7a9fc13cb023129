"""A learned forecaster that trusts itself, beside the last value, as far as the history at hand says it may.

For series of which it learned nothing: in the history itself both are asked about what came later in it, and each
counts by how wrong it was at that many steps ahead (Bates and Granger, "The combination of forecasts", Operational
Research Quarterly 20, 1969; with a sharper exponent). The interval moves with the median.
"""

from dataclasses import replace

import numpy as np

from aiops_assets.models.base import Forecast
from aiops_assets.models.forecast_features import MetricFeatures, Steps, own_scale
from aiops_assets.models.forecasters import LearnedForecaster
from aiops_assets.timeseries.history import History, steps_a_day
from aiops_assets.timeseries.series import Floats

SHARPNESS = 4
"""Exponent of the errors in the weights: who errs half as much counts sixteen times."""
LEAST_ROWS = 24
"""A shorter history asks too little to tell."""
NEIGHBOURS = 3
"""Steps ahead for each one that is counted with its neighbours: far ahead there are few to ask about."""


class BlendedForecaster(LearnedForecaster):
    """See the module."""

    def forecast(self, history: History, horizon: int) -> Forecast:
        """See DirectForecaster."""
        said = super().forecast(history, horizon)
        known = history.newest(self.memory or len(history.times))
        if len(known.times) < LEAST_ROWS:
            return said
        shift = np.empty_like(said.value)
        for m, values in enumerate(known.values.T):
            trust = self._trust(values, known, horizon)
            shift[:, m] = (1 - trust) * (values[-1] - said.value[:, m])
        lower, value, upper = (side + shift for side in (said.lower, said.value, said.upper))
        if (known.values >= 0).all():
            lower = np.maximum(lower, 0.0)
        return replace(said, value=value, lower=np.minimum(lower, value), upper=np.maximum(upper, value))

    def _trust(self, values: Floats, known: History, horizon: int) -> Floats:
        """(horizon,) 0-1, the weight of what was learned, from later rows of the history itself."""
        rows, day = len(values), steps_a_day(known.step_seconds)
        t, h = _pairs(rows)
        one = MetricFeatures(values, day, own_scale(values, day, rows), self.memory, known.begin)
        learned = np.abs(one.unscaled(t, self._predict(one.matrix(t, h))) - values[t + h])
        last = np.abs(values[t] - values[t + h])
        trust = np.empty(horizon)
        for ahead in range(1, horizon + 1):
            near = np.abs(h - min(ahead, h.max())) <= ahead // NEIGHBOURS
            ours, theirs = (float(wrong[near].mean()) ** SHARPNESS for wrong in (learned, last))
            trust[ahead - 1] = theirs / (ours + theirs) if ours + theirs > 0 else 1.0
        return trust


def _pairs(rows: int) -> tuple[Steps, Steps]:
    """Origins in the newer half and the steps after them, up to half as many."""
    t, h = np.meshgrid(np.arange(rows // 2, rows - 1), np.arange(1, rows // 4 + 1))
    inside = t + h < rows
    return t[inside], h[inside]
