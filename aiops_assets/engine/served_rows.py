"""What predictive-analytics answers to the engine's rows, by their width: forecasts, or -1 and 1.

Source: engine contract, sections 1.2 and 2.1. Everything that is given out is a plain int or float, finite.
"""

import math
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import pandas as pd

from aiops_assets.errors import ModelError
from aiops_assets.learners.contracts import Forecast
from aiops_assets.learners.forecasters.hourly_baseline import ANSWERED, DAY_HOURS, HourlyBaseline
from aiops_assets.timeseries import engine_layouts as layouts
from aiops_assets.timeseries.history import History, steps_a_day
from aiops_assets.timeseries.series import Floats

POINTS = 0.1
"""Confidence is of a value within ten points (0.1) of the forecast."""
INTERVAL_SIGMAS = 2 * 1.2815515655446004
"""Width of a normal distribution's 80 % interval."""
LEAST_CONFIDENCE = 0.01
"""Also where nothing is known: a client must be able to tell an answer from a missing key, which it reads as 0."""

HALF_TOLD = 2
"""So many samples of five minutes tell half of what there is to know; the forecaster was learnt from weeks."""
SANE = (-0.1, 2.0)
"""Ratios outside were sent in percent or another unit: what they clip to is no forecast. Forecasts may miss 0."""

MEMORY_FULL = 0.95
SCENARIO = 1.15
NORMAL, ISSUE = 1, -1

Answer = dict[str, dict[str, Any]] | list[int]


class Forecasting(Protocol):
    """Forecasts histories of the engine's five metrics: hourly ones of 48 rows, five-minute ones from one row on."""

    def forecast(self, history: History, horizon: int) -> Forecast:
        """The ``horizon`` steps after a history."""


def answer(
    forecaster: Forecasting, instances: object, horizon: int, usual: HourlyBaseline, now: pd.Timestamp | None = None
) -> Answer:
    """The ``predictions`` of a request.

    - 3264 columns: forecasts of ``cpu_usage`` (cores, clipped to 0-1) and ``memory_usage`` in steps of an hour. Of a
      metric about which the vector tells nothing it is what is usual, with the least confidence.
    - 5 columns: the same, in steps of five minutes, as the forecaster itself gives them after that one sample. It
      tells 1 / (1 + 2) of what there is to know (:data:`HALF_TOLD`), as at ``POST /api/v1/prediction/predict``; what
      the engine sends instead of a metric that it could not ask tells nothing.

    A ratio outside :data:`SANE`, in the row or forecast, is answered clipped and with the least confidence.

    Without forecasts are answered:

    - 4 columns: -1 or 1 a row, see :func:`judged_row`. 3 columns, which layer is asked about: 1 a row, whatever it
      holds: it is no evidence of an issue.

    The engine sends a single row of 3264 or 5. Of several, oldest first as in any window, the last is answered, since
    the contract has room for one forecast; ``instance`` says which.

    Args:
        forecaster: of the five metrics.
        instances: rows as they came, JSON's own types or an array.
        horizon: how many steps, at most a day's of the row's own.
        usual: of :func:`hourly_baseline_of`; ``HourlyBaseline()`` where nothing is known.
        now: see :func:`history_of_vector`; the clock by default.

    Returns:
        metric -> ``forecast`` (horizon ratios 0-1), ``forecast_horizon``, ``confidence`` (see :func:`confidence`),
        ``step_seconds``, ``instance``; or a list of -1 and 1.

    Raises:
        SchemaError, DataError: see :func:`rows_of`; the horizon is not one of the forecaster's.
        ModelError: the forecaster gave no forecast that could be used.
    """
    rows = layouts.rows_of(instances)
    width = rows.shape[1]
    if width == len(layouts.LAYERS):
        return [NORMAL] * len(rows)
    if width == len(layouts.FOUR):
        return [judged_row(row, usual) for row in rows]
    if width == len(layouts.ENGINE_VECTOR):
        history = layouts.history_of_vector(rows[-1], now)
        middle = usual.middle
    else:
        history = layouts.history_of_row(rows[-1], now=now)
        middle = {}
    said = forecaster.forecast(history, min(horizon, steps_a_day(history.step_seconds)))
    return {name: _forecast_of(name, said, history, middle) | {"instance": len(rows) - 1} for name in ANSWERED}


def confidence(lower: Floats, upper: Floats, known_share: float) -> list[float]:
    """How sure a forecast is, (horizon,), never rising with the steps ahead, 0.01 to 1.

    The probability that the value comes within 0.1 of the forecast, were errors normal with the given 80 % interval
    (ratios 0-1): erf(0.1 / (sigma sqrt 2)) with sigma = (upper - lower) / 2.563, times ``known_share``, 0-1: the share
    of the last 24 hours that was told, or n / (n + k) of n samples.
    """
    sure = []
    for width in np.maximum(upper - lower, 0.0).tolist():
        sigma = width / INTERVAL_SIGMAS
        sure.append(math.erf(POINTS / (sigma * math.sqrt(2))) if sigma > 0 else 1.0)
    falling = np.minimum.accumulate(sure) * known_share
    return [float(one) for one in np.clip(falling, LEAST_CONFIDENCE, 1.0)]


def judged_row(row: Floats, usual: HourlyBaseline) -> int:
    """-1 or 1 of a row of four: hour, day of week (Sunday = 0, not looked at), means of cpu and memory.

    -1 where a mean is above what is usual at that hour, at any if there is no such hour, or memory is at least 0.95
    full. What the engine sends instead of a mean that it could not ask is no evidence.
    """
    hour, _, *means = row.tolist()
    for name, mean in zip(ANSWERED, means, strict=True):
        silent = layouts.SILENT_ROW[layouts.METRICS.index(name)]
        if any(math.isclose(mean, sent, rel_tol=layouts.CLOSE) for sent in (silent, SCENARIO * silent)):
            continue
        bounds = usual.upper.get(name)
        bound = math.inf if bounds is None else bounds[int(hour)] if hour in range(DAY_HOURS) else max(bounds)
        if mean > bound or (name == "memory_usage" and mean >= MEMORY_FULL):
            return ISSUE
    return NORMAL


def _forecast_of(
    name: str, said: Forecast, history: History, middle: Mapping[str, tuple[float, ...]]
) -> dict[str, Any]:
    if name not in said.metrics:
        raise ModelError(f"the forecaster knows {', '.join(said.metrics)}, not {name}: train it on the engine's five")
    m = said.metrics.index(name)
    value, lower, upper = said.value[:, m], said.lower[:, m], said.upper[:, m]
    if not np.isfinite([value, lower, upper]).all():
        raise ModelError(f"the forecast of {name} is not finite")
    column = history.metrics.index(name)
    told = history.known[-DAY_HOURS:, column]
    hourly = history.step_seconds == layouts.HOUR_SECONDS
    share = float(told.mean() if hourly else told.sum() / (told.sum() + HALF_TOLD))
    if not told.any() and name in middle:
        value = np.array(middle[name])[said.times.hour]
    seen = np.append(value, history.values[-1, column])
    if seen.min() < SANE[0] or seen.max() > SANE[1]:
        share = 0.0
    return {
        "forecast": [float(one) for one in value.clip(0.0, 1.0)],
        "forecast_horizon": len(value),
        "confidence": confidence(lower.clip(0.0, 1.0), upper.clip(0.0, 1.0), share),
        "step_seconds": int(history.step_seconds),
    }
