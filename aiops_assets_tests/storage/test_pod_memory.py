"""Stored memories of pods: read back as written, or treated as missing when anything is wrong with the file."""

import hashlib
import io
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


def test_arrays_of_objects_are_not_read(memories: PodMemories, tmp_path: Path) -> None:
    (path,) = tmp_path.rglob("*.arrays")
    sink = io.BytesIO()
    np.savez(sink, header=np.array([{"format": 1}], dtype=object))
    path.write_bytes(hashlib.blake2b(sink.getvalue(), digest_size=16).digest() + sink.getvalue())
    assert memories.read("m", 4) is None


def test_runs_of_scores_beside_it_are_not_disturbed(memories: PodMemories, tmp_path: Path) -> None:
    assert Scores(LocalStorage(tmp_path), "prod").names() == []
