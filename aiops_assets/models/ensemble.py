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
from aiops_assets.models.deviation_scores import (
    ALERT_BUDGET,
    KEPT_SCORES,
    LEAST_TRAIN_ROWS,
    SCALE_QUANTILE,
    contributions,
    learnt_ratios,
    least_scale,
    require_budget,
    shares,
    smoothing_hours,
    thinned,
    total,
    trailing_threshold,
    training_grids,
)
from aiops_assets.models.deviations import Forecast, deviations, fit_forecast, rolling_mean
from aiops_assets.timeseries.frames import Grid, fits, on_grid
from aiops_assets.timeseries.series import Floats

LEAST_SEEN_SHARE = 0.1
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
        require_budget(columns, alert_budget)
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
        grids = training_grids(frames, self.columns, step_seconds)
        step = grids[0].step_seconds
        forecast = fit_forecast([grid.values for grid in grids])
        least = least_scale(np.concatenate([grid.values for grid in grids]))
        kinds = [deviations(grid, forecast) for grid in grids]
        quantile, mean = _scales({kind: np.concatenate([d[kind] for d in kinds]) for kind in KINDS}, least)
        hours = smoothing_hours([term.hours for term in TERMS], grids)
        draft = _State(step, forecast, quantile, mean, hours, np.zeros(len(TERMS)), np.ones(len(TERMS)), np.zeros(0))
        terms = np.concatenate(
            [_terms(_ratios(d, grid, draft), grid, draft) for d, grid in zip(kinds, grids, strict=True)]
        )
        terms = terms[np.concatenate([np.isfinite(grid.values).any(axis=1) for grid in grids])]
        middle, upper = np.quantile(terms, [0.5, SCALE_QUANTILE], axis=0)
        normalised = replace(draft, middle=middle, spread=np.maximum(upper - middle, 1e-9))
        self._state = replace(normalised, scores=thinned(np.sort(_total(terms, normalised)), KEPT_SCORES))

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
        alert = (score > trailing_threshold(state.scores, score, grid, self.alert_budget)) & known
        at = grid.position
        return Scored(score[at], alert[at], contributions((ratios[kind] for kind in KINDS_OF_NOW), grid)[at])

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


Kinds = Mapping[str, Floats]
_ARRAYS = ("quantile", "mean", "hours", "middle", "spread", "scores")


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
    return {kind: learnt_ratios(kinds[kind], state.quantile[i], state.mean[i], grid) for i, kind in enumerate(KINDS)}


def _terms(ratios: Kinds, grid: Grid, state: _State) -> Floats:
    """(n_rows, n_terms), smoothed, not yet normalised."""
    means = [shares(ratios[term.kind], term.over).sum(axis=1) for term in TERMS]
    return np.stack([rolling_mean(m, grid.rows(h)) for m, h in zip(means, state.hours, strict=True)], axis=1)


def _total(terms: Floats, state: _State) -> Floats:
    return total(terms, state.middle, state.spread)
