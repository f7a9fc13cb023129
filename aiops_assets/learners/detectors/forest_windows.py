"""The anomaly-detector's recipe as a window detector: the nine statistics of whatever columns there are.

Six samples, a row of nine statistics a column, robust scaling, Isolation Forest: what the documents train, here of
counters' increases, and in units of each column's spread, so that its unit does not matter. Their threshold, frozen by
the fit, is of no use where levels drift: alerts are those of :mod:`alert_rule`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from aiops_assets.errors import ModelError
from aiops_assets.learners.contracts import Flags, Scored
from aiops_assets.learners.detectors.alert_rule import ALERT_BUDGET, KEPT_SCORES, alerts, thinned
from aiops_assets.learners.detectors.counters import counters_of, increases
from aiops_assets.learners.detectors.now_scale import NowScale
from aiops_assets.timeseries.features import HISTORY, STATISTICS, nine_statistics
from aiops_assets.timeseries.frames import Grid, cadence, on_grid
from aiops_assets.timeseries.series import Floats

MIN_TRAIN_ROWS = 10
MAX_FIT_ROWS = 20_000
BLOCK_VALUES = 4_000_000
"""So many features are computed at a time: a thousand columns have nine thousand a row."""


class ForestWindows:
    """Isolation Forest over the nine statistics of each column.

    Args:
        columns: names of the columns, in order.
        alert_budget: share of the time that may be under alert.
        seed: makes the forest reproducible.
    """

    def __init__(self, columns: Sequence[str], alert_budget: float = ALERT_BUDGET, seed: int = 42) -> None:
        if not columns:
            raise ModelError("no numeric column: at least one is needed", code="no_columns")
        self.columns = tuple(columns)
        self.alert_budget = alert_budget
        self.seed = seed
        self._pipeline: Any = None
        self._step_seconds = 0
        self._counters: Flags = np.zeros(len(columns), dtype=bool)
        self._unit: Floats = np.ones(len(columns))
        self._now: NowScale
        self._trained: Floats = np.zeros(0)
        self._trained_rows = 0

    def fit(self, frames: Sequence[pd.DataFrame], step_seconds: int | None = None) -> None:
        """Fit on training rows, a frame of each entity; of more than 20,000 rows, on evenly spaced ones.

        Raises:
            ModelError: fewer than ten rows, or no value at all.
        """
        from sklearn.ensemble import IsolationForest
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import RobustScaler

        n_rows = sum(map(len, frames))
        if n_rows < MIN_TRAIN_ROWS:
            raise ModelError(
                f"{n_rows} training rows: at least {MIN_TRAIN_ROWS} are needed, mark more",
                code="too_few_rows",
                rows=n_rows,
                least=MIN_TRAIN_ROWS,
            )
        self._step_seconds = step_seconds or cadence(max(frames, key=len)["timestamp"])
        grids = [on_grid(frame, self.columns, self._step_seconds) for frame in frames if len(frame)]
        self._counters = counters_of([grid.values for grid in grids])
        grids = [self._read(grid) for grid in grids]
        self._unit = _spread(np.concatenate([grid.values for grid in grids]))
        self._now = NowScale.of(grids)
        every = max(1, -(-n_rows // MAX_FIT_ROWS))
        rows = np.concatenate([features for frame in frames for features in self._features(frame, every)])
        known = np.isfinite(rows).any(axis=1)
        if not known.any():
            raise ModelError("no training row has a value: is the metric scraped at all?", code="no_values")
        self._pipeline = make_pipeline(RobustScaler(), IsolationForest(random_state=self.seed))
        self._pipeline.fit(np.nan_to_num(rows[known], nan=0.0))
        self._trained = thinned(np.sort(self._scores(rows[known])), KEPT_SCORES)
        self._trained_rows = max(map(len, frames))

    def score(self, frame: pd.DataFrame) -> Scored:
        """Score and alert of every row; this recipe names no contributions (zeros).

        Raises:
            ModelError: not fitted.
        """
        if self._pipeline is None:
            raise ModelError("the detector is not fitted", code="not_fitted")
        score = np.concatenate([np.zeros(0), *map(self._scores, self._features(frame))])
        grid = self._read(on_grid(frame, self.columns, self._step_seconds))
        on_all = np.full(len(grid.values), self._trained[0])
        on_all[grid.position] = score
        now = self._now.now(grid)
        alert = alerts(on_all, now, self._trained, self._trained_rows, grid, self.alert_budget)[grid.position]
        return Scored(score, alert, np.zeros((len(frame), len(self.columns))), now[grid.position])

    def _read(self, grid: Grid) -> Grid:
        return replace(grid, values=increases(grid.values, self._counters))

    def _scores(self, rows: Floats) -> Floats:
        known = np.isfinite(rows).any(axis=1)
        score = np.full(len(rows), -0.5)  # a forest's score of its most normal rows
        if known.any():
            score[known] = -self._pipeline.decision_function(np.nan_to_num(rows[known], nan=0.0))
        return score

    def _features(self, frame: pd.DataFrame, every: int = 1) -> Iterator[Floats]:
        """Blocks of (n_rows, 9 * n_columns), of each ``every``-th row; all NaN where the windows are empty."""
        grid = self._read(on_grid(frame, self.columns, self._step_seconds))
        values = grid.values / self._unit
        padded = np.concatenate([np.repeat(values[:1], HISTORY - 1, axis=0), values])
        windows = np.lib.stride_tricks.sliding_window_view(padded, HISTORY, axis=0)
        taken = grid.position[::every]
        width = len(self.columns) * len(STATISTICS)
        rows = max(1, BLOCK_VALUES // width)
        for first in range(0, len(taken), rows):
            block = windows[taken[first : first + rows]]
            features: Floats = nine_statistics(block[:, :, np.newaxis]).reshape(-1, width)
            features[~np.isfinite(block).any(axis=(1, 2))] = np.nan
            yield features


def _spread(values: Floats) -> Floats:
    """(n_columns,) standard deviation of what is known; of a constant its size, and 1 where all is 0."""
    known = np.isfinite(values)
    count = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, values, 0.0).sum(axis=0) / count
    spread = np.sqrt(np.where(known, (values - mean) ** 2, 0.0).sum(axis=0) / count)
    size = np.abs(mean)
    spread = np.where(spread > 1e-9 * size, spread, size)
    return np.where(spread > 0, spread, 1.0)
