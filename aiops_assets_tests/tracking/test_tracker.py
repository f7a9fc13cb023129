"""Runs, registered versions and aliases in a real MLflow on SQLite."""

import os
import socket
import subprocess
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import pytest

from aiops_assets.errors import IntegrityError, NotFoundError, StoreError
from aiops_assets.tracking.connection import Connection
from aiops_assets.tracking.tracker import DAGSTER_RUN_TAG, HOST_TAG, PID_TAG, STARTED_TAG, DatasetInput, Tracker
from aiops_assets_tests.raising import raises

DIGEST = "0123456789abcdef0123456789abcdef"
DATASET = DatasetInput("pod_features", DIGEST, "/data/pod_features", {"rows": 2016, "label_rate": 0.03})
FILES = {"model.joblib": bytes(range(256)) * 40, "manifest.json": b'{"version": 1}\n'}
PRELUDE = """
import os, sys
from aiops_assets.tracking.tracker import DatasetInput, Tracker
tracker = Tracker(sys.argv[1], "aiops/test")
dataset = DatasetInput("pod_features", "0" * 32, "/data", {})
"""


@pytest.fixture(scope="module")
def creators(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, list[str]]:
    """A store that two processes made at the same time, and what went wrong in each of them."""
    uri = f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/store/mlflow.db"
    processes = [in_another_process("tracker.versions('nothing')", uri) for _ in range(2)]
    errors = [process.communicate(timeout=120)[1] for process in processes]
    return uri, [error if process.returncode else "" for process, error in zip(processes, errors, strict=True)]


@pytest.fixture(scope="module")
def uri(creators: tuple[str, list[str]]) -> str:
    return creators[0]


@pytest.fixture(scope="module")
def tracker(uri: str) -> Tracker:
    return Tracker(uri, "aiops/test")


@pytest.fixture(scope="module")
def mlflow(uri: str, tracker: Tracker) -> Any:
    """MLflow's own client, to look from outside at what was recorded."""
    tracker.versions("nothing")
    from mlflow.tracking import MlflowClient

    return MlflowClient(tracking_uri=uri, registry_uri=uri)


def fitted(tracker: Tracker, dataset: DatasetInput = DATASET) -> str:
    with tracker.run("anomaly-detector", dataset=dataset, params={"trees": 100}, tags={"team": "ops"}) as run:
        run.log_metrics({"event_f1": 0.5})
    return run.run_id


def in_another_process(script: str, uri: str) -> "subprocess.Popen[str]":
    pipe = subprocess.PIPE
    return subprocess.Popen([sys.executable, "-c", PRELUDE + script, uri], stdout=pipe, stderr=pipe, text=True)


def test_a_run_holds_dataset_parameters_metrics_tags_and_files(tracker: Tracker, mlflow: Any) -> None:
    with tracker.run("anomaly-detector", dataset=DATASET, params={"trees": 100}, tags={"team": "ops"}) as run:
        run.log_metrics({"event_f1": 0.5})
        run.log_artifact("scores.json", b"[1, 2]")
        assert mlflow.get_run(run.run_id).info.status == "RUNNING"
    recorded = mlflow.get_run(run.run_id)
    assert recorded.info.status == "FINISHED"
    assert recorded.data.params == {"trees": "100"}
    assert recorded.data.metrics == {"event_f1": 0.5}
    tags = tracker.run_tags(run.run_id) or {}
    assert (tags["team"], tags[HOST_TAG], tags[PID_TAG]) == ("ops", socket.gethostname(), str(os.getpid()))
    artifact = Path(recorded.info.artifact_uri.removeprefix("file://")) / "scores.json"
    assert artifact.read_bytes() == b"[1, 2]"
    assert tracker.dataset_digests(run.run_id) == [DIGEST]
    (entry,) = recorded.inputs.dataset_inputs
    assert [(tag.key, tag.value) for tag in entry.tags] == [("mlflow.data.context", "training")]
    assert '"label_rate": 0.03' in entry.dataset.profile


def test_a_failing_fit_marks_its_run_and_keeps_its_error(tracker: Tracker, mlflow: Any) -> None:
    with (
        pytest.raises(ZeroDivisionError),
        tracker.run("anomaly-detector", dataset=DATASET, params={}, tags={}) as run,
    ):
        _ = 1 / 0
    assert mlflow.get_run(run.run_id).info.status == "FAILED"


def test_an_error_of_the_fit_is_never_taken_for_one_of_mlflow(tracker: Tracker) -> None:
    with (
        pytest.raises(FileNotFoundError),
        tracker.run("anomaly-detector", dataset=DATASET, params={}, tags={}),
    ):
        raise FileNotFoundError("rows.parquet")


def test_an_interrupted_fit_counts_as_killed(tracker: Tracker, mlflow: Any) -> None:
    with (
        pytest.raises(KeyboardInterrupt),
        tracker.run("anomaly-detector", dataset=DATASET, params={}, tags={}) as run,
    ):
        raise KeyboardInterrupt
    assert mlflow.get_run(run.run_id).info.status == "KILLED"


def test_a_run_that_mlflow_refuses_does_not_stay_open(tracker: Tracker, mlflow: Any) -> None:
    too_long = DatasetInput("refused", "x" * 37, "/data", {})
    with pytest.raises(StoreError, match="MLFLOW_TRACKING_URI"):
        fitted(tracker, too_long)
    (newest,) = mlflow.search_runs([mlflow.get_experiment_by_name("aiops/test").experiment_id], max_results=1)
    assert newest.info.status == "FAILED"


def test_what_is_registered_is_what_is_served(tracker: Tracker, mlflow: Any, tmp_path: Path) -> None:
    run_id = fitted(tracker)
    tags = {"data_version": DIGEST, "manifest_sha256": "a" * 64}
    made = tracker.register("bytes", 7, lambda: FILES, run_id=run_id, tags=tags)
    assert (made.version, made.registry_version, made.run_id) == (7, "1", run_id)
    assert tags.items() <= made.tags.items()
    folder = Path(mlflow.get_model_version_download_uri("bytes", "1").removeprefix("file://"))
    assert {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()} == FILES


def test_registering_twice_changes_nothing(tracker: Tracker, mlflow: Any) -> None:
    run_id = fitted(tracker)
    first = tracker.register("twice", 1, lambda: FILES, run_id=run_id, tags={"manifest_sha256": "a"})
    assert tracker.register("twice", 1, lambda: {}, run_id=run_id, tags={"manifest_sha256": "a"}) == first
    assert len(mlflow.search_model_versions("name = 'twice'")) == 1
    with raises(IntegrityError, "other_content", name="twice", version=1, recorded="a", given="b"):
        tracker.register("twice", 1, lambda: FILES, run_id=run_id, tags={"manifest_sha256": "b"})


@pytest.mark.long
def test_a_registration_that_was_killed_is_completed(tracker: Tracker, mlflow: Any, uri: str) -> None:
    script = """
from mlflow.tracking import MlflowClient
MlflowClient.create_model_version = lambda *args, **more: os._exit(9)
with tracker.run("m", dataset=dataset, params={}, tags={}) as run:
    pass
print(run.run_id, flush=True)
tracker.register("killed", 1, lambda: {"model.joblib": b"half"}, run_id=run.run_id, tags={})
"""
    process = in_another_process(script, uri)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 9, err
    run_id = out.strip()
    assert tracker.find("killed", 1) is None
    assert tracker.register("killed", 1, lambda: FILES, run_id=run_id, tags={}).run_id == run_id
    folder = Path(mlflow.get_model_version_download_uri("killed", "1").removeprefix("file://"))
    assert (folder / "model.joblib").read_bytes() == FILES["model.joblib"]
    experiment = mlflow.get_experiment_by_name("aiops/test").experiment_id
    assert len(mlflow.search_logged_models([experiment], "name = 'killed-1'")) == 1


def test_an_alias_follows(tracker: Tracker) -> None:
    run_id = fitted(tracker)
    for version in (3, 12):
        tracker.register("aliased", version, lambda: FILES, run_id=run_id, tags={})
    assert tracker.alias("aliased", "champion") is None
    assert tracker.alias("unknown", "champion") is None
    assert tracker.set_alias("aliased", "champion", 12)
    assert tracker.alias("aliased", "champion") == 12
    assert not tracker.set_alias("aliased", "champion", 12)
    assert tracker.set_alias("aliased", "champion", 3)
    assert tracker.alias("aliased", "champion") == 3
    with raises(NotFoundError, "unknown_to_mlflow", version=4) as caught:
        tracker.set_alias("aliased", "champion", 4)
    assert "aliased" in str(caught.value)
    assert [entry.version for entry in tracker.versions("aliased")] == [3, 12]


def test_which_models_came_of_this_data(tracker: Tracker) -> None:
    run_id = fitted(tracker)
    digest = "f" * 32
    for name, version, data in (("one", 2, digest), ("two", 1, digest), ("two", 2, "e" * 32)):
        tracker.register(name, version, lambda: FILES, run_id=run_id, tags={"data_version": data})
    assert [(entry.name, entry.version) for entry in tracker.versions_of_data(digest)] == [("one", 2), ("two", 1)]
    assert tracker.versions_of_data("d" * 32) == []


def test_a_name_cannot_change_the_search(tracker: Tracker) -> None:
    with pytest.raises(StoreError, match="quotation mark"):
        tracker.versions("one' OR name = 'two")


def test_an_unknown_run_has_neither_tags_nor_data(tracker: Tracker) -> None:
    assert tracker.run_tags("0" * 32) is None
    assert tracker.dataset_digests("0" * 32) == []


@pytest.mark.long
def test_runs_of_killed_processes_are_closed_and_living_ones_left_alone(
    tracker: Tracker, mlflow: Any, uri: str
) -> None:
    script = """
with tracker.run("m", dataset=dataset, params={}, tags={}) as run:
    print(run.run_id, flush=True)
    os._exit(9)
"""
    killed = in_another_process(script, uri)
    assert killed.stdout is not None
    orphan = killed.stdout.readline().strip()
    with tracker.run("m", dataset=DATASET, params={}, tags={}) as mine:
        # First the killed process is a zombie, which still has its number.
        while Path(f"/proc/{killed.pid}/stat").exists() and _state(killed.pid) != "Z":
            time.sleep(0.01)
        assert tracker.close_orphans() == [orphan]
        killed.communicate()
        assert mlflow.get_run(orphan).info.status == "KILLED"
        assert mlflow.get_run(mine.run_id).info.status == "RUNNING"
        assert tracker.close_orphans() == []


def test_a_process_number_given_again_does_not_keep_a_run_open(tracker: Tracker, mlflow: Any) -> None:
    experiment = mlflow.get_experiment_by_name("aiops/test").experiment_id

    def opened(**tags: str) -> str:
        mine = {HOST_TAG: socket.gethostname(), PID_TAG: str(os.getpid()), STARTED_TAG: "1"}
        return str(mlflow.create_run(experiment, tags={**mine, **tags}).info.run_id)

    recycled, elsewhere = opened(), opened(**{HOST_TAG: "another-host"})
    assert tracker.close_orphans() == [recycled]
    assert mlflow.get_run(elsewhere).info.status == "RUNNING"


def test_a_run_of_another_host_is_closed_when_its_run_of_dagster_is_over(tracker: Tracker, mlflow: Any) -> None:
    experiment = mlflow.get_experiment_by_name("aiops/test").experiment_id

    def opened(pod: str, dagster_run: str) -> str:
        # In pods processes have the same few numbers.
        tags = {HOST_TAG: pod, PID_TAG: str(os.getpid()), STARTED_TAG: "1", DAGSTER_RUN_TAG: dagster_run}
        return str(mlflow.create_run(experiment, tags=tags).info.run_id)

    lost, at_work, of_a_person = opened("pod-1", "over"), opened("pod-2", "under-way"), opened("pod-3", "")
    assert tracker.close_orphans() == []
    assert tracker.close_orphans(lambda run_id: run_id == "over") == [lost]
    states = {run: mlflow.get_run(run).info.status for run in (lost, at_work, of_a_person)}
    assert states == {lost: "KILLED", at_work: "RUNNING", of_a_person: "RUNNING"}


def test_two_processes_may_create_the_store_at_once(creators: tuple[str, list[str]]) -> None:
    assert creators[1] == ["", ""]


@pytest.mark.long
def test_a_creation_that_was_killed_halfway_is_made_again(tmp_path: Path) -> None:
    database = tmp_path / "mlflow.db"
    building = database.with_name("mlflow.db.building")
    script = (
        "from aiops_assets.tracking.tracker import Tracker; "
        f"Tracker('sqlite:///{database}', 'aiops/killed').versions('x')"
    )
    process = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.DEVNULL)
    ends = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < ends:
        if building.exists() and building.stat().st_size > 100_000:
            process.kill()
            break
        time.sleep(0.01)
    assert process.wait(60) == -9, "it was killed while it made the tables"
    assert not database.exists()
    # In a process of its own, too: this one copies a store that was made before.
    subprocess.run([sys.executable, "-c", script], check=True, timeout=120)
    assert Tracker(f"sqlite:///{database}", "aiops/killed").versions("x") == []
    assert not building.exists()


def test_nothing_is_written_to_the_working_directory(uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    fresh = Tracker(uri, "aiops/elsewhere", artifact_root=str(tmp_path / "artifacts"))
    with fresh.run("m", dataset=DATASET, params={}, tags={}) as run:
        run.log_artifact("a.txt", b"a")
    fresh.register("elsewhere", 1, lambda: FILES, run_id=run.run_id, tags={})
    assert [path.name for path in tmp_path.iterdir()] == ["artifacts"]


def test_a_stopped_server_is_named_soon_and_without_its_password() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    tracker = Tracker(f"http://user:p%40ss@127.0.0.1:{port}/", "aiops/test")
    started = time.monotonic()
    with pytest.raises(StoreError) as caught:
        tracker.versions("anything")
    assert time.monotonic() - started < 15
    message = str(caught.value)
    assert "MLFLOW_TRACKING_URI" in message
    assert f"http://127.0.0.1:{port}" in message
    assert len(message.splitlines()) == 1
    printed = "".join(traceback.format_exception(caught.value))
    assert not any(secret in printed for secret in ("p%40ss", "p@ss"))


@pytest.mark.parametrize(
    "uri", ["", "mlruns", "file:///tmp/mlruns", "sqlite://", "sqlite:///:memory:", "ftp://u:pw@h/"]
)
def test_other_kinds_of_store_are_refused(uri: str) -> None:
    with pytest.raises(StoreError, match=r"MLFLOW_TRACKING_URI=.* is not supported") as caught:
        Tracker(uri, "aiops/test").versions("anything")
    assert "pw" not in str(caught.value)


def test_a_file_that_is_no_database_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_text("not a database, and longer than a header of one" * 50)
    with raises(StoreError, "mlflow_failed") as caught:
        Tracker(f"sqlite:///{tmp_path}/mlflow.db", "aiops/test").versions("anything")
    assert caught.value.facts["cause"].endswith("not a database")
    assert "MLFLOW_TRACKING_URI" in str(caught.value)
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="MLFLOW_TRACKING_URI"):
        Tracker(f"sqlite:///{tmp_path}/file/mlflow.db", "aiops/test").versions("anything")


def test_a_deleted_experiment_is_named(uri: str, mlflow: Any) -> None:
    mlflow.delete_experiment(mlflow.create_experiment("aiops/deleted"))
    with pytest.raises(StoreError, match="'aiops/deleted' is deleted"):
        Connection(uri, "aiops/deleted").open()


def test_where_a_person_finds_a_run(uri: str, tracker: Tracker) -> None:
    assert tracker.run_url("abc") == f"{uri}#runs/abc"


def test_importing_and_making_a_tracker_loads_no_mlflow(uri: str) -> None:
    process = in_another_process('print("mlflow" in sys.modules, os.environ["MLFLOW_DISABLE_TELEMETRY"])', uri)
    assert process.communicate()[0].strip() == "False true"


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_files_are_kept_with_a_run_that_ended_and_replaced_by_newer_ones(tracker: Tracker, mlflow: Any) -> None:
    run_id = fitted(tracker)
    tracker.log_files(run_id, "card", {"card.md": b"first", "a.png": b"a"})
    tracker.log_files(run_id, "card", {"card.md": b"second"})
    kept = {file.path for file in mlflow.list_artifacts(run_id, "card")}
    assert kept == {"card/card.md", "card/a.png"}
    assert Path(mlflow.download_artifacts(run_id, "card/card.md")).read_bytes() == b"second"
    assert mlflow.get_run(run_id).info.status == "FINISHED"


def test_files_for_a_run_that_is_not_there_are_refused(tracker: Tracker) -> None:
    with raises(NotFoundError, "unknown_run", run_id="nothing"):
        tracker.log_files("nothing", "card", {"card.md": b"x"})
