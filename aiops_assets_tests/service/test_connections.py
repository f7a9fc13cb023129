"""What a stranger can hold: heads of any size and slowness, connections, requests behind requests."""

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from time import monotonic, sleep

import pytest
import uvicorn
from prometheus_client import CollectorRegistry, Counter
from starlette.types import Receive, Scope, Send

from aiops_assets.service import connections as limited
from aiops_assets.service.connections import MAX_HEADERS, MAX_PIPELINED, Connections, LimitedProtocol, Limits
from aiops_assets.service.refusals import Refusals
from aiops_assets_tests.ports import free_port

PATIENCE_SECONDS = 8
LIMITS = Limits(connections=8, head_bytes=4096, head_seconds=0.4, idle_seconds=60.0)
ASK = b"GET /quick HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST /quick HTTP/1.1\r\nHost: x\r\n"


class Served:
    """A server with limits, and what was asked of its application: ``/hold`` is answered when ``go`` is set."""

    def __init__(self, limits: Limits) -> None:
        self.counter = Counter("refused", "By reason.", ("reason",), registry=CollectorRegistry())
        self.connections = Connections(limits, Refusals(self.counter))
        self.go = threading.Event()
        self.asked: list[str] = []
        self.port = free_port()

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.asked.append(scope["path"])
        while scope["path"] != "/early" and (await receive()).get("more_body"):
            pass
        while scope["path"] == "/hold" and not self.go.is_set():
            await asyncio.sleep(0.01)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

    def refused(self, reason: str) -> float:
        return float(self.counter.labels(reason)._value.get())

    def connect(self, data: bytes = b"") -> socket.socket:
        found = socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_SECONDS)
        found.sendall(data)
        return found

    def ask(self, data: bytes = ASK) -> bytes:
        with self.connect() as asking:
            return answer(asking, data)


def answer(connection: socket.socket, data: bytes = b"") -> bytes:
    """What comes back, also where the server did not take all; empty where it closed the connection without a word."""
    with suppress(ConnectionResetError, BrokenPipeError):
        connection.sendall(data)
    try:
        return connection.recv(4096)
    except ConnectionResetError:
        return b""


def status(data: bytes) -> int:
    return int(data[9:12])


def until(true: Callable[[], object]) -> None:
    end = monotonic() + PATIENCE_SECONDS
    while not true():
        assert monotonic() < end
        sleep(0.01)


@contextmanager
def serving(limits: Limits = LIMITS) -> Iterator[Served]:
    served = Served(limits)
    protocol = partial(LimitedProtocol, served.connections)
    config = uvicorn.Config(
        served.app,
        port=served.port,
        http=protocol,  # type: ignore[arg-type]
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    until(lambda: server.started)
    try:
        yield served
    finally:
        served.go.set()
        server.should_exit = server.force_exit = True
        thread.join(PATIENCE_SECONDS)


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with serving() as found:
        yield found


class TestHeads:
    @pytest.mark.parametrize(
        ("head", "refusal", "reason"),
        [
            (b"GET /quick HTTP/1.1\r\n" + b"X-A: yyyy\r\n" * 100_000, 431, "headers"),
            (b"GET /quick HTTP/1.1\r\nX-A: " + b"y" * 1_000_000, 431, "head"),
            (b"GET /" + b"y" * 1_000_000, 414, "url"),
            (b"GET /quick HTTP/1.1\r\n" + b"a:\r\n" * (MAX_HEADERS + 1) + b"\r\n", 431, "headers"),
            (b"\x16\x03\x01 this is TLS", 400, "invalid"),
        ],
    )
    def test_one_that_is_too_large_is_refused_before_anybody_sees_it(
        self, served: Served, head: bytes, refusal: int, reason: str
    ) -> None:
        seen, before = len(served.asked), served.refused(reason)
        found = served.ask(head)
        assert status(found) == refusal
        assert b'{"error":' in found
        assert served.refused(reason) == before + 1
        assert len(served.asked) == seen
        assert served.connections.heads_bytes == 0

    def test_one_of_the_greatest_size_is_taken(self, served: Served) -> None:
        start = b"GET /quick HTTP/1.1\r\nX-A: "
        assert status(served.ask(start + b"y" * (LIMITS.head_bytes - len(start) - 4) + b"\r\n\r\n")) == 200
        assert status(served.ask(b"GET /quick HTTP/1.1\r\n" + b"a:\r\n" * MAX_HEADERS + b"\r\n")) == 200

    @pytest.mark.parametrize("rest", [b"0\r\nX-A: " + b"y" * 100_000, b"1;" + b"y" * 100_000])
    def test_what_stands_beside_a_body_is_limited_too(self, served: Served, rest: bytes) -> None:
        before = served.refused("head")
        assert served.ask(POST + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n" + rest) == b""
        assert served.refused("head") == before + 1

    def test_a_body_may_be_larger_than_a_head(self, served: Served) -> None:
        body = b"y" * 1_000_000
        assert status(served.ask(POST + b"Content-Length: 1000000\r\n\r\n" + body)) == 200

    def test_a_slow_one_is_answered_and_a_silent_connection_is_closed(self, served: Served) -> None:
        with served.connect(b"GET /quick HTT") as slow, served.connect() as silent:
            assert status(answer(slow)) == 408
            assert slow.recv(10) == b""
            assert answer(silent) == b""

    def test_the_rest_of_a_body_that_nobody_reads_is_not_awaited_for_ever(self, served: Served) -> None:
        with served.connect(b"POST /early HTTP/1.1\r\nContent-Length: 9\r\n\r\n") as asking:
            assert status(answer(asking)) == 200
            assert answer(asking) == b""
        with served.connect(b"POST /early HTTP/1.1\r\nContent-Length: 9\r\n\r\n") as asking:
            assert status(answer(asking)) == 200
            assert status(answer(asking, b"123456789" + ASK)) == 200

    def test_unfinished_ones_are_limited_together(self, served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(limited, "MAX_HEADS_BYTES", 8000)
        before = served.refused("heads")
        with ExitStack() as stack:
            for _ in range(6):
                stack.enter_context(served.connect(b"GET /quick HTTP/1.1\r\nX-A: " + b"y" * 3000))
            until(lambda: served.refused("heads") > before)
            assert served.connections.heads_bytes <= 8000
            assert status(served.ask()) == 200


class TestUsed:
    def test_a_connection_stays_after_an_answer_as_long_as_idle_ones_may(self) -> None:
        with serving(Limits(8, 4096, head_seconds=0.2, idle_seconds=1.5)) as served, served.connect() as kept:
            assert status(answer(kept, ASK)) == 200
            sleep(0.8)
            assert status(answer(kept, ASK)) == 200
            assert answer(kept) == b""

    def test_requests_behind_requests_are_answered_up_to_a_number(self, served: Served) -> None:
        with served.connect(3 * ASK) as asking:
            found = b""
            while found.count(b"ok") < 3:
                found += asking.recv(4096)
        with served.connect(ASK.replace(b"quick", b"hold") + (MAX_PIPELINED + 2) * ASK) as asking:
            assert answer(asking) == b""
        until(lambda: served.refused("pipelined"))

    def test_an_upgrade_is_answered_as_a_plain_request(self, served: Served) -> None:
        assert status(served.ask(ASK.replace(b"\r\n\r\n", b"\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"))) == 200


class TestNumber:
    def test_whoever_asks_gets_the_place_of_one_that_does_not(self) -> None:
        with serving(Limits(8, 4096, head_seconds=60, idle_seconds=60)) as served, ExitStack() as stack:
            kept = stack.enter_context(served.connect())
            assert status(answer(kept, ASK)) == 200
            silent = [stack.enter_context(served.connect(b"GET /" if i % 2 else b"")) for i in range(30)]
            assert status(served.ask()) == 200
            assert status(answer(kept, ASK)) == 200
            assert answer(silent[0]) == b""
            assert len(served.connections) <= 8
            assert served.refused("connections") >= 23

    def test_a_new_one_is_refused_where_all_are_being_answered(self) -> None:
        with serving(Limits(3, 4096, head_seconds=60, idle_seconds=60)) as served, ExitStack() as stack:
            held = [stack.enter_context(served.connect(ASK.replace(b"quick", b"hold"))) for _ in range(3)]
            until(lambda: len(served.asked) == 3)
            with served.connect() as refused:
                found = answer(refused)
            assert status(found) == 503
            assert b"retry-after: 1\r\n" in found
            served.go.set()
            assert [status(answer(one)) for one in held] == [200] * 3
            assert status(served.ask()) == 200


def test_a_flood_is_one_line_and_a_number(caplog: pytest.LogCaptureFixture) -> None:
    counter = Counter("refused", "By reason.", ("reason",), registry=CollectorRegistry())
    from structlog.testing import capture_logs

    with capture_logs() as lines:
        refusals = Refusals(counter, log_seconds=60)
        for _ in range(1000):
            refusals.note("head")
        refusals.note("url", status=414)
    assert [(line["reason"], line["not_logged_since"]) for line in lines] == [("head", 0), ("url", 0)]
    assert counter.labels("head")._value.get() == 1000
    with capture_logs() as lines:
        refusals = Refusals(counter, log_seconds=0.05)
        refusals.note("head")
        refusals.note("head")
        sleep(0.06)
        refusals.note("head")
    assert [line["not_logged_since"] for line in lines] == [0, 1]
