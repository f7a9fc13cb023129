"""Asks kube-state-metrics which pods there are, and how many each workload wants: what is silent is judged by that."""

from datetime import datetime

from aiops_assets.datasets.workloads import OWNERS
from aiops_assets.errors import PrometheusError
from aiops_assets.prometheus.client import PrometheusClient
from aiops_assets.storage.lake import Lake
from aiops_assets.storage.present import PresentPods, PresentRecord
from aiops_assets.timeseries.matchers import with_matchers
from aiops_assets.timeseries.pod_identity import pod_text, workloads

LASTING_SECONDS = 600
"""A pod that began less long ago may not have been heard of yet."""
LASTING = (
    f"max by (namespace, pod) (time() - kube_pod_start_time > {LASTING_SECONDS}) "
    'and on (namespace, pod) (kube_pod_status_phase{phase="Running"} == 1)'
)
DESIRED = (
    "max by (__name__, namespace, deployment, statefulset, daemonset) (kube_deployment_spec_replicas "
    "or kube_statefulset_replicas or kube_daemonset_status_desired_number_scheduled)"
)
KINDS = {"deployment": "Deployment", "statefulset": "StatefulSet", "daemonset": "DaemonSet"}


def fetch_present(client: PrometheusClient, lake: Lake, now: datetime) -> str:
    """Store which pods there are, and what workloads want.

    Args:
        client: the server.
        lake: the lake that the record belongs to.
        now: present time, with time zone.

    Returns:
        why the server does not answer, so that no pod is missed; empty if it does.

    Raises:
        StoreError: the record cannot be written.
    """
    queries = [with_matchers(query, lake.matchers) for query in (OWNERS, LASTING, DESIRED)]
    try:
        owners, lasting, desired = (client.query(query, now) for query in queries)
    except PrometheusError as error:
        return str(error)
    wanted: dict[str, float] = {}
    for labels, n in desired:
        for label, kind in KINDS.items():
            if labels.get(label):
                wanted[f"{labels.get('namespace', '')}/{kind}/{labels[label]}"] = n
    record = PresentRecord(
        at=now,
        lasting=tuple(sorted(pod_text(labels.get("namespace", ""), labels["pod"]) for labels, _ in lasting)),
        pods=workloads(labels for labels, _ in owners),
        desired=wanted,
    )
    PresentPods(lake.storage, lake.cluster).write(record)
    return ""
