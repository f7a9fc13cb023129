"""Which metrics there are: their PromQL, unit, bounds and step. One unit a metric, for every source."""

from dataclasses import dataclass
from typing import Literal

STEP_SECONDS = 60
"""Grid of every series here: the detector's windows and lags are whole minutes."""


@dataclass(frozen=True)
class MetricSpec:
    """One metric as it is fetched, generated and checked.

    Attributes:
        name: the name that feature columns begin with.
        promql: the range query that yields it.
        unit: ratio (0-1), cores, count, bytes/s.
        per: ``pod``: one series a pod, told by its label ``pod``. ``node``: the series of all nodes
            describe the surroundings of every pod; a feature column is the mean over them.
        lower, upper: values outside cannot be true; ``None`` is unbounded.
        step_seconds: distance of samples.
        description: one line for people.
    """

    name: str
    promql: str
    unit: Literal["ratio", "cores", "count", "bytes/s"]
    per: Literal["pod", "node"]
    description: str
    lower: float = 0.0
    upper: float | None = None
    step_seconds: int = STEP_SECONDS


# The engine's own base queries, in its order (contract of the anomaly-detector's 45 columns).
NODE_CPU = MetricSpec(
    name="node_cpu_utilization",
    promql='avg(1 - rate(node_cpu_seconds_total{mode="idle"}[5m]))',
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
    promql='sum(rate(container_cpu_usage_seconds_total{container!=""}[5m])) by (pod)',
    unit="cores",
    per="pod",
    description="CPU time a pod uses per second",
)
POD_MEMORY = MetricSpec(
    name="pod_memory_usage",
    promql=(
        'sum(container_memory_working_set_bytes{container!=""}) by (pod)'
        ' / sum(kube_pod_container_resource_limits{resource="memory"}) by (pod)'
    ),
    unit="ratio",
    per="pod",
    description="working set of a pod as a share of its memory limit; may pass 1",
)
RESTARTS = MetricSpec(
    name="container_restart_count",
    promql="sum(kube_pod_container_status_restarts_total) by (pod)",
    unit="count",
    per="pod",
    description="restarts of a pod's containers so far (cumulative)",
)
ENGINE_METRICS = (NODE_CPU, NODE_MEMORY, POD_CPU, POD_MEMORY, RESTARTS)
"""The five metrics behind the anomaly-detector's 45 columns, in the engine's order."""

NETWORK_RECEIVE = MetricSpec(
    name="pod_network_receive",
    promql='sum(rate(container_network_receive_bytes_total{interface!="lo"}[5m])) by (pod)',
    unit="bytes/s",
    per="pod",
    description="bytes a pod receives per second",
)
SYNTHETIC_METRICS = (*ENGINE_METRICS, NETWORK_RECEIVE)
"""What the generator makes: the engine's five, and the network that the five-metric models look at."""
