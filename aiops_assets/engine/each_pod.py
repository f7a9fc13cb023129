"""Merges the answers about each pod of a request into one.

``ask`` computes the answer for the samples of one group, which :mod:`aiops_assets.engine.pods` defines.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby

import numpy as np

from aiops_assets.engine.detection.anomalies import Detection
from aiops_assets.engine.detection.findings import Anomaly, bounded
from aiops_assets.engine.detection.recommendations import recommendations
from aiops_assets.engine.pods import Group, Identity, metric_of
from aiops_assets.engine.prediction.issues import IssueOutlook, PredictedIssue, actions_for
from aiops_assets.engine.prediction.predictions import Prediction, Predictions, PredictionSummary
from aiops_assets.engine.samples import Sample
from aiops_assets.engine.wording import about, distinct
from aiops_assets.judging.statements import Statement
from aiops_assets.outlook.breaches import SEVERITIES

CLEARLY = 0.01
"""Least difference of an issue's probability with and without a pod's samples for it to be attributed to the pod."""


def detect_each(
    groups: Sequence[Group], ask: Callable[[Group], Detection], context: Mapping[str, str], total: int
) -> Detection:
    """Anomalies of all pods.

    An anomaly of samples without a pod is reported once, the surest one; that of a mean over nodes only if no node has
    one of its own.

    Args:
        groups: groups of :func:`~aiops_assets.engine.pods.groups_of`, not empty.
        ask: returns what :func:`~aiops_assets.engine.detection.anomalies.detect` finds in a group.
        context: ``namespace`` and ``resource``; the pod of an anomaly takes precedence over the resource.
        total: number of samples of the request.
    """
    answers = [(group, ask(group)) for group in groups]
    surest: dict[tuple[object, ...], Anomaly] = {}
    means: dict[str, Anomaly] = {}
    for group, answer in answers:
        for anomaly in answer.anomalies:
            owner = group.owners[anomaly.metric_name]
            found = _anomaly(anomaly, group)
            metric = metric_of(found.metric_name)
            if owner.mean:
                means[metric] = max(means.get(metric, found), found, key=lambda one: one.confidence)
                continue
            key = (found.pod, found.namespace, metric, tuple(found.labels.items()))
            surest[key] = max(surest.get(key, found), found, key=lambda one: one.confidence)
    outside = {metric for pod, _, metric, _ in surest if not pod}
    reported = [*surest.values(), *(one for metric, one in means.items() if metric not in outside)]
    reported.sort(key=lambda one: -one.confidence)
    score = max(answer.anomaly_score for _, answer in answers)
    judges = dict.fromkeys(judge for _, answer in answers for judge in answer.judged_by)
    well = min((answer.confidence for _, answer in answers if answer.judged_by), default=0.0)
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
        notes=distinct(note for _, answer in answers for note in answer.notes),
        not_judged=tuple(dict.fromkeys(_shown_names(answers))),
    )


def predict_each(groups: Sequence[Group], ask: Callable[[list[Sample]], Predictions]) -> Predictions:
    """Predictions of each metric of each pod; the surroundings of a pod are predicted once, by their own group.

    Args:
        groups: groups of :func:`~aiops_assets.engine.pods.groups_of`, not empty.
        ask: returns what :func:`~aiops_assets.engine.prediction.predictions.predict` predicts from samples.
    """
    answers = [(group, ask(group.forecast_samples)) for group in groups]
    found = [
        _prediction(one, group)
        for group, answer in answers
        for one in answer.predictions
        if one.metric_name in group.own
    ]
    overall = float(np.mean([one.confidence for one in found])) if found else 0.0
    notes = distinct(note for _, answer in answers for note in answer.notes)
    ahead = answers[0][1].summary.time_range
    return Predictions(tuple(found), PredictionSummary(ahead, len(found), overall), notes)


def issues_each(groups: Sequence[Group], ask: Callable[[list[Sample]], IssueOutlook]) -> IssueOutlook:
    """Each issue once, for the pod for which it is most probable; its reasons name that pod.

    An issue that is as probable without any pod (because of events or nodes) is not attributed to a pod. An issue that
    only the state suggests is reported if there is no other.

    Args:
        groups: groups of :func:`~aiops_assets.engine.pods.groups_of`, not empty.
        ask: returns what :func:`~aiops_assets.engine.prediction.issues.predicted_issues` predicts from samples, events
            and state; it is also called without samples.
    """
    first = groups[0]
    outside = [] if str(first) else first.samples
    whole = ask(outside)
    found = {one.issue: one for one in whole.predicted_issues}
    known_reasons = {reason.text for one in found.values() for reason in one.reasons}
    for group in groups if str(first) else groups[1:]:
        for one in ask(group.samples).predicted_issues:
            if one.issue not in found or one.probability > found[one.issue].probability + CLEARLY:
                found[one.issue] = _issue_of(one, group, known_reasons)
    others = [one for one in found.values() if not one.is_of_state]
    issues = sorted(others or found.values(), key=lambda one: (-one.probability, one.issue))
    return IssueOutlook(tuple(issues), actions_for(issues), whole.notes)


def _shown_names(answers: Iterable[tuple[Group, Detection]]) -> Iterator[str]:
    """Names as sent that no group could judge."""
    for group, answer in answers:
        yield from (group.owners[name].name for name in answer.not_judged if name in group.own)


def _anomaly(anomaly: Anomaly, group: Group) -> Anomaly:
    owner = group.owners[anomaly.metric_name]
    identity: Identity = group.identity if owner.pod else {}
    in_ratios = " (As ratios: other series of this name are in percent.)" if owner.scale != 1.0 else ""
    of_nodes = "Mean over nodes: " if owner.mean else ""
    return replace(
        anomaly,
        metric_name=owner.name,
        value=bounded(anomaly.value * owner.scale),
        expected=bounded(anomaly.expected * owner.scale),
        deviation=bounded(anomaly.deviation * owner.scale),
        limit=None if anomaly.limit is None else bounded(anomaly.limit * owner.scale),
        reason=f"{of_nodes}{anomaly.reason}{in_ratios}",
        **identity,
        labels=dict(owner.labels),
    )


def _prediction(one: Prediction, group: Group) -> Prediction:
    owner = group.owners[one.metric_name]
    value = bounded(one.predicted_value * owner.scale)
    identity: Identity = group.identity if owner.pod else {}
    return replace(one, metric_name=owner.name, predicted_value=value, labels=dict(owner.labels), **identity)


def _recommendations(anomalies: Sequence[Anomaly], context: Mapping[str, str]) -> list[Statement]:
    """Recommendations, the most severe first; each names its pod."""

    def pressing(one: Anomaly) -> tuple[int, float]:
        return (-SEVERITIES.index(one.severity), -one.confidence)

    ordered = sorted(anomalies, key=pressing)
    advised: list[Statement] = []
    for (namespace, pod), of_pod in groupby(ordered, key=lambda one: (one.namespace, one.pod)):
        own = {"resource": pod, "namespace": namespace or context.get("namespace", "")}
        where = {**context, **own} if pod else context
        advised += recommendations(of_pod, where)
    return list(distinct(advised))


def _issue_of(one: PredictedIssue, group: Group, known_reasons: set[str]) -> PredictedIssue:
    whose = str(group)
    if not whose:
        return one
    return replace(one, reasons=tuple(it if it.text in known_reasons else about(whose, it) for it in one.reasons))
