"""Champion records that were edited by hand: they can be read, and what they say of the champion is wrong."""

import json
import shutil
from pathlib import Path

import pytest

from aiops_assets.errors import IntegrityError, NotFoundError
from aiops_assets.judging.statements import Statement
from aiops_assets.registry import champions
from aiops_assets.registry.doctor import Doctor, Finding
from aiops_assets.registry.restoring import read_problem
from aiops_assets.storage.records import ChampionRecord
from aiops_assets.tracking.tracker import Tracker
from aiops_assets_tests.raising import raises
from aiops_assets_tests.registry.champion_home import ChampionHome, copied
from aiops_assets_tests.snapshot import assert_snapshot, steady

OTHER = "0" * 64
MANIFEST = "manifest.json"


@pytest.fixture
def home(tmp_path: Path) -> ChampionHome:
    """Versions 1 to 4; 3 was served and rolled back to 2; 1 was served before."""

    def fill(home: ChampionHome) -> None:
        for _ in range(4):
            home.add()
        for version, seen in ((1, None), (2, 1), (3, 2)):
            home.serve(version, seen)
        champions.rollback(home.served, home.tracker, home.spec, None, reason="pages at night", who="bob@ops")
        assert home.said() == (2, 2, "2")

    return copied("rolled-back", fill, tmp_path)


def edit(home: ChampionHome, **changes: object) -> None:
    """Change the champion's entry as a person with an editor does."""
    path = home.model_folder / "champion.json"
    content = json.loads(path.read_bytes())
    content["champion"].update(changes)
    path.write_text(json.dumps(content))


def link(home: ChampionHome, version: int | None) -> None:
    (home.model_folder / "current").unlink(missing_ok=True)
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
    ("number", "by"),
    [
        (4, "reconcile"),
        (9, "doctor"),
        pytest.param(4, "doctor", marks=pytest.mark.long),
        pytest.param(9, "reconcile", marks=pytest.mark.long),
    ],
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
    wrong = {"named": number, "digest": OTHER if digest == "changed" else home.digest(2)}
    if witness is None:
        with raises(IntegrityError, "record_not_restored", problem="wrong_record", **wrong, promote=2):
            champions.reconcile(home.served, home.tracker, home.name)
        assert home.said() == (number, None, None)
        return
    if by == "reconcile":
        said: Statement | Finding = champions.reconcile(home.served, home.tracker, home.name, who="me")[0]
    else:
        assert examine(home, repair=False)["champion record"].state == "to repair"
        assert home.said() == (number, alias, str(linked) if linked else None)
        said = examine(home)["champion record"]
        assert said.state == "repaired"
    assert len(said.text.splitlines()) == 1
    assert (said.code, said.facts["version"], said.facts["keeps_history"]) == ("wrong_record", witness, True)
    assert said.facts.items() >= wrong.items()
    after = record_of(home)
    assert after.champion.manifest_sha256 == home.digest(witness)
    assert (after.champion.who, after.champion.reason.startswith("restored from ")) == ("me", True)
    assert (after.history, after.vetoed) == (before.history, before.vetoed)
    assert home.said() == (witness, witness, str(witness))
    (aside,) = home.model_folder.glob("champion.json.damaged-*")
    assert aside.read_bytes() == edited
    assert said.facts["aside"] == aside.name
    assert champions.reconcile(home.served, home.tracker, home.name) == []
    assert {finding.state for finding in examine(home).values()} == {"ok"}


def test_a_digest_that_was_edited_is_not_called_a_changed_manifest(home: ChampionHome) -> None:
    edit(home, manifest_sha256=OTHER)
    (said,) = champions.reconcile(home.served, home.tracker, home.name)
    assert (said.code, said.facts["named"], said.facts["digest"]) == ("wrong_record", 2, OTHER)
    assert said.facts["there"] == said.facts["in_mlflow"] == home.digest(2)
    assert (said.facts["witness"], said.facts["version"]) == ("MLflow's alias", 2)
    assert record_of(home).champion.manifest_sha256 == home.digest(2)


def test_an_alias_that_lags_behind_on_a_vetoed_version_tells_nothing(home: ChampionHome) -> None:
    edit(home, version=4, manifest_sha256=OTHER)
    home.alias(3)
    (said, *_) = champions.reconcile(home.served, home.tracker, home.name)
    assert (said.code, said.facts["witness"], said.facts["version"]) == ("wrong_record", "the link current", 2)
    assert home.said() == (2, 2, "2")


def test_where_nothing_tells_a_promotion_is_the_cure_and_works(home: ChampionHome) -> None:
    before = record_of(home)
    edit(home, version=4, manifest_sha256=OTHER)
    home.alias(None)
    link(home, None)
    (home.model_folder / "2" / "model.joblib").write_bytes(b"changed")
    for _ in range(2):
        with raises(IntegrityError, "record_not_restored", promote=1, whole=[1, 3, 4]) as caught:
            champions.reconcile(home.served, home.tracker, home.name)
    found = examine(home)
    assert (found["champion record"].state, found["champion record"].text) == ("PROBLEM", str(caught.value))
    assert (found["champion record"].code, found["champion record"].facts["promote"]) == ("record_not_restored", 1)
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
    with raises(IntegrityError, "record_not_restored", promote=None, whole=[]):
        champions.reconcile(home.served, home.tracker, home.name)


def test_a_promotion_restores_the_record_first_and_a_rollback_names_the_doctor(home: ChampionHome) -> None:
    edit(home, version=4)
    before = home.files()
    with raises(IntegrityError, "doubted_record", problem="wrong_record", named=4, digest=home.digest(2)):
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
        code = "other_manifest" if done == "changed" else "not_found_error"
        assert [(found[what].state, found[what].code) for what in ("champion", "link", "alias")] == [
            ("PROBLEM", code),
            ("PROBLEM", "link_behind"),
            ("PROBLEM", "alias_behind"),
        ]
        assert found["link"].facts == {"found": "4", "version": 2}
        assert found["alias"].facts == {"found": 1, "version": 2}
    assert home.said() == (2, 1, "4")
    assert record_of(home) == record
    # A rollback needs no more than the history.
    champions.rollback(home.served, home.tracker, home.spec, None, reason="", who="")
    assert home.said() == (1, 1, "1")


def test_record_and_directory_changed_together_are_not_followed(home: ChampionHome) -> None:
    manifest = home.model_folder / "2" / MANIFEST
    manifest.write_bytes(manifest.read_bytes() + b"\n")
    edit(home, manifest_sha256=home.digest(2))
    facts = {"problem": "digests_differ", "named": 2, "digest": home.digest(2), "promote": 1}
    with raises(IntegrityError, "record_not_restored", **facts):
        champions.reconcile(home.served, home.tracker, home.name)
    champions.promote(home.served, home.tracker, home.spec, 1, reason="", who="")
    assert home.said() == (1, 1, "1")


def test_without_mlflow_nothing_follows_a_record_that_the_directories_contradict(home: ChampionHome) -> None:
    edit(home, version=4)
    link(home, 1)
    away = Tracker("sqlite:////dev/null/mlflow.db", "aiops/default")
    doctor = Doctor(home.served, home.training_sets, away, who="me")
    found = {finding.what: finding for finding in doctor.examine((home.spec,))}
    assert (found["champion record"].state, found["champion record"].code) == ("PROBLEM", "wrong_record")
    assert found["champion record"].facts["named"] == 4
    assert (found["MLflow"].state, found["MLflow"].code) == ("PROBLEM", "absent")
    assert home.said() == (4, 2, "1")


def test_history_entries_that_do_not_verify_are_passed_over(home: ChampionHome) -> None:
    champions.promote(home.served, home.tracker, home.spec, 4, reason="", who="")
    path = home.model_folder / "champion.json"
    content = json.loads(path.read_bytes())
    assert [move["version"] for move in content["history"]][:2] == [2, 3]
    content["history"][0]["manifest_sha256"] = OTHER
    path.write_text(json.dumps(content))
    with raises(IntegrityError, "wrong_signature"):
        champions.reconcile(home.served, home.tracker, home.name)
    edited = home.served.unsigned_champion(home.name)
    assert edited
    assert home.served.sign_champion(edited)
    assert champions.reconcile(home.served, home.tracker, home.name) == []
    record = champions.rollback(home.served, home.tracker, home.spec, None, reason="", who="")
    assert record.champion.version == 1


def test_a_record_that_is_gone_costs_history_and_vetoes_and_that_is_said(home: ChampionHome) -> None:
    (home.model_folder / "champion.json").unlink()
    for repair in (False, True):
        finding = examine(home, repair=repair)["champion record"]
        assert finding.state == ("repaired" if repair else "to repair")
        assert finding.code == "missing_record"
        facts = {"witness": "MLflow's alias", "version": 2, "aside": "", "keeps_history": False}
        assert finding.facts == facts
    assert record_of(home).history == ()
    assert read_problem(home.served, home.name) is None
    with raises(NotFoundError, "nothing_to_go_back_to", passed_over=[]):
        champions.rollback(home.served, home.tracker, home.spec, None, reason="", who="")


def test_what_is_said(home: ChampionHome) -> None:
    path = home.model_folder / "champion.json"
    right = path.read_bytes()
    said: list[str] = []
    manifest = home.model_folder / "2" / MANIFEST

    def look() -> None:
        try:
            said.extend(one.text for one in champions.reconcile(home.served, home.tracker, home.name, repair=False))
        except IntegrityError as error:
            said.append(str(error))

    edits: list[dict[str, object]] = [{"version": 4}, {"version": 4, "manifest_sha256": OTHER}, {"version": 9}]
    for changes in edits:
        edit(home, **changes)
        look()
        path.write_bytes(right)
    edit(home, version=4, manifest_sha256=OTHER)
    home.alias(3)  # vetoed
    look()
    home.alias(None)
    link(home, None)
    look()
    path.unlink()
    link(home, 1)
    look()
    path.write_bytes(right)
    link(home, 4)
    home.alias(1)
    look()
    content = manifest.read_bytes()
    manifest.write_bytes(content + b"\n")
    said.extend(one.text for one in examine(home, repair=False).values())
    edit(home, manifest_sha256=home.digest(2))
    look()
    for version in home.served.versions(home.name):
        (home.model_folder / str(version) / "model.joblib").write_bytes(b"changed")
    look()
    path.write_bytes(right)
    manifest.write_bytes(content)
    edit(home, version=4)
    away = Doctor(home.served, home.training_sets, Tracker("sqlite:////dev/null/mlflow.db", "aiops/default"), who="me")
    said.extend(one.text for one in away.examine((home.spec,)) if one.state == "PROBLEM")
    digests = {f"DIGEST-{version}": home.digest(version)[:12] for version in (1, 2, 4)}
    places = {"HOME": home.folder, "NAME": home.name, **digests, "DIGEST-EDITED": OTHER[:12]}
    assert_snapshot("champion_records", steady("".join(f"{line}\n" for line in said), places))
