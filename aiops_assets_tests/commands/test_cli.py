"""The commands as people type them, in an empty folder: some as processes, most in this one, which is sooner."""

import json
import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from aiops_assets.commands.cli import main
from aiops_assets_tests.conftest import FEW
from aiops_assets_tests.pipeline.graph import first_home

CLOSED = "http://127.0.0.1:9"
SMALL = {"SYNTHETIC_END": "2026-11-01", "TRAINING_PODS": "20", "TRAINING_DAYS": "3", "MODELS": ",".join(FEW)}


def call(program: str, *arguments: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **SMALL, **variables}
    return subprocess.run([program, *arguments], cwd=cwd, env=environment, capture_output=True, text=True, timeout=300)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Empty, and where the command is typed."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def typed(*arguments: str, **variables: str) -> Result:
    """A command in this process."""
    return CliRunner().invoke(main, arguments, env={**SMALL, **variables})


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home of ours after one run of the graph."""
    return shutil.copytree(first_home(), tmp_path_factory.mktemp("cli") / "home", symlinks=True)


@pytest.mark.long
def test_a_run_trains_and_serves_a_second_one_skips_and_a_bad_one_changes_nothing(aiops: str, tmp_path: Path) -> None:
    folder, home = tmp_path / "here", tmp_path / "home"
    folder.mkdir()
    done = call(aiops, "run", cwd=folder, AIOPS_HOME=str(home))
    assert done.returncode == 0, done.stderr
    assert "anomaly-detector: version 1 trained; version 1 is served (first version, not worse" in done.stdout
    done = call(aiops, "run", cwd=folder, AIOPS_HOME=str(home))
    assert done.returncode == 0, done.stderr
    assert "training skipped, nothing changed; version 1 is served" in done.stdout
    refused(aiops, home, folder, "lower N_SAMPLES", N_SAMPLES="900000")  # known when Dagster runs
    assert list(folder.iterdir()) == []


@pytest.mark.usefixtures("folder")
def test_lineage_prints_one_json_object(home: Path) -> None:
    done = typed("lineage", "anomaly-detector", "--json", AIOPS_HOME=str(home))
    assert done.exit_code == 0, done.stderr
    chain = json.loads(done.stdout)
    keys = "name version path data_version run_id dagster_run_id code_version effective_source queries days files"
    assert set(keys.split()) <= set(chain)
    assert all(set(day) == {"day", "source", "digest", "state"} for day in chain["days"])
    assert {entry["path"]: entry["verified"] for entry in chain["files"]} == {
        "manifest.json": True,
        "model.joblib": True,
    }


@pytest.mark.usefixtures("folder")
def test_lineage_names_the_first_difference_and_exits_with_1(home: Path) -> None:
    model = home / "models" / "anomaly-detector" / "1" / "model.joblib"
    good = model.read_bytes()
    model.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    try:
        done = typed("lineage", "anomaly-detector", "--json", AIOPS_HOME=str(home))
    finally:
        model.write_bytes(good)
    assert done.exit_code == 1
    assert "model.joblib differs" in done.stderr
    assert [entry["verified"] for entry in json.loads(done.stdout)["files"]] == [True, False]


def test_a_run_of_bad_input_ends_in_one_clear_line(aiops: str, home: Path, tmp_path: Path) -> None:
    refused(aiops, home, tmp_path, "ANOMALY_RATE=-1: not allowed, must be 0.0 to 0.5", ANOMALY_RATE="-1")


def refused(aiops: str, home: Path, folder: Path, message: str, **variables: str) -> None:
    """A run with these settings ends in one line, and what is served stays."""
    record = (home / "models" / "anomaly-detector" / "champion.json").read_bytes()
    done = call(aiops, "run", cwd=folder, AIOPS_HOME=str(home), **variables)
    assert done.returncode == 2
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("error: ")
    assert message in last
    assert (home / "models" / "anomaly-detector" / "champion.json").read_bytes() == record


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"ANOMALY_RATE": ".9"}, "ANOMALY_RATE=.9: not allowed, must be 0.0 to 0.5"),
        ({"DATA_SOURCE": "files"}, "DATA_SOURCE=files: not allowed, must be one of synthetic,"),
        ({"DATA_SOURCE": "prometheus"}, "DATA_SOURCE=prometheus needs PROMETHEUS_URL"),
        ({"DATA_SOURCE": "hybrid"}, "DATA_SOURCE=hybrid needs PROMETHEUS_URL"),
        ({"METRICS_FILE": "/nowhere.yaml"}, "METRICS_FILE=/nowhere.yaml"),
        ({"N_SAMPLES": "0"}, "N_SAMPLES=0: not allowed, must be 100 to 1000000"),
        ({"MODEL_ROOT": "/proc/models"}, "MODEL_ROOT=/proc/models is not writable"),
        ({"AIOPS_HOME": "/dev/null/home"}, "AIOPS_HOME=/dev/null/home is not writable"),
        pytest.param(
            {"DATA_SOURCE": "prometheus", "PROMETHEUS_URL": CLOSED, "FALLBACK": "cached"},
            "cached days do not suffice",
            marks=pytest.mark.long,  # known when Dagster runs
        ),
    ],
)
def test_bad_input_ends_in_one_clear_line(home: Path, variables: dict[str, str], message: str) -> None:
    record = (home / "models" / "anomaly-detector" / "champion.json").read_bytes()
    done = typed("run", **{"AIOPS_HOME": str(home), **variables})
    assert done.exit_code == 2
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("error: ")
    assert message in last
    assert (home / "models" / "anomaly-detector" / "champion.json").read_bytes() == record


@pytest.mark.needs("tmpfs")
@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("variable", ["AIOPS_HOME", "MODEL_ROOT"])
def test_a_disk_too_small_ends_in_one_clear_line(home: Path, small_disk: Path, variable: str) -> None:
    done = typed("run", **{"AIOPS_HOME": str(home), variable: str(small_disk)})
    assert done.exit_code == 2
    assert f"{variable}={small_disk} has 0 MB free" in done.stderr.splitlines()[-1]


def test_nothing_served_is_one_clear_line(folder: Path) -> None:
    for command in (["lineage", "anomaly-detector"], ["evaluate"]):
        done = typed(*command, AIOPS_HOME=str(folder / "empty"))
        assert done.exit_code == 2
        assert "run `aiops run` first" in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1


def test_metrics_are_listed_with_those_of_a_file(folder: Path) -> None:
    file = folder / "mine.yaml"
    file.write_text("metrics: [{name: queue_depth, promql: sum(queue), unit: count, description: waiting messages}]")
    done = typed("metrics", METRICS_FILE=str(file))
    names = [line.split()[0] for line in done.stdout.splitlines()]
    assert (len(names), names[0], names[-1]) == (16, "node_cpu_utilization", "queue_depth")


@pytest.mark.needs("prometheus")
@pytest.mark.usefixtures("folder")
def test_a_probe_tells_up_from_up_without_data(prometheus_url: str) -> None:
    """The data of the tests' server ends in the past: it answers and has nothing now."""
    done = typed("metrics", "--probe", PROMETHEUS_URL=prometheus_url)
    assert done.exit_code == 1
    assert "the server answers, but has nothing for node_cpu_utilization," in done.stderr
    away = typed("metrics", "--probe", PROMETHEUS_URL=CLOSED)
    assert away.exit_code == 2
    assert away.stderr.startswith(f"error: no answer from {CLOSED}")


@pytest.mark.usefixtures("folder")
def test_settings_show_value_origin_and_meaning() -> None:
    done = typed("settings", AIOPS_ENV="production", N_SAMPLES="500")
    rows = {line.split()[0]: line for line in done.stdout.splitlines()}
    assert rows["DATA_SOURCE"].split()[1:3] == ["prometheus", "AIOPS_ENV"]
    assert rows["N_SAMPLES"].split()[1:3] == ["500", "set"]
    assert rows["RANDOM_SEED"].split()[1:3] == ["42", "default"]
    assert "one of synthetic, prometheus, hybrid, auto" in rows["DATA_SOURCE"]


@pytest.mark.usefixtures("folder")
def test_evaluate_judges_the_served_model(home: Path) -> None:
    done = typed("evaluate", AIOPS_HOME=str(home))
    assert done.exit_code == 0, done.stderr
    for kind in ("cpu_spike", "memory_leak", "restart_storm"):
        assert f"  {kind}" in done.stdout


def test_the_ui_does_not_inherit_that_interrupts_are_ignored(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As background jobs of a script do: Dagster would then ignore SIGTERM too."""
    started: list[tuple[str, object]] = []
    monkeypatch.setattr(
        os, "execve", lambda path, *_: started.append((Path(path).name, signal.getsignal(signal.SIGINT)))
    )
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        done = typed("ui", AIOPS_HOME=str(folder / "home"))
    finally:
        signal.signal(signal.SIGINT, before)
    assert done.exit_code == 0, done.output
    assert started == [("dagster", signal.SIG_DFL)]
