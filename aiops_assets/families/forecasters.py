"""Base classes of forecasters' families, over the view ``cluster_metrics``."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Protocol, TypeVar

import numpy as np
import pandas as pd
from typing_extensions import override

from aiops_assets.errors import DataError
from aiops_assets.families.contract import Asking, Family
from aiops_assets.judging.forecasting.holdout import frame_of, holdout_forecasts, trivial_forecasts
from aiops_assets.judging.forecasting.task import FORECASTING
from aiops_assets.judging.task import Task
from aiops_assets.learners.contracts import Forecaster
from aiops_assets.timeseries.catalog import FORECAST_METRICS
from aiops_assets.timeseries.history import MIN_ROWS, STEP_SECONDS, History
from aiops_assets.timeseries.series import Floats
from aiops_assets.views.cluster_metrics import history_of_segment, main_segment

METRICS = tuple(metric.name for metric in FORECAST_METRICS)
UNITS = {metric.name: metric.unit for metric in FORECAST_METRICS}
BASELINE = "median_24h"
PROBE_END = pd.Timestamp("2026-01-12", tz="UTC")
PROBE_ROWS = 2016
HORIZON = 288
STILL, ROUNDING = "a week without any change", 1e-6
INTERVALS = (
    "An 80 % interval leaves one value in five outside, also when all is well; it does not cover what never happened "
    "in the training window."
)
SERIES_ALONE = "It looks at one metric at a time, and does not see what another one is about to cause."


class StoredForecaster(Forecaster, Protocol):
    """A forecaster that can be stored."""

    def to_bytes(self) -> bytes:
        """The model file."""


Model = TypeVar("Model", bound=StoredForecaster)


class ForecastFamily(Family[Model, pd.DataFrame]):
    """Models that forecast the five metrics of a cluster."""

    task: Task[pd.DataFrame] = FORECASTING
    features = METRICS
    units: Mapping[str, str] = UNITS
    contributors = METRICS
    takes_any_size = False
    """Whether a metric may be of another size than it was in training: a model of one series is of that size."""
    asking = Asking.WINDOWS
    least_rows = MIN_ROWS

    @override
    def predict_holdout(self, model: Model, rows: pd.DataFrame) -> pd.DataFrame:
        """A frame of ``holdout.KEYS`` and ``holdout.SIDES``."""
        return holdout_forecasts(model, rows, METRICS)

    @override
    def baseline(self, rows: pd.DataFrame) -> pd.DataFrame:
        """The 24 h median; forecasts of the seasonal naive stand in every frame beside it."""
        return trivial_forecasts(rows, METRICS, BASELINE)

    @override
    def probe(self, model: Model) -> pd.DataFrame:
        """The forecast of a day after a week with a clean season."""
        return frame_of(model.forecast(_history(_season(PROBE_ROWS)), HORIZON))

    @override
    def smoke_problems(self, model: Model) -> list[str]:
        """After long, still and short histories, a forecast is finite and in its interval, which does not shrink."""
        problems = []
        for name, values in (
            ("a week with a season", _season(PROBE_ROWS)),
            (STILL, np.full(PROBE_ROWS, 0.5)),
            ("two hours", np.full(24, 0.5)),
            ("one sample", np.full(1, 0.5)),
        ):
            if problem := _problem(model, _history(values), is_still=name == STILL and self.takes_any_size):
                problems.append(f"after {name}: {problem}")
        return problems

    @override
    def to_bytes(self, model: Model) -> bytes:
        return bytes(model.to_bytes())


class SingleSeriesFamily(ForecastFamily[Model]):
    """Each metric alone, from the cluster's own history: generated segments beside it are not looked at."""

    model_file = "model.json"
    how_refitted = "Each fit starts anew, on the cluster's own series alone."

    @abstractmethod
    def unfitted(self, seed: int) -> Model:
        """A forecaster that is to be fitted."""

    @override
    def forecaster(self, seed: int) -> Forecaster:
        return self.unfitted(seed)

    @override
    def fit(self, rows: pd.DataFrame, parameters: Mapping[str, object], seed: int, start: Model | None = None) -> Model:
        model = self.unfitted(seed)
        model.fit(history_of_segment(main_segment(rows)[0], METRICS))
        return model


def _history(values: Floats) -> History:
    times = pd.date_range(end=PROBE_END, periods=len(values), freq=f"{STEP_SECONDS}s", name="timestamp", unit="us")
    together = np.tile(values[:, np.newaxis], (1, len(METRICS)))
    return History(METRICS, times, together, np.ones_like(together, dtype=bool), STEP_SECONDS)


def _season(rows: int) -> Floats:
    """A clean day that repeats."""
    return 0.5 + 0.2 * np.sin(2 * np.pi * np.arange(rows) / HORIZON)


def _problem(model: Forecaster, history: History, *, is_still: bool) -> str:
    try:
        forecast = model.forecast(history, HORIZON)
    except DataError as error:
        return str(error)
    sides = (forecast.lower, forecast.value, forecast.upper)
    if any(side.shape != (HORIZON, len(METRICS)) for side in sides):
        return f"forecasts of shape {forecast.value.shape}"
    if not all(np.isfinite(side).all() for side in sides):
        return "values that are not finite"
    if (forecast.lower > forecast.value).any() or (forecast.value > forecast.upper).any():
        return "a median outside its interval"
    width = forecast.upper - forecast.lower
    if (width[-1] < 0.5 * width[0]).any():
        return "intervals that shrink"
    last = history.values[-1]
    missed = (forecast.lower[0] > last + ROUNDING) | (forecast.upper[0] < last - ROUNDING)
    return "the value of a constant week is outside the next interval" if is_still and missed.any() else ""
