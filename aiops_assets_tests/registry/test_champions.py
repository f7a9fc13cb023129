"""Promotions, rollbacks and what follows them, in real directories and a real MLflow on SQLite."""

import itertools
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from obstore.store import MemoryStore

from aiops_assets.errors import ConflictError, IntegrityError, ModelError, NotFoundError, StoreError
from aiops_assets.models.isolation_forest import predict
from aiops_assets.registry import champions
from aiops_assets.registry.listing import names_served
from aiops_assets.registry.loading import load_model, unloadable
from aiops_assets.stores.records import ChampionRecord
from aiops_assets.stores.served import ServedModels
from aiops_assets.stores.storage import ObjectStorage
from aiops_assets.timeseries.features import FEATURES
from aiops_assets.tracking import Tracker
from aiops_assets_tests.registry.champion_home import ChampionHome, alarming_file, home_of, model_file, trap_file

AWAY = Tracker("sqlite:////dev/null/mlflow.db", "aiops/default")
"""Nothing can be made below a device."""
_numbers = itertools.count()


@pytest.fixture(scope="module")
def tracker(tmp_path_factory: pytest.TempPathFactory) -> Tracker:
    """One MLflow for all: it takes seconds to make. Each home has a model name of its own in it."""
    return Tracker(f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.db", "aiops/default")


@pytest.fixture
def home(tracker: Tracker, tmp_path: Path) -> ChampionHome:
    """Versions 1, 2, 3, of which 2 is served and 1 was."""
    return filled(tmp_path, tracker)


@pytest.fixture(scope="module")
def agreed(tracker: Tracker, tmp_path_factory: pytest.TempPathFactory) -> ChampionHome:
    """The same, for tests that put back what they change."""
    return filled(tmp_path_factory.mktemp("agreed"), tracker)


def filled(folder: Path, tracker: Tracker) -> ChampionHome:
    made = home_of(folder, tracker, f"detector-{next(_numbers)}")
    for _ in range(3):
        made.add()
    made.serve(1, None)
    made.serve(2, 1)
    return made


def promote(home: ChampionHome, version: int, served: ServedModels | None = None) -> ChampionRecord:
    return champions.promote(
        served or home.served, home.tracker, home.spec, version, reason="fewer pages", who="ann@ops"
    )


def rollback(home: ChampionHome, to: int | None = None, tracker: Tracker | None = None) -> ChampionRecord:
    return champions.rollback(
        home.served, tracker or home.tracker, home.spec, to, reason="pages at night", who="bob@ops"
    )


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
    assert load_model(home.served, home.spec, 2, digest).predict([[0.5] * len(FEATURES)]).shape == (1,)


def test_the_version_that_is_left_is_vetoed_until_a_person_promotes_it(home: ChampionHome) -> None:
    record = rollback(home)
    (veto,) = record.vetoed
    assert (veto.version, veto.who, veto.reason, veto.when) == (2, "bob@ops", "pages at night", record.champion.when)
    told = champions.veto_on(home.served, home.name, 2)
    assert told.startswith(f"{home.name} version 2 was rolled back by bob@ops on ")
    assert f"(pages at night): `aiops promote {home.name} 2` lifts the veto" in told
    assert champions.veto_on(home.served, home.name, 3) == ""
    with pytest.raises(ConflictError, match="was rolled back by bob@ops"):
        home.serve(2, 1)
    assert promote(home, 2).vetoed == ()
    assert champions.veto_on(home.served, home.name, 2) == ""


def test_a_new_version_of_a_vetoed_model_is_vetoed_too_also_when_the_old_one_is_gone(home: ChampionHome) -> None:
    rollback(home)
    twin = home.add(model_file(2))
    home.served.remove(home.name, 2)
    assert "is the same model as version 2, which was rolled back by bob@ops" in champions.veto_on(
        home.served, home.name, twin
    )


def test_rollbacks_go_further_back_and_then_say_why_there_is_nothing_left(home: ChampionHome) -> None:
    promote(home, 3)
    assert [rollback(home).champion.version for _ in range(2)] == [2, 1]
    before = home.files()
    with pytest.raises(NotFoundError) as caught:
        rollback(home)
    message = str(caught.value)
    assert "version 1 stays: there is no earlier champion to go back to" in message
    assert "version 2 was rolled back by bob@ops (pages at night)" in message
    assert "version 3 was rolled back by bob@ops (pages at night)" in message
    assert f"`aiops rollback {home.name} --to VERSION`" in message
    assert home.files() == before


def test_a_first_version_has_nothing_to_go_back_to(home: ChampionHome, tmp_path: Path) -> None:
    alone = home_of(tmp_path / "alone", home.tracker, f"{home.name}-alone")
    with pytest.raises(NotFoundError, match=r"is not served from .*nothing to roll back"):
        rollback(alone)
    alone.add()
    alone.serve(1, None)
    with pytest.raises(NotFoundError, match="no other version was served before"):
        rollback(alone)
    assert alone.champion() == 1


def test_a_rollback_passes_over_what_is_damaged_gone_or_the_same(home: ChampionHome) -> None:
    home.add(model_file(2))
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
    with pytest.raises(NotFoundError, match=r"has no version 9 in .*: there are 1, 2, 3"):
        act(home, 9)
    unknown = home.publish(model_file(9))
    with pytest.raises(NotFoundError, match=f"MLflow recorded no digest of {home.name} version {unknown}, so nothing"):
        act(home, unknown)
    assert home.champion() == 2


def test_a_model_that_nobody_trained_says_what_to_do(tracker: Tracker, tmp_path: Path) -> None:
    empty = home_of(tmp_path, tracker, "never-trained")
    with pytest.raises(NotFoundError, match=r"has no version in .*: run `aiops run` first"):
        promote(empty, 1)
    with pytest.raises(NotFoundError, match="there is no model 'x': there are anomaly-detector"):
        champions.model_named("x")
    assert champions.reconcile(empty.served, tracker, "never-trained") == []


def test_of_two_promotions_at_once_one_wins_and_the_other_says_who(home: ChampionHome) -> None:
    class Overtaken(ServedModels):
        """Another person promotes version 1 between this one's look and its move."""

        def move_champion(self, *args: object, **more: object) -> ChampionRecord:
            champions.promote(home.served, home.tracker, home.spec, 1, reason="it was better", who="eve@desk")
            return super().move_champion(*args, **more)  # type: ignore[arg-type]

    with pytest.raises(ConflictError) as caught:
        promote(home, 3, Overtaken(home.served.storage))
    assert f"{home.name}: champion is version 1, was 2 when this was decided: moved by eve@desk on " in str(
        caught.value
    )
    assert "(it was better); nothing was changed" in str(caught.value)
    assert home.said() == (1, 1, "1")


def test_a_model_that_gives_no_usable_answer_is_not_promoted(home: ChampionHome) -> None:
    bad = home.add(alarming_file())
    with pytest.raises(ModelError, match=r"version 4 is not served: the engine's default vector .* raises an alarm"):
        promote(home, bad)
    assert home.said() == (2, 2, "2")


def _other_order() -> tuple[str, ...]:
    return (FEATURES[1], FEATURES[0], *FEATURES[2:])


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"features": _other_order()}, f"in another order: column 0 is {FEATURES[1]}, this code puts {FEATURES[0]}"),
        ({"features": ("latency", *FEATURES[1:])}, "on other features: column 0 is latency, this code puts"),
        ({"features": FEATURES[:-1], "width": 44}, "on rows of width 44, this code makes rows of width 45"),
        ({"width": 46}, "on rows of width 46, this code makes rows of width 45"),
        ({"units": {"node_cpu_utilization": "percent"}}, "on node_cpu_utilization in percent, this code gives ratio"),
        ({"packages": {"scikit-learn": "0.1.2"}}, "it was written by scikit-learn 0.1.2, and "),
        ({"packages": {}}, "its manifest does not say which scikit-learn wrote it"),
    ],
)
def test_a_model_of_other_columns_or_packages_is_refused_by_name_before_unpickling(
    home: ChampionHome, tmp_path: Path, changes: dict[str, object], says: str
) -> None:
    touched = tmp_path / "touched"
    version = home.add(trap_file(touched), **changes)
    for act in (promote, rollback):
        with pytest.raises(ModelError) as caught:
            act(home, version)
        assert says in str(caught.value)
        assert f"{home.name} version {version} is not loaded" in str(caught.value)
    assert says in unloadable(home.served, home.spec, version, home.digest(version))
    assert not touched.exists()
    assert home.said() == (2, 2, "2")


def test_the_trap_of_these_tests_works(home: ChampionHome, tmp_path: Path) -> None:
    touched = tmp_path / "touched"
    version = home.add(trap_file(touched))
    load_model(home.served, home.spec, version, home.digest(version))
    assert touched.exists()


def test_a_replaced_file_is_refused_before_unpickling(home: ChampionHome, tmp_path: Path) -> None:
    touched = tmp_path / "touched"
    digest = home.digest(3)
    (home.model_folder / "3" / "model.joblib").write_bytes(trap_file(touched))
    for act in (promote, rollback):
        with pytest.raises(IntegrityError, match=r"model\.joblib differs from its manifest"):
            act(home, 3)
    with pytest.raises(IntegrityError, match=r"model\.joblib is not the file its manifest names: do not load it"):
        load_model(home.served, home.spec, 3, digest)
    assert not touched.exists()
    assert home.said() == (2, 2, "2")


def test_file_and_manifest_replaced_together_are_refused_before_unpickling(home: ChampionHome, tmp_path: Path) -> None:
    touched = tmp_path / "touched"
    evil = home_of(tmp_path / "evil", home.tracker, home.name)
    for _ in range(3):
        evil.publish(trap_file(touched))
    for version in (1, 3):
        shutil.rmtree(home.model_folder / str(version))
        shutil.copytree(evil.model_folder / str(version), home.model_folder / str(version))
        for act in (promote, rollback):
            with pytest.raises(IntegrityError, match=r"manifest\.json is not the manifest that was recorded"):
                act(home, version)
    with pytest.raises(NotFoundError, match=r"version 1: .* is not the manifest that was recorded"):
        rollback(home)
    assert not touched.exists()
    assert home.said() == (2, 2, "2")


def test_champion_record_and_directory_replaced_together_are_refused_by_what_mlflow_keeps(
    home: ChampionHome, tmp_path: Path
) -> None:
    touched = tmp_path / "touched"
    evil = home_of(tmp_path / "evil", home.tracker, home.name)
    evil.publish(trap_file(touched))
    evil.served.move_champion(home.name, 1, evil.digest(1), reason="", who="", seen=None)
    shutil.rmtree(home.model_folder)
    shutil.copytree(evil.model_folder, home.model_folder)
    with pytest.raises(IntegrityError, match=r"champion record \(.*\) and MLflow \(.*\) recorded other manifests"):
        promote(home, 1)
    assert not touched.exists()


def test_a_file_that_cannot_be_read_is_an_error_of_ours(home: ChampionHome) -> None:
    version = home.add(b"no pickle at all")
    with pytest.raises(ModelError, match=r"cannot be read \(.*\): train it again"):
        promote(home, version)
    assert "cannot be read" in unloadable(home.served, home.spec, version, home.digest(version))


def test_a_sound_version_loads_and_answers(home: ChampionHome) -> None:
    assert unloadable(home.served, home.spec, 1, home.digest(1)) == ""
    model = load_model(home.served, home.spec, 1, home.digest(1))
    assert predict(model, [[0.4] * len(FEATURES)]).tolist() in ([1], [-1])
    assert "does not exist" in unloadable(home.served, home.spec, 9, home.digest(1))


def test_a_rollback_needs_no_mlflow_and_says_that_the_alias_lags_behind(home: ChampionHome) -> None:
    with pytest.raises(StoreError) as caught:
        rollback(home, tracker=AWAY)
    message = str(caught.value)
    assert f"{home.name} version 1 is the champion, but what follows it lags behind: MLflow at " in message
    assert "`aiops doctor` mends it" in message
    assert len(message.splitlines()) == 1
    assert home.said() == (1, 2, "1")
    assert champions.reconcile(home.served, home.tracker, home.name) == [
        "MLflow's alias champion names version 2, the champion record says version 1"
    ]
    assert home.said() == (1, 1, "1")


def test_without_mlflow_nothing_vouches_for_a_version_that_never_served(home: ChampionHome) -> None:
    before = home.files()
    with pytest.raises(StoreError, match=f"nothing but MLflow vouches for {home.name} version 3"):
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
    with pytest.raises(IntegrityError, match="no valid champion record"):
        champions.retire(home.served, home.name, 2)
    record.unlink()
    assert champions.retire(home.served, home.name, 2) == []
    record.write_bytes(good)
    assert home.served.versions(home.name) == [1, 2, 3, 4, 5, 6]


def test_in_a_bucket_old_versions_retire_and_killed_removals_are_finished(home: ChampionHome) -> None:
    bucket = ServedModels(ObjectStorage(MemoryStore(), "memory://"))
    for version in (1, 2, 3):
        for path, data in home.bytes_of(version).items():
            bucket.storage.write(f"{home.name}/{version}/{path}", data)
    bucket.move_champion(home.name, 3, home.digest(3), reason="", who="", seen=None)
    bucket.storage.write(f"{home.name}/4/model.joblib", b"of a writer at work")
    assert names_served(bucket) == [home.name]
    assert champions.reconcile(bucket, home.tracker, home.name) == [
        "MLflow's alias champion names version 2, the champion record says version 3"
    ]
    bucket.storage.remove_directory(f"{home.name}/1", "manifest.json")
    bucket.storage.write(f"{home.name}/1/model.joblib", b"what a killed removal left")
    assert champions.retire(bucket, home.name, 2) == []
    assert bucket.halves(home.name) == [4]
    bucket.remove(home.name, 2)
    assert bucket.storage.names(f"{home.name}/2") == []
    assert bucket.versions(home.name) == [3]


RECORDS = ("right", "missing", "damaged")
ALIASES = (2, 1, None)
LINKS = ("2", "1", None, "a file")


@pytest.fixture
def disagreeing(agreed: ChampionHome) -> Iterator[ChampionHome]:
    """Where everything agrees, and will again."""
    assert agreed.said() == (2, 2, "2")
    record = (agreed.model_folder / "champion.json").read_bytes()
    yield agreed
    for left in agreed.model_folder.glob("champion.json*"):
        left.unlink()
    (agreed.model_folder / "champion.json").write_bytes(record)
    (agreed.model_folder / "current").unlink(missing_ok=True)
    champions.reconcile(agreed.served, agreed.tracker, agreed.name)


@pytest.mark.parametrize("link", LINKS)
@pytest.mark.parametrize("alias", ALIASES)
@pytest.mark.parametrize("record", RECORDS)
def test_record_alias_and_link_agree_again_whatever_was_done_by_hand(
    disagreeing: ChampionHome, record: str, alias: int | None, link: str | None
) -> None:
    home = disagreeing
    disagree_by_hand(home, record, alias, link)
    before = (home.files(), home.tracker.alias(home.name, "champion"))
    witness = alias or (int(link) if link in ("1", "2") else None)
    expected = 2 if record == "right" else witness

    if expected is None and record == "damaged":
        with pytest.raises(IntegrityError, match=f"`aiops promote {home.name} 3` .whole versions: 1, 2, 3"):
            champions.reconcile(home.served, home.tracker, home.name)
        assert (home.files(), home.tracker.alias(home.name, "champion")) == before
        return
    seen = champions.reconcile(home.served, home.tracker, home.name, mend=False)
    assert (home.files(), home.tracker.alias(home.name, "champion")) == before, "looking changes nothing"
    found = champions.reconcile(home.served, home.tracker, home.name, who="me")
    if expected is None:
        assert found == seen == []
        assert home.champion() is None
        return
    assert home.said() == (expected, expected, str(expected))
    assert seen == found[: len(seen)] or record == "damaged"
    assert any("champion record is missing" in line or "no valid champion record" in line for line in found) == (
        record != "right"
    )
    assert any("MLflow's alias champion" in line for line in found) == (alias != expected)
    assert any("the link current" in line and "the champion record says" in line for line in found) == (
        link != str(expected)
    )
    if record != "right":
        restored = home.served.champion(home.name)
        assert restored
        told = "MLflow's alias" if alias else "the link current"
        assert (restored.champion.reason, restored.champion.who) == (f"restored from {told}", "me")
        asides = list(home.model_folder.glob("champion.json.damaged-*"))
        assert [path.read_bytes() for path in asides] == ([b"{ half"] if record == "damaged" else [])
    assert champions.reconcile(home.served, home.tracker, home.name) == []


def disagree_by_hand(home: ChampionHome, record: str, alias: int | None, link: str | None) -> None:
    """Make champion record, alias and link of a home whose champion is version 2 something else."""
    if record != "right":
        (home.model_folder / "champion.json").unlink()
    if record == "damaged":
        (home.model_folder / "champion.json").write_bytes(b"{ half")
    home.alias(alias)
    current = home.model_folder / "current"
    current.unlink()
    if link == "a file":
        current.write_text("not a link")
    elif link:
        current.symlink_to(link)


def test_a_record_is_not_restored_from_an_alias_on_a_version_that_was_changed(home: ChampionHome) -> None:
    disagree_by_hand(home, "damaged", 1, "2")
    (home.model_folder / "1" / "model.joblib").write_bytes(b"changed")
    (line, *_) = champions.reconcile(home.served, home.tracker, home.name)
    assert "the link current names version 2, which is whole" in line
    assert home.said() == (2, 2, "2")


def test_a_person_serves_a_version_where_the_record_cannot_be_restored(home: ChampionHome) -> None:
    disagree_by_hand(home, "damaged", None, None)
    with pytest.raises(IntegrityError, match=r"no valid champion record.*: `aiops doctor` mends it"):
        rollback(home)
    record = promote(home, 1)
    assert (record.champion.version, record.history) == (1, ())
    assert home.said() == (1, 1, "1")
    assert len(list(home.model_folder.glob("champion.json.damaged-*"))) == 1


def test_a_promotion_restores_a_damaged_record_first(home: ChampionHome) -> None:
    disagree_by_hand(home, "damaged", 2, "2")
    record = promote(home, 3)
    assert [record.champion.version, *(move.version for move in record.history)] == [3, 2]
    assert home.said() == (3, 3, "3")


def test_a_champion_that_mlflow_does_not_know_is_named(home: ChampionHome) -> None:
    version = home.publish(model_file(4))
    home.served.move_champion(home.name, version, home.digest(version), reason="", who="", seen=2)
    for mend in (True, False):
        with pytest.raises(NotFoundError, match=f"MLflow knows no version 4 of {home.name}: materialize model/"):
            champions.reconcile(home.served, home.tracker, home.name, mend=mend)
    assert home.champion() == 4
