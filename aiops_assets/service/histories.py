"""The newest week of pods from the lake, which window detectors use together with a request's own samples.

A week of a large cluster takes seconds to read, for one pod as for all. So one thread reads it for all recently
requested pods together, and again each minute. A request about a new pod waits for it for a short time, unless another
request already does; later requests find it.
"""

import threading
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from time import monotonic

import pandas as pd
import structlog

from aiops_assets.datasets.window import read_pods, read_window
from aiops_assets.errors import AiopsError, IntegrityError
from aiops_assets.judging.statements import Statement
from aiops_assets.learners.detectors.alert_rule import HISTORY_DAYS
from aiops_assets.storage.lake import Lake
from aiops_assets.storage.lake_files import readable_days
from aiops_assets.timeseries.catalog import POD_CPU
from aiops_assets.timeseries.pod_identity import split_pod
from aiops_assets.views.pod_series import SEGMENT, VALUES, segment_rows

REFRESH_SECONDS = 60.0
PATIENCE_SECONDS = 1.5
"""Longest time that a request waits for pods that were not requested before."""
REMEMBERED_SECONDS = 900.0
MAX_PODS = 500
"""Most pods that are kept; a week of each is 80 kB."""

Histories = Mapping[str, pd.DataFrame]
log = structlog.get_logger("aiops.service")


class LakeHistories:
    """Histories of requested pods.

    Args:
        lake: the lake with fetched days; empty if nothing is fetched.
        clock: returns the present time, with an offset.
        patience_seconds: see :data:`PATIENCE_SECONDS`.
    """

    def __init__(self, lake: Lake, clock: Callable[[], datetime], patience_seconds: float = PATIENCE_SECONDS) -> None:
        self._lake = lake
        self._clock = clock
        self._patience = patience_seconds
        self._requested: dict[str, float] = {}
        self._read: Histories = {}
        self._known: frozenset[str] = frozenset()
        self._waiting = False
        self._changed = threading.Condition()
        self._wanted = threading.Event()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.problem: Statement | None = None

    def start(self) -> None:
        """Read in a background thread until :meth:`stop`."""
        self._thread = threading.Thread(target=self._run, name="pod-histories", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the background thread."""
        self._stop.set()
        self._wanted.set()

    def of(self, pods: Iterable[str]) -> Histories:
        """The newest seven days of pods in the lake, as far as they were read.

        Returns:
            pod as requested -> ``timestamp`` (UTC, every five minutes, oldest first) and the engine's five metrics, NaN
            where there is no sample. Pods that are not in the lake, or were not read within ``patience_seconds``, are
            missing.
        """
        names = set(filter(None, pods))
        with self._changed:
            now = monotonic()
            self._requested.update(dict.fromkeys(names, now))
            if not names <= self._known:
                self._wanted.set()
                if not self._waiting:  # only one request waits: a hundred new pods must not queue up
                    self._waiting = True
                    self._changed.wait_for(lambda: names <= self._known, self._patience)
                    self._waiting = False
            return {name: self._read[name] for name in names if name in self._read}

    def refresh(self) -> None:
        """Read the week of all recently requested pods; ``problem`` states what cannot be read."""
        with self._changed:
            since = monotonic() - REMEMBERED_SECONDS
            lately = sorted((when, name) for name, when in self._requested.items() if when > since)[-MAX_PODS:]
            self._requested = {name: when for when, name in lately}
            names = frozenset(self._requested)
        found: Histories = {}
        try:
            found = newest_week(self._lake, names, self._clock()) if names else {}
            problem = None
        except AiopsError as error:
            text = f"history of pods cannot be read: {error}"
            problem = Statement("unreadable_history", text, **{**error.facts, "cause": error.code})
        if problem and (self.problem is None or problem.text != self.problem.text):
            log.warning("history cannot be read", problem=problem.text)
        with self._changed:
            self.problem, self._read, self._known = problem, found, names
            self._changed.notify_all()

    def _run(self) -> None:
        while not self._stop.is_set():
            self._wanted.wait(REFRESH_SECONDS)
            self._wanted.clear()
            if not self._stop.is_set():
                self.refresh()


def newest_week(lake: Lake, pods: Iterable[str], now: datetime) -> dict[str, pd.DataFrame]:
    """The newest seven days of ``pods``, see :meth:`LakeHistories.of`; pods without CPU time are left out.

    Raises:
        StoreError: the lake cannot be read, or a day is damaged: a history with unknown gaps would be judged as if it
            were complete.
    """
    last = max((day for day in readable_days(lake, POD_CPU) if day <= now.date()), default=None)
    if last is None:
        return {}
    window = read_window(lake, [last - timedelta(days=back) for back in range(HISTORY_DAYS, -1, -1)])
    if window.damaged:
        raise IntegrityError(window.damaged[0], code="damaged_day")
    there = window.pod_minutes
    # In the lake of an earlier release pods have no namespace.
    meant = {pod: next((one for one in (window.names.of(pod), split_pod(pod)[1]) if one in there), "") for pod in pods}
    wanted = sorted(filter(None, set(meant.values())))
    if not wanted:
        return {}
    rows = segment_rows(read_pods(lake, window, pd.Timestamp(now).ceil("min"), wanted), 0, source="prometheus")
    grouped = rows.groupby(SEGMENT, observed=True, sort=False)
    found = {str(pod): history[["timestamp", *VALUES]].reset_index(drop=True) for (_, pod), history in grouped}
    return {pod: found[text] for pod, text in meant.items() if text in found}
