"""The anomaly-detector as ONNX: its answers, and what is said where it cannot be made."""

import json
import sys
from typing import Any

import numpy as np
import onnx
import pytest

from aiops_assets.errors import ModelError
from aiops_assets.learners.detectors import isolation_forest
from aiops_assets.learners.detectors.flat_forest import probe_rows
from aiops_assets.learners.detectors.forest_onnx import TOLERANCE, scores_of, to_onnx
from aiops_assets.synthetic.healthy import healthy_rows
from aiops_assets.timeseries.features import FEATURES
from aiops_assets_tests.raising import raises
from aiops_assets_tests.registry.champion_home import fitted


@pytest.fixture(scope="module")
def pipeline() -> Any:
    return fitted(1)


@pytest.fixture(scope="module")
def data(pipeline: Any) -> bytes:
    return to_onnx(pipeline)


def test_it_answers_as_the_pipeline(pipeline: Any, data: bytes) -> None:
    rows = np.vstack([healthy_rows(500, seed=3), probe_rows()])
    score, label = scores_of(data, rows)
    with np.errstate(over="ignore"):
        expected = isolation_forest.anomaly_score(pipeline, rows)
    assert score == pytest.approx(expected, abs=TOLERANCE)
    clear = np.abs(expected) > TOLERANCE
    assert label[clear].tolist() == np.where(expected > 0, -1, 1)[clear].tolist()
    assert {-1, 1} == set(label.tolist())


def test_it_is_valid_names_its_columns_and_is_the_same_each_time(pipeline: Any, data: bytes) -> None:
    model = onnx.load_from_string(data)
    onnx.checker.check_model(model, full_check=True)
    assert {one.key: json.loads(one.value) for one in model.metadata_props} == {"features": list(FEATURES)}
    assert to_onnx(pipeline) == data


def test_a_pipeline_whose_answers_would_be_others_has_no_onnx_form(monkeypatch: pytest.MonkeyPatch) -> None:
    other = fitted(2)
    monkeypatch.setattr(other["forest"], "decision_function", lambda rows: np.zeros(len(rows)), raising=False)
    with raises(ModelError, "onnx_differs"):
        to_onnx(other)


def test_without_the_steps_that_it_knows_there_is_no_onnx_form(pipeline: Any) -> None:
    with raises(ModelError, "other_steps"):
        to_onnx(pipeline[1:])


@pytest.mark.parametrize("package", ["onnx", "onnxruntime"])
def test_a_missing_package_is_named(pipeline: Any, monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with raises(ModelError, "package_missing", package=package):
        to_onnx(pipeline)
