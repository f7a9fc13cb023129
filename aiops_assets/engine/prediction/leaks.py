"""Which trends of memory and disk are leaks, and how far they are drawn on.

The rise of a daily rhythm looks like a leak to :mod:`aiops_assets.outlook.exhaustion` until it has two days from which
to read the rhythm. So what it says is believed, and drawn on, no farther than the samples carry.
"""

import numpy as np

from aiops_assets.outlook.exhaustion import Exhaustion
from aiops_assets.timeseries.history import History
from aiops_assets.timeseries.series import Floats

LEAK_WINDOWS = 4.0
"""How far ahead a limit may lie, in lengths of the samples; as of robust lines."""
RHYTHM_HOURS = 48.0
"""Samples of fewer do not tell a rhythm from a leak."""
FEW_HOURS = 6.0
"""So far a trend of fewer samples is drawn on, and no farther than they are long."""
FAST_HOURS, HALF_DAY, HIGH = 24.0, 12.0, 0.9
"""What is full within a day is steeper than a rhythm. Of what is slower, the level must be above this quantile of the
hours that are older than half a day: a rhythm comes back to where it was."""
SECONDS_AN_HOUR = 3600

Sides = tuple[Floats, Floats, Floats]


def hours_told(history: History, metric: str) -> float:
    """From the first sample of a metric to the end of the newest step."""
    known = history.known[:, history.metrics.index(metric)]
    rows = len(known) - int(np.argmax(known)) if known.any() else 0
    return rows * history.step_seconds / SECONDS_AN_HOUR


def is_leak(history: History, metric: str, found: Exhaustion) -> bool:
    """Whether a trend towards the limit may be believed, see :data:`LEAK_WINDOWS` and :data:`FAST_HOURS`."""
    told = hours_told(history, metric)
    if not found.hours or found.hours > LEAK_WINDOWS * told:
        return False
    if found.hours <= FAST_HOURS or told < 2 * HALF_DAY:
        return True
    hour = max(round(SECONDS_AN_HOUR / history.step_seconds), 1)
    newest = history.values[-round(told * hour) :, history.metrics.index(metric)]
    older = newest[: -round(HALF_DAY * hour)]
    hourly = np.median(older[len(older) % hour :].reshape(-1, hour), axis=1)
    return bool(np.median(newest[-hour:]) > np.quantile(hourly, HIGH))


def followed(history: History, metric: str, leak: Exhaustion, forecast: Sides) -> Sides | None:
    """A leak drawn on from its newest level to its limit: (n_steps,) value, lower and upper.

    The interval is the one in which the limit is reached: the upper side is there at the earliest hours, the lower
    at the latest. Where the trend is drawn no farther, it may go on or be a rhythm, so the interval is from the lower
    side of the forecast to what goes on.

    Args:
        history: up to now.
        metric: one of its metrics.
        leak: with ``hours`` above 0.
        forecast: value, lower and upper of the forecaster at the same steps.

    Returns:
        ``None`` where it ends no higher than the forecast.
    """
    step = history.step_seconds / SECONDS_AN_HOUR
    newest = history.values[-max(3, history.steps(0.5)) :, history.metrics.index(metric)]
    age = np.arange(len(newest) - 1, -1, -1) * step
    now = newest + leak.trend_per_hour * age
    level, noise = float(np.median(now)), float(np.ptp(now))
    top = max(leak.limit, float(newest[-1]))
    told = hours_told(history, metric)
    reach = told if told >= RHYTHM_HOURS else min(told, FEW_HOURS)
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
