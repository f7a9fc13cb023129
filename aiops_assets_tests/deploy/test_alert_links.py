"""What the text of an alert names is there: its page, its link and its command answer about what it is about."""

import json
import re
import shlex
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote_plus, urlsplit

import pytest
from click.testing import CliRunner
from starlette.testclient import TestClient

from aiops_assets.commands.cli import main
from aiops_assets.settings import PROJECT_ROOT
from aiops_assets_tests.deploy.monitored import SICK, Home, dashboard, rules, scores_run
from aiops_assets_tests.service.conftest import service

LABELS = {
    "cluster": SICK,
    "namespace": "shop",
    "exported_namespace": "",
    "pod": "cart-1",
    "workload": "cart",
    "node": "node-1",
    "model": "anomaly-detector",
    "metric": "memory_usage",
    "horizon": "1h",
    "kind": "anomaly",
    "reason": "above_cap",
    "entity": "",
    "severity": "info",
}
"""Of what the stored run of the sick cluster is about."""
OTHERS = {"AiopsMetricAnomaly": {"metric": "depth", "entity": "queue=orders"}}
"""Alert -> labels of its own."""
RULES = {rule["alert"]: rule["annotations"] for rule in rules()}
LABEL = re.compile(r"\{\{ (or )?\$labels\.(\w+)(?: \$labels\.(\w+))?( \| urlquery)? \}\}")
EXTERNAL_URL = re.compile(r"\{\{ with query \(printf `aiops_service_info.+?\{\{ end \}\}")
"""Of a service without SERVICE_EXTERNAL_URL it is empty."""
ABOUT_A_SUBJECT = ("AiopsAnomaly", "AiopsNodeAnomaly", "AiopsAnomalyNotice")


def labels_of(alert: str) -> dict[str, str]:
    return {**LABELS, **OTHERS.get(alert, {})}


def filled(alert: str, annotation: str) -> str:
    """An annotation as Prometheus fills it in; of `or` the first that is not empty."""
    labels = labels_of(alert)

    def value(found: re.Match[str]) -> str:
        text = labels[found[2]] or labels.get(found[3] or "", "")
        return quote_plus(text) if found[4] else text

    whole = LABEL.sub(value, EXTERNAL_URL.sub("", RULES[alert][annotation]))
    assert "{{" not in whole, whole
    return whole


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with the run of the sick cluster, and without models."""
    folder = tmp_path_factory.mktemp("sick")
    Home(folder, SICK).put(scores_run(SICK, timedelta(), [0.95, 0.97], True, "cached"))
    return folder


@pytest.fixture(scope="module")
def client(home: Path) -> Iterator[TestClient]:
    with service(home, CLUSTER=SICK) as found:
        yield found


@pytest.mark.parametrize("alert", RULES)
def test_each_alert_names_its_page_of_the_runbook(alert: str) -> None:
    page = f"docs/runbook/{'-'.join(re.findall('[A-Z][a-z]+', alert)).lower()}.md"
    assert RULES[alert]["runbook"] == page
    assert (PROJECT_ROOT / page).is_file()


@pytest.mark.parametrize("alert", RULES)
def test_the_page_of_an_alert_has_its_command_and_its_link(alert: str) -> None:
    page = (PROJECT_ROOT / RULES[alert]["runbook"]).read_text()
    command = RULES[alert]["command"].partition(" {{")[0]
    path = urlsplit(filled(alert, "explain")).path
    assert command in page
    assert path in page


@pytest.mark.parametrize("alert", RULES)
def test_the_link_of_an_alert_answers(client: TestClient, alert: str) -> None:
    link = filled(alert, "explain")
    found = client.get(link)
    assert found.status_code == 200, found.text
    if urlsplit(link).path == "/api/v1/explain":
        picture = client.get(link.replace("/explain?", "/explain.png?"))
        assert picture.content.startswith(b"\x89PNG")


@pytest.mark.parametrize("alert", ABOUT_A_SUBJECT)
def test_the_link_of_an_alert_on_a_pod_or_node_has_metric_band_and_time(client: TestClient, alert: str) -> None:
    found = client.get(filled(alert, "explain")).json()
    assert found["state"] == "page"
    assert found["since"]
    first = found["metrics"][0]
    assert first["metric"] == found["metric"]
    assert (first["value"], first["expected"], first["lower"], first["upper"]) == (0.9, 0.4, 0.3, 0.5)
    assert first["outside"] == "above"
    assert first["outside_since"]


def test_the_link_of_a_metric_of_ones_own_has_its_series_with_band_and_time(client: TestClient) -> None:
    found = client.get(filled("AiopsMetricAnomaly", "explain")).json()
    (series,) = found["entities"]
    assert (series["entity"], series["alert"], series["severity"]) == ("queue=orders", True, "info")
    assert series["alert_since"]
    now = series["now"]
    assert (now["value"], now["expected"], now["lower"], now["upper"], now["outside"]) == (9.0, 2.0, 1.0, 3.0, "above")


def test_the_link_of_silence_has_what_is_silent_and_since_when(client: TestClient) -> None:
    found = client.get(filled("AiopsSilence", "explain")).json()
    assert [(one["reason"], one["entity"]) for one in found["silent"]] == [("node_gone", "node-1")]
    assert found["silent"][0]["since"]
    assert [one["now"]["metric"] for one in found["metrics"]] == ["depth"]


def test_the_link_and_the_command_of_what_is_not_watched_have_its_metrics(client: TestClient, home: Path) -> None:
    assert client.get(filled("AiopsUnwatched", "explain")).json()["not_scored"] == {"misspelt": "no value"}
    words = shlex.split(filled("AiopsUnwatched", "command"))[1:]
    done = CliRunner().invoke(main, [*words, "--json"], env={"AIOPS_HOME": str(home), "CLUSTER": SICK})
    assert json.loads(done.output)["not_scored"] == {"misspelt": "no value"}


def test_the_link_of_a_predicted_breach_has_the_time_of_the_breach(client: TestClient) -> None:
    found = client.get(filled("AiopsPredictedBreach", "explain")).json()
    assert [one["proven"] for one in found["forecasts"]] == [[], ["1h"]]
    for one in found["forecasts"]:
        assert one["breach_at"] == one["steps"][0]["timestamp"]
        assert one["steps"][0]["lower"] < one["steps"][0]["value"] < one["steps"][0]["upper"]


@pytest.mark.parametrize("alert", RULES)
def test_the_command_of_an_alert_answers(home: Path, alert: str) -> None:
    program, *words = shlex.split(filled(alert, "command"))
    assert program == "aiops"
    done = CliRunner().invoke(main, words, env={"AIOPS_HOME": str(home), "CLUSTER": SICK})
    assert done.exit_code == 0, done.output
    named = [
        labels_of(alert)[name] for name in ("pod", "node", "metric") if f"$labels.{name}" in RULES[alert]["command"]
    ]
    assert [name for name in named if name not in done.output] == []


@pytest.mark.parametrize("alert", RULES)
def test_the_dashboard_has_the_variables_of_an_alerts_link(alert: str) -> None:
    found: dict[str, Any] = dashboard()
    link = urlsplit(filled(alert, "dashboard"))
    assert link.path.split("/")[:3] == ["", "d", found["uid"]]
    names = {one["name"] for one in found["templating"]["list"]}
    assert {name.removeprefix("var-") for name in parse_qs(link.query)} <= names


def test_severities_are_those_that_receivers_know() -> None:
    own = "{{ $labels.severity }}"  # of a metric of one's own it is that of its entry
    assert {rule["labels"]["severity"] for rule in rules()} == {"info", "warning", "critical", own}
