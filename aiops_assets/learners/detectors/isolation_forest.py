"""anomaly-detector: an Isolation Forest over the 45 columns, as one Pipeline of scikit-learn's own classes.

Isolation Forest: Liu, Ting, Zhou, "Isolation Forest", ICDM 2008. The steps before it are what makes it
usable on rows of a real cluster:

1. The engine's default of a column ("nothing is known") is read as missing and becomes the median.
2. Levels are scaled robustly and stretched by sinh: a forest splits uniformly between a column's extremes,
   so what lies a little outside the healthy range is only isolated when "a little" is made large.
3. The level of the restart counter is dropped: it only grows, and a pod with 300 old restarts is healthy.
   Its changes are repeated so that restarts weigh as much as a metric that keeps its levels.
"""

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from aiops_assets.errors import ModelError
from aiops_assets.learners.contracts import Scored
from aiops_assets.timeseries.catalog import ENGINE_METRICS, RESTARTS
from aiops_assets.timeseries.features import ENGINE_DEFAULT, FEATURES, STATISTICS
from aiops_assets.timeseries.series import Floats

CHANGES = ("std_5m", "diff", "pct_change")
LEVEL_QUANTILES = (35.0, 65.0)
STRETCH_LIMIT = 12.0
"""sinh of this is 8e4: far outside, and safe in the 32-bit floats of the trees."""
RESTART_REPEATS = 4

Labels = npt.NDArray[np.int64]


def fit(rows: pd.DataFrame, parameters: Mapping[str, object], seed: int) -> Any:
    """Fit the Pipeline on rows of :data:`FEATURES`; labels are not looked at.

    Args:
        rows: training rows, at least 50.
        parameters: those of ``sklearn.ensemble.IsolationForest``.
        seed: makes the fit reproducible.

    Raises:
        ModelError: too few rows.
    """
    from sklearn.ensemble import IsolationForest
    from sklearn.pipeline import Pipeline

    if len(rows) < 50:
        raise ModelError(
            f"{len(rows)} training rows: at least 50 are needed, raise N_SAMPLES or TRAINING_DAYS",
            code="too_few_rows",
            rows=len(rows),
            least=50,
        )
    forest_parameters = dict(parameters)
    forest_parameters["max_samples"] = min(int(str(forest_parameters["max_samples"])), len(rows))
    pipeline = Pipeline(
        [
            ("unknown_to_median", _imputation()),
            ("scale", _scaling()),
            ("forest", IsolationForest(random_state=seed, **forest_parameters)),
        ]
    )
    return pipeline.fit(rows[list(FEATURES)].to_numpy(dtype=np.float64))


def predict(pipeline: Any, rows: npt.ArrayLike) -> Labels:
    """-1 (anomaly) or 1 (normal) for each row: (n_rows, 45) -> (n_rows,).

    Raises:
        ModelError: wrong width, or values that are not finite.
    """
    labels: Labels = np.asarray(pipeline.predict(checked(rows)), dtype=np.int64)
    return labels


def anomaly_score(pipeline: Any, rows: npt.ArrayLike) -> Floats:
    """How anomalous each row is, higher is more; positive where :func:`predict` says -1: (n_rows,)."""
    scores: Floats = -pipeline.decision_function(checked(rows))
    return scores


def to_bytes(pipeline: Any) -> bytes:
    """The joblib file that KServe's scikit-learn server and MLServer load."""
    import joblib

    buffer = io.BytesIO()
    joblib.dump(pipeline, buffer)
    return buffer.getvalue()


def from_bytes(data: bytes) -> Any:
    """Load a file made by :func:`to_bytes`. A pickle runs code: verify its digest first."""
    import joblib

    return joblib.load(io.BytesIO(data))


def scored_rows(pipeline: Any, matrix: Floats) -> Scored:
    """Score and alert of rows (n_rows, 45); contributions, which cost five times as much, are left out."""
    score = anomaly_score(pipeline, matrix)
    return Scored(score=score, alert=score > 0, contributions=np.zeros((len(matrix), len(ENGINE_METRICS))))


def checked(rows: npt.ArrayLike) -> Floats:
    """Rows as both forms of this model take them: (n_rows, 45), where one row may be (45,).

    Raises:
        ModelError: wrong width, or values that are not finite.
    """
    matrix: Floats = np.atleast_2d(np.asarray(rows, dtype=np.float64))
    if matrix.ndim != 2 or matrix.shape[1] != len(FEATURES):
        raise ModelError(
            f"rows of width {matrix.shape[-1]}: anomaly-detector expects {len(FEATURES)} columns",
            code="wrong_width",
            width=matrix.shape[-1],
            expected=len(FEATURES),
        )
    if not np.isfinite(matrix).all():
        raise ModelError(
            "rows with NaN or infinity: send the default of a column whose value is not known", code="not_finite"
        )
    return matrix


def _by_default() -> dict[float, list[int]]:
    groups: dict[float, list[int]] = {}
    for column in range(len(FEATURES)):
        groups.setdefault(ENGINE_DEFAULT[column % len(STATISTICS)], []).append(column)
    return groups


def _imputation() -> Any:
    """The engine's default of each column becomes its median. Reorders columns: see :func:`_positions`."""
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer

    return ColumnTransformer(
        [
            (
                f"default_{default:g}",
                SimpleImputer(missing_values=default, strategy="median", keep_empty_features=True),
                columns,
            )
            for default, columns in _by_default().items()
        ]
    )


def _positions(metrics: list[str], statistics: list[str]) -> list[int]:
    """Where the imputation puts these columns."""
    order = [column for columns in _by_default().values() for column in columns]
    wanted = {f"{metric}_{statistic}" for metric in metrics for statistic in statistics}
    return [position for position, column in enumerate(order) if FEATURES[column] in wanted]


def _scaling() -> Any:
    from sklearn.compose import ColumnTransformer
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import FunctionTransformer, RobustScaler

    gauges = [metric.name for metric in ENGINE_METRICS if metric is not RESTARTS]
    levels = Pipeline(
        [
            ("scale", RobustScaler(quantile_range=LEVEL_QUANTILES)),
            (
                "limit",
                FunctionTransformer(np.clip, kw_args={"a_min": -STRETCH_LIMIT, "a_max": STRETCH_LIMIT}),
            ),
            ("stretch", FunctionTransformer(np.sinh)),
        ]
    )
    restarts = _positions([RESTARTS.name], list(CHANGES))
    return ColumnTransformer(
        [
            ("levels", levels, _positions(gauges, [name for name in STATISTICS if name not in CHANGES])),
            ("changes", RobustScaler(), _positions(gauges, list(CHANGES))),
            *((f"restarts_{i}", RobustScaler(), restarts) for i in range(RESTART_REPEATS)),
        ]
    )
