"""Finds kube-state-metrics that is scraped without honorLabels.

The labels ``namespace`` and ``pod`` of its series say which pod a series is of. Prometheus gives the target that it
scrapes these two names as well. Without ``honorLabels: true`` they are those of kube-state-metrics itself, and the
series' own ones are moved to ``exported_namespace`` and ``exported_pod``. Then the restarts of all pods are those of
one pod, and no pod's memory has a limit.
"""

from datetime import datetime

from aiops_assets.errors import PrometheusError
from aiops_assets.prometheus.client import PrometheusClient

SHOWN = ("kube_pod_info", "kube_pod_container_status_restarts_total", "kube_pod_container_resource_limits")
MOVED = "count(" + " or ".join(f'{name}{{exported_pod!=""}}' for name in SHOWN) + ")"
"""How many label sets of kube-state-metrics have moved labels; ``or`` counts those of several metrics once."""


def count_moved(client: PrometheusClient, at: datetime) -> int:
    """Number of label sets of kube-state-metrics that were moved; 0 also where the server does not answer.

    Args:
        client: the server.
        at: instant of the query, with time zone.
    """
    try:
        found = client.query(MOVED, at)
    except PrometheusError:  # the queries that need these series report what is wrong with the server
        return 0
    return int(sum(value for _, value in found))


def describe_moved(n_series: int) -> str:
    """What is wrong and what to do, of so many series with moved labels; empty for none."""
    if not n_series:
        return ""
    return (
        f"kube-state-metrics has {n_series} label sets with exported_pod: it is scraped without "
        "honorLabels, so that restarts and memory limits are taken for its own pod's; set `honorLabels: true` in its "
        "ServiceMonitor (honor_labels in a scrape configuration), then fetch the days since with refetch"
    )
