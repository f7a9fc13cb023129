"""`aiops doctor` as people type it."""

from aiops_assets.commands.champions import person
from aiops_assets_tests.commands.championing import call, leave_behind, lines, looked_at, printed, spoil_everything
from aiops_assets_tests.registry.champion_home import ChampionHome

NAME = "anomaly-detector"


def test_a_healthy_home_is_ok_in_every_line(home: ChampionHome) -> None:
    before = home.files()
    done = call(home, "doctor")
    assert done.exit_code == 0, done.stdout
    found = lines(done)
    assert all(text.startswith("ok: ") for text in found.values()), found
    assert {about.removeprefix(f"{NAME} ") for about in found if about.startswith(NAME)} == {
        "champion record", "champion", "link", "alias", "training set", "versions", "MLflow models", "leftovers",
    }  # fmt: skip
    assert found["MLflow"] == "ok: answers"
    looked = looked_at(home.folder)
    assert done.stdout.splitlines() == printed(looked)
    codes = {(one.model, one.what): one.code for one in looked}
    assert codes.pop(("ensemble-predictor", "champion record")) == "nothing_served"
    assert {code for (model, _), code in codes.items() if model == NAME} == {"ok"}
    assert home.files() == before


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
    assert {(one.model, one.state) for one in disagree} == {(NAME, "to repair")}
    assert [(one.what, one.code, one.facts) for one in disagree] == [
        ("link", "link_behind", {"found": None, "version": 2}),
        ("alias", "alias_behind", {"found": 1, "version": 2}),
        ("leftovers", "leftovers", {"left": [".staging-killed"]}),
    ]
    assert (home.files(), home.said()) == (before, (2, 1, None))
    assert left.exists()

    repaired = call(home, "doctor")
    assert repaired.exit_code == 0
    assert lines(repaired).items() >= {f"{NAME} {one.what}": f"repaired: {one.text}" for one in disagree}.items()
    assert home.said() == (2, 2, "2")
    assert not left.exists()
    assert call(home, "doctor", "--dry-run").exit_code == 0


def test_the_doctor_restores_a_damaged_record(home: ChampionHome) -> None:
    (home.model_folder / "champion.json").write_text("{")
    looked = call(home, "doctor", "--dry-run")
    assert looked.exit_code == 1
    assert lines(looked)[f"{NAME} champion record"].startswith("to repair: ")
    (finding,) = [one for one in looked_at(home.folder) if one.is_left]
    assert (finding.what, finding.code) == ("champion record", "invalid_record")
    assert (finding.facts["witness"], finding.facts["version"]) == ("MLflow's alias", 2)
    done = call(home, "doctor")
    assert done.exit_code == 0
    problem = finding.text.partition("; ")[0]
    assert lines(done)[f"{NAME} champion record"].startswith(f"repaired: {problem}; ")
    record = home.served.champion(NAME)
    assert record
    assert record.champion.who == f"{person()} (doctor)"


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
    assert found[f"{NAME} link"].startswith("repaired: ")
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
