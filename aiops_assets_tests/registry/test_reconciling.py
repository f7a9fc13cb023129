"""Champion record, MLflow's alias and `current` that disagree agree again."""

from collections.abc import Iterator

import pytest

from aiops_assets.errors import IntegrityError, NotFoundError
from aiops_assets.registry import champions
from aiops_assets_tests.raising import raises
from aiops_assets_tests.registry.champion_home import ChampionHome, model_file, promote, rollback

RECORDS = ("right", "missing", "damaged")
ALIASES = (2, 1, None)
LINKS = ("2", "1", None, "a file")
ASKED = ("found", "witness", "version")


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
        with raises(IntegrityError, "record_not_restored", problem="invalid_record", promote=3, whole=[1, 2, 3]):
            champions.reconcile(home.served, home.tracker, home.name)
        assert (home.files(), home.tracker.alias(home.name, "champion")) == before
        return
    seen = champions.reconcile(home.served, home.tracker, home.name, repair=False)
    assert (home.files(), home.tracker.alias(home.name, "champion")) == before, "looking changes nothing"
    found = champions.reconcile(home.served, home.tracker, home.name, who="me")
    if expected is None:
        assert found == seen == []
        assert home.champion() is None
        return
    assert home.said() == (expected, expected, str(expected))
    assert seen == found[: len(seen)] or record == "damaged"
    told = "MLflow's alias" if alias else "the link current"
    codes = {"missing": "missing_record", "damaged": "invalid_record"}
    left = {"2": "2", "1": "1", None: None, "a file": ""}[link]
    restored = [(codes[record], {"witness": told, "version": expected})] if record != "right" else []
    link_behind = [("link_behind", {"found": left, "version": expected})] if link != str(expected) else []
    alias_behind = [("alias_behind", {"found": alias, "version": expected})] if alias != expected else []
    said = [(one.code, {name: one.facts[name] for name in one.facts if name in ASKED}) for one in found]
    assert said == [*restored, *link_behind, *alias_behind]
    if record != "right":
        move = home.champion_move()
        assert (move.reason, move.who) == (f"restored from {told}", "me")
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
    (said, *_) = champions.reconcile(home.served, home.tracker, home.name)
    assert (said.code, said.facts["witness"], said.facts["version"]) == ("invalid_record", "the link current", 2)
    assert home.said() == (2, 2, "2")


def test_a_person_serves_a_version_where_the_record_cannot_be_restored(home: ChampionHome) -> None:
    disagree_by_hand(home, "damaged", None, None)
    with raises(IntegrityError, "doubted_record", problem="invalid_record"):
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
    for repair in (True, False):
        with raises(NotFoundError, "unknown_to_mlflow", version=4):
            champions.reconcile(home.served, home.tracker, home.name, repair=repair)
    assert home.champion() == 4
