"""The middleware of every request: the API key, limits on body and time, errors as JSON, and request metrics.

It is plain ASGI, because Starlette's BaseHTTPMiddleware takes as long as an empty route.
"""

import asyncio
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import orjson
import structlog
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from aiops_assets.service.bodies_in_flight import CONTAINER, UNCOUNTED_BYTES, InFlight, count_values
from aiops_assets.service.instruments import Instruments
from aiops_assets.service.refusals import Refusals
from aiops_assets.service.workers import RUNNING, Running

OPEN_PATHS = ("/health", "/v2/health/live", "/v2/health/ready", "/docs", "/openapi.json")
"""Paths that are read without an API key, as are those below ``OPEN_PREFIXES``: a kubelet's probe cannot send a secret,
and the documents, which hold none, say how to send one."""
OPEN_PREFIXES = ("/v1/models", "/v2/models", "/static-offline-docs")
SLOW_SECONDS = 1.0
SHORT_SECONDS, SHORT_WAIT = 0.5, 0.1
"""Wait, seconds and share of its time, after which others are why a request has no answer, and not its size."""
GONE = 499
"""Status of a client that disconnected before it had sent its request, as in nginx."""
UNKNOWN_ROUTE = "unknown"
METER = "aiops.meter"
"""Key in the scope (ASGI) of the meter for what a body becomes when it is decompressed."""
RETRY_SECONDS = 1
"""When to send a request again that was refused because others are being answered, seconds."""

log = structlog.get_logger("aiops.service")


@dataclass(frozen=True)
class BodyLimits:
    """What a request may take once its head was read.

    Attributes:
        body_bytes: largest body, bytes.
        json_values: most values of a body, as :func:`~aiops_assets.service.bodies_in_flight.count_values` counts them.
        inflight_bytes: most bytes of all bodies at once.
        seconds: longest request, from its head to its answer, seconds.
    """

    body_bytes: int
    json_values: int
    inflight_bytes: int
    seconds: float


class Refused(Exception):
    """A request is refused while its body is received.

    Attributes:
        status, reason, error: of the answer, of the log and the metrics, and the text of the answer.
        last: no further request can be read from the connection.
    """

    def __init__(self, status: int, reason: str, error: str, *, last: bool = False) -> None:
        super().__init__(reason)
        self.status, self.reason, self.error, self.last = status, reason, error, last


class Gate:
    """The outermost layer of the application.

    Args:
        app: the application.
        instruments: counts requests.
        refusals: is told of requests that are refused.
        limits: limits on body and time.
        key_file: file with the key that ``Authorization: Bearer`` or ``X-API-Key`` must carry; ``None``: no key.
    """

    def __init__(
        self, app: ASGIApp, instruments: Instruments, refusals: Refusals, limits: BodyLimits, key_file: Path | None
    ) -> None:
        self.app = app
        self._requests = instruments.requests
        self._refusals = refusals
        self._limits = limits
        self._key_file = key_file
        self._in_flight = InFlight(limits.inflight_bytes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request (ASGI)."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began, status = perf_counter(), 0
        running = Running(self._limits.seconds)
        body = _Body(receive, scope, running, self._limits, self._in_flight)

        async def counted_send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            self._require_allowed(scope, body)
            RUNNING.set(running)
            async with asyncio.timeout(self._limits.seconds):
                await self.app(scope, body.receive, counted_send)
        except Refused as refused:
            if not status:
                await self._refuse(counted_send, refused)
        except ClientDisconnect:
            status = GONE
        except TimeoutError:
            if not status:
                await self._refuse(counted_send, self._late(body, running))
        except Exception as error:
            log.exception("request failed", path=scope["path"], error=type(error).__name__)
            if not status:
                await _answer(counted_send, 500, "internal error: it is in the service's log")
        finally:
            running.over = True
            self._in_flight.release(running)
            self._count(scope, status, perf_counter() - began)

    def _late(self, body: "_Body", running: Running) -> Refused:
        """What is wrong with a request whose time is over."""
        seconds = self._limits.seconds
        if not body.whole:
            text = f"the body did not come within {seconds:g} s: send it again"
            return Refused(408, "slow_body", text, last=True)
        if running.waited is None or running.waited > max(SHORT_WAIT * seconds, SHORT_SECONDS):
            return Refused(503, "waited", f"the service is busy: it had no answer within {seconds:g} s; send it again")
        text = f"no answer within {seconds:g} s: send less, or raise SERVICE_TIMEOUT_SECONDS"
        return Refused(503, "no_answer", text)

    async def _refuse(self, send: Send, refused: Refused) -> None:
        self._refusals.note(refused.reason, status=refused.status, error=refused.error)
        headers = [(b"connection", b"close")] if refused.last else []
        if refused.status == 503 and refused.reason != "no_answer":
            headers.append((b"retry-after", b"%d" % RETRY_SECONDS))
        await _answer(send, refused.status, refused.error, headers)

    def _count(self, scope: Scope, status: int, seconds: float) -> None:
        route = scope.get("route")
        path = route.path if route is not None else UNKNOWN_ROUTE
        self._requests.labels(path, scope["method"] if path != UNKNOWN_ROUTE else "any", status).observe(seconds)
        if (status >= 500 and status != 503) or (seconds > SLOW_SECONDS and status < 400):  # others: see refusals
            log.warning("request", path=scope["path"], method=scope["method"], status=status, seconds=round(seconds, 4))

    def _require_allowed(self, scope: Scope, body: "_Body") -> None:
        """Raise Refused if a request is refused because of its head."""
        if body.declared > self._limits.body_bytes:
            raise body.meter.too_large()
        if self._key_file is None or _is_open(scope):
            return
        headers = dict(scope["headers"])
        given = headers.get(b"x-api-key") or re.sub(rb"(?i)^bearer +", b"", headers.get(b"authorization", b""))
        try:
            key = self._key_file.read_bytes().strip()
        except OSError as error:
            log.error("SERVICE_API_KEY_FILE cannot be read", error=error.strerror)
            raise Refused(503, "key_unread", "the service cannot read its API key: see its log") from None
        if not key or not hmac.compare_digest(given, key):
            raise Refused(401, "key", "send the API key as `Authorization: Bearer <key>` or `X-API-Key: <key>`")


class Meter:
    """What a body takes while it comes in, or is decompressed: bytes, values, and memory of all bodies together.

    Args:
        owner: the request.
        limits: the limits.
        in_flight: bytes of all bodies.
        declared: its size by the head, bytes; 0 where that states none.
    """

    def __init__(self, owner: Running, limits: BodyLimits, in_flight: InFlight, declared: int) -> None:
        self._owner = owner
        self._limits = limits
        self._in_flight = in_flight
        self._declared = declared
        self._size = 0
        self._values = 0

    async def take(self, piece: bytes) -> None:
        """Count a piece, and wait until there is room for it.

        Raises:
            Refused: the body passes a limit.
        """
        self._size += len(piece)
        if self._size > self._limits.body_bytes:
            raise self.too_large()
        if not piece or max(self._size, self._declared) <= UNCOUNTED_BYTES:
            return
        self._values += count_values(piece)
        if self._values > self._limits.json_values:
            text = (
                f"the body has more than {self._limits.json_values} values, of which an array or object counts as "
                f"{CONTAINER}: send less at once (SERVICE_MAX_JSON_VALUES)"
            )
            raise Refused(413, "json_values", text, last=not self._declared)
        if not await self._in_flight.hold(self._owner, len(piece)):
            text = "the service is busy: the bodies of other requests take all the memory for them; send it again"
            raise Refused(503, "inflight", text, last=not self._declared)

    def too_large(self) -> Refused:
        """The refusal of a body that is larger than the limit."""
        text = f"the body is larger than {self._limits.body_bytes} bytes: send less at once (SERVICE_MAX_BODY_BYTES)"
        return Refused(413, "body_bytes", text, last=True)  # the rest of it is not read


class _Body:
    """The body of a request as it comes in, within the limits.

    Attributes:
        declared: its size by the head, bytes; 0 where that states none.
        whole: all of it was received.
    """

    def __init__(
        self, receive: Receive, scope: Scope, running: Running, limits: BodyLimits, in_flight: InFlight
    ) -> None:
        self._receive = receive
        length = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
        self.declared = int(length) if length.isdigit() and len(length) < 20 else limits.body_bytes + 1
        self.whole = False
        self.meter = Meter(running, limits, in_flight, self.declared)
        scope[METER] = Meter(running, limits, in_flight, self.declared)

    async def receive(self) -> Message:
        """The next message (ASGI).

        Raises:
            Refused: the body passes a limit.
        """
        message = await self._receive()
        self.whole = not message.get("more_body", False)
        await self.meter.take(message.get("body", b""))
        return message


def _is_open(scope: Scope) -> bool:
    return scope["method"] in ("GET", "HEAD") and (
        scope["path"] in OPEN_PATHS or scope["path"].startswith(OPEN_PREFIXES)
    )


async def _answer(send: Send, status: int, error: str, more: Sequence[tuple[bytes, bytes]] = ()) -> None:
    body = orjson.dumps({"error": error})
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), *more]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
