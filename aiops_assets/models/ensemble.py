"""ensemble-predictor: different kinds of deviation, each normalised on training rows, added up.

What makes it work (measured: README, "How good it is"): changes instead of levels, since levels drift; kinds that
fail in different ways; sharp terms beside slow ones; scales and alert threshold that keep learning after training.

1. :mod:`deviations` yields six kinds, per metric.
2. Each is divided by a scale: the training rows' 99 % quantile, corrected by how large the metric's deviations have
   been lately compared with training (exponentially weighted mean, half-life three days, and a day of prior).
3. A term is the mean over the metrics, or over the fifth that deviates most, smoothed causally; its training median
   is 0 and its 99 % quantile 1. The score is the sum of the terms.
4. An alert is a score above the trailing quantile of the last seven days that the asked budget leaves.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import pandas as pd

from aiops_assets.errors import ModelError
from aiops_assets.models.base import Scored
from aiops_assets.models.deviations import Forecast, deviations, fit_forecast, rolling_mean
from aiops_assets.timeseries.frames import Grid, cadence, fits, on_grid
from aiops_assets.timeseries.series import Floats

ALERT_BUDGET = 0.01
"""Share of the time that may be under alert."""
ALERT_DAYS = 7
SCALE_QUANTILE = 0.99
SCALE_HALF_LIFE_HOURS = 72.0
SCALE_PRIOR_HOURS = 24.0
SCALE_BOUNDS = (0.05, 20.0)
MOST_OF_SCALE = 20.0
"""A deviation counts at most this many times its scale: one metric must not drown the others."""
TERM_BOUNDS = (-1.0, 20.0)
TOP_SHARE = 0.2
LEAST_TRAIN_ROWS = 10
LEAST_SEEN_SHARE = 0.1
MOST_SMOOTHING_SHARE = 0.1
"""Of the training span: fewer than ten independent stretches do not tell how far a smoothed term wanders."""
KEPT_SCORES = 1000
FORMAT = 1


@dataclass(frozen=True)
class Term:
    """A kind of deviation, over which metrics it is averaged ("all", or "top": the largest fifth), and how smooth."""

    kind: str
    over: str
    hours: float


TERMS = (
    Term("change", "all", 0.0),
    Term("change", "top", 1.0),
    Term("change_1h", "all", 0.0),
    Term("seasonal", "all", 0.0),
    Term("forecast_error", "all", 0.5),
    Term("volatility", "top", 6.0),
    Term("level", "all", 6.0),
)
KINDS = tuple(dict.fromkeys(term.kind for term in TERMS))
KINDS_OF_NOW = tuple(kind for kind in KINDS if kind != "volatility")
LEAST_STANDARD = 1e-3
"""In standard deviations, the unit of a forecast's error: what is too small to count."""
USUAL_FLOOR = 0.3
"""In units of the scale: below it, a metric is quiet, and how quiet does not matter."""


@dataclass(frozen=True)
class _State:
    """What fitting leaves, all of it numbers.

    ``quantile`` and ``mean`` are (n_kinds, n_metrics) of training deviations; ``hours`` (smoothing), ``middle`` and
    ``spread`` (n_terms,); ``scores`` up to 1,000 training scores in order of size.
    """

    step_seconds: int
    forecast: Forecast
    quantile: Floats
    mean: Floats
    hours: Floats
    middle: Floats
    spread: Floats
    scores: Floats


class EnsemblePredictor:
    """A window detector over any numeric columns.

    Args:
        columns: which, in order.
        alert_budget: share of the time that may be under alert, 0 to 0.5.
    """

    def __init__(self, columns: Sequence[str], alert_budget: float = ALERT_BUDGET) -> None:
        if not columns:
            raise ModelError("no numeric column: at least one is needed")
        if not 0.0 < alert_budget <= 0.5:
            raise ModelError(f"an alert budget of {alert_budget}: a share of the time above 0, at most 0.5, is needed")
        self.columns = tuple(columns)
        self.alert_budget = alert_budget
        self._state: _State | None = None

    def fit(self, frames: Sequence[pd.DataFrame], step_seconds: int | None = None) -> None:
        """Learn from training rows what is usual.

        Args:
            frames: one of each entity (a pod, a server), in order of time: ``timestamp`` and the columns.
            step_seconds: cadence of the series; that of the longest frame by default.

        Raises:
            ModelError: fewer than ten rows, or no value at all.
            SchemaError: a column is missing or holds no numbers.
            DataError: no cadence between 10 s and 1 h.
        """
        rows = sum(map(len, frames))
        if rows < LEAST_TRAIN_ROWS:
            raise ModelError(f"{rows} training rows: at least {LEAST_TRAIN_ROWS} are needed, mark more")
        step = step_seconds or cadence(max(frames, key=len)["timestamp"])
        grids = [on_grid(frame, self.columns, step) for frame in frames]
        if not any(np.isfinite(grid.values).any() for grid in grids):
            raise ModelError("no training row has a value: is the metric scraped at all?")
        forecast = fit_forecast([grid.values for grid in grids])
        least = _least_scale(np.concatenate([grid.values for grid in grids]))
        kinds = [deviations(grid, forecast) for grid in grids]
        quantile, mean = _scales({kind: np.concatenate([d[kind] for d in kinds]) for kind in KINDS}, least)
        span = max(len(grid.values) for grid in grids) * step / 3600
        hours = np.minimum([term.hours for term in TERMS], MOST_SMOOTHING_SHARE * span)
        draft = _State(step, forecast, quantile, mean, hours, np.zeros(len(TERMS)), np.ones(len(TERMS)), np.zeros(0))
        terms = np.concatenate(
            [_terms(_ratios(d, grid, draft), grid, draft) for d, grid in zip(kinds, grids, strict=True)]
        )
        terms = terms[np.concatenate([np.isfinite(grid.values).any(axis=1) for grid in grids])]
        middle, upper = np.quantile(terms, [0.5, SCALE_QUANTILE], axis=0)
        normalised = replace(draft, middle=middle, spread=np.maximum(upper - middle, 1e-9))
        self._state = replace(normalised, scores=_thinned(np.sort(_total(terms, normalised)), KEPT_SCORES))

    def score(self, frame: pd.DataFrame) -> Scored:
        """Score, alert and contributions of every row of one entity's frame, from this and earlier rows.

        Raises:
            ModelError: not fitted, or rows at another cadence than the training rows.
            SchemaError: a column is missing or holds no numbers.
        """
        state = self._fitted()
        if not fits(frame["timestamp"], state.step_seconds):
            raise ModelError(f"rows of another cadence than {state.step_seconds} s, that of training: resample them")
        grid = on_grid(frame, self.columns, state.step_seconds)
        ratios = _ratios(deviations(grid, state.forecast), grid, state)
        score = _total(_terms(ratios, grid, state), state)
        known = np.isfinite(grid.values).any(axis=1)
        score[~known] = state.scores[0]  # nothing is known: nothing is said
        alert = (score > self._threshold(score, grid)) & known
        at = grid.position
        return Scored(score[at], alert[at], _contributions(ratios, grid)[at])

    def to_bytes(self) -> bytes:
        """The fitted detector as JSON: numbers only, nothing that runs when it is read."""
        state = self._fitted()
        document: dict[str, Any] = {
            "format": FORMAT,
            "columns": self.columns,
            "alert_budget": self.alert_budget,
            "step_seconds": state.step_seconds,
            "forecast": {field.name: getattr(state.forecast, field.name).tolist() for field in fields(Forecast)},
            "kinds": KINDS,
            **{name: getattr(state, name).tolist() for name in _ARRAYS},
        }
        return json.dumps(document, allow_nan=False).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> "EnsemblePredictor":
        """Read a file made by :meth:`to_bytes`.

        Raises:
            ModelError: it is none, or of another format.
        """
        try:
            document = json.loads(data)
            if document["format"] != FORMAT or tuple(document["kinds"]) != KINDS:
                raise ModelError("the model file is of another format: train it again with this release")
            detector = cls(document["columns"], document["alert_budget"])
            forecast = Forecast(**{name: np.array(value) for name, value in document["forecast"].items()})
            arrays = {name: np.array(document[name]) for name in _ARRAYS}
            detector._state = _State(int(document["step_seconds"]), forecast, **arrays)
        except (ValueError, KeyError, TypeError) as error:
            raise ModelError(f"not a model file of ensemble-predictor: {error}") from None
        return detector

    @property
    def step_seconds(self) -> int:
        """Cadence of the training rows."""
        return self._fitted().step_seconds

    def _fitted(self) -> _State:
        if self._state is None:
            raise ModelError("the detector is not fitted")
        return self._state

    def _threshold(self, score: Floats, grid: Grid) -> Floats:
        """(n_rows,) what a row must exceed: the quantile of the scores of the days before it, training's at first."""
        window = grid.rows(ALERT_DAYS * 24)
        before = _thinned(self._fitted().scores, window)
        trailing = pd.Series(np.concatenate([before, score])).rolling(window, min_periods=1)
        return trailing.quantile(1 - self.alert_budget, interpolation="higher").shift(1).to_numpy()[len(before) :]


Kinds = Mapping[str, Floats]
_ARRAYS = ("quantile", "mean", "hours", "middle", "spread", "scores")


def _thinned(ordered: Floats, most: int) -> Floats:
    """At most that many of the values, evenly over their order."""
    return ordered[np.linspace(0, len(ordered) - 1, min(most, len(ordered))).round().astype(int)]


def _least_scale(values: Floats) -> Floats:
    """(n_metrics,) what is too small to count in the unit of a metric: rounding noise of a constant, say."""
    known = np.isfinite(values)
    count = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, values, 0.0).sum(axis=0) / count
    deviation = np.sqrt(np.where(known, (values - mean) ** 2, 0.0).sum(axis=0) / count)
    return 1e-3 * deviation + 1e-6 * np.abs(mean) + 1e-9


def _scales(kinds: Kinds, least: Floats) -> tuple[Floats, Floats]:
    """Quantile and mean of each kind's training deviations, (n_kinds, n_metrics).

    A constant metric has tiny ones; zeros stand for a kind that training hardly saw (days to compare with, say).
    """
    quantiles, means = [], []
    for kind in KINDS:
        found = kinds[kind]
        floor = np.full_like(least, LEAST_STANDARD) if kind == "forecast_error" else least
        ordered = np.sort(found, axis=0)  # NaN last
        known = np.isfinite(found).sum(axis=0)
        at = np.maximum(np.ceil(SCALE_QUANTILE * known).astype(int) - 1, 0)
        seen = known >= max(LEAST_TRAIN_ROWS // 2, LEAST_SEEN_SHARE * len(found))
        upper = np.nan_to_num(ordered[at, np.arange(found.shape[1])], nan=0.0)
        quantiles.append(np.where(seen, upper + floor, 0.0))
        means.append(np.where(seen, np.nansum(found, axis=0) / np.maximum(known, 1) + floor, 0.0))
    return np.array(quantiles), np.array(means)


def _ratios(kinds: Kinds, grid: Grid, state: _State) -> Kinds:
    """Kind -> (n_rows, n_metrics) deviations in units of a scale that keeps learning; NaN where unknown."""
    alpha = 1 - 0.5 ** (1 / grid.rows(SCALE_HALF_LIFE_HOURS))
    prior = grid.rows(SCALE_PRIOR_HOURS)
    weight = ((1 - (1 - alpha) ** np.arange(len(grid.values))) / alpha)[:, np.newaxis]
    ratios = {}
    for i, kind in enumerate(KINDS):
        seen = state.quantile[i] > 0
        quantile, mean = (np.where(seen, kept[i], 1.0) for kept in (state.quantile, state.mean))
        found = np.where(seen, kinds[kind], np.nan)
        bounded = pd.DataFrame(np.minimum(found, MOST_OF_SCALE * quantile))
        lately = bounded.ewm(alpha=alpha).mean().shift(1).to_numpy()
        lately = np.where(np.isfinite(lately), lately, mean)
        learnt = (prior * mean + weight * lately) / (prior + weight)
        scale = quantile * np.clip(learnt / mean, *SCALE_BOUNDS)
        ratios[kind] = np.minimum(found / scale, MOST_OF_SCALE)
    return ratios


def _shares(ratios: Floats, over: str) -> Floats:
    """What each metric adds to the mean over all, or over the fifth that is largest: (n_rows, n_metrics)."""
    known = np.nan_to_num(ratios, nan=0.0)
    if over == "all":
        return known / np.maximum(np.isfinite(ratios).sum(axis=1, keepdims=True), 1)
    n = max(1, int(TOP_SHARE * ratios.shape[1]))
    if n == ratios.shape[1]:
        return known / n
    bar = np.partition(known, -n, axis=1)[:, -n][:, np.newaxis]
    return np.where(known >= bar, known, 0.0) / n


def _terms(ratios: Kinds, grid: Grid, state: _State) -> Floats:
    """(n_rows, n_terms), smoothed, not yet normalised."""
    means = [_shares(ratios[term.kind], term.over).sum(axis=1) for term in TERMS]
    return np.stack([rolling_mean(m, grid.rows(h)) for m, h in zip(means, state.hours, strict=True)], axis=1)


def _total(terms: Floats, state: _State) -> Floats:
    return np.clip((terms - state.middle) / state.spread, *TERM_BOUNDS).sum(axis=1)


def _contributions(ratios: Kinds, grid: Grid) -> Floats:
    """How unusual each metric is now beside its own last day, over the kinds that say "now"; rows sum to 1, or to 0.

    Not the score's own parts: those are smoothed, so that metrics that wander all day would come before the one that
    just jumped.
    """
    strength = np.zeros(grid.values.shape)
    alpha = 1 - 0.5 ** (1 / grid.rows(24))
    for kind in KINDS_OF_NOW:
        ratio = np.nan_to_num(ratios[kind], nan=0.0)
        usual = pd.DataFrame(ratio).ewm(alpha=alpha).mean().shift(1).to_numpy()
        strength += (ratio / (np.nan_to_num(usual, nan=0.0) + USUAL_FLOOR)) ** 2
    total = strength.sum(axis=1, keepdims=True)
    return strength / np.where(total > 0, total, 1.0)
