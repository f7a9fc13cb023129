"""anomaly-detector: an Isolation Forest over the 45 columns of one row."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from typing_extensions import override

from aiops_assets.families.contract import Asking, ModelSpec
from aiops_assets.families.detectors import DetectorFamily, holdout_of
from aiops_assets.judging.detection import null_model
from aiops_assets.learners.contracts import Scored, WindowDetector
from aiops_assets.learners.detectors import isolation_forest
from aiops_assets.learners.detectors.alert_rule import ALERT_BUDGET
from aiops_assets.learners.detectors.isolation_forest import scored_rows
from aiops_assets.learners.threads import one_thread
from aiops_assets.synthetic.healthy import healthy_rows
from aiops_assets.timeseries.catalog import ENGINE_METRICS
from aiops_assets.timeseries.features import ENGINE_DEFAULT, FEATURES, STATISTICS
from aiops_assets.timeseries.series import Floats
from aiops_assets.views.catalog import POD_FEATURES

Pipeline = Any
"""A Pipeline of scikit-learn, which ships no types."""


class RowForest(DetectorFamily[Pipeline]):
    """An Isolation Forest over the 45 columns of one row."""

    model_file = "model.joblib"
    features = FEATURES
    packages = ("scikit-learn", "numpy", "scipy", "joblib", "pandas")
    pickled_by = "scikit-learn"
    read_by = "scikit-learn"
    contributors = tuple(metric.name for metric in ENGINE_METRICS)
    framework = "scikitlearn"
    typical_seconds = 2.0
    threshold = 0.0
    asking = Asking.ROWS
    is_quick = True
    least_rows = 1
    use = (
        "For a coordination engine that sends one row at a time: a pod, its nodes and the last six minutes. "
        "It answers 1 (normal) or -1 (an anomaly)."
    )
    limits = (
        "It keeps nothing between two rows: a slow change over hours looks normal in each of them. A score states how "
        "anomalous a row is, not how likely an outage."
    )
    how_refitted = "Each fit starts anew."
    loading = (
        "import joblib",
        "",
        'model = joblib.load(folder / "model.joblib")  # model.predict(rows): 1 or -1',
    )

    @override
    def fit(
        self, rows: pd.DataFrame, parameters: Mapping[str, object], seed: int, start: Pipeline | None = None
    ) -> Pipeline:
        """Raises ModelError: fewer than 50 rows."""
        with one_thread():
            return isolation_forest.fit(rows, parameters, seed)

    @override
    def explain(self, model: Pipeline, rows: pd.DataFrame) -> Scored:
        """Score, alert and contributions of each row.

        A metric's contribution is how far the score falls when the row is scored again as if the metric's query had
        failed (occlusion): the pipeline reads the engine's default as "not known".
        """
        matrix = rows[list(FEATURES)].to_numpy(dtype=np.float64)
        # One call for all: a forest takes milliseconds for the call alone.
        stacked = np.repeat(matrix[np.newaxis], 1 + len(ENGINE_METRICS), axis=0)
        width = len(STATISTICS)
        for i in range(len(ENGINE_METRICS)):
            stacked[i + 1, :, i * width : (i + 1) * width] = ENGINE_DEFAULT
        scores = isolation_forest.anomaly_score(model, stacked.reshape(-1, len(FEATURES))).reshape(len(stacked), -1)
        score, falls = scores[0], np.maximum(scores[0] - scores[1:], 0.0).T
        return Scored(score=score, alert=score > 0, contributions=_shares(falls))

    @override
    def predict_holdout(self, model: Pipeline, rows: pd.DataFrame) -> Scored:
        """One scoring instead of six: contributions are left out."""
        holdout = rows.loc[rows["split"] == "holdout", list(FEATURES)].to_numpy(dtype=np.float64)
        return scored_rows(model, holdout)

    @override
    def baseline(self, rows: pd.DataFrame) -> Scored:
        """A row detector sees six minutes, and so does its null model."""
        return holdout_of(null_model.of_rows(rows), rows)

    @override
    def probe(self, model: Pipeline) -> Scored:
        """Scores of 300 healthy rows."""
        return scored_rows(model, healthy_rows(300, seed=1))

    @override
    def smoke_problems(self, model: Pipeline) -> list[str]:
        """The engine's default vector ("nothing is known") must not raise an alarm, and answers must be finite."""
        problems = []
        default = np.tile(ENGINE_DEFAULT, len(ENGINE_METRICS))
        if isolation_forest.predict(model, default)[0] != 1:
            problems.append("the engine's default vector (nothing is known) raises an alert")
        probe = healthy_rows(100, seed=0)
        answers = isolation_forest.predict(model, probe)
        if not set(answers.tolist()) <= {-1, 1}:
            problems.append(f"answers {sorted(set(answers.tolist()))}, expected -1 and 1")
        if not np.isfinite(isolation_forest.anomaly_score(model, probe)).all():
            problems.append("scores that are not finite")
        return problems

    @override
    def to_bytes(self, model: Pipeline) -> bytes:
        return isolation_forest.to_bytes(model)

    @override
    def from_bytes(self, data: bytes) -> Pipeline:
        return isolation_forest.from_bytes(data)

    @override
    def window_detector(self, columns: Sequence[str], alert_budget: float | None, seed: int) -> WindowDetector:
        """Its recipe over any columns, not the served row detector."""
        from aiops_assets.learners.detectors.forest_windows import ForestWindows

        return ForestWindows(columns, alert_budget or ALERT_BUDGET, seed)

    @override
    def to_onnx(self, model: Pipeline) -> bytes | None:
        from aiops_assets.learners.detectors.forest_onnx import to_onnx

        return to_onnx(model)

    @override
    def for_serving(self, model: Pipeline) -> Any:
        """The same trees in flat arrays."""
        from aiops_assets.learners.detectors.flat_forest import FlatForest

        return FlatForest.from_pipeline(model)


def _shares(parts: Floats) -> Floats:
    total = parts.sum(axis=1, keepdims=True)
    return np.divide(parts, total, out=np.zeros_like(parts), where=total > 0)


ANOMALY_DETECTOR = ModelSpec(
    name="anomaly-detector",
    view=POD_FEATURES,
    training_days=7,
    description="Detects whether a row of 45 features of a pod and its nodes is anomalous.",
    family=RowForest(),
    parameters={"contamination": 0.03, "n_estimators": 200, "max_samples": 512},
)
