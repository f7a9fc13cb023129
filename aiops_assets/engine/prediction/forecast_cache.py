"""A forecaster that forecasts each history once per request: predictions and issues are derived from one forecast."""

from typing_extensions import override

from aiops_assets.engine.served_rows import Forecasting
from aiops_assets.learners.contracts import Forecast
from aiops_assets.timeseries.history import History, steps_a_day


class ForecastCache(Forecasting):
    """Forecasts from a remembered forecast of one day.

    It lives for one request, because every history stays in memory, and is used by one thread at a time.

    Args:
        forecaster: a forecaster whose forecast of a step does not depend on the horizon.
    """

    def __init__(self, forecaster: Forecasting) -> None:
        self._forecaster = forecaster
        self._forecasts: dict[tuple[object, ...], Forecast] = {}

    @override
    def forecast(self, history: History, horizon: int) -> Forecast:
        """A slice of the remembered forecast, whose arrays are read-only."""
        day = steps_a_day(history.step_seconds)
        if not 1 <= horizon <= day:  # outside the remembered day; the forecaster rejects what it cannot forecast
            return self._forecaster.forecast(history, horizon)
        begins = (history.times[0], history.step_seconds, history.metrics)
        key = (*begins, history.values.tobytes(), history.known.tobytes())
        if key not in self._forecasts:
            forecast = self._forecaster.forecast(history, day)
            for side in (forecast.value, forecast.lower, forecast.upper):
                side.setflags(write=False)  # forecasts are views of it
            self._forecasts[key] = forecast
        forecast = self._forecasts[key]
        steps = slice(horizon)
        return Forecast(
            forecast.metrics, forecast.times[steps], forecast.value[steps], forecast.lower[steps], forecast.upper[steps]
        )
