"""Copies of a day's rows are read in parts; a copy with a fault counts as missing."""

from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from aiops_assets.errors import IntegrityError, NotFoundError, StoreError
from aiops_assets.storage.day_rows import LENGTH_BYTES, DayRows, HeldRows, RowCopies
from aiops_assets.storage.storage import LocalStorage, ObjectStorage, Storage
from aiops_assets.timeseries.schema import DIGEST_BYTES

DAY = date(2026, 11, 1)
ROWS = HeldRows(
    {2: ("a", "b"), 7: ("ns/c",)}, {2: np.array([[1.0, np.nan, 3.0], [4.0, 5.0, 6.0]]), 7: np.array([[0.1, 0.2, 0.3]])}
)


class Made:
    """Makes the rows, and counts how often."""

    def __init__(self) -> None:
        self.n = 0

    def __call__(self) -> HeldRows:
        self.n += 1
        return ROWS


@pytest.fixture(params=["folder", "bucket"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    if request.param == "folder":
        return LocalStorage(tmp_path)
    from obstore.store import MemoryStore

    return ObjectStorage(MemoryStore(), "memory://bucket")


def assert_same(found: DayRows | None) -> None:
    assert found
    assert found.names == ROWS.names
    for part in ROWS.names:
        np.testing.assert_array_equal(found.part(part), ROWS.part(part))


def test_rows_are_made_once_and_read_by_parts(storage: Storage) -> None:
    make = Made()
    for _ in range(2):
        assert_same(RowCopies(storage, "prod").day("cpu", DAY, "seal", make))
    assert make.n == 1


def test_another_state_of_the_day_file_has_another_copy_and_the_former_one_is_removed(storage: Storage) -> None:
    copies, make = RowCopies(storage, "prod"), Made()
    for name, day, seal in (
        ("cpu", DAY, "old"),
        ("cpu", DAY, "new"),
        ("other", DAY, "x"),
        ("cpu", date(2026, 9, 1), "y"),
    ):
        copies.day(name, day, seal, make)
    assert make.n == 4
    storage.write(f"{copies.folder}/notes.txt", b"not ours")
    copies.keep({("cpu", DAY): "new"}, since=DAY)
    kept = ["cpu.2026-11-01.new.rows", "notes.txt", "other.2026-11-01.x.rows"]
    assert storage.names(copies.folder) == kept
    copies.keep({("cpu", DAY): "new"}, since=DAY)  # a second run at the same time
    assert storage.names(copies.folder) == kept


def _cut(data: bytes) -> bytes:
    return data[:-9]


def _nothing(data: bytes) -> bytes:
    return b""


def _long(data: bytes, length: int) -> bytes:
    return data[:DIGEST_BYTES] + length.to_bytes(LENGTH_BYTES, "little") + data[DIGEST_BYTES + LENGTH_BYTES :]


@pytest.mark.parametrize("change", [
    lambda data: _long(data, 2**64 - 1),
    lambda data: _long(data, 1 << 40),
    lambda data: data[:0],
    lambda data: data[: DIGEST_BYTES + LENGTH_BYTES],
])  # fmt: skip
def test_a_damaged_length_and_a_file_that_ends_early_are_made_again(
    storage: Storage, change: Callable[[bytes], bytes]
) -> None:
    copies, make = RowCopies(storage, "prod"), Made()
    copies.day("cpu", DAY, "seal", make)
    (name,) = storage.names(copies.folder)
    storage.write(f"{copies.folder}/{name}", change(storage.read(f"{copies.folder}/{name}")))
    assert_same(copies.day("cpu", DAY, "seal", make))
    assert make.n == 2


@pytest.mark.parametrize("change", [_cut, _nothing, *(lambda d, i=i: d[:i] + bytes([d[i] ^ 1]) + d[i + 1 :] for i in
                                    (0, 17, 30, -1, -30))])  # fmt: skip
def test_a_damaged_copy_is_made_again_or_says_so(tmp_path: Path, change: Callable[[bytes], bytes]) -> None:
    copies, make = RowCopies(LocalStorage(tmp_path), "prod"), Made()
    copies.day("cpu", DAY, "seal", make)
    (path,) = tmp_path.rglob("*.rows")
    path.write_bytes(change(path.read_bytes()))
    found = copies.day("cpu", DAY, "seal", make)
    assert found
    if make.n == 2:  # the header
        assert_same(found)
        return
    with pytest.raises(IntegrityError):
        [found.part(part) for part in found.names]


def test_a_copy_that_another_run_removes_is_not_found(tmp_path: Path) -> None:
    found = RowCopies(LocalStorage(tmp_path), "prod").day("cpu", DAY, "seal", Made())
    assert found
    next(iter(tmp_path.rglob("*.rows"))).unlink()
    with pytest.raises(NotFoundError):
        found.part(2)


def test_where_nothing_can_be_written_rows_are_there_all_the_same(tmp_path: Path) -> None:
    class Full(LocalStorage):
        def write(self, path: str, data: bytes) -> None:
            raise StoreError("the disk is full")

    assert_same(RowCopies(Full(tmp_path), "prod").day("cpu", DAY, "seal", Made()))
