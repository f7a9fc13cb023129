"""The shipped instance and a real MLflow server, both on a real PostgreSQL: the chain by its command."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import dagster as dg
import pytest
import requests

from aiops_assets.pipeline.run_history import close_dead_runs
from aiops_assets_tests.deploy.dagster_instance import INSTANCE
from aiops_assets_tests.ports import free_port
from aiops_assets_tests.postgres_server import Postgres, running_postgres
from aiops_assets_tests.service.running import Running, own_environment

pytestmark = [pytest.mark.long, pytest.mark.needs("postgres")]

MODEL = "anomaly-detector"
CHAIN = {
    ("synthetic_series",),
    ("pod_features",),
    *((f"anomaly_detector_{kind}",) for kind in ("model", "evaluation", "served", "shadow", "card")),
    ("scores",),
}
SECONDS = 300


@dataclass(frozen=True)
class Deployed:
    """What a run pod sees: its variables, and the servers that they name.

    Attributes:
        run_id: of the run that made the whole chain.
    """

    variables: dict[str, str]
    mlflow: Running
    artifacts: Path
    run_id: str = ""

    def run(self, program: str, *arguments: str) -> str:
        """What a program of this environment says on stdout."""
        command = [str(Path(sys.executable).parent / program), *arguments]
        done = subprocess.run(command, env=self.variables, capture_output=True, text=True, timeout=SECONDS)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
        return done.stdout

    @contextmanager
    def instance(self) -> Iterator[dg.DagsterInstance]:
        """The shipped instance, with its variables for as long as it is open."""
        with pytest.MonkeyPatch.context() as environment:
            for name, value in self.variables.items():
                environment.setenv(name, value)
            with dg.DagsterInstance.from_config(self.variables["DAGSTER_HOME"]) as instance:
                yield instance


@contextmanager
def mlflow_server(postgres: Postgres, folder: Path) -> Iterator[Running]:
    """As deploy/mlflow starts it, but on a free loopback port: the migration first, then two workers."""
    postgres.create_database("mlflow")
    port, log = free_port(), folder / "mlflow.log"
    environment = {
        **own_environment(),
        "MLFLOW_BACKEND_STORE_URI": postgres.uri("mlflow").replace("postgresql:", "postgresql+psycopg2:"),
        "MLFLOW_SERVER_ALLOWED_HOSTS": f"mlflow:5000,127.0.0.1:{port}",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
    }
    mlflow = str(Path(sys.executable).parent / "mlflow")
    upgrade = [mlflow, "db", "upgrade", environment["MLFLOW_BACKEND_STORE_URI"]]
    subprocess.run(upgrade, env=environment, check=True, capture_output=True, timeout=SECONDS)
    listening = ["--host", "127.0.0.1", "--port", str(port), "--workers", "2"]
    artifacts = ["--serve-artifacts", "--artifacts-destination", str(folder / "artifacts")]
    # PostgreSQL ends with this process, but waits for its clients, of which this is one.
    command = ["setpriv", "--pdeathsig=TERM", mlflow, "server", *listening, *artifacts]
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=environment, cwd=folder, stdout=output, stderr=output)
    running = Running(f"http://127.0.0.1:{port}", process, log)
    try:
        running.wait_for("/health")
        yield running
    finally:
        running.stop()


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    folder = tmp_path_factory.mktemp("deployed")
    home = folder / "dagster_home"
    home.mkdir()
    shutil.copy(INSTANCE, home / "dagster.yaml")
    with running_postgres() as postgres, mlflow_server(postgres, folder) as mlflow:
        postgres.create_database("dagster")
        ours = {
            "DAGSTER_HOME": str(home),
            "DAGSTER_PG_HOST": postgres.host,
            "DAGSTER_PG_PORT": str(postgres.port),
            "DAGSTER_PG_DB": "dagster",
            "DAGSTER_PG_USERNAME": postgres.user,
            "DAGSTER_PG_PASSWORD": postgres.password,
            "MLFLOW_TRACKING_URI": mlflow.url,
            "AIOPS_HOME": str(folder / "state"),
            "MODEL_ROOT": str(folder / "models"),
            "MODELS": MODEL,
            "TRAINING_PODS": "10",
            "SYNTHETIC_END": "2026-11-01",
            "OMP_NUM_THREADS": "1",
        }
        deployed = Deployed({**own_environment(), **ours}, mlflow, folder / "artifacts")
        selection = ["--select", 'key:"synthetic_series"+']
        deployed.run("dagster", "asset", "materialize", "-m", "aiops_assets.definitions", *selection)
        with deployed.instance() as instance:
            (run,) = instance.get_runs()
        yield replace(deployed, run_id=run.run_id)


def test_the_runs_history_is_in_postgresql(deployed: Deployed) -> None:
    with deployed.instance() as instance:
        run = instance.get_run_by_id(deployed.run_id)
        assert run is not None
        assert run.status == dg.DagsterRunStatus.SUCCESS
        assert {tuple(key.path) for key in instance.all_asset_keys()} >= CHAIN
        materialized = instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION)
        events = [entry.dagster_event for entry in materialized]
        assert {tuple(event.asset_key.path) for event in events if event and event.asset_key} == CHAIN
        assert type(instance.run_storage).__name__ == "PostgresRunStorage"
        # Whose process is gone is Kubernetes' to say: nothing of a cluster is asked for here.
        assert close_dead_runs(instance) == []


def test_nothing_is_written_beside_the_instances_file(deployed: Deployed) -> None:
    home = Path(deployed.variables["DAGSTER_HOME"])
    assert [path.name for path in home.iterdir()] == ["dagster.yaml"]


def test_the_version_is_registered_by_http_and_its_files_went_through_the_server(deployed: Deployed) -> None:
    api = f"{deployed.mlflow.url}/api/2.0/mlflow"
    answer = requests.get(f"{api}/model-versions/search", timeout=30).json()
    (version,) = answer["model_versions"]
    tags = {tag["key"]: tag["value"] for tag in version["tags"]}
    assert (version["name"], tags["aiops.version"]) == (MODEL, "1")
    alias = requests.get(f"{api}/registered-models/alias?name={MODEL}&alias=champion", timeout=30).json()
    assert alias["model_version"]["version"] == version["version"]
    run = requests.get(f"{api}/runs/get?run_id={version['run_id']}", timeout=30).json()["run"]["info"]
    assert run["status"] == "FINISHED"
    assert run["artifact_uri"].startswith("mlflow-artifacts:")
    served = Path(deployed.variables["MODEL_ROOT"], MODEL, "1", "model.joblib").read_bytes()
    (stored,) = deployed.artifacts.rglob("model.joblib")
    assert stored.read_bytes() == served


def test_lineage_and_doctor_work_with_the_server(deployed: Deployed) -> None:
    lineage = json.loads(deployed.run("aiops", "lineage", MODEL, "--json"))
    assert lineage["verified"]
    assert lineage["run_url"].startswith(f"{deployed.mlflow.url}/#/experiments/")
    with deployed.instance() as instance:
        assert instance.get_run_by_id(lineage["dagster_run_id"]) is not None
    states = [line.split()[0] for line in deployed.run("aiops", "doctor").splitlines()]
    assert len(states) > 5
    assert set(states) == {"ok"}


def test_the_server_answers_to_its_name_and_to_no_other(deployed: Deployed) -> None:
    search = f"{deployed.mlflow.url}/api/2.0/mlflow/experiments/search?max_results=5"
    answer = requests.get(search, headers={"Host": "mlflow:5000"}, timeout=30)
    assert answer.status_code == 200
    assert "aiops/default" in [one["name"] for one in answer.json()["experiments"]]
    assert requests.get(search, headers={"Host": "elsewhere.example:5000"}, timeout=30).status_code == 403


def test_a_second_run_fits_nothing_again(deployed: Deployed) -> None:
    selection = ["--select", "anomaly_detector_model"]
    deployed.run("dagster", "asset", "materialize", "-m", "aiops_assets.definitions", *selection)
    with deployed.instance() as instance:
        event = instance.get_latest_materialization_event(dg.AssetKey("anomaly_detector_model"))
        assert event is not None
        assert event.asset_materialization is not None
        said = event.asset_materialization.metadata["training"].value
    assert str(said).startswith("skipped")
    assert len(list(deployed.artifacts.rglob("model.joblib"))) == 1
