"""Limits that Prometheus, Thanos, Mimir, Cortex and VictoriaMetrics report, in their own words, and what is done."""

from collections.abc import Mapping

import pytest

from aiops_assets.errors import (
    PrometheusAnswerError,
    PrometheusError,
    PrometheusQueryError,
    PrometheusTooMuch,
    PrometheusUnreachable,
)
from aiops_assets.prometheus.client import MAX_REQUESTS, PrometheusClient
from aiops_assets.prometheus.transport import Answer
from aiops_assets_tests.prometheus.answering import (
    AT_ONCE,
    DAY,
    FIVE,
    NOON,
    Handler,
    client_of,
    grid_matrix,
    refusal,
)
from aiops_assets_tests.raising import raises

SHORTER = [
    (422, "execution", "query processing would load too many samples into memory in query execution"),
    (
        400,
        "bad_data",
        "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution",
    ),
    (
        422,
        "422",
        'error when executing query="x" on the time range (start=1, end=2, step=3): cannot select more than '
        "-search.maxSamplesPerQuery=1000000000 samples; possible solutions: increase the -search.maxSamplesPerQuery; "
        "reduce time range for the query; use more specific label filters in order to select fewer series",
    ),
    (503, "503", "cannot select more than -search.maxSamplesPerQuery=10 samples; possible solutions: to increase the"),
    (
        422,
        "422",
        "too many points for the given step=60000, start=1 and end=2: 40000; cannot exceed "
        "-search.maxPointsPerTimeseries=30000",
    ),
    (
        422,
        "422",
        'not enough memory for processing "x", which returns 1 data points across 2 time series with 3 points in each '
        "time series according to -search.maxMemoryPerQuery=1; requested memory: 9 bytes",
    ),
    (
        422,
        "execution",
        "the query time range exceeds the limit (query length: 769h, limit: 768h0m0s)",
    ),
    (
        422,
        "execution",
        "the total query time range exceeds the limit (query length: 1h0m0s, limit: 1m0s) "
        "(err-mimir-max-total-query-length). To adjust the related per-tenant limit, configure -query-frontend.max",
    ),
    (
        422,
        "execution",
        "expanding series: the query exceeded the maximum number of chunks (limit: 2000000 chunks) "
        "(err-mimir-max-chunks-per-query). Consider reducing the time range and/or number of series selected",
    ),
    (
        422,
        "execution",
        "the query exceeded the aggregated chunks size limit (limit: 100 bytes) (err-mimir-max-chunks-bytes-per-query)",
    ),
    (
        422,
        "execution",
        "the query exceeded the maximum allowed estimated amount of memory consumed by a single query (limit: 11 "
        "bytes) (err-mimir-max-estimated-memory-consumption-per-query)",
    ),
    (422, "execution", "the query hit the max number of chunks limit (limit: 2000000 chunks)"),
    (500, "internal", "the query hit the aggregated data size limit (limit: 10 bytes)"),
    (
        422,
        "execution",
        "expanding series: proxy Series(): rpc error: code = Aborted desc = receive series from Addr: store:9091: rpc "
        "error: code = ResourceExhausted desc = exceeded chunks limit: rpc error: code = ResourceExhausted desc = "
        "limit 5000000 violated (got 5000001)",
    ),
    (500, "internal", "rpc error: code = ResourceExhausted desc = grpc: received message larger than max (9 vs. 4)"),
]


@pytest.mark.parametrize(("status", "kind", "text"), SHORTER, ids=lambda value: str(value)[:60])
def test_the_limits_of_all_servers_are_halved(status: int, kind: str, text: str) -> None:
    def answer(path: str, params: Mapping[str, str]) -> Answer:
        points = 1 + (int(params["end"]) - int(params["start"])) // int(params["step"])
        return refusal(status, kind, text) if points > 400 else grid_matrix(params, "a")

    handler = Handler(answer)
    frame = PrometheusClient(handler, retry=AT_ONCE).query_range("up", NOON, NOON + DAY)
    assert frame.notna().all(axis=None)
    assert len(frame) == 1440
    assert len(handler.asked) == 7  # a day, its halves, its quarters


@pytest.mark.parametrize(("status", "kind", "text"), SHORTER, ids=lambda value: str(value)[:60])
def test_a_limit_that_no_range_is_short_enough_for_is_reported_after_few_requests(
    status: int, kind: str, text: str
) -> None:
    handler = Handler(lambda path, params: refusal(status, kind, text))
    with raises(PrometheusTooMuch, "too_much", status=status):
        PrometheusClient(handler, retry=AT_ONCE).query_range("up", NOON, NOON + DAY)
    assert len(handler.asked) == 11  # 1440 instants halved down to one


def test_requests_in_place_of_one_are_bounded() -> None:
    def answer(path: str, params: Mapping[str, str]) -> Answer:
        short = params["start"] == params["end"]
        return grid_matrix(params, "a") if short else refusal(422, "execution", "too many samples")

    handler = Handler(answer)
    with raises(PrometheusTooMuch, "too_much"):
        PrometheusClient(handler, retry=AT_ONCE, ahead=1).query_range("up", NOON - DAY / 2, NOON + DAY / 2)
    assert len(handler.asked) <= MAX_REQUESTS + 20


SERIES = [
    (
        422,
        "422",
        "the number of matching timeseries exceeds 300000; either narrow down the search or increase -search.max* "
        "command-line flag values at vmselect (the most likely limit is -search.maxUniqueTimeseries)",
    ),
    (422, "422", "the response contains more than -search.maxResponseSeries=3 time series: 9 series; either increase"),
    (
        422,
        "execution",
        "expanding series: the query exceeded the maximum number of series (limit: 3 series)",
    ),
    (422, "execution", "the query hit the max number of series limit (limit: 100000 series)"),
    (
        422,
        "execution",
        "rpc error: code = ResourceExhausted desc = exceeded series limit: rpc error: code = ResourceExhausted desc = "
        "limit 10 violated (got 11)",
    ),
]


@pytest.mark.parametrize(("status", "kind", "text"), SERIES, ids=lambda value: str(value)[:60])
def test_a_limit_of_series_is_halved_down_to_a_day(status: int, kind: str, text: str) -> None:
    def answer(path: str, params: Mapping[str, str]) -> Answer:
        days = (int(params["end"]) - int(params["start"])) / 86_400
        return refusal(status, kind, text) if days > most_days else grid_matrix(params, "a")

    most_days = 2.0
    handler = Handler(answer)
    frame = PrometheusClient(handler, retry=AT_ONCE).query_range("up", NOON, NOON + 20 * DAY, 300)
    assert len(frame) == 20 * 288
    assert frame.notna().all(axis=None)
    most_days = 0.0
    handler = Handler(answer)
    with raises(PrometheusTooMuch, "too_many_series", status=status, text=text[:300] + "..." * (len(text) > 300)):
        PrometheusClient(handler, retry=AT_ONCE).query_range("up", NOON, NOON + 20 * DAY, 300)
    assert len(handler.asked) <= 8


@pytest.mark.parametrize(
    "answer",
    [
        Answer(413, {}, b"<html><title>413 Request Entity Too Large</title></html>"),
        Answer(500, {}, b'rpc error: code = Code(422) desc = {"error":"the query hit the max number of chunks limit"}'),
        Answer(429, {}, b"query processing would load too many samples into memory in query execution"),
        Answer(503, {}, b"the query exceeded the maximum number of chunks (limit: 1 chunks)"),
    ],
    ids=lambda answer: f"{answer.status}",
)
def test_a_limit_is_known_in_plain_text_too(answer: Answer) -> None:
    with raises(PrometheusTooMuch, "too_much", status=answer.status):
        client_of(answer).query_range("up", NOON, FIVE)


@pytest.mark.parametrize(
    ("answer", "kind", "code"),
    [
        (refusal(429, "too_many_requests", "too many outstanding requests"), PrometheusUnreachable, "not_ready"),
        (
            refusal(
                503,
                "503",
                "couldn't start executing the request in 10.000 seconds, since -search.maxConcurrentRequests=8 "
                "concurrent requests are executed. Possible solutions: to increase -search.maxQueryDuration",
            ),
            PrometheusUnreachable,
            "not_ready",
        ),
        (Answer(429, {}, b"too many outstanding requests"), PrometheusUnreachable, "not_ready"),
        (Answer(504, {}, b"context deadline exceeded"), PrometheusUnreachable, "gateway"),
        (Answer(502, {}, b"too many samples"), PrometheusUnreachable, "gateway"),
        (Answer(414, {}, b"Request-URI Too Large"), PrometheusQueryError, "too_long"),
        (refusal(422, "422", 'unknown func "rat"'), PrometheusQueryError, "bad_query"),
        (refusal(400, "bad_data", "found duplicate series for the match group"), PrometheusQueryError, "bad_query"),
        (refusal(500, "internal", "the disk is gone"), PrometheusAnswerError, "server_error"),
    ],
)
def test_what_is_no_limit_of_the_range_is_not_halved(answer: Answer, kind: type[PrometheusError], code: str) -> None:
    handler = Handler(lambda path, params: answer)
    with raises(kind, code) as caught:
        PrometheusClient(handler, retry=AT_ONCE, ahead=1).query_range("up", NOON, FIVE)
    assert not isinstance(caught.value, PrometheusTooMuch)
    assert len({params["end"] for _, params in handler.asked}) == 1
