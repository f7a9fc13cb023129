"""The kinds of model that the asset chain can fit, judge, store and serve: one class each, the same for all around.

A *row forest* answers from one row. A *window ensemble* reads a pod's whole history, so that its hold-out rows are
scored after its train rows.
"""

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import pandas as pd

from aiops_assets.errors import ModelError
from aiops_assets.models import isolation_forest, null_model
from aiops_assets.models.base import Family, Scored
from aiops_assets.models.catalog import ROW_FOREST, WINDOW_ENSEMBLE, ModelSpec
from aiops_assets.models.evaluation import healthy_rows
from aiops_assets.timeseries.catalog import ENGINE_METRICS
from aiops_assets.timeseries.features import ENGINE_DEFAULT, FEATURES, STATISTICS
from aiops_assets.timeseries.pod_series import VALUES, segment_rows, segments
from aiops_assets.timeseries.series import Floats
from aiops_assets.timeseries.synthetic import generate

UNITS = {metric.name: metric.unit for metric in ENGINE_METRICS}
CONSTANT_ROWS, SHORT_ROWS = 600, 10
"""Two days and fifty minutes of every five minutes."""
PROBE_END = pd.Timestamp("2026-01-12", tz="UTC")
"""Any day: healthy rows of it are the same on every machine."""


class ChainFamily(Family, Protocol):
    """What the chain asks of a family besides the contract of all.

    Attributes:
        contributors: what the columns of ``Scored.contributions`` are.
        framework: badge in the Dagster UI.
        threshold: the score above which there is an alert; ``None`` where that moves with time.
    """

    contributors: tuple[str, ...]
    framework: str
    threshold: float | None

    def judge_holdout(self, model: Any, rows: pd.DataFrame) -> Scored:
        """As ``judge``, of a training set's hold-out rows alone; contributions may be 0 where they are costly."""

    def null(self, rows: pd.DataFrame) -> Scored:
        """What the null model says of the hold-out rows, from what a model of this family is shown."""

    def probe(self, model: Any) -> Scored:
        """What a model says of healthy rows, for people to look at."""


class RowForest:
    """An Isolation Forest over the 45 columns of one row."""

    model_file = "model.joblib"
    features: tuple[str, ...] = FEATURES
    units: Mapping[str, str] = UNITS
    packages: tuple[str, ...] = ("scikit-learn", "numpy", "scipy", "joblib", "pandas")
    pickled_by = "scikit-learn"
    contributors: tuple[str, ...] = tuple(metric.name for metric in ENGINE_METRICS)
    framework = "scikitlearn"
    threshold: float | None = 0.0

    def fit(self, rows: pd.DataFrame, parameters: Mapping[str, object], seed: int) -> Any:
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


class WindowEnsemble:
    """A mixture of window scores over the five metrics of a pod, read in order of time."""

    model_file = "model.json"
    features: tuple[str, ...] = VALUES
    units: Mapping[str, str] = UNITS
    packages: tuple[str, ...] = ("numpy", "scipy", "pandas")
    pickled_by = ""
    contributors: tuple[str, ...] = VALUES
    framework = "numpy"
    threshold: float | None = None

    def fit(self, rows: pd.DataFrame, parameters: Mapping[str, object], seed: int) -> Any:
        """See Family. Raises ModelError: no rows."""
        from aiops_assets.models.ensemble import EnsemblePredictor

        if rows.empty:
            raise ModelError("no training rows: raise TRAINING_DAYS")
        model = EnsemblePredictor(self.features, float(str(parameters["alert_budget"])))
        model.fit([_frame(rows) for _, rows in segments(rows)])
        return model

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

    def from_bytes(self, data: bytes) -> Any:
        """See Family."""
        from aiops_assets.models.ensemble import EnsemblePredictor

        return EnsemblePredictor.from_bytes(data)


FAMILIES: dict[str, ChainFamily] = {ROW_FOREST: RowForest(), WINDOW_ENSEMBLE: WindowEnsemble()}


def family_of(spec: ModelSpec) -> ChainFamily:
    """How the chain handles a model.

    Raises:
        ModelError: a family that is not known here.
    """
    try:
        return FAMILIES[spec.family]
    except KeyError:
        raise ModelError(f"{spec.name} is of family {spec.family}: known are {sorted(FAMILIES)}") from None


def scored_rows(model: Any, matrix: Floats) -> Scored:
    """Score and alert of rows (n_rows, 45) by a row forest; nothing is said of contributions, which cost five times."""
    score = isolation_forest.anomaly_score(model, matrix)
    return Scored(score=score, alert=score > 0, contributions=np.zeros((len(matrix), len(ENGINE_METRICS))))


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
