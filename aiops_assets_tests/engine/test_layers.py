from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from aiops_assets.engine.events.reading import read_events
from aiops_assets.engine.pattern_analysis.layers import LAYERS, layer_of_event, layer_of_metric
from aiops_assets.engine.pattern_analysis.pattern_types import PatternAnalysis
from aiops_assets.engine.pattern_analysis.patterns import analyze
from aiops_assets.engine.samples import Sample
from aiops_assets_tests.engine.statements import as_data
from aiops_assets_tests.engine.test_wording import layers_by_words

NOW = datetime(2026, 1, 8, tzinfo=UTC)


def detected(samples: list[Sample], events: tuple[object, ...] = ()) -> PatternAnalysis:
    return analyze(samples, start=None, end=None, analysis_type="layer_detection", events=events, now=NOW)


def stepped(name: str, at: int = 150, by: float = 0.3, **labels: str) -> list[Sample]:
    values = 0.3 + 0.01 * np.random.default_rng(1).normal(size=288) + by * (np.arange(288) >= at)
    return [
        Sample(name, float(value), NOW - timedelta(minutes=5 * (287 - position)), labels)
        for position, value in enumerate(values)
    ]


def test_without_evidence_no_layer_is_affected() -> None:
    quiet = [sample for name in ("node_cpu_utilization", "pod_cpu_usage") for sample in stepped(name, by=0.0)]
    healthy = ("Pulled image", "Created container", "Started pod web-1", "Node is ready again: resolved")
    for analysis in (detected([]), detected(quiet), detected([Sample("node_cpu_utilization", 0.4)], healthy)):
        assert analysis.patterns == ()
        assert analysis.confidence == 0
        assert [one.code for one in analysis.insights[:1]] == ["no_pattern"]
        assert not any(layer in insight.text for insight in analysis.insights for layer in LAYERS)


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("node_cpu_utilization", "infrastructure"),
        ("etcd_request_latency", "platform"),
        ("pod_memory_usage", "application"),
    ],
)
def test_an_abnormal_metric_affects_its_own_layer(name: str, layer: str) -> None:
    analysis = detected(stepped(name))
    (pattern,) = analysis.patterns
    assert pattern.pattern == f"{layer}_layer"
    assert pattern.metrics == (name,)
    assert layers_by_words(f"{pattern.description.text} {pattern.type}") == {layer}
    assert 0.75 < pattern.confidence <= 0.99
    assert analysis.confidence == pattern.confidence
    assert as_data(analysis.insights) == [
        ("affected_layer", {"layer": layer, "abnormal": 1, "failures": 0, "confidence": pattern.confidence})
    ]


def test_layers_are_told_apart_though_their_metrics_carry_each_others_words() -> None:
    analysis = detected(stepped("node_storage_pod_os"), ("CrashLoopBackOff", "ImagePullBackOff"))
    assert [layers_by_words(f"{one.description.text} {one.type}") for one in analysis.patterns] == [
        {one.pattern.removesuffix("_layer")} for one in analysis.patterns
    ]
    assert {one.pattern for one in analysis.patterns} == {"infrastructure_layer", "application_layer"}


def test_one_failure_is_a_hint_and_two_kinds_of_it_are_sure() -> None:
    once = detected([], ("NodeNotReady",)).confidence
    again = detected([], ("NodeNotReady", "NodeNotReady")).confidence
    two = detected([], ("NodeNotReady", "MemoryPressure on the node")).confidence
    assert 0 < once < again < 0.75 < two


def test_the_same_event_many_times_does_not_grow_without_end() -> None:
    six, many = (detected([], ("NodeNotReady",) * count).confidence for count in (6, 5000))
    assert six == many < 0.9


def test_events_without_times_stand_for_the_whole_range() -> None:
    (pattern,) = analyze([], start=None, end=None, events=["NodeNotReady"], event_range="24h", now=NOW).patterns
    assert (pattern.start_time, pattern.end_time) == (NOW - timedelta(hours=24), NOW)


def test_one_sample_near_its_limit_is_a_hint() -> None:
    analysis = detected([Sample("node_memory_utilization", 0.96)])
    (pattern,) = analysis.patterns
    assert pattern.pattern == "infrastructure_layer"
    assert 0.5 < pattern.confidence < 0.75
    assert detected([Sample("node_memory_utilization", 96.0)]).confidence == pattern.confidence
    assert detected([Sample("node_memory_utilization_diff", 0.96)]).patterns == ()
    assert detected([Sample("anything", 0.96)]).patterns == ()


@pytest.mark.parametrize(
    ("name", "labels", "layer"),
    [
        ("cpu_usage", {}, "infrastructure"),
        ("memory_usage", {}, "application"),
        ("node_filesystem_free", {}, "infrastructure"),
        ("apiserver_request_total", {}, "platform"),
        ("cluster_operator_conditions", {}, "platform"),
        ("http_requests_total", {}, "application"),
        ("queue_depth", {"pod": "web-1"}, "application"),
        ("queue_depth", {"node": "n1"}, "infrastructure"),
        ("pod_cpu_usage", {"namespace": "openshift-sdn"}, "platform"),
        ("pod_cpu_usage", {"layer": "Infrastructure"}, "infrastructure"),
        ("queue_depth", {}, None),
        ("position_error", {}, None),
        ("podium", {}, None),
    ],
)
def test_names_and_labels_tell_a_metrics_layer(name: str, labels: dict[str, str], layer: str | None) -> None:
    assert layer_of_metric(name, labels) == layer


@pytest.mark.parametrize(
    ("event", "layer"),
    [
        ("NodeNotReady", "infrastructure"),
        ("kernel panic on worker-1", "infrastructure"),
        ("MachineConfigDaemonFailed", "infrastructure"),
        ("OperatorDegraded", "platform"),
        ("FailedScheduling", "platform"),
        ("FailedMount", "platform"),
        ("OOMKilled", "application"),
        ("CrashLoopBackOff", "application"),
        ({"type": "Warning", "reason": "BackOff", "namespace": "shop"}, "application"),
        ({"type": "Warning", "reason": "BackOff", "namespace": "openshift-ingress"}, "platform"),
        ({"type": "timeout", "node": "worker-1"}, "infrastructure"),
        ({"type": "deployment_failed"}, "application"),
        ("ScalingReplicaSet", None),
        ("something failed", None),
        ("pod recovered from error", None),
    ],
)
def test_events_that_tell_of_a_failure_have_a_layer(event: object, layer: str | None) -> None:
    (read,) = read_events([event], NOW)
    assert layer_of_event(read) == layer
