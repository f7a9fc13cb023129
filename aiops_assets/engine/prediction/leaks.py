"""Decides which trends of memory and disk are leaks, and how far they are extrapolated.

The rise of a daily season looks like a leak to :mod:`aiops_assets.outlook.exhaustion` until it has two days of samples.
So a trend is only accepted and extrapolated as far as the length of the samples allows.
"""

from hashlib import blake2b

import numpy as np

from aiops_assets.outlook.exhaustion import Exhaustion, time_to_exhaustion
from aiops_assets.outlook.limits import LIMITS
from aiops_assets.storage.remembered import Remembered
from aiops_assets.timeseries.history import History
from aiops_assets.timeseries.series import DAY_SECONDS, Floats

FULL = 1.0
LEAK_WINDOWS = 4.0
"""Largest time to the limit of a leak, in lengths of the samples; the same as for robust lines."""
RHYTHM_HOURS = 48.0
"""Hours of samples from which on a season can be told from a leak."""
FEW_HOURS = 6.0
"""Longest extrapolation of shorter samples, hours; it is also at most as long as these."""
FAST_HOURS, HALF_DAY, HIGH = 24.0, 12.0, 0.9
"""A rise that is full within the first (hours) is steeper than a season. For slower ones the level must be above the
quantile ``HIGH`` of samples older than ``HALF_DAY`` (hours), because a season returns to its earlier levels."""
SECONDS_AN_HOUR = 3600

Sides = tuple[Floats, Floats, Floats]

_TRENDS: Remembered[tuple[object, ...], Exhaustion] = Remembered(256)


def hours_known(history: History, metric: str) -> float:
    """Hours from the first sample of a metric to the end of the newest step."""
    known = history.known[:, history.metrics.index(metric)]
    rows = len(known) - int(np.argmax(known)) if known.any() else 0
    return rows * history.step_seconds / SECONDS_AN_HOUR


def newest_leak(history: History, metric: str) -> Exhaustion | None:
    """When memory or a disk is full (1) by its newest trend; ``None`` where that may be a season, or is none."""
    found = trend_to_full(history, metric)
    return found if is_leak(history, metric, found) else None


def trend_to_full(history: History, metric: str) -> Exhaustion:
    """When a ratio reaches 1 by its newest trend, be it a leak or not.

    It is remembered, because a prediction and the issues that follow from it are made of one trend.
    """
    column = history.metrics.index(metric)
    values, known = history.values[:, column], history.known[:, column]
    samples = blake2b(values.tobytes() + known.tobytes(), digest_size=16).digest()
    key = (metric, history.times[0], history.step_seconds, samples)
    if (found := _TRENDS.get(key)) is None:
        # A rise of some hours can be a part of any swing: what follows draws it on no longer than it is.
        swings = LIMITS[metric].swings and bool(known.sum() * history.step_seconds > DAY_SECONDS / 2)
        found = time_to_exhaustion(history, metric, FULL, may_swing=swings)
        _TRENDS.put(key, found)
    return found


def is_leak(history: History, metric: str, found: Exhaustion) -> bool:
    """Whether a trend towards the limit is a leak, see :data:`LEAK_WINDOWS` and :data:`FAST_HOURS`."""
    known_hours = hours_known(history, metric)
    if not found.hours or found.hours > LEAK_WINDOWS * known_hours:
        return False
    if found.hours <= FAST_HOURS or known_hours < 2 * HALF_DAY:
        return True
    hour = max(round(SECONDS_AN_HOUR / history.step_seconds), 1)
    newest = history.values[-round(known_hours * hour) :, history.metrics.index(metric)]
    older = newest[: -round(HALF_DAY * hour)]
    hourly = np.median(older[len(older) % hour :].reshape(-1, hour), axis=1)
    return bool(np.median(newest[-hour:]) > np.quantile(hourly, HIGH))


def extrapolate_leak(history: History, metric: str, leak: Exhaustion, forecast: Sides) -> Sides | None:
    """A leak extrapolated from its newest level to its limit: (n_steps,) value, lower and upper.

    The interval follows from the times at which the limit is reached: the upper side reaches it at the earliest, the
    lower at the latest. After the end of the extrapolation the trend may continue or be a season, so the interval is
    from the lower side of the forecast to the continued trend.

    Args:
        history: history up to now.
        metric: one of its metrics.
        leak: a trend with ``hours`` above 0.
        forecast: value, lower and upper of the forecaster at the same steps.

    Returns:
        ``None`` if the leak ends no higher than the forecast.
    """
    step = history.step_seconds / SECONDS_AN_HOUR
    newest = history.values[-max(3, history.steps(0.5)) :, history.metrics.index(metric)]
    age = np.arange(len(newest) - 1, -1, -1) * step
    now = newest + leak.trend_per_hour * age
    level, noise = float(np.median(now)), float(np.ptp(now))
    top = max(leak.limit, float(newest[-1]))
    known_hours = hours_known(history, metric)
    reach = known_hours if known_hours >= RHYTHM_HOURS else min(known_hours, FEW_HOURS)
    hours = np.arange(1, len(forecast[0]) + 1) * step
    value: Floats = np.minimum(level + leak.trend_per_hour * np.minimum(hours, reach), top)
    if value[-1] <= forecast[0][-1]:
        return None
    room = max(leak.limit - level, 0.0)
    fastest = np.minimum(level + room * hours / max(leak.earliest_hours or 0.0, step), top)
    slowest = level + (room * np.minimum(hours, reach) / leak.latest_hours if leak.latest_hours else 0.0 * hours)
    slowest = np.where(hours > reach, np.minimum(slowest, forecast[1]), slowest)
    value = np.maximum(value, forecast[0])
    lower = value - np.hypot(noise, np.maximum(value - slowest, 0.0))
    upper = value + np.hypot(noise, np.maximum(fastest - value, 0.0))
    return value, np.maximum(lower, 0.0), upper
