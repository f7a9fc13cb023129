"""The catalogue's queries and the client against a real Prometheus that holds the generator's series."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest

from aiops_assets.errors import PrometheusQueryError, PrometheusTooMuch
from aiops_assets.prometheus.answers import series_name
from aiops_assets.prometheus.client import PrometheusClient
from aiops_assets.prometheus.matrix import read_matrix
from aiops_assets.prometheus.transport import RequestsTransport
from aiops_assets.synthetic.pods import generate
from aiops_assets.timeseries.catalog import (
    ENGINE_METRICS,
    NETWORK_RECEIVE,
    NODE_CPU,
    NODE_MEMORY,
    POD_CPU,
    POD_MEMORY,
    RESTARTS,
    SYNTHETIC_METRICS,
    MetricSpec,
)
from aiops_assets.timeseries.series import Floats, PodSeries, minute_grid
from aiops_assets_tests.prometheus_server import CADVISOR, NODE_EXPORTER, backfilled_prometheus
from aiops_assets_tests.raising import raises

pytestmark = pytest.mark.needs("prometheus")

DAYS, N_NODES, N_PODS = 3, 3, 5
END = pd.Timestamp("2026-03-09", tz="UTC")
START = END - pd.Timedelta(days=DAYS)
SLOW = "sum(rate(node_cpu_seconds_total[1d]))"


@dataclass(frozen=True)
class Cluster:
    """A client of the server, and what its exporters measured."""

    client: PrometheusClient
    transport: RequestsTransport
    series: PodSeries

    def fetch(self, metric: MetricSpec, start: pd.Timestamp = START, end: pd.Timestamp = END) -> pd.DataFrame:
        return self.client.query_range(metric.promql, start, end, metric.step_seconds)

    def pod_values(self, metric: MetricSpec) -> Floats:
        return self.series.values[metric.name][:, 0]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    series = generate(N_PODS, DAYS, END, seed=5)
    storage = tmp_path_factory.mktemp("prometheus")
    with backfilled_prometheus(series, storage, N_NODES) as url, RequestsTransport(url) as transport:
        yield Cluster(PrometheusClient(transport), transport, series)


def rate_5m(per_second: Floats, offset: float) -> Floats:
    """What ``rate(...[5m])`` reads at each full minute from the fifth on, along the last axis.

    The newest and oldest of the five scrapes in its window lie ``offset`` seconds into their minutes: of the
    newest minute that share counts, of the minute four before it the rest.
    """
    share = offset / 60
    newest, oldest = per_second[..., 4:], per_second[..., :-4]
    between = sum(per_second[..., 4 - back : per_second.shape[-1] - back] for back in (1, 2, 3))
    rates: Floats = (share * newest + between + (1 - share) * oldest) / 4
    return rates


def names(label: str, values: tuple[str, ...]) -> list[str]:
    return [series_name({label: value}) for value in values]


def test_the_probe_passes(cluster: Cluster) -> None:
    cluster.client.probe()


@pytest.mark.parametrize("metric", SYNTHETIC_METRICS, ids=lambda metric: metric.name)
def test_a_catalogue_query_covers_the_grid_within_its_bounds(cluster: Cluster, metric: MetricSpec) -> None:
    frame = cluster.fetch(metric)

    assert frame.index.equals(minute_grid(START, END)[:: metric.step_seconds // 60])
    if metric is NODE_CPU:
        assert list(frame.columns) == ["{}"]
    elif metric.per == "node":
        assert list(frame.columns) == names("instance", ("node-0", "node-1", "node-2"))
    else:
        assert list(frame.columns) == [series_name({"namespace": "demo", "pod": pod}) for pod in cluster.series.pods]
    values = frame.to_numpy()
    assert not np.isnan(values).any()
    assert values.min() >= metric.lower
    assert metric.upper is None or values.max() <= metric.upper


@pytest.mark.parametrize("metric", ENGINE_METRICS, ids=lambda metric: metric.name)
def test_adjacent_windows_join_to_the_whole(cluster: Cluster, metric: MetricSpec) -> None:
    # Neither at a midnight nor at the edge of a block, and with seconds that are to be floored.
    cut = START + pd.Timedelta(days=1, hours=7, minutes=13, seconds=42)
    parts = [cluster.fetch(metric, START, cut), cluster.fetch(metric, cut, END)]
    assert all(len(part) for part in parts)
    pd.testing.assert_frame_equal(pd.concat(parts), cluster.fetch(metric))


def test_node_memory_is_the_gauge(cluster: Cluster) -> None:
    expected = cluster.pod_values(NODE_MEMORY)[:N_NODES]
    np.testing.assert_allclose(cluster.fetch(NODE_MEMORY).to_numpy().T, expected, atol=1e-12)


def test_pod_memory_is_the_gauge(cluster: Cluster) -> None:
    expected = cluster.pod_values(POD_MEMORY)
    np.testing.assert_allclose(cluster.fetch(POD_MEMORY).to_numpy().T, expected, atol=1e-12)


def test_restarts_are_the_counts(cluster: Cluster) -> None:
    np.testing.assert_array_equal(cluster.fetch(RESTARTS).to_numpy().T, cluster.pod_values(RESTARTS))


@pytest.mark.parametrize("metric", [POD_CPU, NETWORK_RECEIVE], ids=lambda metric: metric.name)
def test_pod_rates_are_the_gauge_smoothed(cluster: Cluster, metric: MetricSpec) -> None:
    expected = rate_5m(cluster.pod_values(metric), CADVISOR)
    step = metric.step_seconds // 60
    # The first grid point of a step of five minutes that has a full window is the second.
    first = -(-4 // step)
    fetched = cluster.fetch(metric).to_numpy().T[:, first:]
    np.testing.assert_allclose(fetched, expected[:, first * step - 4 :: step], rtol=1e-6)


def test_node_cpu_is_the_mean_of_all_cpus_smoothed(cluster: Cluster) -> None:
    expected = rate_5m(cluster.pod_values(NODE_CPU)[:N_NODES].mean(axis=0), NODE_EXPORTER)
    np.testing.assert_allclose(cluster.fetch(NODE_CPU).to_numpy()[4:, 0], expected, atol=1e-6)


@pytest.mark.parametrize(
    "selector",
    [
        'container_cpu_usage_seconds_total{container=""}',
        'container_memory_working_set_bytes{container=""}',
        'container_network_receive_bytes_total{pod!="",interface="lo"}',
        'kube_pod_container_resource_limits{resource="cpu",container="app"}',
    ],
)
def test_the_server_holds_what_the_queries_have_to_leave_out(cluster: Cluster, selector: str) -> None:
    assert cluster.client.query(f"count({selector})", START + pd.Timedelta(hours=1)) == [({}, N_PODS)]


def test_an_instant_equals_the_range_there(cluster: Cluster) -> None:
    at = START + pd.Timedelta(hours=30)
    got = {series_name(labels): value for labels, value in cluster.client.query(POD_CPU.promql, at)}
    assert got == cluster.fetch(POD_CPU).loc[at].to_dict()


def test_a_window_before_the_first_scrape_has_no_series(cluster: Cluster) -> None:
    frame = cluster.fetch(POD_CPU, START - pd.Timedelta(days=2), START - pd.Timedelta(days=1))
    assert frame.shape == (1440, 0)


@pytest.mark.parametrize(
    ("promql", "status", "error_type", "words"),
    [
        ("sum(rate(up[5m])", 400, "bad_data", "unclosed left parenthesis"),
        ("node_memory_MemTotal_bytes * on() node_cpu_seconds_total", 422, "execution", "many-to-many"),
    ],
    ids=["syntax", "many to many"],
)
def test_a_bad_query_carries_the_servers_own_text(
    cluster: Cluster, promql: str, status: int, error_type: str, words: str
) -> None:
    with raises(PrometheusQueryError, "bad_query", status=status, error_type=error_type) as caught:
        cluster.client.query_range(promql, START, END)
    assert words in caught.value.facts["text"]
    assert promql in str(caught.value)


def test_what_the_server_refuses_as_too_much_is_known_as_that(cluster: Cluster) -> None:
    """A window that is planned passes at any step; the server's own limits, asked for directly, are told apart."""
    frame = cluster.client.query_range("up", START, START + pd.Timedelta(hours=4), step_seconds=1)
    assert frame.shape == (14_400, 0)
    params = {"query": "up", "start": "0", "end": "11001", "step": "1"}
    with raises(PrometheusTooMuch, "too_much", status=400, error_type="bad_data") as caught:
        read_matrix(cluster.transport.get("/api/v1/query_range", params), "up", 0, 11_002, 1)
    assert "exceeded maximum resolution" in caught.value.facts["text"]
    slow = {"query": SLOW, "start": str(int(START.timestamp())), "end": str(int(END.timestamp())), "step": "60"}
    answer = cluster.transport.get("/api/v1/query_range", {**slow, "timeout": "1ms"})
    with raises(PrometheusTooMuch, "too_much", status=503, error_type="timeout") as caught:
        read_matrix(answer, SLOW, int(START.timestamp()), 4321, 60)
    assert "query timed out" in caught.value.facts["text"]
