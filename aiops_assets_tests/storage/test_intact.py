"""Day files that are known to be as they were written are not read, and those that were written since are."""

import os
import shutil
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

import pandas as pd
import pytest

from aiops_assets.errors import IntegrityError
from aiops_assets.storage import intact
from aiops_assets.storage.lake import Lake
from aiops_assets.storage.lake_files import StoredDay, remove, stored_days
from aiops_assets.storage.remembered import Remembered
from aiops_assets.storage.storage import LocalStorage
from aiops_assets.timeseries.catalog import POD_CPU, POD_MEMORY, MetricSpec
from aiops_assets_tests.raising import raises

DAY, END = date(2026, 10, 31), datetime(2026, 11, 1, tzinfo=UTC)
METRICS = (POD_CPU, POD_MEMORY)


class Counted(LocalStorage):
    """A folder that counts the Parquet files that are read."""

    reads: int = 0

    def read(self, path: str) -> bytes:
        self.reads += path.endswith(".parquet")
        return super().read(path)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    found = Lake(Counted(tmp_path), "c")
    for metric in METRICS:
        _store(found, metric, 0.25)
    found.intact.save()
    return found


def _store(lake: Lake, metric: MetricSpec, value: float) -> None:
    times = pd.date_range(DAY, periods=1440, freq="min", tz="UTC", unit="us", name="timestamp")
    wide = pd.DataFrame({'{"pod": "a"}': value}, index=times)
    lake.upsert_day(metric, DAY, wide, fetched=END, fetched_until=END, closed=True)


@pytest.fixture
def next_process(lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Lake]:
    """A lake of the same folder, of which this process knows only what is stored."""

    def begin() -> Lake:
        monkeypatch.setattr(intact, "_days", Remembered(9))
        return Lake(Counted(tmp_path), "c")

    return begin


def _reads(lake: Lake) -> int:
    assert isinstance(lake.storage, Counted)
    return lake.storage.reads


def _path(lake: Lake, metric: MetricSpec = POD_CPU) -> Path:
    path = lake.storage.local_path(lake._path(metric, DAY))
    assert path
    return path


def _flip(path: Path) -> None:
    """Change a byte in place: neither size nor inode differ."""
    with path.open("r+b") as file:
        file.seek(1000)
        byte = file.read(1)[0]
        file.seek(1000)
        file.write(bytes([byte ^ 1]))


def test_what_was_written_is_known_to_the_next_process_without_reading_it(next_process: Callable[[], Lake]) -> None:
    lake = next_process()
    seals = {lake.fingerprint(metric, DAY)[1] for metric in METRICS}
    assert (len(seals), _reads(lake)) == (2, 0)
    assert lake.verify_day(POD_CPU, DAY).samples == 1440


def test_the_metadata_and_the_seal_are_those_of_the_file(
    lake: Lake, next_process: Callable[[], Lake], tmp_path: Path
) -> None:
    known = next_process().fingerprint(POD_CPU, DAY)
    shutil.rmtree(tmp_path / lake.folder / "intact")
    assert next_process().fingerprint(POD_CPU, DAY) == known


def test_a_byte_changed_in_place_is_noticed_by_this_and_the_next_process(
    lake: Lake, next_process: Callable[[], Lake]
) -> None:
    _flip(_path(lake))
    for one in (lake, next_process()):
        with raises(IntegrityError, "damaged_day", day=DAY):
            one.verify_day(POD_CPU, DAY)


def test_a_byte_changed_at_once_after_the_write_is_noticed(lake: Lake) -> None:
    for i in range(30):
        _store(lake, POD_CPU, i / 100)
        _flip(_path(lake))
        with pytest.raises(IntegrityError):
            lake.verify_day(POD_CPU, DAY)


def test_another_file_in_its_place_is_noticed(lake: Lake, next_process: Callable[[], Lake]) -> None:
    path, other = _path(lake), _path(lake, POD_MEMORY)
    before = path.stat()
    seal = lake.fingerprint(POD_CPU, DAY)[1]
    shutil.copyfile(other, path.with_name("other"))
    os.utime(path.with_name("other"), ns=(before.st_atime_ns, before.st_mtime_ns))
    path.with_name("other").replace(path)
    assert next_process().fingerprint(POD_CPU, DAY)[1] != seal


def test_a_touched_file_is_read_again_and_then_known_again(lake: Lake, next_process: Callable[[], Lake]) -> None:
    seal = lake.fingerprint(POD_CPU, DAY)[1]
    _path(lake).touch()
    for reads in (1, 0):
        found = next_process()
        assert (found.fingerprint(POD_CPU, DAY)[1], _reads(found)) == (seal, reads)
        found.intact.save()


def _set_length(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


def _other_seal(path: Path) -> None:
    text = path.read_text()
    at = text.index('"seal"') + 10
    path.write_text(text[:at] + ("0" if text[at] != "0" else "1") + text[at + 1 :])


@pytest.mark.parametrize("harm", [Path.unlink, _set_length, _other_seal, _flip, lambda path: path.write_bytes(b"")])
def test_where_the_memory_is_damaged_the_files_are_read(
    lake: Lake, next_process: Callable[[], Lake], tmp_path: Path, harm: Callable[[Path], object]
) -> None:
    seal = lake.fingerprint(POD_CPU, DAY)[1]
    harm(tmp_path / lake.folder / "intact" / f"day={DAY}.json")
    found = next_process()
    assert (found.fingerprint(POD_CPU, DAY)[1], _reads(found)) == (seal, 1)


def test_who_reads_samples_checks_the_file_although_it_is_known(
    lake: Lake, next_process: Callable[[], Lake], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that corrupts a file without a write changes no signature."""
    signature = lake.storage.signature(lake._path(POD_CPU, DAY))
    _flip(_path(lake))
    monkeypatch.setattr(Counted, "signature", lambda storage, path: signature)
    found = next_process()
    assert found.verify_day(POD_CPU, DAY).closed
    for read in (found.read_day, found.count_samples, lambda metric, day: found.read_series(metric, day, bool)):
        with raises(IntegrityError, "damaged_day", day=DAY):
            read(POD_CPU, DAY)


def test_a_removed_day_leaves_nothing(lake: Lake, tmp_path: Path) -> None:
    days: list[StoredDay] = list(stored_days(lake))
    assert len(days) == len(METRICS)
    for day in days:
        remove(lake, day)
    assert [path for path in (tmp_path / lake.folder).rglob("*") if path.is_file()] == []
