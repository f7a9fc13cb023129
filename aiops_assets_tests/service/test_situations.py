"""The table of situations, asked over HTTP of a service with real models: anomaly, issue and recommendation."""

from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from aiops_assets_tests.engine.incidents import HARMFUL, HARMLESS, Incident, series
from aiops_assets_tests.engine.situations import SITUATIONS, Situation
from aiops_assets_tests.service.test_contract import DETECT, PREDICT, ask, sample

SEEDS = range(3)


@pytest.mark.parametrize("situation", SITUATIONS, ids=lambda one: one.name)
@pytest.mark.parametrize("seed", SEEDS)
def test_a_situation_is_named_explained_and_answered_with_advice(
    whole: TestClient, situation: Situation, seed: int
) -> None:
    body = situation.body(seed)
    found = ask(whole, DETECT, {"metrics": body})
    assert found["summary"]["total"] == len(body)
    if situation.expected_kind is None:
        assert found["anomalies"] == found["recommendations"] == []
    else:
        kinds = {one["metric_name"]: one["kind"] for one in found["anomalies"]}
        assert situation.expected_kind in {
            kind for name, kind in kinds.items() if name.startswith(situation.expected_metric)
        }, kinds
        assert any(situation.expected_recommendation in text for text in found["recommendations"])
    foretold = ask(whole, PREDICT, {"issue_context": {"metrics": body}})
    issues = [one["issue"] for one in foretold["predicted_issues"]]
    if situation.expected_issue is not None:
        assert situation.expected_issue in issues
        assert foretold["suggested_actions"]
    elif situation.expected_kind is None:
        assert issues == []


def both(client: TestClient, incident: Incident, seed: int) -> tuple[Any, Any]:
    """The answers of detect and predict."""
    body = incident.body(seed)
    predicted = ask(client, PREDICT, {"historical_metrics": body, "predict_ahead": "1h"})
    return ask(client, DETECT, {"metrics": body}), predicted


@pytest.mark.parametrize("incident", HARMFUL, ids=lambda one: one.name)
@pytest.mark.parametrize("seed", range(2))
def test_an_incident_is_found_by_both_routes(whole: TestClient, incident: Incident, seed: int) -> None:
    found, predicted = both(whole, incident, seed)
    named = [one for one in found["anomalies"] if incident.anomaly in one["metric_name"]]
    assert named, found["anomalies"]
    assert found["anomaly_score"] >= 3
    for one in named:
        assert one["limit"] is None or one["limit"] != one["expected"]
    issues = {one["issue"] for one in predicted["predicted_issues"]}
    assert not incident.issues or issues & set(incident.issues), issues


@pytest.mark.parametrize("incident", HARMLESS, ids=lambda one: one.name)
@pytest.mark.parametrize("seed", range(2))
def test_a_harmless_event_raises_nothing(whole: TestClient, incident: Incident, seed: int) -> None:
    found, predicted = both(whole, incident, seed)
    assert found["anomalies"] == found["recommendations"] == []
    assert found["anomaly_score"] < 3
    assert predicted["predicted_issues"] == []


@pytest.mark.parametrize("step", [60, 300])
@pytest.mark.parametrize("name", ["memory_usage", "pod_memory_usage", "node_memory_utilization", "disk_usage"])
def test_ten_rising_samples_have_one_forecast_and_one_trend(whole: TestClient, name: str, step: int) -> None:
    body = series(name, np.linspace(0.5, 0.86, 10), step)
    predicted = ask(whole, PREDICT, {"historical_metrics": body, "predict_ahead": "1h"})
    (one,) = predicted["predictions"]
    assert (one["trend"], one["risk"]) == ("increasing", "high")
    assert one["predicted_value"] > 0.86
    assert len(predicted["predicted_issues"]) == 1


def test_a_burst_is_not_forecast_half_way_with_confidence(whole: TestClient) -> None:
    (incident,) = (one for one in HARMFUL if "burst" in one.name)
    for seed in range(3):
        (one,) = both(whole, incident, seed)[1]["predictions"]
        assert one["confidence"] < 0.5
        assert one["confidence_basis"] == "not calibrated"


def test_what_nothing_is_known_of_is_listed_and_counted(whole: TestClient) -> None:
    found = ask(whole, DETECT, {"metrics": [sample("queue", 7.0), sample("cpu_usage", 0.4)]})
    assert (found["not_judged"], found["summary"]["total"], found["anomalies"]) == (["queue"], 2, [])
    known = ask(whole, DETECT, {"metrics": series("queue", [7.0] * 12, 60)})
    assert known["not_judged"] == []


@pytest.mark.parametrize("context", [None, {"resource": "cart-1"}, {"namespace": "shop", "resource": "cart-1"}])
def test_without_samples_and_scores_nothing_is_judged(whole: TestClient, context: Any) -> None:
    found = ask(whole, DETECT, {"metrics": [], "context": context})
    assert (found["anomaly_detected"], found["confidence"], found["judged_by"], found["models"]) == (False, 0, [], [])
    assert len(found["notes"]) == 1


def test_expected_is_what_is_usual_and_limit_is_the_bound(whole: TestClient) -> None:
    (alone,) = ask(whole, DETECT, {"metrics": [sample("disk_usage", 0.95)]})["anomalies"]
    assert alone["expected"] < alone["limit"] == 0.9
    history = series("disk_usage", [0.62] * 20 + [0.95], 300)
    (one,) = ask(whole, DETECT, {"metrics": history})["anomalies"]
    assert (one["expected"], one["limit"]) == (0.62, 0.9)
    assert one["deviation"] == pytest.approx(0.33)
    (percent,) = ask(whole, DETECT, {"metrics": [sample("disk_usage_percent", 95.0)]})["anomalies"]
    assert percent["expected"] < percent["limit"] == 90.0
