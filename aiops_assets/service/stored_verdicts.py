"""What the newest run of scores says of a pod, for requests that name it and send no samples."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

from aiops_assets.engine.detection.anomalies import Detection
from aiops_assets.engine.detection.findings import (
    HIGH_FROM,
    MEDIUM_FROM,
    Anomaly,
    Finding,
    anomaly_of,
    confidence_of,
    score_of,
)
from aiops_assets.engine.detection.recommendations import recommendations
from aiops_assets.engine.detection.row_verdict import kind_of
from aiops_assets.engine.wording import say
from aiops_assets.errors import AiopsError, DataError
from aiops_assets.judging.statements import Statement
from aiops_assets.registry.explanation import Explanation, MetricNow
from aiops_assets.registry.findings import Findings
from aiops_assets.timeseries.pod_identity import pod_text, split_pod

MAX_AGE = timedelta(hours=1)
"""Largest age of a run whose scores are those of now."""
EXCESSES = {"page": HIGH_FROM, "notice": MEDIUM_FROM}
"""State of a pod -> excess of its anomalies."""
CALM_EXCESS = -1.0


def stored_verdict(
    newest: Callable[[], Findings] | None, namespace: str, resource: str, context: dict[str, str], now: datetime
) -> Detection:
    """The answer to a request without samples: by the newest scores of a pod, or that nothing was judged.

    Args:
        newest: returns the newest run of scores; ``None``: there are none.
        namespace, resource: the pod, as sent; empty where the request names none.
        context: for recommendations.
        now: present time, with an offset.

    Raises:
        DataError: pods of several namespaces have this name, and none is named.
    """
    if not resource:
        return _nothing(say("nothing_sent"))
    own, pod = split_pod(resource)
    shown = pod_text(own or namespace, pod)
    if newest is None:
        return _nothing(say("no_scores_of", subject=shown))
    try:
        found = newest().of_pod(pod, own or namespace)
    except DataError:
        raise
    except AiopsError:  # no run yet, no such pod, or a storage that cannot be read
        return _nothing(say("no_scores_of", subject=shown))
    if found.until is None or now - found.until > MAX_AGE:
        return _nothing(say("old_scores", subject=shown, time=found.until or found.made_at))
    return _judged(found, shown, context)


def _judged(found: Explanation, shown: str, context: dict[str, str]) -> Detection:
    until = found.until or found.made_at
    notes = [say("by_scores", subject=shown, time=until)]
    excess = EXCESSES.get(found.state, CALM_EXCESS)
    concerned = [one for one in found.metrics if found.state in EXCESSES and _is_named(one, found)]
    subject = found.subject
    anomalies = []
    for one in concerned:
        assert one.value is not None
        assert one.expected is not None
        above = one.value >= one.expected
        reason = (
            f"{one.metric} is {one.value:.4g}, expected {one.expected:.4g}: by the newest scores, the pod has a "
            f"{found.state}, to which this metric contributes {one.contribution:.0%}."
        )
        time, kind = one.timestamp or until, kind_of(one.metric, one.value, above)
        bound = one.upper if above else one.lower
        finding = Finding(one.metric, one.metric, one.value, one.expected, time, kind, excess, reason, "scores", bound)
        anomalies.append(_of_pod(anomaly_of(finding), subject.namespace, subject.pod, subject.workload))
    if found.state in EXCESSES and not anomalies:
        notes.append(say("alert_without_values", subject=shown, state=found.state))
    confidence = confidence_of(excess)
    return Detection(
        anomaly_detected=bool(anomalies),
        confidence=confidence if anomalies else 0.0 if found.state in EXCESSES else 1.0 - confidence,
        anomaly_score=score_of(excess),
        recommendations=recommendations(anomalies, context),
        anomalies=anomalies,
        total=0,
        anomalies_found=len(anomalies),
        high_severity=sum(one.severity in ("high", "critical") for one in anomalies),
        judged_by=("scores",),
        notes=tuple(notes),
    )


def _of_pod(anomaly: Anomaly, namespace: str, pod: str, workload: str) -> Anomaly:
    return replace(anomaly, namespace=namespace, pod=pod, workload=workload)


def _is_named(one: MetricNow, found: Explanation) -> bool:
    """Whether a metric is that of the alert, or outside of its band, and its numbers are known."""
    return one.value is not None and one.expected is not None and (one.metric == found.metric or bool(one.outside))


def _nothing(note: Statement) -> Detection:
    return Detection(False, 0.0, 0.0, [], [], 0, 0, 0, (), (note,))
