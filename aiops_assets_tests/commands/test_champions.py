"""`aiops promote`, `rollback` and `models` as people type them, and the same as Dagster jobs."""

import getpass
import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from aiops_assets.commands.champions import age, person
from aiops_assets.errors import IntegrityError, NotFoundError
from aiops_assets.families.catalog import ALIASES, MODELS
from aiops_assets.pipeline.definitions import definitions_for
from aiops_assets.registry.restoring import record_problem
from aiops_assets.storage.records import EvaluationRecord
from aiops_assets_tests.commands.championing import (
    call,
    leave_behind,
    lines,
    looked_at,
    printed,
    spoil_everything,
    spoil_record,
)
from aiops_assets_tests.commands.typed import Transcript, refused
from aiops_assets_tests.conftest import make_settings
from aiops_assets_tests.raising import raises
from aiops_assets_tests.registry.champion_home import ChampionHome
from aiops_assets_tests.snapshot import assert_snapshot

NAME = "anomaly-detector"
OLDER = "older-name"
"""Stands for NAME where a test says so."""


@pytest.mark.parametrize("name", [NAME, OLDER])
def test_promote_and_rollback_say_what_they_did(home: ChampionHome, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ALIASES, OLDER, NAME)
    done = call(home, "promote", name, "3", "--reason", "fewer pages")
    assert done.exit_code == 0
    assert done.stdout.endswith(f": {home.model_folder / '3'}\n")
    record = home.served.champion(NAME)
    assert record
    assert (record.champion.reason, record.champion.who) == ("fewer pages", person())
    again = call(home, "promote", name, "3")
    assert again.exit_code == 0
    assert home.served.champion(NAME) == record

    back = call(home, "rollback", name)
    assert back.exit_code == 0
    assert back.stdout.splitlines()[0].endswith(f": {home.model_folder / '2'}")
    record = home.served.champion(NAME)
    assert record
    assert (record.champion.version, [veto.version for veto in record.vetoed]) == (2, [3])
    assert call(home, "rollback", name, "--to", "2").exit_code == 0
    assert home.served.champion(NAME) == record
    assert call(home, "rollback", name, "--to", "1").exit_code == 0
    assert home.said() == (1, 1, "1")


REFUSED: dict[tuple[str, ...], tuple[str, dict[str, object]]] = {
    ("promote", NAME, "9"): ("no_version", {"version": 9, "there": [1, 2, 3]}),
    ("promote", "nobody", "1"): ("no_model", {"there": [spec.name for spec in MODELS]}),
    ("rollback", NAME, "--to", "9"): ("no_version", {"version": 9, "there": [1, 2, 3]}),
    ("models", "nobody"): ("no_version", {"there": [NAME]}),
}


@pytest.mark.parametrize("arguments", REFUSED)
def test_what_cannot_be_done_is_one_line_and_exit_code_2(home: ChampionHome, arguments: tuple[str, ...]) -> None:
    code, facts = REFUSED[arguments]
    refused(call(home, *arguments), NotFoundError, code, **facts)
    assert home.said() == (2, 2, "2")


def test_who_is_told_where_the_user_has_no_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> str:
        raise OSError("No username set in the environment")

    assert person().partition("@")[0] == getpass.getuser()
    monkeypatch.setattr(getpass, "getuser", nobody)
    assert person().startswith(f"uid {os.getuid()}@")


def test_models_are_listed_with_marks_figures_source_and_age(home: ChampionHome) -> None:
    call(home, "rollback", NAME, "--reason", "pages at night")
    home.served.put_evaluation(evaluation(3))
    done = call(home, "models", NAME)
    assert done.exit_code == 0
    title, head, third, second, first, *notes = done.stdout.splitlines()
    assert title == f"{NAME}  {home.model_folder}"
    assert head.split() == ["VERSION", "STATE", "AGE", "SOURCE", "DATA", "AVG", "PRECISION", "DECISION", "AGAINST"]
    assert third.split()[:2] == ["3", "-"]
    assert third.endswith("  0.812          keep      champion version 2: 0.830")
    assert second.split()[:2] == ["2", "vetoed"]
    assert first.split()[:2] == ["1", "champion"]
    assert first.split()[-3:] == ["0.910", "-", "-"]
    assert {line.index("synthetic") for line in (third, second, first)} == {head.index("SOURCE")}
    assert notes[0].startswith("  version 2: vetoed on ")
    assert notes[0].endswith(": pages at night")
    assert notes[1].startswith("  version 1: champion since ")


def test_models_as_json_hold_everything(home: ChampionHome) -> None:
    home.served.put_evaluation(evaluation(3))
    (home.model_folder / "1" / "manifest.json").write_text("{")
    found = json.loads(call(home, "models", "--json").stdout)
    assert list(found) == [NAME]
    third, second, first = found[NAME]
    assert (third["version"], third["decision"], third["figures"]) == (3, "keep", {"average_precision": 0.812})
    assert third["decision_reason"] == "worse"
    assert (second["state"], second["data_version"]) == ("champion", home.served.manifest(NAME, 2).data_version)
    assert (first["state"], first["created"]) == ("damaged", None)
    with raises(IntegrityError, "invalid_manifest") as caught:
        home.served.manifest(NAME, 1)
    assert first["note"] == str(caught.value)


@pytest.mark.parametrize("kind", ["unreadable", "edited"])
def test_a_record_that_tells_nothing_is_named_with_its_cure(home: ChampionHome, kind: str) -> None:
    spoil_record(home, kind)
    problem = record_problem(home.served, home.tracker, NAME)
    assert problem
    assert problem.code == ("invalid_record" if kind == "unreadable" else "wrong_record")
    assert problem.facts.get("named") == (None if kind == "unreadable" else 3)
    done = call(home, "models", NAME)
    assert done.exit_code == 1
    assert len(done.stdout.splitlines()) == 5
    assert "damaged" not in done.stdout
    (warning,) = done.stderr.splitlines()
    assert problem.text in warning
    as_json = call(home, "models", "--json")
    assert as_json.exit_code == 1
    assert [line["state"] for line in json.loads(as_json.stdout)[NAME]] == ["", "", ""]
    refused(call(home, "rollback", NAME), IntegrityError, "doubted_record", problem=problem.code, **problem.facts)
    repaired = call(home, "doctor")
    assert repaired.exit_code == 0
    assert lines(repaired)[f"{NAME} champion record"].startswith("repaired: ")
    assert home.said() == (2, 2, "2")
    assert call(home, "models", NAME).exit_code == 0


def test_where_nothing_is_served_everybody_says_so(tmp_path: Path) -> None:
    assert call(tmp_path, "models").exit_code == 0
    assert call(tmp_path, "models", "--json").stdout == "{}\n"
    found = looked_at(tmp_path)
    assert [(one.what, one.state, one.code) for one in found] == [
        ("models", "ok", "nothing_served"),
        ("lake", "ok", "nothing_stored"),
    ]
    done = call(tmp_path, "doctor")
    assert (done.exit_code, done.stdout.splitlines()) == (0, printed(found))
    refused(call(tmp_path, "models", NAME), NotFoundError, "no_version", there=[])
    assert list(tmp_path.iterdir()) == []


def test_ages_are_in_the_largest_unit() -> None:
    now = datetime(2026, 11, 1, tzinfo=UTC)
    said = [age(now, now - timedelta(seconds=s)) for s in (-5, 59, 60, 3_599, 7_200, 86_400, 864_000)]
    assert said == ["0 s", "59 s", "1 min", "60 min", "2 h", "1 d", "10 d"]


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as made:
        yield made


def run_job(
    home: ChampionHome, instance: dg.DagsterInstance, job: str, op: str, config: dict[str, object], **more: object
) -> dg.ExecuteInProcessResult:
    definition = definitions_for(make_settings(home.folder)).resolve_job_def(job)
    run_config = {"ops": {op: {"config": {"name": NAME, **config}}}}
    return definition.execute_in_process(run_config=run_config, instance=instance, **more)  # type: ignore[arg-type]


def test_both_are_dagster_jobs_that_tell_the_graph(home: ChampionHome, instance: dg.DagsterInstance) -> None:
    config: dict[str, object] = {"version": 3, "reason": "approved"}
    done = run_job(home, instance, "promote", "promote_version", config, tags={"user": "ann"})
    record = home.served.champion(NAME)
    assert record
    assert (record.champion.version, record.champion.reason) == (3, "approved")
    assert record.champion.who == f"dagster run {done.run_id} of ann"
    event = instance.get_latest_materialization_event(dg.AssetKey("anomaly_detector_served"))
    assert event
    assert event.asset_materialization
    told = {name: value.value for name, value in event.asset_materialization.metadata.items()}
    assert (told["champion"], told["previous"], told["reason"]) == (3, 2, "approved")
    assert told["who"] == record.champion.who

    run_job(home, instance, "rollback", "roll_back", {})
    assert home.said() == (2, 2, "2")
    run_job(home, instance, "rollback", "roll_back", {"to": 1})
    assert home.said() == (1, 1, "1")


def test_a_job_that_cannot_do_it_fails_with_our_error(home: ChampionHome, instance: dg.DagsterInstance) -> None:
    with raises(NotFoundError, "no_version", version=9):
        run_job(home, instance, "promote", "promote_version", {"version": 9})
    assert home.said() == (2, 2, "2")


def evaluation(version: int) -> EvaluationRecord:
    return EvaluationRecord(
        name=NAME, version=version, when=datetime.now(UTC), dagster_run_id="r", data_version="d" * 32,
        effective_source="synthetic", holdout_rows=10, anomalous_rows=1, figures={"average_precision": 0.812},
        opponent="champion version 2", opponent_figures={"average_precision": 0.83}, decision="keep", reason="worse",
    )  # fmt: skip


def test_a_twin_of_a_vetoed_version_is_marked(home: ChampionHome) -> None:
    call(home, "rollback", NAME)
    home.add_twin(2)
    found = json.loads(call(home, "models", NAME, "--json").stdout)[NAME]
    assert {line["version"]: line["state"] for line in found} == {4: "vetoed", 3: "", 2: "vetoed", 1: "champion"}


def test_what_is_printed(home: ChampionHome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = Transcript(lambda *words: call(home, *words), HOME=home.folder, PERSON=person())
    record = home.model_folder / "champion.json"
    right = record.read_bytes()
    for arguments in REFUSED:
        said.type(*arguments)
    home.alias(1)
    (home.model_folder / "current").unlink()
    leave_behind(home)
    said.type("doctor", "--dry-run")
    said.type("doctor")
    monkeypatch.setitem(ALIASES, OLDER, NAME)
    for name in (NAME, OLDER):
        record.write_bytes(right)
        said.type("promote", name, 3)
        said.type("promote", name, 3)
        said.type("rollback", name)
        said.type("rollback", name, "--to", 2)
    for kind in ("unreadable", "edited"):
        record.write_bytes(right)
        spoil_record(home, kind)
        said.type("models", NAME, lines=0)  # the table has ages
        said.type("rollback", NAME)
        said.type("doctor")
    record.unlink()
    (home.model_folder / "current").unlink()
    home.alias(None)
    said.type("doctor", "--dry-run")
    record.write_bytes(right)
    spoil_everything(home)
    manifest = home.model_folder / "3" / "manifest.json"
    manifest.write_bytes(manifest.read_bytes() + b"\n")
    said.type("doctor", "--dry-run")
    (home.folder / "mlflow" / "mlflow.db").unlink()
    said.type("doctor", "--dry-run")
    empty = Transcript(lambda *words: call(tmp_path / "empty", *words), EMPTY=tmp_path / "empty")
    for arguments in (("models",), ("models", NAME), ("doctor",)):
        empty.type(*arguments)
    assert_snapshot("commands_champions", said.text + empty.text)
