"""A detector and a forecaster of another package, as somebody might write them: twenty lines each and their facts."""

import json
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from aiops_assets.families.contract import ModelSpec
from aiops_assets.families.detectors import WindowFamily, frames_of
from aiops_assets.families.forecasters import SingleSeriesFamily
from aiops_assets.learners.contracts import Forecast, Scored
from aiops_assets.timeseries.history import History


class ZScore:
    """How far a value lies from the mean of the last day, in standard deviations of that of train rows; their mean."""

    def __init__(self, columns: Sequence[str], spread: Sequence[float] = ()) -> None:
        self.columns, self.spread = tuple(columns), list(spread)

    def _away(self, frame: pd.DataFrame) -> pd.DataFrame:
        values = frame[list(self.columns)]
        return (values - values.rolling(288, min_periods=1).mean()).abs()

    def fit(self, frames: Sequence[pd.DataFrame], step_seconds: int | None = None) -> None:
        self.spread = (pd.concat([self._away(frame) for frame in frames]).std().fillna(0.0) + 1e-3).tolist()

    def score(self, frame: pd.DataFrame) -> Scored:
        away = np.nan_to_num(self._away(frame).to_numpy(float) / self.spread)
        total = away.sum(axis=1, keepdims=True)
        shares = np.divide(away, total, out=np.zeros_like(away), where=total > 0)
        constant = (frame[list(self.columns)].nunique() <= 1).all()
        return Scored(away.mean(axis=1), (away.mean(axis=1) > 3.0) & ~constant, shares)

    def to_bytes(self) -> bytes:
        return json.dumps([self.columns, self.spread]).encode()


class HourMean:
    """Between the mean of the last hour and the day before, as far to both sides as the last day's values lie."""

    def fit(self, history: History) -> None:
        pass

    def forecast(self, history: History, horizon: int) -> Forecast:
        level = np.nan_to_num(np.nanmean(history.values[-12:], axis=0))
        spread = 1.28 * np.nan_to_num(np.nanstd(history.values[-288:], axis=0)) + 1e-9
        day = np.resize(np.nan_to_num(history.values[-288:]), (horizon, len(level)))
        value = 0.3 * level + 0.7 * day
        return Forecast(history.metrics, history.after(horizon), value, value - spread, value + spread)

    def to_bytes(self) -> bytes:
        return b"{}"


class ZScoreFamily(WindowFamily[ZScore]):
    """z-scores."""

    model_file, packages, framework, least_rows = "model.json", ("numpy", "pandas"), "numpy", 1
    use, limits, how_refitted, loading = "For tests.", "It sees levels only.", "Each fit starts anew.", ("import json",)

    def fit(
        self, rows: pd.DataFrame, parameters: Mapping[str, object], seed: int, start: ZScore | None = None
    ) -> ZScore:
        model = ZScore(self.features)
        model.fit(frames_of(rows))
        return model

    def from_bytes(self, data: bytes) -> ZScore:
        return ZScore(*json.loads(data))

    def window_detector(self, columns: Sequence[str], alert_budget: float | None, seed: int) -> ZScore:
        return ZScore(columns)


class HourMeanFamily(SingleSeriesFamily[HourMean]):
    """Means of the last hour."""

    packages, framework = ("numpy", "pandas"), "numpy"
    use, limits, loading = "For tests.", "It knows no season.", ("import json",)

    def unfitted(self, seed: int) -> HourMean:
        return HourMean()

    def from_bytes(self, data: bytes) -> HourMean:
        return HourMean()


Z_SCORE = ModelSpec("z-score", "pod_series", 7, "Tells how far from the mean.", ZScoreFamily())
HOUR_MEAN = ModelSpec("hour-mean", "cluster_metrics", 14, "Says that it goes on like this.", HourMeanFamily())
