"""Connections with limits: what somebody can hold who has not shown a key, nor sent a whole request.

uvicorn's protocol over httptools takes heads of any size, waits for them for ever, and keeps each connection that was
opened. This is the same protocol with limits on the size and time of a head, on connections, and on whatever else a
request has beside its body: trailers, chunk extensions, requests behind requests. Bodies are limited by
:mod:`aiops_assets.service.gate`, after the key.
"""

import asyncio
from dataclasses import dataclass
from enum import Enum, auto
from time import monotonic
from typing import Any

import httptools
import orjson
from typing_extensions import override
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from aiops_assets.service.refusals import Refusals

MAX_HEADERS = 128
"""Most header lines of a request: a line takes two hundred bytes here, however short it was sent."""
MAX_PIPELINED = 16
"""Most requests that wait behind an unanswered one of their connection."""
MAX_HEADS_BYTES = 4 * 2**20
"""Most bytes of unfinished heads, of all connections together."""
SWEEP_SECONDS = 1.0
"""Longest time between two looks for connections whose time is over."""
RETRY_SECONDS = 1


@dataclass(frozen=True)
class Limits:
    """What connections may have.

    Attributes:
        connections: most open ones.
        head_bytes: largest head of a request, bytes.
        head_seconds: longest time for a head, and for whatever else is awaited from a client but a body, seconds.
        idle_seconds: longest time between two requests, seconds.
    """

    connections: int
    head_bytes: int
    head_seconds: float
    idle_seconds: float


class Phase(Enum):
    """What a connection is in."""

    FRESH = auto()
    """Nothing was received yet."""
    HEAD = auto()
    """A head has begun."""
    BUSY = auto()
    """A request is being read or answered."""
    DRAINING = auto()
    """The answer was given before the body had come, which is thrown away."""
    IDLE = auto()
    """All requests are answered."""


AWAITED = frozenset({Phase.FRESH, Phase.HEAD, Phase.DRAINING})
"""Phases in which the client has to send something within ``head_seconds``."""


class Connections:
    """The open connections of a process.

    At the limit a new connection takes the place of the one that waits longest for a head, or else of the one that is
    idle longest; where each is answering a request, the new one is refused.

    Args:
        limits: the limits.
        refusals: is told of what is refused.
    """

    def __init__(self, limits: Limits, refusals: Refusals) -> None:
        self.limits = limits
        self.refusals = refusals
        self.heads_bytes = 0
        self._open: dict[LimitedProtocol, None] = {}
        self._sweeping = False

    def __len__(self) -> int:
        return len(self._open)

    def add(self, connection: "LimitedProtocol") -> bool:
        """Take a connection; whether there is room."""
        if len(self._open) >= self.limits.connections and not self._drop_one():
            return False
        self._open[connection] = None
        if not self._sweeping:
            self._sweeping = True
            self._again(connection.loop)
        return True

    def remove(self, connection: "LimitedProtocol") -> None:
        """Forget a closed connection."""
        self._open.pop(connection, None)

    def bound_heads(self) -> None:
        """Close the oldest unfinished heads while all of them together are larger than :data:`MAX_HEADS_BYTES`."""
        for connection in [one for one in self._open if one.phase is Phase.HEAD]:
            if self.heads_bytes <= MAX_HEADS_BYTES:
                return
            self._drop(connection, "heads")

    def _drop_one(self) -> bool:
        waiting = next((one for one in self._open if one.phase in AWAITED), None)
        found = waiting or min((one for one in self._open if one.phase is Phase.IDLE), key=_since, default=None)
        if found is None:
            return False
        self._drop(found, "connections")
        return True

    def _drop(self, connection: "LimitedProtocol", reason: str) -> None:
        self.refusals.note(reason, open=len(self._open), most=self.limits.connections)
        self.remove(connection)
        connection.abort()

    def _again(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.call_later(min(SWEEP_SECONDS, self.limits.head_seconds / 4), self._sweep, loop)

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        now = monotonic()
        for connection in list(self._open):
            connection.close_if_over(now)
        self._sweeping = bool(self._open)
        if self._sweeping:
            self._again(loop)


class LimitedProtocol(HttpToolsProtocol):
    """uvicorn's protocol with limits.

    Args:
        connections: all connections of the process.
        settings: what uvicorn gives each protocol.
    """

    def __init__(self, connections: Connections, **settings: Any) -> None:
        super().__init__(**settings)
        self._all = connections
        self.phase = Phase.FRESH
        self.since = monotonic()
        self._unread = 0
        """Bytes since a head or a piece of a body was last complete."""
        self._counted = 0
        """Bytes of this connection in ``connections.heads_bytes``."""
        self._open_message = False
        self._too_many = False

    @override
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if not self._all.add(self):
            self._refuse(503, "connections", "all connections are in use: send it again in a second")

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._all.remove(self)
        self._count_head(0)
        super().connection_lost(exc)

    @override
    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        if self.phase is Phase.IDLE or self.phase is Phase.FRESH:
            self._enter(Phase.HEAD)
        limit, start = self._all.limits.head_bytes, 0
        while start < len(data) and not self.transport.is_closing():
            piece = data[start : start + limit - self._unread + 1]
            start += len(piece)
            self._unread += len(piece)
            try:
                self.parser.feed_data(piece)
            except httptools.HttpParserUpgrade:  # answered as if no upgrade had been asked for; the rest is of no use
                self._unread = 0
                break
            except httptools.HttpParserError:
                self._refuse(400, "invalid", "this is not a request of HTTP/1.1")
                return
            if self._unread > limit or self._too_many:
                self._refuse_head(limit)
                return
            if len(self.pipeline) > MAX_PIPELINED:
                self._all.refusals.note("pipelined", most=MAX_PIPELINED)
                self.abort()
                return
        self._count_head(self._unread if self.phase is Phase.HEAD else 0)

    @override
    def on_message_begin(self) -> None:
        self._open_message = True
        super().on_message_begin()

    @override
    def on_header(self, name: bytes, value: bytes) -> None:
        if len(self.headers) >= MAX_HEADERS:
            self._too_many = True
        else:
            super().on_header(name, value)

    @override
    def on_headers_complete(self) -> None:
        if self._too_many:
            return
        self._unread = 0
        self._enter(Phase.BUSY)
        super().on_headers_complete()

    @override
    def on_body(self, body: bytes) -> None:
        self._unread = 0
        if not self._too_many:
            super().on_body(body)

    @override
    def on_message_complete(self) -> None:
        self._unread = 0
        self._open_message = False
        if self._too_many:
            return
        super().on_message_complete()
        if self.phase is Phase.DRAINING:
            self._enter(Phase.IDLE)

    @override
    def on_response_complete(self) -> None:
        more = bool(self.pipeline)
        super().on_response_complete()
        if not more:
            self._enter(Phase.DRAINING if self._open_message else Phase.IDLE)

    @override
    def _unsupported_upgrade_warning(self) -> None:
        """Nothing: the request is answered as it is, and who asks for an upgrade each time would fill the log."""

    def abort(self) -> None:
        """Close at once, whatever is still to be sent."""
        self.transport.abort()

    def close_if_over(self, now: float) -> None:
        """Close the connection if its time is over at ``now``, by the clock of :func:`time.monotonic`."""
        limits, waited = self._all.limits, now - self.since
        if self.transport.is_closing():  # what was to be sent before is not read
            if waited > limits.head_seconds:
                self.abort()
        elif self.phase in AWAITED and waited > limits.head_seconds:
            self._end_waiting()
        elif self.phase is Phase.IDLE:
            unread = self.transport.get_write_buffer_size() > 0
            if waited > (limits.head_seconds if unread else limits.idle_seconds):
                self.abort()

    def _end_waiting(self) -> None:
        seconds = self._all.limits.head_seconds
        if self.phase is Phase.HEAD:
            self._refuse(408, "slow_head", f"the head of the request did not come within {seconds:g} s: send it again")
        else:
            self._all.refusals.note("silent" if self.phase is Phase.FRESH else "slow_rest", seconds=seconds)
            self.abort()

    def _enter(self, phase: Phase) -> None:
        self.phase = phase
        self.since = monotonic()

    def _count_head(self, size: int) -> None:
        if size == self._counted:
            return
        self._all.heads_bytes += size - self._counted
        self._counted = size
        if self._all.heads_bytes > MAX_HEADS_BYTES:
            self._all.bound_heads()

    def _refuse_head(self, limit: int) -> None:
        if self._too_many:
            self._refuse(431, "headers", f"the request has more than {MAX_HEADERS} header lines: send fewer")
        elif self.phase is Phase.HEAD and 2 * len(self.url) > limit:
            self._refuse(414, "url", f"the URL is larger than {limit} bytes (SERVICE_MAX_HEAD_BYTES)")
        else:
            self._refuse(431, "head", f"the head is larger than {limit} bytes (SERVICE_MAX_HEAD_BYTES)")

    def _refuse(self, status: int, reason: str, error: str) -> None:
        """Answer a request that was not read, if none before it is still being answered, and close the connection."""
        self._all.refusals.note(reason, status=status)
        if self.phase is Phase.BUSY:
            self.abort()
            return
        body = orjson.dumps({"error": error})
        again = b"retry-after: %d\r\n" % RETRY_SECONDS if status == 503 else b""
        head = b"content-type: application/json\r\ncontent-length: %d\r\n%sconnection: close\r\n\r\n"
        self.transport.write(STATUS_LINE[status] + head % (len(body), again) + body)
        self.transport.close()


def _since(connection: LimitedProtocol) -> float:
    return connection.since
