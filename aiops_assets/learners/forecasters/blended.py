"""A learned forecaster, blended with the last value by the recent errors of both.

For what it never learned, another series or a level that has just shifted: both forecast from origins in the history
itself, where later rows are known. Each is weighted by its errors at so many steps ahead (Bates and Granger, "The
combination of forecasts", Operational Research Quarterly 20, 1969; with a sharper exponent). The interval moves with
the median, and where most of the newest rows lay far outside their intervals, it is wider by their median error.
"""

from dataclasses import dataclass, replace

import numpy as np
from typing_extensions import override

from aiops_assets.learners.contracts import Flags, Forecast
from aiops_assets.learners.forecasters.features import REACH_DAYS, MetricFeatures, Steps
from aiops_assets.learners.forecasters.learned import LearnedForecaster
from aiops_assets.timeseries.history import History, steps_a_day
from aiops_assets.timeseries.series import Floats

SHARPNESS = 4
"""Exponent of the errors in the weights: with half the error a forecast counts sixteen times."""
MIN_ROWS = 24
"""A history of fewer rows has too few origins to judge from."""
MAX_ROWS, ORIGINS = 144, 36
"""At most so many of the newest rows are forecast, from so many origins: errors of a day ago say little of now."""
NEIGHBOURS = 3
"""Errors up to a third of the horizon nearer or farther ahead count together: far ahead there are few of them."""
NEWEST_ROWS = 12
OUTSIDE_MARGINS = 1.5
"""An error of more than so many times its side's margin lies far outside the interval."""


@dataclass(frozen=True)
class RecentErrors:
    """Recent errors: of n pairs of an origin and a known row after it.

    Attributes:
        h: (n,) steps ahead.
        learned, last: (n,) absolute errors of the learned forecaster and of the last value, in the metric's scale.
        outside: (n,) whether the row lay far outside its interval.
        newest: (n,) whether the row is one of the newest.
    """

    h: Steps
    learned: Floats
    last: Floats
    outside: Flags
    newest: Flags


class BlendedForecaster(LearnedForecaster):
    """A learned forecaster whose medians are blended with the last value, by the recent errors of both."""

    @override
    def forecast(self, history: History, horizon: int) -> Forecast:
        learned = super().forecast(history, horizon)
        day = steps_a_day(history.step_seconds)
        known = history.newest(self.memory or REACH_DAYS * day + MAX_ROWS)
        if len(known.times) < MIN_ROWS:
            return learned
        lower, value, upper = learned.lower.copy(), learned.value.copy(), learned.upper.copy()
        for m, values in enumerate(known.values.T):
            one = MetricFeatures(values, day, self._scale(history.values[:, m], m, day), self.memory, known.begin)
            recent = self._recent_errors(one, m, known.known[:, m])
            if recent is None:
                continue
            value[:, m] += (1 - _learned_weights(recent, horizon)) * (values[-1] - learned.value[:, m])
            reach = _widening(recent) * one.scale
            lower[:, m] = value[:, m] - (learned.value - learned.lower)[:, m] - reach
            upper[:, m] = value[:, m] + (learned.upper - learned.value)[:, m] + reach
            if (history.values[:, m] >= 0).all():
                lower[:, m] = np.maximum(lower[:, m], 0.0)
        return replace(learned, value=value, lower=np.minimum(lower, value), upper=np.maximum(upper, value))

    def _recent_errors(self, one: MetricFeatures, m: int, known: Flags) -> RecentErrors | None:
        t, h = _pairs(known)
        if not len(t):
            return None
        error = one.target(t, h) - self._predict(one.matrix(t, np.minimum(h, self.reach)), np.full(len(t), m))
        below, above = self._margins(h) * self.widths[m] * self._local(one, m, t)
        outside = np.abs(error) > OUTSIDE_MARGINS * np.where(error < 0, -below, above)
        last = np.abs(one.values[t + h] - one.values[t])
        return RecentErrors(h, np.abs(error) * one.unit[t], last, outside, t + h >= len(known) - NEWEST_ROWS)


def _learned_weights(recent: RecentErrors, horizon: int) -> Floats:
    """(horizon,) 0-1, the weight of the learned forecast."""
    weights = np.ones(horizon)
    for ahead in range(1, horizon + 1):
        near = np.abs(recent.h - min(ahead, recent.h.max())) <= ahead // NEIGHBOURS
        if not near.any():
            weights[ahead - 1] = weights[max(ahead - 2, 0)]
            continue
        ours, theirs = (float(wrong[near].mean()) ** SHARPNESS for wrong in (recent.learned, recent.last))
        weights[ahead - 1] = theirs / (ours + theirs) if ours + theirs > 0 else 1.0
    return weights


def _widening(recent: RecentErrors) -> float:
    """The median error of the newest rows where most of them lay far outside their intervals; else 0."""
    if not recent.newest.any() or recent.outside[recent.newest].mean() <= 0.5:
        return 0.0
    return float(np.median(recent.learned[recent.newest]))


def _pairs(known: Flags) -> tuple[Steps, Steps]:
    """Origins in the newer half, at most of :data:`MAX_ROWS`, and the steps after them, up to half as many."""
    rows = len(known)
    newest = min(rows // 2, MAX_ROWS)
    origins = np.unique(np.linspace(rows - newest, rows - 2, min(ORIGINS, newest - 1)).astype(np.int64))
    t, h = (grid.ravel() for grid in np.meshgrid(origins, np.arange(1, newest // 2 + 1)))
    inside = t + h < rows
    t, h = t[inside], h[inside]
    known_pairs = known[t] & known[t + h]
    return t[known_pairs], h[known_pairs]
