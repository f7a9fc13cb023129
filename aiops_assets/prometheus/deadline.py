"""HTTP connections on which every wait ends at one deadline: name, connect, TLS, headers and body.

``requests`` and ``http.client`` bound single reads only: a server that sends a header byte now and then is waited for
without end. Here each wait gets what is left of the request's time, so no thread has to watch.
"""

import http.client
import io
import math
import queue
import socket
import threading
import time
from collections.abc import Callable
from functools import partial
from http.cookiejar import DefaultCookiePolicy
from typing import Any, cast

import requests
from requests import PreparedRequest
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError

MAX_HEAD_BYTES = 1 << 16
"""Longest status line and headers together, those of interim answers (1xx) included."""
MIN_SECONDS = 0.001
"""Shortest time-out of a socket: 0 would mean not to wait at all."""


class Deadline:
    """When the request under way has to have ended; one request at a time.

    Attributes:
        received: bytes of the answer that have arrived so far.
    """

    def __init__(self) -> None:
        self._ends = math.inf
        self._silence = math.inf
        self.received = 0

    def begin(self, seconds: float, silence: float) -> None:
        """Begin a request that may take ``seconds`` in all, and ``silence`` seconds for each wait."""
        self._ends = time.monotonic() + seconds
        self._silence = silence
        self.received = 0

    @property
    def is_over(self) -> bool:
        """Whether the time of the request is used up."""
        return time.monotonic() >= self._ends

    def wait(self) -> float:
        """Seconds that the next wait may take.

        Raises:
            TimeoutError: none are left.
        """
        left = self._ends - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out: the deadline of the request has passed")
        return max(MIN_SECONDS, min(left, self._silence))


class DeadlineAdapter(HTTPAdapter):
    """Connections of one :class:`requests.Session` that carries one request at a time.

    Attributes:
        deadline: of the request under way.
        proxy_authorization: what ``Proxy-Authorization`` says to the proxy, if there is one; "" sends none.
    """

    def __init__(self, deadline: Deadline) -> None:
        self.deadline = deadline
        self.proxy_authorization = ""
        super().__init__(pool_connections=1, pool_maxsize=1)

    def get_connection_with_tls_context(
        self, request: PreparedRequest, verify: Any, proxies: Any = None, cert: Any = None
    ) -> HTTPConnectionPool:
        """The pool for a request, which makes connections that know the deadline."""
        found = super().get_connection_with_tls_context(request, verify, proxies=proxies, cert=cert)
        pool = cast(HTTPConnectionPool, found)
        kind = DeadlineHTTPSConnection if pool.scheme == "https" else DeadlineHTTPConnection
        pool.ConnectionCls = cast(Any, partial(kind, deadline=self.deadline))
        # Passwords rotate: a pool would go on with the one that it was made with.
        pool.proxy_headers = dict(self.proxy_headers(""))
        return pool

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """Check the certificate of whom TLS is spoken with: requests takes that of an https proxy unseen for http."""
        super().cert_verify(conn, "https://" if conn.scheme == "https" else url, verify, cert)  # type: ignore[no-untyped-call]

    def proxy_headers(self, proxy: str) -> dict[str, str]:
        """Headers for the proxy alone."""
        return {"Proxy-Authorization": self.proxy_authorization} if self.proxy_authorization else {}


class DeadlineSession(requests.Session):
    """A session for one request at a time.

    It ignores the environment's proxies, ``.netrc`` and CA variables, and keeps no cookie.

    Attributes:
        deadline: of the request under way.
        adapter: of all its connections.
    """

    def __init__(self) -> None:
        super().__init__()
        self.trust_env = False
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self.deadline = Deadline()
        self.adapter = DeadlineAdapter(self.deadline)
        self.mount("http://", self.adapter)
        self.mount("https://", self.adapter)


class _Timed:
    """A TLS connection to a proxy, through which TLS to the server is spoken: each of its reads ends in time."""

    def __init__(self, sock: socket.socket, deadline: Deadline) -> None:
        self.__dict__.update(_sock=sock, _deadline=deadline)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._sock, name, value)

    def recv(self, size: int) -> bytes:
        self._sock.settimeout(self._deadline.wait())
        return bytes(self._sock.recv(size))

    def sendall(self, data: bytes) -> None:
        self._sock.settimeout(self._deadline.wait())
        self._sock.sendall(data)


class _Reader(io.RawIOBase):
    """What a socket sends, as a file whose reads end at the deadline, and whose beginning is bounded."""

    def __init__(self, sock: socket.socket, deadline: Deadline) -> None:
        self._sock = sock
        self._file = sock.makefile("rb", buffering=0)
        self._deadline = deadline
        self.head_bytes_left: int | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._sock.settimeout(self._deadline.wait())
        n = cast(io.RawIOBase, self._file).readinto(buffer) or 0
        self._deadline.received += n
        if self.head_bytes_left is not None:
            self.head_bytes_left -= n
            if self.head_bytes_left < 0:
                raise http.client.HTTPException(f"headers of more than {MAX_HEAD_BYTES} bytes")
        return n

    def makefile(self, mode: str) -> io.BufferedReader:
        """What ``http.client`` asks a socket for."""
        return io.BufferedReader(self)

    def close(self) -> None:
        self._file.close()
        super().close()


class _Response(http.client.HTTPResponse):
    """An answer that is read by a :class:`_Reader`."""

    def __init__(self, sock: socket.socket, *args: Any, deadline: Deadline, **kwargs: Any) -> None:
        self._reader = _Reader(sock, deadline)
        super().__init__(cast(Any, self._reader), *args, **kwargs)

    def begin(self) -> None:
        self._reader.head_bytes_left = MAX_HEAD_BYTES
        super().begin()
        self._reader.head_bytes_left = None
        # urllib3 logs what it cannot read of headers, and so what the server echoes there.
        self.msg.defects.clear()
        self.msg.set_payload("")


class _WithDeadline(HTTPConnection):
    """What a plain and a TLS connection have in common."""

    def __init__(self, *args: Any, deadline: Deadline, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._deadline = deadline
        self.response_class = cast(Any, partial(_Response, deadline=deadline))

    def _new_conn(self) -> socket.socket:
        try:
            addresses = _resolved(self._dns_host, self.port, self._deadline.wait())
        except TimeoutError as error:
            raise ConnectTimeoutError(self, f"no address of {self.host} in time: timed out") from error
        except OSError as error:
            raise NameResolutionError(self.host, self, cast(socket.gaierror, error)) from error
        problem = OSError("no address")
        for family, kind, protocol, _, address in addresses:
            try:
                return self._connected(socket.socket(family, kind, protocol), address)
            except OSError as error:
                problem = error
        if isinstance(problem, TimeoutError):
            raise ConnectTimeoutError(self, f"connection to {self.host} timed out") from problem
        raise NewConnectionError(self, f"Failed to establish a new connection: {problem}") from problem

    def _connected(self, sock: socket.socket, address: Any) -> socket.socket:
        try:
            for option in self.socket_options or ():
                sock.setsockopt(*option)
            sock.settimeout(self._deadline.wait())
            sock.connect(address)
            # For the TLS handshake, which is one wait.
            sock.settimeout(self._deadline.wait())
        except OSError:
            sock.close()
            raise
        return sock

    def _tunnel(self) -> None:
        super()._tunnel()
        self.sock.settimeout(self._deadline.wait())

    def send(self, data: Any) -> None:
        if self.sock is not None:
            self.sock.settimeout(self._deadline.wait())
        super().send(data)


class DeadlineHTTPConnection(_WithDeadline):
    """A plain connection."""


class DeadlineHTTPSConnection(_WithDeadline, HTTPSConnection):
    """A TLS connection."""

    def _connect_tls_proxy(self, hostname: str, sock: socket.socket) -> Any:
        return _Timed(super()._connect_tls_proxy(hostname, sock), self._deadline)


Addresses = list[tuple[int, int, int, str, Any]]


def _resolved(host: str, port: int | None, seconds: float) -> Addresses:
    """The addresses of a host. Nothing bounds the time of a resolver, so a thread of its own waits for it.

    Raises:
        OSError: the resolver's.
        TimeoutError: it took longer than ``seconds``; the thread ends when the resolver gives up.
    """
    answers: queue.SimpleQueue[Addresses | OSError] = queue.SimpleQueue()
    threading.Thread(target=_resolve, args=(host, port, answers.put), daemon=True, name="prometheus-resolver").start()
    try:
        answer = answers.get(timeout=seconds)
    except queue.Empty:
        raise TimeoutError("timed out") from None
    if isinstance(answer, OSError):
        raise answer
    return answer


def _resolve(host: str, port: int | None, answer: Callable[[Addresses | OSError], None]) -> None:
    try:
        answer(cast(Addresses, socket.getaddrinfo(host.strip("[]"), port, socket.AF_UNSPEC, socket.SOCK_STREAM)))
    except OSError as error:
        answer(error)
    except UnicodeError:
        answer(OSError("not a host name"))
