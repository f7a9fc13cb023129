"""The answers about each pod of a request as one answer.

``ask`` answers about the samples of one group; see :mod:`aiops_assets.engine.pods` for what a group is.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import groupby

import numpy as np

from aiops_assets.engine.detection.anomalies import Detection
from aiops_assets.engine.detection.findings import Anomaly, bounded
from aiops_assets.engine.detection.recommendations import recommendations
from aiops_assets.engine.pods import Group, metric_of
from aiops_assets.engine.prediction.issue_rules import ACTIONS, STATE_RULES
from aiops_assets.engine.prediction.issues import IssueOutlook, PredictedIssue
from aiops_assets.engine.prediction.predictions import Prediction, Predictions, PredictionSummary
from aiops_assets.engine.samples import Sample
from aiops_assets.engine.wording import about, distinct
from aiops_assets.judging.statements import Statement
from aiops_assets.outlook.breaches import SEVERITIES

CLEARLY = 0.01
"""By so much a pod's issue has to be more probable than without the pod, to be called the pod's."""
OF_STATE = frozenset(rule.issue for rule in STATE_RULES)
"""Issues that the state speaks for where nothing else speaks for any."""


def detect_each(
    groups: Sequence[Group], ask: Callable[[Group], Detection], context: Mapping[str, str], total: int
) -> Detection:
    """Which metrics of which pods are not normal.

    Anomalies of what names no pod come once, the surest; of a mean over nodes only where no node has one by itself.

    Args:
        groups: of :func:`~aiops_assets.engine.pods.groups_of`, not empty.
        ask: what :func:`~aiops_assets.engine.detection.anomalies.detect` says of a group's samples.
        context: ``namespace`` and ``resource``; the pod of an anomaly goes before the resource.
        total: metrics that were sent.
    """
    answers = [(group, ask(group)) for group in groups]
    surest: dict[tuple[object, ...], Anomaly] = {}
    means: dict[str, Anomaly] = {}
    for group, said in answers:
        for anomaly in said.anomalies:
            owner = group.owners[anomaly.metric_name]
            found = _anomaly(anomaly, group)
            metric = metric_of(found.metric_name)
            if owner.mean:
                means[metric] = max(means.get(metric, found), found, key=lambda one: one.confidence)
                continue
            key = (found.pod, metric, tuple(found.labels.items()))
            surest[key] = max(surest.get(key, found), found, key=lambda one: one.confidence)
    outside = {metric for pod, metric, _ in surest if not pod}
    reported = [*surest.values(), *(one for metric, one in means.items() if metric not in outside)]
    reported.sort(key=lambda one: -one.confidence)
    score = max(said.anomaly_score for _, said in answers)
    judges = dict.fromkeys(judge for _, said in answers for judge in said.judged_by)
    well = min((said.confidence for _, said in answers if said.judged_by), default=0.0)
    return Detection(
        anomaly_detected=bool(reported),
        confidence=max((one.confidence for one in reported), default=well),
        anomaly_score=score,
        recommendations=_recommendations(reported, context),
        anomalies=reported,
        total=total,
        anomalies_found=len(reported),
        high_severity=sum(one.severity in ("high", "critical") for one in reported),
        judged_by=tuple(judges),
        notes=distinct(note for _, said in answers for note in said.notes),
    )


def predict_each(groups: Sequence[Group], ask: Callable[[list[Sample]], Predictions]) -> Predictions:
    """What each metric of each pod will be; what stands beside a pod is answered once, by its own group.

    Args:
        groups: of :func:`~aiops_assets.engine.pods.groups_of`, not empty.
        ask: what :func:`~aiops_assets.engine.prediction.predictions.predict` says of samples.
    """
    answers = [(group, ask(group.forecast_samples)) for group in groups]
    found = [
        _prediction(one, group) for group, said in answers for one in said.predictions if one.metric_name in group.own
    ]
    overall = float(np.mean([one.confidence for one in found])) if found else 0.0
    notes = distinct(note for _, said in answers for note in said.notes)
    ahead = answers[0][1].summary.time_range
    return Predictions(tuple(found), PredictionSummary(ahead, len(found), overall), notes)


def issues_each(groups: Sequence[Group], ask: Callable[[list[Sample]], IssueOutlook]) -> IssueOutlook:
    """Of each issue the most probable pod's, its reasons naming the pod.

    An issue that is as probable without any pod (of events, of nodes) is no pod's. One that only the state speaks for
    stands where there is no other.

    Args:
        groups: of :func:`~aiops_assets.engine.pods.groups_of`, not empty.
        ask: what :func:`~aiops_assets.engine.prediction.issues.predicted_issues` says of samples, with the events and
            the state; it is asked without any samples too.
    """
    first = groups[0]
    outside = [] if str(first) else first.samples
    found = {one.issue: one for one in ask(outside).predicted_issues}
    told = {reason.text for one in found.values() for reason in one.reasons}
    for group in groups if str(first) else groups[1:]:
        for one in ask(group.samples).predicted_issues:
            if one.issue not in found or one.probability > found[one.issue].probability + CLEARLY:
                found[one.issue] = _issue_of(one, group, told)
    if not found.keys() <= OF_STATE:
        found = {issue: one for issue, one in found.items() if issue not in OF_STATE}
    issues = sorted(found.values(), key=lambda one: (-one.probability, one.issue))
    actions = dict.fromkeys(action for one in issues for action in ACTIONS.get(one.issue, ()))
    return IssueOutlook(tuple(issues), tuple(actions))


def _anomaly(anomaly: Anomaly, group: Group) -> Anomaly:
    owner = group.owners[anomaly.metric_name]
    in_ratios = " (As ratios: other series of this name are in percent.)" if owner.scale != 1.0 else ""
    of_nodes = "Mean over nodes: " if owner.mean else ""
    return replace(
        anomaly,
        metric_name=owner.name,
        value=bounded(anomaly.value * owner.scale),
        expected=bounded(anomaly.expected * owner.scale),
        deviation=bounded(anomaly.deviation * owner.scale),
        reason=f"{of_nodes}{anomaly.reason}{in_ratios}",
        pod=owner.pod,
        labels=dict(owner.labels),
    )


def _prediction(one: Prediction, group: Group) -> Prediction:
    owner = group.owners[one.metric_name]
    value = bounded(one.predicted_value * owner.scale)
    return replace(one, metric_name=owner.name, predicted_value=value, pod=owner.pod, labels=dict(owner.labels))


def _recommendations(anomalies: Sequence[Anomaly], context: Mapping[str, str]) -> list[Statement]:
    """The most severe first, each naming its pod."""

    def pressing(one: Anomaly) -> tuple[int, float]:
        return (-SEVERITIES.index(one.severity), -one.confidence)

    ordered = sorted(anomalies, key=pressing)
    advised: list[Statement] = []
    for pod, of_pod in groupby(ordered, key=lambda one: one.pod):
        where = {**context, "resource": pod} if pod else context
        advised += recommendations(of_pod, where)
    return list(distinct(advised))


def _issue_of(one: PredictedIssue, group: Group, told: set[str]) -> PredictedIssue:
    whose = str(group)
    if not whose:
        return one
    return replace(one, reasons=tuple(it if it.text in told else about(whose, it) for it in one.reasons))
