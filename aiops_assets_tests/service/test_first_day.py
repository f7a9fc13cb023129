"""Answers on a cluster's first days, when models have seen generated rows alone: over HTTP, they claim less."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from aiops_assets.engine.first_day import before_belief, believed
from aiops_assets.engine.models import COLD_START
from aiops_assets_tests.pipeline.graph import CLOSED
from aiops_assets_tests.service.conftest import service, wait_until
from aiops_assets_tests.service.served_home import ServedHome

DETECTOR, FORECASTER = "anomaly-detector", "predictive-analytics"
REAL = {"DATA_SOURCE": "prometheus", "PROMETHEUS_URL": CLOSED}
FULL = {"metrics": [{"name": "pod_memory_usage", "value": 0.99}]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("first") / "home"
    ServedHome(home / "models").serve((DETECTOR, FORECASTER, COLD_START))
    return home


@pytest.fixture(scope="module")
def generated(folder: Path) -> Iterator[TestClient]:
    """The service of a laptop, where generated rows are what there is."""
    yield from started(folder)


@pytest.fixture(scope="module")
def young(folder: Path) -> Iterator[TestClient]:
    """That of a cluster whose days are fetched, with the same models."""
    yield from started(folder, **REAL)


def started(home: Path, **variables: str) -> Iterator[TestClient]:
    with service(home, demo=False, **variables) as client:
        for name in (DETECTOR, FORECASTER, COLD_START):
            wait_until(client, f"/v1/models/{name}")
        yield client


def detected(client: TestClient, **more: object) -> dict[str, Any]:
    answer = client.post("/api/v1/anomaly/detect", json={**FULL, **more})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def predicted(client: TestClient, minutes: int, pods: int = 0) -> dict[str, Any]:
    """Predictions an hour ahead from so many minutes of samples."""
    now = datetime.now(UTC)
    values = [
        {
            "name": "cpu_usage",
            "value": 0.3 + 0.01 * (back % 7),
            "timestamp": (now - timedelta(minutes=back)).isoformat(),
        }
        for back in range(0, minutes, 5)
    ]
    metrics = [{**one, "labels": {"pod": f"p{i}"}} for i in range(pods) for one in values] if pods else values
    answer = client.post("/api/v1/prediction/predict", json={"historical_metrics": metrics, "predict_ahead": "1h"})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def test_what_is_detected_is_as_sure_by_half(generated: TestClient, young: TestClient) -> None:
    sure, less = detected(generated), detected(young)
    assert sure["anomalies"][0]["confidence"] > 0.6
    assert less["anomalies"][0]["confidence"] == pytest.approx(0.5 + (sure["anomalies"][0]["confidence"] - 0.5) / 2)
    assert less["confidence"] == less["summary"]["confidence"] == less["anomalies"][0]["confidence"]
    assert len(less["notes"]) == len(sure["notes"]) + 1
    assert DETECTOR in less["notes"][-1]


def test_an_anomaly_that_is_reported_has_the_confidence_that_was_asked_for(young: TestClient) -> None:
    found = detected(young)["anomalies"][0]["confidence"]
    assert detected(young, threshold=found - 0.01)["anomaly_detected"]
    above = detected(young, threshold=min(found + 0.01, 1.0))
    assert not above["anomaly_detected"]


def test_an_hour_of_samples_is_forecast_by_the_pretrained_network(generated: TestClient, young: TestClient) -> None:
    (usual,) = predicted(generated, 60)["predictions"]
    found = predicted(young, 60)
    (cold,) = found["predictions"]
    assert (usual["judged_by"], cold["judged_by"]) == (FORECASTER, COLD_START)
    assert {model["model_name"] for model in found["models"]} == {COLD_START, DETECTOR}
    assert abs(cold["predicted_value"] - 0.33) < 0.1
    assert 0 < cold["confidence"] < believed(12 / 14)  # of twelve samples, by a model that has seen none of here
    assert COLD_START in found["notes"][-1]


def test_of_many_pods_the_quick_forecaster_is_asked_and_is_less_sure(young: TestClient, generated: TestClient) -> None:
    less, sure = predicted(young, 60, pods=5), predicted(generated, 60, pods=5)
    assert {one["judged_by"] for one in less["predictions"]} <= {FORECASTER, "robust-line"}
    for one, other in zip(less["predictions"], sure["predictions"], strict=True):
        assert one["confidence"] == pytest.approx(believed(other["confidence"]))
    assert len(less["notes"]) == len(sure["notes"]) + 1


@pytest.mark.parametrize("confidence", [0.0, 0.3, 0.5, 0.7, 0.75])
def test_a_threshold_is_what_belief_turns_into_it(confidence: float) -> None:
    before = before_belief(confidence)
    assert before is not None
    assert believed(before) == pytest.approx(confidence)


def test_a_threshold_beyond_belief_is_at_most_certainty() -> None:
    assert (before_belief(0.9), before_belief(None)) == (1.0, None)
