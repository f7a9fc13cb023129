"""Which workload each pod is of, as kube-state-metrics knew it: a record per UTC day beside the days of the lake."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import date

from pydantic import ValidationError

from aiops_assets.errors import ConflictError, NotFoundError
from aiops_assets.storage.records import Record
from aiops_assets.storage.storage import Storage

ATTEMPTS = 5


class WorkloadsOfDay(Record):
    """The workloads of pods that lived on a day.

    Attributes:
        workloads: pod (``namespace/name``) -> ``kind/name`` of its workload.
        closed: the day is over, and was requested as a whole.
    """

    workloads: dict[str, str] = {}
    closed: bool = False


class Workloads:
    """The workloads of one cluster's pods. They describe pods, nothing depends on them: a damaged record is none."""

    def __init__(self, storage: Storage, cluster: str) -> None:
        """Look at the records of a cluster."""
        self.storage = storage
        self.folder = f"lake/cluster={cluster}/workloads"

    def of(self, days: Iterable[date]) -> dict[str, str]:
        """Pod -> ``kind/name`` of its workload, of all pods that are known on these days."""
        found: dict[str, str] = {}
        for day in sorted(days):
            found |= self.day(day).workloads
        return found

    def day(self, day: date) -> WorkloadsOfDay:
        """The stored workloads of a day; an empty record where nothing is stored."""
        return self._parsed(self._data(day))

    def add(self, day: date, workloads: Mapping[str, str], *, closed: bool) -> None:
        """Add pods to a day's record.

        Raises:
            ConflictError: other writers changed the record in each of ``ATTEMPTS`` attempts.
            StoreError: it cannot be written.
        """
        for attempt in range(ATTEMPTS):
            data = self._data(day)
            before = self._parsed(data)
            after = WorkloadsOfDay(workloads={**before.workloads, **workloads}, closed=before.closed or closed)
            if data is not None and after == before:
                return
            try:
                self.storage.compare_and_swap(self._path(day), data, after.to_bytes())
            except ConflictError:
                if attempt == ATTEMPTS - 1:
                    raise
                continue
            return

    def prune(self, before: date) -> None:
        """Remove the records of older days."""
        for name in self.storage.names(self.folder):
            with suppress(ValueError):  # a file that is not ours
                if date.fromisoformat(name.removeprefix("day=").removesuffix(".json")) < before:
                    self.storage.remove(f"{self.folder}/{name}")
                    self.storage.remove(f"{self.folder}/.{name}.lock")

    def _path(self, day: date) -> str:
        return f"{self.folder}/day={day.isoformat()}.json"

    def _data(self, day: date) -> bytes | None:
        try:
            return self.storage.read(self._path(day))
        except NotFoundError:
            return None

    def _parsed(self, data: bytes | None) -> WorkloadsOfDay:
        if data is not None:
            with suppress(ValidationError):
                return WorkloadsOfDay.model_validate_json(data)
        return WorkloadsOfDay()
