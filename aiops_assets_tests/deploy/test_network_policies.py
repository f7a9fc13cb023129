"""Who may connect to whom, as the NetworkPolicies of kustomize and of MLflow's chart say."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import pytest
import yaml
from dagster_k8s.utils import get_common_labels

from aiops_assets_tests.deploy import programs
from aiops_assets_tests.deploy.overlays import (
    ENVIRONMENTS,
    KUSTOMIZE,
    Object,
    everything,
    named,
    of_kind,
    pods,
    selects,
)

pytestmark = pytest.mark.needs("npm")

NAMESPACE = "self-healing-platform"
NAMESPACES = (
    "openshift-monitoring",
    "openshift-user-workload-monitoring",
    "monitoring",
    "openshift-dns",
    "kube-system",
)
CHART = {"app.kubernetes.io/instance": "dagster"}
FOREIGN = {
    "run": get_common_labels(),  # type: ignore[no-untyped-call]
    "webserver": {**CHART, "app.kubernetes.io/name": "dagster", "component": "dagster-webserver"},
    "code server": {**CHART, "app.kubernetes.io/name": "dagster-user-deployments", "component": "user-deployments"},
    "migration": {},
}
"""Labels of pods that Dagster makes: its launcher, and the two charts of its release."""
NAMED_PORTS = {"http": 5000}
"""Of MLflow's chart; kustomize's policies have numbers."""


@dataclass(frozen=True)
class Peer:
    """An end of a connection; a namespace of "" is outside of the cluster."""

    namespace: str = NAMESPACE
    labels: Mapping[str, str] = field(default_factory=dict)


@cache
def mlflow_chart() -> tuple[Object, ...]:
    folder = KUSTOMIZE.parent / "mlflow"
    return tuple(yaml.safe_load_all(programs.run(programs.helm(), "template", "mlflow", str(folder), "-n", NAMESPACE)))


def policies_of(environment: str) -> list[Object]:
    return of_kind((*everything(environment), *mlflow_chart()), "NetworkPolicy")


def peers(environment: str) -> dict[str, Peer]:
    ours = {pod.owner: Peer(labels=pod.labels) for pod in pods(everything(environment))}
    foreign = {name: Peer(labels=labels) for name, labels in FOREIGN.items()}
    foreign["mlflow"] = Peer(
        labels=named(mlflow_chart(), "Deployment", "mlflow")["spec"]["template"]["metadata"]["labels"]
    )
    elsewhere = {name: Peer(name) for name in NAMESPACES}
    return {**ours, **foreign, **elsewhere, "engine": Peer(labels={"app": "engine"}), "internet": Peer("")}


def may_connect(policies: list[Object], source: Peer, target: Peer, port: int) -> bool:
    """Whether both ends' policies let a TCP connection through."""
    return _may(policies, "Egress", source, target, port) and _may(policies, "Ingress", target, source, port)


def _may(policies: list[Object], direction: str, here: Peer, there: Peer, port: int) -> bool:
    if here.namespace != NAMESPACE:
        return True
    about = [one["spec"] for one in policies if selects(one["spec"]["podSelector"], here.labels)]
    about = [spec for spec in about if direction in spec["policyTypes"]]
    rules = [rule for spec in about for rule in spec.get(direction.lower(), ())]
    return not about or any(_admits(rule, direction, there, port) for rule in rules)


def _admits(rule: Mapping[str, Any], direction: str, there: Peer, port: int) -> bool:
    ends = rule.get("from" if direction == "Ingress" else "to")
    ports = [NAMED_PORTS.get(one["port"], one["port"]) for one in rule["ports"] if one["protocol"] == "TCP"]
    return port in ports and (ends is None or any(_is(one, there) for one in ends))


def _is(end: Mapping[str, Any], there: Peer) -> bool:
    if "namespaceSelector" in end:
        labels = {"kubernetes.io/metadata.name": there.namespace}
        return bool(there.namespace) and selects(end["namespaceSelector"], labels)
    return there.namespace == NAMESPACE and selects(end["podSelector"], there.labels)


CONNECTIONS = [
    ("engine", "Deployment/aiops-service", 8080, True),
    ("engine", "InferenceService/anomaly-detector", 8080, True),
    ("openshift-user-workload-monitoring", "Deployment/aiops-service", 8080, True),
    ("openshift-user-workload-monitoring", "InferenceService/lstm-predictor", 8080, True),
    ("openshift-dns", "Deployment/aiops-service", 8080, False),
    ("internet", "Deployment/aiops-service", 8080, False),
    ("Deployment/aiops-service", "internet", 443, False),
    ("Deployment/aiops-service", "openshift-dns", 5353, True),
    ("InferenceService/anomaly-detector", "internet", 443, False),
    ("Job/model-directories", "mlflow", 5000, False),
    ("run", "openshift-monitoring", 9091, True),
    ("run", "monitoring", 9090, True),
    ("run", "monitoring", 3000, False),
    ("run", "mlflow", 5000, True),
    ("run", "internet", 5432, True),
    ("run", "internet", 6443, True),
    ("run", "internet", 80, False),
    ("run", "openshift-dns", 5353, True),
    ("run", "kube-system", 53, True),
    ("run", "Deployment/aiops-service", 8080, True),
    ("run", "code server", 3030, True),
    ("webserver", "code server", 3030, True),
    ("engine", "code server", 3030, False),
    ("engine", "mlflow", 5000, False),
    ("mlflow", "internet", 5432, True),
    ("engine", "webserver", 3000, False),
    ("monitoring", "webserver", 3000, False),
    ("code server", "internet", 5432, True),
]


@pytest.mark.parametrize(("source", "target", "port", "allowed"), CONNECTIONS)
def test_who_may_connect_to_whom(source: str, target: str, port: int, allowed: bool) -> None:
    policies = policies_of("production")
    known = peers("production")
    assert may_connect(policies, known[source], known[target], port) is allowed


@pytest.mark.parametrize(
    ("source", "allowed"), [("run", True), ("migration", True), ("mlflow", True), ("monitoring", False)]
)
def test_who_may_ask_the_database_of_dev(source: str, allowed: bool) -> None:
    policies = policies_of("dev")
    known = peers("dev")
    assert may_connect(policies, known[source], known["StatefulSet/aiops-postgresql"], 5432) is allowed


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_every_label_that_a_policy_names_is_some_pods(environment: str) -> None:
    everyone = list(peers(environment).values())
    for policy in policies_of(environment):
        for selector, of_namespace in _selectors(policy["spec"]):
            for key, value in _pairs(selector):
                labels = [
                    {"kubernetes.io/metadata.name": one.namespace} if of_namespace else one.labels for one in everyone
                ]
                assert any(one.get(key) == value for one in labels), f"{policy['metadata']['name']}: {key}={value}"


def _selectors(spec: Mapping[str, Any]) -> list[tuple[Mapping[str, Any], bool]]:
    rules = [*spec.get("ingress", ()), *spec.get("egress", ())]
    ends = [end for rule in rules for end in (*rule.get("from", ()), *rule.get("to", ()))]
    found = [(spec["podSelector"], False)]
    return found + [(selector, key == "namespaceSelector") for end in ends for key, selector in end.items()]


def _pairs(selector: Mapping[str, Any]) -> list[tuple[str, str]]:
    exact = list(selector.get("matchLabels", {}).items())
    return exact + [(one["key"], value) for one in selector.get("matchExpressions", ()) for value in one["values"]]
