"""The engine's three paths, by value: engine contract, sections 2.2 and 2.3. A missing key fails."""

import json
import math
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from pydantic import BaseModel
from starlette.testclient import TestClient

from aiops_assets.families.anomaly_detector import ANOMALY_DETECTOR
from aiops_assets.service import answers
from aiops_assets.synthetic.healthy import healthy_rows
from aiops_assets.timeseries.features import ENGINE_DEFAULT, FEATURES
from aiops_assets_tests.service.conftest import service

DETECT, PREDICT, ANALYZE = "/api/v1/anomaly/detect", "/api/v1/prediction/predict", "/api/v1/pattern/analyze"
SHAPES: dict[str, type[BaseModel]] = {
    DETECT: answers.DetectAnswer,
    PREDICT: answers.PredictAnswer,
    ANALYZE: answers.AnalyzeAnswer,
}
NOW = datetime(2026, 1, 25, 10, 0, tzinfo=UTC)
ADR_009 = {
    "metrics": [
        {"name": "cpu_usage", "value": 0.855, "timestamp": "2026-01-25T10:00:00Z"},
        {"name": "memory_usage", "value": 0.923, "timestamp": "2026-01-25T10:00:00Z"},
        {"name": "container_restarts", "value": 5, "timestamp": "2026-01-25T10:00:00Z"},
        {"name": "cpu_trend_5m", "value": 0.12, "timestamp": "2026-01-25T10:00:00Z"},
        {"name": "memory_trend_1h", "value": 0.08, "timestamp": "2026-01-25T10:00:00Z"},
    ],
    "context": {"namespace": "production", "resource": "payment-service"},
}


def ask(client: TestClient, path: str, body: object) -> dict[str, Any]:
    """An answer that has every field, in its type; JSON without NaN, times with an offset."""
    response = client.post(path, json=body)
    assert response.status_code == 200, response.text
    SHAPES[path].model_validate_json(response.content, strict=True)
    found: dict[str, Any] = json.loads(response.content, parse_constant=lambda name: pytest.fail(f"{name} in JSON"))
    _require_go_times(found)
    return found


def _require_go_times(value: object, key: str = "") -> None:
    if isinstance(value, dict):
        for name, one in value.items():
            _require_go_times(one, name)
    elif isinstance(value, list):
        for one in value:
            _require_go_times(one, key)
    elif key in ("timestamp", "start_time", "end_time"):
        assert isinstance(value, str)
        assert "T" in value
        assert datetime.fromisoformat(value).utcoffset() is not None
    assert not (isinstance(value, float) and not math.isfinite(value))


def sample(name: str, value: float, minutes: float = 0.0) -> dict[str, object]:
    """One entry of ``metrics``, some minutes ago."""
    return {"name": name, "value": value, "timestamp": (NOW - timedelta(minutes=minutes)).isoformat()}


def rising(name: str, first: float, per_hour: float, hours: float) -> list[dict[str, object]]:
    rng = np.random.default_rng(5)
    steps = round(hours * 12)
    noise = 0.004 * rng.standard_normal(steps)
    return [sample(name, first + per_hour * i / 12 + float(noise[i]), 5 * (steps - 1 - i)) for i in range(steps)]


class TestDetect:
    def test_the_documents_example_has_anomalies_with_reasons_and_recommendations(self, whole: TestClient) -> None:
        found = ask(whole, DETECT, ADR_009)
        assert found["anomaly_detected"] is True
        assert found["summary"]["total"] == 5
        assert found["summary"]["anomalies_found"] == len(found["anomalies"]) >= 1
        assert found["summary"]["high_severity"] >= 1
        assert found["summary"]["confidence"] == found["confidence"] > 0.5
        assert found["anomaly_score"] > 0.5
        assert any("production/payment-service" in text for text in found["recommendations"])
        for anomaly in found["anomalies"]:
            assert anomaly["metric_name"] in [one["name"] for one in ADR_009["metrics"]]  # type: ignore[index]
            assert anomaly["deviation"] == pytest.approx(anomaly["value"] - anomaly["expected"])
            assert anomaly["metric_name"] in anomaly["reason"]
        assert found["models"][0]["model_version"] == "1"
        assert found["models"][0]["data_version"] == "data-of-1"

    def test_gos_own_example_in_percent(self, whole: TestClient) -> None:
        body = {"metrics": [sample("cpu_usage", 95.0), sample("memory_usage", 45.0)], "threshold": 0.8}
        found = ask(whole, DETECT, body)
        (anomaly,) = found["anomalies"]
        assert anomaly["metric_name"] == "cpu_usage"
        assert anomaly["value"] == 95.0
        assert 20 < anomaly["expected"] < 70
        assert anomaly["severity"] in ("high", "critical")
        assert datetime.fromisoformat(anomaly["timestamp"]) == NOW

    @pytest.mark.parametrize("key", ["name", "metric_name"])
    @pytest.mark.parametrize(
        ("name", "value"),
        [("cpu_usage", 0.4), ("memory_usage", 0.5), ("container_restarts", 12), ("pod_cpu_usage", 0.1), ("x", 1e9)],
    )
    def test_one_healthy_sample_without_history(self, whole: TestClient, key: str, name: str, value: float) -> None:
        found = ask(whole, DETECT, {"metrics": [{key: name, "value": value}]})
        assert found["anomaly_detected"] is False
        assert found["anomalies"] == found["recommendations"] == []
        assert found["summary"] == {
            "total": 1,
            "anomalies_found": 0,
            "high_severity": 0,
            "confidence": found["confidence"],
        }

    def test_all_45_features_are_judged_as_the_row_they_are(self, whole: TestClient) -> None:
        rows = healthy_rows(60, seed=11)
        scores = whole.post(f"/v1/models/{ANOMALY_DETECTOR.name}:predict", json={"instances": rows.tolist()}).json()
        for row, verdict in zip(rows, scores["predictions"], strict=True):
            body = {"metrics": [{"name": n, "value": v} for n, v in zip(FEATURES, row.tolist(), strict=True)]}
            found = ask(whole, DETECT, body)
            assert found["summary"]["total"] == 45
            assert found["anomaly_detected"] == (verdict == -1)

    def test_a_far_vector_names_what_is_far(self, whole: TestClient) -> None:
        row = dict(zip(FEATURES, healthy_rows(1, seed=2)[0].tolist(), strict=True))
        far = {"value": 0.99, "mean_5m": 0.98, "min_5m": 0.95, "max_5m": 0.99, "lag_1": 0.98, "lag_5": 0.95}
        row |= {f"pod_memory_usage_{name}": value for name, value in far.items()}
        found = ask(whole, DETECT, {"metrics": [{"name": n, "value": v} for n, v in row.items()]})
        assert any(one["metric_name"].startswith("pod_memory_usage") for one in found["anomalies"])

    def test_the_defaults_alone_raise_nothing(self, whole: TestClient) -> None:
        values = [float(value) for value in ENGINE_DEFAULT] * 5
        body = {"metrics": [{"name": n, "value": v} for n, v in zip(FEATURES, values, strict=True)]}
        assert ask(whole, DETECT, body)["anomaly_detected"] is False

    def test_a_threshold_hides_what_is_less_sure(self, whole: TestClient) -> None:
        body: dict[str, Any] = {"metrics": [sample("cpu_usage", 0.97)]}
        surest = ask(whole, DETECT, body)["confidence"]
        assert ask(whole, DETECT, {**body, "threshold": surest - 0.01})["anomaly_detected"] is True
        assert ask(whole, DETECT, {**body, "threshold": 1.0})["anomalies"] == []

    def test_an_unknown_metric_with_a_history_is_judged_by_it(self, whole: TestClient) -> None:
        rng = np.random.default_rng(3)
        calm = [sample("queue_length", 100 + float(rng.normal()), 5 * (40 - i)) for i in range(40)]
        assert ask(whole, DETECT, {"metrics": calm})["anomaly_detected"] is False
        found = ask(whole, DETECT, {"metrics": [*calm, sample("queue_length", 400.0)]})
        assert [one["metric_name"] for one in found["anomalies"]] == ["queue_length"]
        assert 90 < found["anomalies"][0]["expected"] < 110


class TestPredict:
    def test_gos_own_example_in_percent(self, whole: TestClient) -> None:
        history = [sample("cpu_usage", 60.0, 120), sample("cpu_usage", 65.0, 60)]
        body = {"historical_metrics": history, "predict_ahead": "1h", "include_confidence": True}
        found = ask(whole, PREDICT, body)
        (prediction,) = found["predictions"]
        assert prediction["metric_name"] == "cpu_usage"
        assert 40 < prediction["predicted_value"] < 90
        assert prediction["confidence"] > 0
        assert found["summary"] == {
            "time_range": "1h",
            "metrics_count": 1,
            "overall_confidence": prediction["confidence"],
        }
        assert found["models"][0]["model_name"] == "predictive-analytics"

    @pytest.mark.parametrize(("ahead", "minutes"), [("5m", 5), ("1h", 60), ("24h", 1440), ("1h30m0s", 90)])
    def test_the_time_is_the_one_asked_for(self, whole: TestClient, ahead: str, minutes: int) -> None:
        history = rising("memory_usage", 0.4, 0.0, 30)
        found = ask(whole, PREDICT, {"historical_metrics": history, "predict_ahead": ahead})
        told = datetime.fromisoformat(found["predictions"][0]["timestamp"]) - NOW
        assert timedelta(0) <= told - timedelta(minutes=minutes) <= timedelta(minutes=5)

    def test_a_leak_rises_and_is_an_issue(self, whole: TestClient) -> None:
        history = rising("memory_usage", 0.5, 0.1, 4)  # full in an hour
        found = ask(whole, PREDICT, {"historical_metrics": history, "predict_ahead": "1h"})
        assert found["predictions"][0]["trend"] == "increasing"
        assert found["predictions"][0]["risk"] == "high"
        assert found["predictions"][0]["predicted_value"] > 0.9
        assert found["predicted_issues"][0]["issue"] == "pod_oom"
        assert "increase_memory_limit" in found["suggested_actions"]

    def test_the_documents_issue_context(self, whole: TestClient) -> None:
        events = ["pod_restart", "high_cpu", {"type": "OOMKilled", "timestamp": NOW.isoformat(), "extra": 1}]
        context = {"current_state": "degraded", "recent_events": events, "metrics": ADR_009["metrics"]}
        found = ask(whole, PREDICT, {"issue_context": context})
        issues = [one["issue"] for one in found["predicted_issues"]]
        assert "pod_oom" in issues
        assert found["suggested_actions"]
        probabilities = [one["probability"] for one in found["predicted_issues"]]
        assert probabilities == sorted(probabilities, reverse=True)

    def test_a_situation_without_times_beside_a_history_with_them(self, whole: TestClient) -> None:
        body = {
            "historical_metrics": rising("memory_usage", 0.4, 0.0, 3),
            "issue_context": {"metrics": [{"name": "memory_usage", "value": 0.97}]},
        }
        assert ask(whole, PREDICT, body)["predicted_issues"][0]["issue"] == "pod_oom"

    def test_both_at_once(self, whole: TestClient) -> None:
        body = {"historical_metrics": rising("memory_usage", 0.4, 0.0, 3), "issue_context": {"recent_events": ["oom"]}}
        found = ask(whole, PREDICT, body)
        assert len(found["predictions"]) == 1
        assert found["predicted_issues"]


class TestAnalyze:
    def test_a_trend_a_season_and_no_event(self, whole: TestClient) -> None:
        rng = np.random.default_rng(1)
        rise = [sample("disk", 10 + 0.1 * i + float(rng.normal(0, 0.2)), 5 * (288 - i)) for i in range(288)]
        minutes = range(4 * 1440, 0, -15)
        wave = [
            sample("load", 5 + 2 * math.sin(m / 1440 * 2 * math.pi) + float(rng.normal(0, 0.1)), m) for m in minutes
        ]
        body = {
            "metrics": rise + wave,
            "time_range": {"start": (NOW - timedelta(days=5)).isoformat(), "end": NOW.isoformat()},
        }
        found = ask(whole, ANALYZE, body)
        assert {(tuple(one["metrics"]), one["type"]) for one in found["patterns"]} >= {
            (("disk",), "trend"),
            (("load",), "seasonal"),
        }
        assert found["summary"]["patterns_found"] == len(found["patterns"])
        assert found["insights"]

    def test_gos_layer_question_without_anything(self, whole: TestClient) -> None:
        body = {
            "metrics": None,
            "time_range": {"start": "2026-01-25T09:00:00.123456789+01:00", "end": "2026-01-25T10:00:00+01:00"},
            "analysis_type": "layer_detection",
        }
        found = ask(whole, ANALYZE, body)
        assert found["patterns"] == []
        assert found["summary"] == {"patterns_found": 0, "confidence": 0.0}

    def test_events_tell_the_layer(self, whole: TestClient) -> None:
        events = ["NodeNotReady", {"type": "KubeletDown", "timestamp": "2026-01-25T09:00:00Z"}, "node_disk_pressure"]
        body = {"historical_data": {"time_range": "24h", "events": events}, "analysis_type": "layer_detection"}
        found = ask(whole, ANALYZE, body)
        assert "infrastructure" in found["patterns"][0]["description"]


@pytest.mark.parametrize("path", SHAPES)
class TestOfAll:
    def test_no_metrics_are_answered(self, whole: TestClient, path: str) -> None:
        ask(whole, path, {"metrics": []})

    def test_gos_zero_time_and_unknown_keys_are_no_matter(self, whole: TestClient, path: str) -> None:
        metric = {"name": "cpu_usage", "value": 0.4, "timestamp": "0001-01-01T00:00:00Z", "unit": "x", "labels": None}
        ask(whole, path, {"metrics": [metric], "trace": {"id": 1}})

    @pytest.mark.parametrize(
        "metric",
        [
            '{"name": "a", "value": null}',
            '{"name": "a", "value": "1"}',
            '{"name": "a", "value": true}',
            '{"name": "a", "value": NaN}',
            '{"name": "a", "value": Infinity}',
            '{"name": "a", "value": 1e999}',
            '{"name": "a", "value": [1]}',
            '{"name": "a"}',
            '{"value": 1}',
            '{"name": "", "value": 1}',
            '{"name": 7, "value": 1}',
            '{"name": "a", "value": 1, "timestamp": "yesterday"}',
            '{"name": "a", "value": 1, "timestamp": ""}',
            '{"name": "a", "value": 1, "timestamp": 1e300}',
            "1",
            "null",
        ],
    )
    def test_a_sample_that_cannot_be_used_is_a_400_that_names_it(
        self, whole: TestClient, path: str, metric: str
    ) -> None:
        response = whole.post(path, content=f'{{"metrics": [{{"name": "b", "value": 1}}, {metric}]}}')
        assert response.status_code == 400
        assert set(response.json()) == {"error"}
        assert "metrics[1]" in response.json()["error"]

    @pytest.mark.parametrize("body", [b"", b"[]", b"null", b"{", b"\xff", b'"x"', b"[" * 5000])
    def test_a_body_that_is_no_object_is_a_400(self, whole: TestClient, path: str, body: bytes) -> None:
        response = whole.post(path, content=body)
        assert response.status_code == 400
        assert set(response.json()) == {"error"}

    def test_ten_megabytes_are_a_413(self, whole: TestClient, path: str) -> None:
        response = whole.post(path, content=b'{"metrics": [' + b" " * 10_000_000 + b"]}")
        assert response.status_code == 413
        assert "SERVICE_MAX_BODY_BYTES" in response.json()["error"]

    def test_ten_thousand_metrics_are_answered(self, whole: TestClient, path: str) -> None:
        found = ask(whole, path, {"metrics": [{"name": f"metric_{i}", "value": i} for i in range(10_000)]})
        if path == DETECT:
            assert found["summary"]["total"] == 10_000

    @pytest.mark.parametrize("values", [[1e308, -1e308] * 30, [0.0] * 60, [5e-324] * 60, [1e308] * 60])
    def test_extreme_values_are_answered_in_json(self, whole: TestClient, path: str, values: list[float]) -> None:
        for name in ("memory_usage", "other"):
            ask(whole, path, {"metrics": [sample(name, value, 5 * i) for i, value in enumerate(values)]})

    def test_times_far_apart_are_answered(self, whole: TestClient, path: str) -> None:
        times = ["1970-01-01T00:00:00Z", "2026-01-25T10:00:00Z", "2026-01-25T10:00:00+02:00", "2199-12-31T23:59:59Z"]
        ask(whole, path, {"metrics": [{"name": "cpu_usage", "value": 0.4, "timestamp": time} for time in times]})

    @pytest.mark.parametrize("time", ["0001-01-02T00:00:00Z", "1969-12-31T23:59:59Z", "9999-12-31T23:59:59-05:00"])
    def test_a_clock_that_is_not_set_is_a_400(self, whole: TestClient, path: str, time: str) -> None:
        response = whole.post(path, json={"metrics": [{"name": "cpu_usage", "value": 0.4, "timestamp": time}]})
        assert response.status_code == 400
        assert "between 1970 and 2199" in response.json()["error"]


def test_a_threshold_and_a_time_ahead_outside_what_is_allowed_are_told(whole: TestClient) -> None:
    for body, place in (
        ({"metrics": [], "threshold": 2.0}, "threshold"),
        ({"metrics": [], "threshold": "1"}, "threshold"),
    ):
        response = whole.post(DETECT, json=body)
        assert response.status_code == 400
        assert place in response.json()["error"]
    for ahead in ("25h", "0s", "-1h", "soon", "1"):
        response = whole.post(PREDICT, json={"metrics": [], "predict_ahead": ahead})
        assert response.status_code == 400
        assert "predict_ahead" in response.json()["error"]


def test_the_demo_answers_alike_byte_for_byte(tmp_path_factory: pytest.TempPathFactory) -> None:
    said = []
    for _ in range(2):
        with service(tmp_path_factory.mktemp("demo"), demo=True) as client:
            found = [client.post(DETECT, json=ADR_009), client.post(PREDICT, json={"metrics": ADR_009["metrics"]})]
            assert client.get("/health").json()["status"] == "healthy"
            predicted = client.post("/v1/models/predictive-analytics:predict", json={"instances": [[0.5] * 3264]})
            assert predicted.json()["predictions"]["cpu_usage"]["forecast"]
            window = client.post("/v1/models/arima-predictor:predict", json={"instances": [[[0.5] * 5] * 20]})
            said.append([one.content for one in (*found, predicted, window)])
            ask(client, DETECT, ADR_009)
    assert said[0] == said[1]
