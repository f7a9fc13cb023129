"""The cluster's utilisation by hour out of a lake, by which rows of four are judged."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd

from aiops_assets.engine.served_rows import judged_row
from aiops_assets.service.cluster_hours import ClusterHours, cluster_baseline
from aiops_assets.storage.lake import Lake
from aiops_assets.storage.storage import LocalStorage
from aiops_assets.timeseries.catalog import CLUSTER_METRICS

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
SPECS = {metric.name: metric for metric in CLUSTER_METRICS}


def lake_of(folder: Path, days: int) -> Lake:
    """A cluster that is busy from 8 to 18 h: CPU .25 and .6, memory .4 all day."""
    lake = Lake(LocalStorage(folder), "default")
    rng = np.random.default_rng(5)
    for back in range(days, 0, -1):
        day = (NOW - timedelta(days=back)).date()
        times = pd.date_range(pd.Timestamp(day, tz="UTC"), periods=288, freq="300s", unit="us", name="timestamp")
        busy = np.isin(times.hour, range(8, 18))
        for name, level in (("cluster_cpu_usage", np.where(busy, 0.6, 0.25)), ("cluster_memory_usage", 0.4)):
            values = level * (1 + 0.02 * rng.standard_normal(len(times)))
            store(lake, name, day, pd.DataFrame({"{}": values}, index=times))
    return lake


def store(lake: Lake, name: str, day: date, rows: pd.DataFrame) -> None:
    end = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1)
    lake.upsert_day(SPECS[name], day, rows, fetched=end, fetched_until=end, closed=True)


def test_rows_are_judged_by_the_clusters_own_hours(tmp_path: Path) -> None:
    found = cluster_baseline(lake_of(tmp_path, 7), NOW)
    judged = {
        (hour, cpu, memory): judged_row(np.array([hour, 3, cpu, memory]), found)
        for hour, cpu, memory in [(3, 0.26, 0.4), (3, 0.5, 0.6), (3, 0.58, 0.4), (12, 0.62, 0.4), (12, 0.86, 0.4)]
    }
    assert list(judged.values()) == [1, 1, -1, 1, -1]
    assert judged_row(np.array([12, 3, 0.3, 0.75]), found) == -1


def test_two_days_are_no_history_and_limits_judge(tmp_path: Path) -> None:
    found = cluster_baseline(lake_of(tmp_path, 2), NOW)
    assert not found.upper
    assert judged_row(np.array([3, 3, 0.7, 0.75]), found) == 1
    assert judged_row(np.array([3, 3, 0.85, 0.75]), found) == -1


def test_a_lake_is_read_once_in_a_while_and_a_damaged_one_leaves_the_limits(tmp_path: Path) -> None:
    lake = lake_of(tmp_path, 4)
    hours = ClusterHours(lake, lambda: NOW)
    assert hours() is hours()
    assert set(hours().upper) == {"cpu_usage", "memory_usage"}
    file = next(tmp_path.rglob("metric=cluster_cpu_usage/**/day=2026-11-18.parquet"))
    file.write_bytes(file.read_bytes()[:-100])
    assert not ClusterHours(lake, lambda: NOW)().upper
    assert not ClusterHours(Lake(LocalStorage(tmp_path / "empty"), "default"), lambda: NOW)().upper
