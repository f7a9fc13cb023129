"""Whether the series of an answer are those of a metric: its labels, and one series for each thing that it is about.

Checked before anything is stored: what is stored once stays, and an average over twice the same node is wrong without
looking so.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiops_assets.errors import PrometheusAnswerError
from aiops_assets.timeseries.catalog import MetricSpec
from aiops_assets.timeseries.promql_labels import possible_labels

NODE_LABELS = ("node", "nodename", "kubernetes_node", "instance", "host", "hostname")
"""Labels that name a node, the surest first: ``instance`` is the node's own exporter only where no label says more."""
MAX_SHOWN = 200
"""Characters of a series' name in a message."""


@dataclass(frozen=True)
class ShapeProblem:
    """What is wrong with the series of an answer.

    Attributes:
        code: ``foreign_labels``, ``no_pod``, ``no_node``, ``several_of_a_pod``, ``several_of_a_node``,
            ``several_series``, ``no_label`` or ``several_of_labels``.
        text: what is wrong and what to do, one line.
        facts: ``metric``, and of it ``labels``, ``series``, ``pod``, ``namespace``, ``node`` or ``count``.
    """

    code: str
    text: str
    facts: Mapping[str, Any] = field(default_factory=dict)

    def error(self) -> PrometheusAnswerError:
        """The problem as an exception with the same code and facts."""
        return PrometheusAnswerError(self.text, code=self.code, **self.facts)


def shape_problem(metric: MetricSpec, names: Iterable[str]) -> ShapeProblem | None:
    """What keeps the series of an answer from being those of a metric; ``None``: nothing does. No series is no problem.

    Args:
        metric: its query decides which labels are possible, its ``per`` what one series is about: a pod (of a
            namespace, where the series have that label), a node, or the cluster.
        names: labels of each series as JSON, such as the columns of a frame.
    """
    series = [_labels_of(name) for name in names]
    foreign = _foreign_labels(metric, series)
    return foreign or _RULES[metric.per](metric, series)


def _labels_of(name: str) -> dict[str, str]:
    # A label with an empty value is a label that is not there.
    return {label: value for label, value in json.loads(name).items() if value}


def _foreign_labels(metric: MetricSpec, series: list[dict[str, str]]) -> ShapeProblem | None:
    possible = possible_labels(metric.promql)
    if possible is None:
        return None
    for labels in series:
        if strange := sorted(labels.keys() - possible):
            allowed = ", ".join(sorted(possible)) or "none"
            return _problem(
                metric,
                "foreign_labels",
                f"{_shown(labels)} has labels that the query cannot yield ({', '.join(strange)}; possible: {allowed}); "
                "PROMETHEUS_URL, or what lies before it, answers another query",
                labels=strange,
            )
    return None


def _pods(metric: MetricSpec, series: list[dict[str, str]]) -> ShapeProblem | None:
    for labels in series:
        if "pod" not in labels:
            cure = "the query must aggregate by (namespace, pod), or the metric be per: node or cluster"
            return _problem(metric, "no_pod", f"{_shown(labels)} has no label pod; {cure}", series=labels)
    owners = Counter((labels.get("namespace", ""), labels["pod"]) for labels in series)
    for (namespace, pod), count in owners.items():
        if count > 1:
            where = f"{namespace}/{pod}" if namespace else pod
            text = f"{count} series for the pod {where}; the query must aggregate by (namespace, pod)"
            return _problem(metric, "several_of_a_pod", text, namespace=namespace, pod=pod, count=count)
    return None


def _nodes(metric: MetricSpec, series: list[dict[str, str]]) -> ShapeProblem | None:
    if len(series) == 1 and not series[0]:
        return None
    nodes: Counter[str] = Counter()
    for labels in series:
        label = next((label for label in NODE_LABELS if label in labels), "")
        if not label:
            text = (
                f"{_shown(labels)} has no label that names a node ({', '.join(NODE_LABELS)}); aggregate by (instance)"
            )
            return _problem(metric, "no_node", text, series=labels)
        nodes[labels[label]] += 1
    node, count = max(nodes.items(), key=lambda item: item[1], default=("", 0))
    if count < 2:
        return None
    cure = "aggregate by (instance), or choose one of the scrape jobs by PROMETHEUS_MATCHER"
    return _problem(metric, "several_of_a_node", f"{count} series for the node {node}; {cure}", node=node, count=count)


def _cluster(metric: MetricSpec, series: list[dict[str, str]]) -> ShapeProblem | None:
    if len(series) < 2:
        return None
    text = f"{len(series)} series for one cluster, such as {_shown(series[0])}; the query must aggregate them"
    return _problem(metric, "several_series", text, count=len(series))


def _labels(metric: MetricSpec, series: list[dict[str, str]]) -> ShapeProblem | None:
    """A label that some series lack has the empty value there, as in Prometheus; one that all lack is misspelt."""
    for name in metric.labels:
        if series and not any(name in labels for labels in series):
            text = f"{_shown(series[0])} has no label {name}; aggregate by ({', '.join(metric.labels)})"
            return _problem(metric, "no_label", text, label=name, series=series[0])
    seen: set[tuple[str, ...]] = set()
    for labels in series:
        values = tuple(labels.get(name, "") for name in metric.labels)
        if values in seen:
            text = f"two series for {', '.join(values)}; aggregate by ({', '.join(metric.labels)})"
            return _problem(metric, "several_of_labels", text, values=values)
        seen.add(values)
    return None


def _problem(metric: MetricSpec, code: str, text: str, **facts: Any) -> ShapeProblem:
    return ShapeProblem(
        code, f"{metric.name}: {text}. Query: {' '.join(metric.promql.split())}", facts | {"metric": metric.name}
    )


def _shown(labels: Mapping[str, str]) -> str:
    text = json.dumps(labels, sort_keys=True, ensure_ascii=False)
    return text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + "..."


_RULES = {"pod": _pods, "node": _nodes, "cluster": _cluster, "labels": _labels}
