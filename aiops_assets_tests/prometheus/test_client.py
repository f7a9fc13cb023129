"""The client against answers of every kind."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest

from aiops_assets.errors import (
    PrometheusAccessError,
    PrometheusAnswerError,
    PrometheusError,
    PrometheusPartial,
    PrometheusQueryError,
    PrometheusTooMuch,
    PrometheusUnreachable,
)
from aiops_assets.prometheus.answers import series_name
from aiops_assets.prometheus.chunks import MAX_SAMPLES
from aiops_assets.prometheus.client import PrometheusClient
from aiops_assets.prometheus.retry import Retry
from aiops_assets.prometheus.transport import Answer
from aiops_assets_tests.prometheus.answering import (
    NOON,
    T0,
    Handler,
    Params,
    client_of,
    matrix,
    refusal,
    success,
    vector,
)
from aiops_assets_tests.raising import raises
from aiops_assets_tests.snapshot import assert_snapshot

COMMON = {"dedup": "true", "partial_response": "false", "max_source_resolution": "0s", "timeout": "27s"}
"""What every request carries; 27 s is a bit below the transport's 30 s."""
MINUTE = timedelta(minutes=1)
TWICE = Retry(attempts=2, sleep=lambda seconds: None, clock=lambda: 0.0)


def test_a_range_is_asked_half_open_and_answered_on_the_whole_grid() -> None:
    handler = Handler(
        lambda path, params: matrix(
            ({"pod": "b", "a": "x"}, [[T0, "1.5"], [T0 + 120, "NaN"], [T0 + 180, "4"]]),
            ({}, [[T0 + 60, "+Inf"], [T0 + 120, "-Inf"], [T0 + 240, "7"]]),
        )
    )
    frame = PrometheusClient(handler).query_range("up", NOON, NOON + timedelta(minutes=5))

    assert frame.attrs["not_finite"] == 3
    bounds = {"query": "up", "start": str(T0), "end": str(T0 + 240), "step": "60"}
    assert handler.asked == [("/api/v1/query_range", {**bounds, **COMMON})]
    nan = np.nan
    expected = pd.DataFrame(
        {'{"a":"x","pod":"b"}': [1.5, nan, nan, 4, nan], "{}": [nan, nan, nan, nan, 7]},
        index=pd.date_range(NOON, periods=5, freq="60s", unit="us", name="timestamp"),
    )
    pd.testing.assert_frame_equal(frame, expected)


def test_columns_are_sorted_by_name() -> None:
    answer = matrix(*[({"pod": pod}, [[T0, "1"]]) for pod in "cab"])
    frame = client_of(answer).query_range("up", NOON, NOON + timedelta(minutes=1))
    assert list(frame.columns) == [series_name({"pod": pod}) for pod in "abc"]


def test_chunks_join_where_a_series_comes_and_goes() -> None:
    midnight = datetime(2026, 3, 2, tzinfo=UTC)
    zero = int(midnight.timestamp())

    def answer(path: str, params: Params) -> Answer:
        first = int(params["start"])
        values: list[list[object]] = [[first, "1"], [first + 60, "2"]]
        return matrix(({"pod": "old" if first < zero else "new"}, values))

    window = ("up", midnight - 2 * MINUTE, midnight + 2 * MINUTE)
    frame = PrometheusClient(Handler(answer)).query_range(*window, series=MAX_SAMPLES // 1440)
    nan = np.nan
    np.testing.assert_array_equal(frame['{"pod":"old"}'], [1, 2, nan, nan])
    np.testing.assert_array_equal(frame['{"pod":"new"}'], [nan, nan, 1, 2])
    assert frame.index.equals(pd.date_range(midnight - 2 * MINUTE, periods=4, freq="60s", unit="us"))


def test_no_series_is_a_frame_without_columns() -> None:
    frame = client_of(matrix()).query_range("nothing", NOON, NOON + timedelta(minutes=3))
    assert frame.shape == (3, 0)
    assert str(frame.index.dtype) == "datetime64[us, UTC]"


def test_an_empty_window_asks_nothing() -> None:
    handler = Handler(lambda path, params: matrix())
    assert PrometheusClient(handler).query_range("up", NOON, NOON).shape == (0, 0)
    assert handler.asked == []


@pytest.mark.parametrize(
    "values",
    [
        [[T0 + 1, "1"]],
        [[T0 + 0.001, "1"]],
        [[T0 - 60, "1"]],
        [[T0 + 300, "1"]],
        [[T0 + 60, "1"], [T0, "1"]],
        [[T0, "1"], [T0, "1"]],
        [[float("nan"), "1"]],
        [[T0, "one"]],
        [[T0, None]],
        [[T0]],
        [[10**400, "1"]],
        None,
        7,
    ],
    ids=str,
)
def test_samples_that_are_no_grid_are_refused(values: Any) -> None:
    with pytest.raises(PrometheusAnswerError):
        client_of(matrix(({"pod": "a"}, values))).query_range("up", NOON, NOON + timedelta(minutes=5))


BROKEN: list[tuple[Answer, str, dict[str, Any]]] = [
    (matrix(({"a": "1"}, []), ({"a": "1"}, [])), "same_labels", {"series": '{"a":"1"}'}),
    (vector(({}, "1")), "other_kind", {"expected": "matrix", "got": "vector"}),
    (success({"resultType": "scalar", "result": [T0, "1"]}), "other_kind", {"expected": "matrix", "got": "scalar"}),
    (success({"resultType": "matrix"}), "other_kind", {"expected": "matrix", "got": "matrix"}),
    (success({"resultType": "matrix", "result": [1]}), "not_a_series", {"item": 1}),
    (
        success({"resultType": "matrix", "result": [{"metric": {"a": 1}, "values": []}]}),
        "not_a_series",
        {"item": {"metric": {"a": 1}, "values": []}},
    ),
    (success({"resultType": "matrix", "result": [{"metric": {}, "histograms": []}]}), "histogram", {"series": "{}"}),
    (success(None), "other_kind", {"expected": "matrix", "got": None}),
    (refusal(200, "bad_data", "odd"), "server_error", {"status": 200, "error_type": "bad_data", "text": "odd"}),
    (
        refusal(500, "internal", "disk is gone"),
        "server_error",
        {"status": 500, "error_type": "internal", "text": "disk is gone"},
    ),
    (Answer(200, {}, b""), "no_prometheus_answer", {"status": 200, "what": "broken JSON"}),
    (Answer(200, {}, b"[" * 100_000), "no_prometheus_answer", {"status": 200, "what": "broken JSON"}),
    (Answer(200, {}, b'{"status": success}'), "no_prometheus_answer", {"status": 200, "what": "broken JSON"}),
    (Answer(200, {}, b'{"status": "ok"}'), "no_prometheus_answer", {"status": 200, "what": "broken JSON"}),
    (Answer(404, {}, b"404 page not found"), "no_prometheus_answer", {"status": 404, "what": "404 page not found"}),
    (Answer(400, {}, b"Client sent an HTTP request to an HTTPS server."), "no_prometheus_answer", {"status": 400}),
]


"""Answers that break the contract, with the code and the facts of their errors."""


@pytest.mark.parametrize(("answer", "code", "facts"), BROKEN)
def test_answers_that_break_the_contract(answer: Answer, code: str, facts: dict[str, Any]) -> None:
    with raises(PrometheusAnswerError, code, **facts):
        client_of(answer).query_range("up", NOON, NOON + timedelta(minutes=5))


Refused = tuple[Answer, type[PrometheusError], str, dict[str, Any]]


def stated(status: int, kind: str, text: str, error: type[PrometheusError], code: str) -> Refused:
    """A refusal in Prometheus' form; its error carries what the server sent as facts."""
    return refusal(status, kind, text), error, code, {"status": status, "error_type": kind, "text": text}


def of_gateway(status: int, body: bytes, shown: str) -> Refused:
    """A gateway's answer; its error shows the body in one line."""
    return Answer(status, {}, body), PrometheusUnreachable, "gateway", {"status": status, "body": shown}


REFUSED: list[Refused] = [
    of_gateway(429, b"slow down", "slow down"),
    of_gateway(502, b"<html>Bad\nGateway</html>", "<html>Bad Gateway</html>"),
    of_gateway(503, b"Service Unavailable", "Service Unavailable"),
    of_gateway(504, b"", ""),
    of_gateway(408, b"Request Timeout", "Request Timeout"),
    stated(503, "unavailable", "TSDB not ready", PrometheusUnreachable, "not_ready"),
    stated(429, "too_many_requests", "queue", PrometheusUnreachable, "not_ready"),
    (Answer(401, {}, b"Unauthorized"), PrometheusAccessError, "access_refused", {"status": 401}),
    (refusal(403, "forbidden", "no"), PrometheusAccessError, "access_refused", {"status": 403}),
    (Answer(302, {"location": "https://login"}, b""), PrometheusAccessError, "redirect", {"status": 302}),
    (Answer(200, {}, b"\n<!doctype html><html>"), PrometheusAccessError, "web_page", {}),
    stated(400, "bad_data", "parse error", PrometheusQueryError, "bad_query"),
    stated(422, "execution", "many-to-many", PrometheusQueryError, "bad_query"),
    stated(422, "422", "unexpected end", PrometheusQueryError, "bad_query"),
    stated(400, "bad_data", "exceeded maximum resolution", PrometheusTooMuch, "too_much"),
    stated(422, "execution", "would load too many samples", PrometheusTooMuch, "too_much"),
    stated(422, "execution", "rpc: context deadline exceeded", PrometheusTooMuch, "too_much"),
    stated(503, "timeout", "timed out", PrometheusTooMuch, "too_much"),
    (Answer(200, {}, matrix(({}, [[T0, "1"]])).body[:-9]), PrometheusUnreachable, "cut_off", {}),
    (Answer(200, {}, matrix(({}, [[T0, "1"]])).body[:-1]), PrometheusUnreachable, "cut_off", {}),
    (matrix(warnings=["store-1 is down"]), PrometheusPartial, "incomplete", {"warnings": ["store-1 is down"]}),
    (matrix(isPartial=True), PrometheusPartial, "incomplete", {"warnings": "isPartial"}),
]


"""Refusals of all kinds, with the type, the code and the facts of their errors."""


@pytest.mark.parametrize(("answer", "error", "code", "facts"), REFUSED)
def test_refusals_are_told_apart(
    answer: Answer, error: type[PrometheusError], code: str, facts: dict[str, Any]
) -> None:
    client = client_of(answer)
    promql = 'up{pod="a"}\n + 1'
    asks = (
        client.probe,
        lambda: client.query(promql, NOON),
        lambda: client.query_range(promql, NOON, NOON + timedelta(minutes=1)),
    )
    for ask in asks:
        with raises(PrometheusError, code, **facts) as caught:
            ask()
        assert type(caught.value) is error
        assert "\n" not in str(caught.value)
    if issubclass(error, PrometheusQueryError):
        assert 'up{pod="a"} + 1' in str(caught.value)


def test_the_wordings_are_those_that_were_agreed() -> None:
    answers = [(answer, code) for answer, code, _ in BROKEN] + [(answer, code) for answer, _, code, _ in REFUSED]
    answers.append((matrix(({"pod": "a"}, [[T0, "one"]])), "unreadable_samples"))
    answers.append((matrix(({"pod": "a"}, [[T0 + 1, "1"]])), "off_grid"))
    wordings = []
    for answer, code in answers:
        with raises(PrometheusError, code) as caught:
            client_of(answer, TWICE).query_range("up", NOON, NOON + timedelta(minutes=5))
        wordings.append(f"{code}\n    {caught.value}\n")
    with raises(PrometheusUnreachable, "gateway", attempts=1) as tried_once:
        client_of(Answer(503, {}, b"busy"), replace(TWICE, attempts=1)).probe()
    with raises(PrometheusAnswerError, "failed_probe") as failed:
        client_of(vector()).probe()
    with raises(PrometheusAnswerError, "not_a_count") as miscounted:
        client_of(vector(({}, "NaN"))).count_series("up", NOON)
    wordings += [f"{error.value.code}\n    {error.value}\n" for error in (tried_once, failed, miscounted)]
    assert_snapshot("prometheus_answers", "".join(wordings))


def test_advice_is_no_warning() -> None:
    answer = matrix(({}, [[T0, "1"]]), infos=["metric might not be a counter"], warnings=[], isPartial=False)
    assert client_of(answer).query_range("up", NOON, NOON + MINUTE).shape == (1, 1)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7),
        ({"retry-after": "Sun, 01 Mar 2026 12:00:30 GMT", "date": "Sun, 01 Mar 2026 12:00:00 GMT"}, 30),
        ({"retry-after": "Sun, 01 Mar 2026 11:00:00 GMT", "date": "Sun, 01 Mar 2026 12:00:00 GMT"}, 0),
        ({"retry-after": "Sun, 01 Mar 2026 11:00:00 GMT"}, 0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "inf"}, None),
        ({}, None),
    ],
    ids=str,
)
def test_the_time_a_server_asks_for_is_known(headers: Params, seconds: float | None) -> None:
    for answer in (
        Answer(429, headers, b"slow down"),
        Answer(503, headers, b""),
        refusal(503, "unavailable", "starting", headers),
    ):
        with pytest.raises(PrometheusUnreachable) as caught:
            client_of(answer).probe()
        assert caught.value.retry_after == seconds


def test_series_are_counted() -> None:
    handler = Handler(lambda path, params: vector(({}, "12")))
    assert PrometheusClient(handler).count_series("up", NOON) == 12
    assert PrometheusClient(handler).count_series("up # all of them", NOON) == 12
    assert [params["query"] for _, params in handler.asked] == ["count(up)", "count(up # all of them\n)"]
    assert client_of(vector()).count_series("up", NOON) == 0
    with raises(PrometheusAnswerError, "not_a_count"):
        client_of(vector(({}, "NaN"))).count_series("up", NOON)
    with raises(PrometheusAnswerError, "not_a_count", counts=[({"a": "1"}, 1.0), ({"a": "2"}, 1.0)]):
        client_of(vector(({"a": "1"}, "1"), ({"a": "2"}, "1"))).count_series("up", NOON)


def test_an_instant_query_yields_labels_and_values() -> None:
    handler = Handler(lambda path, params: vector(({"pod": "a"}, "0.25"), ({"pod": "b"}, "+Inf")))
    (one, two) = PrometheusClient(handler).query("up", NOON + timedelta(milliseconds=250))
    assert handler.asked == [("/api/v1/query", {"query": "up", "time": f"{T0}.250", **COMMON})]
    assert one == ({"pod": "a"}, 0.25)
    assert two[0] == {"pod": "b"}
    assert np.isnan(two[1])


def test_an_instant_needs_a_zone() -> None:
    with pytest.raises(ValueError, match="time zone"):
        client_of(vector()).query("up", NOON.replace(tzinfo=None))


def test_the_probe_takes_one_for_an_answer_and_nothing_else() -> None:
    client_of(vector(({}, "1"))).probe()
    for answer in (vector(({}, "2")), vector(), vector(({"a": "b"}, "1"))):
        with raises(PrometheusAnswerError, "failed_probe"):
            client_of(answer).probe()
