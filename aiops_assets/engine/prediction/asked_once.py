"""A forecaster that is asked about each history once in a request: what comes, and which issues come of it, are read
from one forecast."""

from aiops_assets.engine.served_rows import Forecasting
from aiops_assets.learners.contracts import Forecast
from aiops_assets.timeseries.history import History, steps_a_day


class AskedOnce:
    """Answers as the forecaster does, from a day's forecast that it remembers.

    For the life of one request: every history stays in memory. One thread asks at a time.

    Args:
        forecaster: whose forecast of a step is the same however many steps it is asked for.
    """

    def __init__(self, forecaster: Forecasting) -> None:
        self._forecaster = forecaster
        self._told: dict[tuple[object, ...], Forecast] = {}

    def forecast(self, history: History, horizon: int) -> Forecast:
        """See :class:`~aiops_assets.engine.served_rows.Forecasting`; its arrays may be read-only."""
        day = steps_a_day(history.step_seconds)
        if not 1 <= horizon <= day:  # a slice would be shorter than asked for; the forecaster says what it refuses
            return self._forecaster.forecast(history, horizon)
        begins = (history.times[0], history.step_seconds, history.metrics)
        key = (*begins, history.values.tobytes(), history.known.tobytes())
        if key not in self._told:
            said = self._forecaster.forecast(history, day)
            for side in (said.value, said.lower, said.upper):
                side.setflags(write=False)  # answers are views of it
            self._told[key] = said
        said = self._told[key]
        steps = slice(horizon)
        return Forecast(said.metrics, said.times[steps], said.value[steps], said.lower[steps], said.upper[steps])
