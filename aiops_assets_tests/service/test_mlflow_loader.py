"""MLflow's own tools answer as the service does."""

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
import requests
from mlflow.exceptions import MlflowException
from starlette.testclient import TestClient

from aiops_assets.errors import IntegrityError, ModelError
from aiops_assets.families.anomaly_detector import ANOMALY_DETECTOR
from aiops_assets.families.catalog import MODEL_NAMES
from aiops_assets.registry.champions import reconcile
from aiops_assets.registry.registering import register
from aiops_assets.service import mlflow_loader
from aiops_assets.storage.handoff import VersionRef
from aiops_assets.synthetic.healthy import healthy_rows
from aiops_assets.timeseries.features import FEATURES
from aiops_assets.tracking.tracker import DatasetInput, Tracker
from aiops_assets_tests.ports import free_port
from aiops_assets_tests.raising import raises
from aiops_assets_tests.service.running import own_environment
from aiops_assets_tests.service.served_home import SPECS, ServedHome, window

NAME = ANOMALY_DETECTOR.name
FAR = [1e6] * 45
ROWS = [*healthy_rows(20, seed=5).tolist(), FAR]
ENGINE_ROWS = {width: [[0.3 + 0.1 * (i % 3) for i in range(width)]] for width in (3264, 5, 4, 3)}
SERVER_SECONDS = 120
QUICK = ("ensemble-predictor", "arima-predictor")
"""A detector and a forecaster of windows; others are loaded in the same way, and some of them slowly."""
WINDOWS = [
    pytest.param(name, marks=() if name in QUICK else pytest.mark.long)
    for name in MODEL_NAMES
    if name not in (NAME, "predictive-analytics")
]


@pytest.fixture(scope="module")
def registry(whole_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An MLflow in which the served versions are registered, and its URI, which MLflow is set to."""
    folder = tmp_path_factory.mktemp("registry")
    uri, served = f"sqlite:///{folder}/mlflow.db", ServedHome(whole_home / "models").served
    tracker = Tracker(uri, "aiops/test")
    with tracker.run(NAME, dataset=DatasetInput("v", "0" * 32, "/data", {}), params={}, tags={}) as run:
        pass
    for name in MODEL_NAMES:
        manifest = served.manifest(name, 1).model_copy(update={"run_id": run.run_id})
        ref = VersionRef(name=name, version=1, manifest_sha256=served.manifest_sha256(name, 1))
        register(served, tracker, SPECS[name], manifest, ref)
        reconcile(served, tracker, name)
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(uri)
    yield uri
    mlflow.set_tracking_uri(before)


def champion(name: str) -> Any:
    return mlflow.pyfunc.load_model(f"models:/{name}@champion")


def answer(client: TestClient, name: str, instances: object) -> dict[str, Any]:
    response = client.post(f"/v1/models/{name}:predict", json={"instances": instances})
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


def test_rows_are_answered_as_by_the_service(whole: TestClient, registry: str) -> None:
    model, expected = champion(NAME), answer(whole, NAME, ROWS)
    labels = model.predict(np.array(ROWS))
    assert labels == expected["predictions"]
    assert {type(one) for one in labels} == {int}
    assert {-1, 1} == set(labels)
    assert model.predict(np.array(ROWS), params={"scores": True}) == expected["scores"]
    assert model.predict(pd.DataFrame(ROWS, columns=list(FEATURES))) == labels


@pytest.mark.parametrize("width", ENGINE_ROWS)
def test_the_engines_rows_are_answered_as_by_the_service(whole: TestClient, registry: str, width: int) -> None:
    name, rows = "predictive-analytics", ENGINE_ROWS[width]
    now = answer(whole, name, rows)
    assert champion(name).predict(np.array(rows), params={"now": now["timestamp"]}) == now["predictions"]


@pytest.mark.parametrize("name", WINDOWS)
def test_windows_are_answered_as_by_the_service(whole: TestClient, registry: str, name: str) -> None:
    windows, model = [window(), window(60, 0.5)], champion(name)
    now = answer(whole, name, windows)
    assert model.predict(np.array(windows), params={"now": now["timestamp"]}) == now["predictions"]
    assert model.predict(np.asarray(model.input_example))


def test_a_forecast_has_as_many_steps_as_are_requested(registry: str) -> None:
    model = champion("arima-predictor")
    at = datetime(2026, 11, 1, tzinfo=UTC).isoformat()
    found = model.predict(np.array([window()]), params={"horizon": 3, "now": at})
    assert {(len(one["forecast"]), one["forecast_horizon"]) for one in found.values()} == {(3, 3)}
    assert set(found) == {spec.name for spec in model.metadata.signature.outputs.inputs}
    for wrong in ({"now": "noon"}, {"now": "2026-11-01T00:00:00"}, {"horizon": -1}):
        with pytest.raises(MlflowException, match=next(iter(wrong))):
            model.predict(np.array([window()]), params=wrong)


@pytest.mark.parametrize("row", [[float("nan")] * 45, [0.5] * 44], ids=["nan", "44"])
def test_rows_that_do_not_fit_are_refused(registry: str, row: list[float]) -> None:
    with pytest.raises(MlflowException) as refused:
        champion(NAME).predict(np.array([row]))
    assert refused.value.error_code == "INVALID_PARAMETER_VALUE"


def test_what_is_no_version_of_a_known_model_is_named(
    registry: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with raises(IntegrityError, "invalid_manifest"):
        mlflow_loader._load_pyfunc(str(tmp_path))
    (tmp_path / "manifest.json").write_text("{}")
    with raises(IntegrityError, "invalid_manifest"):
        mlflow_loader._load_pyfunc(str(tmp_path))
    monkeypatch.setattr(mlflow_loader, "MODELS", ())
    with raises(ModelError, "no_model", name=NAME):
        champion(NAME)


def test_without_the_packages_of_the_service_the_missing_one_is_named(
    registry: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "aiops_assets.learners.detectors.flat_forest", None)
    with raises(ModelError, "package_missing"):
        champion(NAME)


@pytest.mark.long
def test_mlflows_server_answers_as_the_service(whole: TestClient, registry: str, tmp_path: Path) -> None:
    port, log = free_port(), tmp_path / "serve.log"
    environment = {**own_environment(), "MLFLOW_TRACKING_URI": registry, "MLFLOW_DISABLE_TELEMETRY": "true"}
    command = [str(Path(sys.executable).parent / "mlflow"), "models", "serve", "-m", f"models:/{NAME}@champion"]
    command += ["--env-manager", "local", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    with (
        log.open("wb") as sink,
        subprocess.Popen(command, env=environment, stderr=sink, stdout=sink, start_new_session=True) as process,
    ):
        try:
            wait_for(f"http://127.0.0.1:{port}/ping", process, log)
            invocations = f"http://127.0.0.1:{port}/invocations"
            for key in ("instances", "inputs"):
                found = requests.post(invocations, json={key: ROWS}, timeout=30)
                assert found.json() == {"predictions": answer(whole, NAME, ROWS)["predictions"]}
            frame = {"dataframe_split": {"columns": list(FEATURES), "data": ROWS}}
            assert requests.post(invocations, json=frame, timeout=30).json() == found.json()
            scores = requests.post(invocations, json={"instances": ROWS, "params": {"scores": True}}, timeout=30)
            assert scores.json()["predictions"] == pytest.approx(answer(whole, NAME, ROWS)["scores"], abs=1e-12)
            refused = requests.post(invocations, json={"instances": [[0.5] * 44]}, timeout=30)
            assert refused.status_code == 400
        finally:
            os.killpg(process.pid, 9)


def wait_for(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    end = monotonic() + SERVER_SECONDS
    while True:
        try:
            if requests.get(url, timeout=5).ok:
                return
        except requests.ConnectionError:
            pass
        assert process.poll() is None, log.read_text(errors="replace")
        assert monotonic() < end, log.read_text(errors="replace")
        sleep(0.2)
