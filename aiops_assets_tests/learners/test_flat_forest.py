import copy
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from aiops_assets.errors import ModelError
from aiops_assets.families.anomaly_detector import ANOMALY_DETECTOR, RowForest
from aiops_assets.learners.detectors import flat_forest, isolation_forest
from aiops_assets.learners.detectors.flat_forest import FlatForest
from aiops_assets.learners.detectors.forest_steps import OTHER_KIND, ScaledColumn, Step, raw_thresholds
from aiops_assets.synthetic.healthy import healthy_rows
from aiops_assets.timeseries.features import ENGINE_DEFAULT, FEATURES
from aiops_assets.timeseries.series import Floats
from aiops_assets.views.pod_features import labelled_series, synthetic_rows
from aiops_assets_tests.conftest import END
from aiops_assets_tests.raising import raises

NOTHING_KNOWN = np.tile(ENGINE_DEFAULT, 5)
LARGEST = float(np.finfo(np.float64).max)


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    return synthetic_rows(labelled_series(20, 4, END, 42, 0.03), 1000, 0.03, 42)


def fit(rows: pd.DataFrame, seed: int = 42, **parameters: object) -> Any:
    return isolation_forest.fit(rows, {**ANOMALY_DETECTOR.parameters, **parameters}, seed)


@pytest.fixture(scope="module")
def pipeline(rows: pd.DataFrame) -> Any:
    return fit(rows)


@pytest.fixture(scope="module")
def forest(pipeline: Any) -> FlatForest:
    return FlatForest.from_pipeline(pipeline)


def rows_of_many_kinds(seed: int) -> Floats:
    rng = np.random.default_rng(seed)
    healthy = healthy_rows(1000, seed)
    unknown = np.where(rng.random(healthy.shape) < 0.2, NOTHING_KNOWN, healthy)
    nearly = np.where(rng.random(healthy.shape) < 0.2, np.nextafter(NOTHING_KNOWN, rng.choice([-1, 1])), healthy)
    extreme = np.where(rng.random(healthy.shape) < 0.1, rng.choice([1e12, -1e12, 1e38, -1e39, 5e-324, -0.0]), healthy)
    magnitudes = rng.standard_normal(healthy.shape) * 10.0 ** rng.integers(-12, 13, healthy.shape)
    percent = healthy * 100
    constant = np.tile([[1e12], [-1e12], [0.0], [-0.0], [0.5], [1.0]], 45)
    return np.vstack([healthy, unknown, nearly, extreme, magnitudes, percent, constant, NOTHING_KNOWN])


def assert_same(forest: FlatForest, pipeline: Any, rows: Floats) -> None:
    with np.errstate(over="ignore"):  # the Pipeline rounds 1e39 to a 32-bit infinity
        expected, labels = isolation_forest.anomaly_score(pipeline, rows), isolation_forest.predict(pipeline, rows)
    np.testing.assert_allclose(forest.score(rows), expected, rtol=0, atol=1e-9)
    assert (forest.predict(rows) == labels).all()


def test_scores_are_the_pipelines(forest: FlatForest, pipeline: Any, rows: pd.DataFrame) -> None:
    asked = np.vstack([rows_of_many_kinds(7), rows[list(FEATURES)].to_numpy()])
    assert_same(forest, pipeline, asked)
    assert set(forest.predict(asked).tolist()) == {-1, 1}
    np.testing.assert_array_equal([forest.score(row)[0] for row in asked[:200]], forest.score(asked[:200]))


@pytest.mark.parametrize(
    ("seed", "parameters"),
    [
        (1, {}),
        (2, {"n_estimators": 7, "max_samples": 50, "contamination": 0.2}),
        (3, {"max_features": 0.4, "contamination": "auto"}),
        (4, {"bootstrap": True, "max_samples": 3, "n_estimators": 20}),
        (5, {"max_samples": 2, "n_estimators": 3}),
    ],
)
def test_scores_are_the_pipelines_whatever_it_was_fitted_with(
    rows: pd.DataFrame, seed: int, parameters: dict[str, object]
) -> None:
    pipeline = fit(rows, seed, **parameters)
    assert_same(FlatForest.from_pipeline(pipeline), pipeline, rows_of_many_kinds(seed))


def test_a_row_at_a_threshold_goes_the_pipelines_way(forest: FlatForest, pipeline: Any) -> None:
    inner = np.flatnonzero(np.isfinite(forest.threshold) & (np.abs(forest.threshold) < LARGEST))
    asked = np.random.default_rng(3).choice(inner, 1500, replace=False)
    threshold, which = forest.threshold[asked], np.arange(len(asked))
    for values in (threshold, np.nextafter(threshold, np.inf), np.nextafter(threshold, -np.inf)):
        rows = healthy_rows(len(asked), 11)
        rows[which, forest.column[asked]] = values
        assert_same(forest, pipeline, rows)


def test_raw_thresholds_are_the_last_values_that_go_left() -> None:
    steps: tuple[Step, ...] = (lambda values, which: values * np.array([2.0, 8.0])[which],)
    columns = [ScaledColumn(3, 0, steps), ScaledColumn(7, 1, steps)]
    found = raw_thresholds(np.array([0, 1, -1, 0, 0]), np.array([1.0, 4.0, 9.0, np.inf, -np.inf]), columns)
    # The first 32-bit float above 1 is 1 + 2**-23; half of the way there is rounded to the even one, to 1. From
    # 2**128 - 2**103 on a value is rounded to infinity.
    half_way, infinite = 1 + 2**-24, 2.0**128 - 2.0**103
    assert found.tolist() == [half_way / 2, half_way / 2, np.inf, LARGEST, -infinite / 2]


def test_contributions_are_the_familys(forest: FlatForest, pipeline: Any, rows: pd.DataFrame) -> None:
    asked = rows.sort_values("label").tail(60)
    found = [forest.contributions(row) for row in asked[list(FEATURES)].to_numpy()]
    expected = RowForest().explain(pipeline, asked).contributions
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)
    assert max(share.max() for share in found) > 0.9
    assert forest.contributions(NOTHING_KNOWN).tolist() == [0.0] * 5


def test_expected_and_spread_are_those_of_the_train_rows(forest: FlatForest, rows: pd.DataFrame) -> None:
    known = rows[list(FEATURES)].to_numpy()
    for name in ("node_cpu_utilization_value", "pod_memory_usage_std_5m", "container_restart_count_max_5m"):
        column = FEATURES.index(name)
        values = known[:, column]
        median = np.median(values[values != NOTHING_KNOWN[column]])
        assert forest.expected[column] == pytest.approx(median)
    cpu = known[:, 0]
    width = np.subtract(*np.percentile(cpu, [65, 35]))
    assert forest.spread[0] == pytest.approx(width / (2 * 0.38532), rel=1e-4)
    assert forest.spread[36] == max(forest.expected[36], 1.0)
    assert (forest.spread > 0).all()
    assert np.isfinite(forest.spread).all()


@pytest.mark.parametrize(
    ("row", "code", "facts"),
    [
        (np.zeros(44), "wrong_width", {"width": 44, "expected": 45}),
        (np.zeros((2, 3, 45)), "wrong_width", {"width": 45, "expected": 45}),
        ([], "wrong_width", {"width": 0, "expected": 45}),
        (np.full(45, np.nan), "not_finite", {}),
        (np.full((2, 45), -np.inf), "not_finite", {}),
    ],
)
def test_bad_rows_are_refused(forest: FlatForest, row: Any, code: str, facts: dict[str, int]) -> None:
    for ask in (forest.score, forest.predict):
        with raises(ModelError, code, **facts):
            ask(row)


def test_contributions_are_of_one_row(forest: FlatForest) -> None:
    with raises(ModelError, "wrong_shape", shape=(2, 45), expected=(45,)):
        forest.contributions(np.zeros((2, 45)))


def test_rows_are_taken_in_any_form_without_compiling_again_and_stay_as_they_are(forest: FlatForest) -> None:
    rows = np.vstack([healthy_rows(20, 1), NOTHING_KNOWN])
    kept, expected = rows.copy(), forest.score(rows)
    compiled: Any = flat_forest._compiled()
    rows.flags.writeable = False
    assert (forest.score(rows) == expected).all()
    assert (forest.score(np.asfortranarray(rows)) == expected).all()
    assert (forest.score(rows.tolist()) == expected).all()
    assert (forest.score(np.hstack([rows, rows])[:, :45]) == expected).all()
    assert forest.score(rows[:0]).shape == (0,)
    assert forest.score(np.ones(45, dtype=np.int64)).shape == (1,)
    assert forest.predict(rows).dtype == np.int64
    assert (rows == kept).all()
    assert len(compiled.signatures) == 1


def _other_stretch(function: Any) -> Callable[[Any], None]:
    def change(pipeline: Any) -> None:
        pipeline[1].named_transformers_["levels"].steps[2] = ("stretch", FunctionTransformer(function))

    return change


def _cut_short(pipeline: Any) -> None:
    for lengths in pipeline[2]._decision_path_lengths:
        lengths[lengths > 8] = 8


def _one_imputed_column_less(pipeline: Any) -> None:
    name, imputer, columns = pipeline[0].transformers_[1]
    pipeline[0].transformers_[1] = (name, imputer, columns[1:])


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (_other_stretch(np.negative), "unknown_step"),
        (_other_stretch(np.tanh), "unknown_step"),
        (lambda p: p.steps.insert(0, ("more", StandardScaler())), "other_steps"),
        (lambda p: p.steps.pop(0), "other_steps"),
        (lambda p: setattr(p[0], "transformer_weights", {"default_0.5": 2.0}), "transformer_weights"),
        (lambda p: setattr(p[0].transformers_[0][1], "add_indicator", True), "other_imputation"),
        (lambda p: p[0].transformers_[0][1].statistics_.fill(np.nan), "imputed_not_finite"),
        (_one_imputed_column_less, "other_columns_imputed"),
        (lambda p: p[0].transformers_.pop(), "columns_not_imputed"),
        (lambda p: p[1].transformers_.pop(1), "other_columns_read"),
        (lambda p: p[1].named_transformers_["changes"].scale_.__imul__(-1), "scale_not_positive"),
        (lambda p: setattr(p[2], "offset_", np.nan), "scores_differ"),
        (_cut_short, "scores_differ"),
        (lambda p: delattr(p[2], "estimators_"), "other_pipeline"),
    ],
)
def test_other_pipelines_are_refused(pipeline: Any, change: Callable[[Any], object], code: str) -> None:
    other = copy.deepcopy(pipeline)
    change(other)
    with raises(ModelError, code) as refused:
        FlatForest.from_pipeline(other)
    assert str(refused.value).startswith(OTHER_KIND)
    assert code != "other_pipeline" or "estimators_" in refused.value.facts["otherwise"]


@pytest.mark.parametrize(
    ("other", "code"),
    [
        (None, "no_pipeline"),
        (Pipeline([]), "other_steps"),
        (StandardScaler(), "no_pipeline"),
        (isolation_forest._scaling(), "no_pipeline"),
    ],
)
def test_what_is_no_fitted_pipeline_is_refused(other: Any, code: str) -> None:
    with raises(ModelError, code) as refused:
        FlatForest.from_pipeline(other)
    assert str(refused.value).startswith(OTHER_KIND)


def test_the_loop_is_compiled_where_no_folder_is_writable() -> None:
    script = "from aiops_assets.learners.detectors import flat_forest; compiled = flat_forest._compiled(); "
    script += "print(len(compiled.signatures), compiled.stats.cache_path)"
    nowhere = {"NUMBA_CACHE_DIR": "/dev/null/nowhere", "NUMBA_CACHE_LOCATOR_CLASSES": "UserProvidedCacheLocator"}
    done = subprocess.run(
        [sys.executable, "-c", script], env={**os.environ, **nowhere}, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["1", "None"]
