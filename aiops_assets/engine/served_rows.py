"""Answers of predictive-analytics to the engine's rows, by their width: forecasts, or -1 and 1.

Source: engine contract, sections 1.2 and 2.1. All values of answers are finite Python ints or floats.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
import pandas as pd

from aiops_assets.engine.wording import say
from aiops_assets.errors import DataError, ModelError
from aiops_assets.judging.statements import Statement
from aiops_assets.learners.contracts import Forecast
from aiops_assets.learners.forecasters.hourly_baseline import ANSWERED, DAY_HOURS, HourlyBaseline
from aiops_assets.outlook.limits import HEALTHY_CLUSTER, LIMITS
from aiops_assets.timeseries import engine_layouts as layouts
from aiops_assets.timeseries.history import History, steps_a_day
from aiops_assets.timeseries.series import Floats

POINTS = 0.1
"""Largest error of a forecast (ratio) whose probability is the confidence."""
INTERVAL_SIGMAS = 2 * 1.2815515655446004
"""Width of a normal distribution's 80 % interval, in standard deviations."""
MIN_CONFIDENCE = 0.01
"""Least confidence, also where nothing is known: clients read a missing key as 0 and must be able to tell the two."""

HALF_CONFIDENCE_SAMPLES = 2
"""Number of five-minute samples with which half of the confidence is reached; the forecaster was trained on weeks."""
SANE = (-0.1, 2.0)
"""Range of plausible ratios; others were sent in percent or another unit. Forecasts may be slightly below 0."""

CLUSTER_LIMITS = {"cpu_usage": LIMITS["cluster_cpu_usage"].alert, "memory_usage": LIMITS["cluster_memory_usage"].alert}
"""Utilisation of a cluster (ratio) from which on it is an issue at any hour."""
RATIOS = {len(layouts.FOUR): {"cpu": 2, "memory": 3}, len(layouts.METRICS): {"memory": 1, "disk": 2}}
"""Width of rows -> the columns that are ratios. The CPU of a row of five is in cores, which may be above 2."""
SCENARIO = 1.15
NORMAL, ISSUE = 1, -1

Answer = dict[str, dict[str, Any]] | list[int]


class Forecasting(Protocol):
    """A forecaster of the engine's five metrics, for hourly histories of 48 rows and five-minute ones of any length."""

    def forecast(self, history: History, horizon: int) -> Forecast:
        """Forecast of the ``horizon`` steps after a history."""


def answer(
    forecaster: Forecasting,
    instances: object,
    horizon: int,
    expected: HourlyBaseline,
    now: pd.Timestamp | None = None,
    cluster: Callable[[], HourlyBaseline] = HourlyBaseline,
) -> Answer:
    """The ``predictions`` of a request.

    - 3264 columns: forecasts of ``cpu_usage`` (cores, clipped to 0-1) and ``memory_usage`` in steps of an hour. For a
      metric without values in the vector it is the expected value, with the least confidence.
    - 5 columns: the same, in steps of five minutes, as the forecaster gives them after that one sample. Its confidence
      is multiplied by 1 / (1 + 2) (:data:`HALF_CONFIDENCE_SAMPLES`), as in ``POST /api/v1/prediction/predict``; the
      engine's default for a metric that it could not query counts as no sample.

    A ratio outside :data:`SANE`, in the row or forecast, is clipped and has the least confidence; of the newest row of
    four or five, ratios above its upper end are refused.

    Rows of other widths get no forecasts:

    - 4 columns: -1 or 1 per row, see :func:`judged_row`.
    - 3 columns, which name a layer: always 1, because they are no evidence of an issue.

    The engine sends a single row of 3264 or 5. Of several, oldest first as in any window, the last one is used, because
    the contract has room for one forecast; ``instance`` is its index.

    Args:
        forecaster: forecaster of the five metrics.
        instances: rows as received, of JSON's own types or an array.
        horizon: number of steps, at most a day of the row's steps.
        expected: expected values by hour; ``HourlyBaseline()`` where nothing is known.
        now: present time, see :func:`history_of_vector`; by default that of the clock.
        cluster: returns what the cluster's utilisation is at each hour, for rows of 4; by default nothing is known.

    Returns:
        metric -> ``forecast`` (horizon ratios 0-1), ``forecast_horizon``, ``confidence`` (see :func:`confidence`),
        ``step_seconds``, ``instance``; or a list of -1 and 1.

    Raises:
        SchemaError, DataError: see :func:`rows_of`; the forecaster does not support the horizon; a ratio of a row of 4
            or 5 is not one (code ``not_a_ratio``).
        ModelError: the forecast is not usable.
    """
    rows = layouts.rows_of(instances)
    width = rows.shape[1]
    _require_ratios(rows)
    if width == len(layouts.LAYERS):
        return [NORMAL] * len(rows)
    if width == len(layouts.FOUR):
        known = cluster()
        return [judged_row(row, known) for row in rows]
    if width == len(layouts.ENGINE_VECTOR):
        history = layouts.history_of_vector(rows[-1], now)
        middle = expected.middle
    else:
        history = layouts.history_of_row(rows[-1], now=now)
        middle = {}
    forecast = forecaster.forecast(history, min(horizon, steps_a_day(history.step_seconds)))
    return {name: _forecast_of(name, forecast, history, middle) | {"instance": len(rows) - 1} for name in ANSWERED}


def confidence(lower: Floats, upper: Floats, known_share: float) -> list[float]:
    """Confidence of a forecast, (horizon,), 0.01 to 1, never rising with the steps ahead.

    The probability that the actual value is within 0.1 of the forecast, if errors are normal with the given 80 %
    interval (ratios 0-1): erf(0.1 / (sigma sqrt 2)) with sigma = (upper - lower) / 2.563. It is multiplied by
    ``known_share`` (0-1): the share of the last 24 hours with samples, or n / (n + k) for n samples.
    """
    sure = []
    for width in np.maximum(upper - lower, 0.0).tolist():
        sigma = width / INTERVAL_SIGMAS
        sure.append(math.erf(POINTS / (sigma * math.sqrt(2))) if sigma > 0 else 1.0)
    falling = np.minimum.accumulate(sure) * known_share
    return [float(one) for one in np.clip(falling, MIN_CONFIDENCE, 1.0)]


def notes_of_rows(instances: object) -> list[Statement]:
    """Notes about values that were read as something else: of CPU above :data:`SANE`, whose forecast is clipped."""
    rows = layouts.rows_of(instances)
    newest = rows[-1]
    if len(newest) == len(layouts.METRICS):
        ratios = {"cpu_usage": float(newest[0])}
    elif len(newest) == len(layouts.ENGINE_VECTOR):
        ratios = dict(zip(ANSWERED, newest[: len(ANSWERED)].tolist(), strict=True))
    else:
        return []
    return [
        say("clipped_ratio", metric=name, value=value)
        for name, value in ratios.items()
        if not SANE[0] <= value <= SANE[1]
    ]


def judged_row(row: Floats, cluster: HourlyBaseline) -> int:
    """-1 or 1 for a row of four: hour, day of week (Sunday = 0, not used), utilisation of cluster CPU and memory.

    -1 if a mean is at its limit (0.85 of CPU, 0.9 of memory), or above the upper expected value of the cluster at that
    hour (of any hour for an invalid one) and above :data:`~aiops_assets.outlook.limits.HEALTHY_CLUSTER`. The engine's
    default for a mean that it could not query is no evidence.

    Args:
        row: (4,) finite.
        cluster: expected utilisation by hour, as a ratio of what is allocatable.
    """
    hour, _, *means = row.tolist()
    for name, mean in zip(ANSWERED, means, strict=True):
        silent = layouts.SILENT_ROW[layouts.METRICS.index(name)]
        if any(math.isclose(mean, sent, rel_tol=layouts.CLOSE) for sent in (silent, SCENARIO * silent)):
            continue
        bounds = cluster.upper.get(name)
        bound = math.inf if bounds is None else bounds[int(hour)] if hour in range(DAY_HOURS) else max(bounds)
        if mean >= CLUSTER_LIMITS[name] or mean > max(bound, HEALTHY_CLUSTER[name]):
            return ISSUE
    return NORMAL


def _require_ratios(rows: Floats) -> None:
    """Raise DataError if a column that is a ratio holds percent or more: its answer would be clipped."""
    for name, column in RATIOS.get(rows.shape[1], {}).items():
        wrong = [i for i, value in enumerate(rows[:, column]) if value > SANE[1]]
        if wrong:
            value = float(rows[wrong[0], column])
            raise DataError(
                f"row {wrong[0]}: {name} is {value:g}, which no ratio is: divide percent by 100, and send 0 to 1",
                code="not_a_ratio",
                position=wrong[0],
                metric=name,
                value=value,
            )


def _forecast_of(
    name: str, forecast: Forecast, history: History, middle: Mapping[str, tuple[float, ...]]
) -> dict[str, Any]:
    if name not in forecast.metrics:
        raise ModelError(f"the forecaster has {', '.join(forecast.metrics)}, not {name}: train it on the engine's five")
    m = forecast.metrics.index(name)
    value, lower, upper = forecast.value[:, m], forecast.lower[:, m], forecast.upper[:, m]
    if not np.isfinite([value, lower, upper]).all():
        raise ModelError(f"the forecast of {name} is not finite")
    column = history.metrics.index(name)
    is_known = history.known[-DAY_HOURS:, column]
    hourly = history.step_seconds == layouts.HOUR_SECONDS
    share = float(is_known.mean() if hourly else is_known.sum() / (is_known.sum() + HALF_CONFIDENCE_SAMPLES))
    if not is_known.any() and name in middle:
        value = np.array(middle[name])[forecast.times.hour]
    seen = np.append(value, history.values[-1, column])
    if seen.min() < SANE[0] or seen.max() > SANE[1]:
        share = 0.0
    return {
        "forecast": [float(one) for one in value.clip(0.0, 1.0)],
        "forecast_horizon": len(value),
        "confidence": confidence(lower.clip(0.0, 1.0), upper.clip(0.0, 1.0), share),
        "step_seconds": int(history.step_seconds),
    }
