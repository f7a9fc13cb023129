"""Which metrics there are: their PromQL, unit, bounds and step. One unit a metric, for every source."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

STEP_SECONDS = 60
"""Grid of the detector's series: its windows and lags are whole minutes."""
COARSE_STEP_SECONDS = 300
"""Grid of everything else (ADR-052 samples every five minutes)."""
SCRAPE_SECONDS = 60
"""The scrape interval of metrics where no other is set; ``[5m]`` ranges can take no slower one."""

MEMBERS = "_members"
"""Ends the names of companions; no other metric may end so."""

Scope = Literal["pod", "node", "cluster", "labels"]


def series_count(promql: str) -> str:
    """The query for the number of series that a query has."""
    # A comment at the end of the query would swallow the closing parenthesis.
    return f"count({promql}\n)" if "#" in promql else f"count({promql})"


@dataclass(frozen=True)
class MetricSpec:
    """One metric as it is fetched, generated and checked.

    Attributes:
        name: the name that feature columns begin with, and of its folder in the lake.
        promql: the range query that yields it.
        unit: ratio (0-1), cores, count, bytes/s; of a metric of one's own any short word.
        per: ``pod``: one series a pod, which the labels ``namespace`` and ``pod`` name. ``node``: the series of all
            nodes describe the surroundings of every pod; a feature column is the mean over them. ``cluster``: one
            series. ``labels``: a series for each value of :attr:`labels`.
        description: one line for people.
        lower, upper: values outside cannot be true; ``None`` is unbounded.
        step_seconds: distance of samples; divides a day.
        count: a query for how many nodes or containers stand behind it: an average hides one that is gone. Empty: the
            number of series that ``promql`` has.
        scrape_seconds: the scrape interval of what the query reads.
        cumulative: values count from a series' begin on, so that only their increase can be compared over time.
        optional: a healthy cluster may have no series of it, such as where nobody sets a limit.
        formerly: queries of earlier releases, newest first. Their stored days count where there is none of ``promql``.
        labels: names of the labels by which series are told apart, where ``per`` is ``labels``.
    """

    name: str
    promql: str
    unit: str
    per: Scope
    description: str
    lower: float | None = 0.0
    upper: float | None = None
    step_seconds: int = STEP_SECONDS
    count: str = ""
    scrape_seconds: int = SCRAPE_SECONDS
    cumulative: bool = False
    optional: bool = False
    formerly: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()

    @property
    def counts_series(self) -> bool:
        """Whether the companion is the number of series that the query should have at each instant."""
        return not self.count

    @property
    def former(self) -> "tuple[MetricSpec, ...]":
        """The metric with each query of an earlier release, newest first."""
        return tuple(replace(self, promql=promql, formerly=()) for promql in self.formerly)

    @property
    def members(self) -> "MetricSpec":
        """The companion: its ``count`` as a metric of its own, every five minutes."""
        counted = self.count or series_count(self.promql)
        return MetricSpec(
            name=self.name + MEMBERS,
            promql=counted,
            count=counted,
            unit="count",
            per="cluster",
            description=f"how many series stand behind {self.name}",
            step_seconds=max(self.step_seconds, COARSE_STEP_SECONDS),
            scrape_seconds=self.scrape_seconds,
            formerly=() if self.count else tuple(map(series_count, self.formerly)),
        )


def with_members(metrics: "Iterable[MetricSpec]") -> list[MetricSpec]:
    """The metrics, each after its companion: that says how many series an answer should have."""
    return [spec for metric in metrics for spec in (metric.members, metric)]


# The engine's own base queries, in its order (contract of the anomaly-detector's 45 columns).
NODE_CPU = MetricSpec(
    name="node_cpu_utilization",
    promql='avg(1 - rate(node_cpu_seconds_total{mode="idle"}[5m]))',
    count='count(count by (instance) (node_cpu_seconds_total{mode="idle"}))',
    unit="ratio",
    per="node",
    upper=1.0,
    description="share of time the CPUs of all nodes were not idle",
)
NODE_MEMORY = MetricSpec(
    name="node_memory_utilization",
    promql="1 - (node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes)",
    unit="ratio",
    per="node",
    upper=1.0,
    description="share of a node's memory that is not available",
)
POD_CPU = MetricSpec(
    name="pod_cpu_usage",
    promql='sum(rate(container_cpu_usage_seconds_total{container!=""}[5m])) by (namespace, pod)',
    formerly=('sum(rate(container_cpu_usage_seconds_total{container!=""}[5m])) by (pod)',),
    unit="cores",
    per="pod",
    description="CPU time a pod uses per second",
)
POD_MEMORY = MetricSpec(
    name="pod_memory_usage",
    promql=(
        'sum(container_memory_working_set_bytes{container!=""}) by (namespace, pod)'
        ' / sum(kube_pod_container_resource_limits{resource="memory"}) by (namespace, pod)'
    ),
    formerly=(
        'sum(container_memory_working_set_bytes{container!=""}) by (pod)'
        ' / sum(kube_pod_container_resource_limits{resource="memory"}) by (pod)',
    ),
    unit="ratio",
    per="pod",
    description="working set of a pod as a share of its memory limit; may pass 1",
)
RESTARTS = MetricSpec(
    name="container_restart_count",
    promql="sum(kube_pod_container_status_restarts_total) by (namespace, pod)",
    formerly=("sum(kube_pod_container_status_restarts_total) by (pod)",),
    unit="count",
    per="pod",
    description="restarts of a pod's containers so far (cumulative)",
    cumulative=True,
)
ENGINE_METRICS = (NODE_CPU, NODE_MEMORY, POD_CPU, POD_MEMORY, RESTARTS)
"""The five metrics behind the anomaly-detector's 45 columns, in the engine's order."""

NETWORK_RECEIVE = MetricSpec(
    name="pod_network_receive",
    promql='sum(rate(container_network_receive_bytes_total{pod!="",interface!="lo"}[5m])) by (namespace, pod)',
    unit="bytes/s",
    per="pod",
    step_seconds=COARSE_STEP_SECONDS,
    description="bytes a pod receives per second",
)
SYNTHETIC_METRICS = (*ENGINE_METRICS, NETWORK_RECEIVE)
"""What the generator of pods makes: the engine's five, and the network, every minute."""

EACH_NODE_CPU = MetricSpec(
    name="node_cpu_busy",
    promql='1 - avg by (instance) (rate(node_cpu_seconds_total{mode="idle"}[5m]))',
    unit="ratio",
    per="node",
    upper=1.0,
    step_seconds=COARSE_STEP_SECONDS,
    description="share of time the CPUs of a node were not idle, a series a node",
)
EACH_NODE_DISK = MetricSpec(
    name="node_disk_usage",
    promql='1 - node_filesystem_avail_bytes{mountpoint="/"} / node_filesystem_size_bytes{mountpoint="/"}',
    unit="ratio",
    per="node",
    upper=1.0,
    step_seconds=COARSE_STEP_SECONDS,
    description="used share of a node's root file system",
)
THROTTLING = MetricSpec(
    name="pod_cpu_throttling",
    promql=(
        'sum(increase(container_cpu_cfs_throttled_periods_total{container!=""}[5m])) by (namespace, pod)'
        ' / sum(increase(container_cpu_cfs_periods_total{container!=""}[5m])) by (namespace, pod)'
    ),
    unit="ratio",
    per="pod",
    upper=1.0,
    step_seconds=COARSE_STEP_SECONDS,
    optional=True,
    description="share of a pod's scheduling periods in which its CPU limit stopped it",
)

_NODES = "count(count by (instance) (node_cpu_seconds_total))"
_RECEIVERS = 'count(container_network_receive_bytes_total{pod!="",interface!="lo"})'
_SENDERS = 'count(container_network_transmit_bytes_total{pod!="",interface!="lo"})'

CLUSTER_METRICS = (
    MetricSpec(
        name="cluster_cpu_usage",
        # ADR-052's avg(rate(... mode!="idle")) averages over seven modes and never passes 1/7.
        promql='sum(rate(node_cpu_seconds_total{mode!="idle"}[5m])) / sum(rate(node_cpu_seconds_total[5m]))',
        count=_NODES,
        unit="ratio",
        per="cluster",
        upper=1.0,
        step_seconds=COARSE_STEP_SECONDS,
        description="share of all CPU time of the cluster that was not idle",
    ),
    MetricSpec(
        name="cluster_memory_usage",
        promql="avg(1 - (node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes))",
        count="count(node_memory_MemTotal_bytes)",
        unit="ratio",
        per="cluster",
        upper=1.0,
        step_seconds=COARSE_STEP_SECONDS,
        description="share of memory that is not available, mean over nodes",
    ),
    MetricSpec(
        name="cluster_restarts",
        # ADR-052's rate() is per second; generated restarts are counts in five minutes, and so is increase().
        promql="sum(increase(kube_pod_container_status_restarts_total[5m]))",
        count="count(kube_pod_container_status_restarts_total)",
        unit="count",
        per="cluster",
        step_seconds=COARSE_STEP_SECONDS,
        description="restarts of all containers in five minutes",
    ),
    MetricSpec(
        name="cluster_network_in",
        # Without pod!="" each node's root cgroup is added to its own pods; lo never leaves the pod.
        promql='sum(rate(container_network_receive_bytes_total{pod!="",interface!="lo"}[5m]))',
        count=_RECEIVERS,
        unit="bytes/s",
        per="cluster",
        step_seconds=COARSE_STEP_SECONDS,
        description="bytes all pods receive per second",
    ),
    MetricSpec(
        name="cluster_network_out",
        promql='sum(rate(container_network_transmit_bytes_total{pod!="",interface!="lo"}[5m]))',
        count=_SENDERS,
        unit="bytes/s",
        per="cluster",
        step_seconds=COARSE_STEP_SECONDS,
        description="bytes all pods send per second",
    ),
)
"""ADR-052's five metrics, with its scales corrected. Its short names are taken by the forecaster's five."""

FORECAST_METRICS = (
    MetricSpec(
        name="cpu_usage",
        promql='avg(rate(container_cpu_usage_seconds_total{container!="",pod!=""}[5m]))',
        count='count(container_cpu_usage_seconds_total{container!="",pod!=""})',
        unit="cores",
        per="cluster",
        step_seconds=COARSE_STEP_SECONDS,
        description="CPU time a container uses per second, mean over containers",
    ),
    MetricSpec(
        name="memory_usage",
        promql=(
            'avg(container_memory_working_set_bytes{container!="",pod!=""})'
            ' / avg(kube_node_status_allocatable{resource="memory"})'
        ),
        count='count(container_memory_working_set_bytes{container!="",pod!=""})',
        unit="ratio",
        per="cluster",
        upper=1.0,
        step_seconds=COARSE_STEP_SECONDS,
        description="mean working set of a container as a share of a node's allocatable memory",
    ),
    MetricSpec(
        name="disk_usage",
        promql=(
            '1 - avg(node_filesystem_avail_bytes{mountpoint="/"}) / avg(node_filesystem_size_bytes{mountpoint="/"})'
        ),
        count='count(node_filesystem_size_bytes{mountpoint="/"})',
        unit="ratio",
        per="cluster",
        upper=1.0,
        step_seconds=COARSE_STEP_SECONDS,
        description="share of the nodes' root file systems that is used",
    ),
    MetricSpec(
        name="network_in",
        promql='avg(rate(container_network_receive_bytes_total{interface!="lo"}[5m]))',
        count='count(container_network_receive_bytes_total{interface!="lo"})',
        unit="bytes/s",
        per="cluster",
        step_seconds=COARSE_STEP_SECONDS,
        description="bytes an interface receives per second, mean over interfaces",
    ),
    MetricSpec(
        name="network_out",
        promql='avg(rate(container_network_transmit_bytes_total{interface!="lo"}[5m]))',
        count='count(container_network_transmit_bytes_total{interface!="lo"})',
        unit="bytes/s",
        per="cluster",
        step_seconds=COARSE_STEP_SECONDS,
        description="bytes an interface sends per second, mean over interfaces",
    ),
)
"""The five metrics of predictive-analytics, in its order (contract of its 3264 columns)."""

INCIDENT_METRICS = (NETWORK_RECEIVE, THROTTLING, EACH_NODE_CPU, EACH_NODE_DISK)
"""What shows incidents that the five metrics of the engine do not: bursts, throttling, and what one node has alone."""

VOLUME_USAGE = MetricSpec(
    name="volume_usage",
    # What is available, not what is used: a file system keeps blocks back that nobody can write.
    promql=(
        "1 - min by (namespace, persistentvolumeclaim)"
        " (kubelet_volume_stats_available_bytes / kubelet_volume_stats_capacity_bytes)"
    ),
    unit="ratio",
    per="labels",
    labels=("namespace", "persistentvolumeclaim"),
    upper=1.0,
    step_seconds=COARSE_STEP_SECONDS,
    optional=True,
    description="used share of a persistent volume",
)
QUOTA_USAGE = MetricSpec(
    name="quota_usage",
    promql=(
        'max by (namespace, resourcequota, resource) (kube_resourcequota{type="used"})'
        ' / max by (namespace, resourcequota, resource) (kube_resourcequota{type="hard"} > 0)'
    ),
    unit="ratio",
    per="labels",
    labels=("namespace", "resourcequota", "resource"),
    step_seconds=COARSE_STEP_SECONDS,
    optional=True,
    description="used share of a resource of a quota",
)
CAPACITY_METRICS = (VOLUME_USAGE, QUOTA_USAGE)
"""What runs out besides nodes' disks and pods' memory."""

METRICS = (*ENGINE_METRICS, *CLUSTER_METRICS, *FORECAST_METRICS, *INCIDENT_METRICS, *CAPACITY_METRICS)
"""What raw_metrics fetches; METRICS_FILE adds to it."""
