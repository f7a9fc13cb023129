"""Which model answers: promoted, rolled back, broken, missing. What can answer does, and /health tells the rest."""

import re
import shutil
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from time import sleep

import numpy as np
import pytest
import requests
from prometheus_client import Gauge
from starlette.testclient import TestClient
from structlog.testing import capture_logs

from aiops_assets import __version__
from aiops_assets.errors import ServiceNotReady, SettingsError, StoreError
from aiops_assets.families.anomaly_detector import ANOMALY_DETECTOR
from aiops_assets.families.catalog import MODEL_NAMES
from aiops_assets.families.lstm_predictor import LSTM_PREDICTOR
from aiops_assets.learners.detectors import isolation_forest
from aiops_assets.learners.detectors.lstm_network import WINDOW
from aiops_assets.registry.version import Version
from aiops_assets.service import answers
from aiops_assets.service.instruments import Instruments
from aiops_assets.service.pool import ModelPool
from aiops_assets.service.versions import ChampionSource
from aiops_assets.synthetic.healthy import healthy_rows
from aiops_assets_tests.conftest import make_settings
from aiops_assets_tests.registry.champion_home import trap_file
from aiops_assets_tests.service.conftest import service, wait_until
from aiops_assets_tests.service.running import serving
from aiops_assets_tests.service.served_home import SPECS, ServedHome, alarming, model_file

NAME = ANOMALY_DETECTOR.name
CLIENTS, MOVES = 50, 8
ROW = healthy_rows(1, seed=9)


def pool_of(home: ServedHome, *names: str) -> ModelPool:
    return ModelPool(ChampionSource(home.served), [SPECS[name] for name in names or (NAME,)], Instruments())


def version_of(pool: ModelPool) -> int:
    return pool.get(NAME).champion.version


def score_of(data: bytes) -> float:
    return float(isolation_forest.anomaly_score(isolation_forest.from_bytes(data), ROW)[0])


def health(client: TestClient) -> dict[str, object]:
    response = client.get("/health")
    assert response.status_code == 200
    answers.Health.model_validate_json(response.content)
    found: dict[str, object] = response.json()
    return found


class TestSwaps:
    def test_the_champion_answers_and_its_successor_after_it(self, home: ServedHome) -> None:
        home.serve([NAME])
        pool = pool_of(home)
        pool.refresh()
        assert version_of(pool) == 1
        home.promote(home.publish(data=model_file(NAME, seed=1)))
        pool.refresh()
        assert version_of(pool) == 2
        home.promote(1)
        pool.refresh()
        assert version_of(pool) == 1
        assert pool.problems == {}

    def test_a_version_that_is_not_champion_is_not_served(self, home: ServedHome) -> None:
        home.serve([NAME])
        home.publish(data=model_file(NAME, seed=1))
        pool = pool_of(home)
        pool.refresh()
        assert version_of(pool) == 1

    def test_one_that_fails_its_smoke_inference_leaves_the_old_one(self, home: ServedHome) -> None:
        home.serve([NAME])
        pool = pool_of(home)
        pool.refresh()
        home.promote(home.publish(data=alarming()))
        pool.refresh()
        assert version_of(pool) == 1
        problem, record = pool.problems[NAME], home.served.champion(NAME)
        assert record is not None
        problems = Version(home.served, ANOMALY_DETECTOR, record.champion).smoke_test()
        assert problems
        assert problem.code == "no_usable_answer"
        assert problem.facts == {"problems": problems, "champion": 2, "kept": 1}
        assert all(one in problem.text for one in problems)
        home.promote(home.publish(data=model_file(NAME, seed=2)))
        pool.refresh()
        assert version_of(pool) == 3
        assert pool.problems == {}

    @pytest.mark.parametrize("why", ["alarming", "replaced", "gone"])
    def test_a_failed_version_is_not_read_again_at_once(self, home: ServedHome, why: str) -> None:
        home.promote(home.publish(data=alarming() if why == "alarming" else None))
        file = home.folder / NAME / "1" / "model.joblib"
        if why == "replaced":
            file.write_bytes(b"another")
        if why == "gone":
            file.unlink()
        instruments = Instruments()
        pool = ModelPool(ChampionSource(home.served), [ANOMALY_DETECTOR], instruments, poll_seconds=60)
        for _ in range(3):
            pool.refresh()
        assert instruments.registry.get_sample_value("aiops_model_load_failures_total", {"model": NAME}) == 1

    def test_a_hiccup_of_the_storage_is_no_failure_of_the_version(
        self, home: ServedHome, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        home.serve([NAME])
        instruments = Instruments()
        pool = ModelPool(ChampionSource(home.served), [ANOMALY_DETECTOR], instruments, poll_seconds=60)
        with monkeypatch.context() as broken:

            def unread(*_: object) -> bytes:
                raise StoreError("the bucket does not answer", code="away", bucket="b")

            broken.setattr(home.served, "load_file", unread)
            pool.refresh()
            assert pool.problems[NAME].code == "away"
            assert pool.problems[NAME].facts == {"bucket": "b", "champion": 1, "kept": None}
        pool.refresh()
        assert version_of(pool) == 1
        assert pool.problems == {}
        assert not instruments.registry.get_sample_value("aiops_model_load_failures_total", {"model": NAME})

    def test_a_replaced_file_is_not_unpickled(self, home: ServedHome, tmp_path: Path) -> None:
        home.serve([NAME])
        touched = tmp_path / "touched"
        (home.folder / NAME / "1" / "model.joblib").write_bytes(trap_file(touched))
        pool = pool_of(home)
        pool.refresh()
        assert pool.problems[NAME].code == "changed_file"
        assert pool.problems[NAME].facts == {"file": "model.joblib", "champion": 1, "kept": None}
        assert not touched.exists()

    @pytest.mark.parametrize("left", ["manifest.json", "model.joblib"])
    def test_a_half_written_version_is_not_served(self, home: ServedHome, left: str) -> None:
        home.serve([NAME])
        pool = pool_of(home)
        pool.refresh()
        second = home.publish(data=model_file(NAME, seed=1))
        home.promote(second)
        (home.folder / NAME / str(second) / left).unlink()
        pool.refresh()
        assert version_of(pool) == 1
        assert pool.problems[NAME].code == "not_found_error"
        assert pool.problems[NAME].facts.items() >= {"champion": 2, "kept": 1}.items()

    def test_an_unreadable_record_and_a_vanished_root_leave_what_is_loaded(self, home: ServedHome) -> None:
        home.serve([NAME])
        pool = pool_of(home)
        pool.refresh()
        (home.folder / NAME / "champion.json").write_text("{")
        pool.refresh()
        assert version_of(pool) == 1
        assert pool.problems[NAME].code == "unreadable_record"
        shutil.rmtree(home.folder)
        pool.refresh()
        assert version_of(pool) == 1
        assert pool.problems[NAME].text

    def test_swaps_and_ages_are_measured(self, home: ServedHome) -> None:
        home.serve([NAME])
        instruments = Instruments()
        pool = ModelPool(ChampionSource(home.served), [ANOMALY_DETECTOR], instruments)
        pool.refresh()
        home.promote(home.publish(data=model_file(NAME, seed=1)))
        pool.refresh()
        value = instruments.registry.get_sample_value
        assert value("aiops_model_swaps_total", {"model": NAME}) == 1
        labels = {"model": NAME, "source": "synthetic"}
        assert value("aiops_model_info", {**labels, "version": "2", "data_version": "data-of-2"}) == 1
        assert value("aiops_model_info", {**labels, "version": "1", "data_version": "data-of-1"}) is None
        assert value("aiops_model_trained_timestamp_seconds", {"model": NAME}) == 1793491200

    def test_a_swap_survives_a_client_that_removes_only_what_was_set(
        self, home: ServedHome, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def remove(gauge: Gauge, *labels: str) -> None:  # as prometheus-client 0.21 has it
            del gauge._metrics[labels]

        monkeypatch.setattr(Gauge, "remove", remove)
        home.serve([NAME])
        instruments = Instruments()
        pool = ModelPool(ChampionSource(home.served), [ANOMALY_DETECTOR], instruments)
        pool.refresh()
        instruments.model_info.clear()
        home.promote(home.publish(data=model_file(NAME, seed=1)))
        pool.refresh()
        assert pool.problems == {}
        assert instruments.registry.get_sample_value("aiops_model_loaded_timestamp_seconds", {"model": NAME})
        labels = {"model": NAME, "source": "synthetic", "version": "2", "data_version": "data-of-2"}
        assert instruments.registry.get_sample_value("aiops_model_info", labels) == 1


class TestFirstRequests:
    def test_a_pool_is_ready_when_they_were_made(self, home: ServedHome) -> None:
        home.serve([NAME])
        order: list[str] = []
        pool = ModelPool(
            ChampionSource(home.served),
            [ANOMALY_DETECTOR],
            Instruments(),
            warm_model=lambda ready: order.append(f"{ready.origin['model_version']} {sorted(pool.ready)}"),
        )

        def warm_up() -> None:
            order.append("requests")
            assert pool.get(NAME)
            assert not pool.can_answer
            with pytest.raises(ServiceNotReady) as caught:
                pool.get_warm(NAME)
            assert caught.value.code == "warming_up"

        pool._warm_up = warm_up
        pool.refresh()
        assert pool.can_answer
        assert version_of(pool) == pool.get_warm(NAME).champion.version == 1
        home.promote(home.publish(data=model_file(NAME, seed=1)))
        pool.refresh()
        assert order == ["1 []", "requests", f"2 ['{NAME}']"]

    def test_they_follow_the_first_champion(self, home: ServedHome) -> None:
        pool = pool_of(home)
        pool.refresh()
        assert (pool.settled, pool.warm, pool.can_answer) == (True, False, False)
        home.serve([NAME])
        pool.refresh()
        assert pool.can_answer

    def test_they_are_not_counted_and_each_is_answered(self, home: ServedHome, tmp_path: Path) -> None:
        home.serve([NAME])
        with capture_logs() as lines, service(tmp_path, MODELS=NAME) as client:
            wait_until(client, "/v2/health/ready")
            text = client.get("/metrics").text
        assert "aiops_predictions_total{" not in text
        assert "aiops_anomalies_reported_total{" not in text
        failed = [line for line in lines if line["event"] == "warm-up" and line.get("request") != "scores"]
        assert failed == []


class TestMissing:
    def test_without_any_model_nothing_is_ready_and_health_says_so(self, tmp_path: Path) -> None:
        with service(tmp_path) as client:
            assert health(client)["status"] == "unavailable"
            for name in MODEL_NAMES:
                response = client.get(f"/v1/models/{name}")
                assert response.status_code == 503
                assert "aiops run" in response.json()["error"] or "just started" in response.json()["error"]
            predicted = client.post(f"/v1/models/{NAME}:predict", json={"instances": ROW.tolist()})
            detected = client.post("/api/v1/anomaly/detect", json={"metrics": []})
            assert predicted.status_code == detected.status_code == client.get("/v2/health/ready").status_code == 503
            assert client.get("/v2/health/live").status_code == 200
            analyzed = client.post("/api/v1/pattern/analyze", json={"metrics": []})
            foretold = client.post("/api/v1/prediction/predict", json={"metrics": []})
            assert (analyzed.status_code, foretold.status_code) == (200, 200)

    def test_a_model_is_ready_as_soon_as_it_is_promoted(self, home: ServedHome, tmp_path: Path) -> None:
        with service(tmp_path, MODELS=NAME) as client:
            assert client.get(f"/v1/models/{NAME}").status_code == 503
            home.serve([NAME])
            wait_until(client, f"/v1/models/{NAME}")
            assert health(client)["status"] == "healthy"

    def test_one_model_of_two_is_degraded(self, home: ServedHome, tmp_path: Path) -> None:
        home.serve([NAME])
        with service(tmp_path, MODELS=f"{NAME},ensemble-predictor") as client:
            wait_until(client, f"/v1/models/{NAME}")
            found = health(client)
            assert found["status"] == "degraded"
            assert any("ensemble-predictor" in str(problem) for problem in found["problems"])  # type: ignore[attr-defined]
            wait_until(client, "/v2/health/ready")  # the other one must not take this one down
            assert client.get(f"/v2/models/{NAME}/ready").status_code == 200
            assert client.get("/v2/models/ensemble-predictor/ready").status_code == 503

    def test_without_mlflow_and_without_a_lake_what_can_answer_does(self, home: ServedHome, tmp_path: Path) -> None:
        home.serve([NAME])
        root, nobody = str(home.folder), "http://127.0.0.1:9"
        with service(tmp_path / "nothing", MODELS=NAME, MODEL_ROOT=root, MLFLOW_TRACKING_URI=nobody) as client:
            wait_until(client, f"/v1/models/{NAME}")
            body = {"metrics": [{"name": "cpu_usage", "value": 0.4}], "context": {"resource": "a-pod"}}
            for path in ("anomaly/detect", "prediction/predict", "pattern/analyze"):
                assert client.post(f"/api/v1/{path}", json=body).status_code == 200
            assert client.get("/metrics").status_code == 200
            assert health(client)["status"] == "healthy"
        assert not (tmp_path / "nothing").exists()


def test_a_process_tells_what_it_is_and_which_models_it_is_to_serve(tmp_path: Path) -> None:
    url = "https://aiops.example.com/ml"
    with service(tmp_path, AIOPS_ENV="staging", CLUSTER="east", MODELS=NAME, SERVICE_EXTERNAL_URL=f"{url}/") as client:
        text = client.get("/metrics").text
    told = {"cluster": "east", "data_source": "hybrid", "environment": "staging", "external_url": url}
    told["version"] = __version__
    labels = ",".join(f'{name}="{value}"' for name, value in told.items())
    assert re.search(rf"^aiops_service_info{{{labels}}} 1.0$", text, re.MULTILINE)
    assert f'aiops_model_ready{{model="{NAME}"}} 0.0' in text
    assert "aiops_model_coverage_ratio{" not in text


class TestOneModel:
    def test_it_is_also_called_model(self, home: ServedHome, tmp_path: Path) -> None:
        home.serve([NAME])
        with service(tmp_path, NAME) as client:
            wait_until(client, f"/v1/models/{NAME}")
            body = {"instances": ROW.tolist()}
            by_name, by_model = (client.post(f"/v1/models/{name}:predict", json=body) for name in (NAME, "model"))
            assert by_name.json()["predictions"] == by_model.json()["predictions"]
            assert client.get("/v1/models").json() == {"models": [NAME]}
            assert client.get("/v1/models/lstm-predictor").status_code == 404

    def test_an_unknown_one_is_refused_at_the_start(self, tmp_path: Path) -> None:
        with pytest.raises(SettingsError, match="there are anomaly-detector"), service(tmp_path, "detector"):
            pass


def test_lookback_of_the_lstm_is_its_window() -> None:
    assert LSTM_PREDICTOR.family.least_rows == WINDOW + 1


@pytest.mark.long
def test_fifty_clients_see_no_failure_while_champions_move(home: ServedHome, tmp_path: Path) -> None:
    """Scores tell which version really answered."""
    files = {1: model_file(NAME), 2: model_file(NAME, seed=1)}
    home.serve([NAME])
    home.publish(data=files[2])
    scores = {str(version): score_of(data) for version, data in files.items()}
    assert abs(scores["1"] - scores["2"]) > 1e-6
    with serving(tmp_path, MODELS=NAME, SERVICE_POLL_SECONDS="0.1") as running:
        running.wait_for(f"/v1/models/{NAME}")
        over = Event()

        def ask() -> Counter[str]:
            seen: Counter[str] = Counter()
            with requests.Session() as session:
                while not over.is_set():
                    body = {"instances": ROW.tolist()}
                    response = session.post(f"{running.url}/v1/models/{NAME}:predict", json=body, timeout=30)
                    assert response.status_code == 200, response.text
                    found = response.json()
                    np.testing.assert_allclose(found["scores"], [scores[found["model_version"]]], atol=1e-9)
                    assert found["data_version"] == f"data-of-{found['model_version']}"
                    seen[found["model_version"]] += 1
            return seen

        with ThreadPoolExecutor(CLIENTS) as clients:
            asking = [clients.submit(ask) for _ in range(CLIENTS)]
            try:
                for move in range(MOVES):
                    home.promote(2 - move % 2)
                    sleep(0.4)
            finally:
                over.set()
            seen = sum((one.result() for one in asking), Counter())
        assert set(seen) == {"1", "2"}
        metrics = requests.get(f"{running.url}/metrics", timeout=5).text
        assert 'aiops_model_swaps_total{model="anomaly-detector"}' in metrics


@pytest.mark.long
def test_sigterm_finishes_what_was_begun(home: ServedHome, tmp_path: Path) -> None:
    home.serve([NAME])
    with serving(tmp_path, MODELS=NAME) as running:
        running.wait_for(f"/v1/models/{NAME}")
        with ThreadPoolExecutor(1) as client:
            rows = healthy_rows(3000, seed=1).tolist()
            asked = client.submit(
                requests.post, f"{running.url}/v1/models/{NAME}:predict", json={"instances": rows}, timeout=30
            )
            sleep(0.05)
            assert running.stop() in (0, -15)
            assert len(asked.result().json()["predictions"]) == 3000
        log = running.log.read_text()
        assert '"event":"model is served"' in log


def test_settings_have_limits() -> None:
    with pytest.raises(SettingsError, match="SERVICE_MAX_BODY_BYTES"):
        make_settings(Path("anywhere"), SERVICE_MAX_BODY_BYTES="10")
