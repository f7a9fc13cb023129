"""The newest run of scores that can be read, for gauges: each scrape lists the runs, and a run is read once."""

import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from threading import Lock
from typing import Generic, TypeVar

from aiops_assets.errors import IntegrityError, NotFoundError, StoreError
from aiops_assets.storage.scores import Scores, name_of

CLOCKS_DIFFER = timedelta(hours=1)
"""A run that is so far in the future was made while a clock was wrong, and would hide all that come after it."""
_log = logging.getLogger(__name__)
Part = TypeVar("Part")


class NewestRun(Generic[Part]):
    """Follows the newest run. One that cannot be read is logged and counted, and never fails a scrape.

    Args:
        store: stored runs of one cluster.
        read: reads what is needed of the run of a name.
        clock: returns the present time, Unix seconds.
        what: what is not exposed when a run cannot be read, for the log.

    Attributes:
        unreadable: how often reading failed.
    """

    def __init__(self, store: Scores, read: Callable[[str], Part], clock: Callable[[], float], what: str) -> None:
        self._store = store
        self._read = read
        self._clock = clock
        self._message = f"{what} are not exposed: %s"
        self._lock = Lock()
        self._name = ""
        self._part: Part | None = None
        self._damaged: set[str] = set()
        self._last_failure = ""
        self.unreadable = 0

    def get(self) -> Part | None:
        """What was read of the newest readable run; ``None`` before the first."""
        with self._lock:
            try:
                self._follow(self._store.names())
            except StoreError as error:  # tried again at the next scrape
                self._failed(str(error))
            return self._part

    def _follow(self, names: Sequence[str]) -> None:
        self._damaged &= set(names)
        latest = name_of(datetime.fromtimestamp(self._clock(), UTC) + CLOCKS_DIFFER)
        for name in reversed(names):
            if name <= self._name:
                return
            if name in self._damaged or name > latest:
                continue
            try:
                self._part = self._read(name)
            except NotFoundError:  # being written, or removed meanwhile
                continue
            except IntegrityError as error:
                self._damaged.add(name)
                self._failed(str(error))
                continue
            self._name = name
            return

    def _failed(self, message: str) -> None:
        self.unreadable += 1
        if message != self._last_failure:
            _log.warning(self._message, message)
        self._last_failure = message
