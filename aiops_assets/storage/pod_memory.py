"""What scoring keeps of pods between two runs: arrays in a file for each model and part of the pods.

``scores/cluster=<cluster>/memory/<model>-<part>.arrays`` is a digest of what follows, the length of a JSON header, the
header, and the arrays' bytes. It is a cache: whatever is wrong with a file, it is as if it were not there, and is
replaced by the next run.
"""

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from aiops_assets.errors import NotFoundError
from aiops_assets.storage.storage import Storage
from aiops_assets.timeseries.schema import DIGEST_BYTES

FORMAT = 2
LENGTH_BYTES = 8
ALIGNED = 8
"""Each array begins at a multiple of so many bytes."""
KINDS = "biuf"
"""Flags and numbers alone: an array of objects would be a pickle."""
SUFFIX = ".arrays"
Arrays = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class PodMemory:
    """The memory of some pods.

    Attributes:
        of: what it was made by: version of the model, digests of its manifest and of the code.
        until: the newest row that it knows, Unix microseconds.
        pods: the pods, or what else is remembered, in the order of the arrays' first axis.
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
        self._written: set[str] = set()

    def read(self, model: str, part: int) -> PodMemory | None:
        """The memory of a part of the pods, with arrays that must not be written; ``None``: none can be read."""
        try:
            data = self.storage.read(self._path(model, part))
            content = memoryview(data)[DIGEST_BYTES:]
            if _digest(content) != data[:DIGEST_BYTES]:
                return None
            begin = LENGTH_BYTES + int.from_bytes(content[:LENGTH_BYTES], "little")
            header = json.loads(bytes(content[LENGTH_BYTES:begin]))
            if header["format"] != FORMAT:
                return None
            arrays = {}
            for name, kind, shape in header["arrays"]:
                dtype, begin = np.dtype(kind), _aligned(begin)
                if dtype.kind not in KINDS or shape[0] != len(header["pods"]):
                    return None
                n = int(np.prod(shape))
                arrays[str(name)] = np.frombuffer(content, dtype, n, begin).reshape(shape)
                begin += n * dtype.itemsize
            of = {str(name): str(value) for name, value in header["of"].items()}
            return PodMemory(of, int(header["until"]), tuple(map(str, header["pods"])), arrays)
        except (NotFoundError, ValueError, KeyError, TypeError, AttributeError, IndexError):
            return None

    def write(self, model: str, part: int, memory: PodMemory) -> None:
        """Replace the memory of a part of the pods, atomically."""
        arrays = {name: np.ascontiguousarray(array) for name, array in memory.arrays.items()}
        document = {
            "format": FORMAT,
            "of": dict(memory.of),
            "until": memory.until,
            "pods": memory.pods,
            "arrays": [(name, array.dtype.str, array.shape) for name, array in arrays.items()],
        }
        header = json.dumps(document).encode()
        pieces: list[bytes | memoryview] = [len(header).to_bytes(LENGTH_BYTES, "little"), header]
        size = LENGTH_BYTES + len(header)
        for array in arrays.values():
            pieces += [bytes(_aligned(size) - size), array.reshape(-1).view(np.uint8).data]
            size = _aligned(size) + array.nbytes
        digest = hashlib.blake2b(digest_size=DIGEST_BYTES)
        for piece in pieces:
            digest.update(piece)
        self.storage.write(self._path(model, part), b"".join([digest.digest(), *pieces]))
        self._written.add(self._name(model, part))

    def forget_others(self, kept: Collection[str]) -> list[str]:
        """Remove files that were not written since the last call: of models that are gone, and of parts without a pod.

        Whoever still needed one, another run of other models say, makes it again.

        Args:
            kept: models of which no file is removed: those that could not be asked this time.

        Returns:
            names of the removed files.
        """
        names = [name for name in self.storage.names(self.folder) if name.endswith(SUFFIX)]
        gone = [name for name in names if name not in self._written and name.rpartition("-")[0] not in kept]
        for name in gone:
            self.storage.remove(f"{self.folder}/{name}")
        self._written.clear()
        return gone

    def _path(self, model: str, part: int) -> str:
        return f"{self.folder}/{self._name(model, part)}"

    def _name(self, model: str, part: int) -> str:
        return f"{model}-{part:02d}{SUFFIX}"


def _aligned(position: int) -> int:
    """The next multiple of ALIGNED."""
    return -(-position // ALIGNED) * ALIGNED


def _digest(data: bytes | memoryview) -> bytes:
    return hashlib.blake2b(data, digest_size=DIGEST_BYTES).digest()
