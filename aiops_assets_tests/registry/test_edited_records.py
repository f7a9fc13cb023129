"""Champion records that were edited by hand: they can be read, and what they say of the champion is wrong."""

import itertools
import json
import shutil
from pathlib import Path

import pytest

from aiops_assets.errors import IntegrityError, NotFoundError
from aiops_assets.registry import champions
from aiops_assets.registry.doctor import Doctor, Finding
from aiops_assets.registry.restoring import read_problem
from aiops_assets.storage.records import ChampionRecord
from aiops_assets.tracking.tracker import Tracker
from aiops_assets_tests.raising import raises
from aiops_assets_tests.registry.champion_home import ChampionHome, home_of

_numbers = itertools.count()
OTHER = "0" * 64
MANIFEST = "manifest.json"


@pytest.fixture
def home(tracker: Tracker, tmp_path: Path) -> ChampionHome:
    """Versions 1 to 4; 3 was served and rolled back to 2; 1 was served before."""
    made = home_of(tmp_path, tracker, f"edited-{next(_numbers)}")
    for _ in range(4):
        made.add()
    for version, seen in ((1, None), (2, 1), (3, 2)):
        made.serve(version, seen)
    champions.rollback(made.served, tracker, made.spec, None, reason="pages at night", who="bob@ops")
    assert made.said() == (2, 2, "2")
    return made


def edit(home: ChampionHome, **changes: object) -> None:
    """Change the champion's entry as a person with an editor does."""
    path = home.model_folder / "champion.json"
    content = json.loads(path.read_bytes())
    content["champion"].update(changes)
    path.write_text(json.dumps(content))


def link(home: ChampionHome, version: int | None) -> None:
    (home.model_folder / "current").unlink()
    if version:
        (home.model_folder / "current").symlink_to(str(version))


def record_of(home: ChampionHome) -> ChampionRecord:
    record = home.served.champion(home.name)
    assert record
    return record


def examine(home: ChampionHome, *, repair: bool = True) -> dict[str, Finding]:
    doctor = Doctor(home.served, home.training_sets, home.tracker, who="me", repair=repair)
    return {finding.what: finding for finding in doctor.examine((home.spec,))}


@pytest.mark.parametrize(
    ("number", "by"), [(4, "reconcile"), (9, "doctor")], ids=["another version", "no version, seen by doctor"]
)
@pytest.mark.parametrize("digest", ["left", "changed"])
@pytest.mark.parametrize(
    ("alias", "linked"), [(2, 2), (2, 4), (None, 2), (4, 4), (None, None)],
    ids=["both right", "link edited", "alias missing", "both moved", "both missing"],
)  # fmt: skip
def test_the_champion_is_restored_and_history_and_vetoes_stay(
    home: ChampionHome, by: str, number: int, digest: str, alias: int | None, linked: int | None
) -> None:
    before = record_of(home)
    edit(home, version=number, **({"manifest_sha256": OTHER} if digest == "changed" else {}))
    edited = (home.model_folder / "champion.json").read_bytes()
    home.alias(alias)
    link(home, linked)
    # The digest is the best evidence; without it the alias is, and then the link.
    witness = 2 if digest == "left" else alias or linked
    if witness is None:
        with raises(IntegrityError, "record_not_restored") as caught:
            champions.reconcile(home.served, home.tracker, home.name)
        assert f"version {number} with manifest 0000" in str(caught.value)
        assert home.said() == (number, None, None)
        return
    if by == "reconcile":
        said = champions.reconcile(home.served, home.tracker, home.name, who="me")[0]
    else:
        assert examine(home, repair=False)["champion record"].state == "to mend"
        assert home.said() == (number, alias, str(linked) if linked else None)
        finding = examine(home)["champion record"]
        assert finding.state == "mended"
        said = finding.text
    assert len(said.splitlines()) == 1
    assert "record is wrong" in said
    assert f"version {number} with" in said
    assert f"version {witness}, which" in said
    after = record_of(home)
    assert after.champion.manifest_sha256 == home.digest(witness)
    assert (after.champion.who, after.champion.reason.startswith("restored from ")) == ("me", True)
    assert (after.history, after.vetoed) == (before.history, before.vetoed)
    assert home.said() == (witness, witness, str(witness))
    (aside,) = home.model_folder.glob("champion.json.damaged-*")
    assert aside.read_bytes() == edited
    assert aside.name in said
    assert champions.reconcile(home.served, home.tracker, home.name) == []
    assert {finding.state for finding in examine(home).values()} == {"ok"}


def test_a_digest_that_was_edited_is_not_called_a_changed_manifest(home: ChampionHome) -> None:
    edit(home, manifest_sha256=OTHER)
    (line,) = champions.reconcile(home.served, home.tracker, home.name)
    assert "record is wrong" in line
    assert home.digest(2)[:12] in line
    assert "MLflow's alias names version 2" in line
    assert record_of(home).champion.manifest_sha256 == home.digest(2)


def test_an_alias_that_lags_behind_on_a_vetoed_version_tells_nothing(home: ChampionHome) -> None:
    edit(home, version=4, manifest_sha256=OTHER)
    home.alias(3)
    (said, *_) = champions.reconcile(home.served, home.tracker, home.name)
    assert "link current names version 2" in said
    assert home.said() == (2, 2, "2")


def test_where_nothing_tells_a_promotion_is_the_cure_and_works(home: ChampionHome) -> None:
    before = record_of(home)
    edit(home, version=4, manifest_sha256=OTHER)
    home.alias(None)
    link(home, None)
    (home.model_folder / "2" / "model.joblib").write_bytes(b"changed")
    for _ in range(2):
        with pytest.raises(IntegrityError) as caught:
            champions.reconcile(home.served, home.tracker, home.name)
    message = str(caught.value)
    assert message.endswith(f"`aiops promote {home.name} 1` (whole versions: 1, 3, 4)")
    assert "aiops run" not in message
    found = examine(home)
    assert (found["champion record"].state, found["champion record"].text) == ("PROBLEM", message)
    assert "alias" not in found
    assert home.said() == (4, None, None)
    after = champions.promote(home.served, home.tracker, home.spec, 4, reason="it is whole", who="ann@ops")
    assert home.said() == (4, 4, "4")
    assert after.champion.manifest_sha256 == home.digest(4)
    assert (after.history, after.vetoed) == (before.history, before.vetoed)


def test_without_any_whole_version_the_cure_is_another_one(home: ChampionHome) -> None:
    edit(home, manifest_sha256=OTHER)
    for version in home.served.versions(home.name):
        (home.model_folder / str(version) / "model.joblib").write_bytes(b"changed")
    with raises(IntegrityError, "record_not_restored") as caught:
        champions.reconcile(home.served, home.tracker, home.name)
    assert f"{home.model_folder}/champion.json away" in str(caught.value)
    assert "`aiops run`" in str(caught.value)
    assert "aiops promote" not in str(caught.value)


def test_a_promotion_restores_the_record_first_and_a_rollback_names_the_doctor(home: ChampionHome) -> None:
    edit(home, version=4)
    before = home.files()
    with raises(IntegrityError, "doubted_record"):
        champions.rollback(home.served, home.tracker, home.spec, None, reason="", who="")
    assert home.files() == before
    record = champions.promote(home.served, home.tracker, home.spec, 4, reason="better", who="ann@ops")
    assert [move.version for move in (record.champion, *record.history)] == [4, 2, 3, 2, 1]
    assert [veto.version for veto in record.vetoed] == [3]


@pytest.mark.parametrize("done", ["changed", "removed"])
def test_a_champion_whose_manifest_was_changed_leaves_the_record_right_and_alias_and_link_where_they_are(
    home: ChampionHome, done: str
) -> None:
    manifest = home.model_folder / "2" / MANIFEST
    if done == "changed":
        manifest.write_bytes(manifest.read_bytes() + b"\n")
    else:
        shutil.rmtree(manifest.parent)
    home.alias(1)
    link(home, 4)
    record = record_of(home)
    assert champions.reconcile(home.served, home.tracker, home.name) == []
    for repair in (False, True):
        found = examine(home, repair=repair)
        assert found["champion record"].state == "ok"
        assert [found[what].state for what in ("champion", "link", "alias")] == ["PROBLEM"] * 3
        assert "says version 2" in found["alias"].text
    assert home.said() == (2, 1, "4")
    assert record_of(home) == record
    # A rollback needs no more than the history.
    champions.rollback(home.served, home.tracker, home.spec, None, reason="", who="")
    assert home.said() == (1, 1, "1")


def test_record_and_directory_changed_together_are_not_followed(home: ChampionHome) -> None:
    manifest = home.model_folder / "2" / MANIFEST
    manifest.write_bytes(manifest.read_bytes() + b"\n")
    edit(home, manifest_sha256=home.digest(2))
    with raises(IntegrityError, "record_not_restored") as caught:
        champions.reconcile(home.served, home.tracker, home.name)
    assert home.digest(2)[:12] in str(caught.value)
    assert f"`aiops promote {home.name} 1`" in str(caught.value)
    champions.promote(home.served, home.tracker, home.spec, 1, reason="", who="")
    assert home.said() == (1, 1, "1")


def test_without_mlflow_nothing_follows_a_record_that_the_directories_contradict(home: ChampionHome) -> None:
    edit(home, version=4)
    link(home, 1)
    away = Tracker("sqlite:////dev/null/mlflow.db", "aiops/default")
    doctor = Doctor(home.served, home.training_sets, away, who="me")
    found = {finding.what: finding for finding in doctor.examine((home.spec,))}
    assert found["champion record"].state == "PROBLEM"
    assert "record is wrong" in found["champion record"].text
    assert "start MLflow" in found["champion record"].text
    assert home.said() == (4, 2, "1")


def test_history_entries_that_do_not_verify_are_passed_over(home: ChampionHome) -> None:
    champions.promote(home.served, home.tracker, home.spec, 4, reason="", who="")
    path = home.model_folder / "champion.json"
    content = json.loads(path.read_bytes())
    assert [move["version"] for move in content["history"]][:2] == [2, 3]
    content["history"][0]["manifest_sha256"] = OTHER
    path.write_text(json.dumps(content))
    assert champions.reconcile(home.served, home.tracker, home.name) == []
    record = champions.rollback(home.served, home.tracker, home.spec, None, reason="", who="")
    assert record.champion.version == 1


def test_a_record_that_is_gone_costs_history_and_vetoes_and_that_is_said(home: ChampionHome) -> None:
    (home.model_folder / "champion.json").unlink()
    for repair in (False, True):
        finding = examine(home, repair=repair)["champion record"]
        assert finding.state == ("mended" if repair else "to mend")
        assert "record is missing" in finding.text
        assert "MLflow's alias names version 2" in finding.text
        assert finding.text.endswith("are lost")
    assert record_of(home).history == ()
    assert read_problem(home.served, home.name) == ""
    with raises(NotFoundError, "nothing_to_go_back_to", passed_over=[]):
        champions.rollback(home.served, home.tracker, home.spec, None, reason="", who="")
