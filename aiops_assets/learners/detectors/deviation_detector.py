"""Base class of window detectors on deviations: terms, their calibration on training rows, a score, alerts.

A deviation is how far a metric is from its expected value, per row and metric, of some kind.

1. Each is divided by a scale: the training rows' 99 % quantile, corrected by how large the metric's deviations have
   been lately compared with training (exponentially weighted mean, half-life three days, and a day of prior).
2. A term is the mean over the metrics, or over the fifth that deviates most, smoothed causally; its training median
   is 0 and its 99 % quantile 1. The score is the sum of the terms.
3. An alert is a score above a threshold that moves, while a metric is at an unusual value: :mod:`alert_rule`.
4. After less than a day of training, rows are ranked by a spread of terms that keeps learning: :mod:`online_spread`.

Counters are read as their increases. A metric's unit does not matter.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from aiops_assets.errors import ModelError
from aiops_assets.learners.contracts import Flags, Scored
from aiops_assets.learners.detectors.alert_rule import ALERT_BUDGET, KEPT_SCORES, alerts, thinned
from aiops_assets.learners.detectors.counters import counters_of, increases
from aiops_assets.learners.detectors.deviation_scores import (
    LEAST_SPREAD,
    MOST_TERM,
    SCALE_QUANTILE,
    contributions,
    learnt_ratios,
    scale_of,
    shares,
    smoothing_hours,
    total,
    training_grids,
)
from aiops_assets.learners.detectors.deviations import NOW
from aiops_assets.learners.detectors.online_spread import is_short, mixed, online_total
from aiops_assets.learners.detectors.raw_rows import Read
from aiops_assets.learners.detectors.rolling import rolling_mean
from aiops_assets.timeseries.frames import Grid, fits, on_grid
from aiops_assets.timeseries.series import Floats

Kinds = Mapping[str, Floats]
"""Kind -> (n_rows, n_metrics), NaN where unknown."""


@dataclass(frozen=True)
class Term:
    """A kind of deviation, over which metrics it is averaged ("all", or "top": the largest fifth), and how smooth."""

    kind: str
    over: str
    hours: float


@dataclass(frozen=True)
class Calibration:
    """Deviations, terms and scores of training rows, by which those of later rows are measured.

    ``rows`` are those of the entity with most. ``quantile`` and ``mean`` are (n_kinds, n_metrics) of deviations, see
    :func:`learnt_ratios`; ``hours`` (smoothing), ``middle`` and ``spread`` (n_terms,) of terms; ``scores`` up to 1,000
    scores in order of size; ``counters``
    (n_metrics,) 1 where a metric counts; ``now`` (n_kinds_of_now,) 99 % quantiles of the mean over the metrics.
    """

    step_seconds: int
    rows: int
    quantile: Floats
    mean: Floats
    hours: Floats
    middle: Floats
    spread: Floats
    scores: Floats
    counters: Floats
    now: Floats


CALIBRATION_ARRAYS = ("quantile", "mean", "hours", "middle", "spread", "scores", "counters", "now")


class DeviationDetector(ABC):
    """A window detector over any numeric columns; a subclass computes deviations, and fits what they need.

    Args:
        columns: names of the columns, in order.
        alert_budget: share of the time that may be under alert, 0 to 0.5.
    """

    terms: tuple[Term, ...]
    kinds: tuple[str, ...]
    """Kinds of deviation that the terms are made of, in the order of scales."""
    kinds_of_contributions: tuple[str, ...]
    """Kinds that show which metric deviates now."""
    least_seen_share = 0.0
    """A kind that is known in a smaller share of the training rows (without days to compare with, say) is left out."""
    most_term = MOST_TERM
    """What one term counts at most."""

    def __init__(self, columns: Sequence[str], alert_budget: float = ALERT_BUDGET) -> None:
        if not columns:
            raise ModelError("no numeric column: at least one is needed", code="no_columns")
        if not 0.0 < alert_budget <= 0.5:
            raise ModelError(
                f"an alert budget of {alert_budget}: a share of the time above 0, at most 0.5, is needed",
                code="bad_alert_budget",
                alert_budget=alert_budget,
            )
        self.columns = tuple(columns)
        self.alert_budget = alert_budget
        self._calibration: Calibration | None = None

    @abstractmethod
    def _deviations(self, grid: Grid) -> Kinds:
        """Deviations of each kind, by a fitted detector."""

    @property
    def step_seconds(self) -> int:
        """Cadence of the training rows."""
        return self._require_fitted().step_seconds

    def score(self, frame: pd.DataFrame) -> Scored:
        """Score, alert and contributions of every row of one entity's frame, from this and earlier rows.

        Raises:
            ModelError: not fitted, or rows at another cadence than the training rows.
            SchemaError: a column is missing or holds no numbers.
        """
        calibration = self._require_fitted()
        if not fits(frame["timestamp"], calibration.step_seconds):
            raise ModelError(
                f"rows of another cadence than {calibration.step_seconds} s, that of training: resample them",
                code="other_cadence",
                step_seconds=calibration.step_seconds,
            )
        grid, ratios, terms = self._terms(frame, calibration)
        score = total(terms, calibration.middle, calibration.spread, self.most_term)
        known = np.isfinite(grid.values).any(axis=1)
        score[~known] = calibration.scores[0]  # nothing is known: as normal as the most normal training row
        now = unusual_now(ratios, calibration)
        alert = alerts(score, now, calibration.scores, calibration.rows, grid, self.alert_budget) & known
        if is_short(calibration.rows, calibration.step_seconds):
            online = online_total(terms, calibration.spread, self.most_term, grid)
            score = np.where(known, mixed(score, online), score)
        at = grid.position
        parts = contributions((ratios[kind] for kind in self.kinds_of_contributions), grid)
        return Scored(score[at], alert[at], parts[at], None if now is None else now[at])

    @property
    def runs(self) -> bool:
        """Whether its newest rows can be scored alone, see :mod:`running_scores`."""
        return self._calibration is not None and len(self._calibration.now) > 0

    @property
    def calibration(self) -> Calibration:
        """The calibration of the fit. Raises ModelError before a fit."""
        return self._require_fitted()

    def increases(self, values: Floats) -> Floats:
        """(n_rows, n_entities, n_columns) raw rows with counters as increases."""
        counters = np.tile(self._require_fitted().counters > 0, values.shape[1])
        return increases(values.reshape(len(values), len(counters)), counters).reshape(values.shape)

    @abstractmethod
    def newest_deviations(self, rows: Read, first: int) -> Kinds:
        """Kind -> (n_rows - first, n_entities, n_columns) of the rows from ``first`` on, by a fitted detector."""

    def _terms(self, frame: pd.DataFrame, calibration: Calibration) -> tuple[Grid, Kinds, Floats]:
        """The rows' grid, their deviations in units of scales, and (n_rows, n_terms) terms, not yet normalised."""
        grid = _read(on_grid(frame, self.columns, calibration.step_seconds), calibration.counters > 0)
        ratios = self._ratios(self._deviations(grid), grid, calibration.quantile, calibration.mean)
        return grid, ratios, self._smoothed(ratios, grid, calibration.hours)

    def _require_fitted(self) -> Calibration:
        if self._calibration is None:
            raise ModelError("the detector is not fitted", code="not_fitted")
        return self._calibration

    def _training_grids(self, frames: Sequence[pd.DataFrame], step_seconds: int | None) -> tuple[list[Grid], Flags]:
        """Training rows of each entity, counters as increases; which columns count."""
        grids = training_grids(frames, self.columns, step_seconds)
        counters = counters_of([grid.values for grid in grids])
        return [_read(grid, counters) for grid in grids], counters

    def _calibrate(
        self,
        grids: Sequence[Grid],
        found: Sequence[Kinds],
        floors: Mapping[str, Floats | float],
        counters: Flags,
    ) -> Calibration:
        """The calibration by each grid's training deviations; ``floors``: of each kind, what is too small to count."""
        trained = [np.concatenate([kinds[kind] for kinds in found]) for kind in self.kinds]
        floor = [floors[kind] for kind in self.kinds]
        scales = [scale_of(*one, self.least_seen_share) for one in zip(trained, floor, strict=True)]
        quantile, mean = (np.array(part) for part in zip(*scales, strict=True))
        hours = smoothing_hours([term.hours for term in self.terms], grids)
        ratios = [self._ratios(kinds, grid, quantile, mean) for kinds, grid in zip(found, grids, strict=True)]
        smoothed = [self._smoothed(one, grid, hours) for one, grid in zip(ratios, grids, strict=True)]
        known = np.concatenate([np.isfinite(grid.values).any(axis=1) for grid in grids])
        terms, now = np.concatenate(smoothed)[known], np.concatenate(list(map(_together, ratios)))[known]
        middle, upper = np.quantile(terms, [0.5, SCALE_QUANTILE], axis=0)
        spread = np.maximum(upper - middle, LEAST_SPREAD)
        scores = thinned(np.sort(total(terms, middle, spread, self.most_term)), KEPT_SCORES)
        usual_now = np.maximum(np.quantile(now, SCALE_QUANTILE, axis=0), LEAST_SPREAD)
        return Calibration(
            step_seconds=grids[0].step_seconds,
            rows=max(len(grid.values) for grid in grids),
            quantile=quantile,
            mean=mean,
            hours=hours,
            middle=middle,
            spread=spread,
            scores=scores,
            counters=counters.astype(np.float64),
            now=usual_now,
        )

    def _ratios(self, found: Kinds, grid: Grid, quantile: Floats, mean: Floats) -> Kinds:
        """Deviations in units of a scale that keeps learning."""
        scales = zip(self.kinds, quantile, mean, strict=True)
        return {kind: learnt_ratios(found[kind], upper, middle, grid) for kind, upper, middle in scales}

    def _smoothed(self, ratios: Kinds, grid: Grid, hours: Floats) -> Floats:
        """(n_rows, n_terms), not yet normalised."""
        means = [shares(ratios[term.kind], term.over).sum(axis=1) for term in self.terms]
        return np.stack([rolling_mean(m, grid.rows(h)) for m, h in zip(means, hours, strict=True)], axis=1)


def _read(grid: Grid, counters: Flags) -> Grid:
    return replace(grid, values=increases(grid.values, counters))


def _together(ratios: Kinds) -> Floats:
    """(n_rows, n_kinds_of_now) mean over the metrics of each kind that says whether something is wrong now."""
    return np.stack([shares(ratios[kind], "all").sum(axis=1) for kind in NOW], axis=1)


def unusual_now(ratios: Kinds, calibration: Calibration) -> Floats | None:
    """(n_rows,) how unusual the row's own values are; ``None`` where an earlier release calibrated nothing of it."""
    if not len(calibration.now):
        return None
    largest: Floats = (_together(ratios) / calibration.now).max(axis=1)
    return largest
