"""Promotions, rollbacks and what follows them, in real directories and a real MLflow on SQLite."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from obstore.store import MemoryStore

from aiops_assets.errors import ConflictError, IntegrityError, NotFoundError, StoreError
from aiops_assets.families.anomaly_detector import ANOMALY_DETECTOR
from aiops_assets.registry import champions
from aiops_assets.registry.listing import names_served
from aiops_assets.storage.records import ChampionRecord
from aiops_assets.storage.served import ServedModels
from aiops_assets.storage.storage import ObjectStorage
from aiops_assets.timeseries.features import FEATURES
from aiops_assets.tracking.tracker import Tracker
from aiops_assets_tests.raising import raises
from aiops_assets_tests.registry.champion_home import ChampionHome, home_of, model_file, promote, rollback
from aiops_assets_tests.signed import served_in

AWAY = Tracker("sqlite:////dev/null/mlflow.db", "aiops/default")
"""Nothing can be made below a device."""


def test_a_promotion_moves_the_record_and_everything_follows(home: ChampionHome) -> None:
    record = promote(home, 3)
    assert (record.champion.version, record.champion.reason, record.champion.who) == (3, "fewer pages", "ann@ops")
    assert [move.version for move in record.history] == [2, 1]
    assert record.vetoed == ()
    assert home.served.champion(home.name) == record
    assert home.said() == (3, 3, "3")


def test_a_promotion_of_the_champion_changes_nothing_and_mends_what_disagrees(home: ChampionHome) -> None:
    before = home.served.champion(home.name)
    home.alias(1)
    home.served.link_current(home.name, 3)
    assert promote(home, 2) == before
    assert home.served.champion(home.name) == before
    assert home.said() == (2, 2, "2")


def test_a_rollback_restores_the_very_same_bytes(home: ChampionHome) -> None:
    first = home.bytes_of(2)
    promote(home, 3)
    record = rollback(home)
    assert record.champion.version == 2
    assert home.bytes_of(2) == first
    link = home.model_folder / "current"
    assert {path.name: path.read_bytes() for path in link.iterdir()} == first
    assert home.said() == (2, 2, "2")
    digest = record.champion.manifest_sha256
    assert home.version(2, digest).model().predict([[0.5] * len(FEATURES)]).shape == (1,)


def test_the_version_that_is_left_is_vetoed_until_a_person_promotes_it(home: ChampionHome) -> None:
    record = rollback(home)
    (veto,) = record.vetoed
    assert (veto.version, veto.who, veto.reason, veto.when) == (2, "bob@ops", "pages at night", record.champion.when)
    reason = champions.veto_on(home.served, home.name, 2)
    assert reason
    assert reason.code == "vetoed"
    facts = {"name": home.name, "version": 2, "vetoed": 2, "who": "bob@ops", "note": "pages at night"}
    assert reason.facts == {**facts, "when": veto.when}
    assert f"`aiops promote {home.name} 2`" in reason.text
    assert champions.veto_on(home.served, home.name, 3) is None
    with raises(ConflictError, "vetoed", version=2, who="bob@ops"):
        home.serve(2, 1)
    assert promote(home, 2).vetoed == ()
    assert champions.veto_on(home.served, home.name, 2) is None


def test_a_new_version_of_a_vetoed_model_is_vetoed_too_also_when_the_old_one_is_gone(home: ChampionHome) -> None:
    rollback(home)
    twin = home.add_twin(2)
    home.served.remove(home.name, 2)
    reason = champions.veto_on(home.served, home.name, twin)
    assert reason
    assert (reason.facts["version"], reason.facts["vetoed"], reason.facts["who"]) == (twin, 2, "bob@ops")


def test_rollbacks_go_further_back_and_then_say_why_there_is_nothing_left(home: ChampionHome) -> None:
    promote(home, 3)
    assert [rollback(home).champion.version for _ in range(2)] == [2, 1]
    before = home.files()
    with raises(NotFoundError, "nothing_to_go_back_to", champion=1) as caught:
        rollback(home)
    passed_over = caught.value.facts["passed_over"]
    assert sorted(line.split(" was ")[0] for line in passed_over) == ["version 2", "version 3"]
    assert all("bob@ops (pages at night)" in line for line in passed_over)
    assert f"`aiops rollback {home.name} --to VERSION`" in str(caught.value)
    assert home.files() == before


def test_a_first_version_has_nothing_to_go_back_to(home: ChampionHome, tmp_path: Path) -> None:
    alone = home_of(tmp_path / "alone", home.tracker, f"{home.name}-alone")
    with raises(NotFoundError, "nothing_served"):
        rollback(alone)
    alone.add()
    alone.serve(1, None)
    with raises(NotFoundError, "nothing_to_go_back_to", champion=1, passed_over=[]):
        rollback(alone)
    assert alone.champion() == 1


def test_a_rollback_passes_over_what_is_damaged_gone_or_the_same(home: ChampionHome) -> None:
    home.add_twin(2)
    home.serve(3, 2)
    home.serve(4, 3)
    home.serve(2, 4)  # earlier: 4 (the same model), 3, 1
    (home.model_folder / "3" / "model.joblib").write_bytes(b"changed")
    assert rollback(home).champion.version == 1
    shutil.rmtree(home.model_folder / "3")
    with pytest.raises(NotFoundError) as caught:
        rollback(home)
    assert "version 3: " in str(caught.value)
    assert "manifest.json does not exist" in str(caught.value)


def test_a_rollback_goes_to_any_version_that_mlflow_recorded(home: ChampionHome) -> None:
    record = rollback(home, to=3)
    assert (record.champion.version, [veto.version for veto in record.vetoed]) == (3, [2])
    assert home.said() == (3, 3, "3")
    # Named by a person: the veto on it is lifted, and the one that is left gets one.
    record = rollback(home, to=2)
    assert (record.champion.version, [veto.version for veto in record.vetoed]) == (2, [3])


def test_a_rollback_to_the_champion_moves_nothing(home: ChampionHome) -> None:
    before = home.served.champion(home.name)
    home.alias(1)
    assert rollback(home, to=2) == before
    assert home.said() == (2, 2, "2")


@pytest.mark.parametrize("act", [promote, rollback])
def test_versions_that_are_not_there_or_that_nobody_vouches_for_are_refused(
    home: ChampionHome, act: Callable[[ChampionHome, int], ChampionRecord]
) -> None:
    with raises(NotFoundError, "no_version", version=9, there=[1, 2, 3]):
        act(home, 9)
    unknown = home.publish(model_file(9))
    with raises(NotFoundError, "no_digest", version=unknown):
        act(home, unknown)
    assert home.champion() == 2


def test_a_model_that_nobody_trained_says_what_to_do(tracker: Tracker, tmp_path: Path) -> None:
    empty = home_of(tmp_path, tracker, "never-trained")
    with raises(NotFoundError, "no_version", there=[]) as caught:
        promote(empty, 1)
    assert "`aiops run`" in str(caught.value)
    with raises(NotFoundError, "no_model") as caught:
        champions.model_named("x")
    assert ANOMALY_DETECTOR.name in caught.value.facts["there"]
    assert champions.reconcile(empty.served, tracker, "never-trained") == []


def test_of_two_promotions_at_once_one_wins_and_the_other_says_who(home: ChampionHome) -> None:
    class Overtaken(ServedModels):
        """Another person promotes version 1 between this one's look and its move."""

        def move_champion(self, *args: object, **more: object) -> ChampionRecord:
            champions.promote(home.served, home.tracker, home.spec, 1, reason="it was better", who="eve@desk")
            return super().move_champion(*args, **more)  # type: ignore[arg-type]

    with raises(ConflictError, "champion_moved", version=1, seen=2, who="eve@desk", note="it was better"):
        promote(home, 3, Overtaken(home.served.storage, home.served.keys))
    assert home.said() == (1, 1, "1")


def test_a_rollback_needs_no_mlflow_and_says_that_the_alias_lags_behind(home: ChampionHome) -> None:
    with raises(StoreError, "lags_behind", champion=1) as caught:
        rollback(home, tracker=AWAY)
    message = str(caught.value)
    assert "MLflow" in message
    assert "`aiops doctor`" in message
    assert len(message.splitlines()) == 1
    assert home.said() == (1, 2, "1")
    (said,) = champions.reconcile(home.served, home.tracker, home.name)
    assert (said.code, said.facts) == ("alias_behind", {"found": 2, "version": 1})
    assert home.said() == (1, 1, "1")


def test_without_mlflow_nothing_vouches_for_a_version_that_never_served(home: ChampionHome) -> None:
    before = home.files()
    with raises(StoreError, "mlflow_alone", version=3):
        champions.promote(home.served, AWAY, home.spec, 3, reason="", who="")
    assert home.files() == before


def test_the_oldest_versions_retire_and_champion_and_predecessor_stay(home: ChampionHome) -> None:
    for _ in range(5):
        home.add()  # 4 to 8
    assert champions.retire(home.served, home.name, 10) == []
    assert champions.retire(home.served, home.name, 3) == [3, 4, 5]
    assert home.served.versions(home.name) == [1, 2, 6, 7, 8]
    assert rollback(home).champion.version == 1
    # 2 was served before 1, which has nobody to go back to.
    assert champions.retire(home.served, home.name, 2) == [6]
    assert promote(home, 8).champion.version == 8
    assert champions.retire(home.served, home.name, 2) == [2]
    assert home.served.versions(home.name) == [1, 7, 8]
    assert home.add() == 9


def test_nothing_retires_while_nobody_can_say_what_is_served(home: ChampionHome) -> None:
    for _ in range(3):
        home.add()
    record = home.model_folder / "champion.json"
    good = record.read_bytes()
    record.write_bytes(b"{")
    with raises(IntegrityError, "invalid_record"):
        champions.retire(home.served, home.name, 2)
    record.unlink()
    assert champions.retire(home.served, home.name, 2) == []
    record.write_bytes(good)
    assert home.served.versions(home.name) == [1, 2, 3, 4, 5, 6]


def test_in_a_bucket_old_versions_retire_and_killed_removals_are_finished(home: ChampionHome) -> None:
    bucket = served_in(ObjectStorage(MemoryStore(), "memory://"))
    for version in (1, 2, 3):
        for path, data in home.bytes_of(version).items():
            bucket.storage.write(f"{home.name}/{version}/{path}", data)
    bucket.move_champion(home.name, 3, home.digest(3), reason="", who="", seen=None)
    bucket.storage.write(f"{home.name}/4/model.joblib", b"of a writer at work")
    assert names_served(bucket) == [home.name]
    (said,) = champions.reconcile(bucket, home.tracker, home.name)
    assert (said.code, said.facts) == ("alias_behind", {"found": 2, "version": 3})
    assert home.tracker.alias(home.name, "champion") == 3
    bucket.storage.remove_directory(f"{home.name}/1", "manifest.json")
    bucket.storage.write(f"{home.name}/1/model.joblib", b"what a killed removal left")
    assert champions.retire(bucket, home.name, 2) == []
    assert bucket.incomplete_versions(home.name) == [4]
    bucket.remove(home.name, 2)
    assert bucket.storage.names(f"{home.name}/2") == []
    assert bucket.versions(home.name) == [3]
