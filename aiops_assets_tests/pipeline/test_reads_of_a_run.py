"""What a run of the whole graph in one process reads, hashes and unpickles: everything once."""

import shutil
from functools import partial
from pathlib import Path

import pytest

from aiops_assets_tests.conftest import FEW, make_settings
from aiops_assets_tests.pipeline.counted_reads import Counts, counted, files_of, sets_of
from aiops_assets_tests.pipeline.graph import champion, run

small = partial(make_settings, TRAINING_DAYS="3", N_SAMPLES="1000", MODELS=",".join(FEW))


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Counts]:
    home = tmp_path_factory.mktemp("first")
    with counted(home) as counts:
        assert run(small(home)).success
    return home, counts


@pytest.mark.long
def test_a_first_run_reads_hashes_and_unpickles_each_model_and_training_set_once(first: tuple[Path, Counts]) -> None:
    home, counts = first
    settings = small(home)
    assert [champion(settings, name) for name in FEW] == [1, 1]
    files = files_of(settings, FEW, 1)
    assert counts.read == dict.fromkeys([*files, *sets_of(settings, FEW, 1)], 1)
    assert {digest: counts.hashed[digest] for digest in files.values()} == dict.fromkeys(files.values(), 1)
    assert counts.unpickled == dict.fromkeys(files.values(), 1)


@pytest.mark.long
def test_a_run_beside_champions_reads_theirs_once_as_well(first: tuple[Path, Counts], tmp_path: Path) -> None:
    # At another place nothing is known of the champions yet, as in another process.
    home = tmp_path / "home"
    shutil.copytree(first[0], home, symlinks=True)
    settings = small(home, RANDOM_SEED="44")
    with counted(home) as counts:
        assert run(settings).success
    files = files_of(settings, FEW, 1) | files_of(settings, FEW, 2)
    assert counts.read == dict.fromkeys([*files, *sets_of(settings, FEW, 1), *sets_of(settings, FEW, 2)], 1)
    assert {digest: counts.hashed[digest] for digest in files.values()} == dict.fromkeys(files.values(), 1)
    assert set(files.values()) <= counts.unpickled.keys()
    assert set(counts.unpickled.values()) == {1}


@pytest.mark.long
def test_a_run_that_has_nothing_to_do_reads_champions_once(first: tuple[Path, Counts], tmp_path: Path) -> None:
    home = tmp_path / "home"
    shutil.copytree(first[0], home, symlinks=True)
    settings = small(home)
    with counted(home) as counts:
        assert run(settings).success
    files = files_of(settings, FEW, 1)
    assert counts.read == dict.fromkeys([*files, *sets_of(settings, FEW, 1)], 1)
    assert counts.unpickled == dict.fromkeys(files.values(), 1)
