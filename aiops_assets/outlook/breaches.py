"""Which forecasts are worth an alert: a median or upper bound that reaches a threshold, how soon, how surely."""

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist
from types import MappingProxyType
from typing import Literal

import numpy as np
import pandas as pd

from aiops_assets.errors import DataError
from aiops_assets.learners.contracts import Forecast
from aiops_assets.outlook.exhaustion import Exhaustion, time_to_exhaustion
from aiops_assets.outlook.limits import LIMITS
from aiops_assets.timeseries.history import History
from aiops_assets.timeseries.series import Floats

Kind = Literal["predicted_breach", "possible_breach"]
Severity = Literal["low", "medium", "high", "critical"]
Trend = Literal["increasing", "decreasing", "stable"]

DEFAULT_THRESHOLDS: Mapping[str, float] = MappingProxyType(
    {metric: LIMITS[metric].forecast for metric in ("cpu_usage", "memory_usage", "disk_usage")}
)
"""Metrics with a limit: the ratios. Traffic in bytes/s has none."""

SEVERITIES: tuple[Severity, ...] = ("low", "medium", "high", "critical")
SOON_MINUTES = (60, 360)
SURE_PROBABILITY = 0.8
INTERVAL_COVERAGE = 0.8
"""The range from ``lower`` to ``upper`` of a forecast has this coverage."""
TREND_SHARE = 0.25
QUARTERS = 4


@dataclass(frozen=True)
class Breach:
    """A threshold that a forecast reaches.

    Attributes:
        kind: ``predicted_breach``: the median reaches it; ``possible_breach``: only the interval's upper bound does.
        metric: its name.
        severity: see :func:`severity_of`.
        predicted_value: the median at ``time``, in the metric's unit.
        threshold: the value that is reached, in the same unit.
        confidence_interval: 80 %, at ``time``.
        trend: direction of the whole forecast, see :func:`trend_of`.
        time_to_breach: whole minutes from now to ``time``.
        time: begin of the first step that reaches it, UTC.
        probability: 0-1, that the value is at or above the threshold at the step where that is likeliest: a lower bound
            for reaching it at any step. The error is taken as normal around the median, each side as wide as the
            interval's.
    """

    kind: Kind
    metric: str
    severity: Severity
    predicted_value: float
    threshold: float
    confidence_interval: tuple[float, float]
    trend: Trend
    time_to_breach: int
    time: pd.Timestamp
    probability: float


@dataclass(frozen=True)
class Outlook:
    """How one metric that has a limit will go on.

    Attributes:
        metric: its name.
        limit: the value that must not be reached, in its unit.
        breach: where the forecast reaches the limit within its horizon; ``None`` where it does not.
        exhaustion: where the trend does, within 14 days; ``None`` where the forecast's median reaches the limit.
    """

    metric: str
    limit: float
    breach: Breach | None
    exhaustion: Exhaustion | None


def breaches(forecast: Forecast, thresholds: Mapping[str, float], now: pd.Timestamp) -> list[Breach]:
    """The thresholds that are reached from below, at most one breach a metric, the soonest first.

    Args:
        forecast: a forecast from ``now`` on.
        thresholds: metric -> what must not be reached, in its unit.
        now: the last step known, UTC.

    Raises:
        DataError: a threshold of a metric that was not forecast, or that is not a finite number.
    """
    found = []
    for metric, threshold in thresholds.items():
        if metric not in forecast.metrics:
            raise DataError(f"a threshold for {metric!r}, but the forecast is of {', '.join(forecast.metrics)}")
        if not np.isfinite(threshold):
            raise DataError(f"the threshold of {metric!r} is {threshold:g}: give a finite number")
        column = forecast.metrics.index(metric)
        value, lower, upper = (side[:, column] for side in (forecast.value, forecast.lower, forecast.upper))
        kind: Kind = "predicted_breach" if (value >= threshold).any() else "possible_breach"
        reached = np.flatnonzero((value if kind == "predicted_breach" else upper) >= threshold)
        if not len(reached):
            continue
        step = int(reached[0])
        minutes = round((forecast.times[step] - now).total_seconds() / 60)
        probability = float(_above(value, lower, upper, threshold).max())
        found.append(
            Breach(
                kind=kind,
                metric=metric,
                severity=severity_of(kind, minutes, probability),
                predicted_value=float(value[step]),
                threshold=threshold,
                confidence_interval=(float(lower[step]), float(upper[step])),
                trend=trend_of(value, lower, upper),
                time_to_breach=minutes,
                time=forecast.times[step],
                probability=probability,
            )
        )
    return sorted(found, key=lambda breach: (breach.time_to_breach, breach.metric))


def outlook(history: History, forecast: Forecast, limits: Mapping[str, float]) -> list[Outlook]:
    """For each limit the breach by the forecast, and time to exhaustion by the trend where the median stays below it.

    Args:
        history: up to now.
        forecast: made from it.
        limits: metric -> limit in its unit, in the order of the answer.

    Raises:
        DataError: a limit that cannot be judged, see :func:`breaches` and
            :func:`~aiops_assets.outlook.exhaustion.time_to_exhaustion`.
    """
    by_metric = {breach.metric: breach for breach in breaches(forecast, limits, history.times[-1])}
    found = []
    for metric, limit in limits.items():
        breach = by_metric.get(metric)
        surely = breach is not None and breach.kind == "predicted_breach"
        found.append(Outlook(metric, limit, breach, None if surely else time_to_exhaustion(history, metric, limit)))
    return found


def severity_of(kind: Kind, minutes: int, probability: float) -> Severity:
    """How bad an alert is.

    ================  ===========  ===========  ======
    predicted breach  within 1 h   within 6 h   later
    ================  ===========  ===========  ======
    probability < .8  high         medium       low
    from .8 on        critical     high         medium
    ================  ===========  ===========  ======

    A possible breach is medium within an hour, else low.
    """
    if kind == "possible_breach":
        return "medium" if minutes <= SOON_MINUTES[0] else "low"
    return SEVERITIES[sum(minutes <= soon for soon in SOON_MINUTES) + (probability >= SURE_PROBABILITY)]


def trend_of(value: Floats, lower: Floats, upper: Floats) -> Trend:
    """The direction of (horizon,) medians.

    The mean of their last quarter is above that of the first by more than a quarter of the interval's mean width
    (increasing), below it by as much (decreasing), or neither (stable).
    """
    quarter = -(-len(value) // QUARTERS)
    change = float(value[-quarter:].mean() - value[:quarter].mean())
    least = max(TREND_SHARE * float((upper - lower).mean()), 1e-9 * float(np.abs(value).max()))
    if abs(change) <= least:
        return "stable"
    return "increasing" if change > 0 else "decreasing"


def _above(value: Floats, lower: Floats, upper: Floats, threshold: float) -> Floats:
    """(horizon,) probability of each step to be at or above the threshold."""
    normal = NormalDist()
    sides = np.where(value >= threshold, value - lower, upper - value) / normal.inv_cdf((1 + INTERVAL_COVERAGE) / 2)
    away = value - threshold
    return np.array(
        [normal.cdf(by / side) if side > 0 else float(by >= 0) for by, side in zip(away, sides, strict=True)]
    )
