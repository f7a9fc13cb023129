"""Events, conditions and alerts as Kubernetes and Alertmanager send them: what each of them is evidence for."""

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from aiops_assets.engine.events.reading import read_events
from aiops_assets.engine.events.rules import EVENT_RULES, HARMLESS, RULES_BY_NAME, canonical
from aiops_assets.engine.events.state import read_state
from aiops_assets.engine.events.times import read_time
from aiops_assets.engine.pattern_analysis.patterns import analyze
from aiops_assets.engine.prediction.issue_rules import ACTIONS
from aiops_assets.engine.prediction.issues import IssueOutlook, predicted_issues
from aiops_assets.engine.samples import Sample, without_returns
from aiops_assets.errors import DataError
from aiops_assets_tests.engine.forecasting import NOW
from aiops_assets_tests.raising import raises

UNSET = "0001-01-01T00:00:00Z"
POD = "oom-success-normal"


def ago(**span: float) -> str:
    return (NOW - timedelta(**span)).isoformat().replace("+00:00", "Z")


def event(reason: str, message: str = "", kind: str = "Warning", **other: Any) -> dict[str, Any]:
    """An event of core/v1 about a pod whose name is made of words that must not count."""
    return {
        "kind": "Event",
        "metadata": {"name": f"{POD}.17a", "namespace": "shop"},
        "involvedObject": {"kind": "Pod", "name": POD, "namespace": "shop"},
        "type": kind,
        "reason": reason,
        "message": message,
        "firstTimestamp": ago(minutes=1),
        "lastTimestamp": ago(minutes=1),
        "eventTime": None,
        "count": 1,
    } | other


def condition(named: str, status: object, reason: str = "", message: str = "", **other: Any) -> dict[str, Any]:
    return {
        "type": named,
        "status": status,
        "reason": reason,
        "message": message,
        "lastTransitionTime": ago(days=9),
    } | other


def alert(name: str, status: object = "firing", severity: str = "warning", **other: Any) -> dict[str, Any]:
    return {
        "status": status,
        "labels": {"alertname": name, "namespace": "shop", "pod": POD, "severity": severity},
        "annotations": {"summary": f"pod {POD} needs a look"},
        "startsAt": ago(days=3),
        "endsAt": UNSET,
    } | other


def outlook(events: list[object], state: object = None) -> IssueOutlook:
    return predicted_issues([], read_events(events, NOW), read_state(state, NOW), None, now=NOW)


def issues(*events: object, state: object = None) -> set[str]:
    return {one.issue for one in outlook(list(events), state).predicted_issues}


def layers(*events: object) -> list[str]:
    found = analyze(
        [], start=None, end=None, analysis_type="layer_detection", events=events, event_range="24h", now=NOW
    )
    return [one.pattern.removesuffix("_layer") for one in found.patterns]


UNTIMED = event("OOMKilling", lastTimestamp=None, firstTimestamp=None)
WELL: Mapping[str, object] = {
    "no memory pressure": condition("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has memory"),
    "no disk pressure": condition("DiskPressure", "False", "KubeletHasNoDiskPressure"),
    "in lower case": condition("diskpressure", "false"),
    "as a truth value": condition("PIDPressure", False),
    "network": condition("NetworkUnavailable", "False", "FlannelIsUp"),
    "ready": condition("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
    "pressure nobody knows": condition("MemoryPressure", "Unknown"),
    "finished pod": condition("Ready", "False", "PodCompleted"),
    "progressed": condition("Progressing", "True", "NewReplicaSetAvailable", 'ReplicaSet "a" has timed out before'),
    "operator": condition("Degraded", "False", "AsExpected"),
    "operator not to be upgraded": condition("Upgradeable", "False", "AdminAckRequired"),
    "job": condition("Complete", "True"),
    "normal event": event("Started", f"Started container {POD}", "Normal"),
    "normal event about an image": event("BackOff", "Back-off pulling image", "Normal"),
    "kubelet's greeting": event("InvalidDiskCapacity", "invalid capacity 0 on image filesystem"),
    "usual reason without a type": {"reason": "Killing", "message": "Stopping container crash"},
    "node without pressure": event("NodeHasNoDiskPressure", kind="Normal"),
    "a month ago": event("OOMKilling", lastTimestamp=ago(days=30), firstTimestamp=None),
    "a month ago by eventTime": event(
        "FailedScheduling", lastTimestamp=None, firstTimestamp=None, eventTime=ago(days=30)
    ),
    "a month ago by firstTimestamp": event("OOMKilling", lastTimestamp=UNSET, firstTimestamp=ago(days=30)),
    "a month ago in seconds": event(
        "OOMKilling", lastTimestamp=(NOW - timedelta(days=30)).timestamp(), firstTimestamp=0
    ),
    "a month ago of Python": {"type": "Warning", "reason": "OOMKilling", "last_timestamp": ago(days=30)},
    "a month ago in a container": {
        "kind": "Pod",
        "metadata": {"name": "crash-oom", "labels": {"app": "oom"}},
        "status": {
            "conditions": [condition("Ready", "True")],
            "containerStatuses": [
                {"name": "oom", "lastState": {"terminated": {"reason": "OOMKilled", "finishedAt": ago(days=30)}}}
            ],
        },
    },
    "resolved alert": alert("KubePodCrashLooping", "resolved", endsAt=ago(hours=1)),
    "ended alert": alert("KubePodCrashLooping", endsAt=ago(hours=1)),
    "flattened": {"type": "KubePodCrashLooping", "status": "resolved", "startsAt": ago(days=6), "endsAt": ago(days=5)},
    "resolved webhook": {"status": "resolved", "alerts": [alert("KubePodCrashLooping", "resolved")]},
    "alert that is always there": alert("Watchdog", severity="none"),
    "alert without a severity": alert("SomethingOdd", severity="none"),
    "a field that negates": {"type": "high_cpu", "resolved": True},
    "text about a pod": f"pod {POD} started",
    "text of conditions": "MemoryPressure=False, DiskPressure: False, Ready is True",
    "text of kubectl": f"2m  Normal  Started  pod/{POD}  Started container {POD}",
    "old text of kubectl": "31d  Warning  OOMKilling  node/a  killed",
    "text of a resolved alert": "[RESOLVED] KubePodCrashLooping",
    "renewed": "certificate renewed",
    "no pressure, in words": "kubelet has no disk pressure",
    "expired, but no certificate": event("Expired", "the token of a session"),
}


@pytest.mark.parametrize("name", WELL)
def test_what_is_well_over_or_named_so_is_no_issue(name: str) -> None:
    assert outlook([WELL[name]]) == IssueOutlook((), ())
    assert layers(WELL[name]) == []
    assert not outlook([], WELL[name]).predicted_issues


BAD: Mapping[str, tuple[object, set[str], str]] = {
    "disk": (condition("DiskPressure", "True"), {"disk_full", "node_pressure"}, "infrastructure"),
    "disk in lower case": (condition("diskpressure", "true"), {"disk_full", "node_pressure"}, "infrastructure"),
    "processes": (condition("PIDPressure", True), {"node_pressure"}, "infrastructure"),
    "network": (condition("NetworkUnavailable", "True"), {"network_unavailable"}, "platform"),
    "node": (condition("Ready", "False", "KubeletNotReady"), {"node_pressure"}, "infrastructure"),
    "lost node": (condition("Ready", "Unknown", "NodeStatusUnknown"), {"node_pressure"}, "infrastructure"),
    "pod": (condition("Ready", "False", "ContainersNotReady"), {"service_degradation"}, "application"),
    "deployment": (condition("Progressing", "False", "ProgressDeadlineExceeded"), {"service_degradation"}, ""),
    "nothing available": (condition("Available", "False", "MinimumReplicasUnavailable"), {"service_outage"}, ""),
    "operator": (condition("Degraded", "True", "SyncError"), {"service_degradation"}, ""),
    "unschedulable": (condition("PodScheduled", "False", "Unschedulable"), {"pod_unschedulable"}, "application"),
    "certificate": (condition("Ready", "False", "Expired", kind="Certificate"), {"certificate_expiry"}, "platform"),
    "oom": (event("OOMKilling", "Process of a completed, normal job"), {"pod_oom"}, "application"),
    "kubelet's transition": (event("NodeNotReady", kind="Normal"), {"node_pressure"}, "infrastructure"),
    "image": (event("BackOff", 'Back-off pulling image "oom:1"'), {"image_pull_failure"}, "application"),
    "image again": (event("Failed", "Error: ErrImagePull"), {"image_pull_failure"}, "application"),
    "restart": (event("BackOff", f"Back-off restarting failed container {POD}"), {"crash_loop"}, "application"),
    "volume": (event("FailedMount", 'failed for volume "oom"'), {"volume_mount_failure"}, "platform"),
    "name service": (event("Custom", "lookup db: no such host"), {"dns_failure"}, "application"),
    "events.k8s.io": (
        {
            "type": "Warning",
            "reason": "FailedScheduling",
            "note": "0/3 nodes",
            "regarding": {"kind": "Pod", "name": POD},
            "eventTime": ago(minutes=1),
            "deprecatedLastTimestamp": None,
        },
        {"pod_unschedulable"},
        "platform",
    ),
    "series": (
        event("OOMKilling", lastTimestamp=ago(days=3), series={"count": 4, "lastObservedTime": ago(minutes=1)}),
        {"pod_oom"},
        "application",
    ),
    "milliseconds": (event("OOMKilling", lastTimestamp=int(NOW.timestamp() * 1000)), {"pod_oom"}, "application"),
    "dotted keys": (
        {"type": "Warning", "reason": "OOMKilling", "involvedObject.kind": "Pod", "lastTimestamp": ago(minutes=1)},
        {"pod_oom"},
        "application",
    ),
    "list": (
        {"kind": "List", "items": [event("OOMKilling"), event("Pulled", kind="Normal")]},
        {"pod_oom"},
        "application",
    ),
    "watch": ({"type": "ADDED", "object": event("OOMKilling")}, {"pod_oom"}, "application"),
    "whole pod": (
        {
            "kind": "Pod",
            "metadata": {"name": "web"},
            "status": {"containerStatuses": [{"state": {"waiting": {"reason": "CrashLoopBackOff"}}}]},
        },
        {"crash_loop"},
        "application",
    ),
    "alert": (alert("KubePodCrashLooping"), {"crash_loop"}, "application"),
    "alert that ends later": (alert("KubePodCrashLooping", endsAt=ago(hours=-1)), {"crash_loop"}, "application"),
    "alert of the API": (alert("KubePodCrashLooping", {"state": "active"}), {"crash_loop"}, "application"),
    "webhook": ({"version": "4", "alerts": [alert("KubePodCrashLooping")]}, {"crash_loop"}, "application"),
    "flattened alert": (
        {"alertname": "KubePodCrashLooping", "status": "firing", "startsAt": ago(minutes=20)},
        {"crash_loop"},
        "application",
    ),
    "alert nobody knows": (alert("CheckoutBroken", severity="critical"), {"service_degradation"}, ""),
    "certificate's alert": (alert("KubeClientCertificateExpiration"), {"certificate_expiry"}, "platform"),
    "disk's alert": (alert("NodeFilesystemAlmostOutOfSpace"), {"disk_full"}, "infrastructure"),
    "text with a name": (f"OOMKilled in pod {POD}", {"pod_oom"}, "application"),
    "text of a condition": ("Ready=False", {"node_pressure"}, "infrastructure"),
    "text of an alert": ("[FIRING:1] KubePodCrashLooping", {"crash_loop"}, "application"),
    "text of kubectl": (f"5m12s  Warning  BackOff  pod/{POD}  Back-off restarting", {"crash_loop"}, "application"),
    "JSON": (json.dumps(event("OOMKilling")), {"pod_oom"}, "application"),
    "expiring": ("certificate will expire in 5 days", {"certificate_expiry"}, "platform"),
    "expired": ("x509: certificate has expired or is not yet valid", {"certificate_expiry"}, "platform"),
    "mount": ("FailedMount", {"volume_mount_failure"}, "platform"),
    "dns": ("dns resolution failed", {"dns_failure"}, "platform"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_wrong_is_named_whichever_form_it_has(name: str) -> None:
    sent, expected, layer = BAD[name]
    assert issues(sent) == expected
    assert expected <= issues(state=sent)
    assert not layer or layers(sent) == [layer]
    assert outlook([sent]).suggested_actions


@pytest.mark.parametrize("unset", [None, "", UNSET, 0, "1970-01-01T00:00:00Z"])
def test_an_event_without_a_time_is_not_taken_for_one_of_now(unset: object) -> None:
    undated = event("OOMKilling", lastTimestamp=unset, firstTimestamp=unset, eventTime=unset)
    found = outlook([undated, {"type": "OOMKilled", "timestamp": unset}, {"type": "Warning", "reason": "OOMKilling"}])
    assert found.predicted_issues == ()
    assert [(one.code, one.facts) for one in found.notes] == [("events_undated", {"events": 3})]
    assert issues(undated | {"eventTime": ago(minutes=1)}) == {"pod_oom"}  # the newest of its times counts
    assert issues("OOMKilled", {"type": "pod_restart"}) >= {"pod_oom"}  # what cannot carry a time is recent


@pytest.mark.parametrize(
    "status", [{"state": "suppressed", "silencedBy": ["a"]}, {"state": "active", "inhibitedBy": ["b"]}, "suppressed"]
)
def test_a_suppressed_alert_is_reported_without_an_action(status: object) -> None:
    found = outlook([alert("KubePodCrashLooping", status)])
    assert [(one.issue, one.suppressed) for one in found.predicted_issues] == [("crash_loop", True)]
    assert found.suggested_actions == ()
    also = outlook([alert("KubePodCrashLooping", status), "CrashLoopBackOff"])
    assert [one.suppressed for one in also.predicted_issues] == [False]
    assert also.suggested_actions == ACTIONS["crash_loop"]


def test_of_several_states_of_one_alert_the_newest_counts() -> None:
    firing = alert("KubePodCrashLooping", fingerprint="1")
    resolved = alert("KubePodCrashLooping", "resolved", endsAt=ago(minutes=5), fingerprint="1")
    assert issues(firing, resolved) == issues(resolved, firing) == issues(state=[firing, resolved]) == set()
    assert issues(firing, resolved | {"fingerprint": "2"}) == {"crash_loop"}


def test_an_event_that_occurred_often_counts_as_often() -> None:
    def probability(**other: Any) -> float:
        return outlook([event("Unhealthy", **other)]).predicted_issues[0].probability

    once, often = probability(), probability(count=30, firstTimestamp=ago(hours=1))
    assert once == pytest.approx(0.3, abs=0.01)
    assert often == pytest.approx(1 - 0.7**3, abs=0.01)
    assert probability(count=3, firstTimestamp=ago(days=20)) == once  # the others are too old


def test_a_firing_alert_of_last_week_affects_its_layer_today() -> None:
    found = analyze([], start=None, end=None, events=[alert("KubePodCrashLooping")] * 9, event_range="24h", now=NOW)
    (layer,) = found.patterns  # and no burst where the window begins
    assert (layer.start_time, layer.end_time) == (NOW - timedelta(hours=24), NOW)


@pytest.mark.parametrize("sent", ["yesterday", 12, -1, True, [], {}, 1e30, "9999-01-01T00:00:00Z"])
def test_a_time_that_cannot_be_read_is_refused_whichever_field_it_is_in(sent: object) -> None:
    for key in ("timestamp", "lastTimestamp", "eventTime"):
        with raises(DataError, "bad_time", position=1):
            read_events(["a", {"type": "Warning", "reason": "BackOff", key: sent}], NOW)


@pytest.mark.parametrize("scale", [1, 1000, 1_000_000, 1_000_000_000])
def test_numbers_are_times_in_any_usual_unit(scale: int) -> None:
    assert read_time(int(NOW.timestamp()) * scale, "", 0) == NOW
    assert read_time(str(int(NOW.timestamp()) * scale), "", 0) == NOW


def test_a_state_may_hold_anything_and_names_in_it_are_not_read() -> None:
    assert issues(state={"pod": POD, "namespace": "critical-oom", "status": "healthy"}) == set()
    assert (
        issues(state={"metadata": {"name": "oom"}, "conditions": {"DiskPressure": "False", "Ready": "True"}}) == set()
    )
    assert issues(state={"DiskPressure": "True"}) == {"disk_full", "node_pressure"}
    assert issues(state={"when": "x", "reason": "OOMKilled", "lastTimestamp": "yesterday"}) == {"pod_oom"}
    body = {"status": "firing", "alerts": [alert("Watchdog", severity="none")], "commonLabels": {"a": "crash"}}
    assert issues(state=body) == set()


def test_a_count_that_comes_back_to_what_it_was_had_no_restarts() -> None:
    def of(*counts: float) -> list[float]:
        return list(without_returns(np.array(counts)))

    assert of(4, 4, 0, 4) == of(4, 0, 0, 4) == [4, 4, 4, 4]
    assert of(4, 0, 5) == [4, 4, 5]
    assert of(4, 0, 1, 2, 3, 4) == [4, 0, 1, 2, 3, 4]  # of a new pod
    assert of(4, 0) == [4, 0]
    samples = [Sample("container_restarts", n, NOW - timedelta(minutes=10 * i)) for i, n in enumerate((4, 4, 0, 4))]
    assert predicted_issues(samples, [], None, None, now=NOW) == IssueOutlook((), ())


def test_the_table_is_complete_and_does_not_contradict_itself() -> None:
    assert all(rule.words or rule.names for rule in EVENT_RULES)
    assert {rule.issue for rule in EVENT_RULES} <= set(ACTIONS)
    assert not {canonical(name) for name in HARMLESS} & set(RULES_BY_NAME)
