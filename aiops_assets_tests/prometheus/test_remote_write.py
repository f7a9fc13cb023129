"""Remote write into a real Prometheus, and what a server that refuses, fails or hangs leads to."""

import json
import math
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from prometheus_client.metrics_core import GaugeMetricFamily, InfoMetricFamily

from aiops_assets.errors import PrometheusAccessError, PrometheusAnswerError, PrometheusUnreachable
from aiops_assets.prometheus.remote_write import RemoteWriter, Sample, Sent, samples_of
from aiops_assets.prometheus.retry import Retry
from aiops_assets_tests.prometheus_server import running_prometheus

TOKEN = "a-token-that-nobody-may-see"
RECEIVES = ("--web.enable-remote-write-receiver",)
Reply = tuple[int, dict[str, str], bytes]


def samples(n: int, milliseconds: int = 0) -> list[Sample]:
    at = milliseconds or int(time.time() * 1000)
    return [Sample("aiops_test", {"pod": f"pod-{i}", "empty": ""}, i / 2, at) for i in range(n)]


@pytest.fixture(scope="module")
def receiver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_prometheus(tmp_path_factory.mktemp("receiver"), arguments=RECEIVES) as url:
        yield url


def query(url: str, promql: str, at: float) -> dict[str, tuple[float, float]]:
    """Pod -> time and value of its sample."""
    asked = urllib.parse.urlencode({"query": promql, "time": at})
    with urllib.request.urlopen(f"{url}/api/v1/query?{asked}") as answer:
        found = json.load(answer)["data"]["result"]
    return {one["metric"].get("pod", ""): (one["value"][0], float(one["value"][1])) for one in found}


@pytest.mark.needs("prometheus")
def test_a_real_prometheus_holds_what_was_sent_at_its_time(receiver: str) -> None:
    at = int(time.time()) - 30
    sent = RemoteWriter(f"{receiver}/api/v1/write", most_series=400).send(samples(1000, at * 1000))
    assert sent == Sent(series=1000, of=1000, requests=3)
    assert query(receiver, "count(aiops_test)", at)[""][1] == 1000
    assert query(receiver, 'timestamp(aiops_test{pod="pod-7"})', at)["pod-7"][1] == at
    assert query(receiver, 'aiops_test{pod="pod-7", empty=""}', at)["pod-7"][1] == 3.5
    assert query(receiver, "aiops_test", at - 1) == {}


@pytest.mark.needs("prometheus")
def test_families_arrive_with_their_labels_and_odd_values(receiver: str) -> None:
    gauge = GaugeMetricFamily("aiops_odd", "", labels=("pod",))
    for pod, value in (('ünïcode/\\"', math.inf), ("plain", -0.0)):
        gauge.add_metric([pod], value)
    info = InfoMetricFamily("aiops_model", "", labels=("pod",))
    info.add_metric(["p"], {"version": "3"})
    at = int(time.time())
    assert RemoteWriter(f"{receiver}/api/v1/write").send(samples_of([gauge, info], at * 1000)).error is None
    odd = query(receiver, "aiops_odd", at)
    assert {pod: value for pod, (_, value) in odd.items()} == {'ünïcode/\\"': math.inf, "plain": 0.0}
    assert query(receiver, 'aiops_model_info{version="3"}', at)["p"][1] == 1


@pytest.mark.needs("prometheus")
def test_a_real_server_that_does_not_receive_says_so_once(tmp_path: Path) -> None:
    with running_prometheus(tmp_path) as url:
        sent = RemoteWriter(f"{url}/api/v1/write").send(samples(3))
    assert (sent.series, sent.of, sent.requests) == (0, 3, 1)
    assert isinstance(sent.error, PrometheusAnswerError)
    assert (sent.error.code, sent.error.facts["status"]) == ("write_refused", 404)
    assert "remote write receiver" in sent.error.facts["text"]


@contextmanager
def server(reply: Callable[[int], Reply]) -> Iterator[tuple[str, list[dict[str, str]]]]:
    """A receiver that answers the n-th request (from 1); its URL, and the headers of all requests."""
    seen: list[dict[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            seen.append({name.lower(): value for name, value in self.headers.items()})
            status, headers, body = reply(len(seen))
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=running.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{running.server_port}/write", seen
    finally:
        running.shutdown()
        running.server_close()
        thread.join()


def test_a_busy_server_is_asked_again_when_it_says() -> None:
    waits: list[float] = []
    replies: dict[int, Reply] = {1: (503, {}, b""), 2: (429, {"Retry-After": "7"}, b"later")}
    with server(lambda n: replies.get(n, (204, {}, b""))) as (url, seen):
        sent = RemoteWriter(url, retry=Retry(sleep=waits.append)).send(samples(3))
    assert sent == Sent(series=3, of=3, requests=1)
    assert len(seen) == 3
    assert 0 <= waits[0] <= 1
    assert waits[1] == 7


def test_what_a_server_has_taken_is_taken_though_its_answer_cannot_be_read() -> None:
    with server(lambda n: (200, {"Content-Encoding": "gzip"}, b"no gzip")) as (url, seen):
        sent = RemoteWriter(url, most_series=2).send(samples(4))
    assert sent == Sent(series=4, of=4, requests=2)
    assert len(seen) == 2


def test_what_was_taken_before_a_failure_is_counted_and_nothing_is_sent_after_it() -> None:
    with server(lambda n: (204, {}, b"") if n == 1 else (400, {}, b"out of order sample")) as (url, seen):
        sent = RemoteWriter(url, most_series=2).send(samples(7))
    assert (sent.series, sent.of, sent.requests, len(seen)) == (2, 7, 2, 2)
    assert sent.error is not None
    assert (sent.error.code, sent.error.facts["text"]) == ("write_refused", "out of order sample")


def test_a_server_that_stays_busy_fails_in_the_end() -> None:
    with server(lambda n: (500, {}, b"no disk")) as (url, seen):
        sent = RemoteWriter(url, retry=Retry(attempts=3, sleep=lambda _: None)).send(samples(1))
    assert isinstance(sent.error, PrometheusUnreachable)
    assert (sent.error.code, sent.error.facts["attempts"], len(seen)) == ("write_failed", 3, 3)


def test_all_requests_together_have_one_deadline() -> None:
    clock = iter([0.0, 1.0, 1.0, 61.0])
    with server(lambda n: (204, {}, b"")) as (url, seen):
        sent = RemoteWriter(url, most_series=1, clock=lambda: next(clock)).send(samples(3))
    assert (sent.series, len(seen)) == (1, 1)
    assert sent.error is not None
    assert sent.error.code == "write_too_slow"


def test_token_and_tenant_are_sent_and_the_token_is_never_shown(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    with server(lambda n: (401, {"X-Echo": TOKEN}, f"who is {TOKEN}?".encode())) as (url, seen):
        writer = RemoteWriter(url, token_file=file, tenant="team")
        sent = writer.send(samples(1))
    assert seen[0]["authorization"] == f"Bearer {TOKEN}"
    assert seen[0]["x-scope-orgid"] == "team"
    assert (seen[0]["content-encoding"], seen[0]["content-type"]) == ("snappy", "application/x-protobuf")
    assert seen[0]["x-prometheus-remote-write-version"] == "0.1.0"
    assert isinstance(sent.error, PrometheusAccessError)
    assert sent.error.code == "access_refused"
    assert TOKEN not in f"{sent!r}{sent.error}{sent.error.facts}"


def test_a_redirect_is_not_followed_and_a_missing_token_sends_nothing(tmp_path: Path) -> None:
    with server(lambda n: (307, {"Location": "/elsewhere"}, b"")) as (url, seen):
        assert getattr(RemoteWriter(url).send(samples(1)).error, "code", "") == "access_refused"
        lacks = RemoteWriter(url, token_file=tmp_path / "none").send(samples(1))
    assert len(seen) == 1
    assert lacks.error is not None
    assert lacks.error.facts["setting"] == "REMOTE_WRITE_TOKEN_FILE"


def test_nobody_there_is_an_error_of_its_own() -> None:
    sent = RemoteWriter("http://127.0.0.1:1/write", retry=Retry(attempts=1)).send(samples(1))
    assert sent.error is not None
    assert sent.error.code == "no_answer"
