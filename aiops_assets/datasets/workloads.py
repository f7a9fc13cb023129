"""Asks kube-state-metrics which workload each pod is of.

Four instants of a past day are requested, and today's newest one with each fetch: a pod that lived between them is
known by its name only (:func:`~aiops_assets.timeseries.pod_identity.workload_by_name`).
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta

from aiops_assets.errors import PrometheusError, PrometheusUnreachable
from aiops_assets.prometheus.client import PrometheusClient
from aiops_assets.storage.lake import Lake
from aiops_assets.storage.workloads import Workloads
from aiops_assets.timeseries.pod_identity import split_pod, workload_by_name, workloads

OWNERS = (
    "max by (__name__, namespace, pod, replicaset, job_name, replicationcontroller, owner_kind, owner_name) "
    '({__name__=~"kube_(pod|replicaset|job|replicationcontroller)_owner"})'
)
"""Who made each pod, and who made that. Two kube-state-metrics, as in a roll-out, say the same."""
EVERY_HOURS = 6


def fetch_workloads(client: PrometheusClient, lake: Lake, days: Sequence[date], now: datetime) -> str:
    """Update the workloads of pods that lived on some days; a past day is requested once.

    Args:
        client: the server.
        lake: the lake that the days belong to.
        days: UTC days; future ones are skipped.
        now: present time, with time zone.

    Returns:
        why the server does not answer the query, so that workloads are known by names of pods; empty if it does.

    Raises:
        PrometheusUnreachable: the server cannot be reached.
        StoreError: a record cannot be written.
    """
    store = Workloads(lake.storage, lake.cluster)
    today = now.astimezone(UTC).date()
    for day in sorted(set(days)):
        if day > today or store.day(day).closed:
            continue
        series = []
        for at in _instants(day) if day < today else [now]:
            try:
                series += [labels for labels, _ in client.query(OWNERS, at)]
            except PrometheusUnreachable:
                raise
            except PrometheusError as error:
                return str(error)
        store.add(day, workloads(series), closed=day < today)
    return ""


def workloads_of(lake: Lake, days: Iterable[date], pods: Iterable[str]) -> dict[str, str]:
    """Pod -> ``kind/name`` of its workload, of those of the pods that kube-state-metrics knew on some days."""
    known = Workloads(lake.storage, lake.cluster).of(days)
    return {pod: known[pod] for pod in pods if pod in known}


def name_of_workload(pod: str, known: str) -> str:
    """The name of a pod's workload.

    Args:
        pod: the pod.
        known: ``kind/name`` of its workload; empty: the pod's name decides.
    """
    return split_pod(known)[1] if known else workload_by_name(pod)


def _instants(day: date) -> Iterator[datetime]:
    """Instants of a past day, the last one just before its end."""
    begin = datetime.combine(day, time(), UTC)
    for hours in range(EVERY_HOURS, 25, EVERY_HOURS):
        yield begin + timedelta(hours=hours) - timedelta(minutes=1)
