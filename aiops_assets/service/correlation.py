"""The identity of a request: X-Request-ID and W3C trace context, taken, given back, and in each line of the log.

Source: W3C Trace Context, https://www.w3.org/TR/trace-context/.
"""

import re
from collections.abc import Mapping, MutableMapping
from contextvars import ContextVar
from secrets import token_hex
from typing import Any, Protocol

from starlette.types import ASGIApp, Message, Receive, Scope, Send

REQUEST_ID, TRACEPARENT = b"x-request-id", b"traceparent"
VALID_ID = re.compile(rb"[A-Za-z0-9._:/+=@-]{1,128}")
"""What is taken as an id; any other is replaced, so that no line of the log can be forged."""
VALID_PARENT = re.compile(rb"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")


_IDS: ContextVar[Mapping[str, str]] = ContextVar("ids of the request")
"""One variable, because structlog's own, one for each name, take as long as a tenth of an empty route."""


def add_ids(_: object, __: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A processor of structlog: ``request_id`` and ``trace_id`` of the request that a line is about."""
    line.update(_IDS.get({}))
    return line


class Span(Protocol):
    """What is recorded of one request."""

    @property
    def traceparent(self) -> str:
        """Its own trace context, for the answer."""

    def end(self, route: str, status: int) -> None:
        """Record the template of the path, and the status, 0 if nothing was answered."""


class Spans(Protocol):
    """Where requests are recorded."""

    def begin(self, method: str, path: str, traceparent: str) -> Span:
        """Begin to record a request; ``traceparent`` is that of the sender, empty without one."""


class Correlation:
    """The outermost layer of the application (ASGI): rejections have an id, too.

    Args:
        app: the application.
        spans: where requests are recorded; ``None``: nowhere.
    """

    def __init__(self, app: ASGIApp, spans: Spans | None = None) -> None:
        self.app = app
        self._spans = spans

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request (ASGI)."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        sent = {name: value for name, value in scope["headers"] if name in (REQUEST_ID, TRACEPARENT)}
        request_id = sent.get(REQUEST_ID, b"")
        if not VALID_ID.fullmatch(request_id):
            request_id = token_hex(16).encode()
        parent = valid_parent(sent.get(TRACEPARENT, b""))
        span = self._spans.begin(scope["method"], scope["path"], parent) if self._spans else None
        context = span.traceparent if span else parent
        ids = [(REQUEST_ID, request_id), *([(TRACEPARENT, context.encode())] if context else [])]
        logged = {"request_id": request_id.decode()}
        if context:
            logged["trace_id"] = context.split("-")[1]
        before = _IDS.set(logged)
        status = 0

        async def send_with_ids(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message = {**message, "headers": [*message.get("headers", ()), *ids]}
            await send(message)

        try:
            await self.app(scope, receive, send_with_ids)
        finally:
            _IDS.reset(before)
            if span:
                route = scope.get("route")
                span.end(route.path if route is not None else "", status)


def valid_parent(sent: bytes) -> str:
    """A traceparent as sent; empty if it is none, which begins a new trace."""
    found = VALID_PARENT.fullmatch(sent)
    if found is None or (found[1] == b"00" and found[5]):
        return ""
    return sent.decode()
