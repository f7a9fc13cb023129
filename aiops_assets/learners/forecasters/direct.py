"""Base class of forecasters with one model for all metrics and all horizons up to a day, and conformal intervals.

A metric is taken relative to the median of its last day, in units of its own scale, and the number of steps ahead is a
feature (the "direct" strategy of multi-step forecasting, as against one step after the other). A subclass predicts
(origin, steps ahead) pairs, and gives its errors on pairs that it has not learnt from. The intervals are quantiles of
these errors in units of the spread around their origin (split conformal prediction; over blocks of time,
cross-conformal prediction: Vovk 2015).
"""

import itertools
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from aiops_assets.errors import DataError, ModelError
from aiops_assets.learners.contracts import Flags, Forecast
from aiops_assets.learners.forecasters.features import REACH_DAYS, MetricFeatures, Steps, own_scale
from aiops_assets.timeseries.history import History, steps_a_day
from aiops_assets.timeseries.series import Floats

COVERAGE = 0.8
PAIRS = 30_000
"""So many (origin, steps ahead) pairs are learnt from, of all metrics together."""
HISTORY_PAIRS = 16_000
"""So many where all of a history is known at an origin: newer origins are drawn more often than older ones."""
REMEMBERED_PAIRS = 15_000
"""So many pairs where an origin remembers a day or less: there is less to learn."""
MIN_PAIRS = 200
"""So many pairs at least are drawn of each metric."""
SPREAD_EXPONENT = 0.5
"""An interval's width follows the spread around its origin with this exponent."""
QUIET_SHARE, MIN_SPREAD = 0.25, 1e-3
"""A share of the metric's median spread, and a constant, are added to that spread: a quiet hour is not a quiet day."""
MIN_STILL_ROWS = 12
"""A metric whose rows are all equal is forecast to stay, from so many rows on."""
BINS = 10
"""Steps ahead fall into so many bins, each wider than the one before by the same factor: errors grow fast at first."""
STATE = ("seed", "memory", "metrics", "step_seconds", "scales", "usual_spread", "reach", "margins", "widths")


@dataclass(frozen=True)
class Pairs:
    """Training data: n pairs of a forecast origin and a step after it.

    Attributes:
        x: (n, n_features) what is known at the origin, see :mod:`aiops_assets.learners.forecasters.features`.
        y: (n,) the value at the step.
        t: (n,) rows of the origins; of other histories counted from the end, which they share.
        h: (n,) steps ahead, from 1.
        metric: (n,) positions of the metrics.
        local: (n,) the unit of errors, from the metric's spread around the origin.
        own: (n,) whether the pair is of the history itself, from whose errors intervals are made.
        first: the first row that may be an origin.
        rows: number of rows of the history.
        day: number of rows in a day.
    """

    x: Floats
    y: Floats
    t: Steps
    h: Steps
    metric: Steps
    local: Floats
    own: Flags
    first: int
    rows: int
    day: int


class DirectForecaster(ABC):
    """Forecasts several metrics at once, up to a day ahead, by one model of all (origin, steps ahead) pairs.

    Args:
        seed: makes the drawn pairs reproducible.
        memory: rows that are known at an origin, it and those before it; all there are by default.
    """

    def __init__(self, seed: int = 42, memory: int | None = None) -> None:
        self.seed, self.memory = seed, memory
        self.metrics: tuple[str, ...] = ()
        self.step_seconds = 0

    @abstractmethod
    def _learn(self, pairs: Pairs) -> Floats:
        """Learn from pairs; return their errors (n,) by models that did not see them, NaN where there is none."""

    @abstractmethod
    def _predict(self, x: Floats, metric: Steps) -> Floats:
        """Predictions of pairs.

        Args:
            x: (n_pairs, n_features), see :mod:`aiops_assets.learners.forecasters.features`.
            metric: (n_pairs,) positions of the metrics.

        Returns:
            (n_pairs,) in units of :meth:`MetricFeatures.target`.
        """

    def fit(self, history: History, *, alike: Sequence[History] = (), others: Sequence[History] = ()) -> None:
        """Fit the model, and calibrate its intervals.

        Args:
            history: up to the end of what may be known.
            alike: histories of the same series at other instants, learnt from in the same way.
            others: histories of other entities, to the same end; learnt from, but not used for intervals.

        Raises:
            ModelError: no metric has samples to learn from, or another history has other metrics or steps.
        """
        self.metrics, self.step_seconds = history.metrics, history.step_seconds
        everything = [history, *alike, *others]
        if any((one.metrics, one.step_seconds) != (self.metrics, self.step_seconds) for one in everything):
            raise ModelError("the histories are not of the same metrics and steps", code="different_histories")
        rows, day = len(history.times), steps_a_day(history.step_seconds)
        first = min(day, rows // 3)
        self.reach = max(1, min(day, rows - 1 - first))
        rng = np.random.default_rng(self.seed)
        total = sum(len(one.times) for one in everything)
        pairs = HISTORY_PAIRS if self.memory is None else PAIRS if self.memory > day else REMEMBERED_PAIRS
        parts = []
        for i, one in enumerate(everything):
            scales = [own_scale(column, day) for column in one.values.T]
            features = [
                MetricFeatures(column, day, scale or 1.0, self.memory, one.begin)
                for column, scale in zip(one.values.T, scales, strict=True)
            ]
            if i == 0:
                self.scales = scales
                self.usual_spread = [float(np.median(metric.spread)) for metric in features]
            share = max(round(pairs / len(features) * len(one.times) / total), MIN_PAIRS)
            for m, metric in enumerate(features):
                t, h = draw_pairs(
                    one.known[:, m],
                    min(first, len(one.times) // 3),
                    self.reach,
                    share,
                    rng,
                    newer_first=self.memory is None,
                )
                at = t + rows - len(one.times)
                own = np.full(len(t), i <= len(alike))
                x, y = metric.matrix(t, h), metric.target(t, h)
                parts.append((x, y, at, h, np.full(len(t), m), self._local(metric, m, t), own))
        if not any(len(part[0]) for part in parts):
            raise ModelError(
                "no metric has samples from which a forecast could be learnt: bring a longer history", code="no_samples"
            )
        x, y, t, h, which, local, own = (np.concatenate(column) for column in zip(*parts, strict=True))
        learnt = Pairs(x, y, t, h, which, local, own, first=first, rows=rows, day=day)
        self._calibrate(self._learn(learnt) / learnt.local, learnt)

    def forecast(self, history: History, horizon: int) -> Forecast:
        """Median and interval of the next steps of each metric.

        Args:
            history: one of the same metrics and step, up to the forecast origin; one row is enough.
            horizon: number of steps, 1 to a day's.

        Raises:
            DataError: a horizon outside that.
            ModelError: not fitted, or fitted on other metrics or another step.
        """
        require_same(self.metrics, self.step_seconds, history)
        day = steps_a_day(self.step_seconds)
        require_horizon(horizon, self.step_seconds)
        whole, history = history, history.newest(self.memory or REACH_DAYS * day)
        rows = len(whole.times)
        h = np.arange(1, horizon + 1)
        t = np.full(horizon, len(history.times) - 1)
        value, lower, upper = (np.empty((horizon, len(self.metrics))) for _ in range(3))
        for m, column in enumerate(history.values.T):
            one = MetricFeatures(column, day, self._scale(whole.values[:, m], m, day), self.memory, history.begin)
            middle = self._predict(one.matrix(t, np.minimum(h, self.reach)), np.full(horizon, m))
            if rows >= MIN_STILL_ROWS and np.ptp(whole.values[:, m]) == 0:
                middle = np.zeros(horizon)  # what never moved stays where it is
            below, above = self._margins(h) * self.widths[m] * self._local(one, m, t)
            # A metric that was never below zero is a rate or a share, and stays above.
            least = 0.0 if whole.values[:, m].min() >= 0 else -np.inf
            for side, by in ((value, 0.0), (lower, below), (upper, above)):
                side[:, m] = np.maximum(one.unscaled(t, middle + by), least)
        return Forecast(history.metrics, history.after(horizon), value, lower, upper)

    def _scale(self, values: Floats, m: int, day: int) -> float:
        """The metric's own scale by a day of history; that of the fit for shorter ones and for what never moves."""
        has_day = len(values) >= day and (self.memory is None or self.memory >= day)
        return (own_scale(values, day) if has_day else 0.0) or self.scales[m] or 1.0

    def state(self) -> dict[str, Any]:
        """All that was learnt, as plain numbers, arrays and a library's own estimators."""
        return {name: getattr(self, name) for name in STATE}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Set a state that :meth:`state` returned. Raises KeyError: something is missing."""
        for name in STATE:
            setattr(self, name, state[name])

    def _local(self, one: MetricFeatures, m: int, t: Steps) -> Floats:
        local: Floats = (one.spread[t] + QUIET_SHARE * self.usual_spread[m] + MIN_SPREAD) ** SPREAD_EXPONENT
        return local

    def _calibrate(self, errors: Floats, pairs: Pairs) -> None:
        """Margins by steps ahead from the errors of all metrics, and the factor by which each metric's are wider."""
        measured = np.isfinite(errors) & pairs.own
        errors, steps, metric = errors[measured], pairs.h[measured], pairs.metric[measured]
        tail = (1 - COVERAGE) / 2
        edges = np.unique(np.round(np.geomspace(1, self.reach + 1, BINS + 1)).astype(int))
        found = []
        for begin, end in itertools.pairwise(edges):
            here = (steps >= begin) & (steps < end)
            if here.any():
                low, high = np.quantile(errors[here], [tail, 1 - tail])
                found.append((steps[here].mean(), min(low, 0.0), max(high, 0.0)))
        ahead, low, high = np.array(found or [(1.0, 0.0, 0.0)]).T
        # What is farther away is not surer.
        self.margins = np.stack([ahead, np.minimum.accumulate(low), np.maximum.accumulate(high)])
        needed = np.max([_share(errors, margin) for margin in self._margins(steps)], axis=0)
        self.widths = [_quantile(needed[metric == m]) for m in range(len(self.metrics))]

    def _margins(self, h: Steps) -> Floats:
        """(2, n): below and above, for so many steps ahead; after the farthest error they grow as a random walk's."""
        ahead, *sides = self.margins
        known = np.minimum(h, self.reach)
        return np.stack([np.interp(np.log(known), np.log(ahead), side) for side in sides]) * np.sqrt(h / known)


def require_same(metrics: tuple[str, ...], step_seconds: int, history: History) -> None:
    """Check that a history has the metrics and steps of the fit, and finite values. Raises ModelError."""
    if not np.isfinite(history.values).all():
        raise ModelError(
            "the history holds values that are not finite: make it by history_of, which fills gaps", code="not_finite"
        )
    if not metrics or (history.metrics, history.step_seconds) != (metrics, step_seconds):
        raise ModelError(
            f"fitted on {', '.join(metrics) or 'nothing'} in steps of {step_seconds} s, given "
            f"{', '.join(history.metrics)} in steps of {history.step_seconds} s: fit it on these first",
            code="fitted_on_others",
            fitted=(metrics, step_seconds),
            asked=(history.metrics, history.step_seconds),
        )


def require_horizon(horizon: int, step_seconds: int) -> None:
    """Check that a horizon is 1 to a day's steps. Raises DataError."""
    day = steps_a_day(step_seconds)
    if not 1 <= horizon <= day:
        raise DataError(
            f"horizon {horizon}: 1 to {day} steps of {step_seconds} s can be forecast, a day",
            code="bad_horizon",
            horizon=horizon,
            most=day,
            step_seconds=step_seconds,
        )


def draw_pairs(
    known: Flags, first: int, reach: int, how_many: int, rng: np.random.Generator, newer_first: bool = False
) -> tuple[Steps, Steps]:
    """Origins, and steps ahead of them evenly on a logarithmic scale: pairs of rows with samples, (n,) each.

    With ``newer_first`` the density of origins rises from half its mean at the first row to one and a half at the last.
    """
    h = np.floor(np.exp(rng.uniform(0, np.log(reach + 1), how_many))).astype(np.int64).clip(1, reach)
    last = max(len(known) - 1, first + 1)
    if newer_first:
        share = np.sqrt(0.25 + 2 * rng.uniform(0, 1, how_many)) - 0.5
        t = first + np.floor(share * (last - first)).astype(np.int64)
    else:
        t = rng.integers(first, last, how_many)
    inside = t + h < len(known)
    t, h = t[inside], h[inside]
    # In a gap stands what lies between its ends, of which one came later.
    learnt = known[t] & known[t + h]
    return t[learnt], h[learnt]


def _share(errors: Floats, margin: Floats) -> Floats:
    """An error as a share of its side's margin: above 1 it is outside; negative on the other side."""
    share: Floats = np.divide(errors, margin, out=np.zeros_like(errors), where=margin != 0)
    return share


def _quantile(needed: Floats) -> float:
    return float(np.quantile(needed, COVERAGE)) if len(needed) else 1.0
