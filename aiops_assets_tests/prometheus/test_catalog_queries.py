"""Every query of the catalogue on a real server: the value that the generated series says, in its bounds."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest

from aiops_assets.prometheus.client import PrometheusClient
from aiops_assets.prometheus.transport import RequestsTransport
from aiops_assets.synthetic.pods import generate
from aiops_assets.timeseries.catalog import (
    CAPACITY_METRICS,
    ENGINE_METRICS,
    METRICS,
    NETWORK_RECEIVE,
    NODE_CPU,
    NODE_MEMORY,
    POD_CPU,
    POD_MEMORY,
    RESTARTS,
    MetricSpec,
)
from aiops_assets.timeseries.series import Floats, PodSeries
from aiops_assets_tests.conftest import END
from aiops_assets_tests.prometheus_server import (
    ALLOCATABLE,
    CADVISOR,
    CONTAINERS,
    NODE_EXPORTER,
    NODE_MEMORY_BYTES,
    POD_MEMORY_BYTES,
    SENT,
    disk_used,
    throttling,
)

pytestmark = pytest.mark.needs("prometheus")

DAYS, N_NODES, N_PODS = 10, 3, 5
START = END - pd.Timedelta(days=DAYS)
MINUTES = DAYS * 1440
INSTANTS = [5, 1440, 6185, 9999, MINUTES - 1]
"""Minutes since START: among them the first with a whole window, a midnight and the last."""
N_CONTAINERS = N_PODS * len(CONTAINERS)

SCRAPED = tuple(metric for metric in METRICS if metric not in CAPACITY_METRICS)
"""What the server of the tests has; volumes and quotas are on one of their own (``datasets/test_capacity.py``)."""
CLUSTER_WIDE = SCRAPED[len(ENGINE_METRICS) :]
MEMBERS = {
    "node_cpu_utilization": N_NODES,
    "node_memory_utilization": N_NODES,
    "pod_cpu_usage": N_PODS,
    "pod_memory_usage": N_PODS,
    "container_restart_count": N_PODS,
    "cluster_cpu_usage": N_NODES,
    "cluster_memory_usage": N_NODES,
    "cluster_restarts": N_CONTAINERS,
    "cluster_network_in": N_PODS,
    "cluster_network_out": N_PODS,
    "cpu_usage": N_CONTAINERS,
    "memory_usage": N_CONTAINERS,
    "disk_usage": N_NODES,
    # The engine's own queries: a node's root cgroup is an interface like any other.
    "network_in": N_PODS + N_NODES,
    "network_out": N_PODS + N_NODES,
    "pod_network_receive": N_PODS,
    "pod_cpu_throttling": N_PODS,
    "node_cpu_busy": N_NODES,
    "node_disk_usage": N_NODES,
}


@pytest.fixture(scope="module")
def client(prometheus_url: str) -> Iterator[PrometheusClient]:
    with RequestsTransport(prometheus_url) as transport:
        yield PrometheusClient(transport)


@pytest.fixture(scope="module")
def series() -> PodSeries:
    """What the server of the fixture ``prometheus_url`` has scraped."""
    return generate(N_PODS, DAYS, END, seed=7)


@pytest.fixture(scope="module")
def expected(series: PodSeries) -> dict[str, Floats]:
    """Each metric but cluster_restarts, worked out from the generated series: (n_series, n_minutes)."""
    nodes = {m.name: series.values[m.name][:N_NODES, 0] for m in (NODE_CPU, NODE_MEMORY)}
    pods = {m.name: series.values[m.name][:, 0] for m in (POD_CPU, POD_MEMORY, RESTARTS, NETWORK_RECEIVE)}
    busy = _rate_5m(nodes[NODE_CPU.name].mean(axis=0), NODE_EXPORTER)
    used = pods[POD_MEMORY.name].sum(axis=0) * POD_MEMORY_BYTES / N_CONTAINERS
    received = _rate_5m(pods[NETWORK_RECEIVE.name].sum(axis=0), CADVISOR)
    # Each byte once at its pod's interface, and once at its node's.
    interface = 2 * received / (N_PODS + N_NODES)
    by_name = {
        NODE_CPU.name: busy,
        NODE_MEMORY.name: nodes[NODE_MEMORY.name],
        POD_CPU.name: _rate_5m(pods[POD_CPU.name], CADVISOR),
        POD_MEMORY.name: pods[POD_MEMORY.name],
        RESTARTS.name: pods[RESTARTS.name],
        "cluster_cpu_usage": busy,
        "cluster_memory_usage": nodes[NODE_MEMORY.name].mean(axis=0),
        "cluster_network_in": received,
        "cluster_network_out": SENT * received,
        "cpu_usage": _rate_5m(pods[POD_CPU.name].sum(axis=0), CADVISOR) / N_CONTAINERS,
        "memory_usage": used / (ALLOCATABLE * NODE_MEMORY_BYTES),
        "disk_usage": np.mean([disk_used(i, MINUTES) for i in range(N_NODES)], axis=0),
        "network_in": interface,
        "network_out": SENT * interface,
        "pod_network_receive": _rate_5m(pods[NETWORK_RECEIVE.name], CADVISOR),
        "pod_cpu_throttling": _rate_5m(throttling(pods[POD_CPU.name]), CADVISOR),
        "node_cpu_busy": _rate_5m(nodes[NODE_CPU.name], NODE_EXPORTER),
        "node_disk_usage": np.stack([disk_used(i, MINUTES) for i in range(N_NODES)]),
    }
    return {name: np.atleast_2d(values) for name, values in by_name.items()}


def _rate_5m(per_second: Floats, offset: float) -> Floats:
    """What ``rate(...[5m])`` reads at each full minute: the mean of four minutes that end at the last scrape."""
    share = offset / 60
    held = np.concatenate([np.repeat(per_second[..., :1], 4, axis=-1), per_second], axis=-1)
    weights = (share, 1.0, 1.0, 1.0, 1 - share)
    n_minutes = per_second.shape[-1]
    parts = [weight * held[..., 4 - back : 4 - back + n_minutes] for back, weight in enumerate(weights)]
    return np.asarray(sum(parts) / 4, dtype=np.float64)


def _within(values: Floats, metric: MetricSpec) -> bool:
    low = -np.inf if metric.lower is None else metric.lower
    high = np.inf if metric.upper is None else metric.upper
    return bool(values.size and np.isfinite(values).all() and values.min() >= low and values.max() <= high)


def test_every_metric_is_looked_at(expected: dict[str, Floats]) -> None:
    assert set(expected) | {"cluster_restarts"} == {metric.name for metric in SCRAPED} == set(MEMBERS)


@pytest.mark.parametrize("metric", SCRAPED, ids=lambda metric: metric.name)
def test_an_instant_is_what_the_series_says(
    client: PrometheusClient, expected: dict[str, Floats], metric: MetricSpec
) -> None:
    for minute in INSTANTS:
        answer = client.query(metric.promql, START + pd.Timedelta(minutes=minute))
        values = np.array([value for _, value in sorted(answer, key=lambda item: sorted(item[0].items()))])
        assert _within(values, metric)
        if metric.name in expected:
            np.testing.assert_allclose(values, expected[metric.name][:, minute], rtol=1e-6)


@pytest.mark.parametrize("metric", SCRAPED, ids=lambda metric: metric.name)
def test_a_range_is_what_the_series_says(
    client: PrometheusClient, expected: dict[str, Floats], metric: MetricSpec
) -> None:
    days = (2, 4)
    start, end = (START + pd.Timedelta(days=day) for day in days)
    frame = client.query_range(metric.promql, start, end, metric.step_seconds)
    assert len(frame) == 2 * 86_400 // metric.step_seconds
    assert _within(frame.to_numpy(), metric)
    if metric.name in expected:
        minutes = slice(days[0] * 1440, days[1] * 1440, metric.step_seconds // 60)
        np.testing.assert_allclose(frame.to_numpy().T, expected[metric.name][:, minutes], rtol=1e-6)


@pytest.mark.parametrize("metric", SCRAPED, ids=lambda metric: metric.name)
def test_the_members_are_nodes_pods_containers_or_interfaces(client: PrometheusClient, metric: MetricSpec) -> None:
    for minute in INSTANTS:
        at = START + pd.Timedelta(minutes=minute)
        assert client.query(metric.members.promql, at) == [({}, MEMBERS[metric.name])]


def test_cluster_cpu_is_the_mean_busy_share_of_the_nodes(client: PrometheusClient, series: PodSeries) -> None:
    # ADR-052's own query would say a seventh of it.
    metric = _named("cluster_cpu_usage")
    frame = client.query_range(metric.promql, START + pd.Timedelta(days=1), END, metric.step_seconds)
    busy = series.values[NODE_CPU.name][:N_NODES, 0, 1440:].mean()
    assert frame.to_numpy().mean() == pytest.approx(busy, rel=0.02)


def test_cluster_restarts_are_counts_in_five_minutes(client: PrometheusClient, series: PodSeries) -> None:
    metric = _named("cluster_restarts")
    counts = client.query_range(metric.promql, START, END, metric.step_seconds).to_numpy()[:, 0]
    restarts = series.values[RESTARTS.name][:, 0].sum(axis=0)
    # Five scrapes lie four minutes apart: increase() counts those, and extends them to five.
    at = np.arange(5, MINUTES, 5)
    seen = restarts[at] - restarts[at - 4]
    assert seen.max() >= 1
    assert (counts[1:] >= seen - 1e-9).all()
    assert (counts[1:] <= 1.25 * seen + 1e-9).all()
    assert counts.sum() == pytest.approx(restarts[-1] - restarts[0], rel=0.15)


@pytest.mark.parametrize(
    ("selector", "n_series"),
    [
        ('container_network_receive_bytes_total{pod=""}', 2 * N_NODES),
        ('container_network_transmit_bytes_total{interface="lo",pod!=""}', N_PODS),
        ('node_filesystem_size_bytes{mountpoint!="/"}', N_NODES),
        ('kube_node_status_allocatable{resource="cpu"}', N_NODES),
    ],
)
def test_the_server_holds_what_the_queries_have_to_leave_out(
    client: PrometheusClient, selector: str, n_series: int
) -> None:
    assert client.query(f"count({selector})", START + pd.Timedelta(hours=1)) == [({}, n_series)]


def _named(name: str) -> MetricSpec:
    return next(metric for metric in METRICS if metric.name == name)
