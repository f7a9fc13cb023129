"""`aiops promote`, `rollback`, `models` and `doctor` as people type them, and the same as Dagster jobs."""

import getpass
import json
import os
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from click.testing import CliRunner, Result

from aiops_assets.commands.champions import age, person
from aiops_assets.commands.cli import main
from aiops_assets.datasets.selection import active_models
from aiops_assets.errors import IntegrityError, NotFoundError
from aiops_assets.families.catalog import ALIASES, MODELS
from aiops_assets.pipeline.definitions import definitions_for
from aiops_assets.registry.doctor import Doctor, Finding
from aiops_assets.registry.restoring import record_problem
from aiops_assets.storage.records import EvaluationRecord
from aiops_assets_tests.commands.typed import Transcript, refused
from aiops_assets_tests.conftest import make_settings
from aiops_assets_tests.raising import raises
from aiops_assets_tests.registry.champion_home import ChampionHome, home_of, model_file
from aiops_assets_tests.snapshot import assert_snapshot

NAME = "anomaly-detector"
OLDER = "older-name"
"""Stands for NAME where a test says so."""


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with an MLflow of its own: versions 1, 2, 3, of which 2 is served and 1 was."""
    home = home_of(tmp_path_factory.mktemp("filled"))
    for _ in range(3):
        home.add()
    home.serve(1, None)
    home.serve(2, 1)
    return home.folder


@pytest.fixture
def home(filled: Path, tmp_path: Path) -> ChampionHome:
    shutil.copytree(filled, tmp_path / "home", symlinks=True)
    return home_of(tmp_path / "home")


def call(home: ChampionHome | Path, *arguments: str, **variables: str) -> Result:
    folder = home if isinstance(home, Path) else home.folder
    unset = dict.fromkeys(("MODEL_ROOT", "MLFLOW_TRACKING_URI", "DATA_SOURCE", "PROMETHEUS_URL"))
    return CliRunner().invoke(main, arguments, env={**unset, "AIOPS_HOME": str(folder), **variables})


def lines(result: Result) -> dict[str, str]:
    """What the doctor looked at -> how it is and what it said."""
    found = {}
    for line in result.stdout.splitlines():
        about, _, text = line[8:].partition(": ")
        found[about] = f"{line[:8].strip()}: {text}"
    return found


def looked_at(folder: Path) -> list[Finding]:
    """What the doctor finds in a home, and leaves as it is."""
    home = home_of(folder)
    doctor = Doctor(home.served, home.training_sets, home.tracker, who="me", repair=False)
    return list(doctor.examine(active_models(make_settings(folder))))


def printed(found: list[Finding]) -> list[str]:
    """The lines that the doctor prints."""
    return [f"{one.state:8s}{f'{one.model} {one.what}'.removeprefix('- ')}: {one.text}" for one in found]


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
    mended = call(home, "doctor")
    assert mended.exit_code == 0
    assert lines(mended)[f"{NAME} champion record"].startswith("mended: ")
    assert home.said() == (2, 2, "2")
    assert call(home, "models", NAME).exit_code == 0


def spoil_record(home: ChampionHome, kind: str) -> None:
    """Make the champion record unreadable, or let it name a version with the digest of another."""
    record = home.model_folder / "champion.json"
    content = json.loads(record.read_bytes())
    content["champion"]["version"] = 3
    record.write_text("{" if kind == "unreadable" else json.dumps(content))


def test_where_nothing_is_served_everybody_says_so(tmp_path: Path) -> None:
    assert call(tmp_path, "models").exit_code == 0
    assert call(tmp_path, "models", "--json").stdout == "{}\n"
    found = looked_at(tmp_path)
    assert [(one.what, one.state, one.code) for one in found] == [("models", "ok", "nothing_served")]
    done = call(tmp_path, "doctor")
    assert (done.exit_code, done.stdout.splitlines()) == (0, printed(found))
    refused(call(tmp_path, "models", NAME), NotFoundError, "no_version", there=[])
    assert list(tmp_path.iterdir()) == []


def test_ages_are_in_the_largest_unit() -> None:
    now = datetime(2026, 11, 1, tzinfo=UTC)
    said = [age(now, now - timedelta(seconds=s)) for s in (-5, 59, 60, 3_599, 7_200, 86_400, 864_000)]
    assert said == ["0 s", "59 s", "1 min", "60 min", "2 h", "1 d", "10 d"]


def test_a_healthy_home_is_ok_in_every_line(home: ChampionHome) -> None:
    before = home.files()
    done = call(home, "doctor")
    assert done.exit_code == 0, done.stdout
    found = lines(done)
    assert all(text.startswith("ok: ") for text in found.values()), found
    assert {about.removeprefix(f"{NAME} ") for about in found if about.startswith(NAME)} == {
        "champion record", "champion", "link", "alias", "training set", "versions", "leftovers",
    }  # fmt: skip
    assert found["MLflow"] == "ok: answers"
    looked = looked_at(home.folder)
    assert done.stdout.splitlines() == printed(looked)
    codes = {(one.model, one.what): one.code for one in looked}
    assert codes.pop(("ensemble-predictor", "champion record")) == "nothing_served"
    assert {code for (model, _), code in codes.items() if model == NAME} == {"ok"}
    assert home.files() == before


def leave_behind(home: ChampionHome) -> Path:
    """What a killed writer leaves."""
    left = home.model_folder / ".staging-killed"
    left.mkdir()
    (left / "lock").touch()
    os.utime(left, (0, 0))
    return left


def test_the_doctor_mends_what_follows_the_record_and_only_looks_when_asked(home: ChampionHome) -> None:
    home.alias(1)
    (home.model_folder / "current").unlink()
    left = leave_behind(home)
    before = home.files()

    looked = call(home, "doctor", "--dry-run")
    assert looked.exit_code == 1
    found = looked_at(home.folder)
    assert looked.stdout.splitlines() == printed(found)
    assert looked.stderr.startswith("3 left")
    disagree = [one for one in found if one.is_left]
    assert {(one.model, one.state) for one in disagree} == {(NAME, "to mend")}
    assert [(one.what, one.code, one.facts) for one in disagree] == [
        ("link", "link_behind", {"found": None, "version": 2}),
        ("alias", "alias_behind", {"found": 1, "version": 2}),
        ("leftovers", "leftovers", {"left": [".staging-killed"]}),
    ]
    assert (home.files(), home.said()) == (before, (2, 1, None))
    assert left.exists()

    mended = call(home, "doctor")
    assert mended.exit_code == 0
    assert lines(mended).items() >= {f"{NAME} {one.what}": f"mended: {one.text}" for one in disagree}.items()
    assert home.said() == (2, 2, "2")
    assert not left.exists()
    assert call(home, "doctor", "--dry-run").exit_code == 0


def test_the_doctor_restores_a_damaged_record(home: ChampionHome) -> None:
    (home.model_folder / "champion.json").write_text("{")
    looked = call(home, "doctor", "--dry-run")
    assert looked.exit_code == 1
    assert lines(looked)[f"{NAME} champion record"].startswith("to mend: ")
    (finding,) = [one for one in looked_at(home.folder) if one.is_left]
    assert (finding.what, finding.code) == ("champion record", "invalid_record")
    assert (finding.facts["witness"], finding.facts["version"]) == ("MLflow's alias", 2)
    done = call(home, "doctor")
    assert done.exit_code == 0
    problem = finding.text.partition("; ")[0]
    assert lines(done)[f"{NAME} champion record"].startswith(f"mended: {problem}; ")
    record = home.served.champion(NAME)
    assert record
    assert record.champion.who == f"{person()} (doctor)"


def spoil_everything(home: ChampionHome) -> None:
    """Change model files and the training set, and leave half a version."""
    for version in (1, 2):
        (home.model_folder / str(version) / "model.joblib").write_bytes(b"changed")
    (home.model_folder / "7").mkdir()
    (rows,) = home.folder.rglob("rows.parquet")
    rows.write_bytes(b"changed")


def test_the_doctor_names_what_only_people_can_mend(home: ChampionHome) -> None:
    spoil_everything(home)
    done = call(home, "doctor")
    assert done.exit_code == 1
    found = looked_at(home.folder)
    assert done.stdout.splitlines() == printed(found)
    problems = [one for one in found if one.is_left]
    assert {(one.model, one.state) for one in problems} == {(NAME, "PROBLEM")}
    champion, training_set, version, half = problems
    assert (champion.what, champion.code, champion.facts) == ("champion", "changed_file", {"file": "model.joblib"})
    assert (training_set.what, training_set.code) == ("training set", "changed_rows")
    assert training_set.facts["path"].endswith("/rows.parquet")
    assert (version.what, version.code) == ("versions", "changed_file")
    assert version.facts == {"file": "model.joblib", "version": 1}
    assert (half.what, half.code, half.facts) == ("versions", "half_version", {"version": 7})


def test_the_doctor_names_a_champion_that_nobody_recorded(home: ChampionHome) -> None:
    (home.model_folder / "champion.json").unlink()
    (home.model_folder / "current").unlink()
    home.alias(None)
    done = call(home, "doctor")
    assert done.exit_code == 1
    found = looked_at(home.folder)
    assert done.stdout.splitlines() == printed(found)
    (problem,) = [one for one in found if one.is_left]
    assert (problem.model, problem.what, problem.state) == (NAME, "champion record", "PROBLEM")
    assert (problem.code, problem.facts) == ("missing_record", {"there": [1, 2, 3]})


def test_the_doctor_says_that_mlflow_is_away_and_makes_no_new_one(home: ChampionHome) -> None:
    database = home.folder / "mlflow" / "mlflow.db"
    database.unlink()
    (home.model_folder / "current").unlink()
    done = call(home, "doctor")
    assert done.exit_code == 1
    found = lines(done)
    away = home.tracker.absence()
    assert f" sqlite:///{database}" in away
    assert found["MLflow"] == f"PROBLEM: {away}"
    assert found[f"{NAME} link"].startswith("mended: ")
    assert f"{NAME} alias" not in found
    assert not database.exists()


def test_a_version_that_mlflow_recorded_otherwise_is_a_problem(home: ChampionHome) -> None:
    manifest = home.model_folder / "3" / "manifest.json"
    manifest.write_bytes(manifest.read_bytes() + b"\n")
    done = call(home, "doctor")
    assert done.exit_code == 1
    found = looked_at(home.folder)
    assert done.stdout.splitlines() == printed(found)
    (problem,) = [one for one in found if one.is_left]
    assert (problem.model, problem.what, problem.state) == (NAME, "versions", "PROBLEM")
    assert (problem.code, problem.facts) == ("other_manifest", {"path": f"{NAME}/3/manifest.json", "version": 3})
    assert str(manifest) in problem.text


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
    event = instance.get_latest_materialization_event(dg.AssetKey(["served", NAME]))
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
    home.add(model_file(2))
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
