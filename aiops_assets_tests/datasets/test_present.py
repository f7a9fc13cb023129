"""What a cluster has and wants, from the server to the record."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from aiops_assets.datasets.present import (
    desired_query,
    existing_query,
    fetch_present,
    heard_query,
    lasting_query,
    nodes_query,
    values_query,
)
from aiops_assets.datasets.workloads import OWNERS
from aiops_assets.errors import PrometheusQueryError
from aiops_assets.learners.silence.entities import Present, missed_pods
from aiops_assets.prometheus.client import PrometheusClient
from aiops_assets.storage.lake import Lake
from aiops_assets.storage.present import MAX_AGE, PresentPods
from aiops_assets.storage.storage import LocalStorage
from aiops_assets.timeseries.catalog import MetricSpec

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)


SCRAPE = 60
METRIC = MetricSpec("depth", "depth", "messages", "labels", "", labels=("queue",))


class Server(PrometheusClient):
    """Answers the queries that it is not said to fail."""

    def __init__(self, *fails: str) -> None:
        self.fails = fails

    def query(self, promql: str, at: datetime) -> list[tuple[dict[str, str], float]]:
        if promql in self.fails:
            raise PrometheusQueryError("no")
        owner = {"__name__": "kube_pod_owner", "owner_kind": "StatefulSet", "owner_name": "db"}
        pods = [{"namespace": "shop", "pod": f"db-{i}"} for i in range(3)]
        return {
            OWNERS: [({**pod, **owner}, 1.0) for pod in pods],
            existing_query(SCRAPE): [(pod, 1.0) for pod in pods[:2]],
            lasting_query(SCRAPE): [(pods[0], 700.0)],
            desired_query(SCRAPE): [({"namespace": "shop", "statefulset": "db"}, 3.0), ({"namespace": "shop"}, 1.0)],
            heard_query(SCRAPE): [(pods[0], 1.0), ({}, 1.0)],
            nodes_query(SCRAPE): [({"instance": "10.0.0.1:9100", "node": "n0"}, 1.0), ({"instance": "n1"}, 1.0)],
            values_query(METRIC): [({"queue": "orders"}, 4.0)],
        }[promql]


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(LocalStorage(tmp_path), "prod")


def newest(lake: Lake, now: datetime = NOW) -> Present:
    return PresentPods(lake.storage, lake.cluster).newest(now)


def test_what_there_is_and_what_is_heard_of_is_known_for_ten_minutes(lake: Lake) -> None:
    assert fetch_present(Server(), lake, NOW, SCRAPE, [METRIC]) == ""
    assert newest(lake, NOW + MAX_AGE) == Present(
        lasting=frozenset({"shop/db-0"}),
        pods={"shop/db-0": "StatefulSet/db", "shop/db-1": "StatefulSet/db"},
        desired={"shop/StatefulSet/db": 3.0},
        heard=frozenset({"shop/db-0"}),
        nodes=frozenset({"10.0.0.1:9100", "n0", "n1"}),
        series={"depth": frozenset({'{"queue":"orders"}'})},
    )
    assert newest(lake, NOW + MAX_AGE + timedelta(seconds=1)) == Present()
    assert newest(lake, NOW - timedelta(seconds=1)) == Present()  # made by a clock that was wrong


def test_a_server_that_does_not_answer_is_no_failure_of_the_fetch(lake: Lake) -> None:
    assert fetch_present(Server(heard_query(SCRAPE)), lake, NOW, SCRAPE, [METRIC])
    assert newest(lake) == Present(series={"depth": frozenset({'{"queue":"orders"}'})})
    assert fetch_present(Server(values_query(METRIC)), lake, NOW, SCRAPE, [METRIC]) == ""
    assert newest(lake).series == {}


def test_a_record_of_an_earlier_release_misses_nothing(lake: Lake) -> None:
    text = '{"at": "2026-11-01T12:00:00Z", "lasting": ["a/b"], "pods": {"a/b": "Pod/b"}, "desired": {}}'
    lake.storage.write("lake/cluster=prod/present.json", text.encode())
    assert newest(lake).pods
    assert missed_pods(["a/b", "a/c"], newest(lake), {}) == []


def test_a_damaged_record_is_none(lake: Lake) -> None:
    fetch_present(Server(), lake, NOW)
    lake.storage.write("lake/cluster=prod/present.json", b"{")
    assert newest(lake) == Present()
