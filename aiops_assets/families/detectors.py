"""Base classes of detectors' families: one task, and for window detectors how a pod's whole history is read."""

from collections.abc import Mapping, Sequence
from typing import Protocol, TypeVar

import numpy as np
import pandas as pd
from typing_extensions import override

from aiops_assets.errors import ModelError
from aiops_assets.families.contract import Asking, Family
from aiops_assets.judging.detection import null_model
from aiops_assets.judging.detection.task import DETECTION
from aiops_assets.judging.task import Task
from aiops_assets.learners.contracts import Scored
from aiops_assets.synthetic.pods import generate
from aiops_assets.timeseries.catalog import ENGINE_METRICS
from aiops_assets.timeseries.series import Floats
from aiops_assets.views.pod_series import VALUES, segment_rows, segments

UNITS = {metric.name: metric.unit for metric in ENGINE_METRICS}
CONSTANT_ROWS, SHORT_ROWS = 600, 10
"""Two days, and fifty minutes, of rows five minutes apart."""
PROBE_END = pd.Timestamp("2026-01-12", tz="UTC")
"""Any day: healthy rows of it are the same on every machine."""
OF_PODS = (
    "For watching pods over time: it reads a pod's metrics in order and gives each row a score for ranking and an "
    "alert for people."
)


class ScoresFrames(Protocol):
    """A fitted window detector that can be stored."""

    def score(self, frame: pd.DataFrame) -> Scored:
        """Every row of one entity, from this and earlier rows only."""

    def to_bytes(self) -> bytes:
        """The model file."""


Model = TypeVar("Model")
WindowModel = TypeVar("WindowModel", bound=ScoresFrames)


class DetectorFamily(Family[Model, Scored]):
    """Models that score rows of pods."""

    task: Task[Scored] = DETECTION
    units: Mapping[str, str] = UNITS


class WindowFamily(DetectorFamily[WindowModel]):
    """A window detector over the five metrics of a pod, read in order of time."""

    features = VALUES
    contributors = VALUES
    asking = Asking.WINDOWS

    @override
    def explain(self, model: WindowModel, rows: pd.DataFrame) -> Scored:
        """Score, alert and contributions of each row; each pod is read alone, from its first row on."""
        score, alert = np.zeros(len(rows)), np.zeros(len(rows), dtype=bool)
        contributions = np.zeros((len(rows), len(self.features)))
        now: Floats | None = np.zeros(len(rows))
        for positions, segment in segments(rows):
            scored = model.score(_frame(segment))
            score[positions], alert[positions] = scored.score, scored.alert
            contributions[positions] = scored.contributions
            if now is None or scored.now is None:
                now = None
            else:
                now[positions] = scored.now
        return Scored(score, alert, contributions, now)

    @override
    def predict_holdout(self, model: WindowModel, rows: pd.DataFrame) -> Scored:
        return holdout_of(self.explain(model, rows), rows)

    @override
    def baseline(self, rows: pd.DataFrame) -> Scored:
        """The null model sees each pod's last day."""
        return holdout_of(null_model.of_series(rows, self.features), rows)

    @override
    def probe(self, model: WindowModel) -> Scored:
        """Scores of two days of three generated pods without anomalies."""
        return self.explain(model, segment_rows(generate(3, 2, PROBE_END, seed=1), 0, source="synthetic"))

    @override
    def smoke_problems(self, model: WindowModel) -> list[str]:
        """Constant, short and unknown series have to get finite scores, and no alert."""
        problems = []
        for name, rows, value in (
            ("a constant series", CONSTANT_ROWS, 0.5),
            ("a series of ten rows", SHORT_ROWS, 0.5),
            ("a series without any value", CONSTANT_ROWS, np.nan),
        ):
            scored = model.score(_constant(rows, value))
            if scored.score.shape != (rows,) or scored.alert.shape != (rows,):
                problems.append(
                    f"{name} of {rows} rows gets {scored.score.shape} scores and {scored.alert.shape} alerts"
                )
            elif not np.isfinite(scored.score).all():
                problems.append(f"{name} gets scores that are not finite")
            elif scored.alert.any():
                problems.append(f"{name} raises {scored.alert.sum()} alerts")
        return problems

    @override
    def to_bytes(self, model: WindowModel) -> bytes:
        return bytes(model.to_bytes())


def frames_of(rows: pd.DataFrame) -> Sequence[pd.DataFrame]:
    """A frame of ``timestamp`` and the five metrics of each pod.

    Raises:
        ModelError: there is none.
    """
    if rows.empty:
        raise ModelError("no training rows: raise TRAINING_DAYS")
    return [_frame(segment) for _, segment in segments(rows)]


def holdout_of(scored: Scored, rows: pd.DataFrame) -> Scored:
    """The scores of the hold-out rows, of scores of all rows."""
    holdout = (rows["split"] == "holdout").to_numpy()
    now = None if scored.now is None else scored.now[holdout]
    return Scored(scored.score[holdout], scored.alert[holdout], scored.contributions[holdout], now)


def _frame(segment: pd.DataFrame) -> pd.DataFrame:
    return segment[["timestamp", *VALUES]].reset_index(drop=True)


def _constant(rows: int, value: float) -> pd.DataFrame:
    times = pd.date_range(PROBE_END, periods=rows, freq="5min", unit="us")
    return pd.DataFrame({"timestamp": times, **dict.fromkeys(VALUES, value)})
