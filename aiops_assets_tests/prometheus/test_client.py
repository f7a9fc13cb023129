"""The client against answers of every kind."""

import threading
from collections.abc import Callable
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

COMMON = {"dedup": "true", "partial_response": "false", "max_source_resolution": "0s", "timeout": "27s"}
"""What every request carries; 27 s is a bit below the transport's 30 s."""
MIDNIGHT = datetime(2026, 3, 1, tzinfo=UTC)
DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)


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


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (matrix(({"a": "1"}, []), ({"a": "1"}, [])), "two series"),
        (vector(({}, "1")), "expected a matrix, got vector"),
        (success({"resultType": "scalar", "result": [T0, "1"]}), "got scalar"),
        (success({"resultType": "matrix"}), "expected a matrix"),
        (success({"resultType": "matrix", "result": [1]}), "not a series"),
        (success({"resultType": "matrix", "result": [{"metric": {"a": 1}, "values": []}]}), "not a series"),
        (success({"resultType": "matrix", "result": [{"metric": {}, "histograms": []}]}), "histogram"),
        (success(None), "expected a matrix"),
        (refusal(200, "bad_data", "odd"), "odd"),
        (refusal(500, "internal", "disk is gone"), "disk is gone"),
        (Answer(200, {}, b""), "broken JSON"),
        (Answer(200, {}, b"[" * 100_000), "broken JSON"),
        (Answer(200, {}, b'{"status": success}'), "broken JSON"),
        (Answer(200, {}, b'{"status": "ok"}'), "without a Prometheus answer"),
        (Answer(404, {}, b"404 page not found"), "404 page not found.*PROMETHEUS_URL"),
        (Answer(400, {}, b"Client sent an HTTP request to an HTTPS server."), "scheme"),
    ],
)
def test_answers_that_break_the_contract(answer: Answer, words: str) -> None:
    with pytest.raises(PrometheusAnswerError, match=words):
        client_of(answer).query_range("up", NOON, NOON + timedelta(minutes=5))


# Classification


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        (Answer(429, {}, b"slow down"), PrometheusUnreachable, "slow down"),
        (Answer(502, {}, b"<html>Bad\nGateway</html>"), PrometheusUnreachable, "Bad Gateway.*PROMETHEUS_URL"),
        (Answer(503, {}, b"Service Unavailable"), PrometheusUnreachable, "Service Unavailable"),
        (Answer(504, {}, b""), PrometheusUnreachable, "504"),
        (refusal(503, "unavailable", "TSDB not ready"), PrometheusUnreachable, "TSDB not ready"),
        (refusal(429, "too_many_requests", "queue"), PrometheusUnreachable, "queue"),
        (Answer(401, {}, b"Unauthorized"), PrometheusAccessError, "PROMETHEUS_TOKEN_FILE"),
        (refusal(403, "forbidden", "no"), PrometheusAccessError, "PROMETHEUS_TOKEN_FILE"),
        (Answer(302, {"location": "https://login"}, b""), PrometheusAccessError, "PROMETHEUS_URL"),
        (Answer(200, {}, b"\n<!doctype html><html>"), PrometheusAccessError, "web page"),
        (refusal(400, "bad_data", "parse error"), PrometheusQueryError, "parse error; correct the query"),
        (refusal(422, "execution", "many-to-many"), PrometheusQueryError, "many-to-many; correct the query"),
        (refusal(422, "422", "unexpected end"), PrometheusQueryError, "unexpected end"),
        (refusal(400, "bad_data", "exceeded maximum resolution"), PrometheusTooMuch, "shorter range"),
        (refusal(422, "execution", "would load too many samples"), PrometheusTooMuch, "shorter range"),
        (refusal(422, "execution", "rpc: context deadline exceeded"), PrometheusTooMuch, "shorter range"),
        (refusal(503, "timeout", "timed out"), PrometheusTooMuch, "timed out; ask for a shorter range"),
        (Answer(408, {}, b"Request Timeout"), PrometheusUnreachable, "Request Timeout"),
        (Answer(200, {}, matrix(({}, [[T0, "1"]])).body[:-9]), PrometheusUnreachable, "cut off"),
        (Answer(200, {}, matrix(({}, [[T0, "1"]])).body[:-1]), PrometheusUnreachable, "cut off"),
        (matrix(warnings=["store-1 is down"]), PrometheusPartial, "incomplete: .*store-1 is down"),
        (matrix(isPartial=True), PrometheusPartial, "incomplete: isPartial"),
    ],
)
def test_refusals_are_told_apart(answer: Answer, error: type[PrometheusError], words: str) -> None:
    client = client_of(answer)
    promql = 'up{pod="a"}\n + 1'
    asks = (
        client.probe,
        lambda: client.query(promql, NOON),
        lambda: client.query_range(promql, NOON, NOON + timedelta(minutes=1)),
    )
    for ask in asks:
        with pytest.raises(PrometheusError, match=words) as caught:
            ask()
        assert type(caught.value) is error
        assert "\n" not in str(caught.value)
    if issubclass(error, PrometheusQueryError):
        assert 'up{pod="a"} + 1' in str(caught.value)


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
    with pytest.raises(PrometheusQueryError, match="many-to-many"):
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
    with pytest.raises(PrometheusTooMuch, match="too many samples"):
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
    for answer in (vector(({}, "NaN")), vector(({"a": "1"}, "1"), ({"a": "2"}, "1"))):
        with pytest.raises(PrometheusAnswerError, match="one number"):
            client_of(answer).count_series("up", NOON)


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
        with pytest.raises(PrometheusAnswerError, match="PROMETHEUS_URL"):
            client_of(answer).probe()
