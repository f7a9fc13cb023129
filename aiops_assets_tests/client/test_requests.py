"""What goes over the wire, and what is made of refusals, failures and time-outs."""

import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from aiops_assets.client import Answer, MLServiceClient
from aiops_assets.engine.samples import Sample
from aiops_assets.errors import (
    DataError,
    ServiceRefused,
    ServiceUnavailable,
)
from aiops_assets_tests.client.fake_service import CPU, Clock, Reply, Service, counted, fails
from aiops_assets_tests.raising import raises
from aiops_assets_tests.snapshot import assert_snapshot, steady


@dataclass
class Reading:
    """A sample as another program has it."""

    name: str
    value: float
    time: datetime | None
    labels: dict[str, str]


def test_a_program_sends_objects_of_its_own_or_mappings(client: MLServiceClient, service: Service) -> None:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    given = ("m", 1.0, moment, {"pod": "a"})
    mapping = {"name": "m", "value": 1.0, "timestamp": moment, "labels": {"pod": "a"}}
    for metric in (Sample(*given), Reading(*given), mapping):
        client.detect([metric])
    client.detect([Reading("m", 1.0, None, {})])
    *same, bare = [body for _, _, body, _ in service.asked]
    assert same[0] == same[1] == same[2]
    assert bare == {"metrics": [{"name": "m", "value": 1.0}]}


@pytest.mark.parametrize("metric", ["m", ("m", 1.0), SimpleNamespace(name="m", value=1.0), None])
def test_what_is_no_sample_is_refused_before_it_is_sent(
    client: MLServiceClient, service: Service, metric: object
) -> None:
    for ask in (client.detect, client.predict, client.analyze):
        with raises(DataError, "no_sample", type=type(metric).__name__):
            ask([metric])  # type: ignore[list-item]
    assert service.asked == []


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


def test_more_threads_than_connections_take_turns_without_a_warning(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    with MLServiceClient(service.url, timeout_seconds=30, pool_size=2) as client, ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda _: client.detect(CPU), range(60)))
    assert [answer.cached for answer in answers] == [False] * 60
    assert service.connections <= 2
    assert caplog.records == []


def test_a_request_waits_for_a_connection_no_longer_than_its_time(service: Service) -> None:
    begun, release = threading.Event(), threading.Event()

    def reply(asked: object) -> Reply:
        begun.set()
        release.wait(timeout=10)
        return 200, b"{}"

    service.reply = reply
    with MLServiceClient(service.url, timeout_seconds=0.5, pool_size=1) as client, ThreadPoolExecutor(1) as pool:
        # A GET tries twice, so that the first holds the connection longer than the second waits.
        pool.submit(client.health)
        assert begun.wait(timeout=10)
        with raises(ServiceUnavailable, "no_free_connection", seconds=0.5) as caught:
            client.health()
        release.set()
    assert_snapshot("client_no_connection", steady(f"{caught.value}\n", {"SERVICE": service.url}))


def test_a_refusal_has_the_servers_words_and_is_no_failure(client: MLServiceClient, service: Service) -> None:
    client.detect(CPU)
    path, words = "/api/v1/anomaly/detect", "metrics[0].value: not finite"
    service.answers(422, {"error": words})
    for _ in range(5):
        with raises(ServiceRefused, "refused", path=path, words=words) as refused:
            client.detect(CPU)
        assert refused.value.status == 422
    assert (client.breaker_state, client.status()) == ("closed", "healthy")
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


def url_without_server() -> str:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{taken.getsockname()[1]}"


def test_no_server_is_a_failure_that_says_where_to_look() -> None:
    url = url_without_server()
    with MLServiceClient(url, timeout_seconds=1) as client:
        with raises(ServiceUnavailable, "no_answer", url=url, path="/api/v1/anomaly/detect") as caught:
            client.detect(CPU)
        assert client.status() == "degraded"
    assert caught.value.facts["reason"] in str(caught.value)


def test_what_failures_say(
    client: MLServiceClient, service: Service, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    said = []
    client.predict(CPU)
    service.answers(500, {})
    clock.now += 12
    assert client.predict(CPU).cached
    said += [record.getMessage() for record in caplog.records]
    service.answers(200, {})
    client.predict(CPU)
    replies: list[tuple[int, object]] = [
        (422, {"error": "metrics[0].value: not finite"}),
        (404, b"not here"),
        (500, {"detail": "no model"}),
        (500, b""),
        (200, b"<html>"),
        (200, {}),
    ]
    for status, body in replies:
        service.answers(status, body)
        with pytest.raises((ServiceRefused, ServiceUnavailable)) as caught:
            client.detect(CPU)
        said.append(str(caught.value))
    for metric in ({"name": "m", "value": float("nan")}, {"name": "m", "value": datetime(2026, 1, 1)}, "m"):
        with pytest.raises(DataError) as refused:
            client.detect([metric])  # type: ignore[list-item]
        said.append(str(refused.value))
    nowhere = url_without_server()
    with MLServiceClient(nowhere, timeout_seconds=1) as other, pytest.raises(ServiceUnavailable) as unreachable:
        other.health()
    said.append(str(unreachable.value))
    places = {
        "SERVICE": service.url,
        "NOWHERE": nowhere,
        "REASON": unreachable.value.facts["reason"],
    }  # the words of urllib3
    assert_snapshot("client_failures", steady("".join(f"{line}\n" for line in said), places))


def test_health_asks_the_server_even_while_it_is_open(client: MLServiceClient, service: Service) -> None:
    service.answers(500, {})
    fails(client, 3)
    service.answers(200, {"status": "ok"})
    assert client.health() == Answer({"status": "ok"})
    assert client.breaker_state == "open"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object(), datetime(2026, 1, 1)])
def test_what_is_no_json_is_refused_before_it_is_sent(client: MLServiceClient, service: Service, value: object) -> None:
    with raises(DataError, "not_json"):
        client.detect([{"name": "m", "value": value}])
    assert service.asked == []
    assert client.status() == "healthy"
