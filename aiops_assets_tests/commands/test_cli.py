"""The commands as people type them, in an empty folder: some as processes, most in this one, which is sooner."""

import json
import os
import shutil
import signal
import subprocess
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import get_args
from urllib.parse import parse_qs, urlsplit

import pytest
from click.testing import CliRunner, Result

from aiops_assets.commands.cli import main
from aiops_assets.commands.running import RunFailed
from aiops_assets.errors import AiopsError, NotFoundError, PrometheusUnreachable, SettingsError, StoreError
from aiops_assets.settings import Source, allowed, load_settings
from aiops_assets_tests.commands.typed import Transcript, cause
from aiops_assets_tests.conftest import FEW
from aiops_assets_tests.pipeline.graph import first_home
from aiops_assets_tests.prometheus.test_transport import loopback, send
from aiops_assets_tests.signed import served_in
from aiops_assets_tests.snapshot import assert_snapshot

CLOSED = "http://127.0.0.1:9"
BAD: list[tuple[str, str, type[AiopsError]]] = [
    ("ANOMALY_RATE", ".9", SettingsError),
    ("DATA_SOURCE", "files", SettingsError),
    ("DATA_SOURCE", "prometheus", SettingsError),
    ("DATA_SOURCE", "hybrid", SettingsError),
    ("METRICS_FILE", "/nowhere.yaml", SettingsError),
    ("N_SAMPLES", "0", SettingsError),
    ("MODEL_ROOT", "/proc/models", StoreError),
    ("AIOPS_HOME", "/dev/null/home", StoreError),
]
"""Variable, a value that a run cannot have, and what is raised."""
NOTHING_SERVED = [("lineage", "anomaly-detector"), ("evaluate",)]
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
    served = served_in(home / "models")
    evaluation = served.evaluation("anomaly-detector", 1)
    assert evaluation
    assert (served.versions("anomaly-detector"), evaluation.code) == ([1], "first_not_worse")
    assert evaluation.head in summary_of("anomaly-detector", done.stdout)
    record = served.champion("anomaly-detector")
    assert record
    assert record.champion.version == 1
    done = call(aiops, "run", cwd=folder, AIOPS_HOME=str(home))
    assert done.returncode == 0, done.stderr
    assert served.versions("anomaly-detector") == [1]
    assert served.champion("anomaly-detector") == record
    assert evaluation.head in summary_of("anomaly-detector", done.stdout)
    refused(aiops, home, folder, "lower N_SAMPLES", N_SAMPLES="900000")  # known when Dagster runs
    assert list(folder.iterdir()) == []


def summary_of(name: str, printed: str) -> str:
    """A model's line of the table after a run; ``test_summary`` has its words."""
    (line,) = [line for line in printed.splitlines() if line.startswith(f"{name} ")]
    return line


@pytest.mark.long
@pytest.mark.usefixtures("folder")
def test_lineage_prints_one_json_object(home: Path) -> None:
    done = typed("lineage", "anomaly-detector", "--json", AIOPS_HOME=str(home))
    assert done.exit_code == 0, done.stderr
    chain = json.loads(done.stdout)
    assert {
        "name", "version", "path", "data_version", "run_id", "dagster_run_id", "code_version", "effective_source",
        "queries", "days", "files",
    } <= set(chain)  # fmt: skip
    assert all(set(day) == {"day", "source", "digest", "state"} for day in chain["days"])
    assert {entry["path"]: entry["verified"] for entry in chain["files"]} == {
        "manifest.json": True,
        "model.joblib": True,
    }


@pytest.mark.long
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


@pytest.mark.long
def test_a_run_of_bad_input_ends_in_one_clear_line(aiops: str, home: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings({"ANOMALY_RATE": "-1"})
    refused(aiops, home, tmp_path, str(caught.value), ANOMALY_RATE="-1")


def refused(aiops: str, home: Path, folder: Path, message: str, **variables: str) -> None:
    """A run with these settings ends in one line, and what is served stays."""
    record = (home / "models" / "anomaly-detector" / "champion.json").read_bytes()
    done = call(aiops, "run", cwd=folder, AIOPS_HOME=str(home), **variables)
    assert done.returncode == 2
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("error: ")
    assert message in last
    assert (home / "models" / "anomaly-detector" / "champion.json").read_bytes() == record


@pytest.mark.long
@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(("variable", "value", "kind"), BAD)
def test_bad_input_ends_in_one_clear_line(home: Path, variable: str, value: str, kind: type[AiopsError]) -> None:
    record = (home / "models" / "anomaly-detector" / "champion.json").read_bytes()
    done = typed("run", **{"AIOPS_HOME": str(home), variable: value})
    error = cause(done)
    assert isinstance(error, kind)
    assert str(error).startswith(f"{variable}={value}")
    if kind is StoreError:
        assert (error.code, error.facts) == ("not_writable", {"variable": variable})
    assert done.stdout == ""
    assert (home / "models" / "anomaly-detector" / "champion.json").read_bytes() == record


@pytest.mark.long
@pytest.mark.usefixtures("folder")
def test_days_that_are_not_there_end_a_run_in_one_clear_line(home: Path) -> None:
    """Dagster's run finds that out, in a process of its own."""
    record = (home / "models" / "anomaly-detector" / "champion.json").read_bytes()
    variables = {"DATA_SOURCE": "prometheus", "PROMETHEUS_URL": CLOSED, "FALLBACK": "cached"}
    error = cause(typed("run", AIOPS_HOME=str(home), **variables))
    assert isinstance(error, RunFailed)
    assert error.facts == {"exit_code": 1}
    # Between the two stand the words of urllib3, and how long it was tried.
    first, last = str(error).partition(" (")[0], str(error).rpartition(" s; ")[2]
    assert_snapshot("commands_run_without_days", f"{first}\n{last}\n")
    assert (home / "models" / "anomaly-detector" / "champion.json").read_bytes() == record


@pytest.mark.long
def test_what_is_printed(home: Path, folder: Path) -> None:
    said = Transcript(typed, HOME=home, FOLDER=folder)
    for variable, value, _ in BAD:
        said.type("run", given={"AIOPS_HOME": str(home), variable: value})
    said.type("run", given={"AIOPS_HOME": str(home), "ANOMALY_RATE": "-1"})
    for command in NOTHING_SERVED:
        said.type(*command, given={"AIOPS_HOME": str(folder / "empty")})
    assert_snapshot("commands_run", said.text)


@pytest.mark.long
@pytest.mark.needs("tmpfs")
@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("variable", ["AIOPS_HOME", "MODEL_ROOT"])
def test_a_disk_too_small_ends_in_one_clear_line(home: Path, small_disk: Path, variable: str) -> None:
    done = typed("run", **{"AIOPS_HOME": str(home), variable: str(small_disk)})
    error = cause(done)
    assert isinstance(error, StoreError)
    assert (error.code, error.facts["variable"]) == ("disk_full", variable)
    assert error.facts["free"] < 500_000
    assert f"{variable}={small_disk} has 0 MB free" in str(error)


@pytest.mark.parametrize("command", NOTHING_SERVED)
def test_nothing_served_is_one_clear_line(folder: Path, command: tuple[str, ...]) -> None:
    error = cause(typed(*command, AIOPS_HOME=str(folder / "empty")))
    assert isinstance(error, NotFoundError)
    assert error.code == "nothing_served"


def test_metrics_are_listed_with_those_of_a_file(folder: Path) -> None:
    file = folder / "mine.yaml"
    file.write_text("metrics: [{name: queue_depth, promql: sum(queue), unit: count, description: waiting messages}]")
    done = typed("metrics", METRICS_FILE=str(file))
    names = [line.split()[0] for line in done.stdout.splitlines()[1:]]
    assert (len(names), names[0], names[-1]) == (22, "node_cpu_utilization", "queue_depth")


@pytest.mark.needs("prometheus")
@pytest.mark.usefixtures("folder")
def test_a_probe_tells_up_from_up_without_data(prometheus_url: str) -> None:
    """The data of the tests' server ends in the past: it answers and has nothing now."""
    done = typed("metrics", "--probe", PROMETHEUS_URL=prometheus_url)
    assert done.exit_code == 1
    silent = [name for name, count, *_ in map(str.split, done.stdout.splitlines()) if count == "0"]
    for optional in ("pod_cpu_throttling", "volume_usage", "quota_usage"):  # of clusters without limits there are none
        silent.remove(optional)
    assert silent[0] == "node_cpu_utilization"
    assert done.stderr.endswith(f" {', '.join(silent)}\n")
    away = cause(typed("metrics", "--probe", PROMETHEUS_URL=CLOSED))
    assert isinstance(away, PrometheusUnreachable)
    said = Transcript(typed, SERVER=prometheus_url)
    said.type("metrics", "--probe", lines=0, given={"PROMETHEUS_URL": prometheus_url})
    unreachable = str(away).partition(" (")[0]  # then come the words of urllib3
    assert_snapshot("commands_probe", f"{said.text}{unreachable}\n")


@pytest.mark.usefixtures("folder")
def test_a_probe_says_of_each_metric_what_the_server_says(tmp_path: Path) -> None:
    """A tenant that may see pods and not nodes: one metric is refused, others have series or none."""
    asked: list[tuple[str, str]] = []

    def reply(handler: BaseHTTPRequestHandler) -> None:
        query = parse_qs(urlsplit(handler.path).query)
        promql = query["query"][0]
        asked.append((query["namespace"][0], handler.headers["X-Scope-OrgID"]))
        if "node_cpu_seconds_total" in promql:
            error = {"status": "error", "errorType": "execution", "error": "for Bearer very-secret: no nodes"}
            send(handler, 422, json.dumps(error).encode())
            return
        value = "1" if promql == "vector(1)" else "12" if "container_cpu" in promql else ""
        result = [{"metric": {}, "value": [0, value]}] if value else []
        data = {"resultType": "vector", "result": result}
        send(handler, 200, json.dumps({"status": "success", "data": data}).encode())

    token = tmp_path / "token"
    token.write_text("very-secret")
    with loopback(reply) as url:
        given = {"PROMETHEUS_URL": url, "PROMETHEUS_TOKEN_FILE": str(token), "THANOS_URL": CLOSED}
        done = typed("metrics", "--probe", PROMETHEUS_NAMESPACE="demo", PROMETHEUS_TENANT="team-a", **given)
    assert done.exit_code == 1
    assert set(asked) == {("demo", "team-a")}
    counts = {name: count for name, count, *_ in map(str.split, done.stdout.splitlines()[1:])}
    assert (counts["node_cpu_utilization"], counts["pod_cpu_usage"], counts["container_restart_count"]) == (
        "-",
        "12",
        "0",
    )
    problems = done.stderr.splitlines()
    assert "THANOS_URL" in problems[0]
    refused = [problem for problem in problems if "no nodes" in problem]
    assert len(refused) == list(counts.values()).count("-")
    assert refused[0].startswith("error: node_cpu_utilization: ")
    optional = ("volume_usage", "quota_usage")
    silent = [name for name, count in counts.items() if count == "0" and name not in optional]
    assert problems[-1].endswith(f" {', '.join(silent)}")
    assert "PROMETHEUS_NAMESPACE=demo" in problems[-1]
    assert "very-secret" not in done.output


@pytest.mark.usefixtures("folder")
def test_settings_show_value_origin_and_meaning() -> None:
    done = typed("settings", AIOPS_ENV="production", N_SAMPLES="500")
    rows = {line.split()[0]: line for line in done.stdout.splitlines()}
    assert rows["DATA_SOURCE"].split()[1:3] == ["prometheus", "AIOPS_ENV"]
    assert rows["N_SAMPLES"].split()[1:3] == ["500", "set"]
    assert rows["RANDOM_SEED"].split()[1:3] == ["42", "default"]
    assert rows["DATA_SOURCE"].endswith(f" ({allowed('data_source')})")
    assert allowed("data_source").endswith(", ".join(get_args(Source)))


@pytest.mark.long
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
