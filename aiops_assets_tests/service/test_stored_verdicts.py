"""Requests that name a pod and send no samples are answered by its newest scores."""

from datetime import timedelta

from aiops_assets.service.demo_scores import demo_findings
from aiops_assets.service.stored_verdicts import stored_verdict

NEWEST = demo_findings()
FOUND = NEWEST.get()
UNTIL = FOUND.until
assert UNTIL is not None
NOW = UNTIL + timedelta(minutes=5)
SUBJECTS = {one.state: one.subject for one in FOUND.listed() if one.subject.pod}


def test_a_pod_with_a_page_is_an_anomaly_of_its_metric() -> None:
    subject = SUBJECTS["page"]
    found = stored_verdict(NEWEST.get, subject.namespace, subject.pod, {}, NOW)
    (anomaly,) = found.anomalies
    assert (anomaly.pod, anomaly.metric_name, anomaly.severity) == (subject.pod, "pod_memory_usage", "high")
    assert anomaly.limit is not None
    assert anomaly.value > anomaly.limit > anomaly.expected
    assert (found.anomaly_detected, found.anomalies_found, found.judged_by) == (True, 1, ("scores",))
    assert found.recommendations
    assert [note.code for note in found.notes] == ["by_scores"]


def test_a_calm_pod_is_none() -> None:
    subject = SUBJECTS["calm"]
    found = stored_verdict(NEWEST.get, "", f"{subject.namespace}/{subject.pod}", {}, NOW)
    assert (found.anomalies, found.judged_by) == ([], ("scores",))
    assert found.confidence > 0.5


def test_unknown_pods_and_old_scores_judge_nothing() -> None:
    subject = SUBJECTS["page"]
    unknown = stored_verdict(NEWEST.get, "shop", "nobody", {}, NOW)
    old = stored_verdict(NEWEST.get, subject.namespace, subject.pod, {}, NOW + timedelta(hours=2))
    for found, code in ((unknown, "no_scores_of"), (old, "old_scores")):
        assert (found.anomaly_detected, found.confidence, found.judged_by) == (False, 0.0, ())
        assert [note.code for note in found.notes] == [code]
