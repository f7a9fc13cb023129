"""A stranger's lines in a file and one run: what a real Prometheus then scrapes of their metrics, and of silence."""

import json
import re
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import dagster as dg
import numpy as np
import pandas as pd
import pytest
from prometheus_client import CollectorRegistry, start_http_server

from aiops_assets.pipeline.definitions import definitions_for
from aiops_assets.pipeline.resources import stores_of
from aiops_assets.registry.findings import newest_findings
from aiops_assets.registry.metric_findings import MetricExplanation, explain_metric
from aiops_assets.reporting.metric_exposition import MetricCollector
from aiops_assets.synthetic.pods import generate
from aiops_assets.timeseries.series import Floats
from aiops_assets_tests.conftest import make_settings
from aiops_assets_tests.pipeline.comings_and_goings import LIVED, MISSED, YOUNG, comings_and_goings
from aiops_assets_tests.prometheus_server import Scraped, Target, running_prometheus, scrape, write_blocks

pytestmark = [pytest.mark.long, pytest.mark.needs("prometheus")]
FILE = """
metrics:
  - {name: queue_depth, promql: "max by (queue) (depth)", unit: messages, labels: [queue], forecast: true,
     step_seconds: 60, alert: {direction: up, severity: critical, silence: true}}
  - {name: requests, promql: "sum by (service) (requests_total)", unit: requests, labels: [service],
     type: counter, forecast: true}
  - {name: sessions, promql: "sum by (namespace, pod) (app_sessions)", unit: sessions, per: pod}
  - {name: load, promql: "max by (instance) (node_load1)", unit: load, per: node}
  - {name: undeclared, promql: "sum(requests_total)", unit: requests}
  - {name: each_queue, promql: depth, unit: messages}
  - {name: misspelt, promql: detph, unit: messages}
"""
SILENT_MINUTES = 10
"""Two runs at the default of SCORE_MINUTES: so long ago things stop, and the queue of orders is longer."""
AHEAD_MINUTES = 5
"""The server has samples of what is to come, so that it scrapes while the run takes its time."""
PODS, NODES = 5, 3
SCRAPED_SECONDS = 60


@dataclass(frozen=True)
class Walked:
    """What a run found, and the answers of the server that scrapes it: query -> (labels, value)."""

    checks: dict[str, str]
    pods: int
    explained: MetricExplanation
    url: str

    def ask(self, query: str) -> dict[str, float]:
        """Entity -> value."""
        text = f"{self.url}/api/v1/query?{urllib.parse.urlencode({'query': query})}"
        with urllib.request.urlopen(text) as answer:
            result = json.load(answer)["data"]["result"]
        return {series["metric"].get("entity", ""): float(series["value"][1]) for series in result}


def cluster(now: pd.Timestamp) -> list[Scraped]:
    """Two days of pods and nodes with metrics of their own; node-2, a pod, and a queue stop, another one freezes."""
    series = generate(PODS, 2, now + pd.Timedelta(minutes=AHEAD_MINUTES), seed=7)
    times, n = series.times, len(series.times)
    target, rng = Target(times, 5.0), np.random.default_rng(1)

    def around(level: float, noise: float) -> Floats:
        return level + rng.normal(0, noise, n)

    orders, stuck = around(100, 3), around(50, 3)
    late = times > now - pd.Timedelta(minutes=SILENT_MINUTES)
    orders[late] += 200
    stuck[late] = stuck[late][0]
    ours = [
        target.shows("depth", orders, queue="orders"),
        target.shows("depth", stuck, queue="stuck"),
        _cut(target.shows("depth", around(20, 1), queue="audit"), now),
        *(target.counts("requests_total", np.abs(around(10, 1)), service=one) for one in ("cart", "shop")),
        *(target.shows("app_sessions", around(30, 2), namespace="demo", pod=pod) for pod in series.pods),
        *(target.shows("node_load1", around(2, 0.1), instance=f"node-{i}") for i in range(NODES)),
    ]
    ones = np.ones(n)
    for pod in series.pods:
        of = {"namespace": "demo", "pod": pod}
        owner = {"owner_kind": "StatefulSet", "owner_name": "app", "owner_is_controller": "true"}
        ours += [
            target.shows("kube_pod_owner", ones, **of, **owner),
            target.shows("kube_pod_status_phase", ones, phase="Running", **of),
            target.shows("kube_pod_start_time", ones * (now.timestamp() - 86_400), **of),
        ]
    ours.append(target.shows("kube_statefulset_replicas", ones * PODS, namespace="demo", statefulset="app"))
    found = []
    for one in (*scrape(series, NODES), *ours):
        of_pod = one.name.startswith("container_") and one.labels.get("pod") == series.pods[-1]
        of_node = one.name.startswith("node_") and one.labels.get("instance") == "node-2"
        found.append(_cut(one, now) if of_pod or of_node else one)
    return sorted(
        [*found, *comings_and_goings(times, now.timestamp(), SILENT_MINUTES)], key=lambda samples: samples.name
    )


def _cut(samples: Scraped, now: pd.Timestamp) -> Scraped:
    kept = samples.seconds < now.timestamp() - SILENT_MINUTES * 60
    return replace(samples, seconds=samples.seconds[kept], values=samples.values[kept])


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Walked]:
    folder = tmp_path_factory.mktemp("own_metrics")
    now = pd.Timestamp(datetime.now(UTC)).floor("min")
    write_blocks(cluster(now), folder / "tsdb")
    (folder / "metrics.yaml").write_text(FILE)
    with running_prometheus(folder / "tsdb") as source:
        settings = make_settings(
            folder / "home",
            DATA_SOURCE="prometheus",
            PROMETHEUS_URL=source,
            METRICS_FILE=str(folder / "metrics.yaml"),
            SCORE_MINUTES="1",
        )
        with dg.DagsterInstance.ephemeral() as instance:
            result = definitions_for(settings).resolve_job_def("score").execute_in_process(instance=instance)
    registry = CollectorRegistry()
    registry.register(MetricCollector(stores_of(settings).scores()))
    server, thread = start_http_server(0, addr="127.0.0.1", registry=registry)
    try:
        with running_prometheus(tmp_path_factory.mktemp("scraping"), f"127.0.0.1:{server.server_port}") as url:
            checks = {e.check_name: e.description or "" for e in result.get_asset_check_evaluations()}
            pods = result.asset_materializations_for_node("scores")[0].metadata["pods_with_known_workload"].value
            assert isinstance(pods, int)
            explained = explain_metric(newest_findings(stores_of(settings).scores(), datetime.now(UTC)), "queue_depth")
            found = Walked(checks, pods, explained, url)
            end = time.monotonic() + SCRAPED_SECONDS
            while not found.ask("aiops_metric_value") and time.monotonic() < end:
                time.sleep(0.2)
            yield found
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.parametrize(
    ("metric", "entities", "expected", "unit"),
    [
        ("queue_depth", {"queue=orders", "queue=stuck"}, 75, "messages"),
        ("requests", {"service=cart", "service=shop"}, 10, "requests/s"),
        ("sessions", {f"demo/synthetic-{i:03d}" for i in range(PODS)}, 30, "sessions"),
        ("load", {f"node-{i}" for i in range(NODES - 1)}, 2, "load"),
    ],
)
def test_each_kind_of_metric_has_score_band_and_alert(
    walked: Walked, metric: str, entities: set[str], expected: float, unit: str
) -> None:
    of = f'{{metric="{metric}", unit="{unit}"}}'
    score, alert = walked.ask(f"aiops_metric_score{of}"), walked.ask(f'aiops_metric_alert{{metric="{metric}"}}')
    assert entities <= score.keys()
    assert score.keys() == alert.keys() >= entities
    sides = [walked.ask(f"aiops_metric_{side}{of}") for side in ("lower", "expected", "upper")]
    for entity in entities:
        lower, middle, upper = (side[entity] for side in sides)
        assert lower < middle < upper
        assert middle == pytest.approx(expected, rel=0.5)


def test_only_what_left_its_band_is_an_alert_and_with_its_severity(walked: Walked) -> None:
    assert walked.ask("aiops_metric_alert == 1") == {"queue=orders": 1.0}
    assert walked.ask('aiops_metric_alert{severity="critical", queue="orders"} == 1') == {"queue=orders": 1.0}
    assert walked.ask("aiops_metric_score{queue='orders'}")["queue=orders"] > 1


def test_forecasts_are_of_the_metrics_that_want_one(walked: Walked) -> None:
    for horizon in ("5m", "1h"):  # a day ahead takes two days to be judged
        found = walked.ask(f'aiops_metric_forecast{{horizon="{horizon}", unit="requests/s"}}')
        lower = walked.ask(f'aiops_metric_forecast_lower{{horizon="{horizon}", unit="requests/s"}}')
        assert found.keys() == lower.keys() == {"service=cart", "service=shop"}
        assert all(lower[one] <= value == pytest.approx(10, rel=0.5) for one, value in found.items())
    assert not walked.ask('aiops_metric_forecast{metric="sessions"}')


def test_what_stopped_is_silent_and_nothing_else(walked: Walked) -> None:
    found = {
        reason: set(walked.ask(f'aiops_silence{{reason="{reason}"}}'))
        for reason in ("metric_stopped", "metric_frozen", "node_gone", "pod_vanished")
    }
    assert found == {
        "metric_stopped": {"queue=audit"},
        "metric_frozen": {"queue=stuck"},
        "node_gone": {"node-2"},
        "pod_vanished": {f"demo/synthetic-{PODS - 1:03d}", f"demo/{MISSED}"},
    }


def test_an_explanation_has_the_series_that_are_silent(walked: Walked) -> None:
    assert {one.entity: one.silent for one in walked.explained.entities} == {
        "queue=orders": "",
        "queue=stuck": "metric_frozen",
        "queue=audit": "metric_stopped",
    }


def test_pods_that_came_and_went_were_heard_of(walked: Walked) -> None:
    assert walked.pods >= PODS + LIVED - YOUNG  # so that their end could have been missed


def test_what_has_no_gauges_is_named(walked: Walked) -> None:
    for name in ("each_queue", "misspelt"):  # several series for the cluster, and none
        assert not walked.ask(f'aiops_metric_value{{metric="{name}"}}')
        assert f"{name}: " in walked.checks["newest_window"]
    assert "queue_depth" not in walked.checks["newest_window"]


def test_a_gauge_that_counts_is_pointed_out(walked: Walked) -> None:
    named = {name for name in ("undeclared", "requests") if re.search(rf"\b{name}\b", walked.checks["newest_window"])}
    assert named == {"undeclared"}
