"""The client against answers of every kind."""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pytest

from aiops_assets.errors import (
    PrometheusAccessError,
    PrometheusAnswerError,
    PrometheusError,
    PrometheusQueryError,
    PrometheusUnreachable,
)
from aiops_assets.prometheus.answers import series_name
from aiops_assets.prometheus.client import Chunk, PrometheusClient, plan_chunks
from aiops_assets.prometheus.transport import Answer

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
T0 = int(NOON.timestamp())
Params = Mapping[str, str]


class Handler:
    """A transport that answers from a function and remembers what it was asked."""

    def __init__(self, answer: Callable[[str, Params], Answer]) -> None:
        self.asked: list[tuple[str, dict[str, str]]] = []
        self._answer = answer

    def get(self, path: str, params: Params) -> Answer:
        self.asked.append((path, dict(params)))
        return self._answer(path, params)


def client_of(answer: Answer) -> PrometheusClient:
    return PrometheusClient(Handler(lambda path, params: answer))


def success(data: object, **more: object) -> Answer:
    return Answer(200, {}, json.dumps({"status": "success", "data": data, **more}).encode())


def refusal(status: int, kind: str, text: str) -> Answer:
    return Answer(status, {}, json.dumps({"status": "error", "errorType": kind, "error": text}).encode())


def matrix(*series: tuple[dict[str, str], list[list[object]]], **more: object) -> Answer:
    result = [{"metric": labels, "values": values} for labels, values in series]
    return success({"resultType": "matrix", "result": result}, **more)


def vector(*series: tuple[dict[str, str], object]) -> Answer:
    result = [{"metric": labels, "value": [T0, value]} for labels, value in series]
    return success({"resultType": "vector", "result": result})


# Planning


def test_chunks_are_cut_at_utc_midnights_and_cover_the_window_once() -> None:
    start = datetime(2026, 3, 1, 22, 30, 40, tzinfo=UTC)
    chunks = plan_chunks(start, datetime(2026, 3, 4, 0, 1, 59, tzinfo=UTC), 60)

    midnights = [int(datetime(2026, 3, day, tzinfo=UTC).timestamp()) for day in (2, 3, 4)]
    assert chunks == [
        Chunk(midnights[0] - 90 * 60, midnights[0], 60),
        Chunk(midnights[0], midnights[1], 60),
        Chunk(midnights[1], midnights[2], 60),
        Chunk(midnights[2], midnights[2] + 60, 60),
    ]
    assert [chunk.points for chunk in chunks] == [90, 1440, 1440, 1]
    assert all(a.last + 60 == b.start for a, b in pairwise(chunks))


def test_chunks_of_a_day_that_begins_at_midnight_are_one() -> None:
    start = datetime(2026, 3, 1, tzinfo=UTC)
    assert len(plan_chunks(start, start + timedelta(days=1), 300)) == 1


def test_chunks_floor_to_the_step_in_utc_whatever_the_zone() -> None:
    india = timezone(timedelta(hours=5, minutes=30))
    start = (NOON + timedelta(minutes=7)).astimezone(india)
    assert plan_chunks(start, start + timedelta(minutes=5), 300) == [Chunk(T0 + 300, T0 + 600, 300)]


def test_a_window_without_an_instant_has_no_chunk() -> None:
    assert plan_chunks(NOON, NOON + timedelta(seconds=59), 60) == []


@pytest.mark.parametrize(
    ("start", "end", "step", "words"),
    [
        (NOON.replace(tzinfo=None), NOON, 60, "time zone"),
        (NOON, NOON.replace(tzinfo=None), 60, "time zone"),
        (NOON, NOON - timedelta(minutes=1), 60, "before"),
        (NOON, NOON, 0, "divide"),
        (NOON, NOON, 7, "divide"),
    ],
)
def test_windows_that_cannot_be_planned(start: datetime, end: datetime, step: int, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        plan_chunks(start, end, step)


# Frames


def test_a_range_is_asked_half_open_and_answered_on_the_whole_grid() -> None:
    handler = Handler(
        lambda path, params: matrix(
            ({"pod": "b", "a": "x"}, [[T0, "1.5"], [T0 + 120, "NaN"], [T0 + 180, "4"]]),
            ({}, [[T0 + 60, "+Inf"], [T0 + 120, "-Inf"], [T0 + 240, "7"]]),
        )
    )
    frame = PrometheusClient(handler).query_range("up", NOON, NOON + timedelta(minutes=5))

    bounds = {"query": "up", "start": str(T0), "end": str(T0 + 240), "step": "60"}
    assert handler.asked == [("/api/v1/query_range", bounds)]
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

    minute = timedelta(minutes=1)
    frame = PrometheusClient(Handler(answer)).query_range("up", midnight - 2 * minute, midnight + 2 * minute)
    nan = np.nan
    np.testing.assert_array_equal(frame['{"pod":"old"}'], [1, 2, nan, nan])
    np.testing.assert_array_equal(frame['{"pod":"new"}'], [nan, nan, 1, 2])
    assert frame.index.equals(pd.date_range(midnight - 2 * minute, periods=4, freq="60s", unit="us"))


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
        (matrix(({}, [[T0, "1"]]), warnings=["store-1 is down"]), "incomplete: .*store-1 is down"),
        (vector(({}, "1")), "expected a matrix, got vector"),
        (success({"resultType": "scalar", "result": [T0, "1"]}), "got scalar"),
        (success({"resultType": "matrix"}), "expected a matrix"),
        (success({"resultType": "matrix", "result": [1]}), "not a series"),
        (success({"resultType": "matrix", "result": [{"metric": {"a": 1}, "values": []}]}), "not a series"),
        (success({"resultType": "matrix", "result": [{"metric": {}, "histograms": []}]}), "histogram"),
        (success(None), "expected a matrix"),
        (refusal(200, "bad_data", "odd"), "odd"),
        (refusal(500, "internal", "disk is gone"), "disk is gone"),
        (Answer(200, {}, matrix(({}, [[T0, "1"]])).body[:-9]), "cut off"),
        (Answer(200, {}, b""), "cut off"),
        (Answer(200, {}, b"[" * 100_000), "cut off"),
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
        (refusal(400, "bad_data", "exceeded maximum resolution"), PrometheusQueryError, "shorter range"),
        (refusal(422, "execution", "would load too many samples"), PrometheusQueryError, "shorter range"),
        (refusal(503, "timeout", "timed out"), PrometheusQueryError, "timed out; ask for a shorter range"),
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
    if error is PrometheusQueryError:
        assert 'up{pod="a"} + 1' in str(caught.value)


# Instant queries


def test_an_instant_query_yields_labels_and_values() -> None:
    handler = Handler(lambda path, params: vector(({"pod": "a"}, "0.25"), ({"pod": "b"}, "+Inf")))
    (one, two) = PrometheusClient(handler).query("up", NOON + timedelta(milliseconds=250))
    assert handler.asked == [("/api/v1/query", {"query": "up", "time": f"{T0}.250"})]
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
