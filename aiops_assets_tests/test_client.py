import json
import logging
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from aiops_assets.client import MOST_CACHED, Answer, MLServiceClient
from aiops_assets.errors import (
    DataError,
    ServiceCircuitOpen,
    ServiceRefused,
    ServiceUnavailable,
    SettingsError,
)
from aiops_assets.insights.samples import Sample
from aiops_assets.settings import load_settings

CPU = [{"name": "node_cpu_utilization", "value": 0.4}]
Reply = tuple[int, bytes]


class Server(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """Says nothing of a client that did not wait."""


class Service:
    """An ML service that answers as it is told, and remembers what it was asked."""

    def __init__(self) -> None:
        self.reply: Callable[[dict[str, object] | None], Reply] = lambda asked: (200, b'{"anomaly_detected": false}')
        self.asked: list[tuple[str, str, dict[str, object] | None, dict[str, str]]] = []
        self.connections = 0

        service = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def setup(self) -> None:
                service.connections += 1
                super().setup()

            def _handle(self) -> None:
                text = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                body = json.loads(text) if text else None
                service.asked.append((self.command, self.path, body, dict(self.headers)))
                status, reply = service.reply(body)
                self.send_response(status)
                self.send_header("Content-Length", str(len(reply)))
                self.end_headers()
                self.wfile.write(reply)

            do_GET = do_POST = _handle

            def log_message(self, format: str, *args: object) -> None:
                return

        self._server = Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def answers(self, status: int, body: object) -> None:
        text = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.reply = lambda asked: (status, text)

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def service() -> Iterator[Service]:
    running = Service()
    yield running
    running.stop()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def client(service: Service, clock: Clock) -> Iterator[MLServiceClient]:
    with MLServiceClient(service.url, timeout_seconds=5, clock=clock) as asking:
        yield asking


def fails(client: MLServiceClient, times: int) -> None:
    for _ in range(times):
        with pytest.raises(ServiceUnavailable):
            client.detect([{"name": "never_asked_before", "value": 1}])


def counted(client: MLServiceClient, name: str, **labels: str) -> float | None:
    return client.registry.get_sample_value(name, labels)


def test_requests_hold_what_was_given_and_nothing_else(client: MLServiceClient, service: Service) -> None:
    sample = Sample("m", 1.0, datetime(2026, 1, 1, tzinfo=UTC), {"pod": "a"})
    assert client.detect([sample], threshold=0.7, context={"namespace": "shop"}).body == {"anomaly_detected": False}
    client.predict(CPU, predict_ahead="1h", include_confidence=True)
    client.predict(issue_context={"current_state": "slow", "recent_events": ["OOMKilled"], "metrics": []})
    client.analyze(CPU, time_range={"start": datetime(2026, 1, 1, tzinfo=UTC)}, analysis_type="trend")
    client.analyze(historical_data={"time_range": "24h", "events": ["a"]})
    assert [(method, path, body) for method, path, body, _ in service.asked] == [
        (
            "POST",
            "/api/v1/anomaly/detect",
            {
                "metrics": [
                    {"name": "m", "value": 1.0, "timestamp": "2026-01-01T00:00:00+00:00", "labels": {"pod": "a"}}
                ],
                "threshold": 0.7,
                "context": {"namespace": "shop"},
            },
        ),
        (
            "POST",
            "/api/v1/prediction/predict",
            {"historical_metrics": CPU, "predict_ahead": "1h", "include_confidence": True},
        ),
        (
            "POST",
            "/api/v1/prediction/predict",
            {"issue_context": {"current_state": "slow", "recent_events": ["OOMKilled"], "metrics": []}},
        ),
        (
            "POST",
            "/api/v1/pattern/analyze",
            {"metrics": CPU, "time_range": {"start": "2026-01-01T00:00:00+00:00"}, "analysis_type": "trend"},
        ),
        (
            "POST",
            "/api/v1/pattern/analyze",
            {"metrics": [], "historical_data": {"time_range": "24h", "events": ["a"]}},
        ),
    ]


def test_many_requests_use_one_connection(client: MLServiceClient, service: Service) -> None:
    for _ in range(20):
        client.detect(CPU)
    client.health()
    assert (len(service.asked), service.connections) == (21, 1)


def test_requests_of_many_threads_go_out_at_once(client: MLServiceClient, service: Service) -> None:
    together = threading.Barrier(4)

    def reply(asked: object) -> Reply:
        together.wait(timeout=10)
        return 200, b"{}"

    service.reply = reply
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: client.detect(CPU), range(4)))
    assert [answer.cached for answer in answers] == [False] * 4


def test_three_failures_in_a_row_open_the_breaker_and_nothing_is_sent(
    client: MLServiceClient, service: Service
) -> None:
    service.answers(500, {"error": "no model"})
    fails(client, 2)
    assert (client.breaker_state, client.status()) == ("closed", "degraded")
    with pytest.raises(ServiceUnavailable, match="answered 500: no model; look at the service's log"):
        client.detect(CPU)
    assert (client.breaker_state, client.status()) == ("open", "unavailable")
    with pytest.raises(ServiceCircuitOpen, match="ML_CIRCUIT_BREAKER_TIMEOUT"):
        client.detect(CPU)
    assert len(service.asked) == 3
    path = "/api/v1/anomaly/detect"
    assert counted(client, "aiops_client_requests_total", path=path, outcome="failed") == 3
    assert counted(client, "aiops_client_requests_total", path=path, outcome="not_sent") == 1
    assert counted(client, "aiops_client_breaker_state") == 2


def test_a_success_between_failures_keeps_it_closed(client: MLServiceClient, service: Service) -> None:
    for _ in range(3):
        service.answers(503, {})
        fails(client, 2)
        service.answers(200, {})
        client.detect(CPU)
    assert (client.breaker_state, client.status()) == ("closed", "healthy")


def test_a_trial_closes_it_or_opens_it_for_as_long_again(
    client: MLServiceClient, service: Service, clock: Clock
) -> None:
    service.answers(500, {})
    fails(client, 3)
    clock.now += 29.9
    fails(client, 1)
    assert len(service.asked) == 3
    clock.now += 0.2
    fails(client, 1)
    assert (len(service.asked), client.breaker_state) == (4, "open")
    service.answers(200, {"summary": {}})
    clock.now += 29.9
    fails(client, 1)
    clock.now += 0.2
    assert client.detect(CPU) == Answer({"summary": {}})
    assert (client.breaker_state, client.status()) == ("closed", "healthy")
    assert counted(client, "aiops_client_breaker_state") == 0


def test_only_one_request_is_the_trial(client: MLServiceClient, service: Service, clock: Clock) -> None:
    service.answers(500, {})
    fails(client, 3)
    clock.now += 31
    begun, go_on = threading.Event(), threading.Event()

    def reply(asked: object) -> Reply:
        begun.set()
        go_on.wait(timeout=10)
        return 200, b"{}"

    service.reply = reply
    with ThreadPoolExecutor(1) as pool:
        trial = pool.submit(client.detect, CPU)
        assert begun.wait(timeout=10)
        assert client.breaker_state == "half-open"
        fails(client, 2)
        go_on.set()
        assert trial.result().cached is False
    assert (len(service.asked), client.breaker_state) == (4, "closed")


def test_the_last_answer_to_the_same_question_is_given_and_marked(
    client: MLServiceClient, service: Service, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    service.answers(200, {"anomaly_detected": True})
    first = client.detect([{"name": "cpu", "value": 0.4, "timestamp": "2026-01-01T00:00:00Z"}])
    assert first == Answer({"anomaly_detected": True}, cached=False, age_seconds=0.0)
    assert first.degraded is False
    service.answers(500, {})
    clock.now += 12
    with caplog.at_level(logging.WARNING, "aiops.client"):
        again = client.detect([{"name": "cpu", "value": 0.9, "timestamp": "2026-01-01T00:05:00Z"}])
    assert again == Answer({"anomaly_detected": True}, cached=True, age_seconds=12.0)
    assert again.degraded is True
    assert "the answer of 12 s ago is returned" in caplog.text
    # While it is open too.
    fails(client, 2)
    assert client.breaker_state == "open"
    assert client.detect([{"name": "cpu", "value": 0.1}, {"name": "cpu", "value": 0.2}]).cached is True
    assert client.status() == "degraded"
    assert counted(client, "aiops_client_cached_answers_total", path="/api/v1/anomaly/detect") == 2


def test_nobody_gets_the_answer_to_another_question(client: MLServiceClient, service: Service) -> None:
    client.detect([{"name": "cpu", "value": 1, "labels": {"pod": "a"}}], threshold=0.5, context={"namespace": "x"})
    service.answers(500, {})
    others: list[Callable[[], Answer]] = [
        lambda: client.detect([{"name": "cpu", "value": 1, "labels": {"pod": "b"}}], 0.5, {"namespace": "x"}),
        lambda: client.detect([{"name": "cpu", "value": 1, "labels": {"pod": "a"}}], 0.5, {"namespace": "y"}),
        lambda: client.detect([{"name": "cpu", "value": 1, "labels": {"pod": "a"}}], 0.6, {"namespace": "x"}),
        lambda: client.detect([{"name": "memory", "value": 1, "labels": {"pod": "a"}}], 0.5, {"namespace": "x"}),
        lambda: client.analyze([{"name": "cpu", "value": 1, "labels": {"pod": "a"}}]),
    ]
    for other in others:
        with pytest.raises(ServiceUnavailable):
            other()


def test_an_answer_of_long_ago_is_not_given(client: MLServiceClient, service: Service, clock: Clock) -> None:
    client.detect(CPU)
    service.answers(500, {})
    clock.now += 3600
    assert client.detect(CPU).cached is True
    clock.now += 1
    with pytest.raises(ServiceUnavailable):
        client.detect(CPU)
    fails(client, 1)
    assert client.status() == "unavailable"


def test_only_so_many_answers_are_kept(client: MLServiceClient, service: Service) -> None:
    for position in range(MOST_CACHED + 1):
        client.detect([{"name": f"m{position}", "value": 1}])
    service.answers(500, {})
    with pytest.raises(ServiceUnavailable):
        client.detect([{"name": "m0", "value": 1}])
    assert client.detect([{"name": "m1", "value": 1}]).cached is True


def test_a_refusal_has_the_servers_words_and_is_no_failure(client: MLServiceClient, service: Service) -> None:
    client.detect(CPU)
    service.answers(422, {"error": "metrics[0].value: send a finite number"})
    for _ in range(5):
        with pytest.raises(ServiceRefused, match=r"answered 422: metrics\[0\].value: send a finite number") as refused:
            client.detect(CPU)
        assert refused.value.status == 422
    assert (client.breaker_state, client.status()) == ("closed", "healthy")
    path = "/api/v1/anomaly/detect"
    assert counted(client, "aiops_client_requests_total", path=path, outcome="refused") == 5
    assert counted(client, "aiops_client_cached_answers_total", path=path) is None


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b"<html>login</html>"),
        (200, b"[]"),
        (200, b'{"a": NaN}'),
        (200, b""),
        (200, b"\xff\xfe"),
        (302, b"{}"),
        (500, b""),
    ],
)
def test_what_breaks_the_contract_counts_as_a_failure(
    client: MLServiceClient, service: Service, status: int, body: bytes
) -> None:
    service.answers(status, body)
    fails(client, 3)
    assert client.breaker_state == "open"


def test_a_time_out_counts_and_a_post_is_not_sent_again(service: Service) -> None:
    release = threading.Event()

    def reply(asked: object) -> Reply:
        release.wait(timeout=10)
        return 200, b"{}"

    service.reply = reply
    with MLServiceClient(service.url, timeout_seconds=0.1, threshold=1) as client:
        fails(client, 1)
        assert client.breaker_state == "open"
        release.set()
    assert len(service.asked) == 1


def test_no_server_is_a_failure_that_says_where_to_look() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
    with MLServiceClient(url, timeout_seconds=1) as client:
        with pytest.raises(ServiceUnavailable, match="check ML_SERVICE_URL and that the service runs"):
            client.detect(CPU)
        assert client.status() == "degraded"


def test_health_asks_the_server_even_while_it_is_open(client: MLServiceClient, service: Service) -> None:
    service.answers(500, {})
    fails(client, 3)
    service.answers(200, {"status": "ok"})
    assert client.health() == Answer({"status": "ok"})
    assert client.breaker_state == "open"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object(), datetime(2026, 1, 1)])
def test_what_is_no_json_is_refused_before_it_is_sent(client: MLServiceClient, service: Service, value: object) -> None:
    with pytest.raises(DataError, match="cannot be written as JSON"):
        client.detect([{"name": "m", "value": value}])
    assert service.asked == []
    assert client.status() == "healthy"


def test_the_key_is_read_at_each_request_and_never_shown(
    service: Service, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "key"
    file.write_text("first-secret\n")
    with caplog.at_level(logging.DEBUG), MLServiceClient(service.url, token_file=file) as client:
        client.detect(CPU)
        file.write_text("second-secret")
        client.detect(CPU)
        service.answers(401, {"error": "second-secret is not known"})
        with pytest.raises(ServiceRefused, match=r"\[token\] is not known") as refused:
            client.detect(CPU)
        service.answers(500, b"Authorization: Bearer second-secret")
        assert client.detect(CPU).cached is True
        file.write_text("third secret\n\n of two lines")
        with pytest.raises(SettingsError, match="ML_SERVICE_TOKEN_FILE") as unusable:
            client.detect(CPU)
        shown = caplog.text + repr(client) + str(refused.value) + str(unusable.value)
    assert [headers["Authorization"] for *_, headers in service.asked[:2]] == [
        "Bearer first-secret",
        "Bearer second-secret",
    ]
    assert "secret" not in shown
    assert "the answer of" in shown


def test_the_environment_decides(service: Service, tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("abc")
    environment = {
        "ML_SERVICE_URL": service.url + "/",
        "ML_SERVICE_TIMEOUT": "2s",
        "ML_CIRCUIT_BREAKER_THRESHOLD": "1",
        "ML_CIRCUIT_BREAKER_TIMEOUT": "1m",
        "ML_SERVICE_TOKEN_FILE": str(key),
    }
    clock = Clock()
    registry = CollectorRegistry()
    with MLServiceClient.from_environment(environment, clock=clock, registry=registry) as client:
        assert client.registry is registry
        service.answers(500, {})
        fails(client, 1)
        clock.now += 59
        with pytest.raises(ServiceCircuitOpen):
            client.detect(CPU)
        clock.now += 2
        service.answers(200, {})
        assert client.detect(CPU).cached is False
    assert service.asked[0][1] == "/api/v1/anomaly/detect"
    assert service.asked[0][3]["Authorization"] == "Bearer abc"


@pytest.mark.parametrize(
    ("text", "seconds"), [("30s", 30.0), ("1m30s", 90.0), ("250ms", 0.25), ("12", 12.0), ("1.5", 1.5)]
)
def test_times_are_go_durations_or_seconds(text: str, seconds: float) -> None:
    settings = load_settings({"ML_SERVICE_TIMEOUT": text, "ML_CIRCUIT_BREAKER_TIMEOUT": text})
    assert (settings.ml_service_timeout, settings.ml_circuit_breaker_timeout) == (seconds, seconds)


@pytest.mark.parametrize(
    ("text", "hint"), [("s", "30s or 1m30s"), ("soon", "0.01 to 3600"), ("4000", "0.01 to 3600"), ("0s", "30s or")]
)
def test_a_wrong_time_is_named(text: str, hint: str) -> None:
    with pytest.raises(SettingsError, match=f"ML_SERVICE_TIMEOUT={text}: not allowed, must be .*{hint}"):
        load_settings({"ML_SERVICE_TIMEOUT": text})


def test_without_variables_the_documents_defaults_hold() -> None:
    settings = load_settings({})
    assert (settings.ml_service_url, settings.ml_service_token_file) == (None, None)
    assert (settings.ml_service_timeout, settings.ml_circuit_breaker_timeout) == (30.0, 30.0)
    assert settings.ml_circuit_breaker_threshold == 3


def test_there_is_no_default_host_and_no_password_in_one() -> None:
    with pytest.raises(SettingsError, match="ML_SERVICE_URL is not set"):
        MLServiceClient.from_environment({})
    with pytest.raises(SettingsError, match="ML_SERVICE_TOKEN_FILE") as error:
        MLServiceClient.from_environment({"ML_SERVICE_URL": "http://me:secret@host"})
    assert "secret" not in str(error.value)
    for url in ("http://me:secret@host", "http://host?key=secret", "host:8080", "http://[::1"):
        with pytest.raises(SettingsError, match="must look like") as error:
            MLServiceClient(url)
        assert "secret" not in str(error.value)
