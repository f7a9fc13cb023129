"""The table of situations, asked over HTTP of a service with real models: anomaly, issue and recommendation."""

import pytest
from starlette.testclient import TestClient

from aiops_assets_tests.engine.situations import SITUATIONS, Situation
from aiops_assets_tests.service.test_contract import DETECT, PREDICT, ask

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
