"""When the service is asked, and which earlier answer is given while it is not."""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from aiops_assets.client import Answer, MLServiceClient
from aiops_assets.client.service_client import MAX_CACHED
from aiops_assets.errors import (
    ServiceCircuitOpen,
    ServiceUnavailable,
)
from aiops_assets_tests.client.fake_service import CPU, Clock, Reply, Service, counted, fails
from aiops_assets_tests.raising import raises


def test_three_failures_in_a_row_open_the_breaker_and_nothing_is_sent(
    client: MLServiceClient, service: Service
) -> None:
    service.answers(500, {"error": "no model"})
    fails(client, 2)
    assert (client.breaker_state, client.status()) == ("closed", "degraded")
    path = "/api/v1/anomaly/detect"
    with raises(ServiceUnavailable, "failed", path=path, status=500, words="no model"):
        client.detect(CPU)
    assert (client.breaker_state, client.status()) == ("open", "unavailable")
    with raises(ServiceCircuitOpen, "service_circuit_open"):
        client.detect(CPU)
    assert len(service.asked) == 3
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
    (warning,) = caplog.records
    assert isinstance(warning.args, tuple)
    path, error, age = warning.args
    assert isinstance(error, ServiceUnavailable)
    assert (path, error.code, age) == ("/api/v1/anomaly/detect", "failed", 12.0)
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


HEALTHY = {"current_state": "healthy", "recent_events": [], "metrics": CPU}


@pytest.mark.parametrize("other", [{"current_state": "critical"}, {"recent_events": ["OOMKilled"]}])
def test_the_answer_to_another_situation_is_not_given(
    client: MLServiceClient, service: Service, other: dict[str, object]
) -> None:
    client.predict(issue_context=HEALTHY)
    client.analyze(historical_data={"time_range": "24h", "events": ["Pulled"]})
    service.answers(500, {})
    with pytest.raises(ServiceUnavailable):
        client.predict(issue_context={**HEALTHY, **other})
    with pytest.raises(ServiceUnavailable):
        client.analyze(historical_data={"time_range": "24h", "events": ["Evicted"]})
    changed = [{"name": "node_cpu_utilization", "value": 0.9, "timestamp": "2026-01-01T00:00:00Z"}]
    assert client.predict(issue_context={**HEALTHY, "metrics": changed}).cached is True


@pytest.mark.parametrize("label", ["value", "timestamp", "start", "end", "events", "current_state"])
def test_a_label_of_any_name_tells_questions_apart(client: MLServiceClient, service: Service, label: str) -> None:
    client.detect([{"name": "cpu", "value": 1, "labels": {label: "a"}}], context={label: "a"})
    service.answers(500, {})
    with pytest.raises(ServiceUnavailable):
        client.detect([{"name": "cpu", "value": 1, "labels": {label: "b"}}], context={label: "a"})
    with pytest.raises(ServiceUnavailable):
        client.detect([{"name": "cpu", "value": 1, "labels": {label: "a"}}], context={label: "b"})


def test_a_later_time_range_asks_the_same(client: MLServiceClient, service: Service) -> None:
    client.analyze(CPU, time_range={"start": "2026-01-01T00:00:00Z", "end": "2026-01-02T00:00:00Z"})
    service.answers(500, {})
    later = {"start": "2026-01-01T00:05:00Z", "end": "2026-01-02T00:05:00Z"}
    assert client.analyze(CPU, time_range=later).cached is True


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
    for position in range(MAX_CACHED + 1):
        client.detect([{"name": f"m{position}", "value": 1}])
    service.answers(500, {})
    with pytest.raises(ServiceUnavailable):
        client.detect([{"name": "m0", "value": 1}])
    assert client.detect([{"name": "m1", "value": 1}]).cached is True
