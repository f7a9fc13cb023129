"""The newest week of one pod, from the lake: what a window detector looks at beside a request's own samples."""

from collections.abc import Callable
from datetime import datetime, timedelta
from threading import Lock

import pandas as pd
from cachetools import TTLCache

from aiops_assets.errors import IntegrityError
from aiops_assets.models.deviation_scores import ALERT_DAYS
from aiops_assets.stores.lake import Lake
from aiops_assets.timeseries.catalog import POD_CPU
from aiops_assets.timeseries.pod_series import VALUES, segment_rows
from aiops_assets.window import read_pods, read_window

KEPT_SECONDS = 60
MOST_PODS = 256


class LakeHistories:
    """Histories of pods, each kept for a minute.

    Args:
        lake: of fetched days; where nothing is fetched it is empty.
        clock: tells the time, with an offset.
    """

    def __init__(self, lake: Lake, clock: Callable[[], datetime]) -> None:
        self._lake = lake
        self._clock = clock
        self._kept: TTLCache[str, pd.DataFrame | None] = TTLCache(MOST_PODS, KEPT_SECONDS)
        self._lock = Lock()

    def of(self, pod: str) -> pd.DataFrame | None:
        """The newest seven days that the lake has of a pod.

        Returns:
            ``timestamp`` (UTC, every five minutes, oldest first) and the engine's five metrics, NaN where there is no
            sample; ``None`` where the pod has no hour of samples.

        Raises:
            StoreError: the lake cannot be read, or one of the days is damaged.
        """
        with self._lock:  # of many requests for a pod one reads
            if pod not in self._kept:
                self._kept[pod] = self._read(pod)
            return self._kept[pod]

    def _read(self, pod: str) -> pd.DataFrame | None:
        now = self._clock()
        days = [day for day in self._lake.days(POD_CPU) if day <= now.date()]
        if not days:
            return None
        window = read_window(self._lake, [days[-1] - timedelta(days=back) for back in range(ALERT_DAYS, -1, -1)])
        if window.damaged:  # a history with holes that nobody knows of would be judged as if it were whole
            raise IntegrityError(window.damaged[0])
        if pod not in window.pod_minutes:
            return None
        series = read_pods(self._lake, window, pd.Timestamp(now).ceil("min"), [pod])
        rows = segment_rows(series, 0, source="prometheus")
        return rows[["timestamp", *VALUES]].reset_index(drop=True) if len(rows) else None
