"""What became of writing scores back to a server by remote write: the newest attempt, and how many failed so far."""

from datetime import datetime

from pydantic import ValidationError

from aiops_assets.errors import NotFoundError
from aiops_assets.storage.records import Record
from aiops_assets.storage.storage import Storage


class WriteBack(Record):
    """The newest attempt.

    Attributes:
        made_at: time of the run of scores.
        series, of: how many series the server took, of how many.
        failures: attempts that failed so far, this one included; since the record was lost, if it was.
        succeeded: time of the newest run that the server took whole; ``None``: none yet.
        code, reason: of the failure; empty without one.
    """

    made_at: datetime
    series: int
    of: int
    failures: int = 0
    succeeded: datetime | None = None
    code: str = ""
    reason: str = ""


class WriteBacks:
    """The record of one cluster."""

    def __init__(self, storage: Storage, cluster: str) -> None:
        self.storage = storage
        self._path = f"remote_write/cluster={cluster}/newest.json"

    def newest(self) -> WriteBack | None:
        """The newest attempt; ``None`` where there is none that can be read: the next one writes it."""
        try:
            return WriteBack.model_validate_json(self.storage.read(self._path))
        except (NotFoundError, ValidationError):
            return None

    def forget(self) -> None:
        """Remove the record: nothing is written any more, and nobody should look at an old attempt."""
        self.storage.remove(self._path)

    def put(self, attempt: WriteBack) -> None:
        """Replace the newest attempt."""
        self.storage.write(self._path, attempt.to_bytes())
