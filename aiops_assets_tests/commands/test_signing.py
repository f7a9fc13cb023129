"""`aiops sign`: homes of earlier releases are signed by a person who saw what is recorded of them, by nothing else."""

import json
import shutil
from pathlib import Path

import pytest

from aiops_assets.errors import IntegrityError
from aiops_assets.registry import champions, signing
from aiops_assets.service.instruments import Instruments
from aiops_assets.service.pool import ModelPool
from aiops_assets.service.versions import ChampionSource
from aiops_assets.storage.served import MANIFEST, SIGNATURE, ServedModels
from aiops_assets.storage.signatures import Keys
from aiops_assets_tests.commands.championing import call
from aiops_assets_tests.commands.typed import Transcript, refused
from aiops_assets_tests.raising import raises
from aiops_assets_tests.registry.champion_home import ChampionHome, trap_file
from aiops_assets_tests.registry.test_trust import edit_mlflow, replace_files
from aiops_assets_tests.signed import keys_in
from aiops_assets_tests.snapshot import assert_snapshot


@pytest.fixture
def old(home: ChampionHome) -> ChampionHome:
    """A home as the release before signatures left it: versions 1, 2, 3, of which 2 is served."""
    for signature in home.model_folder.rglob(SIGNATURE):
        signature.unlink()
    path = home.model_folder / "champion.json"
    record = json.loads(path.read_bytes())
    del record["signature"]
    path.write_text(json.dumps(record, indent=2) + "\n")
    return home


def states(home: ChampionHome) -> dict[int, tuple[str, str]]:
    """Version, 0 for the record -> state and code."""
    found = signing.examine(home.served, home.tracker, [home.name])
    return {one.version: (one.state, one.code) for one in found}


def problem_of(home: ChampionHome) -> str:
    """Why the service serves nothing; empty: it serves."""
    pool = ModelPool(ChampionSource(home.served), [home.spec], Instruments())
    pool.refresh()
    return "" if pool.ready else pool.problems[home.name].text


def test_an_old_home_is_served_after_the_one_command_that_it_names(old: ChampionHome) -> None:
    assert "`aiops sign`" in problem_of(old)
    for words in (("promote", old.name, "3"), ("rollback", old.name)):
        error = refused(call(old, *words), IntegrityError, "unsigned" if words[0] == "promote" else "doubted_record")
        assert "`aiops sign`" in str(error)
    before = old.files()
    shown = call(old, "sign")
    assert shown.exit_code == 1
    assert old.files() == before
    assert states(old) == {0: ("to sign", "unsigned"), **dict.fromkeys((1, 2, 3), ("to sign", "recorded"))}
    assert call(old, "sign", "--yes").exit_code == 0
    assert states(old) == dict.fromkeys((0, 1, 2, 3), ("signed", "signed"))
    assert problem_of(old) == ""
    assert old.said() == (2, 2, "2")
    after = old.files()
    assert call(old, "sign", "--yes").exit_code == 0
    assert old.files() == after
    assert {name: after[name] for name in before if name != "champion.json"} == {
        name: content for name, content in before.items() if name != "champion.json"
    }
    champions.promote(old.served, old.tracker, old.spec, 3, reason="", who="")


def test_a_run_of_an_old_home_stops_at_once_and_changes_nothing(old: ChampionHome) -> None:
    with raises(IntegrityError, "unsigned"):
        champions.reconcile(old.served, old.tracker, old.name, who="a run")
    assert "unsigned" in {code for _, code in states(old).values()}


def test_signing_goes_on_where_it_was_killed(old: ChampionHome) -> None:
    for version in (1, 2):
        old.served.sign(old.name, version, old.digest(version))
        assert states(old)[0] == ("to sign", "unsigned")
        assert problem_of(old)
    (old.model_folder / "3" / f".{SIGNATURE}.123.tmp").write_bytes(b"{ half")
    assert call(old, "sign", "--yes").exit_code == 0
    assert problem_of(old) == ""


def test_what_differs_from_its_records_is_not_signed(old: ChampionHome, tmp_path: Path) -> None:
    touched = tmp_path / "executed"
    replace_files(old, 1, trap_file(touched))  # MLflow has another digest of it
    (old.model_folder / "3" / "model.joblib").write_bytes(b"changed")
    shutil.copytree(old.model_folder / "2", old.model_folder / "99")
    replace_files(old, 99, trap_file(touched))
    done = call(old, "sign", "--yes")
    assert done.exit_code == 1
    assert states(old) == {
        0: ("signed", "signed"),
        1: ("REFUSED", "other_manifest"),
        2: ("signed", "signed"),
        3: ("REFUSED", "changed_file"),
        99: ("REFUSED", "unrecorded"),
    }
    assert not touched.exists()
    assert problem_of(old) == ""


def test_a_version_that_only_an_unsigned_record_names_is_not_signed(old: ChampionHome, tmp_path: Path) -> None:
    shutil.copytree(old.model_folder / "2", old.model_folder / "99")
    digest = replace_files(old, 99, trap_file(tmp_path / "executed"))
    path = old.model_folder / "champion.json"
    record = json.loads(path.read_bytes())
    record["champion"] |= {"version": 99, "manifest_sha256": digest}
    path.write_text(json.dumps(record))
    assert call(old, "sign", "--yes").exit_code == 1
    found = states(old)
    assert (found[99], found[0][0]) == (("REFUSED", "unrecorded"), "REFUSED")
    assert problem_of(old)
    assert call(old, "promote", old.name, "2").exit_code == 0
    assert problem_of(old) == ""
    assert not (tmp_path / "executed").exists()


def test_without_mlflow_the_record_alone_vouches_and_that_is_said(old: ChampionHome) -> None:
    shutil.rmtree(old.folder / "mlflow")
    done = call(old, "sign")
    lines = {line.split(":")[0]: line for line in done.stdout.splitlines()}
    assert "the champion record alone" in lines[f"to sign     {old.name} version 2"]
    assert states(old)[3] == ("REFUSED", "unrecorded")


def test_an_edited_record_is_signed_by_a_person_alone(home: ChampionHome) -> None:
    path = home.model_folder / "champion.json"
    record = json.loads(path.read_bytes())
    record["champion"]["reason"] = "edited"
    path.write_text(json.dumps(record))
    assert states(home)[0] == ("to sign", "wrong_signature")
    with raises(IntegrityError, "wrong_signature"):
        champions.reconcile(home.served, home.tracker, home.name)
    assert call(home, "sign", "--yes").exit_code == 0
    assert champions.reconcile(home.served, home.tracker, home.name) == []


def test_a_new_key_signs_what_the_older_one_did_and_then_replaces_it(home: ChampionHome, tmp_path: Path) -> None:
    other = keys_in(tmp_path / "other")
    other.make()
    both = tmp_path / "both.pub"
    both.write_bytes(home.served.keys.verify_file.read_bytes() + other.verify_file.read_bytes())
    variables = {"SIGNING_KEY_FILE": str(other.signing_file), "VERIFY_KEY_FILE": str(both)}
    assert call(home, "sign", **variables).stdout.count("to sign") == 4
    assert problem_of(home) == ""  # by the old key, until it is taken away
    assert call(home, "sign", "--yes", **variables).exit_code == 0
    later = ServedModels(home.served.storage, Keys(other.verify_file))
    pool = ModelPool(ChampionSource(later), [home.spec], Instruments())
    pool.refresh()
    assert pool.get(home.name).champion.version == 2
    assert {later.signed_by(home.name, version) for version in (1, 2, 3)} == {other.own}


def test_a_version_with_the_signature_of_another_content_can_be_signed_again(home: ChampionHome) -> None:
    (home.model_folder / "2" / SIGNATURE).write_bytes(b"{ half")
    assert "`aiops sign`" in problem_of(home)
    assert states(home)[2] == ("to sign", "recorded")
    assert call(home, "sign", home.name, "--yes").exit_code == 0
    assert problem_of(home) == ""


def test_keys_are_made_by_the_person_who_signs(old: ChampionHome, tmp_path: Path) -> None:
    config = tmp_path / "config"
    variables = {"XDG_CONFIG_HOME": str(config)}
    assert call(old, "sign", **variables).exit_code == 1
    assert not config.exists()
    assert call(old, "sign", "--yes", **variables).exit_code == 0
    assert sorted(path.name for path in (config / "aiops_assets").iterdir() if path.name[0] != ".") == [
        "signing.key",
        "verify.pub",
    ]


def test_what_is_printed(old: ChampionHome, tmp_path: Path) -> None:
    replace_files(old, 1, b"another")
    edit_mlflow(old, 1, "0" * 64)
    (old.model_folder / "3" / MANIFEST).write_text("{}")
    said = Transcript(lambda *words: call(old, *words), HOME=old.folder, KEY=old.served.keys.own)
    places = {f"DIGEST-{version}": old.digest(version)[:12] for version in (1, 2)}
    said.places |= places
    for words in (("sign", "nothing"), ("sign",), ("sign", "--yes"), ("sign",)):
        said.type(*words)
    assert_snapshot("commands_signing", said.text)
