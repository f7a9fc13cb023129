"""What the cluster's utilisation is at each hour, from the newest days of the lake: by it rows of four are judged."""

import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from time import monotonic

import pandas as pd
import structlog

from aiops_assets.errors import AiopsError, NotFoundError
from aiops_assets.learners.forecasters.hourly_baseline import HourlyBaseline, hourly_baseline_of
from aiops_assets.storage.lake import Lake
from aiops_assets.storage.lake_files import readable_days
from aiops_assets.timeseries.catalog import CLUSTER_METRICS

HISTORY_DAYS = 14
MIN_DAYS = 3
"""Fewest days with samples that tell what is usual at an hour."""
REFRESH_SECONDS = 600.0
METRICS = {"cpu_usage": "cluster_cpu_usage", "memory_usage": "cluster_memory_usage"}
"""Metric of a baseline -> metric in the lake. Both are shares of what the nodes have; the engine divides by what is
allocatable, which is some percent less and within the margin of a baseline."""

log = structlog.get_logger("aiops.service")


class ClusterHours:
    """The baseline of a cluster, read again every ten minutes when it is needed.

    Args:
        lake: the lake with fetched days; empty if nothing is fetched.
        clock: returns the present time, with an offset.
    """

    def __init__(self, lake: Lake, clock: Callable[[], datetime]) -> None:
        self._lake = lake
        self._clock = clock
        self._lock = threading.Lock()
        self._read_at = -float("inf")
        self._baseline = HourlyBaseline()

    def __call__(self) -> HourlyBaseline:
        """The baseline; empty with fewer than three days, or where the lake cannot be read: limits judge then."""
        with self._lock:
            if monotonic() - self._read_at >= REFRESH_SECONDS:
                try:
                    self._baseline = cluster_baseline(self._lake, self._clock())
                except AiopsError as error:
                    log.warning("history of the cluster cannot be read", problem=str(error))
                    self._baseline = HourlyBaseline()
                self._read_at = monotonic()
            return self._baseline


def cluster_baseline(lake: Lake, now: datetime) -> HourlyBaseline:
    """The utilisation of a cluster by hour (UTC), of the newest 14 days up to ``now``.

    Raises:
        StoreError: the lake cannot be read, or a day is damaged.
    """
    specs = {metric.name: metric for metric in CLUSTER_METRICS}
    since = now.date() - timedelta(days=HISTORY_DAYS)
    upper, middle = {}, {}
    for name, stored in METRICS.items():
        days = {day: spec for day, spec in readable_days(lake, specs[stored]).items() if since <= day <= now.date()}
        parts = []
        for day, spec in sorted(days.items()):
            try:
                rows = lake.read_day(spec, day)[0]
            except NotFoundError:
                continue  # removed since it was listed
            parts.append(rows.mean(axis=1))
        samples = pd.concat(parts).dropna() if parts else pd.Series(dtype=float)
        samples = samples[samples.index <= pd.Timestamp(now)] if len(samples) else samples
        if not len(samples) or pd.DatetimeIndex(samples.index).normalize().nunique() < MIN_DAYS:
            continue
        known = hourly_baseline_of(pd.DataFrame({"timestamp": samples.index, name: samples.to_numpy()}))
        upper[name], middle[name] = known.upper[name], known.middle[name]
    return HourlyBaseline(upper, middle)
