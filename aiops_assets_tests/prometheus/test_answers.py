"""What Thanos, Mimir, Cortex, VictoriaMetrics and the proxies before them answer, in their own words."""

import json
import threading
from collections.abc import Mapping
from typing import Any

import pytest

from aiops_assets.errors import (
    PrometheusAccessError,
    PrometheusAnswerError,
    PrometheusPartial,
    PrometheusQueryError,
)
from aiops_assets.prometheus.client import PrometheusClient
from aiops_assets.prometheus.transport import Answer
from aiops_assets_tests.prometheus.answering import (
    DAY,
    FIVE,
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


# Access

RBAC = b"Forbidden (user=system:serviceaccount:aiops:aiops, verb=get, resource=prometheuses, subresource=api)\n"
SENT = ("PROMETHEUS_TOKEN_FILE=/run/token",)


@pytest.mark.parametrize(
    ("answer", "lacks"),
    [
        (Answer(401, {}, b"no org id\n"), "tenant"),
        (Answer(400, {}, b"no org id"), "tenant"),
        (Answer(403, {}, RBAC, SENT), "role"),
        (
            Answer(403, {}, b'prometheuses.monitoring "api" is forbidden: User "x" cannot get resource "pods"', SENT),
            "role",
        ),
        (Answer(403, {}, b'User "system:anonymous" cannot get resource "prometheuses"'), "credential"),
        (Answer(400, {}, b"Bad Request. The request or configuration is malformed.\n"), "namespace"),
        (
            refusal(400, "prom-label-proxy", 'The "namespace" query parameter must be provided.'),
            "namespace",
        ),
        (Answer(401, {}, b"Unauthorized\n"), "credential"),
        (Answer(403, {}, b""), "credential"),
        (Answer(407, {}, b"<html><body><h1>Proxy says no</h1></body></html>"), "credential"),
        (refusal(403, "forbidden", "your key is needed"), "credential"),
        (Answer(401, {}, b"Unauthorized\n", SENT), "right"),
        (Answer(407, {}, b"", ("PROMETHEUS_PROXY_PASSWORD_FILE=/p",)), "right"),
    ],
    ids=lambda value: str(value),
)
def test_refused_access_is_reported_in_the_servers_words(answer: Answer, lacks: str) -> None:
    facts = {"status": answer.status, "lacks": lacks, "sent": answer.sent}
    with raises(PrometheusAccessError, "access_refused", **facts) as caught:
        client_of(answer).probe()
    assert caught.value.facts["text"] in str(caught.value)
    assert "<" not in str(caught.value)
    cures = {
        "tenant": "PROMETHEUS_TENANT",
        "namespace": "PROMETHEUS_NAMESPACE",
        "role": "cluster-monitoring-view",
        "credential": "PROMETHEUS_PROXY_USER" if answer.status == 407 else "PROMETHEUS_TOKEN_FILE",
        "right": " and ".join(answer.sent),
    }
    assert cures[lacks] in str(caught.value)


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
