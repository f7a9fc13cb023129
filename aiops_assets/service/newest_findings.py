"""The newest run of scores in memory, for the routes that explain alerts and the gauges of bands."""

from collections.abc import Callable
from datetime import datetime
from threading import Lock
from time import monotonic

from aiops_assets.errors import NotFoundError, ServiceNotReady
from aiops_assets.registry.findings import NO_SCORES, Findings, newest_findings
from aiops_assets.storage.scores import Scores

MAX_PICTURES = 64
"""Most pictures of a run that are kept; one is some 25 kB."""


class NewestFindings:
    """Reads a run once; the storage is looked at again after some seconds.

    Args:
        store: stored runs of one cluster.
        clock: returns the present time, with an offset.
        poll_seconds: seconds between two looks.
    """

    def __init__(self, store: Scores, clock: Callable[[], datetime], poll_seconds: float) -> None:
        self._store = store
        self._clock = clock
        self._poll = poll_seconds
        self._lock, self._drawing = Lock(), Lock()
        self._looked = -float("inf")
        self._findings: Findings | None = None
        self._names: list[str] = []
        self._pictures: dict[str, bytes] = {}

    def get(self) -> Findings:
        """What the newest run says. It takes as long as reading a run where there is a new one.

        Raises:
            ServiceNotReady: there is no run yet; code "no_scores".
            StoreError: the storage cannot be read.
        """
        with self._lock:
            if monotonic() - self._looked >= self._poll:
                names = self._store.names()
                if self._findings is None or names != self._names:
                    self._read()
                self._looked, self._names = monotonic(), names
            if self._findings is None:
                raise ServiceNotReady(
                    "no run of scores is stored yet: the schedule regular_scores makes them", code=NO_SCORES
                )
            self._findings.now = self._clock()
            return self._findings

    def picture(self, findings: Findings, name: str, draw: Callable[[], bytes]) -> bytes:
        """A picture of the newest run, drawn once; one at a time, since matplotlib shares its caches among threads."""
        with self._drawing:
            key = f"{findings.record.run_name} {name}"
            if key not in self._pictures:
                if len(self._pictures) >= MAX_PICTURES:
                    self._pictures.clear()
                self._pictures[key] = draw()
            return self._pictures[key]

    def _read(self) -> None:
        try:
            self._findings = newest_findings(self._store, self._clock())
        except NotFoundError:
            self._findings = None
