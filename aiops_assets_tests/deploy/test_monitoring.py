"""Each alert is seen firing once, and each query of rules and dashboard returns data, on a real Prometheus."""

import json
import math
import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import jsonschema
import pytest
import requests

from aiops_assets_tests.deploy.custom_resources import validator_of
from aiops_assets_tests.deploy.monitored import (
    BROKEN,
    CALM,
    DETECTOR,
    NAMESPACES,
    OURS,
    SICK,
    Home,
    Labels,
    Server,
    alert,
    ask_something,
    dashboard,
    manifest,
    recorded,
    rules,
    scores_run,
    watching,
)
from aiops_assets_tests.snapshot import assert_snapshot

MODEL = {"cluster": SICK, "model": DETECTOR}
ALWAYS = {
    alert("AiopsModelStale", **MODEL),
    alert("AiopsCoverageLow", **MODEL),
    alert("AiopsFallbackInProduction", **MODEL, source="synthetic"),
    alert("AiopsModelNotReady", cluster=SICK, model=BROKEN),
}
"""What is wrong with the models, whatever the scores are."""
PHASES = {
    "no scores yet": ALWAYS | {alert("AiopsScoresStale", cluster=SICK)},
    "old scores": ALWAYS
    | {alert("AiopsScoresStale", cluster=SICK, kind=kind) for kind in ("anomaly", "forecast", "page")}
    | {
        alert("AiopsFallbackInProduction", cluster=SICK, source="cached"),
        alert("AiopsUnwatched", cluster=SICK, reason="above_cap"),
    },
    "bad scores": ALWAYS
    | {
        alert("AiopsFallbackInProduction", cluster=SICK, source="cached"),
        *(alert("AiopsAnomaly", cluster=SICK, namespace=one, pod="cart-1", workload="cart") for one in NAMESPACES),
        alert("AiopsNodeAnomaly", cluster=SICK, node="node-1"),
        *(alert("AiopsAnomalyNotice", **MODEL, namespace=one, pod="cart-1", workload="cart") for one in NAMESPACES),
        alert("AiopsPredictedBreach", cluster=SICK, metric="memory_usage", horizon="1h"),
        alert("AiopsExhaustion", cluster=SICK, kind="disk", node="node-1"),
        alert("AiopsExhaustion", cluster=SICK, kind="volume", namespace="shop", persistentvolumeclaim="data"),
        alert("AiopsExhaustion", cluster=SICK, kind="memory", namespace="shop", pod="cart-1", workload="cart"),
        alert(
            "AiopsExhaustion",
            cluster=SICK,
            kind="quota",
            namespace="shop",
            resourcequota="compute",
            resource="limits.memory",
        ),
        alert("AiopsDrift", cluster=SICK, metric="memory_usage"),
        alert("AiopsMetricAnomaly", cluster=SICK, metric="depth", entity="queue=orders"),
        alert("AiopsSilence", cluster=SICK, reason="node_gone", entity="node-1"),
        alert("AiopsUnwatched", cluster=SICK, reason="above_cap"),
    },
}
SERVERS = ("honoured", "overridden")


def expected(phase: str, server: str) -> set[Labels]:
    """What fires in a phase. Where labels are overridden, the namespace of a pod has another name."""
    return {_moved(one) if server == "overridden" else one for one in PHASES[phase]}


def _moved(one: Labels) -> Labels:
    labels = dict(one)
    if "namespace" in labels:
        labels |= {"exported_namespace": labels["namespace"], "namespace": OURS}
    return frozenset(labels.items())


@dataclass(frozen=True)
class Watched:
    """Services that have been through all phases, and still run.

    Attributes:
        fired: (phase, server) -> what fired.
        servers: that watch.
        metrics: names in the services' own /metrics.
    """

    fired: dict[tuple[str, str], set[Labels]]
    servers: dict[str, Server]
    metrics: set[str]


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """Two replicas over the sick home and one over the calm one, scraped by two servers."""
    folder = tmp_path_factory.mktemp("monitored")
    fresh, old = timedelta(), timedelta(hours=2)
    calm = Home(folder / CALM, CALM).serve(timedelta(days=13), 0.91, "prometheus+synthetic")
    calm.put(scores_run(CALM, fresh, [0.95, 0.5], False, "prometheus"))
    calm.drift(memory_usage=False)
    sick = Home(folder / SICK, SICK).serve(timedelta(days=15), 0.89, "synthetic").serve_broken()
    with ExitStack() as stack:
        both = f"{DETECTOR},{BROKEN}"
        started = [sick.process(0, both), sick.process(1, both), calm.process(0, DETECTOR)]
        services = [stack.enter_context(process) for process in started]
        for running in services:
            running.wait_for("/v2/health/ready")
        servers = stack.enter_context(watching(folder, services))
        fired = {}
        for phase in PHASES:
            if phase == "old scores":
                sick.put(scores_run(SICK, old, [0.95, 0.97], True, "cached"))
            if phase == "bad scores":
                sick.drift(memory_usage=True, cpu_usage=False)
                sick.put(scores_run(SICK, fresh, [0.95, 0.97], True, "cached"))
            for name, server in servers.items():
                fired[phase, name] = server.wait_for(expected(phase, name), services)
        ask_something(services)
        text = "".join(requests.get(f"{running.url}/metrics", timeout=10).text for running in services)
        yield Watched(fired, servers, set(re.findall(r"^([a-z_]+)[{ ]", text, re.MULTILINE)))


@pytest.mark.long
@pytest.mark.needs("prometheus")
@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("phase", PHASES)
def test_each_alert_fires_once_a_thing_and_none_of_the_calm_cluster(watched: Watched, phase: str, server: str) -> None:
    assert watched.fired[phase, server] == expected(phase, server)


def test_the_phases_are_about_every_alert() -> None:
    assert {dict(one)["alertname"] for found in PHASES.values() for one in found} == {rule["alert"] for rule in rules()}


@pytest.mark.long
@pytest.mark.needs("prometheus")
def test_alerts_tell_people_what_it_is_and_what_to_do(watched: Watched) -> None:
    alerts = watched.servers["honoured"].ask("alerts")["alerts"]
    firing = [one for one in alerts if one["state"] == "firing"]
    # That of a stale model says how long ago it was trained, to the second.
    steady = {one["annotations"]["summary"] for one in firing if one["labels"]["alertname"] != "AiopsModelStale"}
    assert len(steady) == len(PHASES["bad scores"]) - 1
    assert_snapshot("alerts", "".join(f"{summary}\n" for summary in sorted(steady)))
    assert not [
        text for one in alerts for text in one["annotations"].values() if "<no value>" in text or "<err" in text
    ]


def panels() -> list[dict[str, Any]]:
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def expressions() -> list[tuple[str, str]]:
    """Title and PromQL of each query of the dashboard, as Grafana fills its variables in."""
    fillings = {
        "$__rate_interval": "1m",
        "$cluster": f"{SICK}|{CALM}",
        "$model": ".*",
        "$metric": ".*",
        "$horizon": "1h",
        "$namespace": ".*",
        "$pod": ".*",
        "$node": ".*",
        "$reason": ".*",
        "$own": "depth",
        "${entity:doublequote}": '"queue=orders"',
    }
    found = []
    for panel in panels():
        for target in panel["targets"]:
            text = target["expr"]
            for name, value in fillings.items():
                text = text.replace(name, value)
            assert "$" not in text.replace('"$1"', ""), f"{panel['title']}: {text}"
            found.append((panel["title"], text))
    return found


@pytest.mark.long
@pytest.mark.needs("prometheus")
@pytest.mark.parametrize("server", SERVERS)
def test_each_query_of_the_dashboard_returns_data(watched: Watched, server: str) -> None:
    for title, text in expressions():
        result = watched.servers[server].query(text)
        values = [float(one["value"][1]) for one in result]
        assert values, f"{title}: no data of {text}"
        assert not any(map(math.isnan, values)), f"{title}: {values} of {text}"
        assert all(map(math.isfinite, values)) or "upper" in text, f"{title}: {values} of {text}"


@pytest.mark.long
@pytest.mark.needs("prometheus")
def test_each_variable_of_the_dashboard_has_choices(watched: Watched) -> None:
    asked = [one["query"]["query"] for one in dashboard()["templating"]["list"] if one["type"] == "query"]
    for query in asked:
        found = re.fullmatch(r"label_values\((.*), (\w+)\)", query.replace("$cluster", ".*").replace("$own", "depth"))
        assert found, query
        assert watched.servers["honoured"].ask(f"label/{found[2]}/values", **{"match[]": found[1]}), query
    assert len(asked) == 9


@pytest.mark.long
@pytest.mark.needs("prometheus")
def test_each_name_in_rules_and_dashboard_is_in_our_metrics(watched: Watched) -> None:
    text = json.dumps([rules(), dashboard()["templating"], [panel["targets"] for panel in panels()]])
    named = set(re.findall(r"\baiops_[a-z_]+", text))
    assert {"aiops_service_info", "aiops_http_request_duration_seconds_bucket"} <= named
    records = {name for one in recorded() for name in re.findall(r"\baiops_[a-z_]+", one["record"])}
    named |= {name for one in recorded() for name in re.findall(r"\baiops_[a-z_]+", one["expr"])}
    assert records <= watched.metrics
    assert named - watched.metrics - {"aiops_scores_unreadable_total"} == set()
    assert "aiops_scores_unreadable_total" in watched.metrics


def test_the_dashboard_is_one_that_grafana_takes_anywhere() -> None:
    found = dashboard()
    assert found["uid"] == "aiops-assets"
    assert found["schemaVersion"] >= 39  # Grafana 11
    ids = [panel["id"] for panel in found["panels"]]
    assert len(ids) == len(set(ids))
    places = {(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in found["panels"]}
    assert len(places) == len(ids)
    assert "://" not in json.dumps(found)
    for panel in panels():
        assert {one["datasource"]["uid"] for one in (panel, *panel["targets"])} == {"${datasource}"}


@pytest.mark.parametrize("name", ["servicemonitor", "podmonitor", "prometheus-rule", "recording-rules"])
def test_the_objects_are_those_of_the_operator(name: str) -> None:
    found = manifest(name)
    validator = validator_of(found["kind"], found["apiVersion"])
    validator.validate(found)
    with pytest.raises(jsonschema.ValidationError, match="misspelt"):
        validator.validate({**found, "spec": {**found["spec"], "misspelt": 1}})
