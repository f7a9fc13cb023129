"""How a query reaches a metrics server: one GET, one answer, bounded in time and size.

The transport is passed to the client: a handler in tests, a :class:`RequestsTransport` everywhere else.
"""

import time
import zlib
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol, Self
from urllib.parse import urlsplit

import requests
import urllib3

from aiops_assets.errors import (
    PrometheusAccessError,
    PrometheusAnswerError,
    PrometheusTooMuch,
    PrometheusUnreachable,
    SettingsError,
)
from aiops_assets.http_client import read_token, reason_of

READ_BYTES = 1 << 20
MOST_BODY_BYTES = 64 << 20
"""A day of 1,000 series at 5 minutes is 7 MB of JSON: a longer body is requested in halves."""
TIMEOUT_SECONDS = 30.0
Compression = Literal["identity", "gzip"]


@dataclass(frozen=True)
class Answer:
    """The response of a server, of any HTTP status.

    Attributes:
        status: HTTP status code.
        headers: by name in lower case.
        body: complete and decoded; left out of ``repr``, because it may be hundreds of megabytes.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


class Transport(Protocol):
    """Anything that can carry a GET to a metrics server, from several threads at once."""

    def get(self, path: str, params: Mapping[str, str]) -> Answer:
        """The server's answer to ``path`` with ``params``; every HTTP status is an answer.

        Raises:
            PrometheusUnreachable: no complete answer arrived in time.
        """
        ...


class RequestsTransport:
    """GETs over kept-alive connections: one :class:`requests.Session` for each request under way at once.

    It never follows a redirect, so that a token cannot travel to another host. It ignores the environment's
    proxies, ``.netrc`` and CA variables: a metrics server is a neighbour inside the cluster, ``.netrc`` would
    silently replace the bearer token, and what happens must be visible in this project's own settings.

    Attributes:
        timeout_seconds: for the connection and for each read: the longest silence of a server.
    """

    def __init__(
        self,
        base_url: str,
        *,
        token_file: Path | None = None,
        ca_file: Path | None = None,
        timeout_seconds: float = TIMEOUT_SECONDS,
        deadline_seconds: float = 120,
        most_body_bytes: int = MOST_BODY_BYTES,
        compression: Compression = "identity",
    ) -> None:
        """Create a transport; no request is sent yet.

        Args:
            base_url: ``http(s)://host[:port][/prefix]``, without credentials.
            token_file: file with the bearer token, read again for each request, because tokens rotate.
            ca_file: PEM bundle that the server's certificate must chain to; by default the public one.
            timeout_seconds: for the connection and for each read, so also for the headers.
            deadline_seconds: for a whole answer; a read that is under way then may still end.
            most_body_bytes: largest size of a decoded body.
            compression: of bodies. ``identity`` is 3 to 6 times faster inside a cluster, where a server's gzip
                costs more than its evaluation; ``gzip`` wins below roughly 80 Mbit/s.

        Raises:
            SettingsError: the URL is not of that form.
        """
        self._base_url = _checked_url(base_url)
        self._token_file = token_file
        self._ca_file = ca_file
        self.timeout_seconds = min(timeout_seconds, deadline_seconds)
        self._deadline = deadline_seconds
        self._most_body_bytes = most_body_bytes
        self._compression = compression
        self._idle: deque[requests.Session] = deque()
        self._closed = False

    def __repr__(self) -> str:
        return f"RequestsTransport({self._base_url!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the kept-alive connections; one whose request is under way closes after it."""
        self._closed = True
        self._close_idle()

    def get(self, path: str, params: Mapping[str, str]) -> Answer:
        """GET ``path`` below the base URL.

        Raises:
            PrometheusUnreachable: the connection was refused, reset, cut off or timed out, or the host is unknown.
            PrometheusAccessError: the token or CA file cannot be read, or TLS failed.
            PrometheusTooMuch: the body is longer than ``most_body_bytes``.
            PrometheusAnswerError: the body has a compression that was not requested.
        """
        ends = time.monotonic() + self._deadline
        token = None
        if self._token_file is not None:
            token = read_token(self._token_file, "bearer token", "PROMETHEUS_TOKEN_FILE", PrometheusAccessError)
        headers = {"Accept": "application/json", "Accept-Encoding": self._compression}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        try:
            with (
                self._session() as session,
                session.get(
                    self._base_url + path,
                    params=dict(params),
                    headers=headers,
                    timeout=self.timeout_seconds,
                    verify=True if self._ca_file is None else str(self._ca_file),
                    allow_redirects=False,
                    stream=True,
                ) as response,
            ):
                body = self._body(response, ends)
        except (requests.RequestException, urllib3.exceptions.HTTPError, zlib.error, OSError) as error:
            raise self._failure(error) from error
        if token and response.status_code != 200:
            # Some proxies show the rejected request in their error page, and error pages get into messages.
            body = body.replace(token.encode(), b"[token]")
        return Answer(response.status_code, {k.lower(): v for k, v in response.headers.items()}, body)

    @contextmanager
    def _session(self) -> Iterator[requests.Session]:
        """A session for one request at a time: sessions are not safe to share, and new connections cost time."""
        try:
            session = self._idle.pop()
        except IndexError:
            session = requests.Session()
            session.trust_env = False
        try:
            yield session
        finally:
            self._idle.append(session)
            if self._closed:
                self._close_idle()

    def _close_idle(self) -> None:
        while self._idle:
            self._idle.pop().close()

    def _body(self, response: requests.Response, ends: float) -> bytes:
        body = bytearray()
        decode, finished = _decoder(response.headers.get("Content-Encoding", "identity"))
        # read1 returns what has arrived. read and iter_content wait until a chunk is full: a server that sends
        # a byte at a time would block them, and the check of the deadline, for hours.
        while piece := response.raw.read1(READ_BYTES, decode_content=False):
            # Decode at most one byte more than allowed: a megabyte of gzip can hold a gigabyte.
            body += decode(piece, self._most_body_bytes + 1 - len(body))
            if len(body) > self._most_body_bytes:
                raise PrometheusTooMuch(
                    f"{self._base_url} sent more than {self._most_body_bytes} bytes; "
                    "request fewer series or a shorter range",
                    code="too_many_bytes",
                    most=self._most_body_bytes,
                )
            if time.monotonic() > ends:
                raise PrometheusUnreachable(
                    f"{self._base_url} was still sending after {self._deadline:g} s; "
                    "request fewer series or a shorter range, or look at the network to PROMETHEUS_URL",
                    code="still_sending",
                    deadline_seconds=self._deadline,
                )
        if response.raw.tell() and not finished():
            raise PrometheusUnreachable(
                f"{self._base_url} sent a gzip body that does not end where it should; check PROMETHEUS_URL",
                code="broken_gzip",
            )
        return bytes(body)

    def _failure(self, error: Exception) -> PrometheusUnreachable | PrometheusAccessError:
        reason = reason_of(error)
        # A handshake that the other side cuts off is a network error; every other TLS failure a wrong setting.
        if isinstance(error, requests.exceptions.SSLError) and "EOF" not in reason:
            return PrometheusAccessError(
                f"TLS to {self._base_url} failed ({reason}); PROMETHEUS_CA_FILE must name the bundle that "
                "signed the server's certificate, and PROMETHEUS_URL must use the server's scheme",
                code="tls_failed",
                reason=reason,
            )
        if isinstance(error, requests.exceptions.InvalidURL):
            return PrometheusAccessError(
                f"{self._base_url} cannot be queried ({reason}); check PROMETHEUS_URL", code="bad_url", reason=reason
            )
        if isinstance(error, OSError) and not isinstance(error, requests.RequestException):
            return PrometheusAccessError(
                f"{reason}; PROMETHEUS_CA_FILE must name a readable PEM bundle", code="bad_ca_file", reason=reason
            )
        return PrometheusUnreachable(
            f"no answer from {self._base_url} ({reason}); check PROMETHEUS_URL and that the server runs",
            code="no_answer",
            url=self._base_url,
            reason=reason,
        )


def _decoder(encoding: str) -> tuple[Callable[[bytes, int], bytes], Callable[[], bool]]:
    """A function that decodes pieces of a body to at most n bytes, and one that tells whether the body has ended."""
    if encoding.lower() in ("identity", ""):
        return (lambda piece, most: piece), (lambda: True)
    if encoding.lower() not in ("gzip", "x-gzip"):
        raise PrometheusAnswerError(
            f"a body in {encoding!r}, which was not requested; PROMETHEUS_URL must be the API itself",
            code="other_encoding",
            encoding=encoding,
        )
    gzip = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    return gzip.decompress, lambda: gzip.eof and not gzip.unused_data


def _checked_url(base_url: str) -> str:
    if "@" in base_url:
        raise SettingsError(
            "PROMETHEUS_URL must not hold credentials; use PROMETHEUS_TOKEN_FILE", code="credentials_in_url"
        )
    url = base_url.rstrip("/")
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or parts.query or parts.fragment:
        shown = url.partition("?")[0]
        raise SettingsError(
            f"PROMETHEUS_URL={shown!r} must look like http://host:9090 or https://host:9091/prefix",
            code="bad_url",
            url=shown,
        )
    return url
