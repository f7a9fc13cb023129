"""The transport against a loopback server that misbehaves."""

import gzip
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import requests

from aiops_assets.errors import (
    AiopsError,
    PrometheusAccessError,
    PrometheusAnswerError,
    PrometheusError,
    PrometheusUnreachable,
    SettingsError,
)
from aiops_assets.masking import Secrets
from aiops_assets.prometheus.access import Access
from aiops_assets.prometheus.client import PrometheusClient
from aiops_assets.prometheus.deadline import Deadline
from aiops_assets.prometheus.transport import Answer, RequestsTransport
from aiops_assets_tests.prometheus.answering import AT_ONCE
from aiops_assets_tests.raising import raises
from aiops_assets_tests.snapshot import assert_snapshot

Reply = Callable[[BaseHTTPRequestHandler], None]


@contextmanager
def loopback(reply: Reply) -> Iterator[str]:
    """A server on a free port whose GETs are answered by ``reply``."""

    class Replies(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            reply(self)

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Replies) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def send(handler: BaseHTTPRequestHandler, status: int, body: bytes, **headers: str) -> None:
    handler.send_response(status)
    for name, value in {"Content-Length": str(len(body)), **headers}.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(body)


def test_a_get_below_a_prefix_carries_what_it_should() -> None:
    seen: list[tuple[str, dict[str, str]]] = []

    def reply(handler: BaseHTTPRequestHandler) -> None:
        seen.append((handler.path, dict(handler.headers)))
        send(handler, 200, b"body", X_Kind="test")

    with loopback(reply) as url, RequestsTransport(f"{url}/prom/") as transport:
        answer = transport.get("/api/v1/query", {"query": 'a{b="c"} + 1'})

    assert (answer.status, answer.body, answer.headers["x-kind"]) == (200, b"body", "test")
    [(path, headers)] = seen
    assert path == "/prom/api/v1/query?query=a%7Bb%3D%22c%22%7D+%2B+1"
    assert headers["Accept-Encoding"] == "identity"
    assert "Authorization" not in headers


def test_a_redirect_is_not_followed() -> None:
    asked: list[str] = []

    def reply(handler: BaseHTTPRequestHandler) -> None:
        asked.append(handler.path)
        send(handler, 302, b"", Location="/login")

    with loopback(reply) as url, RequestsTransport(url) as transport:
        assert transport.get("/api/v1/query", {}).status == 302
        with raises(PrometheusAccessError, "redirect", status=302):
            PrometheusClient(transport).probe()
    assert not any(path.startswith("/login") for path in asked)


def test_the_token_is_read_at_each_request_and_never_shown(tmp_path: Path) -> None:
    sent: list[str] = []

    def reply(handler: BaseHTTPRequestHandler) -> None:
        sent.append(handler.headers["Authorization"])
        send(handler, 404, f"cannot serve {handler.headers['Authorization']}".encode())

    token = tmp_path / "token"
    with loopback(reply) as url, RequestsTransport(url, token_file=token) as transport:
        for secret in ("first-secret", "second-secret"):
            token.write_text(f"{secret}\n")
            with raises(PrometheusAnswerError, "no_prometheus_answer", status=404) as caught:
                PrometheusClient(transport).probe()
            assert "serve Bearer [token]" in caught.value.facts["what"]
            assert secret not in str(caught.value)
            assert secret not in repr(transport)
    assert sent == ["Bearer first-secret", "Bearer second-secret"]


def test_the_environments_proxy_and_netrc_are_ignored(tmp_path: Path) -> None:
    sent: list[str] = []

    def reply(handler: BaseHTTPRequestHandler) -> None:
        sent.append(handler.headers["Authorization"])
        send(handler, 200, b"")

    token, netrc = tmp_path / "token", tmp_path / "netrc"
    token.write_text("of-the-file")
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    script = """
import sys
from pathlib import Path
from aiops_assets.prometheus.transport import RequestsTransport
with RequestsTransport(sys.argv[1], token_file=Path(sys.argv[2])) as transport:
    print(transport.get("/", {}).status)
"""
    proxy = {"HTTP_PROXY": "http://127.0.0.1:1", "http_proxy": "http://127.0.0.1:1", "NO_PROXY": "", "no_proxy": ""}
    with loopback(reply) as url:
        done = subprocess.run(
            [sys.executable, "-c", script, url, str(token)],
            env={**os.environ, **proxy, "NETRC": str(netrc)},
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert (done.stdout, done.stderr) == ("200\n", "")
    assert sent == ["Bearer of-the-file"]


@pytest.mark.parametrize("content", [None, b"", b"\n", b"top\nsecret", b"top secret", b"secret\xff"])
def test_a_token_that_cannot_be_sent_is_refused_unshown(tmp_path: Path, content: bytes | None) -> None:
    token = tmp_path / "token"
    if content is not None:
        token.write_bytes(content)
    with (
        RequestsTransport("http://127.0.0.1:1", token_file=token) as transport,
        pytest.raises(PrometheusAccessError, match="PROMETHEUS_TOKEN_FILE") as caught,
    ):
        transport.get("/", {})
    assert "secret" not in str(caught.value)


def chunked(piece: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(piece), piece)


@pytest.mark.parametrize("encoding", ["length", "chunked"])
def test_a_body_that_drips_ends_at_the_deadline(encoding: str) -> None:
    hung_up = threading.Event()

    def reply(handler: BaseHTTPRequestHandler) -> None:
        handler.protocol_version = "HTTP/1.1"
        handler.send_response(200)
        if encoding == "chunked":
            handler.send_header("Transfer-Encoding", "chunked")
        else:
            handler.send_header("Content-Length", "1000000")
        handler.end_headers()
        try:
            for _ in range(500):  # an end, and not the one expected, so that a failure does not hang
                if hung_up.wait(0.01):
                    break
                handler.wfile.write(chunked(b" ") if encoding == "chunked" else b" ")
        except OSError:
            hung_up.set()

    # Each read succeeds long before its own time-out: only the deadline can end this.
    with loopback(reply) as url, RequestsTransport(url, deadline_seconds=0.3) as transport:
        try:
            with raises(PrometheusUnreachable, "still_sending", deadline_seconds=0.3):
                transport.get("/", {})
            assert hung_up.wait(10), "the connection was left open"
        finally:
            hung_up.set()


def test_requests_at_once_have_connections_of_their_own_and_later_ones_use_them_again() -> None:
    clients: list[tuple[str, int]] = []
    together = threading.Barrier(3, timeout=20)

    def reply(handler: BaseHTTPRequestHandler) -> None:
        handler.protocol_version = "HTTP/1.1"  # connections are kept
        handler.close_connection = False
        clients.append(handler.client_address)
        if handler.path.startswith("/together"):
            together.wait()
        send(handler, 200, handler.path.encode())

    with loopback(reply) as url, RequestsTransport(url) as transport, ThreadPoolExecutor(3) as pool:
        paths = [f"/together/{i}" for i in range(3)]
        assert [answer.body.decode() for answer in pool.map(transport.get, paths, [{}] * 3)] == paths
        for _ in range(5):
            transport.get("/", {})
    assert len(set(clients[:3])) == 3
    assert set(clients) == set(clients[:3])


def test_a_body_that_ends_early_is_no_answer() -> None:
    with (
        loopback(lambda handler: send(handler, 200, b"half", Content_Length="8")) as url,
        RequestsTransport(url) as transport,
        # An error that is kept keeps the socket, half closed, for the garbage collector.
        pytest.raises(PrometheusUnreachable, check=lambda error: error.code == "no_answer"),
    ):
        transport.get("/", {})


def test_a_server_that_says_nothing_is_unreachable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with (
            RequestsTransport(url, timeout_seconds=0.2) as transport,
            raises(PrometheusUnreachable, "no_answer", url=url) as caught,
        ):
            transport.get("/", {})
    assert "timed out" in caught.value.facts["reason"]


def test_a_refused_connection_is_unreachable() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, and never listening
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with (
            RequestsTransport(url) as transport,
            raises(PrometheusUnreachable, "no_answer", url=url, attempts=4) as caught,
        ):
            PrometheusClient(transport, retry=AT_ONCE).probe()
    assert "refused" in caught.value.facts["reason"]
    assert "\n" not in str(caught.value)


def test_tls_to_a_plain_server_is_a_setting_not_an_outage(tmp_path: Path) -> None:
    with loopback(lambda handler: send(handler, 200, b"")) as url:
        https = url.replace("http:", "https:")
        with (
            RequestsTransport(https) as transport,
            raises(PrometheusAccessError, "tls_failed"),
        ):
            transport.get("/", {})
        with (
            RequestsTransport(https, ca_file=tmp_path / "absent.pem") as transport,
            raises(PrometheusAccessError, "bad_ca_file"),
        ):
            transport.get("/", {})


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("http://user:secret@host:9090", "credentials_in_url"),
        ("http://secret@host:9090", "credentials_in_url"),
        ("http://user:sec/ret@host:9090", "credentials_in_url"),
        ("host:9090", "bad_url"),
        ("", "bad_url"),
        ("http://", "bad_url"),
        ("ftp://host", "bad_url"),
        ("http://host:port", "bad_url"),
        ("http://host:9090?tenant=a", "bad_url"),
    ],
)
def test_a_url_that_cannot_be_used_is_refused_at_once(url: str, code: str) -> None:
    with raises(SettingsError, code) as caught:
        RequestsTransport(url)
    assert "secret" not in str(caught.value)
    assert "sec/ret" not in str(caught.value)


def test_the_wordings_are_those_that_were_agreed() -> None:
    errors: list[AiopsError] = []
    for url in ("http://user:secret@host:9090", "http://host:9090?tenant=a"):
        with pytest.raises(SettingsError) as refused:
            RequestsTransport(url)
        errors.append(refused.value)

    over = threading.Event()

    def reply(handler: BaseHTTPRequestHandler) -> None:
        encoding = handler.path.removeprefix("/")
        if encoding == "drips":
            handler.wfile.write(b"HTTP/1.1 200")
            over.wait(20)
            return
        send(handler, 200, gzip.compress(b"body")[:-9] if encoding == "gzip" else b"body", Content_Encoding=encoding)

    with loopback(reply) as url:
        tried: list[tuple[str, RequestsTransport]] = [
            ("/br", RequestsTransport(url)),
            ("/gzip", RequestsTransport(url)),
            ("/identity", RequestsTransport(url, most_body_bytes=3)),
            ("/drips", RequestsTransport(url, deadline_seconds=0.2)),
        ]
        for path, transport in tried:
            with transport, pytest.raises(PrometheusError) as caught:
                transport.get(path, {})
            errors.append(caught.value)
        over.set()
        access = Access(proxy="http://proxy:3128")
        with RequestsTransport(url) as transport, RequestsTransport(url, access=access) as through_proxy:
            failures = [
                requests.exceptions.SSLError("wrong version"),
                requests.exceptions.InvalidURL("no host"),
                FileNotFoundError("ca.pem"),
                requests.ConnectionError("refused"),
            ]
            errors += [transport._failure(failure, Secrets(), Deadline()) for failure in failures]
            for failure in (
                requests.exceptions.ProxyError(OSError("Tunnel connection failed: 407 who are you")),
                requests.ConnectionError("refused"),
            ):
                errors.append(through_proxy._failure(failure, Secrets(), Deadline()))
    said = "".join(f"{error.code}\n    {error}\n" for error in errors)
    assert_snapshot("prometheus_transport", said.replace(url, "http://host:9090"))


def test_an_answer_does_not_show_its_body() -> None:
    assert "megabytes" not in repr(Answer(200, {}, b"megabytes"))
