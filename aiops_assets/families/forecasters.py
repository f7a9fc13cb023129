"""The forecasters that the asset chain can fit, judge, store and serve, over the view ``cluster_metrics``."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from aiops_assets.errors import DataError
from aiops_assets.families.detectors import ALWAYS_ANEW
from aiops_assets.judging.detection.gate import Decision
from aiops_assets.judging.forecasting import gate as forecast_gate
from aiops_assets.judging.forecasting.gate import ForecastComparison
from aiops_assets.judging.forecasting.holdout import (
    ForecastFigures,
    figures_of,
    history_of_segment,
    holdout_forecasts,
    main_segment,
    trivial_forecasts,
)
from aiops_assets.learners.contracts import Forecast, Forecaster
from aiops_assets.timeseries.catalog import FORECAST_METRICS
from aiops_assets.timeseries.history import LEAST_ROWS, STEP_SECONDS, History
from aiops_assets.timeseries.series import Floats

METRICS = tuple(metric.name for metric in FORECAST_METRICS)
UNITS = {metric.name: metric.unit for metric in FORECAST_METRICS}
NULL = "median_24h"
PROBE_END = pd.Timestamp("2026-01-12", tz="UTC")
PROBE_ROWS = 2016
HORIZON = 288
STILL, ROUNDING = "a week in which nothing moved", 1e-6


class ForecastFamily(ABC):
    """What forecasters share."""

    kind = "forecaster"
    features: tuple[str, ...] = METRICS
    units: Mapping[str, str] = UNITS
    contributors: tuple[str, ...] = METRICS
    threshold: float | None = None
    null_name = forecast_gate.TRIVIAL_NAMES
    takes_any_size = False
    """Whether a metric may be of another size than it was in training: a model of one series is of that size."""
    least_rows = LEAST_ROWS

    @abstractmethod
    def fit(self, rows: pd.DataFrame, parameters: Mapping[str, object], seed: int, start: Any = None) -> Any:
        """See Family."""

    def why_anew(self, start: Any, parameters: Mapping[str, object]) -> str:
        """See ChainFamily."""
        return ALWAYS_ANEW

    def judge_holdout(self, model: Any, rows: pd.DataFrame) -> pd.DataFrame:
        """See ChainFamily: a frame of ``forecast_holdout.KEYS`` and ``SIDES``."""
        return holdout_forecasts(model, rows, METRICS)

    def null(self, rows: pd.DataFrame) -> pd.DataFrame:
        """See ChainFamily. What the seasonal naive says is in every frame beside it."""
        return trivial_forecasts(rows, METRICS, NULL)

    def figures(self, said: pd.DataFrame, rows: pd.DataFrame) -> ForecastFigures:
        """See ChainFamily."""
        return figures_of(said)

    def compare(
        self, rows: pd.DataFrame, challenger: pd.DataFrame, opponent: pd.DataFrame, who: str, seed: int
    ) -> ForecastComparison:
        """See ChainFamily."""
        return forecast_gate.compare(challenger, opponent, who, seed)

    def decide(
        self, comparison: ForecastComparison, *, challenger_source: str, champion_source: str | None
    ) -> Decision:
        """See ChainFamily."""
        return forecast_gate.decide(comparison, challenger_source=challenger_source, champion_source=champion_source)

    def worse(self, comparison: ForecastComparison) -> list[str]:
        """See ChainFamily."""
        return forecast_gate.worse_in(comparison)

    def probe(self, model: Any) -> Forecast:
        """See ChainFamily: a day after a week with a clean season."""
        forecast: Forecast = model.forecast(_history(_season(PROBE_ROWS)), HORIZON)
        return forecast

    def smoke_problems(self, model: Any) -> list[str]:
        """See Family: whatever is known, a forecast is finite and inside its interval, which does not shrink."""
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

    def to_bytes(self, model: Any) -> bytes:
        """See Family."""
        return bytes(model.to_bytes())


class PredictiveFamily(ForecastFamily):
    """Trees over all metrics at once."""

    takes_any_size = True
    least_rows = 1
    model_file = "model.joblib"
    packages: tuple[str, ...] = ("scikit-learn", "numpy", "scipy", "joblib", "pandas")
    pickled_by = "scikit-learn"
    framework = "scikitlearn"
    how_refitted = (
        "A fit with a champion is done twice, anew and from the champion's booster, which is boosted further; the "
        "latter is kept unless the gate finds it worse. A random forest is always fitted anew."
    )

    def fit(self, rows: pd.DataFrame, parameters: Mapping[str, object], seed: int, start: Any = None) -> Any:
        """See Family. Generated segments beside the cluster's own are learnt from, too."""
        from aiops_assets.learners.forecasters.predictive_analytics import PredictiveAnalytics

        own, others = main_segment(rows)
        model = PredictiveAnalytics(seed, str(parameters["trees"]), int(str(parameters["lookback_window"])), start)
        model.fit(history_of_segment(own, METRICS), [history_of_segment(other, METRICS) for other in others])
        return model

    def why_anew(self, start: Any, parameters: Mapping[str, object]) -> str:
        """See ChainFamily."""
        return str(start.why_anew(str(parameters["trees"]), int(str(parameters["lookback_window"]))))

    def from_bytes(self, data: bytes) -> Any:
        """See Family."""
        from aiops_assets.learners.forecasters.predictive_analytics import PredictiveAnalytics

        return PredictiveAnalytics.from_bytes(data)


class SingleSeriesFamily(ForecastFamily):
    """Each metric alone, from the cluster's own history: generated segments beside it are not looked at."""

    model_file = "model.json"
    pickled_by = ""
    how_refitted = "Each fit starts anew, on the cluster's own series alone."

    @abstractmethod
    def unfitted(self, seed: int) -> Forecaster:
        """A forecaster that is to be fitted."""

    def fit(self, rows: pd.DataFrame, parameters: Mapping[str, object], seed: int, start: Any = None) -> Any:
        """See Family."""
        model = self.unfitted(seed)
        model.fit(history_of_segment(main_segment(rows)[0], METRICS))
        return model


class ArimaFamily(SingleSeriesFamily):
    """ARIMA models of statsmodels."""

    packages: tuple[str, ...] = ("statsmodels", "numpy", "scipy", "pandas")
    framework = "statsmodels"

    def unfitted(self, seed: int) -> Forecaster:
        """See SingleSeriesFamily."""
        from aiops_assets.learners.forecasters.arima import ArimaForecaster

        return ArimaForecaster(seed)

    def from_bytes(self, data: bytes) -> Any:
        """See Family."""
        from aiops_assets.learners.forecasters.arima import ArimaForecaster

        return ArimaForecaster.from_bytes(data)


class ProphetFamily(SingleSeriesFamily):
    """Prophet models."""

    packages: tuple[str, ...] = ("prophet", "numpy", "pandas")
    framework = "prophet"

    def unfitted(self, seed: int) -> Forecaster:
        """See SingleSeriesFamily."""
        from aiops_assets.learners.forecasters.prophet import ProphetForecaster

        return ProphetForecaster(seed)

    def from_bytes(self, data: bytes) -> Any:
        """See Family."""
        from aiops_assets.learners.forecasters.prophet import ProphetForecaster

        return ProphetForecaster.from_bytes(data)


def _history(values: Floats) -> History:
    times = pd.date_range(end=PROBE_END, periods=len(values), freq=f"{STEP_SECONDS}s", name="timestamp", unit="us")
    together = np.tile(values[:, np.newaxis], (1, len(METRICS)))
    return History(METRICS, times, together, np.ones_like(together, dtype=bool), STEP_SECONDS)


def _season(rows: int) -> Floats:
    """A clean day that repeats."""
    return 0.5 + 0.2 * np.sin(2 * np.pi * np.arange(rows) / HORIZON)


def _problem(model: Any, history: History, *, is_still: bool) -> str:
    try:
        forecast: Forecast = model.forecast(history, HORIZON)
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
    return "what stood still for a week is not in the interval of the next step" if is_still and missed.any() else ""
