"""Every wait of a request ends at its deadline, whatever drips; the other side is a socket that does as it is told."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

from aiops_assets.errors import PrometheusUnreachable
from aiops_assets.prometheus import deadline
from aiops_assets.prometheus.access import Access
from aiops_assets.prometheus.transport import RequestsTransport
from aiops_assets_tests.raising import raises

Talk = Callable[[socket.socket, threading.Event], None]
SECONDS = 0.4
PATIENT = 20
"""Bounds of what a test waits for; only a failure takes so long."""
WHOLE = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody"


@contextmanager
def listening(talk: Talk) -> Iterator[str]:
    """Host and port where ``talk`` is done on each connection, in a thread of its own, until the block ends."""
    over = threading.Event()
    threads: list[threading.Thread] = []

    def one(client: socket.socket) -> None:
        with client, suppress(OSError):
            client.settimeout(PATIENT)
            talk(client, over)

    def accept(listener: socket.socket) -> None:
        with suppress(OSError):
            while not over.is_set():
                threads.append(threading.Thread(target=one, args=(listener.accept()[0],)))
                threads[-1].start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        acceptor = threading.Thread(target=accept, args=(listener,))
        acceptor.start()
        try:
            yield f"127.0.0.1:{listener.getsockname()[1]}"
        finally:
            over.set()
            listener.shutdown(socket.SHUT_RDWR)
            for thread in (acceptor, *threads):
                thread.join(PATIENT)


def request_of(client: socket.socket) -> bytes:
    """The head of a request, read to its end."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        if not (piece := client.recv(1)):
            raise OSError("hung up")
        head += piece
    return head


def drip(client: socket.socket, over: threading.Event, text: bytes) -> None:
    """Send a byte at a time, each long before a time-out of its own, and for ever."""
    while True:
        for i in range(len(text)):
            client.sendall(text[i : i + 1])
            if over.wait(0.02):
                return


@pytest.mark.parametrize(
    ("first", "dripped"),
    [
        (b"", b"HTTP/1.1 200 OK and so on "),
        (b"HTTP/1.1 200 OK\r\n", b"X-Name: value\r\n"),
        (b"HTTP/1.1 200 OK\r\nX-Name: ", b"a"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n", b" "),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"0"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"X-Trailer: a\r\n"),
        (b"HTTP/1.1 200 OK\r\n\r\n", b" "),
    ],
    ids=["status", "headers", "value", "continue", "body", "chunks", "size", "trailers", "until closed"],
)
def test_an_answer_that_drips_ends_at_the_deadline(first: bytes, dripped: bytes) -> None:
    def talk(client: socket.socket, over: threading.Event) -> None:
        request_of(client)
        client.sendall(first)
        drip(client, over, dripped)

    with (
        listening(talk) as host,
        RequestsTransport(f"http://{host}", deadline_seconds=SECONDS) as transport,
        raises(PrometheusUnreachable, "still_sending", deadline_seconds=SECONDS),
    ):
        transport.get("/", {})


def test_a_kept_connection_has_the_deadline_of_the_request_that_uses_it() -> None:
    """Not that of the first one, which opened it, neither for ever nor too early."""
    connections: list[socket.socket] = []

    def talk(client: socket.socket, over: threading.Event) -> None:
        connections.append(client)
        for _ in range(2):
            request_of(client)
            client.sendall(WHOLE)
            over.wait(SECONDS)
        request_of(client)
        drip(client, over, b"HTTP/1.1 200 OK")

    with listening(talk) as host, RequestsTransport(f"http://{host}", deadline_seconds=1.5 * SECONDS) as transport:
        for _ in range(2):
            assert transport.get("/", {}).body == b"body"
        with raises(PrometheusUnreachable, "still_sending"):
            transport.get("/", {})
    assert len(connections) == 1


def test_a_tls_handshake_that_hangs_or_drips_ends_at_the_deadline() -> None:
    def hang(client: socket.socket, over: threading.Event) -> None:
        over.wait(PATIENT)

    def talk(client: socket.socket, over: threading.Event) -> None:
        client.recv(1)
        client.sendall(b"\x16\x03\x03\x40\x00")  # a record of 16 kB begins
        drip(client, over, b"\x02")

    for bad in (hang, talk):
        with (
            listening(bad) as host,
            RequestsTransport(f"https://{host}", deadline_seconds=SECONDS) as transport,
            raises(PrometheusUnreachable, "no_answer") as caught,
        ):
            transport.get("/", {})
        assert "timed out" in caught.value.facts["reason"]


def test_a_proxy_that_drips_ends_at_the_deadline() -> None:
    def talk(client: socket.socket, over: threading.Event) -> None:
        request_of(client)
        drip(client, over, b"HTTP/1.1 200 Connection established\r\nX-Name: value\r\n")

    with (
        listening(talk) as host,
        RequestsTransport(
            "https://prometheus.invalid", access=Access(proxy=f"http://{host}"), deadline_seconds=SECONDS
        ) as transport,
        raises(PrometheusUnreachable, "still_sending"),
    ):
        transport.get("/", {})


def test_a_resolver_that_hangs_ends_at_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()

    def hang(*args: object) -> list[object]:
        over.wait(PATIENT)
        return []

    monkeypatch.setattr("socket.getaddrinfo", hang)
    try:
        with (
            RequestsTransport("http://prometheus.invalid", deadline_seconds=SECONDS) as transport,
            raises(PrometheusUnreachable, "no_answer") as caught,
        ):
            transport.get("/", {})
        assert "timed out" in caught.value.facts["reason"]
    finally:
        over.set()


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: %b\r\n" % (i, b"a" * 8000) for i in range(20)),
        b"".join(b"HTTP/1.1 100 Continue\r\nX-Name: %b\r\n\r\n" % (b"a" * 5000) for _ in range(20)),
    ],
    ids=["headers", "continue"],
)
def test_a_head_that_is_too_long_is_no_answer(head: bytes) -> None:
    assert len(head) > deadline.MAX_HEAD_BYTES

    def talk(client: socket.socket, over: threading.Event) -> None:
        request_of(client)
        client.sendall(head + WHOLE)

    with (
        listening(talk) as host,
        RequestsTransport(f"http://{host}") as transport,
        raises(PrometheusUnreachable, "no_answer") as caught,
    ):
        transport.get("/", {})
    assert str(deadline.MAX_HEAD_BYTES) in caught.value.facts["reason"]


def test_headers_that_cannot_be_read_are_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    def talk(client: socket.socket, over: threading.Event) -> None:
        request_of(client)
        client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nfor Bearer very-secret\r\n\r\nbody")

    with listening(talk) as host, RequestsTransport(f"http://{host}") as transport:
        assert transport.get("/", {}).body == b"body"
    assert "very-secret" not in caplog.text
