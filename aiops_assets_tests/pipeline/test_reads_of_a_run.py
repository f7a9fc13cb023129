"""What a run of the whole graph in one process reads, hashes and unpickles: everything once."""

import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
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
from aiops_assets_tests.conftest import make_settings
from aiops_assets_tests.pipeline.graph import champion, newest, run

NAMES = ("anomaly-detector", "ensemble-predictor", "predictive-analytics")
"""Of three views; the last one has a warm start, for which its fit loads the champion."""
SPECS = [spec for spec in MODELS if spec.name in NAMES]
MODEL_FILES = {spec.family.model_file for spec in SPECS}
small = partial(make_settings, TRAINING_DAYS="5", N_SAMPLES="500", TRAINING_PODS="20", MODELS=",".join(NAMES))


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
    read, hashed = LocalStorage.read, digests.sha256

    def count_read(self: LocalStorage, path: str) -> bytes:
        if path.rpartition("/")[2] in {ROWS, *MODEL_FILES}:
            counts.read[(self.root / path).relative_to(home).as_posix()] += 1
        return read(self, path)

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
        patched.setattr(digests, "sha256", count_hashed)
        for spec in SPECS:
            patched.setattr(type(spec.family), "from_bytes", counting(type(spec.family).from_bytes))
        yield counts


def files_of(settings: Settings, version: int) -> dict[str, str]:
    """Model file below the home -> its digest, of one version of each model."""
    served = stores_of(settings).served()
    return {
        f"models/{name}/{version}/{file}": digest
        for name in NAMES
        for file, digest in served.manifest(name, version).files.items()
    }


def sets_of(settings: Settings, version: int) -> set[str]:
    """Rows below the home that one version of each model was fitted on."""
    manifests = [stores_of(settings).served().manifest(name, version) for name in NAMES]
    sets = stores_of(settings).training_sets()
    return {f"{sets.path(manifest.view, manifest.data_version)}/{ROWS}" for manifest in manifests}


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Counts]:
    home = tmp_path_factory.mktemp("first")
    with counted(home) as counts:
        assert run(small(home)).success
    return home, counts


def test_a_first_run_reads_hashes_and_unpickles_each_model_and_training_set_once(first: tuple[Path, Counts]) -> None:
    home, counts = first
    settings = small(home)
    assert [champion(settings, name) for name in NAMES] == [1, 1, 1]
    files = files_of(settings, 1)
    assert counts.read == dict.fromkeys([*files, *sets_of(settings, 1)], 1)
    assert {digest: counts.hashed[digest] for digest in files.values()} == dict.fromkeys(files.values(), 1)
    assert counts.unpickled == dict.fromkeys(files.values(), 1)


def test_a_run_beside_champions_reads_theirs_once_as_well(first: tuple[Path, Counts], tmp_path: Path) -> None:
    # At another place nothing is known of the champions yet, as in another process.
    home = tmp_path / "home"
    shutil.copytree(first[0], home, symlinks=True)
    settings = small(home, SYNTHETIC_END="2026-11-03", RANDOM_SEED="43")
    with counted(home) as counts:
        assert run(settings).success
    assert newest(settings, NAMES[-1]).fit.startswith(("went on from version 1", "fitted anew: going on from version"))
    files = files_of(settings, 1) | files_of(settings, 2)
    assert counts.read == dict.fromkeys([*files, *sets_of(settings, 1), *sets_of(settings, 2)], 1)
    assert {digest: counts.hashed[digest] for digest in files.values()} == dict.fromkeys(files.values(), 1)
    assert set(files.values()) <= counts.unpickled.keys()
    assert set(counts.unpickled.values()) == {1}


def test_a_run_that_has_nothing_to_do_reads_champions_once(first: tuple[Path, Counts], tmp_path: Path) -> None:
    home = tmp_path / "home"
    shutil.copytree(first[0], home, symlinks=True)
    settings = small(home)
    with counted(home) as counts:
        assert run(settings).success
    files = files_of(settings, 1)
    assert counts.read == dict.fromkeys([*files, *sets_of(settings, 1)], 1)
    assert counts.unpickled == dict.fromkeys(files.values(), 1)
