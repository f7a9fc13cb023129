"""How often a run reads, hashes and unpickles model files and training sets."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from aiops_assets.families.catalog import MODELS
from aiops_assets.pipeline.resources import stores_of
from aiops_assets.settings import Settings
from aiops_assets.storage import digests
from aiops_assets.storage.records import sha256
from aiops_assets.storage.storage import LocalStorage
from aiops_assets.storage.training_sets import ROWS

FAMILIES = {type(spec.family) for spec in MODELS}
MODEL_FILES = {spec.family.model_file for spec in MODELS}


class Counts:
    """How often each model file and training set was read, by path below the home, and hashed and unpickled, by digest.

    Attributes:
        read, hashed, unpickled: the counts.
    """

    def __init__(self) -> None:
        self.read: Counter[str] = Counter()
        self.hashed: Counter[str] = Counter()
        self.unpickled: Counter[str] = Counter()


@contextmanager
def counted(home: Path) -> Iterator[Counts]:
    """Counts of what happens in the block."""
    counts = Counts()
    read, read_own, hashed = LocalStorage.read, LocalStorage.read_own, digests.sha256

    def count(storage: LocalStorage, path: str) -> None:
        if path.rpartition("/")[2] in {ROWS, *MODEL_FILES}:
            counts.read[(storage.root / path).relative_to(home).as_posix()] += 1

    def count_read(self: LocalStorage, path: str) -> bytes:
        count(self, path)
        return read(self, path)

    def count_read_own(self: LocalStorage, path: str, most: int) -> bytes:
        count(self, path)
        return read_own(self, path, most)

    def count_hashed(data: bytes) -> str:
        digest = hashed(data)
        counts.hashed[digest] += 1
        return digest

    def counting(from_bytes: Callable[[Any, bytes], Any]) -> Callable[[Any, bytes], Any]:
        def count_unpickled(self: Any, data: bytes) -> Any:
            counts.unpickled[sha256(data)] += 1
            return from_bytes(self, data)

        return count_unpickled

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(LocalStorage, "read", count_read)
        patched.setattr(LocalStorage, "read_own", count_read_own)
        patched.setattr(digests, "sha256", count_hashed)
        for family in FAMILIES:
            patched.setattr(family, "from_bytes", counting(family.from_bytes))
        yield counts


def files_of(settings: Settings, names: Sequence[str], version: int) -> dict[str, str]:
    """Model file below the home -> its digest, of one version of each model."""
    served = stores_of(settings).served()
    return {
        f"models/{name}/{version}/{file}": digest
        for name in names
        for file, digest in served.manifest(name, version).files.items()
    }


def sets_of(settings: Settings, names: Sequence[str], version: int) -> set[str]:
    """Rows below the home that one version of each model was fitted on."""
    manifests = [stores_of(settings).served().manifest(name, version) for name in names]
    sets = stores_of(settings).training_sets()
    return {f"{sets.path(manifest.view, manifest.data_version)}/{ROWS}" for manifest in manifests}
