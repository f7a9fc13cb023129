"""Digests that are remembered: a file is read again when it is not the one that was hashed, and only then."""

import os
from pathlib import Path

import pytest
from obstore.store import MemoryStore

from aiops_assets.errors import NotFoundError
from aiops_assets.storage.digests import digest_of, read_hashed
from aiops_assets.storage.records import sha256
from aiops_assets.storage.remembered import Remembered
from aiops_assets.storage.storage import LocalStorage, ObjectStorage, Storage


@pytest.fixture(params=["local", "bucket"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    return LocalStorage(tmp_path) if request.param == "local" else ObjectStorage(MemoryStore(), "memory://digests")


def test_a_file_is_read_once_and_again_when_it_was_written(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    reads, read = list[str](), type(storage).read

    def noted(self: Storage, path: str) -> bytes:
        if self is storage:  # a service of another test may still be looking for champions
            reads.append(path)
        return read(self, path)

    monkeypatch.setattr(type(storage), "read", noted)
    storage.write("a", b"one")
    assert read_hashed(storage, "a") == (b"one", sha256(b"one"))
    assert [digest_of(storage, "a") for _ in range(3)] == [sha256(b"one")] * 3
    assert reads == ["a"]
    storage.write("a", b"two")
    assert [digest_of(storage, "a") for _ in range(3)] == [sha256(b"two")] * 3
    assert reads == ["a", "a"]
    storage.remove("a")
    with pytest.raises(NotFoundError):
        digest_of(storage, "a")


def test_a_byte_that_is_changed_in_place_at_once_is_noticed(tmp_path: Path) -> None:
    storage, path = LocalStorage(tmp_path), tmp_path / "a"
    for i in range(50):
        path.write_bytes(b"good")
        before = path.stat()
        assert digest_of(storage, "a") == sha256(b"good"), i
        with path.open("r+b") as file:
            file.write(b"evil")
        # Whoever hides a change sets the time of the content back; that of the inode cannot be set.
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert digest_of(storage, "a") == sha256(b"evil"), i


def test_a_file_dated_by_another_clock_is_read_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = LocalStorage(tmp_path)
    storage.write("a", b"one")
    monkeypatch.setattr("aiops_assets.storage.storage.time.time", lambda: 0.0)
    assert storage.signature("a") == ""
    assert digest_of(storage, "a") == sha256(b"one")


def test_what_was_used_longest_ago_is_dropped() -> None:
    kept: Remembered[int, str] = Remembered(most=2)
    kept.put(1, "one")
    kept.put(2, "two")
    assert kept.get(1) == "one"
    assert kept.get_or_make(3, lambda: "three") == "three"
    assert [kept.get(key) for key in (1, 2, 3)] == ["one", None, "three"]
    assert kept.get_or_make(3, lambda: "another") == "three"
