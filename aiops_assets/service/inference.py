"""Predictions of a ready model for instances, as in KServe's V1 protocol; V2 formats the same predictions.

Source: engine contract, section 2.1. Detectors return -1 (anomaly) and 1 (normal), forecasters an object by metric.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd

from aiops_assets.engine.served_rows import answer, confidence, notes_of_rows
from aiops_assets.errors import DataError
from aiops_assets.families.contract import Asking
from aiops_assets.judging.detection.task import DETECTION
from aiops_assets.judging.forecasting.task import FORECASTING
from aiops_assets.judging.statements import Statement
from aiops_assets.learners.contracts import Forecast
from aiops_assets.learners.forecasters.hourly_baseline import HourlyBaseline
from aiops_assets.service.instances import Floats, rows_of, windows_of
from aiops_assets.service.ready import ReadyModel
from aiops_assets.timeseries import engine_layouts
from aiops_assets.timeseries.engine_layouts import LAYERS
from aiops_assets.timeseries.history import STEP_SECONDS, history_of, steps_a_day

ANOMALY, NORMAL = -1, 1
MAX_WINDOWS, MAX_WINDOW_ROWS = 128, 50_000
"""Most windows and rows of one request: seconds of work, within the engine's timeout."""
INLINE_ROWS = 64
"""Most rows that the row detector scores in less time than it takes to start a thread."""


@dataclass(frozen=True)
class Answer:
    """Predictions of a model.

    Attributes:
        predictions: a list of -1 and 1, or metric -> ``forecast``, ``forecast_horizon``, ``confidence``.
        scores: scores of a detector, one per instance, on the scale of the model; empty for others.
        forecast: the whole forecast of a forecaster of windows.
        notes: about values that were read as something else; mostly empty.
    """

    predictions: list[int] | dict[str, dict[str, Any]]
    scores: tuple[float, ...] = ()
    forecast: Forecast | None = None
    notes: tuple[Statement, ...] = ()


@dataclass(frozen=True)
class Question:
    """What a model is asked.

    Attributes:
        instances: instances as received: rows for families of rows, windows for all others.
        horizon: steps of a forecast.
        now: time of a window's newest row, with an offset.
        cluster: returns the cluster's utilisation by hour, for rows of four.
    """

    instances: object
    horizon: int
    now: datetime
    cluster: Callable[[], HourlyBaseline] = HourlyBaseline


def is_quick(ready: ReadyModel, body: dict[str, Any]) -> bool:
    """Whether a prediction takes microseconds, so that no thread is needed."""
    instances = body.get("instances")
    return (
        ready.family.is_quick
        and type(instances) is list
        and len(instances) <= INLINE_ROWS
        and all(type(row) is list and len(row) <= ready.manifest.width for row in instances)
    )


def infer(ready: ReadyModel, question: Question) -> Answer:
    """Predict with a model.

    Raises:
        SchemaError, DataError: the instances do not fit the model; the message says what is expected.
        ModelError: the predictions are not usable.
    """
    return _PREDICTORS[ready.family.asking](ready, question)


def _rows(ready: ReadyModel, question: Question) -> Answer:
    rows = rows_of(question.instances, (ready.manifest.width, len(LAYERS)))
    if rows.shape[1] == len(LAYERS):  # rows that name a layer are no evidence of an issue
        return Answer([NORMAL] * len(rows))
    scores = ready.model.score(rows).tolist()
    return Answer([ANOMALY if score > 0 else NORMAL for score in scores], tuple(scores))


def _engine_rows(ready: ReadyModel, question: Question) -> Answer:
    rows = rows_of(question.instances, engine_layouts.WIDTHS)
    expected, now = ready.model.hourly_baseline or HourlyBaseline(), pd.Timestamp(question.now)
    predictions = answer(ready.model, rows, question.horizon, expected, now, question.cluster)
    return Answer(predictions, notes=tuple(notes_of_rows(rows)))


def _windows(ready: ReadyModel, question: Question) -> Answer:
    windows = windows_of(question.instances, ready.manifest.width, ready.family.least_rows)
    if len(windows) > MAX_WINDOWS or sum(map(len, windows)) > MAX_WINDOW_ROWS:
        raise DataError(
            f"{len(windows)} windows: send at most {MAX_WINDOWS} in one request, with at most {MAX_WINDOW_ROWS} rows "
            "in all"
        )
    return _WINDOW_PREDICTORS[ready.family.task.name](ready, windows, question)


def _window_scores(ready: ReadyModel, windows: list[Floats], question: Question) -> Answer:
    newest = [ready.model.score(_frame(ready, window, question.now)) for window in windows]
    return Answer(
        [ANOMALY if scored.alert[-1] else NORMAL for scored in newest], tuple(float(one.score[-1]) for one in newest)
    )


def _window_forecast(ready: ReadyModel, windows: list[Floats], question: Question) -> Answer:
    """The forecast of the last window: the contract has room for one forecast."""
    history = history_of(_frame(ready, windows[-1], question.now), STEP_SECONDS)
    forecast = ready.model.forecast(history, min(question.horizon, steps_a_day(STEP_SECONDS)))
    place = {"forecast_horizon": len(forecast.times), "step_seconds": STEP_SECONDS, "instance": len(windows) - 1}
    predictions = {}
    for column, metric in enumerate(forecast.metrics):
        value, lower, upper = (side[:, column] for side in (forecast.value, forecast.lower, forecast.upper))
        scale = 1.0
        if ready.manifest.units.get(metric) == "bytes/s":  # ten points of a rate are a tenth of its largest value
            scale = max(float(np.abs(value).max()), 1e-12)
        else:
            value, lower, upper = (side.clip(0.0, 1.0) for side in (value, lower, upper))
        sure = confidence(lower / scale, upper / scale, 1.0)
        predictions[metric] = {"forecast": value.tolist(), "confidence": sure, **place}
    return Answer(predictions, forecast=forecast)


def _frame(ready: ReadyModel, window: Floats, now: datetime) -> pd.DataFrame:
    """A window as a frame whose newest row has the time ``now``."""
    end = pd.Timestamp(now).floor(f"{STEP_SECONDS}s")
    times = pd.date_range(end=end, periods=len(window), freq=f"{STEP_SECONDS}s", unit="us")
    return pd.DataFrame(window, columns=list(ready.manifest.features)).assign(timestamp=times)


_PREDICTORS: dict[Asking, Callable[[ReadyModel, Question], Answer]] = {
    Asking.ROWS: _rows,
    Asking.ENGINE_ROWS: _engine_rows,
    Asking.WINDOWS: _windows,
}
_WINDOW_PREDICTORS: dict[str, Callable[[ReadyModel, list[Floats], Question], Answer]] = {
    DETECTION.name: _window_scores,
    FORECASTING.name: _window_forecast,
}
