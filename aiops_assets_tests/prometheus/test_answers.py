"""What Thanos, Mimir, Cortex, VictoriaMetrics and the proxies before them answer, in their own words."""

import json
import threading
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

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
from aiops_assets.prometheus.client import MOST_REQUESTS, PrometheusClient
from aiops_assets.prometheus.transport import Answer
from aiops_assets_tests.prometheus.answering import (
    AT_ONCE,
    NOON,
    T0,
    Handler,
    client_of,
    grid_matrix,
    matrix,
    refusal,
    success,
    vector,
)
from aiops_assets_tests.raising import raises

DAY = timedelta(days=1)
FIVE = NOON + timedelta(minutes=5)
INFO = 'PromQL info: metric might not be a counter, name does not end in _total/_sum/_count/_bucket: "x" (1:10)'
WARNING = 'PromQL warning: bucket label "le" is missing or has a malformed value of "" for metric name "x" (1:25)'
AWAY = (
    "receive series from Addr: store:10901 LabelSets: {} MinTime: 1 MaxTime: 2: rpc error: code = Unavailable desc = "
    "connection refused"
)


def answered(**more: object) -> Answer:
    return matrix(({"pod": "a"}, [[T0, "1"]]), **more)


# Notes and what is incomplete


@pytest.mark.parametrize(
    ("more", "notes"),
    [
        ({}, None),
        ({"warnings": [], "infos": []}, None),
        ({"warnings": None, "infos": None}, None),
        ({"warnings": [INFO]}, (INFO,)),
        ({"warnings": [INFO, WARNING, INFO]}, (INFO, WARNING)),
        ({"infos": [INFO]}, (INFO,)),
        ({"infos": [INFO], "warnings": [INFO]}, (INFO,)),
        ({"warnings": INFO}, (INFO,)),
        ({"warnings": [INFO, "3 more info annotations omitted"]}, (INFO, "3 more info annotations omitted")),
        ({"infos": ["a\nb\x1b[31m \ud800"]}, ("a b\ufffd[31m \ufffd",)),
        ({"infos": {"a": 1}}, ("{'a': 1}",)),
    ],
    ids=str,
)
def test_remarks_on_the_query_come_with_whole_data(more: dict[str, Any], notes: tuple[str, ...] | None) -> None:
    result = [{"metric": {"pod": "a"}, "values": [[T0, "1"]]}]
    document = {"status": "success", "data": {"resultType": "matrix", "result": result}, **more}
    for separators in ((",", ":"), (", ", ": ")):  # the fast reader and the plain one
        answer = Answer(200, {}, json.dumps(document, separators=separators).encode())
        frame = client_of(answer).query_range("up", NOON, FIVE)
        assert frame.attrs.get("notes") == notes
        assert frame.iloc[0, 0] == 1


def test_a_long_remark_is_cut() -> None:
    frame = client_of(answered(infos=["x" * 100_000])).query_range("up", NOON, FIVE)
    assert len(frame.attrs["notes"][0]) < 400


def test_a_remark_is_made_once_for_a_query_of_many_chunks() -> None:
    def answer(path: str, params: Mapping[str, str]) -> Answer:
        document = json.loads(grid_matrix(params, "a").body)
        return success(document["data"], warnings=[INFO])

    frame = PrometheusClient(Handler(answer)).query_range("up", NOON, NOON + 9 * DAY, series=1000)
    assert frame.attrs["notes"] == (INFO,)


@pytest.mark.parametrize(
    ("more", "warnings"),
    [
        ({"warnings": [AWAY]}, [AWAY]),
        ({"warnings": [INFO, AWAY, WARNING]}, [AWAY]),
        ({"warnings": [f"see: {INFO}"]}, [f"see: {INFO}"]),
        ({"warnings": "No StoreAPIs matched for this query"}, ["No StoreAPIs matched for this query"]),
        ({"warnings": {"store": "away"}}, ["{'store': 'away'}"]),
        ({"warnings": [None, 1, ["a"]]}, ["None", "1", "['a']"]),
        ({"warnings": True}, ["True"]),
        ({"warnings": ["4 more warning annotations omitted"]}, ["4 more warning annotations omitted"]),
        ({"isPartial": True}, "isPartial"),
        ({"isPartial": "true", "warnings": [INFO]}, ["isPartial"]),
    ],
    ids=str,
)
def test_every_other_warning_stops(more: dict[str, Any], warnings: object) -> None:
    for answer in (answered(**more), vector_with(**more)):
        with raises(PrometheusPartial, "incomplete", warnings=warnings):
            ask(client_of(answer), answer)


def vector_with(**more: object) -> Answer:
    return success({"resultType": "vector", "result": [{"metric": {}, "value": [T0, "1"]}]}, **more)


def ask(client: PrometheusClient, answer: Answer) -> object:
    return client.query("up", NOON) if b'"vector"' in answer.body else client.query_range("up", NOON, FIVE)


# Limits

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
    assert len(handler.asked) <= MOST_REQUESTS + 20


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


# Access

RBAC = b"Forbidden (user=system:serviceaccount:aiops:aiops, verb=get, resource=prometheuses, subresource=api)\n"


@pytest.mark.parametrize(
    ("answer", "lacks"),
    [
        (Answer(401, {}, b"no org id\n"), "tenant"),
        (Answer(400, {}, b"no org id"), "tenant"),
        (Answer(403, {}, RBAC), "role"),
        (Answer(403, {}, b'prometheuses.monitoring "api" is forbidden: User "x" cannot get resource "pods"'), "role"),
        (Answer(400, {}, b"Bad Request. The request or configuration is malformed.\n"), "namespace"),
        (
            refusal(400, "prom-label-proxy", 'The "namespace" query parameter must be provided.'),
            "namespace",
        ),
        (Answer(401, {}, b"Unauthorized\n"), "token"),
        (Answer(403, {}, b""), "token"),
        (Answer(407, {}, b"<html><body><h1>Proxy says no</h1></body></html>"), "token"),
        (refusal(403, "forbidden", "your key is too old"), "token"),
    ],
    ids=lambda value: str(value),
)
def test_refused_access_is_reported_in_the_servers_words(answer: Answer, lacks: str) -> None:
    with raises(PrometheusAccessError, "access_refused", status=answer.status, lacks=lacks) as caught:
        client_of(answer).probe()
    assert caught.value.facts["text"] in str(caught.value)
    assert "<" not in str(caught.value)
    words = {"tenant": "PROMETHEUS_TENANT", "namespace": "PROMETHEUS_NAMESPACE", "token": "PROMETHEUS_TOKEN_FILE"}
    assert words.get(lacks, "cluster-monitoring-view") in str(caught.value)


def test_long_words_of_a_refusal_are_cut_and_printable() -> None:
    with raises(PrometheusAccessError, "access_refused") as caught:
        client_of(Answer(403, {}, b"\x1b[2J" + b"no\n" * 100_000)).probe()
    assert len(str(caught.value)) < 600
    assert str(caught.value).isprintable()


# Labels and samples


def body(metric: str, values: str = '[[1772366400,"1"]]') -> Answer:
    text = f'{{"status":"success","data":{{"resultType":"matrix","result":[{{"metric":{metric},"values":{values}}}]}}}}'
    return Answer(200, {}, text.encode())


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (body('{"pod":"\\ud800"}'), "not_text"),
        (body('{"\\udfff":"a"}'), "not_text"),
        (body('{"pod":"a","pod":"b"}'), "repeated_key"),
        (body('{"pod":"a"},"metric":{"pod":"b"}'), "repeated_key"),
        (body('{"pod":"a"}', '[[1772366400,"1"]],"values":[[1772366400,"2"]]'), "repeated_key"),
        (Answer(200, {}, body("{}").body.replace(b'{"status"', b'{"data":{},"status"')), "repeated_key"),
        (body(json.dumps({"pod": "a" * 100_000})), "long_labels"),
        (body("{}", "[[1772366400,true]]"), "unreadable_samples"),
        (body("{}", '[[1772366400,"1_000"]]'), "unreadable_samples"),
        (body("{}", '[[1772366400," 1"]]'), "unreadable_samples"),
        (body("{}", "[[1772366400,null]]"), "unreadable_samples"),
        (body("{}", '[[1772366400.5,"1"]]'), "off_grid"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_labels_and_samples_that_cannot_be_stored_are_refused(answer: Answer, code: str) -> None:
    with raises(PrometheusAnswerError, code) as caught:
        client_of(answer).query_range("up", NOON, FIVE)
    str(caught.value).encode()
    assert len(str(caught.value)) < 1000


def test_a_refusal_in_words_that_are_not_text_can_be_printed() -> None:
    answer = Answer(422, {}, b'{"status":"error","errorType":"execution","error":"no \\ud800 \\u001b[2J"}')
    with raises(PrometheusQueryError, "bad_query") as caught:
        client_of(answer).query_range("up", NOON, FIVE)
    str(caught.value).encode()


@pytest.mark.parametrize(
    ("values", "number"),
    [
        ("[[1772366400,1]]", 1.0),
        ("[[1772366400,1.5e0]]", 1.5),
        ('[[1772366400.000,"1.5"]]', 1.5),
        ('[[1772366400,"+1E1"]]', 10.0),
        ('[[1772366400,".5"]]', 0.5),
    ],
)
def test_numbers_may_be_written_in_other_ways(values: str, number: float) -> None:
    frame = client_of(body('{"a":"\\u0000"}', values)).query_range("up", NOON, FIVE)
    assert frame.iloc[0, 0] == number
    assert json.loads(frame.columns[0]) == {"a": "\0"}


@pytest.mark.parametrize("value", ["NaN", "nan", "+Inf", "-Inf", "Infinity"])
def test_what_is_not_finite_is_counted(value: str) -> None:
    frame = client_of(body("{}", f'[[1772366400,"{value}"]]')).query_range("up", NOON, FIVE)
    assert frame.isna().all(axis=None)
    assert frame.attrs["not_finite"] == 1


# Manners


def test_more_series_than_are_taken_are_refused() -> None:
    def client(answer: Answer, most: int) -> PrometheusClient:
        return PrometheusClient(Handler(lambda path, params: answer), most_series=most)

    three = matrix(*[({"pod": str(i)}, [[T0, "1"]]) for i in range(3)])
    assert client(three, 3).query_range("up", NOON, FIVE).shape[1] == 3
    for answer, most in ((three, 2), (vector(({}, "3")), 2)):
        with raises(PrometheusAnswerError, "too_many_series", series=3, most=most):
            client(answer, most).count_series("up", NOON) if answer is not three else ask(client(answer, most), answer)
    assert client(vector(({}, "3")), 3).count_series("up", NOON) == 3
    two = vector(({"pod": "a"}, "1"), ({"pod": "b"}, "1"))
    with raises(PrometheusAnswerError, "too_many_series", series=2, most=1):
        client(two, 1).query("up", NOON)


def test_series_that_come_and_go_are_counted_together() -> None:
    def answer(path: str, params: Mapping[str, str]) -> Answer:
        return grid_matrix(params, params["start"])

    client = PrometheusClient(Handler(answer), most_series=3)
    with raises(PrometheusAnswerError, "too_many_series", series=4, most=3):
        client.query_range("up", NOON, NOON + 9 * DAY, series=300)


def test_a_client_has_no_more_requests_under_way_than_it_may() -> None:
    lock, together, most = threading.Lock(), threading.Barrier(2), [0, 0]

    def answer(path: str, params: Mapping[str, str]) -> Answer:
        with lock:
            most[0] += 1
            most[1] = max(most)
        together.wait(timeout=60)  # both places are taken
        with lock:
            most[0] -= 1
        return grid_matrix(params, "a") if "step" in params else vector(({}, "1"))

    client = PrometheusClient(Handler(answer), ahead=2)
    threads = [threading.Thread(target=client.query, args=("up", NOON)) for _ in range(4)]
    threads += [threading.Thread(target=client.query_range, args=("up", NOON, NOON + 8 * DAY)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [0, 2]


def test_every_query_of_a_client_has_its_matchers() -> None:
    handler = Handler(lambda path, params: grid_matrix(params, "a") if "step" in params else vector(({}, "1")))
    client = PrometheusClient(handler, matchers='cluster="a"')
    client.probe()
    client.query("up", NOON)
    client.count_series("sum(up) # all", NOON)
    client.query_range("rate(up[5m])", NOON, FIVE)
    assert [params["query"] for _, params in handler.asked] == [
        "vector(1)",
        'up{cluster="a"}',
        'count(sum(up{cluster="a"}) # all\n)',
        'rate(up{cluster="a"}[5m])',
    ]
