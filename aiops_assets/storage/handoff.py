"""Handoffs between assets: small typed references to stored data, never the data itself.

References are kept by run, so that two runs at once on one home do not use each other's.
"""

import json
from typing import TypeVar

from aiops_assets.errors import ConflictError, NotFoundError, StoreError
from aiops_assets.storage.records import Record, SourceReport, SyntheticRecipe
from aiops_assets.storage.storage import Storage

Kind = TypeVar("Kind", bound=Record)
MAX_RUNS = 10
"""Number of runs whose references are kept."""
ATTEMPTS = 10


class SeriesRef(Record):
    """Generated series: the recipe that yields them again, and their digest."""

    data_version: str
    recipe: SyntheticRecipe


class TrainingSetRef(Record):
    """A stored training set, and where its rows came from in this run; an earlier run may have stored equal rows."""

    view: str
    data_version: str
    effective_source: str
    source: SourceReport


class VersionRef(Record):
    """A committed version of a model."""

    name: str
    version: int
    manifest_sha256: str


class DecisionRef(Record):
    """What an evaluation decided about a challenger, and which champion (if any) was served then.

    Attributes:
        challenger: the version that was judged.
        champion: version number of the champion then; ``None``: there was none.
        promote: whether the challenger is to be served.
        equal: the challenger is the same model as the champion.
        reason, code: the reason as a sentence and as data; references of older code have no code.
    """

    challenger: VersionRef
    champion: int | None
    promote: bool
    equal: bool
    reason: str
    code: str = ""


class Handoffs:
    """The newest references of each asset of a cluster."""

    def __init__(self, storage: Storage, cluster: str) -> None:
        self.storage = storage
        self.cluster = cluster

    def put(self, key: tuple[str, ...], run_id: str, reference: Record) -> None:
        """Store what an asset returned in a run.

        Raises:
            ConflictError: other writers changed the file in each of ``ATTEMPTS`` attempts.
        """
        for _ in range(ATTEMPTS):
            before, entries = self._read(key)
            kept = {run: value for run, value in entries.items() if run != run_id}
            newest = {run_id: reference.model_dump(mode="json"), **kept}
            text = json.dumps(dict(list(newest.items())[:MAX_RUNS]), indent=2)
            try:
                self.storage.compare_and_swap(self._path(key), before, text.encode())
            except ConflictError:
                continue
            return
        raise ConflictError(f"{self.storage.locate(self._path(key))} was changed by others {ATTEMPTS} times in a row")

    def get(self, key: tuple[str, ...], kind: type[Kind], run_id: str = "") -> Kind:
        """What an asset returned in a run or, without a reference of that run, in the newest one.

        Raises:
            NotFoundError: the asset was never materialized.
        """
        entries = self._read(key)[1]
        if not entries:
            name = "/".join(key)
            raise NotFoundError(f"{name} was never materialized: materialize it first, or select it too")
        return kind.model_validate(entries.get(run_id) or next(iter(entries.values())))

    def _read(self, key: tuple[str, ...]) -> tuple[bytes | None, dict[str, object]]:
        """The bytes of the file (``None``: no file), and run -> reference, newest first."""
        try:
            data = self.storage.read(self._path(key))
        except NotFoundError:
            return None, {}
        try:
            entries = json.loads(data)
        except ValueError as error:
            raise StoreError(
                f"{self.storage.locate(self._path(key))} is not JSON: remove it and run again", code="no_json"
            ) from error
        # A file of older code holds the reference itself.
        return data, entries if all(isinstance(entry, dict) for entry in entries.values()) else {}

    def _path(self, key: tuple[str, ...]) -> str:
        return f"handoff/cluster={self.cluster}/{'/'.join(key)}.json"
