"""An ML service on loopback that answers as a test tells it."""

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from aiops_assets.client import MLServiceClient
from aiops_assets.errors import (
    ServiceUnavailable,
)

CPU = [{"name": "node_cpu_utilization", "value": 0.4}]
Reply = tuple[int, bytes]


class Server(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """Says nothing of a client that did not wait."""


class Service:
    """An ML service that answers as it is told, and remembers what it was asked."""

    def __init__(self) -> None:
        self.reply: Callable[[dict[str, object] | None], Reply] = lambda asked: (200, b'{"anomaly_detected": false}')
        self.asked: list[tuple[str, str, dict[str, object] | None, dict[str, str]]] = []
        self.connections = 0

        service = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def setup(self) -> None:
                service.connections += 1
                super().setup()

            def _handle(self) -> None:
                text = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                body = json.loads(text) if text else None
                service.asked.append((self.command, self.path, body, dict(self.headers)))
                status, reply = service.reply(body)
                self.send_response(status)
                self.send_header("Content-Length", str(len(reply)))
                self.end_headers()
                self.wfile.write(reply)

            do_GET = do_POST = _handle

            def log_message(self, format: str, *args: object) -> None:
                return

        self._server = Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def answers(self, status: int, body: object) -> None:
        text = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.reply = lambda asked: (status, text)

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def fails(client: MLServiceClient, times: int) -> None:
    for _ in range(times):
        with pytest.raises(ServiceUnavailable):
            client.detect([{"name": "never_asked_before", "value": 1}])


def counted(client: MLServiceClient, name: str, **labels: str) -> float | None:
    return client.registry.get_sample_value(name, labels)
