"""Base class of window detectors on deviations: terms, their calibration on training rows, a score, alerts.

A deviation is how far a metric is from its expected value, per row and metric, of some kind.

1. Each is divided by a scale: the training rows' 99 % quantile, corrected by how large the metric's deviations have
   been lately compared with training (exponentially weighted mean, half-life three days, and a day of prior).
2. A term is the mean over the metrics, or over the fifth that deviates most, smoothed causally; its training median
   is 0 and its 99 % quantile 1. The score is the sum of the terms.
3. An alert is a score above the trailing quantile of the last seven days that the requested budget leaves.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from aiops_assets.errors import ModelError
from aiops_assets.learners.contracts import Scored
from aiops_assets.learners.detectors.deviation_scores import (
    ALERT_BUDGET,
    KEPT_SCORES,
    MIN_TRAIN_ROWS,
    SCALE_QUANTILE,
    contributions,
    learnt_ratios,
    shares,
    smoothing_hours,
    thinned,
    total,
    trailing_threshold,
)
from aiops_assets.learners.detectors.deviations import rolling_mean
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

    ``quantile`` and ``mean`` are (n_kinds, n_metrics) of deviations, 0 where there was none; ``hours`` (smoothing),
    ``middle`` and ``spread`` (n_terms,) of terms; ``scores`` up to 1,000 scores in order of size.
    """

    step_seconds: int
    quantile: Floats
    mean: Floats
    hours: Floats
    middle: Floats
    spread: Floats
    scores: Floats


CALIBRATION_ARRAYS = ("quantile", "mean", "hours", "middle", "spread", "scores")


class DeviationDetector(ABC):
    """A window detector over any numeric columns; a subclass computes deviations, and fits what they need.

    Args:
        columns: names of the columns, in order.
        alert_budget: share of the time that may be under alert, 0 to 0.5.
    """

    terms: tuple[Term, ...]
    kinds: tuple[str, ...]
    """Kinds of deviation that the terms are made of, in the order of scales."""
    kinds_of_now: tuple[str, ...]
    """Kinds that show which metric deviates now: contributions are made of them."""
    least_seen_share = 0.0
    """A kind that is known in a smaller share of the training rows (without days to compare with, say) is left out."""
    least_spread: float
    """A term's 99 % quantile counts as at least so far above its median, in training."""

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
        grid = on_grid(frame, self.columns, calibration.step_seconds)
        ratios = self._ratios(self._deviations(grid), grid, calibration.quantile, calibration.mean)
        score = total(self._smoothed(ratios, grid, calibration.hours), calibration.middle, calibration.spread)
        known = np.isfinite(grid.values).any(axis=1)
        score[~known] = calibration.scores[0]  # nothing is known: as normal as the most normal training row
        alert = (score > trailing_threshold(calibration.scores, score, grid, self.alert_budget)) & known
        at = grid.position
        return Scored(score[at], alert[at], contributions((ratios[kind] for kind in self.kinds_of_now), grid)[at])

    def _require_fitted(self) -> Calibration:
        if self._calibration is None:
            raise ModelError("the detector is not fitted", code="not_fitted")
        return self._calibration

    def _calibrate(
        self, grids: Sequence[Grid], found: Sequence[Kinds], floors: Mapping[str, Floats | float]
    ) -> Calibration:
        """The calibration by each grid's training deviations; ``floors``: of each kind, what is too small to count."""
        scales = [self._scale(np.concatenate([kinds[kind] for kinds in found]), floors[kind]) for kind in self.kinds]
        quantile, mean = (np.array(part) for part in zip(*scales, strict=True))
        hours = smoothing_hours([term.hours for term in self.terms], grids)
        terms = np.concatenate(
            [
                self._smoothed(self._ratios(kinds, grid, quantile, mean), grid, hours)
                for kinds, grid in zip(found, grids, strict=True)
            ]
        )
        terms = terms[np.concatenate([np.isfinite(grid.values).any(axis=1) for grid in grids])]
        middle, upper = np.quantile(terms, [0.5, SCALE_QUANTILE], axis=0)
        spread = np.maximum(upper - middle, self.least_spread)
        scores = thinned(np.sort(total(terms, middle, spread)), KEPT_SCORES)
        return Calibration(grids[0].step_seconds, quantile, mean, hours, middle, spread, scores)

    def _scale(self, found: Floats, floor: Floats | float) -> tuple[Floats, Floats]:
        """(n_metrics,) quantile and mean of one kind's training deviations, (n_rows, n_metrics); zeros: hardly seen."""
        known = np.isfinite(found).sum(axis=0)
        at = np.maximum(np.ceil(SCALE_QUANTILE * known).astype(int) - 1, 0)
        upper = np.sort(found, axis=0)[at, np.arange(found.shape[1])]  # NaN are last
        seen = known >= max(MIN_TRAIN_ROWS // 2, self.least_seen_share * len(found))
        mean = np.nansum(found, axis=0) / np.maximum(known, 1)
        return np.where(seen, np.nan_to_num(upper, nan=0.0) + floor, 0.0), np.where(seen, mean + floor, 0.0)

    def _ratios(self, found: Kinds, grid: Grid, quantile: Floats, mean: Floats) -> Kinds:
        """Deviations in units of a scale that keeps learning."""
        scales = zip(self.kinds, quantile, mean, strict=True)
        return {kind: learnt_ratios(found[kind], upper, middle, grid) for kind, upper, middle in scales}

    def _smoothed(self, ratios: Kinds, grid: Grid, hours: Floats) -> Floats:
        """(n_rows, n_terms), not yet normalised."""
        means = [shares(ratios[term.kind], term.over).sum(axis=1) for term in self.terms]
        return np.stack([rolling_mean(m, grid.rows(h)) for m, h in zip(means, hours, strict=True)], axis=1)
