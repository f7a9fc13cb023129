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
from aiops_assets.errors import NotFoundError
from aiops_assets.families.catalog import ALIASES
from aiops_assets.pipeline.definitions import definitions_for
from aiops_assets.storage.records import EvaluationRecord
from aiops_assets_tests.conftest import make_settings
from aiops_assets_tests.registry.champion_home import ChampionHome, home_of, model_file

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


@pytest.mark.parametrize("name", [NAME, OLDER])
def test_promote_and_rollback_say_what_they_did(home: ChampionHome, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ALIASES, OLDER, NAME)
    done = call(home, "promote", name, "3", "--reason", "fewer pages")
    assert (done.exit_code, done.stdout) == (
        0,
        f"{NAME}: version 3 is served (was version 2): {home.model_folder / '3'}\n",
    )
    record = home.served.champion(NAME)
    assert record
    assert (record.champion.reason, record.champion.who) == ("fewer pages", person())
    again = call(home, "promote", name, "3")
    assert again.exit_code == 0
    assert again.stdout.startswith(f"{NAME}: version 3 is the champion already, since 20")
    assert home.served.champion(NAME) == record

    back = call(home, "rollback", name)
    assert back.exit_code == 0
    assert back.stdout.splitlines() == [
        f"{NAME}: version 2 is served again: {home.model_folder / '2'}",
        f"version 3 is vetoed: no run serves it by itself; `aiops promote {NAME} 3` lifts that",
    ]
    assert "version 2 is the champion already" in call(home, "rollback", name, "--to", "2").stdout
    assert call(home, "rollback", name, "--to", "1").exit_code == 0
    assert home.said() == (1, 1, "1")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("promote", NAME, "9"), "has no version 9 in "),
        (("promote", "nobody", "1"), "there is no model 'nobody': there are anomaly-detector"),
        (("rollback", NAME, "--to", "9"), "has no version 9 in "),
        (("models", "nobody"), "nobody has no version in "),
    ],
)
def test_what_cannot_be_done_is_one_line_and_exit_code_2(
    home: ChampionHome, arguments: tuple[str, ...], says: str
) -> None:
    done = call(home, *arguments)
    assert done.exit_code == 2
    assert done.stderr.startswith("error: ")
    assert says in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
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
    assert "no valid manifest" in first["note"]


@pytest.mark.parametrize("kind", ["unreadable", "edited"])
def test_a_record_that_tells_nothing_is_named_with_its_cure(home: ChampionHome, kind: str) -> None:
    record = home.model_folder / "champion.json"
    content = json.loads(record.read_bytes())
    content["champion"]["version"] = 3
    record.write_text("{" if kind == "unreadable" else json.dumps(content))
    problem = "is no valid champion record" if kind == "unreadable" else "the record is wrong: "
    done = call(home, "models", NAME)
    assert done.exit_code == 1
    assert len(done.stdout.splitlines()) == 5
    assert "damaged" not in done.stdout
    assert done.stderr.startswith(f"warning: {NAME}: which version is served is not known: ")
    assert problem in done.stderr
    assert done.stderr.endswith(": `aiops doctor` mends it\n")
    as_json = call(home, "models", "--json")
    assert as_json.exit_code == 1
    assert [line["state"] for line in json.loads(as_json.stdout)[NAME]] == ["", "", ""]
    back = call(home, "rollback", NAME)
    assert back.exit_code == 2
    assert problem in back.stderr
    assert back.stderr.endswith(": `aiops doctor` mends it\n")
    mended = call(home, "doctor")
    assert mended.exit_code == 0
    assert lines(mended)[f"{NAME} champion record"].startswith("mended: ")
    assert home.said() == (2, 2, "2")
    assert call(home, "models", NAME).exit_code == 0


def test_where_nothing_is_served_everybody_says_so(tmp_path: Path) -> None:
    assert f"no model in {tmp_path / 'models'} yet: `aiops run`" in call(tmp_path, "models").stdout
    assert call(tmp_path, "models", "--json").stdout == "{}\n"
    done = call(tmp_path, "doctor")
    assert (done.exit_code, lines(done)) == (
        0,
        {"models": f"ok: nothing is served from {tmp_path / 'models'} yet: `aiops run`"},
    )
    assert "run `aiops run` first" in call(tmp_path, "models", NAME).stderr
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
    assert found["ensemble-predictor champion record"] == "ok: nothing is served yet: `aiops run`"
    assert home.files() == before


def test_the_doctor_mends_what_follows_the_record_and_only_looks_when_asked(home: ChampionHome) -> None:
    home.alias(1)
    (home.model_folder / "current").unlink()
    left = home.model_folder / ".staging-killed"
    left.mkdir()
    (left / "lock").touch()
    os.utime(left, (0, 0))
    before = home.files()

    looked = call(home, "doctor", "--dry-run")
    assert looked.exit_code == 1
    assert "3 left; nothing was changed" in looked.stderr
    disagree = {
        f"{NAME} alias": "MLflow's alias champion names version 1, the champion record says version 2",
        f"{NAME} link": "the link current is missing, the champion record says version 2",
        f"{NAME} leftovers": "left by killed writers: .staging-killed",
    }
    assert lines(looked).items() >= {about: f"to mend: {text}" for about, text in disagree.items()}.items()
    assert (home.files(), home.said()) == (before, (2, 1, None))
    assert left.exists()

    mended = call(home, "doctor")
    assert mended.exit_code == 0
    assert lines(mended).items() >= {about: f"mended: {text}" for about, text in disagree.items()}.items()
    assert home.said() == (2, 2, "2")
    assert not left.exists()
    assert call(home, "doctor", "--dry-run").exit_code == 0


def test_the_doctor_restores_a_damaged_record(home: ChampionHome) -> None:
    (home.model_folder / "champion.json").write_text("{")
    looked = call(home, "doctor", "--dry-run")
    assert looked.exit_code == 1
    assert lines(looked)[f"{NAME} champion record"].startswith("to mend: ")
    done = call(home, "doctor")
    assert done.exit_code == 0
    assert "MLflow's alias names version 2, which is whole" in lines(done)[f"{NAME} champion record"]
    record = home.served.champion(NAME)
    assert record
    assert record.champion.who == f"{person()} (doctor)"


def test_the_doctor_names_what_only_people_can_mend(home: ChampionHome) -> None:
    for version in (1, 2):
        (home.model_folder / str(version) / "model.joblib").write_bytes(b"changed")
    (home.model_folder / "7").mkdir()
    (rows,) = home.folder.rglob("rows.parquet")
    rows.write_bytes(b"changed")
    done = call(home, "doctor")
    assert done.exit_code == 1
    problems = [line for line in done.stdout.splitlines() if line.startswith("PROBLEM ")]
    assert [line.partition(": ")[0].removeprefix(f"PROBLEM {NAME} ") for line in problems] == [
        "champion", "training set", "versions", "versions",
    ]  # fmt: skip
    assert "model.joblib differs from its manifest" in problems[0]
    assert f"`aiops rollback {NAME}`" in problems[0]
    assert "rows.parquet differs from its recorded digest" in problems[1]
    assert "version 1: " in problems[2]
    assert "7 has no manifest and is no version: remove it" in problems[3]


def test_the_doctor_names_a_champion_that_nobody_recorded(home: ChampionHome) -> None:
    (home.model_folder / "champion.json").unlink()
    (home.model_folder / "current").unlink()
    home.alias(None)
    done = call(home, "doctor")
    assert done.exit_code == 1
    assert lines(done)[f"{NAME} champion record"] == (
        f"PROBLEM: there is none, so nothing is served: `aiops promote {NAME} VERSION`, or `aiops run` "
        "(versions: 1, 2, 3)"
    )


def test_the_doctor_says_that_mlflow_is_away_and_makes_no_new_one(home: ChampionHome) -> None:
    database = home.folder / "mlflow" / "mlflow.db"
    database.unlink()
    (home.model_folder / "current").unlink()
    done = call(home, "doctor")
    assert done.exit_code == 1
    found = lines(done)
    assert found["MLflow"].startswith(f"PROBLEM: MLflow has no database at sqlite:///{database}")
    assert found[f"{NAME} link"].startswith("mended: ")
    assert f"{NAME} alias" not in found
    assert not database.exists()


def test_a_version_that_mlflow_recorded_otherwise_is_a_problem(home: ChampionHome) -> None:
    manifest = home.model_folder / "3" / "manifest.json"
    manifest.write_bytes(manifest.read_bytes() + b"\n")
    done = call(home, "doctor")
    assert done.exit_code == 1
    (problem,) = [line for line in done.stdout.splitlines() if line.startswith("PROBLEM ")]
    assert f"{NAME} versions: version 3: {manifest} is not the manifest that was recorded" in problem


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
    with pytest.raises(NotFoundError, match="has no version 9"):
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
