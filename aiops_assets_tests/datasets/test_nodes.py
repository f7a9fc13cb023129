"""Nodes as the lake holds them."""

import json
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd

from aiops_assets.datasets.nodes import read_nodes
from aiops_assets.storage.day_rows import RowCopies
from aiops_assets.storage.lake import Lake
from aiops_assets.storage.storage import LocalStorage
from aiops_assets.timeseries.catalog import EACH_NODE_CPU, EACH_NODE_DISK, NODE_MEMORY, MetricSpec

DAY, NEXT = date(2026, 11, 1), date(2026, 11, 2)
TIMES = pd.date_range("2026-11-01T23:50", periods=5, freq="5min", tz="UTC")
A, B = "10.0.0.1:9100", "10.0.0.2:9100"


def store_day(lake: Lake, metric: MetricSpec, day: date, values: dict[str, float]) -> None:
    """A day of constant series."""
    begin = pd.Timestamp(day, tz="UTC")
    step = pd.Timedelta(seconds=metric.step_seconds)
    instants = pd.date_range(begin, periods=pd.Timedelta(days=1) // step, freq=step, name="timestamp")
    end = (begin + pd.Timedelta(days=1)).to_pydatetime()
    lake.upsert_day(metric, day, pd.DataFrame(values, index=instants), fetched=end, fetched_until=end, closed=True)


def series(node: str, **more: str) -> str:
    return json.dumps({"instance": node, **more}, sort_keys=True)


def test_each_node_has_its_rows_over_days_and_metrics(tmp_path: Path) -> None:
    lake = Lake(LocalStorage(tmp_path), "prod")
    for day, value in ((DAY, 0.25), (NEXT, 0.5)):
        store_day(lake, EACH_NODE_CPU, day, {series(A): value, series(B): 2 * value})
    # A second file system of one node: the fuller one counts.
    store_day(lake, EACH_NODE_DISK, NEXT, {series(A, device="x"): 0.3, series(A, device="y"): 0.6})
    found = read_nodes(lake, RowCopies(lake.storage, lake.cluster), [DAY, NEXT], TIMES)
    assert found
    assert found.names == (A, B)
    assert found.values[EACH_NODE_CPU.name].tolist() == [[0.25] * 2 + [0.5] * 3, [0.5] * 2 + [1.0] * 3]
    disk = found.values[EACH_NODE_DISK.name]
    assert disk[0, 2:].tolist() == [0.6] * 3
    assert np.isnan(disk[0, :2]).all()
    assert np.isnan(disk[1]).all()
    assert np.isnan(found.values[NODE_MEMORY.name]).all()


def test_a_damaged_day_is_left_out_and_without_any_there_are_no_nodes(tmp_path: Path) -> None:
    lake = Lake(LocalStorage(tmp_path), "prod")
    assert read_nodes(lake, RowCopies(lake.storage, lake.cluster), [DAY], TIMES) is None
    for day in (DAY, NEXT):
        store_day(lake, NODE_MEMORY, day, {series(A): 0.5})
    file = next(tmp_path.rglob(f"*{DAY}*.parquet"))
    file.write_bytes(file.read_bytes()[:-9])
    found = read_nodes(lake, RowCopies(lake.storage, lake.cluster), [DAY, NEXT], TIMES)
    assert found
    assert np.isnan(found.values[NODE_MEMORY.name][0]).tolist() == [True, True, False, False, False]
