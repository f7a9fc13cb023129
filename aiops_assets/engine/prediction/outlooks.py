"""Outlooks for each name: the forecaster's for its metrics, robust lines for others, and extrapolated leaks.

The served forecaster continues a level with the typical shape of days. It does not follow a leak, because it was
trained on clusters whose memory rises and falls. Where memory or disk rises significantly towards its limit, the trend
of :mod:`aiops_assets.outlook.exhaustion` is extrapolated instead, as far as :mod:`aiops_assets.engine.prediction.leaks`
allows, wherever it is above the forecast, so that value, trend and risk agree. CPU trends are not extrapolated, because
load that rises in the morning falls in the evening. The exception is less than a day of hourly samples, for which
recent errors of the forecaster cannot be measured: a significant line is extrapolated for a quarter of its length.
"""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

import numpy as np

from aiops_assets.engine.familiar import unsettled_range
from aiops_assets.engine.models import FORECASTER
from aiops_assets.engine.prediction.leaks import FULL, extrapolate_leak, is_leak, trend_to_full
from aiops_assets.engine.prediction.lines import MIN_FOR_SLOPE, MIN_SAMPLES, Level, level_of
from aiops_assets.engine.prediction.sent_histories import HOUR_SECONDS, METRICS, histories_of, in_unit, unit_of
from aiops_assets.engine.samples import FORECASTED, Series, unit_factor
from aiops_assets.engine.served_rows import Forecasting
from aiops_assets.errors import ModelError
from aiops_assets.outlook.breaches import Trend, trend_of
from aiops_assets.outlook.cycles import MIN_TREND_ROWS
from aiops_assets.outlook.exhaustion import Exhaustion
from aiops_assets.outlook.limits import LIMITS
from aiops_assets.timeseries.history import History
from aiops_assets.timeseries.series import DAY_SECONDS, Floats

MAX_LINES = 500
"""Most names for which a line is fitted, a millisecond each; the last value is the forecast of further ones."""
HOURLY_ROWS, HOURLY_SHARE = 24, 0.25
"""Fewest hourly rows from which errors of the forecaster can be measured; with fewer, a line is extrapolated for the
share of its length."""
FOLLOWED = ("memory_usage", "disk_usage")
MIN_SCALE = 1e-12
NEGLIGIBLE = 0.01
"""Share of the scale below which a change is no trend."""
TREND, LINE, LAST_VALUE = "trend", "robust-line", "last-value"


@dataclass(frozen=True)
class Outlook:
    """The forecast of one name; values are those sent divided by ``factor``.

    Attributes:
        name: name as sent.
        unit: unit in the catalogue; empty for unknown names.
        factor: 100 for a ratio that was sent in percent, else 1.
        samples: number of steps with a sample.
        last: newest value.
        scale: 1 for a ratio, else the largest value sent; an error of a tenth of it is a good forecast.
        value, lower, upper: (n_steps,) median and 80 % interval from the next step to the requested time.
        step_minutes: distance of these steps, minutes.
        trend: direction of the forecast.
        judged_by: "predictive-analytics", "trend", "robust-line" or "last-value".
        level: level and trend of a robust line; ``None`` for names after the first 500.
        exhaustion: time to exhaustion of memory and disk with history, unless the trend may be a season; else ``None``.
        calibrated: whether the interval is the forecaster's, made from a day of samples or more.
    """

    name: str
    unit: str
    factor: float
    samples: int
    last: float
    scale: float
    value: Floats
    lower: Floats
    upper: Floats
    step_minutes: float
    trend: Trend
    judged_by: str
    level: Level | None = None
    exhaustion: Exhaustion | None = None
    calibrated: bool = False


def outlooks(
    series: Mapping[str, Series], seconds: float, forecaster: Forecasting | None, names: Collection[str] | None = None
) -> list[Outlook]:
    """One outlook per name, in the order given.

    Args:
        series: name -> its samples, from :func:`~aiops_assets.engine.samples.by_name`.
        seconds: horizon, above 0 and at most a day.
        forecaster: forecaster of the five metrics; ``None``: lines are used for all names.
        names: requested names; by default all. Histories contain all names, so that they do not depend on the request.

    Raises:
        ModelError: a forecast that is not finite.
    """
    found: dict[str, Outlook] = {}
    wanted = {name: one for name, one in series.items() if names is None or name in names}
    if forecaster is not None:
        for history, together in histories_of({name: one for name, one in series.items() if name in FORECASTED}):
            requested = [name for name in together if name in wanted]
            if not requested:
                continue
            steps = max(1, math.ceil(seconds / history.step_seconds - 1e-9))
            forecast = forecaster.forecast(history, steps)
            for name in requested:
                m = forecast.metrics.index(FORECASTED[name])
                sides = forecast.value[:, m], forecast.lower[:, m], forecast.upper[:, m]
                if not np.isfinite(sides).all():
                    raise ModelError(f"the forecast of {name} is not finite: train the forecaster again")
                found[name] = _forecast(series[name], history, sides, seconds)
    lines = 0
    for name, one in wanted.items():
        if name not in found:
            found[name] = _line(one, seconds, fitted=lines < MAX_LINES)
            lines += len(one.values) >= MIN_FOR_SLOPE
    return [found[name] for name in wanted]


def _forecast(one: Series, history: History, sides: tuple[Floats, Floats, Floats], seconds: float) -> Outlook:
    metric, unit = FORECASTED[one.name], unit_of(one.name)
    values = in_unit(one)
    known = history.known[:, METRICS.index(metric)]
    last, ratio = float(values[-1]), unit == "ratio"
    level = level_of(values, one.times)
    most = FULL if ratio and values.max() <= FULL else math.inf
    value, lower, upper = (np.minimum(side, most) for side in sides)
    judged_by, exhaustion = FORECASTER, None
    if history.step_seconds == HOUR_SECONDS and len(known) < HOURLY_ROWS and level.slope:
        hours = np.arange(1, len(value) + 1)
        drawn = np.array([level.at(float(hour), HOURLY_SHARE) for hour in hours]).clip(0.0, most)
        value, lower, upper = drawn.T
        judged_by = LINE
    scale = 1.0 if ratio else _scale(values)
    trend = _trend(values, level, value, lower, upper)
    trend = "stable" if _is_negligible(level, float(value[-1]), scale) else trend
    if ratio and metric in FOLLOWED and known.sum() >= MIN_TREND_ROWS:
        exhaustion = trend_to_full(history, metric)
        if is_leak(history, metric, exhaustion):
            extrapolated = extrapolate_leak(history, metric, exhaustion, (value, lower, upper))
            if extrapolated is not None:
                value, lower, upper = extrapolated
                judged_by = TREND
            trend = "increasing"
            exhaustion = replace(exhaustion, metric=one.name)  # named as sent
        elif exhaustion.hours or not LIMITS[metric].swings:
            exhaustion = None
    elif ratio and metric in FOLLOWED and level.slope > 0 and level.samples >= MIN_FOR_SLOPE:
        # Too few steps for that, so that the line of the samples is followed for as long as they are.
        step = history.step_seconds / HOUR_SECONDS
        drawn = np.array([level.at(step * (i + 1)) for i in range(len(value))]).clip(0.0, most)
        if drawn[-1, 0] > value[-1]:
            value, lower, upper = drawn.T
            judged_by, trend = LINE, "increasing"
    calibrated = judged_by == FORECASTER
    either = unsettled_range(values)
    if either is not None:
        # Nobody knows yet whether it stays or goes back.
        calibrated = False
        lower, upper = np.minimum(lower, either[0]), np.maximum(upper, either[1])
    return Outlook(
        name=one.name,
        unit=unit,
        factor=unit_factor(unit, one.values.tolist()),
        samples=int(known.sum()),
        last=last,
        scale=scale,
        value=value,
        lower=lower,
        upper=upper,
        step_minutes=seconds / 60 / len(value),
        trend=trend,
        judged_by=judged_by,
        level=level,
        exhaustion=exhaustion,
        calibrated=calibrated and int(known.sum()) * history.step_seconds >= DAY_SECONDS,
    )


def _line(one: Series, seconds: float, *, fitted: bool) -> Outlook:
    unit = unit_of(one.name)
    values = in_unit(one)
    n, hours = len(values), seconds / HOUR_SECONDS
    newest = slice(None) if fitted or n < MIN_FOR_SLOPE else slice(-1, None)
    level = level_of(values[newest], one.times[newest])
    limit = LIMITS.get(one.name)
    least = MIN_FOR_SLOPE if limit is not None and limit.grows and level.slope > 0 else MIN_SAMPLES
    by_line = level.samples >= least
    scale = 1.0 if unit == "ratio" else _scale(values)
    value, lower, upper = level.at(hours)
    if not by_line:
        last = float(values[-1])
        value, lower, upper = last, last - (value - lower), last + (upper - value)
    lowest = 0.0 if values.min() >= 0 else -math.inf
    most = FULL if unit == "ratio" and values.max() <= FULL else math.inf
    either = unsettled_range(values) if fitted else None
    if either is not None:
        lower, upper = min(lower, either[0]), max(upper, either[1])
    sides = [np.clip(np.array([side]), lowest, most) for side in (value, lower, upper)]
    return Outlook(
        name=one.name,
        unit=unit,
        factor=unit_factor(unit, one.values.tolist()),
        samples=n,
        last=float(values[-1]),
        scale=scale,
        value=sides[0],
        lower=sides[1],
        upper=sides[2],
        step_minutes=seconds / 60,
        trend=_direction(level.slope) if by_line and not _is_negligible(level, value, scale) else "stable",
        judged_by=LINE if by_line else LAST_VALUE,
        level=level if fitted else None,
    )


def _trend(values: Floats, level: Level, value: Floats, lower: Floats, upper: Floats) -> Trend:
    """Direction of the forecast from the newest level; if that is stable, the significant trend of the samples.

    A change that is no larger than the median difference of two samples is none. The samples' own trend is only used if
    the forecast does not reverse it.
    """
    now = level.level
    path, low, high = (np.concatenate([[now], side]) for side in (value, lower, upper))
    typical_change = float(np.median(np.abs(np.diff(values)))) if len(values) > 1 else 0.0
    change = float(value[-1]) - now
    predicted = trend_of(path, low, high)
    if predicted != "stable" and abs(change) > typical_change and _direction(change) == predicted:
        return predicted
    seen = _direction(level.slope)
    return seen if _direction(change) == seen or abs(change) <= typical_change else "stable"


def _is_negligible(level: Level, value: float, scale: float) -> bool:
    """Whether neither the samples nor their forecast change by a hundredth of the scale."""
    return max(abs(level.slope) * level.window_hours, abs(value - level.level)) < NEGLIGIBLE * scale


def _direction(change: float) -> Trend:
    return "increasing" if change > 0 else "decreasing" if change < 0 else "stable"


def _scale(values: Floats) -> float:
    return max(float(np.abs(values).max()), MIN_SCALE)
