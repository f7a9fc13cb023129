"""A range in chunks: as a stream, several requests at once, and in halves where it is too much."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pandas as pd
import pytest

from aiops_assets.errors import (
    PrometheusQueryError,
    PrometheusTooMuch,
)
from aiops_assets.prometheus.client import PrometheusClient, plan_chunks
from aiops_assets.prometheus.transport import Answer
from aiops_assets_tests.prometheus.answering import (
    AT_ONCE,
    NOON,
    Handler,
    Params,
    grid_matrix,
    matrix,
    refusal,
)
from aiops_assets_tests.raising import raises

MIDNIGHT = datetime(2026, 3, 1, tzinfo=UTC)
DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)


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
