"""Every fault that a network puts in front of a real server: its class, its text, and how often was asked."""

import json
from collections.abc import Callable
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

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
from aiops_assets.prometheus.client import PrometheusClient, plan_chunks
from aiops_assets.prometheus.matrix import read_matrix
from aiops_assets.prometheus.retry import Retry
from aiops_assets.prometheus.transport import Compression, RequestsTransport
from aiops_assets.timeseries.catalog import METRICS, POD_CPU, POD_MEMORY, MetricSpec
from aiops_assets_tests.conftest import END
from aiops_assets_tests.prometheus.answering import AT_ONCE
from aiops_assets_tests.prometheus.fault_server import FaultyServer, Params, Reply, faulty
from aiops_assets_tests.raising import raises

pytestmark = pytest.mark.needs("prometheus")

START = END - pd.Timedelta(days=2)
TRIES = AT_ONCE.attempts


def fetch(
    server: FaultyServer | str,
    promql: str = POD_MEMORY.promql,
    *,
    start: pd.Timestamp = START,
    step_seconds: int = 60,
    series: int = 1,
    patience: float = 30,
    retry: Retry = AT_ONCE,
    token_file: Path | None = None,
    most_body_bytes: int = 64 << 20,
    compression: Compression = "identity",
) -> pd.DataFrame:
    with RequestsTransport(
        server if isinstance(server, str) else server.url,
        timeout_seconds=patience,
        deadline_seconds=patience,
        token_file=token_file,
        most_body_bytes=most_body_bytes,
        compression=compression,
    ) as transport:
        return PrometheusClient(transport, retry=retry).query_range(promql, start, END, step_seconds, series)


def always(reply: Reply) -> Callable[[int, str, Params], Reply]:
    return lambda n, path, params: reply


def once(reply: Reply, times: int = 1) -> Callable[[int, str, Params], Reply | None]:
    return lambda n, path, params: reply if n <= times else None


@pytest.fixture(scope="module")
def whole(prometheus_url: str) -> pd.DataFrame:
    """What the server answers when nothing is in the way."""
    frame = fetch(prometheus_url)
    assert frame.shape == (2880, 5)
    return frame


JSON_ERROR = b'{"status":"error","errorType":"internal","error":"the disk is gone"}'
DISK = {"error_type": "internal", "text": json.loads(JSON_ERROR)["error"]}
WARNED = Reply(
    change=lambda body: body.replace(b'{"status":"success",', b'{"status":"success","warnings":["no store-1"],')
)
REDIRECT = Reply(302, {"Location": "http://127.0.0.1:1/login"}, b"")
LOGIN = Reply(200, {"Content-Type": "text/html"}, b"<!doctype html><form>Log in</form>")


@pytest.mark.parametrize(
    ("reply", "error", "code", "facts", "asked"),
    [
        (Reply(401, body=b"Unauthorized"), PrometheusAccessError, "access_refused", {"status": 401}, 1),
        (Reply(403, body=b"Forbidden"), PrometheusAccessError, "access_refused", {"status": 403}, 1),
        (LOGIN, PrometheusAccessError, "web_page", {}, 1),
        (REDIRECT, PrometheusAccessError, "redirect", {"status": 302}, 1),
        (Reply(200, body=JSON_ERROR), PrometheusAnswerError, "server_error", {"status": 200, **DISK}, 1),
        (Reply(500, body=JSON_ERROR), PrometheusAnswerError, "server_error", {"status": 500, **DISK}, 1),
        (WARNED, PrometheusPartial, "incomplete", {"warnings": ["no store-1"]}, 1),
        (Reply(body=b""), PrometheusAnswerError, "no_prometheus_answer", {"status": 200, "what": "broken JSON"}, 1),
        (
            Reply(404, body=b"404 page not found"),
            PrometheusAnswerError,
            "no_prometheus_answer",
            {"status": 404, "what": "404 page not found"},
            1,
        ),
        (Reply(change=lambda body: body[:-100]), PrometheusUnreachable, "cut_off", {"attempts": TRIES}, TRIES),
        (Reply(cut_after=1000), PrometheusUnreachable, "no_answer", {"attempts": TRIES}, TRIES),
        (Reply(cut_after=0), PrometheusUnreachable, "no_answer", {"attempts": TRIES}, TRIES),
        (
            Reply(429, body=b"slow down"),
            PrometheusUnreachable,
            "gateway",
            {"status": 429, "body": "slow down", "attempts": 4},
            TRIES,
        ),
        (
            Reply(502, body=b"bad gateway"),
            PrometheusUnreachable,
            "gateway",
            {"status": 502, "body": "bad gateway", "attempts": 4},
            TRIES,
        ),
        (
            Reply(503, body=b"busy"),
            PrometheusUnreachable,
            "gateway",
            {"status": 503, "body": "busy", "attempts": 4},
            TRIES,
        ),
    ],
)
def test_a_fault_is_typed_and_asked_again_only_where_that_helps(
    prometheus_url: str, reply: Reply, error: type[PrometheusError], code: str, facts: dict[str, object], asked: int
) -> None:
    with faulty(prometheus_url, always(reply)) as server:
        with raises(PrometheusError, code, **facts) as caught:
            fetch(server)
        assert type(caught.value) is error
        assert len(server.requests) == asked


@pytest.mark.parametrize(
    "reply",
    [
        Reply(503, body=b"busy"),
        Reply(429, {"Retry-After": "0"}, b"slow down"),
        Reply(503, body=b'{"status":"error","errorType":"unavailable","error":"TSDB not ready"}'),
        Reply(cut_after=5000),
        Reply(change=lambda body: body[: len(body) // 2]),
    ],
)
def test_two_faults_and_then_the_whole_answer(prometheus_url: str, whole: pd.DataFrame, reply: Reply) -> None:
    with faulty(prometheus_url, once(reply, times=2)) as server:
        pd.testing.assert_frame_equal(fetch(server), whole)
        assert len(server.requests) == 3


@pytest.mark.parametrize("reply", [Reply(hang_seconds=60), Reply(drip_seconds=0.05)], ids=["hang", "drip"])
def test_a_server_that_hangs_is_left(prometheus_url: str, whole: pd.DataFrame, reply: Reply) -> None:
    with faulty(prometheus_url, once(reply)) as server:
        pd.testing.assert_frame_equal(fetch(server, patience=1), whole)
        assert len(server.requests) == 2
    with faulty(prometheus_url, always(reply)) as server:
        code = "still_sending" if reply.drip_seconds else "no_answer"
        with raises(PrometheusUnreachable, code, attempts=2):
            fetch(server, patience=1, retry=Retry(attempts=2, first_seconds=0))
        assert len(server.requests) == 2


def test_a_server_that_asks_for_time_gets_it(prometheus_url: str, whole: pd.DataFrame) -> None:
    waits: list[float] = []
    with faulty(prometheus_url, once(Reply(429, {"Retry-After": "17"}, b"slow down"))) as server:
        pd.testing.assert_frame_equal(fetch(server, retry=Retry(sleep=waits.append)), whole)
    assert waits == [17]
    with faulty(prometheus_url, once(Reply(429, {"Retry-After": "500"}, b"slow down"))) as server:
        with raises(PrometheusUnreachable, "gateway", status=429, body="slow down", attempts=1):
            fetch(server)
        assert len(server.requests) == 1


def test_a_bad_query_carries_the_servers_own_text_and_is_asked_once(prometheus_url: str) -> None:
    for promql, status, error_type, words in (
        ("sum(up", 400, "bad_data", "unclosed left parenthesis"),
        ("node_memory_MemTotal_bytes * on() node_cpu_seconds_total", 422, "execution", "many-to-many"),
    ):
        with faulty(prometheus_url, once(Reply(), 0)) as server:
            with raises(PrometheusQueryError, "bad_query", status=status, error_type=error_type) as caught:
                fetch(server, promql)
            assert type(caught.value) is PrometheusQueryError
            assert words in caught.value.facts["text"]
            assert promql in str(caught.value)
            assert len(server.requests) == 1


def test_a_token_that_is_refused_is_not_shown(prometheus_url: str, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("very-secret")
    with faulty(prometheus_url, always(Reply(401, body=b"no: Bearer very-secret"))) as server:
        facts = {"status": 401, "lacks": "right", "sent": (f"PROMETHEUS_TOKEN_FILE={token}",)}
        with raises(PrometheusAccessError, "access_refused", **facts) as caught:
            fetch(server, token_file=token)
        assert "very-secret" not in str(caught.value)
        assert len(server.requests) == 1
        with raises(PrometheusAccessError, "access_refused", status=401, lacks="credential", sent=()):
            fetch(server)


def test_a_query_without_series_is_a_frame_without_columns(prometheus_url: str) -> None:
    with faulty(prometheus_url, once(Reply(), 0)) as server:
        frame = fetch(server, "no_such_metric")
        assert frame.shape == (2880, 0)
        assert len(server.requests) == 1


def test_values_that_are_not_finite_are_counted(prometheus_url: str) -> None:
    nan = fetch(prometheus_url, f"{POD_MEMORY.promql} * NaN")
    infinite = fetch(prometheus_url, f"({POD_MEMORY.promql}) / 0")
    for frame in (nan, infinite):
        assert frame.shape == (2880, 5)
        assert frame.isna().all(axis=None)
        assert frame.attrs["not_finite"] == frame.size
    assert fetch(prometheus_url).attrs["not_finite"] == 0


def test_every_request_says_what_a_complete_answer_is(prometheus_url: str) -> None:
    with faulty(prometheus_url, once(Reply(), 0)) as server, RequestsTransport(server.url) as transport:
        client = PrometheusClient(transport)
        client.probe()
        assert client.count_series("node_memory_MemTotal_bytes", END) == 3
        assert client.count_series("no_such_metric", END) == 0
        client.query_range("up", START, END)
    for _, params in server.requests:
        wanted = {"dedup": "true", "partial_response": "false", "max_source_resolution": "0s", "timeout": "27s"}
        assert wanted.items() <= params.items()


# Chunks


@pytest.mark.parametrize("series", [1, 200, 250, 1000, 5000])
def test_chunks_of_any_length_give_the_same_frame(prometheus_url: str, series: int) -> None:
    """From seven days a request down to one hour; not one more than planned."""
    start = END - pd.Timedelta(days=8, hours=7, minutes=13)
    once_asked = fetch(prometheus_url, POD_CPU.promql, start=start)
    with faulty(prometheus_url, once(Reply(), 0)) as server:
        frame = fetch(server, POD_CPU.promql, start=start, series=series)
    pd.testing.assert_frame_equal(frame, once_asked)
    chunks = plan_chunks(start, END, 60, series)
    assert sorted(int(params["start"]) for _, params in server.requests) == [chunk.start for chunk in chunks]


def test_thirty_days_of_which_the_server_has_a_part(prometheus_url: str) -> None:
    start = END - pd.Timedelta(days=30)
    frames = [fetch(prometheus_url, start=start, step_seconds=300, series=n) for n in (1, 1000, 12_000)]
    assert len(frames[0]) == 8640
    assert frames[0].isna().to_numpy().any()
    for frame in frames[1:]:
        pd.testing.assert_frame_equal(frame, frames[0])


def test_a_second_is_a_step_too(prometheus_url: str) -> None:
    frame = fetch(prometheus_url, "node_memory_MemTotal_bytes", start=END - pd.Timedelta(hours=20), step_seconds=1)
    assert frame.shape == (72_000, 3)


@pytest.mark.parametrize("points", [100, 1439])
@pytest.mark.parametrize("status", [422, 503, 400])
def test_what_is_too_much_is_asked_for_in_halves(
    prometheus_url: str, whole: pd.DataFrame, points: int, status: int
) -> None:
    kind, text = {
        422: ("execution", "query processing would load too many samples into memory"),
        503: ("timeout", "query timed out in expression evaluation"),
        400: ("bad_data", "exceeded maximum resolution of 11,000 points per timeseries"),
    }[status]
    refusal = Reply(status, body=f'{{"status":"error","errorType":"{kind}","error":"{text}"}}'.encode())

    def fault(n: int, path: str, params: Params) -> Reply | None:
        asked = (int(params["end"]) - int(params["start"])) // int(params["step"]) + 1
        return refusal if asked > points else None

    with faulty(prometheus_url, fault) as server:
        pd.testing.assert_frame_equal(fetch(server), whole)
        spans = [int(params["end"]) - int(params["start"]) for _, params in server.requests]
    assert spans[0] == 2879 * 60
    assert len(spans) < 2 * 2880 / points * 2


def test_a_body_of_too_many_bytes_is_asked_for_in_halves(prometheus_url: str, whole: pd.DataFrame) -> None:
    with faulty(prometheus_url, once(Reply(), 0)) as server:
        pd.testing.assert_frame_equal(fetch(server, most_body_bytes=50_000), whole)
        starts = sorted({int(params["start"]) for _, params in server.requests})
    assert len(starts) > 4
    assert all((b - a) % 60 == 0 for a, b in pairwise(starts))


def test_a_range_that_is_always_too_much_ends(prometheus_url: str) -> None:
    with faulty(
        prometheus_url, always(Reply(422, body=JSON_ERROR.replace(b"the disk is gone", b"too many samples")))
    ) as s:
        with raises(PrometheusTooMuch, "too_much", status=422, text="too many samples"):
            fetch(s)
        assert len(s.requests) == 12  # 2880 instants halved down to one


# Answers of the real server


@pytest.mark.parametrize("metric", [m for m in METRICS if m.per != "labels"], ids=lambda metric: metric.name)
def test_both_readers_read_the_same(prometheus_url: str, metric: MetricSpec) -> None:
    [chunk] = plan_chunks(END - timedelta(days=1), END, metric.step_seconds)
    bounds = {"start": str(chunk.start), "end": str(chunk.last), "step": str(chunk.step_seconds)}
    with RequestsTransport(prometheus_url) as transport:
        answer = transport.get("/api/v1/query_range", {"query": metric.promql, **bounds})
    fast, plain = (
        read_matrix(answer, metric.promql, chunk.start, chunk.points, chunk.step_seconds, fast=fast)
        for fast in (True, False)
    )
    assert fast.names == plain.names
    assert fast.names
    np.testing.assert_array_equal(fast.values, plain.values, strict=True)


def test_a_compressed_answer_is_the_same(prometheus_url: str, whole: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(fetch(prometheus_url, compression="gzip"), whole)
