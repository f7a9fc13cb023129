"""The client against answers of every kind."""

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
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
from aiops_assets.prometheus.chunks import MOST_SAMPLES
from aiops_assets.prometheus.client import PrometheusClient, plan_chunks
from aiops_assets.prometheus.retry import Retry
from aiops_assets.prometheus.transport import Answer
from aiops_assets_tests.prometheus.answering import (
    AT_ONCE,
    NOON,
    T0,
    Handler,
    Params,
    client_of,
    grid_matrix,
    matrix,
    refusal,
    success,
    vector,
)
from aiops_assets_tests.raising import raises
from aiops_assets_tests.snapshot import assert_snapshot

COMMON = {"dedup": "true", "partial_response": "false", "max_source_resolution": "0s", "timeout": "27s"}
"""What every request carries; 27 s is a bit below the transport's 30 s."""
MIDNIGHT = datetime(2026, 3, 1, tzinfo=UTC)
DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)
TWICE = Retry(attempts=2, sleep=lambda seconds: None, clock=lambda: 0.0)


# Frames


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
    frame = PrometheusClient(Handler(answer)).query_range(*window, series=MOST_SAMPLES // 1440)
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


# Classification

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


# Streams


def test_a_stream_yields_the_whole_range_in_order_and_asks_for_nothing_else() -> None:
    handler = Handler(lambda path, params: grid_matrix(params, "a", "b"))
    client = PrometheusClient(handler, ahead=3)
    window = ("up", NOON, NOON + 9 * DAY)
    parts = list(client.stream(*window, series=200))

    planned = plan_chunks(NOON, NOON + 9 * DAY, 60, 200)
    assert [chunk for chunk, _ in parts] == planned
    assert sorted(params["start"] for _, params in handler.asked) == [str(chunk.start) for chunk in planned]
    for chunk, frame in parts:
        assert (len(frame), frame.attrs) == (chunk.points, {"not_finite": 0})
    pd.testing.assert_frame_equal(pd.concat([frame for _, frame in parts]), client.query_range(*window))


@pytest.mark.parametrize("ahead", [1, 2, 4])
def test_so_many_requests_are_under_way_at_once(ahead: int) -> None:
    together = threading.Barrier(ahead, timeout=20)

    def answer(path: str, params: Params) -> Answer:
        together.wait()  # passes only when so many are here
        return grid_matrix(params, "a")

    handler = Handler(answer)
    assert len(list(PrometheusClient(handler, ahead=ahead).stream("up", MIDNIGHT, MIDNIGHT + 4 * DAY, series=200))) == 4
    assert len(handler.asked) == 4
    with pytest.raises(ValueError, match="ahead=0"):
        PrometheusClient(handler, ahead=0)


def test_a_caller_that_stops_ends_requests_and_threads() -> None:
    handler = Handler(lambda path, params: grid_matrix(params, "a"))
    client = PrometheusClient(handler)
    before = threading.active_count()
    for _ in client.stream("up", MIDNIGHT, MIDNIGHT + 9 * DAY, series=200):
        break
    assert threading.active_count() == before
    assert len(handler.asked) <= 3  # one was yielded, two were ahead


def test_nothing_is_asked_before_the_first_frame_is_wanted_but_a_bad_window_is_told() -> None:
    handler = Handler(lambda path, params: matrix())
    client = PrometheusClient(handler)
    client.stream("up", NOON, NOON + DAY)
    with pytest.raises(ValueError, match="before"):
        client.stream("up", NOON, NOON - DAY)
    assert handler.asked == []


def test_an_error_goes_up_in_its_turn_and_no_further_request_begins() -> None:
    third = str(int((MIDNIGHT + 2 * DAY).timestamp()))

    def answer(path: str, params: Params) -> Answer:
        return refusal(422, "execution", "many-to-many") if params["start"] == third else grid_matrix(params, "a")

    handler = Handler(answer)
    stream = PrometheusClient(handler, ahead=1).stream("up", MIDNIGHT, MIDNIGHT + 9 * DAY, series=200)
    starts = [next(stream)[0].start for _ in range(2)]
    with raises(PrometheusQueryError, "bad_query", status=422, error_type="execution", text="many-to-many"):
        next(stream)
    assert [params["start"] for _, params in handler.asked] == [*map(str, starts), third]


def test_a_wait_for_another_attempt_ends_with_the_caller() -> None:
    first = str(int(MIDNIGHT.timestamp()))
    busy = threading.Event()

    def answer(path: str, params: Params) -> Answer:
        if params["start"] == first:
            assert busy.wait(20)
            return grid_matrix(params, "a")
        busy.set()
        return Answer(429, {"retry-after": "60"}, b"slow down")

    handler = Handler(answer)
    stream = PrometheusClient(handler).stream("up", MIDNIGHT, MIDNIGHT + 2 * DAY, series=200)
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    assert len(handler.asked) == 2


# Too much


def limited(points: int, *, whole: Callable[[Params], Answer]) -> Handler:
    """A server that refuses more than so many instants."""

    def answer(path: str, params: Params) -> Answer:
        asked = (int(params["end"]) - int(params["start"])) // int(params["step"]) + 1
        return whole(params) if asked <= points else refusal(422, "execution", "would load too many samples")

    return Handler(answer)


@pytest.mark.parametrize("points", [1, 7, 20, 39])
def test_what_is_too_much_is_asked_for_in_halves(points: int) -> None:
    window = ("up", NOON, NOON + 40 * MINUTE)
    handler = limited(points, whole=lambda params: grid_matrix(params, "a", "b"))
    client = PrometheusClient(handler, retry=AT_ONCE)
    parts = list(client.stream(*window))
    assert all(len(frame) == chunk.points <= points for chunk, frame in parts)
    assert all(a.end == b.start for (a, _), (b, _) in pairwise(parts))
    whole = PrometheusClient(limited(40, whole=lambda params: grid_matrix(params, "a", "b")))
    pd.testing.assert_frame_equal(client.query_range(*window), whole.query_range(*window))


def test_one_instant_that_is_too_much_goes_up() -> None:
    handler = limited(0, whole=lambda params: matrix())
    with raises(PrometheusTooMuch, "too_much", status=422, error_type="execution"):
        PrometheusClient(handler, retry=AT_ONCE).query_range("up", NOON, NOON + 8 * MINUTE)
    spans = [int(params["end"]) - int(params["start"]) for _, params in handler.asked]
    assert spans == [420, 180, 60, 0]


# Instant queries


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
