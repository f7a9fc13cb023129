"""Volumes, quotas and disks of a real Prometheus, through the lake, as what can run out."""

from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from aiops_assets.datasets.capacity import DISK, QUOTA, VOLUME, read_capacities
from aiops_assets.datasets.ingest import ingest_metric
from aiops_assets.prometheus.client import PrometheusClient
from aiops_assets.prometheus.transport import RequestsTransport
from aiops_assets.storage.lake import Lake
from aiops_assets.storage.storage import LocalStorage
from aiops_assets.timeseries.catalog import EACH_NODE_DISK, QUOTA_USAGE, VOLUME_USAGE
from aiops_assets_tests.prometheus_server import Scraped, running_prometheus, write_blocks

NOW = pd.Timestamp("2026-03-02T06:00Z")
SECONDS = np.arange((NOW - pd.Timedelta(hours=4)).timestamp(), NOW.timestamp(), 60.0)


def scraped(name: str, value: float, **labels: str) -> Scraped:
    return Scraped(name, "gauge", labels, SECONDS, np.full(len(SECONDS), value))


@pytest.mark.needs("prometheus")
def test_volumes_quotas_and_disks_of_a_server_are_used_shares_with_their_labels(tmp_path: Path) -> None:
    claim = {"namespace": "shop", "persistentvolumeclaim": "data"}
    quota = {"namespace": "shop", "resourcequota": "compute", "resource": "pods"}
    disk = {"instance": "node-1", "mountpoint": "/"}
    write_blocks(
        [
            *(scraped("kubelet_volume_stats_available_bytes", 25.0, **claim, node=node) for node in ("a", "b")),
            *(scraped("kubelet_volume_stats_capacity_bytes", 100.0, **claim, node=node) for node in ("a", "b")),
            scraped("kube_resourcequota", 6.0, **quota, type="used"),
            scraped("kube_resourcequota", 8.0, **quota, type="hard"),
            scraped("node_filesystem_avail_bytes", 40.0, **disk),
            scraped("node_filesystem_size_bytes", 100.0, **disk),
        ],
        tmp_path / "tsdb",
    )
    lake = Lake(LocalStorage(tmp_path / "home"), "default")
    now = (NOW + timedelta(minutes=10)).to_pydatetime()
    with running_prometheus(tmp_path / "tsdb") as url, RequestsTransport(url) as transport:
        for metric in (VOLUME_USAGE, QUOTA_USAGE, EACH_NODE_DISK):
            ingest_metric(PrometheusClient(transport), lake, metric, [NOW.date()], now)
    times = pd.date_range(NOW - pd.Timedelta(hours=2), periods=12, freq="5min", unit="us")
    found = {one.kind: one for one in read_capacities(lake, [NOW.date()], times)}
    assert {kind: dict(one.labels[0]) for kind, one in found.items()} == {
        VOLUME: claim,
        QUOTA: quota,
        DISK: {"node": "node-1"},
    }
    assert {kind: len(one.labels) for kind, one in found.items()} == dict.fromkeys((VOLUME, QUOTA, DISK), 1)
    shares = {kind: np.unique(one.values.round(6)).tolist() for kind, one in found.items()}
    assert shares == {VOLUME: [0.75], QUOTA: [0.75], DISK: [0.6]}


def test_a_lake_without_them_has_none(tmp_path: Path) -> None:
    times = pd.date_range(NOW, periods=12, freq="5min", unit="us")
    assert read_capacities(Lake(LocalStorage(tmp_path), "default"), [NOW.date()], times) == ()
