"""The detectors that the asset chain can fit, judge, store and serve: one class each, the same for all around.

A *row forest* answers from one row. A *window detector* reads a pod's whole history, so that its hold-out rows are
scored after its train rows.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from aiops_assets.errors import ModelError
from aiops_assets.judging.detection import gate, null_model
from aiops_assets.judging.detection.figures import Figures, healthy_rows, judge
from aiops_assets.judging.detection.gate import Comparison, Decision
from aiops_assets.learners.contracts import Scored
from aiops_assets.learners.detectors import isolation_forest
from aiops_assets.synthetic.pods import generate
from aiops_assets.timeseries.catalog import ENGINE_METRICS
from aiops_assets.timeseries.features import ENGINE_DEFAULT, FEATURES, STATISTICS
from aiops_assets.timeseries.series import Floats
from aiops_assets.views.pod_series import VALUES, segment_rows, segments

UNITS = {metric.name: metric.unit for metric in ENGINE_METRICS}
HOUR_ROWS = 12
LSTM_ROWS = 17
"""``lstm_network.WINDOW`` and the row before it, which cannot be imported without torch."""
CONSTANT_ROWS, SHORT_ROWS = 600, 10
"""Two days and fifty minutes of every five minutes."""
PROBE_END = pd.Timestamp("2026-01-12", tz="UTC")
"""Any day: healthy rows of it are the same on every machine."""


ALWAYS_ANEW = "models of this kind are always fitted anew"


class DetectorFamily(ABC):
    """What detectors share: how they are judged on labelled rows, and compared."""

    kind = "detector"
    null_name = gate.NULL_MODEL
    threshold: float | None = None
    contributors: tuple[str, ...]

    @abstractmethod
    def fit(self, rows: pd.DataFrame, parameters: Mapping[str, object], seed: int, start: Any = None) -> Any:
        """See Family."""

    def why_anew(self, start: Any, parameters: Mapping[str, object]) -> str:
        """See ChainFamily."""
        return ALWAYS_ANEW

    @abstractmethod
    def judge(self, model: Any, rows: pd.DataFrame) -> Scored:
        """Score, alert and contributions of each row; those of the hold-out may look back at train rows."""

    @abstractmethod
    def judge_holdout(self, model: Any, rows: pd.DataFrame) -> Scored:
        """See ChainFamily."""

    def figures(self, said: Scored, rows: pd.DataFrame) -> Figures:
        """See ChainFamily."""
        return judge(said, rows[rows["split"] == "holdout"])

    def compare(self, rows: pd.DataFrame, challenger: Scored, opponent: Scored, who: str, seed: int) -> Comparison:
        """See ChainFamily."""
        return gate.compare(rows[rows["split"] == "holdout"], challenger, opponent, who, seed)

    def decide(self, comparison: Comparison, *, challenger_source: str, champion_source: str | None) -> Decision:
        """See ChainFamily."""
        return gate.decide(comparison, challenger_source=challenger_source, champion_source=champion_source)

    def worse(self, comparison: Comparison) -> list[str]:
        """See ChainFamily."""
        return gate.worse_in(comparison, gross=True)


class RowForest(DetectorFamily):
    """An Isolation Forest over the 45 columns of one row."""

    model_file = "model.joblib"
    features: tuple[str, ...] = FEATURES
    units: Mapping[str, str] = UNITS
    packages: tuple[str, ...] = ("scikit-learn", "numpy", "scipy", "joblib", "pandas")
    pickled_by = "scikit-learn"
    contributors: tuple[str, ...] = tuple(metric.name for metric in ENGINE_METRICS)
    framework = "scikitlearn"
    threshold: float | None = 0.0

    how_refitted = "Each fit starts anew."
    least_rows = 1

    def fit(self, rows: pd.DataFrame, parameters: Mapping[str, object], seed: int, start: Any = None) -> Any:
        """See Family. Raises ModelError: fewer than 50 rows."""
        return isolation_forest.fit(rows, parameters, seed)

    def judge(self, model: Any, rows: pd.DataFrame) -> Scored:
        """See Family.

        A metric's contribution is how far the score falls when the row is asked again as if the metric's query had
        failed (occlusion): the pipeline reads the engine's default as "not known".
        """
        matrix = rows[list(FEATURES)].to_numpy(dtype=np.float64)
        score = isolation_forest.anomaly_score(model, matrix)
        falls = np.empty((len(rows), len(ENGINE_METRICS)))
        width = len(STATISTICS)
        for i in range(len(ENGINE_METRICS)):
            occluded = matrix.copy()
            occluded[:, i * width : (i + 1) * width] = ENGINE_DEFAULT
            falls[:, i] = np.maximum(score - isolation_forest.anomaly_score(model, occluded), 0.0)
        return Scored(score=score, alert=score > 0, contributions=_shares(falls))

    def judge_holdout(self, model: Any, rows: pd.DataFrame) -> Scored:
        """See ChainFamily. One scoring instead of six: nothing is said of contributions."""
        holdout = rows.loc[rows["split"] == "holdout", list(FEATURES)].to_numpy(dtype=np.float64)
        return scored_rows(model, holdout)

    def null(self, rows: pd.DataFrame) -> Scored:
        """See ChainFamily. A row detector knows six minutes, and so does its null model."""
        return _holdout_of(null_model.of_rows(rows), rows)

    def probe(self, model: Any) -> Scored:
        """See ChainFamily."""
        return scored_rows(model, healthy_rows(300, seed=1))

    def smoke_problems(self, model: Any) -> list[str]:
        """See Family: the engine's default vector ("nothing is known") must not raise an alarm."""
        problems = []
        default = np.tile(ENGINE_DEFAULT, len(ENGINE_METRICS))
        if isolation_forest.predict(model, default)[0] != 1:
            problems.append("the engine's default vector (nothing is known) raises an alarm")
        probe = healthy_rows(100, seed=0)
        answers = isolation_forest.predict(model, probe)
        if not set(answers.tolist()) <= {-1, 1}:
            problems.append(f"answers {sorted(set(answers.tolist()))}, expected -1 and 1")
        if not np.isfinite(isolation_forest.anomaly_score(model, probe)).all():
            problems.append("scores that are not finite")
        return problems

    def to_bytes(self, model: Any) -> bytes:
        """See Family."""
        return isolation_forest.to_bytes(model)

    def from_bytes(self, data: bytes) -> Any:
        """See Family."""
        return isolation_forest.from_bytes(data)


class WindowFamily(DetectorFamily):
    """A window detector over the five metrics of a pod, read in order of time."""

    model_file: str
    features: tuple[str, ...] = VALUES
    units: Mapping[str, str] = UNITS
    packages: tuple[str, ...]
    pickled_by = ""
    contributors: tuple[str, ...] = VALUES
    framework: str

    @abstractmethod
    def from_bytes(self, data: bytes) -> Any:
        """See Family."""

    def judge(self, model: Any, rows: pd.DataFrame) -> Scored:
        """See Family. Each pod is read alone, from its first row on."""
        score, alert = np.zeros(len(rows)), np.zeros(len(rows), dtype=bool)
        contributions = np.zeros((len(rows), len(self.features)))
        for positions, segment in segments(rows):
            scored = model.score(_frame(segment))
            score[positions], alert[positions] = scored.score, scored.alert
            contributions[positions] = scored.contributions
        return Scored(score, alert, contributions)

    def judge_holdout(self, model: Any, rows: pd.DataFrame) -> Scored:
        """See ChainFamily."""
        return _holdout_of(self.judge(model, rows), rows)

    def null(self, rows: pd.DataFrame) -> Scored:
        """See ChainFamily. It knows the pod's last day."""
        return _holdout_of(null_model.of_series(rows, self.features), rows)

    def probe(self, model: Any) -> Scored:
        """See ChainFamily: two days of three generated pods without anomalies."""
        return self.judge(model, segment_rows(generate(3, 2, PROBE_END, seed=1), 0, source="synthetic"))

    def smoke_problems(self, model: Any) -> list[str]:
        """See Family: what is constant, short or unknown gets finite scores, and what is constant no alert."""
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

    def to_bytes(self, model: Any) -> bytes:
        """See Family."""
        return bytes(model.to_bytes())


class WindowEnsemble(WindowFamily):
    """A mixture of window scores."""

    model_file = "model.json"
    packages: tuple[str, ...] = ("numpy", "scipy", "pandas")
    framework = "numpy"
    how_refitted = "Each fit starts anew; between fits scales and alert threshold keep learning from what is scored."
    least_rows = HOUR_ROWS

    def fit(self, rows: pd.DataFrame, parameters: Mapping[str, object], seed: int, start: Any = None) -> Any:
        """See Family. Raises ModelError: no rows."""
        from aiops_assets.learners.detectors.ensemble import EnsemblePredictor

        model = EnsemblePredictor(self.features, float(str(parameters["alert_budget"])))
        model.fit(_frames(rows))
        return model

    def from_bytes(self, data: bytes) -> Any:
        """See Family."""
        from aiops_assets.learners.detectors.ensemble import EnsemblePredictor

        return EnsemblePredictor.from_bytes(data)


class LstmFamily(WindowFamily):
    """An LSTM autoencoder."""

    model_file = "model.pt2"
    packages: tuple[str, ...] = ("torch", "numpy", "scipy", "pandas")
    framework = "pytorch"
    how_refitted = (
        "A fit with a champion is done twice, anew and from the champion's weights; the latter is kept unless the gate "
        "finds it worse."
    )
    least_rows = LSTM_ROWS

    def fit(self, rows: pd.DataFrame, parameters: Mapping[str, object], seed: int, start: Any = None) -> Any:
        """See Family. Raises ModelError: no rows."""
        from aiops_assets.learners.detectors.lstm_autoencoder import LstmAutoencoder

        model = LstmAutoencoder(self.features, float(str(parameters["alert_budget"])), seed)
        model.fit(_frames(rows), start=start)
        return model

    def why_anew(self, start: Any, parameters: Mapping[str, object]) -> str:
        """See ChainFamily: weights can always be gone on from."""
        return ""

    def from_bytes(self, data: bytes) -> Any:
        """See Family."""
        from aiops_assets.learners.detectors.lstm_autoencoder import LstmAutoencoder

        return LstmAutoencoder.from_bytes(data)


def scored_rows(model: Any, matrix: Floats) -> Scored:
    """Score and alert of rows (n_rows, 45) by a row forest; nothing is said of contributions, which cost five times."""
    score = isolation_forest.anomaly_score(model, matrix)
    return Scored(score=score, alert=score > 0, contributions=np.zeros((len(matrix), len(ENGINE_METRICS))))


def _frames(rows: pd.DataFrame) -> Sequence[pd.DataFrame]:
    """A frame of each pod. Raises ModelError: there is none."""
    if rows.empty:
        raise ModelError("no training rows: raise TRAINING_DAYS")
    return [_frame(segment) for _, segment in segments(rows)]


def _frame(segment: pd.DataFrame) -> pd.DataFrame:
    return segment[["timestamp", *VALUES]].reset_index(drop=True)


def _constant(rows: int, value: float) -> pd.DataFrame:
    times = pd.date_range(PROBE_END, periods=rows, freq="5min", unit="us")
    return pd.DataFrame({"timestamp": times, **dict.fromkeys(VALUES, value)})


def _holdout_of(scored: Scored, rows: pd.DataFrame) -> Scored:
    holdout = (rows["split"] == "holdout").to_numpy()
    return Scored(scored.score[holdout], scored.alert[holdout], scored.contributions[holdout])


def _shares(parts: Floats) -> Floats:
    total = parts.sum(axis=1, keepdims=True)
    return np.divide(parts, total, out=np.zeros_like(parts), where=total > 0)
