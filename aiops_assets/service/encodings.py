"""Compressed bodies: gzip is taken, within the limit of a body, and anything else is a 415."""

import zlib

import orjson
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from aiops_assets.errors import SchemaError
from aiops_assets.service.gate import METER, Meter

GZIP = zlib.MAX_WBITS | 16
"""Tells zlib that the data have gzip's head."""
PIECE_BYTES = 2**18
"""Bytes that are decompressed at a time: no more is made of a body before its limits are looked at."""


class Decoding:
    """Hands decompressed bodies to the application (ASGI).

    Args:
        app: the application.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request (ASGI)."""
        sent = next((value for name, value in scope.get("headers", ()) if name == b"content-encoding"), b"")
        encoding = sent.strip().lower()
        if scope["type"] != "http" or encoding in (b"", b"identity"):
            await self.app(scope, receive, send)
        elif encoding in (b"gzip", b"x-gzip"):
            await self.app(scope, self._decompressed(receive, scope[METER]), send)
        else:
            await _refuse(send, sent)

    def _decompressed(self, receive: Receive, meter: Meter) -> Receive:
        stream = zlib.decompressobj(GZIP)

        async def decompressed() -> Message:
            message = await receive()
            if message["type"] != "http.request":
                return message
            pieces, rest = [], message.get("body", b"")
            while rest:
                try:
                    piece = stream.decompress(rest, PIECE_BYTES)
                except zlib.error:
                    raise SchemaError("the body is not gzip, as its Content-Encoding says", code="not_gzip") from None
                await meter.take(piece)
                pieces.append(piece)
                rest = stream.unconsumed_tail
            is_last = not message.get("more_body", False)
            if stream.unused_data or (is_last and not stream.eof):
                raise SchemaError("the body is not one whole gzip stream: it was cut, or continued", code="not_gzip")
            return {**message, "body": b"".join(pieces)}

        return decompressed


async def _refuse(send: Send, encoding: bytes) -> None:
    shown = encoding[:40].decode("ascii", "replace")
    body = orjson.dumps({"error": f"Content-Encoding {shown!r} is not taken: send gzip, or no encoding"})
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    headers.append((b"accept-encoding", b"gzip"))  # RFC 7694: what would be taken
    await send({"type": "http.response.start", "status": 415, "headers": headers})
    await send({"type": "http.response.body", "body": body})
