"""The alert rule of many entities at once, row by row: :func:`alert_rule.alerts`, with what it has to keep."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from aiops_assets.learners.contracts import Flags
from aiops_assets.learners.detectors.alert_rule import (
    ALERT_DAYS,
    BLOCK_HOURS,
    LASTING_HOURS,
    NOT_BACK,
    PEAK_HOURS,
    RECENT_HOURS,
    RULE,
    SHARE_OF_PEAK,
    spread_out,
)
from aiops_assets.learners.detectors.deviation_detector import Calibration
from aiops_assets.timeseries.frames import Grid
from aiops_assets.timeseries.series import Floats

Positions = npt.NDArray[np.int64]


@dataclass(frozen=True)
class AlertMemory:
    """How the rule stands after the rows so far; the first axis of each array are entities.

    Attributes:
        scores: (n, n_kept) scores so far, the newest last; NaN before the begin.
        counted: (n, n_kept) which of them count for later thresholds.
        threshold: (n,) of the present block of rows.
        high, quiet: (n,) rows of the present episode, and rows since its last one.
        now: (n, n_recent) of the last rows; -inf before the begin.
        since: (n,) rows since the last one at which something was unusual.
        stretch: (n,) whether the stretch of such rows has begun with a peak.
    """

    scores: Floats
    counted: Flags
    threshold: Floats
    high: Positions
    quiet: Positions
    now: Floats
    since: Positions
    stretch: Flags

    @classmethod
    def begun(cls, n: int, grid: Grid) -> "AlertMemory":
        """Of entities that have no row yet."""
        zeros = np.zeros(n, dtype=np.int64)
        kept = grid.rows(RECENT_HOURS) + grid.rows(PEAK_HOURS) - 2
        return cls(
            np.zeros((n, 0)),
            np.zeros((n, 0), dtype=bool),
            np.full(n, np.inf),
            zeros,
            zeros,
            np.full((n, kept), -np.inf),
            zeros + kept,
            np.zeros(n, dtype=bool),
        )


def running_alerts(
    score: Floats,
    now: Floats,
    seen: Positions,
    calibration: Calibration,
    grid: Grid,
    alert_budget: float,
    memory: AlertMemory,
) -> tuple[Flags, AlertMemory]:
    """(n_rows, n_entities) which rows are under alert, and the memory after the last one.

    Args:
        score, now: (n_rows, n_entities), NaN before an entity begins.
        seen: (n_rows, n_entities) rows of the entity before each row.
        calibration: scores of training rows, and how many rows of one entity they stand for.
        grid: for its cadence.
        alert_budget: share of the time that may be under alert.
        memory: after the row before the first.
    """
    n_rows = len(score)
    past = memory.scores.shape[1]
    scores = np.concatenate([memory.scores, score.T], axis=1)
    counted = np.concatenate([memory.counted, np.ones(score.T.shape, dtype=bool)], axis=1)
    high = _High(calibration, grid, alert_budget, memory)
    active = ~np.isnan(score)
    is_high = np.zeros(score.shape, dtype=bool)
    for i in range(n_rows):
        at = past + i
        for entity in np.flatnonzero(active[i] & (seen[i] % high.block == 0)):
            begin = at - int(seen[i, entity])
            high.move(int(entity), scores[entity, max(begin, 0) : at], counted[entity, max(begin, 0) : at])
        is_high[i], counted[:, at] = high.row(score[i], active[i])
    wrong, wrong_memory = _wrong_now(is_high, now, active, grid, memory)
    kept = min(scores.shape[1], grid.rows(ALERT_DAYS * 24), int((seen[-1] + active[-1]).max(initial=0)))
    first = scores.shape[1] - kept
    after = AlertMemory(scores[:, first:], counted[:, first:], high.threshold, high.high, high.quiet, *wrong_memory)
    return is_high & (now > NOT_BACK) & wrong, after


class _High:
    """Which scores are above a threshold that moves, and which of them count for later ones."""

    def __init__(self, calibration: Calibration, grid: Grid, alert_budget: float, memory: AlertMemory) -> None:
        self.block = grid.rows(BLOCK_HOURS)
        self._window = grid.rows(ALERT_DAYS * 24)
        self._before = spread_out(calibration.scores, min(self._window, calibration.rows))
        self._quantile = 1 - RULE.quantile_share * alert_budget
        self._least = float(np.quantile(calibration.scores, 1 - alert_budget))
        self._counted, self._lasting = grid.rows(RULE.counted_hours), grid.rows(LASTING_HOURS)
        self.threshold, self.high, self.quiet = memory.threshold.copy(), memory.high.copy(), memory.quiet.copy()

    def move(self, entity: int, scores: Floats, counted: Flags) -> None:
        """Set the threshold of the next block of an entity, from all its scores so far."""
        known = np.concatenate([self._before, scores[counted]])
        if len(self._before) + len(scores) > self._window:
            older = len(self._before) + len(scores) - self._window
            kept = scores[max(0, older - len(self._before)) :], counted[max(0, older - len(self._before)) :]
            known = np.concatenate([self._before[older:], kept[0][kept[1]]])
        threshold = np.inf
        if len(known):
            at = int(np.ceil((len(known) - 1) * self._quantile))
            threshold = float(np.partition(known, at)[at])
        self.threshold[entity] = max(threshold, self._least)

    def row(self, score: Floats, active: Flags) -> tuple[Flags, Flags]:
        """(n,) which of the next scores are high, and which count."""
        is_high = active & (score > self.threshold)
        self.high = np.where(is_high, np.where(self.quiet >= self.block, 0, self.high) + 1, self.high)
        self.quiet = np.where(is_high, 0, self.quiet + active)
        return is_high, ~(is_high & (self._counted < self.high) & (self.high <= self._lasting))


def _wrong_now(
    high: Flags, now: Floats, active: Flags, grid: Grid, memory: AlertMemory
) -> tuple[Flags, tuple[Floats, Positions, Flags]]:
    """(n_rows, n_entities) whether something is, or was within a quarter of an hour, unusual; see alert_rule."""
    recent, peak = grid.rows(RECENT_HOURS), grid.rows(PEAK_HOURS)
    together = np.concatenate([memory.now.T, np.where(active, now, -np.inf)])
    view = np.lib.stride_tricks.sliding_window_view
    lately = view(together[peak - 1 :], recent, axis=0).max(axis=-1)
    largest = view(together, recent + peak - 1, axis=0).max(axis=-1)
    unusual, begins = high & (lately > RULE.least_now), lately > SHARE_OF_PEAK * largest
    since, stretch = memory.since, memory.stretch
    result = np.zeros(high.shape, dtype=bool)
    for i in range(len(high)):
        since = since + active[i]
        goes_on = since <= recent
        stretch = np.where(unusual[i], begins[i] | (stretch & goes_on), stretch)
        since = np.where(unusual[i], 0, since)
        result[i] = unusual[i] & stretch
    kept = memory.now.shape[1]
    return result, (together[len(together) - kept :].T, since, stretch)
