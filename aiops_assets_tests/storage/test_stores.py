from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from obstore.store import MemoryStore

from aiops_assets.errors import ConflictError, IntegrityError, NotFoundError
from aiops_assets.storage.records import Manifest, SourceReport, TrainingSetRecord
from aiops_assets.storage.served import ServedModels
from aiops_assets.storage.storage import LocalStorage, ObjectStorage, Storage
from aiops_assets.storage.training_sets import TrainingSets
from aiops_assets.timeseries.schema import content_digest
from aiops_assets.timeseries.series import minute_grid
from aiops_assets_tests.raising import raises
from aiops_assets_tests.signed import served_in

NAME = "anomaly-detector"


@pytest.fixture(params=["local", "bucket"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    return LocalStorage(tmp_path) if request.param == "local" else ObjectStorage(MemoryStore(), "memory://")


@pytest.fixture
def served(storage: Storage) -> ServedModels:
    return served_in(storage)


def _manifest(version: int, files: dict[str, str]) -> Manifest:
    return Manifest(
        name=NAME, version=version, created=datetime.now(UTC), description="", cluster="default", features=("a",),
        features_digest="", width=1, units={}, parameters={}, packages={}, view="v", data_version="d" * 32,
        training_set_sha256="", effective_source="synthetic", source=SourceReport(asked="synthetic", rows={}),
        window_start=datetime.now(UTC), window_end=datetime.now(UTC), run_id="r", run_url="", dagster_run_id="",
        code_version="", fingerprint="", metrics={}, files=files,
    )  # fmt: skip


def _publish(served: ServedModels, content: bytes = b"model") -> Manifest:
    return served.publish(NAME, {"model.joblib": content}, _manifest)


def _promote(served: ServedModels, version: int, seen: int | None) -> None:
    served.move_champion(NAME, version, served.manifest_sha256(NAME, version), reason="test", who="me", seen=seen)


def test_versions_count_up(served: ServedModels) -> None:
    assert served.versions(NAME) == []
    assert served.champion(NAME) is None
    assert [_publish(served).version for _ in range(3)] == [1, 2, 3]
    assert served.versions(NAME) == [1, 2, 3]


def test_a_directory_without_manifest_is_no_version_and_its_number_is_not_used_again(served: ServedModels) -> None:
    served.storage.write(f"{NAME}/7/model.joblib", b"half")
    assert served.versions(NAME) == []
    assert _publish(served).version == 8
    with pytest.raises(NotFoundError):
        _promote(served, 7, None)


def test_the_champion_record_tells_its_history(served: ServedModels) -> None:
    _publish(served), _publish(served, b"other")
    _promote(served, 1, None)
    _promote(served, 2, 1)
    record = served.champion(NAME)
    assert record
    assert record.champion.version == 2
    assert [move.version for move in record.history] == [1]
    assert record.champion.reason == "test"
    assert record.champion.manifest_sha256 == served.manifest_sha256(NAME, 2)


def test_a_decision_that_is_out_of_date_changes_nothing(served: ServedModels) -> None:
    _publish(served), _publish(served, b"other")
    _promote(served, 1, None)
    with raises(ConflictError, "champion_moved", version=1, seen=None):
        _promote(served, 2, None)
    record = served.champion(NAME)
    assert record
    assert record.champion.version == 1


def test_a_changed_file_is_not_loaded(served: ServedModels) -> None:
    _publish(served)
    digest = served.manifest_sha256(NAME, 1)
    assert served.load_file(NAME, 1, "model.joblib", digest) == b"model"
    served.storage.write(f"{NAME}/1/model.joblib", b"mOdel")
    with raises(IntegrityError, "changed_file", file="model.joblib"):
        served.load_file(NAME, 1, "model.joblib", digest)
    assert [check.verified for check in served.check_files(served.manifest(NAME, 1))] == [False]
    with raises(IntegrityError, "changed_file", file="model.joblib"):
        _promote(served, 1, None)


def test_file_and_manifest_replaced_together_are_refused(served: ServedModels) -> None:
    _publish(served)
    digest = served.manifest_sha256(NAME, 1)
    evil = _manifest(1, {"model.joblib": "0" * 64})
    served.storage.write(f"{NAME}/1/manifest.json", evil.to_bytes())
    with raises(IntegrityError, "other_manifest"):
        served.load_file(NAME, 1, "model.joblib", digest)


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", b'{"name": "x", "extra": 1}'])
def test_records_that_are_none_are_named(served: ServedModels, content: bytes) -> None:
    _publish(served)
    served.storage.write(f"{NAME}/champion.json", content)
    with raises(IntegrityError, "invalid_record"):
        served.champion(NAME)
    served.storage.write(f"{NAME}/1/manifest.json", content)
    with raises(IntegrityError, "invalid_manifest"):
        served.manifest(NAME, 1)


def test_current_follows_where_there_are_links(tmp_path: Path) -> None:
    served = served_in(tmp_path)
    _publish(served), _publish(served)
    assert served.link_current(NAME, 1)
    assert not served.link_current(NAME, 1)
    assert served.link_current(NAME, 2)
    assert (tmp_path / NAME / "current").resolve().name == "2"
    assert served.versions(NAME) == [1, 2]
    assert not served_in(ObjectStorage(MemoryStore(), "memory://")).link_current(NAME, 1)


def _rows() -> pd.DataFrame:
    return pd.DataFrame({"timestamp": minute_grid(*_day()), "pod": "p", "x": np.arange(1440.0)})


def _day() -> tuple[pd.Timestamp, pd.Timestamp]:
    start = pd.Timestamp("2026-10-31", tz="UTC")
    return start, start + pd.Timedelta(days=1)


def _record(rows: pd.DataFrame) -> TrainingSetRecord:
    start, end = (time.to_pydatetime() for time in _day())
    return TrainingSetRecord(
        view="v", data_version=content_digest(rows), rows_sha256="", cluster="default", effective_source="synthetic",
        source=SourceReport(asked="synthetic", rows={"synthetic": len(rows)}),
        window_start=start, window_end=end, rows=len(rows), label_rate=0, anomaly_rate=0, seed=1, pods=("p",), days=(),
    )  # fmt: skip


def test_a_training_set_comes_back_by_its_digest(storage: Storage) -> None:
    sets, rows = TrainingSets(storage, "default"), _rows()
    record = _record(rows)
    sets.put(rows, record)
    sets.put(rows, record)
    pd.testing.assert_frame_equal(sets.rows("v", record.data_version), rows, check_dtype=False)
    assert sets.record("v", record.data_version).pods == ("p",)
    with pytest.raises(NotFoundError):
        sets.rows("v", "0" * 32)


@pytest.mark.parametrize("file", ["rows.parquet", "record.json"])
def test_any_flipped_byte_of_a_training_set_is_named(storage: Storage, file: str) -> None:
    sets, rows = TrainingSets(storage, "default"), _rows()
    record = _record(rows)
    sets.put(rows, record)
    known = sets.record_sha256("v", record.data_version)
    path = f"{sets.path('v', record.data_version)}/{file}"
    good = storage.read(path)
    for position in np.random.default_rng(1).integers(0, len(good), 30):
        bad = bytearray(good)
        bad[position] ^= 1
        storage.write(path, bytes(bad))
        with pytest.raises(IntegrityError, match=file):
            _ = sets.record("v", record.data_version, known), sets.rows("v", record.data_version)


def test_what_a_reader_does_to_its_rows_nobody_else_sees(storage: Storage) -> None:
    sets, rows = TrainingSets(storage, "default"), _rows()
    record = _record(rows)
    sets.put(rows, record)
    mine = sets.rows("v", record.data_version)
    numeric = mine.select_dtypes("number").columns[0]
    mine.loc[0, numeric] = -1.0
    mine["more"] = 1
    with pytest.raises(ValueError, match="read-only"):
        sets.rows("v", record.data_version)[numeric].to_numpy()[0] = -1.0
    pd.testing.assert_frame_equal(sets.rows("v", record.data_version), rows, check_dtype=False)


def test_a_training_set_that_was_read_is_looked_at_again(storage: Storage) -> None:
    sets, rows = TrainingSets(storage, "default"), _rows()
    record = _record(rows)
    sets.put(rows, record)
    sets.rows("v", record.data_version)
    storage.remove(f"{sets.path('v', record.data_version)}/rows.parquet")
    with pytest.raises(NotFoundError):
        sets.rows("v", record.data_version)
    sets.put(rows, record)
    pd.testing.assert_frame_equal(sets.rows("v", record.data_version), rows, check_dtype=False)
