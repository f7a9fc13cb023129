"""What every request passes: key, limits, one shape of refusal, measurements, and documents that need no other host."""

import json
import re
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from time import sleep

import pytest
from starlette.testclient import TestClient

from aiops_assets.errors import ModelError, SettingsError
from aiops_assets.families.anomaly_detector import ANOMALY_DETECTOR
from aiops_assets.service.app import create_app
from aiops_assets.service.bodies import DetectBody
from aiops_assets.service.demo import demo_clock, demo_pool
from aiops_assets.service.demo_scores import demo_findings
from aiops_assets.service.engine import Engine
from aiops_assets.service.instruments import Instruments
from aiops_assets.service.serving import app_of
from aiops_assets.service.wire import parsed
from aiops_assets.service.workers import HEAVY_THREADS
from aiops_assets.synthetic.healthy import healthy_rows
from aiops_assets_tests.conftest import make_settings
from aiops_assets_tests.service.conftest import service
from aiops_assets_tests.service.running import serving

ROWS = healthy_rows(2, seed=1).tolist()
PREDICT = f"/v1/models/{ANOMALY_DETECTOR.name}:predict"
KEY = "s3cret-key"


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[TestClient]:
    with service(tmp_path, demo=True) as client:
        yield client


class TestKey:
    @pytest.fixture
    def guarded(self, tmp_path: Path) -> Iterator[TestClient]:
        (tmp_path / "key").write_text(f"{KEY}\n")
        with service(tmp_path, demo=True, SERVICE_API_KEY_FILE=str(tmp_path / "key")) as client:
            yield client

    @pytest.mark.parametrize(
        "headers", [{"Authorization": f"Bearer {KEY}"}, {"Authorization": f"bearer {KEY}"}, {"X-API-Key": KEY}]
    )
    def test_who_has_it_is_answered(self, guarded: TestClient, headers: dict[str, str]) -> None:
        assert guarded.post(PREDICT, json={"instances": ROWS}, headers=headers).status_code == 200

    @pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer other"}, {"X-API-Key": ""}])
    def test_who_has_not_is_told_how_to_send_it(self, guarded: TestClient, headers: dict[str, str]) -> None:
        for method, path in (("POST", PREDICT), ("POST", "/api/v1/anomaly/detect"), ("GET", "/metrics")):
            response = guarded.request(method, path, headers=headers)
            assert response.status_code == 401
            assert "Authorization: Bearer" in response.json()["error"]
            assert KEY not in response.text

    @pytest.mark.parametrize(
        "path", ["/health", "/v1/models", f"/v1/models/{ANOMALY_DETECTOR.name}", "/v2/health/ready"]
    )
    def test_probes_need_none(self, guarded: TestClient, path: str) -> None:
        assert guarded.get(path).status_code == 200

    def test_a_new_key_is_read_and_a_missing_file_lets_nobody_in(self, guarded: TestClient, tmp_path: Path) -> None:
        (tmp_path / "key").write_text("another")
        assert guarded.get("/metrics", headers={"X-API-Key": "another"}).status_code == 200
        (tmp_path / "key").write_text("")
        assert guarded.get("/metrics", headers={"X-API-Key": ""}).status_code == 401
        (tmp_path / "key").unlink()
        assert guarded.get("/metrics", headers={"X-API-Key": "another"}).status_code == 503

    @pytest.mark.parametrize("content", ["", "  ", None])
    def test_a_key_that_lets_nobody_in_is_refused_at_the_start(self, tmp_path: Path, content: str | None) -> None:
        if content is not None:
            (tmp_path / "key").write_text(content)
        with pytest.raises(SettingsError, match="SERVICE_API_KEY_FILE"):
            app_of(make_settings(tmp_path, SERVICE_API_KEY_FILE=str(tmp_path / "key")), demo=True)


class TestLimits:
    def test_a_body_in_pieces_is_counted(self, tmp_path: Path) -> None:
        with service(tmp_path, demo=True, SERVICE_MAX_BODY_BYTES="2000") as client:
            pieces = (b" " * 500 for _ in range(10))
            response = client.post(PREDICT, content=pieces)
            assert response.status_code == 413
            assert client.post(PREDICT, content=b" " * 2001).status_code == 413
            assert client.post(PREDICT, content=b" " * 1999).status_code == 400

    @pytest.mark.parametrize("value", [b"[]", b"{}", b"0", b'""'])
    def test_values_are_counted_before_they_are_parsed(self, tmp_path: Path, value: bytes) -> None:
        with service(tmp_path, demo=True, SERVICE_MAX_JSON_VALUES="100000") as client:
            few, many = (b'{"instances": [' + b",".join([value] * n) + b"]}" for n in (19_000, 110_000))
            assert client.post(PREDICT, content=few).status_code == 400
            for path in (PREDICT, "/api/v1/anomaly/detect", "/api/v1/pattern/analyze"):
                response = client.post(path, content=many)
                assert response.status_code == 413
                assert "SERVICE_MAX_JSON_VALUES" in response.json()["error"]
            refused = 'aiops_refused_total{reason="json_values"} 3.0'
            assert refused in client.get("/metrics").text

    def test_a_long_list_of_samples_is_validated_as_a_short_one(self, demo: TestClient) -> None:
        sample = {"name": "cpu_usage", "value": 0.4}
        wrong = {"name": "cpu_usage", "value": "much"}
        short = demo.post("/api/v1/anomaly/detect", json={"metrics": [sample, wrong]})
        long = demo.post("/api/v1/anomaly/detect", json={"metrics": [sample] * 600 + [wrong]})
        assert (short.status_code, long.status_code) == (400, 400)
        assert long.json()["error"] == short.json()["error"].replace("[1]", "[600]")
        body = json.dumps({"metrics": [sample] * 600}).encode()
        assert len(parsed(DetectBody, body).metrics) == 600

    def test_an_overload_is_no_fault_of_the_request(self, tmp_path: Path) -> None:
        go = Event()

        class Held(Engine):
            def analyze(self, body: object) -> dict[str, object]:
                go.wait(20)
                return {}

        with self._app(tmp_path, Held, SERVICE_TIMEOUT_SECONDS="1.5") as client, ThreadPoolExecutor(8) as many:
            asked = [many.submit(client.post, "/api/v1/pattern/analyze", json={"metrics": []}) for _ in range(6)]
            answers = [one.result() for one in asked]
            go.set()
            assert {one.status_code for one in answers} == {503}
            waited = [one for one in answers if "retry-after" in one.headers]
            assert len(waited) == 6 - HEAVY_THREADS
            assert not any("send less" in one.json()["error"] for one in waited)
            assert client.post("/api/v1/anomaly/detect", json={"metrics": []}).status_code == 200

    def test_what_takes_too_long_is_a_503_in_time(self, tmp_path: Path) -> None:
        class Slow(Engine):
            def analyze(self, body: object) -> dict[str, object]:
                sleep(2)
                return {}

        with self._app(tmp_path, Slow, SERVICE_TIMEOUT_SECONDS="0.2") as client:
            response = client.post("/api/v1/pattern/analyze", json={"metrics": []})
            assert response.status_code == 503
            assert "SERVICE_TIMEOUT_SECONDS" in response.json()["error"]
            assert client.get("/health").status_code == 200

    def test_who_leaves_before_the_body_is_sent_is_no_fault_of_ours(self, tmp_path: Path) -> None:
        with serving(tmp_path, "--demo", SERVICE_TIMEOUT_SECONDS="1") as running:
            running.wait_for("/health")
            host, port = running.url.removeprefix("http://").split(":")
            head = f"POST {PREDICT} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 100\r\n\r\n{{".encode()
            with socket.create_connection((host, int(port)), timeout=10) as gone:
                gone.sendall(head)
            with socket.create_connection((host, int(port)), timeout=10) as slow:
                slow.sendall(head)
                assert slow.recv(4096).startswith(b"HTTP/1.1 408")
            counted = running.wait_for("/metrics").text
            assert 'code="499"' in counted
            assert 'code="500"' not in counted
            assert "Traceback" not in running.log.read_text()

    def test_threads_of_requests_that_ran_out_of_time_do_not_pile_up(self, tmp_path: Path) -> None:
        began = []

        class Slow(Engine):
            def analyze(self, body: object) -> dict[str, object]:
                began.append(1)
                sleep(3)
                return {}

        with self._app(tmp_path, Slow, SERVICE_TIMEOUT_SECONDS="0.1") as client:
            for _ in range(2 * HEAVY_THREADS):
                assert client.post("/api/v1/pattern/analyze", json={"metrics": []}).status_code == 503
            assert len(began) == HEAVY_THREADS
            assert client.post("/api/v1/anomaly/detect", json={"metrics": []}).status_code == 200

    def test_a_bug_is_a_500_without_its_words(self, tmp_path: Path) -> None:
        class Broken(Engine):
            def analyze(self, body: object) -> dict[str, object]:
                raise RuntimeError(KEY)

        with self._app(tmp_path, Broken) as client:
            response = client.post("/api/v1/pattern/analyze", json={"metrics": []})
            assert response.status_code == 500
            assert set(response.json()) == {"error"}
            assert KEY not in response.text

    def test_a_model_without_a_usable_answer_says_so(self, tmp_path: Path) -> None:
        unusable = ModelError("not finite")

        class Unusable(Engine):
            def analyze(self, body: object) -> dict[str, object]:
                raise unusable

        with self._app(tmp_path, Unusable) as client:
            response = client.post("/api/v1/pattern/analyze", json={"metrics": []})
            assert response.json() == {"error": str(unusable)}
            assert response.status_code == 422

    @staticmethod
    def _app(folder: Path, kind: type[Engine], **variables: str) -> TestClient:
        instruments = Instruments()
        pool = demo_pool(instruments)
        engine = kind(pool, instruments, demo_clock)
        app = create_app(make_settings(folder, **variables), pool, instruments, engine, demo_findings())
        return TestClient(app, raise_server_exceptions=False)


class TestRefusals:
    def test_every_refusal_has_one_shape(self, demo: TestClient) -> None:
        for method, path, status in (
            ("GET", "/nope", 404),
            ("PUT", "/health", 405),
            ("GET", "/api/v1/anomaly/detect", 405),
            ("POST", "/v1/models/nope:predict", 404),
            ("POST", "/v2/models/nope/infer", 404),
            ("POST", PREDICT, 400),
        ):
            response = demo.request(method, path)
            assert response.status_code == status, path
            assert set(response.json()) == {"error"}
            assert response.headers["content-type"] == "application/json"

    def test_no_content_type_is_needed(self, demo: TestClient) -> None:
        response = demo.post("/api/v1/anomaly/detect", content=b'{"metrics": []}', headers={"content-type": "text/x"})
        assert response.status_code == 200


class TestMeasurements:
    def test_requests_are_counted_by_route_and_not_by_path(self, demo: TestClient) -> None:
        demo.post(PREDICT, json={"instances": [*ROWS, [1.0] * 45]})
        for i in range(5):
            demo.get(f"/scan/{i}")
        text = demo.get("/metrics").text
        counted = (
            'aiops_http_request_duration_seconds_count{code="200",method="POST",route="/v1/models/{name}:predict"} 1.0'
        )
        assert counted in text
        assert re.search(r'_count\{code="404",method="any",route="unknown"\} 5\.0', text)
        assert "/scan/" not in text
        assert 'aiops_predictions_total{model="anomaly-detector",verdict="anomaly"} 1.0' in text
        assert 'aiops_predictions_total{model="anomaly-detector",verdict="normal"} 2.0' in text
        assert 'aiops_row_anomaly_score_count{model="anomaly-detector"} 3.0' in text

    def test_reported_anomalies_are_counted_by_severity(self, demo: TestClient) -> None:
        found = demo.post("/api/v1/anomaly/detect", json={"metrics": [{"name": "cpu_usage", "value": 0.99}]}).json()
        severity = found["anomalies"][0]["severity"]
        assert f'aiops_anomalies_reported_total{{severity="{severity}"}} 1.0' in demo.get("/metrics").text


class TestDocuments:
    def test_the_page_loads_nothing_from_elsewhere(self, demo: TestClient) -> None:
        page = demo.get("/docs")
        assert page.status_code == 200
        linked = re.findall(r'(?:src|href)="([^"]+)"', page.text)
        assert linked
        for address in linked:
            assert address.startswith("/")
            assert demo.get(address).status_code == 200

    def test_each_body_has_a_schema_and_an_example(self, demo: TestClient) -> None:
        found = demo.get("/openapi.json").json()
        schemas = found["components"]["schemas"]
        posts = [path["post"] for path in found["paths"].values() if "post" in path]
        assert len(posts) == 6
        for post in posts:
            reference = post["requestBody"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
            (example,) = schemas[reference]["examples"]
            path = next(path for path, methods in found["paths"].items() if methods.get("post") == post)
            assert demo.post(path.format(name=ANOMALY_DETECTOR.name, version=1), json=example).status_code == 200
            assert "$ref" in post["responses"]["200"]["content"]["application/json"]["schema"]
