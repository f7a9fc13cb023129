"""Asks the server which pods there are, how many each workload wants, and what is heard of: silence is judged by that.

All of it is of the newest scrapes. Range selectors are used, since they have the samples themselves: an instant
selector shows a series that has no stale marker for five minutes after its last sample.
"""

from collections.abc import Sequence
from datetime import datetime

from aiops_assets.datasets.workloads import OWNERS
from aiops_assets.errors import PrometheusError
from aiops_assets.prometheus.answers import series_name
from aiops_assets.prometheus.client import PrometheusClient
from aiops_assets.storage.lake import Lake
from aiops_assets.storage.present import PresentPods, PresentRecord
from aiops_assets.timeseries.catalog import SCRAPE_SECONDS, MetricSpec
from aiops_assets.timeseries.matchers import with_matchers
from aiops_assets.timeseries.pod_identity import pod_text, workloads
from aiops_assets.timeseries.shape import NODE_LABELS

LASTING_SECONDS = 600
"""A pod is expected to have samples once it has run for so long, seconds."""
LATE_SECONDS = 30
"""A scrape may take so long to reach the server, seconds."""
KINDS = {"deployment": "Deployment", "statefulset": "StatefulSet", "daemonset": "DaemonSet"}


def existing_query(scrape_seconds: int) -> str:
    """Pods that kube-state-metrics has just shown. The newest scrape alone, so that it forgets a pod before
    :func:`heard_query` does: one that was removed is never both there and silent."""
    return f"group by (namespace, pod) (last_over_time(kube_pod_owner[{scrape_seconds + LATE_SECONDS}s]))"


def lasting_query(scrape_seconds: int) -> str:
    """Those of them that are running, and have been for some minutes."""
    newest = f"[{scrape_seconds + LATE_SECONDS}s]"
    return (
        f"max by (namespace, pod) (time() - last_over_time(kube_pod_start_time{newest}) > {LASTING_SECONDS}) "
        f'and on (namespace, pod) (last_over_time(kube_pod_status_phase{{phase="Running"}}{newest}) == 1)'
    )


def desired_query(scrape_seconds: int) -> str:
    """How many pods each workload wants."""
    newest = f"[{scrape_seconds + LATE_SECONDS}s]"
    return (
        "max by (__name__, namespace, deployment, statefulset, daemonset) ("
        f"last_over_time(kube_deployment_spec_replicas{newest}) or last_over_time(kube_statefulset_replicas{newest}) "
        f"or last_over_time(kube_daemonset_status_desired_number_scheduled{newest}))"
    )


def heard_query(scrape_seconds: int) -> str:
    """Pods with CPU time in one of the two newest scrapes."""
    return (
        "group by (namespace, pod) "
        f'(present_over_time(container_cpu_usage_seconds_total{{container!=""}}[{_recent(scrape_seconds)}s]))'
    )


def nodes_query(scrape_seconds: int) -> str:
    """Nodes with a sample in one of the two newest scrapes."""
    group, recent = f"group by ({', '.join(NODE_LABELS)})", _recent(scrape_seconds)
    return (
        f'{group} (present_over_time(node_cpu_seconds_total{{mode="idle"}}[{recent}s])) '
        f"or {group} (present_over_time(node_memory_MemAvailable_bytes[{recent}s]))"
    )


def values_query(metric: MetricSpec) -> str:
    """The series that a query has had at the time of one of the two newest scrapes."""
    step = max(metric.scrape_seconds // 2, 1)
    return f"last_over_time(({metric.promql}\n)[{_recent(metric.scrape_seconds)}s:{step}s])"


def _recent(scrape_seconds: int) -> int:
    return 2 * scrape_seconds + LATE_SECONDS


def fetch_present(
    client: PrometheusClient,
    lake: Lake,
    now: datetime,
    scrape_seconds: int = SCRAPE_SECONDS,
    missed: Sequence[MetricSpec] = (),
) -> str:
    """Store which pods there are, what workloads want, and what is heard of.

    Args:
        client: the server.
        lake: the lake that the record belongs to.
        now: present time, with time zone.
        scrape_seconds: how far apart scrapes of pods and nodes are.
        missed: metrics of one's own whose series are missed when they stop, as they are queried. One without a usable
            answer is left out of the record.

    Returns:
        why the server does not answer, so that no pod and no node is missed; empty if it does.

    Raises:
        StoreError: the record cannot be written.
    """
    queries = [existing_query, lasting_query, desired_query, heard_query, nodes_query]
    texts = [OWNERS, *(query(scrape_seconds) for query in queries)]
    found = PresentRecord(at=now, series=_series(client, now, missed))
    why = ""
    try:
        owners, existing, lasting, desired, heard, nodes = (
            client.query(with_matchers(text, lake.matchers), now) for text in texts
        )
    except PrometheusError as error:
        why = str(error)
    else:
        wanted: dict[str, float] = {}
        for labels, n in desired:
            for label, kind in KINDS.items():
                if labels.get(label):
                    wanted[f"{labels.get('namespace', '')}/{kind}/{labels[label]}"] = n
        there = set(_pods(existing))
        found = found.model_copy(
            update={
                "lasting": _pods(lasting),
                "pods": {
                    pod: owner for pod, owner in workloads(labels for labels, _ in owners).items() if pod in there
                },
                "desired": wanted,
                "heard": _pods(heard),
                "nodes": tuple(sorted({labels[name] for labels, _ in nodes for name in NODE_LABELS if name in labels})),
            }
        )
    PresentPods(lake.storage, lake.cluster).write(found)
    return why


def _pods(answer: Sequence[tuple[dict[str, str], float]]) -> tuple[str, ...]:
    named = (labels for labels, _ in answer if labels.get("pod"))
    return tuple(sorted(pod_text(labels.get("namespace", ""), labels["pod"]) for labels in named))


def _series(client: PrometheusClient, now: datetime, metrics: Sequence[MetricSpec]) -> dict[str, tuple[str, ...]]:
    found = {}
    for metric in metrics:
        try:
            answer = client.query(values_query(metric), now)
        except PrometheusError:  # it has not been fetched either, which is reported
            continue
        found[metric.name] = tuple(series_name(labels) for labels, _ in answer)
    return found
