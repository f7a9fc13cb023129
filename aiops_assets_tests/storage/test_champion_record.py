"""The champion record: vetoes, conflicts, damage; and version directories that are removed."""

import json
import os
from pathlib import Path

import pytest
from obstore.store import MemoryStore

from aiops_assets.errors import ConflictError, IntegrityError, NotFoundError, StoreError
from aiops_assets.storage.champion_record import ChampionRecords
from aiops_assets.storage.served import ServedModels
from aiops_assets.storage.storage import LocalStorage, ObjectStorage, Storage
from aiops_assets_tests.raising import raises
from aiops_assets_tests.signed import served_in
from aiops_assets_tests.storage.test_stores import NAME, _promote, _publish


@pytest.fixture(params=["local", "bucket"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    return LocalStorage(tmp_path) if request.param == "local" else ObjectStorage(MemoryStore(), "memory://")


@pytest.fixture
def served(storage: Storage) -> ServedModels:
    """Versions 1, 2, 3 (the third holds the same file as the second); 2 is champion, 1 was."""
    models = served_in(storage)
    for content in (b"one", b"two", b"two"):
        _publish(models, content)
    _promote(models, 1, None)
    _promote(models, 2, 1)
    return models


def _roll_back(served: ServedModels, to: int, seen: int) -> None:
    digest = served.manifest_sha256(NAME, to)
    served.move_champion(
        NAME, to, digest, reason="pages at night", who="ann@ops", seen=seen, by_hand=True, veto_seen=True
    )


def _champion(served: ServedModels) -> int:
    record = served.champion(NAME)
    assert record
    return record.champion.version


def test_a_veto_says_who_when_and_why_and_keeps_the_digests(served: ServedModels) -> None:
    left = served.manifest(NAME, 2)
    _roll_back(served, 1, 2)
    record = served.champion(NAME)
    assert record
    (veto,) = record.vetoed
    assert (veto.version, veto.who, veto.reason, veto.files) == (2, "ann@ops", "pages at night", left.files)
    assert veto.when == record.champion.when
    assert veto.manifest_sha256 == served.manifest_sha256(NAME, 2)
    assert [move.version for move in record.history] == [2, 1]
    assert [move.version for move in record.earlier] == [2]


@pytest.mark.parametrize("version", [2, 3])
def test_nobody_but_a_person_serves_what_was_vetoed_nor_its_twin(served: ServedModels, version: int) -> None:
    _roll_back(served, 1, 2)
    with raises(ConflictError, "vetoed", version=version, who="ann@ops") as raised:
        _promote(served, version, 1)
    assert f"`aiops promote {NAME} {version}`" in str(raised.value)
    assert _champion(served) == 1
    digest = served.manifest_sha256(NAME, version)
    record = served.move_champion(NAME, version, digest, reason="fixed", who="ann@ops", seen=1, by_hand=True)
    assert (record.champion.version, record.vetoed) == (version, ())


def test_a_second_veto_replaces_the_first_of_the_same_version(served: ServedModels) -> None:
    for _ in range(2):
        _roll_back(served, 1, 2)
        served.move_champion(NAME, 2, served.manifest_sha256(NAME, 2), reason="", who="", seen=1, by_hand=True)
    _roll_back(served, 1, 2)
    record = served.champion(NAME)
    assert record
    assert [veto.version for veto in record.vetoed] == [2]


def test_rolling_back_between_twins_vetoes_the_version_and_not_the_model(served: ServedModels) -> None:
    _promote(served, 3, 2)
    _roll_back(served, 2, 3)
    record = served.champion(NAME)
    assert record
    assert record.veto_on(3, {}) is not None
    assert record.veto_on(2, served.manifest(NAME, 2).files) is None


def test_who_was_faster_is_named(served: ServedModels) -> None:
    _roll_back(served, 1, 2)
    with raises(ConflictError, "champion_moved", version=1, seen=2, who="ann@ops", note="pages at night"):
        served.move_champion(NAME, 3, served.manifest_sha256(NAME, 3), reason="", who="bob", seen=2, by_hand=True)


def test_who_was_faster_is_named_also_when_both_had_read_the_record(tmp_path: Path) -> None:
    class Overtaken(LocalStorage):
        """Somebody else moves the champion between this one's read and its write."""

        def compare_and_swap(self, path: str, expected: bytes | None, new: bytes) -> str:
            _promote(plain, 2, 1)
            return super().compare_and_swap(path, expected, new)

    plain = served_in(tmp_path)
    for content in (b"one", b"two", b"three"):
        _publish(plain, content)
    _promote(plain, 1, None)
    with raises(ConflictError, "champion_moved", version=2, seen=1, who="me", note="test"):
        _promote(served_in(Overtaken(tmp_path)), 3, 1)
    assert _champion(plain) == 2


def test_a_record_of_older_code_has_no_vetoes(served: ServedModels) -> None:
    old = json.loads(served.storage.read(f"{NAME}/champion.json"))
    del old["vetoed"], old["signature"]
    served.storage.write(f"{NAME}/champion.json", json.dumps(old).encode())
    with raises(IntegrityError, "unsigned"):
        served.champion(NAME)
    record = served.unsigned_champion(NAME)
    assert record
    assert record.vetoed == ()
    assert served.sign_champion(record)
    signed = served.champion(NAME)
    assert signed
    assert signed.model_copy(update={"signature": None}) == record
    assert not served.sign_champion(signed)


def test_a_record_of_another_model_is_none(served: ServedModels) -> None:
    served.storage.write("other/champion.json", served.storage.read(f"{NAME}/champion.json"))
    with raises(IntegrityError, "record_of_another", of=NAME):
        served.champion("other")


def test_a_damaged_record_is_kept_aside(served: ServedModels) -> None:
    served.storage.write(f"{NAME}/champion.json", b"{ half")
    record, aside = served.renew_champion(NAME, 2, served.manifest_sha256(NAME, 2), reason="mended", who="me")
    assert (record.champion.version, record.champion.reason) == (2, "mended")
    assert served.champion(NAME) == record
    assert aside.startswith("champion.json.damaged-20")
    assert served.storage.read(f"{NAME}/{aside}") == b"{ half"
    with raises(ConflictError, "readable_record", who="me"):
        served.renew_champion(NAME, 1, served.manifest_sha256(NAME, 1), reason="", who="")


def test_a_wrong_record_is_kept_aside_and_only_its_champion_is_replaced(served: ServedModels) -> None:
    _roll_back(served, 1, 2)
    records = ChampionRecords(served.storage, served.keys)
    wrong = records.read(NAME)
    assert wrong
    content = served.storage.read(f"{NAME}/champion.json")
    move = wrong.champion.model_copy(update={"version": 3, "reason": "mended"})
    record, aside = records.correct(wrong, move, {})
    assert records.read(NAME) == record
    assert (record.champion, record.history, record.vetoed) == (move, wrong.history, wrong.vetoed)
    assert served.storage.read(f"{NAME}/{aside}") == content
    with raises(ConflictError, "champion_moved", version=3, seen=1, note="mended"):
        records.correct(wrong, move, {})
    assert records.correct(record, move, served.manifest(NAME, 2).files)[0].vetoed == ()


def test_a_manifest_in_the_wrong_directory_is_named(served: ServedModels) -> None:
    for path in ("manifest.json", "model.joblib"):
        served.storage.write(f"{NAME}/9/{path}", served.storage.read(f"{NAME}/1/{path}"))
    with raises(IntegrityError, "misplaced_manifest", name=NAME, version=1):
        served.manifest(NAME, 9)


def test_a_removed_version_is_gone_and_its_number_is_not_given_again(served: ServedModels) -> None:
    served.remove(NAME, 1)
    served.remove(NAME, 1)
    assert served.versions(NAME) == [2, 3]
    assert served.storage.names(f"{NAME}/1") == []
    assert _publish(served).version == 4


def test_what_a_killed_removal_leaves_is_no_version() -> None:
    class Killed(MemoryStore):
        """Deletes one object and no more."""

        deleted = 0

        def delete(self, paths):  # type: ignore[no-untyped-def]
            self.deleted += 1
            if self.deleted > 1:
                raise OSError("killed")
            super().delete(paths)

    served = served_in(ObjectStorage(Killed(), "memory://"))
    _publish(served), _publish(served)
    with pytest.raises(StoreError):
        served.remove(NAME, 1)
    assert served.versions(NAME) == [2]
    assert served.incomplete_versions(NAME) == [1]
    with pytest.raises(NotFoundError):
        served.manifest(NAME, 1)


def test_a_removal_that_is_killed_leaves_the_rest_to_the_sweep(tmp_path: Path) -> None:
    served = served_in(tmp_path)
    _publish(served), _publish(served)
    left = tmp_path / NAME / ".staging-killed"
    left.mkdir()
    (left / "lock").touch()
    (tmp_path / NAME / "1").rename(left / "content")
    assert served.versions(NAME) == [2]
    assert served.incomplete_versions(NAME) == []
    assert served.sweep(NAME) == [], "it may still have a writer"
    os.utime(left, (0, 0))
    assert served.sweep(NAME, remove=False) == [".staging-killed"]
    assert left.exists()
    assert served.sweep(NAME) == [".staging-killed"]
    assert not left.exists()


def test_the_link_is_told_and_what_is_in_its_way_is_named(tmp_path: Path) -> None:
    served = served_in(tmp_path)
    _publish(served)
    assert served.current(NAME) is None
    served.link_current(NAME, 1)
    assert served.current(NAME) == "1"
    (tmp_path / NAME / "current").unlink()
    (tmp_path / NAME / "current").mkdir()
    assert served.current(NAME) == ""
    with raises(StoreError, "no_link"):
        served.link_current(NAME, 1)
    assert [entry.name for entry in (tmp_path / NAME).glob(".*")] == []
