"""Services in every state that an alert is about, and Prometheus watching them by what deploy/ says."""

import json
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import numpy as np
import pandas as pd
import requests
import yaml

from aiops_assets.families.anomaly_detector import ANOMALY_DETECTOR
from aiops_assets.families.ensemble_predictor import ENSEMBLE_PREDICTOR
from aiops_assets.registry.explaining import episodes_of
from aiops_assets.settings import PROJECT_ROOT
from aiops_assets.storage.drift import DriftReport, DriftStore, MetricFigures
from aiops_assets.storage.explanations import EPISODE_COLUMNS, EXPLANATION_COLUMNS, nothing
from aiops_assets.storage.records import SourceReport
from aiops_assets.storage.scores import (
    ABOVE_CAP,
    AHEAD_COLUMNS,
    EXHAUSTION_COLUMNS,
    EXHAUSTION_LABELS,
    METRIC_COLUMNS,
    NO_CPU,
    SILENCE_COLUMNS,
    PredictingModel,
    Scores,
    ScoresRecord,
    ScoresRun,
)
from aiops_assets.storage.storage import open_storage
from aiops_assets.synthetic.healthy import healthy_rows
from aiops_assets_tests.prometheus_server import running_prometheus
from aiops_assets_tests.service.running import Running, serving
from aiops_assets_tests.service.served_home import ServedHome

MONITORING = PROJECT_ROOT / "deploy" / "kustomize" / "base" / "monitoring"
DETECTOR, BROKEN = ANOMALY_DETECTOR.name, ENSEMBLE_PREDICTOR.name
SICK, CALM = "prod", "calm"
"""Clusters: of the first everything is as it should not be, of the second nothing."""
PATIENCE_SECONDS = 40
Labels = frozenset[tuple[str, str]]


def manifest(name: str) -> dict[str, Any]:
    """An object of deploy/."""
    found: dict[str, Any] = yaml.safe_load((MONITORING / f"{name}.yaml").read_text())
    return found


def rules() -> list[dict[str, Any]]:
    """Of the only group."""
    (group,) = manifest("prometheus-rule")["spec"]["groups"]
    found: list[dict[str, Any]] = group["rules"]
    return found


def recorded() -> list[dict[str, Any]]:
    """The recording rules."""
    (group,) = manifest("recording-rules")["spec"]["groups"]
    found: list[dict[str, Any]] = group["rules"]
    return found


def promtool(*arguments: str) -> str:
    """What it says; an AssertionError when it fails."""
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, f"promtool {' '.join(arguments)}: {done.stdout}{done.stderr}"
    return done.stdout + done.stderr


NAMESPACES = ("blog", "shop")
"""Each has a pod of the same name."""
OURS = "self-healing-platform"


def scores_run(cluster: str, age: timedelta, forecasts: Sequence[float], alert: bool, source: str) -> ScoresRun:
    """One detector on two pods of which one may be an alert, and a forecaster for each forecast of memory in 1 h.

    The first forecaster is not proven.
    """
    until = pd.Timestamp(datetime.now(UTC) - age).as_unit("us")
    record = ScoresRecord(
        cluster=cluster,
        made_at=until.to_pydatetime(),
        source=source,
        code_version="0",
        scored_until=until.to_pydatetime(),
        paged_until=until.to_pydatetime(),
        metrics_until=until.to_pydatetime(),
        silence_until=until.to_pydatetime(),
        forecast_from=until.to_pydatetime(),
        pods=2,
        unwatched={ABOVE_CAP: 3 if alert else 0, NO_CPU: 0},
        metrics_not_scored={"misspelt": "no value"} if alert else {},
        left_out={BROKEN: "cannot be loaded"},
        models=(
            PredictingModel(
                name=DETECTOR,
                version=1,
                manifest_sha256="m",
                kind="detector",
                data_version="d",
                effective_source=source,
            ),
            *(
                PredictingModel(
                    name=f"forecaster-{i}",
                    version=1,
                    manifest_sha256="m",
                    kind="forecaster",
                    data_version="d",
                    effective_source=source,
                    proven=("1h",) if i else (),
                )
                for i in range(len(forecasts))
            ),
        ),
    )  # fmt: skip
    scores = pd.DataFrame({"timestamp": [until] * 2, "model_name": [DETECTOR] * 2, "model_version": [1, 1]}).assign(
        namespace=list(NAMESPACES),
        pod="cart-1",
        workload="cart",
        anomaly_score=[0.25, -0.5],
        is_anomaly=alert,
        contributing_features=["{}", "{}"],
    )
    n = len(forecasts)
    ahead = pd.DataFrame({"made_at": [until] * n, "model_name": [f"forecaster-{i}" for i in range(n)]}).assign(
        model_version=1,
        metric_name="memory_usage",
        predicted_for=until + pd.Timedelta(hours=1),
        value=list(forecasts),
        lower=0.4,
        upper=0.99,
    )
    pages = scores[["timestamp", "namespace", "pod", "workload"]].assign(node="", metric="pod_memory_usage")
    node = pd.DataFrame({"timestamp": [until], "node": ["node-1"], "metric": ["node_memory_utilization"]})
    paged = pd.concat([pages, node.assign(namespace="", pod="", workload="")], ignore_index=True)
    of_mine = [
        until,
        "depth",
        "messages",
        "queue=orders",
        '{"queue": "orders"}',
        9.0,
        3.0,
        2.0,
        1.0,
        3.0,
        alert,
        "info",
    ]
    own = pd.DataFrame([of_mine], columns=list(METRIC_COLUMNS))
    forecast = pd.DataFrame([[*of_mine[:5], 3600, 2.0, 1.0, 3.0]], columns=list(AHEAD_COLUMNS))
    gone = [until, "node_gone", "", "node-1", '{"node": "node-1"}', until, "critical"]
    silent = pd.DataFrame([gone] if alert else [], columns=list(SILENCE_COLUMNS))
    out = running_out(until, alert)
    whole = ScoresRun(record, scores, ahead, paged, out, own, forecast, silent)
    if not alert:
        return replace(whole, pages=paged.iloc[:0])
    kinds = ["pod"] * len(pages) + ["node"]
    why = paged.assign(kind=kinds, value=0.9, expected=0.4, lower=0.3, upper=0.5)[list(EXPLANATION_COLUMNS)]
    whole = replace(whole, explanations=why)
    return replace(whole, episodes=episodes_of(whole, nothing(EPISODE_COLUMNS)))


def running_out(at: pd.Timestamp, soon: bool) -> pd.DataFrame:
    """A thing of each kind, full in a day, or in ten."""
    things = [
        {"kind": "disk", "node": "node-1"},
        {"kind": "volume", "namespace": "shop", "persistentvolumeclaim": "data"},
        {"kind": "memory", "namespace": "shop", "pod": "cart-1", "workload": "cart"},
        {"kind": "quota", "namespace": "shop", "resourcequota": "compute", "resource": "limits.memory"},
    ]
    labels = pd.DataFrame(things).reindex(columns=list(EXHAUSTION_LABELS)).fillna("")
    days = 86_400.0 * (1 if soon else 10)
    upper = np.array([2 * days, 2 * days, 2 * days, np.nan])
    frame = labels.assign(timestamp=at, usage=0.8, seconds=days, lower=days / 2, upper=upper)
    return frame[list(EXHAUSTION_COLUMNS)]


@dataclass(frozen=True)
class Home:
    """A cluster's state and its models."""

    folder: Path
    cluster: str

    def put(self, run: ScoresRun) -> None:
        Scores(open_storage(self.folder), self.cluster).put(run)

    def drift(self, **metrics: bool) -> None:
        """Store a look of now; metric -> whether it has drifted."""
        figures = {"models": (), "psi": 0.1, "ks": 0.1, "shift": 1.0, "width": 1.0, "coverage": 1.0}
        looked = tuple(
            MetricFigures(metric=metric, drifted=drifted, strength=0.5 + drifted, **figures)
            for metric, drifted in metrics.items()
        )
        DriftStore(open_storage(self.folder), self.cluster).put(
            DriftReport(when=datetime.now(UTC), champions={}, metrics=looked)
        )

    def serve(self, age: timedelta, coverage: float, source: str) -> "Home":
        models = ServedHome(self.folder / "models")
        report = SourceReport(coverage=coverage)
        version = models.publish(DETECTOR, created=datetime.now(UTC) - age, source=report, effective_source=source)
        models.promote(version, DETECTOR)
        return self

    def serve_broken(self) -> "Home":
        """Its file is the recorded one, and no model."""
        models = ServedHome(self.folder / "models")
        models.promote(models.publish(BROKEN, b"no model"), BROKEN)
        return self

    @contextmanager
    def process(self, replica: int, models: str) -> Iterator[Running]:
        """Of production, over this home; its log has a folder of its own."""
        variables = {
            "AIOPS_HOME": str(self.folder),
            "AIOPS_ENV": "production",
            "CLUSTER": self.cluster,
            "MODELS": models,
            "SERVICE_POLL_SECONDS": "0.5",
        }
        with serving(self.folder / f"replica-{replica}", **variables) as running:
            yield running


@dataclass(frozen=True)
class Server:
    """A Prometheus."""

    url: str

    def ask(self, path: str, **parameters: str) -> Any:
        response = requests.get(f"{self.url}/api/v1/{path}", params=parameters, timeout=10)
        answer = response.json()
        assert answer["status"] == "success", f"{parameters}: {answer}"
        return answer["data"]

    def query(self, expression: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.ask("query", query=expression)["result"]
        return found

    def firing(self) -> set[Labels]:
        """Labels of the alerts that fire, without the severity."""
        alerts = [alert["labels"] for alert in self.ask("alerts")["alerts"] if alert["state"] == "firing"]
        found = [frozenset((key, text) for key, text in one.items() if key != "severity") for one in alerts]
        assert len(found) == len(set(found))
        return set(found)

    def wait_for(self, expected: set[Labels], busy: Sequence[Running] = ()) -> set[Labels]:
        """What fires once that is as expected, or when patience ends; meanwhile the services are asked something."""
        end = monotonic() + PATIENCE_SECONDS
        while (found := self.firing()) != expected and monotonic() < end:
            ask_something(busy)
            sleep(0.3)
        return found


def ask_something(services: Sequence[Running]) -> None:
    """An answer and a refusal of each."""
    for running in services:
        url = f"{running.url}/v1/models/{DETECTOR}:predict"
        assert requests.post(url, json={"instances": healthy_rows(1, seed=9).tolist()}, timeout=10).status_code == 200
        assert requests.post(url, json={"instances": []}, timeout=10).status_code == 400


def alert(name: str, **labels: str) -> Labels:
    return frozenset({"alertname": name, **labels}.items())


def configuration(groups: Path, services: Sequence[Running], *, overridden: bool) -> str:
    """Prometheus' own, as the operator makes it of our monitors; faster, so that a test ends.

    Args:
        groups: a rule file.
        services: processes; the last one is also found as a predictor.
        overridden: the cluster's administrator honours no labels of ours, and enforces the namespace, as on OpenShift.
    """
    pods = [
        {"namespace": OURS, "pod": f"aiops-service-{i}", "container": "service", "endpoint": "http"}
        for i in range(len(services))
    ]
    told = [
        {**pod, "service": "aiops-service", "job": "aiops-service", "instance": f"10.0.0.{i}:8080"}
        for i, pod in enumerate(pods)
    ]
    predictor = {**pods[-1], "job": f"{OURS}/aiops-predictors", "instance": "10.0.1.0:8080"}
    service_monitor, pod_monitor = manifest("servicemonitor"), manifest("podmonitor")
    (service_end,), (pod_end,) = service_monitor["spec"]["endpoints"], pod_monitor["spec"]["podMetricsEndpoints"]
    jobs = [
        _job("services", service_end, zip(services, told, strict=True), overridden),
        _job("predictors", pod_end, [(services[-1], predictor)], overridden),
    ]
    times = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    return yaml.safe_dump({"global": times, "rule_files": [str(groups)], "scrape_configs": jobs})


def _job(name: str, endpoint: Mapping[str, Any], targets: Any, overridden: bool) -> dict[str, Any]:
    assert set(endpoint) <= {"port", "path", "interval", "honorLabels", "metricRelabelings"}, "translate it here"
    relabelings = [{_snake(key): value for key, value in one.items()} for one in endpoint.get("metricRelabelings", ())]
    if overridden:
        relabelings.append({"target_label": "namespace", "replacement": OURS})
    return {
        "job_name": name,
        "metrics_path": endpoint["path"],
        "honor_labels": endpoint.get("honorLabels", False) and not overridden,
        "metric_relabel_configs": relabelings,
        "static_configs": [
            {"targets": [running.url.removeprefix("http://")], "labels": labels} for running, labels in targets
        ],
    }


def _snake(camel: str) -> str:
    return re.sub("([A-Z])", lambda found: f"_{found[1].lower()}", camel)


@contextmanager
def watching(folder: Path, services: Sequence[Running]) -> Iterator[dict[str, Server]]:
    """Two servers with our rules, of which only ``for`` is shorter: labels are honoured, and overridden."""
    groups = folder / "rules.yml"
    quick = [{**rule, "for": "1s", "keep_firing_for": "0s"} for rule in rules()]
    named = {"aiops": quick, "aiops-recording": recorded()}
    groups.write_text(yaml.safe_dump({"groups": [{"name": name, "rules": found} for name, found in named.items()]}))
    with ExitStack() as stack:
        servers = {}
        for name in ("honoured", "overridden"):
            storage = folder / name
            storage.mkdir()
            text = configuration(groups, services, overridden=name == "overridden")
            servers[name] = Server(stack.enter_context(running_prometheus(storage, configuration=text)))
        yield servers


def dashboard() -> dict[str, Any]:
    """As Grafana reads it."""
    found: dict[str, Any] = json.loads((MONITORING / "dashboard.json").read_text())
    return found
