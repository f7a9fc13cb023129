"""A real server behind a proxy on loopback that misbehaves on demand, so that faults are real HTTP.

def twice_busy(n: int, path: str, params: Params) -> Reply | None:
    return Reply(503, body=b"busy") if n <= 2 else None

with faulty(prometheus_url, twice_busy) as server:
    ...RequestsTransport(server.url)...
assert len(server.requests) == 3
"""

import http.client
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

Params = Mapping[str, str]
PASSED_ON = ("Accept-Encoding", "Authorization")
UPSTREAM_SECONDS = 60


@dataclass(frozen=True)
class Reply:
    """What is sent instead of the upstream server's answer.

    Attributes:
        status: HTTP status; None is the upstream server's.
        headers: in addition to Content-Type and Content-Length; the same name replaces them.
        body: None is the upstream server's.
        change: of the body, whosever it is; the Content-Length is that of the result.
        hang_seconds: silence before the first byte; it ends with the server.
        cut_after: close the connection after so many bytes of the body; the Content-Length tells of all.
        drip_seconds: pause after each byte of the body.
    """

    status: int | None = None
    headers: Params = field(default_factory=dict)
    body: bytes | None = None
    change: Callable[[bytes], bytes] = bytes
    hang_seconds: float = 0
    cut_after: int | None = None
    drip_seconds: float = 0


Fault = Callable[[int, str, Params], Reply | None]
"""From the number of the request (the first is 1), its path and its parameters; None passes it on unchanged."""


@dataclass(frozen=True)
class FaultyServer:
    """The proxy.

    Attributes:
        url: what a transport is given.
        requests: path and parameters of each request so far, in order of arrival.
    """

    url: str
    requests: list[tuple[str, dict[str, str]]]


@contextmanager
def faulty(upstream_url: str, fault: Fault) -> Iterator[FaultyServer]:
    """A proxy in front of a server.

    Args:
        upstream_url: ``http://host:port``, asked only where ``fault`` leaves status or body to it.
        fault: called once a request, by one thread at a time.
    """
    requests: list[tuple[str, dict[str, str]]] = []
    one_at_a_time, closing = threading.Lock(), threading.Event()

    class Proxy(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            params = dict(parse_qsl(parts.query, keep_blank_values=True))
            with one_at_a_time:
                requests.append((parts.path, params))
                reply = fault(len(requests), parts.path, params) or Reply()
            _send(self, reply, upstream_url, closing)

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield FaultyServer(f"http://127.0.0.1:{server.server_port}", requests)
        finally:
            closing.set()
            server.shutdown()
            thread.join()


def _send(handler: BaseHTTPRequestHandler, reply: Reply, upstream_url: str, closing: threading.Event) -> None:
    if closing.wait(reply.hang_seconds):
        return
    status, body, headers = reply.status, reply.body, {"Content-Type": "application/json"}
    if status is None or body is None:
        upstream, upstream_body, upstream_headers = _ask(upstream_url, handler)
        status = upstream if status is None else status
        if body is None:
            body, headers = upstream_body, upstream_headers
    body = reply.change(body)
    handler.send_response(status)
    for name, value in {**headers, "Content-Length": str(len(body)), **reply.headers}.items():
        handler.send_header(name, value)
    try:
        handler.end_headers()
        _write(handler, body[: reply.cut_after], reply.drip_seconds, closing)
    except OSError:
        pass  # the client has gone, as it should


def _write(handler: BaseHTTPRequestHandler, body: bytes, drip_seconds: float, closing: threading.Event) -> None:
    if not drip_seconds:
        handler.wfile.write(body)
        return
    for i in range(len(body)):
        handler.wfile.write(body[i : i + 1])
        if closing.wait(drip_seconds):
            return


def _ask(upstream_url: str, handler: BaseHTTPRequestHandler) -> tuple[int, bytes, dict[str, str]]:
    """Status, body and the headers that describe it, of the same request to the server behind."""
    connection = http.client.HTTPConnection(urlsplit(upstream_url).netloc, timeout=UPSTREAM_SECONDS)
    try:
        headers = {name: handler.headers[name] for name in PASSED_ON if name in handler.headers}
        connection.request("GET", handler.path, headers=headers)
        response = connection.getresponse()
        kept = ("Content-Type", "Content-Encoding")
        described = {name: value for name in kept if (value := response.getheader(name)) is not None}
        return response.status, response.read(), described
    finally:
        connection.close()
