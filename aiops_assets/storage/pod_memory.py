"""What scoring keeps of pods between two runs: arrays in a file for each model and part of the pods.

``scores/cluster=<cluster>/memory/<model>-<part>.arrays`` is a digest of what follows, and an archive of plain arrays
(npz) with a JSON header as bytes. It is a cache: whatever is wrong with a file, it is as if it were not there, and is
replaced by the next run.
"""

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from aiops_assets.errors import NotFoundError
from aiops_assets.storage.storage import Storage
from aiops_assets.timeseries.schema import DIGEST_BYTES

FORMAT = 1
HEADER = "header"
Arrays = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class PodMemory:
    """The memory of some pods.

    Attributes:
        of: what it was made by: version of the model, digests of its manifest and of the code.
        until: the newest row that it knows, Unix microseconds.
        pods: the pods, in the order of the arrays' first axis.
        arrays: name -> array of numbers or flags.
    """

    of: Mapping[str, str]
    until: int
    pods: tuple[str, ...]
    arrays: Arrays


class PodMemories:
    """The files of one cluster."""

    def __init__(self, storage: Storage, cluster: str) -> None:
        """Look at the files of a cluster."""
        self.storage = storage
        self.folder = f"scores/cluster={cluster}/memory"

    def read(self, model: str, part: int) -> PodMemory | None:
        """The memory of a part of the pods; ``None``: there is none that can be read."""
        try:
            data = self.storage.read(self._path(model, part))
            if _digest(data[DIGEST_BYTES:]) != data[:DIGEST_BYTES]:
                return None
            with np.load(io.BytesIO(data[DIGEST_BYTES:]), allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files}
            header = json.loads(arrays.pop(HEADER).tobytes())
            pods = tuple(map(str, header["pods"]))
            of = {str(name): str(value) for name, value in header["of"].items()}
            whole = header["format"] == FORMAT and all(len(array) == len(pods) for array in arrays.values())
            return PodMemory(of, int(header["until"]), pods, arrays) if whole else None
        except (NotFoundError, zipfile.BadZipFile, OSError, EOFError, ValueError, KeyError, TypeError, AttributeError):
            return None

    def write(self, model: str, part: int, memory: PodMemory) -> None:
        """Replace the memory of a part of the pods, atomically."""
        header = {"format": FORMAT, "of": dict(memory.of), "until": memory.until, "pods": memory.pods}
        sink = io.BytesIO()
        encoded = np.frombuffer(json.dumps(header).encode(), dtype=np.uint8)
        np.savez(sink, allow_pickle=False, **{HEADER: encoded, **memory.arrays})
        data = sink.getvalue()
        self.storage.write(self._path(model, part), _digest(data) + data)

    def _path(self, model: str, part: int) -> str:
        return f"{self.folder}/{model}-{part:02d}.arrays"


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=DIGEST_BYTES).digest()
