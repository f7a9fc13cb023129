import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from obstore.store import MemoryStore

from aiops_assets.errors import ConflictError, NotFoundError, StoreError
from aiops_assets.storage.storage import LocalStorage, ObjectStorage, Storage, open_storage


@pytest.fixture(params=["local", "bucket"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    return LocalStorage(tmp_path / "root") if request.param == "local" else ObjectStorage(MemoryStore(), "memory://")


def test_what_was_written_is_read(storage: Storage) -> None:
    storage.write("a/b/file", b"one")
    storage.write("a/b/file", b"two")
    assert storage.read("a/b/file") == b"two"
    assert storage.exists("a/b/file")
    assert not storage.exists("a/b/other")
    assert storage.names("a") == ["b"]
    assert storage.names("a/b") == ["file"]
    assert storage.names("nowhere") == []


@pytest.mark.parametrize("path", ["nothing", "no/such/folder"])
def test_what_is_not_there_says_so(storage: Storage, path: str) -> None:
    with pytest.raises(NotFoundError, match=path):
        storage.read(path)


def test_a_directory_is_committed_once(storage: Storage) -> None:
    storage.commit_directory("m/1", {"model": b"x", "manifest": b"y"}, last="manifest")
    assert storage.names("m/1") == ["manifest", "model"]
    with pytest.raises(ConflictError, match="exists"):
        storage.commit_directory("m/1", {"model": b"other", "manifest": b"other"}, last="manifest")
    assert storage.read("m/1/model") == b"x"
    assert storage.names("m") == ["1"]


def test_compare_and_swap(storage: Storage) -> None:
    storage.compare_and_swap("record", None, b"1")
    with pytest.raises(ConflictError):
        storage.compare_and_swap("record", None, b"2")
    with pytest.raises(ConflictError):
        storage.compare_and_swap("record", b"0", b"2")
    storage.compare_and_swap("record", b"1", b"2")
    assert storage.read("record") == b"2"


def test_of_many_writers_one_wins(storage: Storage) -> None:
    storage.write("record", b"start")
    barrier, outcomes = threading.Barrier(8), []

    def swap(i: int) -> None:
        barrier.wait()
        try:
            storage.compare_and_swap("record", b"start", f"writer {i}".encode())
            outcomes.append(i)
        except ConflictError:
            pass

    threads = [threading.Thread(target=swap, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(outcomes) == 1
    assert storage.read("record") == f"writer {outcomes[0]}".encode()


def test_a_reader_never_sees_a_part_of_a_directory(tmp_path: Path) -> None:
    storage, stop = LocalStorage(tmp_path), threading.Event()
    seen: set[int] = set()

    def look() -> None:
        while not stop.is_set():
            seen.update(len(storage.names(f"m/{i}")) for i in range(30))

    reader = threading.Thread(target=look)
    reader.start()
    files = {f"f{i}": b"x" * 1000 for i in range(10)}
    for i in range(30):
        storage.commit_directory(f"m/{i}", files, last="f9")
    stop.set()
    reader.join()
    assert seen <= {0, 10}


def test_what_a_killed_writer_left_is_swept_and_a_living_one_is_not(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    script = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from aiops_assets.storage import storage\n"
        "storage.write_synced = lambda path, data, dated_back: os._exit(9)\n"
        "storage.LocalStorage(Path(sys.argv[1])).commit_directory('m/1', {'a': b'x'}, last='a')\n"
    )
    assert subprocess.run([sys.executable, "-c", script, str(tmp_path)]).returncode == 9
    (left,) = (tmp_path / "m").glob(".staging-*")
    os.utime(left, (time.time() - 5, time.time() - 5))
    assert storage.names("m") == []
    storage.commit_directory("m/1", {"a": b"x"}, last="a")
    assert [p.name for p in (tmp_path / "m").iterdir()] == ["1"]


def test_old_leftovers_are_swept_and_young_ones_are_not(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    storage.write("m/record", b"good")
    for name, age in ((".record.1.tmp", 10_000), (".record.2.tmp", 0)):
        (tmp_path / "m" / name).write_bytes(b"half")
        then = time.time() - age
        os.utime(tmp_path / "m" / name, (then, then))
    storage.sweep("m")
    assert sorted(p.name for p in (tmp_path / "m").iterdir()) == [".record.2.tmp", "record"]


@pytest.mark.needs("tmpfs")
def test_a_full_disk_is_named_and_nothing_is_lost(small_disk: Path) -> None:
    storage = LocalStorage(small_disk)
    storage.commit_directory("m/1", {"model": b"x" * 1000, "manifest": b"y"}, last="manifest")
    storage.write("record", b"good")
    big = b"x" * 100_000
    with pytest.raises(StoreError, match="disk is full"):
        storage.commit_directory("m/2", {"model": big, "manifest": b"y"}, last="manifest")
    with pytest.raises(StoreError, match="disk is full"):
        storage.write("record", big)
    with pytest.raises(StoreError, match="disk is full"):
        storage.compare_and_swap("record", b"good", big)
    assert storage.read("record") == b"good"
    assert storage.names("m") == ["1"]
    left = [p.name for p in small_disk.rglob("*") if p.name.endswith(".tmp") or p.name.startswith(".staging")]
    assert left == []
    storage.write("record", b"better")


@pytest.mark.parametrize("root", ["/proc/nowhere", "/dev/null/below"])
def test_an_unwritable_root_is_named(root: str) -> None:
    with pytest.raises(StoreError, match=f"{root}.*set AIOPS_HOME or MODEL_ROOT elsewhere"):
        LocalStorage(Path(root)).write("x", b"")


def test_urls(tmp_path: Path) -> None:
    assert isinstance(open_storage(tmp_path), LocalStorage)
    assert open_storage(f"file://{tmp_path}").locate("a") == f"{tmp_path}/a"
    bucket = open_storage("s3://bucket/models")
    assert isinstance(bucket, ObjectStorage)
    assert bucket.locate("a/1") == "s3://bucket/models/a/1"
    assert bucket.local_path("a") is None
