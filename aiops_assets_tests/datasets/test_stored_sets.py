"""A stored training set whose files were removed, changed or corrupted is built again."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from pandas.testing import assert_frame_equal

from aiops_assets.errors import IntegrityError
from aiops_assets.storage import digests
from aiops_assets.storage import training_sets as stored_sets
from aiops_assets.storage.remembered import Remembered
from aiops_assets.storage.storage import LocalStorage
from aiops_assets.storage.training_sets import TrainingSets
from aiops_assets.views.catalog import POD_FEATURES
from aiops_assets_tests.datasets.reuse_home import make_home, take
from aiops_assets_tests.once import made_once


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return Path(shutil.copytree(made_once("reuse", make_home), tmp_path / "home"))


def _damage(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def _of_other_inputs(path: Path) -> None:
    path.write_text(path.read_text().replace('"inputs": "', '"inputs": "0'))


def _of_another_record(path: Path) -> None:
    before = path.read_text()
    path.write_text(before.replace('"coverage": 1.0', '"coverage": 0.9'))
    assert path.read_text() != before


@pytest.mark.parametrize(
    ("file", "harm"),
    [
        ("rows.parquet", _damage),
        ("rows.parquet", Path.unlink),
        ("record.json", Path.unlink),
        (f"{POD_FEATURES}.json", Path.unlink),
        (f"{POD_FEATURES}.json", lambda path: path.write_text("{}")),
        (f"{POD_FEATURES}.json", _of_other_inputs),
        (f"{POD_FEATURES}.json", _of_another_record),
    ],
)
def test_what_is_missing_or_changed_is_built_again(home: Path, file: str, harm: Callable[[Path], object]) -> None:
    before = take(home)
    (path,) = (home / "training_sets").rglob(file)
    harm(path)
    after = take(home)
    assert (after.is_reused, after.record) == (False, before.record)
    assert take(home).is_reused


def _next_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget what this process has read."""
    monkeypatch.setattr(stored_sets, "_read", Remembered(9))
    monkeypatch.setattr(digests, "_known", Remembered(9))


def test_stored_rows_are_found_without_reading_them(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = take(home).rows
    _next_process(monkeypatch)
    with monkeypatch.context() as patch:
        patch.delattr(TrainingSets, "rows")
        found = take(home)
    assert found.is_reused
    assert_frame_equal(found.rows, rows)


def test_a_touched_file_of_rows_is_read_once_more(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    take(home)
    (path,) = (home / "training_sets").rglob("rows.parquet")
    path.touch()
    _next_process(monkeypatch)
    with monkeypatch.context() as patch:
        patch.delattr(TrainingSets, "rows")
        with pytest.raises(AttributeError):
            take(home)
    assert take(home).is_reused
    with monkeypatch.context() as patch:
        patch.delattr(TrainingSets, "rows")
        assert take(home).is_reused


def test_rows_that_a_disk_corrupted_are_refused_when_read_and_built_again(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No signature changes; the digest of the bytes is compared by whoever reads them."""
    before = take(home)
    (path,) = (home / "training_sets").rglob("rows.parquet")
    signature = LocalStorage(home).signature(str(path.relative_to(home)))
    _damage(path)
    _next_process(monkeypatch)
    with monkeypatch.context() as patch:
        patch.setattr(LocalStorage, "signature", lambda storage, path: signature)
        found = take(home)
        assert found.is_reused
        with pytest.raises(IntegrityError):
            _ = found.rows
    after = take(home)
    assert (after.is_reused, after.record) == (False, before.record)
    assert_frame_equal(after.rows, before.rows)
