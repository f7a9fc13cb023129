"""What the page decision keeps between two runs: its state, and the pages of the newest hour.

``scores/cluster=<cluster>/pages/<kind>.npz`` is an archive of plain arrays. It is a cache: whatever is wrong with a
file, it is as if it were not there, and levels are learnt anew from the days that the lake holds.
"""

import io
import json
import zipfile
from dataclasses import dataclass
from functools import partial

import numpy as np

from aiops_assets.errors import NotFoundError
from aiops_assets.storage.storage import Storage

FORMAT = 1


@dataclass(frozen=True)
class PageState:
    """What one kind of entities left behind.

    Attributes:
        until: the newest instant that was judged, Unix seconds.
        pager: the state of its pager.
        pages: (Unix seconds, entity, workload, metric) of each page of the last hour before ``until``.
    """

    until: int
    pager: bytes
    pages: tuple[tuple[int, str, str, str], ...]


class PageStates:
    """The states of one cluster."""

    def __init__(self, storage: Storage, cluster: str) -> None:
        """Look at the files of a cluster."""
        self.storage = storage
        self.folder = f"scores/cluster={cluster}/pages"

    def read(self, kind: str) -> PageState | None:
        """The state of a kind of entities; ``None``: there is none that can be read."""
        try:
            data = self.storage.read(self._path(kind))
            with np.load(io.BytesIO(data), allow_pickle=False) as archive:
                header, pager = json.loads(archive["header"].tobytes()), archive["pager"].tobytes()
            pages = tuple((int(at), str(who), str(whose), str(what)) for at, who, whose, what in header["pages"])
            return PageState(int(header["until"]), pager, pages) if header["format"] == FORMAT else None
        except (NotFoundError, zipfile.BadZipFile, OSError, EOFError, ValueError, KeyError, TypeError):
            return None

    def write(self, kind: str, state: PageState) -> None:
        """Replace the state of a kind of entities, atomically."""
        header = json.dumps({"format": FORMAT, "until": state.until, "pages": state.pages}).encode()
        sink = io.BytesIO()
        as_bytes = partial(np.frombuffer, dtype=np.uint8)
        np.savez(sink, header=as_bytes(header), pager=as_bytes(state.pager))
        self.storage.write(self._path(kind), sink.getvalue())

    def _path(self, kind: str) -> str:
        return f"{self.folder}/{kind}.npz"
