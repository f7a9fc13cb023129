"""Whose request it was: ids and trace context, taken, given back, logged and recorded; and compressed bodies."""

import gzip
import json
import threading
import zlib
from collections.abc import Iterator, MutableMapping
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, NoReturn

import pytest
import structlog
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from starlette.testclient import TestClient

from aiops_assets.families.anomaly_detector import ANOMALY_DETECTOR
from aiops_assets.service.correlation import add_ids, valid_parent
from aiops_assets.service.serving import app_of
from aiops_assets.service.traces import Traces, traces_to
from aiops_assets_tests.conftest import make_settings
from aiops_assets_tests.service.conftest import service

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
DETECT = "/api/v1/anomaly/detect"
BODY = json.dumps({"metrics": [{"name": "cpu_usage", "value": 0.4}]}).encode()
MOST = 100_000


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[TestClient]:
    with service(tmp_path, demo=True, SERVICE_MAX_BODY_BYTES=str(MOST)) as client:
        yield client


class TestIds:
    def test_an_id_is_given_back_on_every_answer_also_of_a_rejection(self, demo: TestClient) -> None:
        for method, path in (("GET", "/health"), ("GET", "/nowhere"), ("PUT", DETECT), ("POST", DETECT)):
            assert demo.request(method, path, headers={"X-Request-ID": "abc-1"}).headers["x-request-id"] == "abc-1"

    @pytest.mark.parametrize("sent", [None, "", "a b", "x" * 129, 'a"b', "é"])
    def test_without_a_usable_one_each_request_has_its_own(self, demo: TestClient, sent: str | None) -> None:
        headers = {} if sent is None else {"X-Request-ID": sent.encode("latin-1")}
        first, second = (demo.get("/health", headers=headers).headers["x-request-id"] for _ in range(2))  # type: ignore[arg-type]
        assert len(first) == len(second) == 32
        assert first != second

    def test_a_trace_context_is_given_back_and_a_wrong_one_is_not(self, demo: TestClient) -> None:
        assert demo.get("/health", headers={"traceparent": PARENT}).headers["traceparent"] == PARENT
        assert "traceparent" not in demo.get("/health", headers={"traceparent": "00-1-2-3"}).headers

    @pytest.mark.parametrize(
        "sent",
        [
            "",
            PARENT.upper(),
            PARENT.replace("00-", "ff-", 1),
            PARENT + "-x",
            PARENT[:-1],
            f"00-{'0' * 32}-b7ad6b7169203331-01",
            f"00-{TRACE}-{'0' * 16}-01",
        ],
    )
    def test_only_a_valid_context_is_one(self, sent: str) -> None:
        assert valid_parent(sent.encode()) == ""
        assert valid_parent(PARENT.encode()) == PARENT
        assert valid_parent(f"01-{PARENT[3:]}-more".encode()) == f"01-{PARENT[3:]}-more"  # of a later version

    def test_lines_of_the_log_have_both(self, tmp_path: Path) -> None:
        lines: list[dict[str, object]] = []

        def keep(_: object, __: str, line: MutableMapping[str, Any]) -> NoReturn:
            lines.append(dict(line))
            raise structlog.DropEvent

        with service(tmp_path, demo=True, SERVICE_API_KEY_FILE=str(_key(tmp_path))) as client:
            (tmp_path / "key").unlink()
            before = structlog.get_config()
            structlog.configure(processors=[add_ids, keep], cache_logger_on_first_use=False)
            try:
                client.get("/metrics", headers={"X-Request-ID": "abc-1", "traceparent": PARENT})
            finally:
                structlog.configure(**before)
        assert lines
        assert {(line["request_id"], line["trace_id"]) for line in lines} == {("abc-1", TRACE)}


def _key(folder: Path) -> Path:
    (folder / "key").write_text("k")
    return folder / "key"


class TestTraces:
    def test_a_request_is_a_span_below_that_of_its_sender(self) -> None:
        exporter = InMemorySpanExporter()
        traces = Traces(exporter)
        span = traces.begin("POST", DETECT, PARENT)
        own = span.traceparent
        span.end(DETECT, 503)
        traces.stop()
        (found,) = exporter.get_finished_spans()
        assert found.parent is not None
        assert f"{found.parent.span_id:016x}" == PARENT.split("-")[2]
        assert own == f"00-{TRACE}-{found.context.span_id:016x}-01"
        assert found.name == f"POST {DETECT}"
        assert not found.status.is_ok
        assert dict(found.attributes or {}) == {
            "http.request.method": "POST",
            "url.path": DETECT,
            "http.route": DETECT,
            "http.response.status_code": 503,
        }

    def test_the_service_sends_them_where_the_setting_says(self, tmp_path: Path) -> None:
        received: list[bytes] = []

        class Receiver(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                data = self.rfile.read(int(self.headers["Content-Length"]))
                received.append(gzip.decompress(data) if self.headers.get("Content-Encoding") == "gzip" else data)
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        with HTTPServer(("127.0.0.1", 0), Receiver) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            url = f"http://127.0.0.1:{server.server_port}/v1/traces"
            with service(tmp_path, demo=True, SERVICE_TRACES_URL=url) as client:
                headers = {"traceparent": PARENT, "X-API-Key": "s3cret"}
                answer = client.post(DETECT, content=BODY, headers=headers)
                assert answer.headers["traceparent"].split("-")[1] == TRACE
                assert answer.headers["traceparent"] != PARENT
                new = client.get("/v1/models/nobody?pod=s3cret").headers["traceparent"]
                assert valid_parent(new.encode())
            server.shutdown()
        spans = [
            span
            for message in received
            for resource in ExportTraceServiceRequest.FromString(message).resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]
        assert {span.name for span in spans} >= {f"POST {DETECT}", "GET /v1/models/{name}"}
        assert b"s3cret" not in b"".join(received)
        assert TRACE in {span.trace_id.hex() for span in spans}

    def test_a_receiver_that_is_away_delays_no_answer(self, tmp_path: Path) -> None:
        traces = traces_to("http://127.0.0.1:9/v1/traces")
        traces.begin("GET", "/", "").end("/", 200)  # is exported later, in a thread

    def test_they_are_off_by_default(self, tmp_path: Path) -> None:
        settings = make_settings(tmp_path)
        assert settings.service_traces_url is None
        assert "traceparent" not in TestClient(app_of(settings, demo=True)).get("/v2").headers


class TestCompressed:
    def test_gzip_is_taken_whole_and_in_pieces(self, demo: TestClient) -> None:
        data = gzip.compress(BODY)
        plain = demo.post(DETECT, content=BODY).json()
        for content in (data, (data[at : at + 7] for at in range(0, len(data), 7))):
            response = demo.post(DETECT, content=content, headers={"Content-Encoding": "gzip"})
            assert response.json() == plain
        assert demo.post(DETECT, content=BODY, headers={"Content-Encoding": "identity"}).json() == plain

    def test_what_grows_beyond_the_limit_is_too_large(self, demo: TestClient) -> None:
        for content in (b" " * (MOST + 1), b"\0" * 50_000_000):
            data = gzip.compress(content)
            assert len(data) < MOST
            response = demo.post(DETECT, content=data, headers={"Content-Encoding": "gzip"})
            assert response.status_code == 413
            assert set(response.json()) == {"error"}
        most = gzip.compress(BODY + b" " * (MOST - len(BODY)))
        assert demo.post(DETECT, content=most, headers={"Content-Encoding": "gzip"}).status_code == 200

    @pytest.mark.parametrize(
        "data",
        [b"", BODY, gzip.compress(BODY)[:-1], gzip.compress(BODY) * 2, zlib.compress(BODY)],
        ids=["empty", "plain", "cut", "two streams", "zlib"],
    )
    def test_what_is_not_one_whole_stream_is_refused(self, demo: TestClient, data: bytes) -> None:
        response = demo.post(DETECT, content=data, headers={"Content-Encoding": "gzip"})
        assert response.status_code == 400
        assert set(response.json()) == {"error"}

    @pytest.mark.parametrize("encoding", ["br", "deflate", "zstd", "gzip, gzip", "x"])
    def test_other_encodings_are_a_415_that_says_what_is_taken(self, demo: TestClient, encoding: str) -> None:
        response = demo.post(
            f"/v1/models/{ANOMALY_DETECTOR.name}:predict", content=BODY, headers={"Content-Encoding": encoding}
        )
        assert response.status_code == 415
        assert response.headers["accept-encoding"] == "gzip"
        assert set(response.json()) == {"error"}
