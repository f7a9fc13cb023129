"""The anomaly-detector's recipe as a window detector: the nine statistics of whatever columns there are.

Six samples, a row of nine statistics a column, robust scaling, Isolation Forest with a contamination of 3 %: what the
documents train. It alerts where its training rows' most anomalous share begins; the threshold is frozen.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from aiops_assets.errors import ModelError
from aiops_assets.models.base import Scored
from aiops_assets.timeseries.features import HISTORY, STATISTICS, nine_statistics
from aiops_assets.timeseries.frames import cadence, on_grid
from aiops_assets.timeseries.series import Floats

CONTAMINATION = 0.03
LEAST_TRAIN_ROWS = 10


class ForestWindows:
    """Isolation Forest over the nine statistics of each column.

    Args:
        columns: which, in order.
        alert_budget: share of the training rows that alerts.
        seed: of the forest.
    """

    def __init__(self, columns: Sequence[str], alert_budget: float = CONTAMINATION, seed: int = 42) -> None:
        if not columns:
            raise ModelError("no numeric column: at least one is needed")
        self.columns = tuple(columns)
        self.alert_budget = alert_budget
        self.seed = seed
        self._pipeline: Any = None
        self._step_seconds = 0

    def fit(self, frames: Sequence[pd.DataFrame]) -> None:
        """Fit on training rows, a frame of each entity.

        Raises:
            ModelError: fewer than ten rows, or no value at all.
        """
        from sklearn.ensemble import IsolationForest
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import RobustScaler

        if sum(map(len, frames)) < LEAST_TRAIN_ROWS:
            raise ModelError(f"{sum(map(len, frames))} training rows: at least {LEAST_TRAIN_ROWS} are needed")
        self._step_seconds = cadence(max(frames, key=len)["timestamp"])
        rows = np.concatenate([self._features(frame) for frame in frames])
        known = np.isfinite(rows).any(axis=1)
        if not known.any():
            raise ModelError("no training row has a value: is the metric scraped at all?")
        forest = IsolationForest(contamination=self.alert_budget, random_state=self.seed)
        self._pipeline = make_pipeline(RobustScaler(), forest).fit(np.nan_to_num(rows[known], nan=0.0))

    def score(self, frame: pd.DataFrame) -> Scored:
        """Score and alert of every row; this recipe names no contributions (zeros).

        Raises:
            ModelError: not fitted.
        """
        if self._pipeline is None:
            raise ModelError("the detector is not fitted")
        rows = self._features(frame)
        known = np.isfinite(rows).any(axis=1)
        score = np.full(len(rows), -0.5)  # what a forest says of its most normal rows
        if known.any():
            score[known] = -self._pipeline.decision_function(np.nan_to_num(rows[known], nan=0.0))
        return Scored(score, (score > 0) & known, np.zeros((len(frame), len(self.columns))))

    def _features(self, frame: pd.DataFrame) -> Floats:
        """(n_rows, 9 * n_columns); all NaN where the window of all columns is empty."""
        grid = on_grid(frame, self.columns, self._step_seconds)
        padded = np.concatenate([np.repeat(grid.values[:1], HISTORY - 1, axis=0), grid.values])
        windows = np.lib.stride_tricks.sliding_window_view(padded, HISTORY, axis=0)[grid.position]
        features: Floats = nine_statistics(windows[:, :, np.newaxis]).reshape(-1, len(self.columns) * len(STATISTICS))
        features[~np.isfinite(windows).any(axis=(1, 2))] = np.nan
        return features
