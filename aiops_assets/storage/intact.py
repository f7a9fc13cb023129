"""Which day files of the lake are as they were written, known by their signatures, as git's index knows files.

A file whose signature (:meth:`~aiops_assets.storage.storage.Storage.signature`: size, times of change, inode) is that
of the moment when it was written or checked has not been written since, and is not read to find out. What is known is
kept in memory and, a file per UTC day, in the folder ``intact`` of the lake for the next process. That file is no
evidence of its own: where it is missing or damaged, all day files are read and checked.

A disk that corrupts content without a write changes no signature. So whoever reads a file's content checks it, once per
process (``is_checked``), whatever is known here.
"""

import hashlib
from dataclasses import dataclass
from datetime import date

from pydantic import ValidationError

from aiops_assets.errors import NotFoundError
from aiops_assets.storage.day_info import DayInfo
from aiops_assets.storage.records import Record
from aiops_assets.storage.remembered import Remembered
from aiops_assets.storage.storage import Storage
from aiops_assets.timeseries.schema import DIGEST_BYTES

MAX_DAYS = 1024
"""Number of days kept in memory, some 50 kB each."""


class Entry(Record):
    """A file that was as it was written.

    Attributes:
        signature: of the file at that moment.
        seal: digest of the file.
        info: its metadata.
    """

    signature: str
    seal: str
    info: DayInfo


class Entries(Record):
    """What is stored of a day: path below the lake's folder -> the file."""

    files: dict[str, Entry]


@dataclass(frozen=True)
class Known:
    """A file that is as it was written; ``is_checked``: by this process, which read all of its content."""

    entry: Entry
    is_checked: bool


_days: Remembered[tuple[str, str, date], dict[str, Known]] = Remembered(MAX_DAYS)
"""URL of the storage, folder of the lake and UTC day -> path -> file."""


class IntactFiles:
    """The day files of one lake that are as they were written."""

    def __init__(self, storage: Storage, folder: str) -> None:
        """Know nothing yet; what is stored of a day is read when it is first asked for.

        Args:
            storage: where the files are.
            folder: folder of the lake.
        """
        self.storage = storage
        self.folder = folder
        self._changed: set[date] = set()

    def find(self, path: str, day: date) -> tuple[str, Known | None]:
        """A file's signature, empty where there is none, and what is known of this very file."""
        try:
            signature = self.storage.signature(path)
        except NotFoundError:
            return "", None
        known = self._of(day).get(path)
        return signature, known if known and signature and known.entry.signature == signature else None

    def note(self, path: str, day: date, entry: Entry, *, is_checked: bool) -> None:
        """Remember a file that is as it was written; without a signature it is not remembered."""
        files = self._of(day)
        known = files.get(path)
        if not entry.signature:
            files.pop(path, None)
        else:
            files[path] = Known(entry, is_checked)
        if known is None or known.entry != entry:
            self._changed.add(day)

    def save(self) -> None:
        """Store what is new, for other processes; two that store the same day at once leave that of one of them.

        Raises:
            StoreError: the lake cannot be written.
        """
        for day in sorted(self._changed):
            files = {path.removeprefix(f"{self.folder}/"): known.entry for path, known in self._of(day).items()}
            content = Entries(files=files).to_bytes()
            self.storage.write(self._path(day), _checksum(content) + b"\n" + content)
        self._changed.clear()

    def forget(self, day: date) -> None:
        """Remove what is stored of a day; it is no error if there is nothing."""
        self.storage.remove(self._path(day))

    def _of(self, day: date) -> dict[str, Known]:
        return _days.get_or_make((self.storage.url, self.folder, day), lambda: self._load(day))

    def _load(self, day: date) -> dict[str, Known]:
        try:
            checksum, _, content = self.storage.read(self._path(day)).partition(b"\n")
            files = Entries.model_validate_json(content).files if checksum == _checksum(content) else {}
        except (NotFoundError, ValidationError):
            files = {}
        return {f"{self.folder}/{path}": Known(entry, is_checked=False) for path, entry in files.items()}

    def _path(self, day: date) -> str:
        return f"{self.folder}/intact/day={day.isoformat()}.json"


def _checksum(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=DIGEST_BYTES).hexdigest().encode()
