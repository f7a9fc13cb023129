"""The middleware of every request: limits on body and time, the API key, errors as JSON, and request metrics.

It is plain ASGI, because Starlette's BaseHTTPMiddleware takes as long as an empty route.
"""

import asyncio
import hmac
import re
from pathlib import Path
from time import perf_counter

import orjson
import structlog
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from aiops_assets.service.instruments import Instruments

OPEN_PATHS = ("/health", "/v2/health/live", "/v2/health/ready", "/docs", "/openapi.json")
"""Paths that are read without an API key, as are those below ``OPEN_PREFIXES``: a kubelet's probe cannot send a secret,
and the documents, which hold none, say how to send one."""
OPEN_PREFIXES = ("/v1/models", "/v2/models", "/static-offline-docs")
SLOW_SECONDS = 1.0
GONE = 499
"""Status of a client that disconnected before it had sent its request, as in nginx."""
UNKNOWN_ROUTE = "unknown"

log = structlog.get_logger("aiops.service")


class TooLarge(Exception):
    """The body is larger than the limit."""


class Gate:
    """The outermost layer of the application.

    Args:
        app: the application.
        instruments: counts requests.
        most_bytes: largest body, bytes.
        most_seconds: longest request, from its head to its answer, seconds.
        key_file: file with the key that ``Authorization: Bearer`` or ``X-API-Key`` must carry; ``None``: no key.
    """

    def __init__(
        self, app: ASGIApp, instruments: Instruments, most_bytes: int, most_seconds: float, key_file: Path | None
    ) -> None:
        self.app = app
        self._requests = instruments.requests
        self._most_bytes = most_bytes
        self._most_seconds = most_seconds
        self._key_file = key_file

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request (ASGI)."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began, status, whole = perf_counter(), 0, False
        total = 0

        async def limited() -> Message:
            nonlocal total, whole
            message = await receive()
            total += len(message.get("body", b""))
            whole = not message.get("more_body", False)
            if total > self._most_bytes:
                raise TooLarge
            return message

        async def counted_send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            rejection = self._rejection(scope)
            if rejection:
                await _answer(counted_send, *rejection)
            else:
                async with asyncio.timeout(self._most_seconds):
                    await self.app(scope, limited, counted_send)
        except TooLarge:
            if not status:
                await _answer(counted_send, 413, self._too_large())
        except ClientDisconnect:
            status = GONE
        except TimeoutError:
            if not status and not whole:
                await _answer(
                    counted_send, 408, f"the body did not come within {self._most_seconds:g} s: send it again"
                )
            elif not status:
                text = f"no answer within {self._most_seconds:g} s: send less, or raise SERVICE_TIMEOUT_SECONDS"
                await _answer(counted_send, 503, text)
        except Exception as error:
            log.exception("request failed", path=scope["path"], error=type(error).__name__)
            if not status:
                await _answer(counted_send, 500, "internal error: it is in the service's log")
        finally:
            self._count(scope, status, perf_counter() - began)

    def _count(self, scope: Scope, status: int, seconds: float) -> None:
        route = scope.get("route")
        path = route.path if route is not None else UNKNOWN_ROUTE
        self._requests.labels(path, scope["method"] if path != UNKNOWN_ROUTE else "any", status).observe(seconds)
        if status >= 500 or seconds > SLOW_SECONDS:
            log.warning("request", path=scope["path"], method=scope["method"], status=status, seconds=round(seconds, 4))

    def _rejection(self, scope: Scope) -> tuple[int, str] | None:
        """Status and message if a request is rejected because of its head; else ``None``."""
        headers = dict(scope["headers"])
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or int(length) > self._most_bytes:
            return 413, self._too_large()
        if self._key_file is None or _is_open(scope):
            return None
        given = headers.get(b"x-api-key") or re.sub(rb"(?i)^bearer +", b"", headers.get(b"authorization", b""))
        try:
            key = self._key_file.read_bytes().strip()
        except OSError as error:
            log.error("SERVICE_API_KEY_FILE cannot be read", error=error.strerror)
            return 503, "the service cannot read its API key: see its log"
        if not key or not hmac.compare_digest(given, key):
            return 401, "send the API key as `Authorization: Bearer <key>` or `X-API-Key: <key>`"
        return None

    def _too_large(self) -> str:
        return f"the body is larger than {self._most_bytes} bytes: send less at once (SERVICE_MAX_BODY_BYTES)"


def _is_open(scope: Scope) -> bool:
    return scope["method"] in ("GET", "HEAD") and (
        scope["path"] in OPEN_PATHS or scope["path"].startswith(OPEN_PREFIXES)
    )


async def _answer(send: Send, status: int, error: str) -> None:
    body = orjson.dumps({"error": error})
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if status == 413:  # the rest of the body is not read
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
