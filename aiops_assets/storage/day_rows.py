"""Rows every five minutes of closed days of the lake, copied to where a part of the pods is read without the others.

``scores/cluster=<cluster>/rows/<metric>.<day>.<seal>.rows`` holds the rows of a day file with that seal (a digest of
the whole file), by parts of the entities (:mod:`aiops_assets.timeseries.pod_parts`). A day file that is written again
has another seal, and so another copy. A copy is a cache: whatever is wrong with it, it is as if it were not there, and
is made again from the lake.

Content: a digest of the header, the header's length, the header as JSON, then a block of float64 a part, whose digest
stands in the header.
"""

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date

import numpy as np
from typing_extensions import override

from aiops_assets.errors import IntegrityError, StoreError
from aiops_assets.storage.storage import Storage
from aiops_assets.timeseries.schema import DIGEST_BYTES
from aiops_assets.timeseries.series import Floats

FORMAT = 1
LENGTH_BYTES = 8
MOST_HEADER_BYTES = 1 << 26
"""A header is some hundred bytes a pod: a longer one is a damaged length."""
SUFFIX = ".rows"


class DayRows(ABC):
    """Rows of the entities of a day.

    Attributes:
        names: part -> its entities, in the order of their rows.
    """

    names: Mapping[int, tuple[str, ...]]

    @abstractmethod
    def part(self, part: int) -> Floats:
        """(n_entities, n_rows) of a part; NaN where no sample is.

        Raises:
            StoreError: the file is damaged, or was removed since it was opened.
        """


@dataclass(frozen=True)
class HeldRows(DayRows):
    """Rows in memory: part -> (n_entities, n_rows)."""

    names: Mapping[int, tuple[str, ...]]
    values: Mapping[int, Floats]

    @override
    def part(self, part: int) -> Floats:
        return self.values[part]

    def to_bytes(self) -> bytes:
        """The content of a file."""
        blocks = {part: np.ascontiguousarray(values, dtype="<f8").tobytes() for part, values in self.values.items()}
        header = {
            "format": FORMAT,
            "rows": next((values.shape[1] for values in self.values.values()), 0),
            "names": list(self.names.items()),
            "digests": [_digest(blocks[part]).hex() for part in self.names],
        }
        encoded = json.dumps(header).encode()
        return b"".join([_digest(encoded), len(encoded).to_bytes(LENGTH_BYTES, "little"), encoded, *blocks.values()])


class _StoredRows(DayRows):
    """Rows in a file, of which the header is read alone; KeyError, ValueError, TypeError: it is none of this format."""

    def __init__(self, storage: Storage, path: str) -> None:
        self._storage, self._path = storage, path
        begin = DIGEST_BYTES + LENGTH_BYTES
        start = storage.read_part(path, 0, begin)
        length = int.from_bytes(start[DIGEST_BYTES:], "little")
        if length > MOST_HEADER_BYTES:
            raise ValueError("changed length")
        encoded = storage.read_part(path, begin, length)
        if _digest(encoded) != start[:DIGEST_BYTES]:
            raise ValueError("changed header")
        header = json.loads(encoded)
        if header["format"] != FORMAT:
            raise ValueError("another format")
        self._rows = int(header["rows"])
        self.names = {int(part): tuple(names) for part, names in header["names"]}
        self._digests = dict(zip(self.names, map(bytes.fromhex, header["digests"]), strict=True))
        self._begins: dict[int, int] = {}
        at = begin + length
        for part, names in self.names.items():
            self._begins[part] = at
            at += 8 * self._rows * len(names)

    @override
    def part(self, part: int) -> Floats:
        n = len(self.names[part])
        data = self._storage.read_part(self._path, self._begins[part], 8 * self._rows * n)
        if _digest(data) != self._digests[part]:
            raise IntegrityError(
                f"{self._storage.locate(self._path)} is damaged: remove it, the next run makes it again",
                code="damaged_rows",
            )
        return np.frombuffer(data, dtype="<f8").reshape(n, self._rows)


_UNUSABLE = (StoreError, ValueError, KeyError, TypeError, AttributeError)
"""What opening a file raises that is damaged, of another format, or not there."""


class RowCopies:
    """The copies of one cluster. Two writers at once write the same content, and a reader sees one of them."""

    def __init__(self, storage: Storage, cluster: str) -> None:
        """Look at the copies of a cluster."""
        self.storage = storage
        self.folder = f"scores/cluster={cluster}/rows"

    def day(self, name: str, day: date, seal: str, make: Callable[[], HeldRows | None]) -> DayRows | None:
        """The rows of a day file with a seal, from their copy; where there is none, they are made and stored.

        Args:
            name: of the metric, and what else the rows depend on.
            day: UTC day.
            seal: digest of the day file.
            make: makes the rows; ``None``: they cannot be stored.
        """
        path = f"{self.folder}/{name}.{day.isoformat()}.{seal}{SUFFIX}"
        try:
            return _StoredRows(self.storage, path)
        except _UNUSABLE:
            pass
        made = make()
        if made is None:
            return None
        try:
            self.storage.write(path, made.to_bytes())
            return _StoredRows(self.storage, path)
        except _UNUSABLE:  # a full disk, say, or another run has removed it: no reason not to score
            return made

    def keep(self, used: Mapping[tuple[str, date], str], since: date) -> None:
        """Remove copies that no run reads any more: of days before ``since``, and of former states of the day files.

        Args:
            used: (name, day) -> seal of the copies that this run reads.
            since: the first day that a run reads.
        """
        for file in self.storage.names(self.folder):
            name, _, rest = file.removesuffix(SUFFIX).partition(".")
            day, _, seal = rest.partition(".")
            try:
                former = date.fromisoformat(day) < since
                former |= used.get((name, date.fromisoformat(day)), seal) != seal
            except ValueError:
                continue  # not ours
            if former:
                self.storage.remove(f"{self.folder}/{file}")


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=DIGEST_BYTES).digest()
