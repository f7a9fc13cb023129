"""Stored memories of pods: read back as written, or treated as missing when anything is wrong with the file."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from aiops_assets.storage.pod_memory import PodMemories, PodMemory
from aiops_assets.storage.scores import Scores
from aiops_assets.storage.storage import LocalStorage

MEMORY = PodMemory(
    {"version": "3"}, 17, ("a", "b"), {"x": np.array([[1.0, np.nan], [2.0, 3.0]]), "y": np.ones(2, bool)}
)


@pytest.fixture
def memories(tmp_path: Path) -> PodMemories:
    found = PodMemories(LocalStorage(tmp_path), "prod")
    found.write("m", 4, MEMORY)
    return found


def test_a_memory_is_read_as_it_was_written(memories: PodMemories) -> None:
    found = memories.read("m", 4)
    assert found
    assert (found.of, found.until, found.pods) == (MEMORY.of, MEMORY.until, MEMORY.pods)
    assert found.arrays.keys() == MEMORY.arrays.keys()
    for name, array in MEMORY.arrays.items():
        np.testing.assert_array_equal(found.arrays[name], array)
        assert found.arrays[name].dtype == array.dtype
    assert memories.read("m", 5) is None
    assert memories.read("other", 4) is None


def test_a_cut_file_and_one_with_a_changed_byte_are_as_none(memories: PodMemories, tmp_path: Path) -> None:
    (path,) = tmp_path.rglob("*.arrays")
    data = path.read_bytes()
    for at in range(0, len(data), 5):
        for damaged in (data[:at], data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1 :]):
            path.write_bytes(damaged)
            assert memories.read("m", 4) is None


@pytest.mark.parametrize(("kind", "shape"), [("|O", [2]), ("<M8[us]", [2]), ("<f8", [3]), ("<f8", [2, 9]), ("?", 2)])
def test_arrays_of_objects_of_other_lengths_or_beyond_the_end_are_not_read(
    memories: PodMemories, tmp_path: Path, kind: str, shape: object
) -> None:
    (path,) = tmp_path.rglob("*.arrays")
    document = {"format": 2, "of": {}, "until": 1, "pods": ["a", "b"], "arrays": [["x", kind, shape]]}
    header = json.dumps(document).encode()
    content = len(header).to_bytes(8, "little") + header + bytes(40)
    path.write_bytes(hashlib.blake2b(content, digest_size=16).digest() + content)
    assert memories.read("m", 4) is None


def test_files_that_a_run_did_not_write_are_removed_but_those_of_models_that_could_not_be_asked(
    memories: PodMemories, tmp_path: Path
) -> None:
    for model, part in (("gone", 1), ("left-out", 2), ("m", 9)):
        memories.write(model, part, MEMORY)
    later = PodMemories(LocalStorage(tmp_path), "prod")
    later.write("m", 4, MEMORY)
    (tmp_path / later.folder / "notes.txt").write_text("not ours")
    assert later.forget_others({"left-out"}) == ["gone-01.arrays", "m-09.arrays"]
    assert [later.read(*one) is not None for one in (("gone", 1), ("left-out", 2), ("m", 9), ("m", 4))] == [
        False,
        True,
        False,
        True,
    ]
    assert (tmp_path / later.folder / "notes.txt").exists()
    # A second writer that has just removed, or written, the same.
    assert PodMemories(LocalStorage(tmp_path), "prod").forget_others({"left-out", "m"}) == []
    assert memories.read("m", 4)


def test_runs_of_scores_beside_it_are_not_disturbed(memories: PodMemories, tmp_path: Path) -> None:
    assert Scores(LocalStorage(tmp_path), "prod").names() == []
