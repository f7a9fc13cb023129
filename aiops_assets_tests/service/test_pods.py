"""Several pods in one request, over HTTP and with the lake."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import pytest
from starlette.testclient import TestClient

from aiops_assets.engine.pods import MAX_PODS, groups_of
from aiops_assets.engine.samples import Sample
from aiops_assets.engine.wording import say
from aiops_assets.errors import DataError
from aiops_assets.families.catalog import MODELS
from aiops_assets.families.predictive_analytics import PREDICTIVE_ANALYTICS
from aiops_assets.service import bodies
from aiops_assets.service.demo import DemoPool, demo_clock, demo_pool
from aiops_assets.service.engine import Engine
from aiops_assets.service.histories import LakeHistories
from aiops_assets.service.instruments import Instruments
from aiops_assets_tests.engine.forecasting import LastValue
from aiops_assets_tests.raising import raises
from aiops_assets_tests.service.conftest import service
from aiops_assets_tests.service.test_contract import DETECT, PREDICT, ask


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with service(tmp_path_factory.mktemp("demo"), demo=True) as client:
        yield client


def of(name: str, value: float, **labels: str) -> dict[str, Any]:
    return {"name": name, "value": value, "labels": labels}


FULL, CALM = of("pod_memory_usage", 0.97, pod="full"), of("pod_memory_usage", 0.4, pod="calm")
NODES = [of("node_memory_utilization", value, instance=node) for node, value in (("n1", 0.3), ("n2", 0.98))]


@pytest.mark.parametrize("metrics", [[FULL, CALM], [CALM, FULL]])
def test_the_full_pod_is_found_whichever_comes_last(demo: TestClient, metrics: list[dict[str, Any]]) -> None:
    found = ask(demo, DETECT, {"metrics": metrics})
    (anomaly,) = found["anomalies"]
    assert (anomaly["pod"], anomaly["metric_name"], anomaly["labels"]) == ("full", "pod_memory_usage", {})
    assert found["summary"]["total"] == 2
    assert found["recommendations"] == [say("raise_memory_limit", where="full").text]


def test_the_trained_models_tell_pods_and_nodes_apart(whole: TestClient) -> None:
    found = ask(whole, DETECT, {"metrics": [FULL, CALM, *NODES]})
    assert {(one["metric_name"], one["pod"], one["labels"].get("instance")) for one in found["anomalies"]} == {
        ("pod_memory_usage", "full", None),
        ("node_memory_utilization", "", "n2"),
    }


def test_each_pod_has_its_prediction_and_the_issue_names_one(demo: TestClient) -> None:
    body = {"historical_metrics": [FULL], "issue_context": {"metrics": [CALM], "recent_events": ["high_cpu"]}}
    found = ask(demo, PREDICT, {**body, "historical_metrics": [FULL, CALM]})
    assert [(one["pod"], one["metric_name"]) for one in found["predictions"]] == [
        ("full", "pod_memory_usage"),
        ("calm", "pod_memory_usage"),
    ]
    assert found["summary"]["metrics_count"] == 2
    reasons = {one["issue"]: one["reasons"] for one in found["predicted_issues"]}
    assert reasons["pod_oom"][0] == "pod full: pod_memory_usage is 0.97"
    assert reasons["cpu_saturation"] == ["event 'high_cpu'"]
    assert [one["pod"] for one in ask(demo, PREDICT, body)["predictions"]] == ["full"]


def test_labels_that_tell_nothing_apart_change_nothing(demo: TestClient) -> None:
    plain = [{"name": "cpu_usage", "value": 0.97}, {"name": "memory_usage", "value": 0.4}]
    labelled = [{**one, "labels": {"namespace": "shop"}} for one in plain]
    assert ask(demo, DETECT, {"metrics": labelled}) == ask(demo, DETECT, {"metrics": plain})
    assert ask(demo, PREDICT, {"historical_metrics": labelled}) == ask(demo, PREDICT, {"historical_metrics": plain})


@pytest.mark.parametrize(("path", "key"), [(DETECT, "metrics"), (PREDICT, "historical_metrics")])
def test_too_many_pods_are_refused_with_what_to_do(demo: TestClient, path: str, key: str) -> None:
    metrics = [of("pod_memory_usage", 0.4, pod=f"p{i}") for i in range(MAX_PODS + 1)]
    samples = [Sample(one["name"], one["value"], labels=one["labels"]) for one in metrics]
    with raises(DataError, "too_many_pods", pods=51) as expected:
        groups_of(samples, datetime.now(UTC))
    refused = demo.post(path, json={key: metrics})
    assert refused.status_code == 400
    assert refused.json() == {"error": str(expected.value)}
    assert demo.post(path, json={key: metrics[1:]}).status_code == 200


class _Asked(LakeHistories):
    """Knows no pod, and remembers which were asked for."""

    def __init__(self) -> None:
        self.pods: list[str] = []

    def of(self, pods: Iterable[str]) -> Mapping[str, pd.DataFrame]:
        self.pods = sorted(pods)
        return {}


@pytest.mark.parametrize(
    ("metrics", "resource", "asked"),
    [
        ([FULL, CALM], None, ["calm", "full"]),
        ([FULL, {"name": "node_cpu_utilization", "value": 0.4}], "cart", ["cart", "full"]),
        ([{"name": "pod_memory_usage", "value": 0.4}], "cart", ["cart"]),
        ([{"name": "pod_memory_usage", "value": 0.4}], None, []),
    ],
)
def test_the_lake_is_asked_for_the_pod_of_the_samples(
    metrics: list[dict[str, Any]], resource: str | None, asked: list[str]
) -> None:
    histories = _Asked()
    engine = Engine(demo_pool(Instruments()), Instruments(), demo_clock, histories)
    engine.detect(bodies.DetectBody.model_validate({"metrics": metrics, "context": {"resource": resource}}))
    assert histories.pods == asked


class _Forecasting(DemoPool):
    """The demo's models, and a forecaster that remembers what it was asked."""

    def __init__(self) -> None:
        super().__init__(MODELS, Instruments())
        self.forecaster = LastValue()
        self._ready[PREDICTIVE_ANALYTICS.name] = replace(self._ready[PREDICTIVE_ANALYTICS.name], model=self.forecaster)


@pytest.mark.parametrize("ahead", ["5m", "24h"])
@pytest.mark.parametrize(
    "names", [("pod_memory_usage",), ("pod_cpu_usage", "pod_memory_usage"), ("disk_usage", "network_in", "network_out")]
)
def test_predictions_and_issues_of_a_pod_come_of_one_forecast(ahead: str, names: tuple[str, ...]) -> None:
    pool, pods = _Forecasting(), ("a", "b", "c")
    times = [(demo_clock() - timedelta(minutes=5 * age)).isoformat() for age in range(30)]
    metrics = [
        {**of(name, 0.3 + 0.1 * place, pod=pod), "timestamp": time}
        for place, pod in enumerate(pods)
        for name in names
        for time in times
    ]
    body = bodies.PredictBody.model_validate({"historical_metrics": metrics, "predict_ahead": ahead})
    for request in (1, 2):
        found = Engine(pool, Instruments(), demo_clock).predict(body)
        assert {one["judged_by"] for one in found["predictions"]} == {PREDICTIVE_ANALYTICS.name}
        assert len(pool.forecaster.asked) == request * len(pods)
