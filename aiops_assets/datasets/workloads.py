"""Asks kube-state-metrics which workload each pod is of.

Four instants of a past day are requested, and today's newest one with each fetch: a pod that lived between them is
known by its name only (:func:`~aiops_assets.timeseries.pod_identity.workload_by_name`). The first fetch of today
requests an instant some minutes earlier, too.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime, time, timedelta

from aiops_assets.errors import ConflictError, PrometheusError
from aiops_assets.prometheus.client import PrometheusClient
from aiops_assets.storage.lake import Lake
from aiops_assets.storage.workloads import Workloads
from aiops_assets.timeseries.pod_identity import split_pod, workload_by_name, workloads

_CONTROLLER = '{owner_is_controller!="false"}'
OWNERS = (
    "max by (__name__, namespace, pod, replicaset, job_name, replicationcontroller, owner_kind, owner_name) ("
    f"kube_pod_owner{_CONTROLLER} or kube_job_owner{_CONTROLLER} or kube_replicationcontroller_owner{_CONTROLLER} or "
    f"(kube_replicaset_owner{_CONTROLLER} unless on (namespace, replicaset) kube_replicaset_spec_replicas == 0))"
)
"""Who made each pod, and who made that. Two kube-state-metrics, as in a roll-out, say the same. A Deployment keeps its
old ReplicaSets, without pods: ten times as many series."""
EVERY_HOURS = 6
JUST_BEFORE = timedelta(minutes=20)
"""Where nothing is known of today, pods that lived so long ago are requested too: one of them may be missed."""


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
        StoreError: a record cannot be written.
    """
    store = Workloads(lake.storage, lake.cluster)
    today = now.astimezone(UTC).date()
    for day in sorted(set(days)):
        if day > today or store.day(day).closed:
            continue
        series: list[Mapping[str, str]] = []
        for at in _instants(day) if day < today else _newest(now, bool(store.day(day).workloads)):
            try:
                found = client.query(OWNERS, at)
            except PrometheusError as error:
                return str(error)
            if not (found or series):  # not scraped, or not there yet: requested again by the next fetch
                break
            series += [labels for labels, _ in found]
        else:
            with suppress(ConflictError):  # another fetch stores the same
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


def _newest(now: datetime, is_known: bool) -> list[datetime]:
    return [now] if is_known else [now, now - JUST_BEFORE]


def _instants(day: date) -> Iterator[datetime]:
    """Instants of a past day, the first one just before its end."""
    begin = datetime.combine(day, time(), UTC)
    for hours in range(24, 0, -EVERY_HOURS):
        yield begin + timedelta(hours=hours) - timedelta(minutes=1)
