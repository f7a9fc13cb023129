"""What a cluster has and wants, from the server to the record."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from aiops_assets.datasets.present import DESIRED, LASTING, fetch_present
from aiops_assets.datasets.workloads import OWNERS
from aiops_assets.errors import PrometheusQueryError
from aiops_assets.learners.silence.entities import Present
from aiops_assets.prometheus.client import PrometheusClient
from aiops_assets.storage.lake import Lake
from aiops_assets.storage.present import MAX_AGE, PresentPods
from aiops_assets.storage.storage import LocalStorage

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)


class Server(PrometheusClient):
    """Answers the three queries."""

    def __init__(self, fails: bool = False) -> None:
        self.fails = fails

    def query(self, promql: str, at: datetime) -> list[tuple[dict[str, str], float]]:
        if self.fails:
            raise PrometheusQueryError("no")
        owner = {"__name__": "kube_pod_owner", "owner_kind": "StatefulSet", "owner_name": "db"}
        return {
            OWNERS: [({"namespace": "shop", "pod": f"db-{i}", **owner}, 1.0) for i in range(2)],
            LASTING: [({"namespace": "shop", "pod": "db-0"}, 700.0)],
            DESIRED: [({"namespace": "shop", "statefulset": "db"}, 3.0), ({"namespace": "shop"}, 1.0)],
        }[promql]


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(LocalStorage(tmp_path), "prod")


def newest(lake: Lake, now: datetime = NOW) -> Present:
    return PresentPods(lake.storage, lake.cluster).newest(now)


def test_pods_and_wanted_replicas_are_known_for_ten_minutes(lake: Lake) -> None:
    assert fetch_present(Server(), lake, NOW) == ""
    assert newest(lake, NOW + MAX_AGE) == Present(
        frozenset({"shop/db-0"}),
        {"shop/db-0": "StatefulSet/db", "shop/db-1": "StatefulSet/db"},
        {"shop/StatefulSet/db": 3.0},
    )
    assert newest(lake, NOW + MAX_AGE + timedelta(seconds=1)) == Present()
    assert newest(lake, NOW - timedelta(seconds=1)) == Present()  # made by a clock that was wrong


def test_a_server_that_does_not_answer_is_no_failure_of_the_fetch(lake: Lake) -> None:
    assert fetch_present(Server(fails=True), lake, NOW)
    assert newest(lake) == Present()


def test_a_damaged_record_is_none(lake: Lake) -> None:
    fetch_present(Server(), lake, NOW)
    lake.storage.write("lake/cluster=prod/present.json", b"{")
    assert newest(lake) == Present()
