"""How a query reaches a metrics server: one GET, one answer, bounded in time and size.

The transport is passed to the client: a handler in tests, a :class:`RequestsTransport` everywhere else.
"""

import re
import ssl
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
from aiops_assets.http_client import bottom_of, reason_of
from aiops_assets.masking import Secrets, looks_like_json
from aiops_assets.prometheus.access import Access, Credentials
from aiops_assets.prometheus.deadline import Deadline, DeadlineSession

READ_BYTES = 1 << 20
MAX_BODY_BYTES = 64 << 20
"""A day of 1,000 series at 5 minutes is 7 MB of JSON: a longer body is requested in halves."""
TIMEOUT_SECONDS = 30.0
MAX_TEXT_BYTES = 1 << 18
"""What is kept of a body that is not JSON: messages quote its beginning."""
MAX_REASON = 500
"""Characters of what is quoted when there is no answer."""
PROXY_AUTHENTICATION = 407
"""HTTP status of a proxy that wants a credential, or another one."""
Compression = Literal["identity", "gzip"]

_TUNNEL_REFUSED = re.compile(r"Tunnel connection failed: (401|403|407)\b")


@dataclass(frozen=True)
class Answer:
    """The response of a server, of any HTTP status.

    Attributes:
        status: HTTP status code.
        headers: by name in lower case.
        body: decoded, and complete if it is JSON; left out of ``repr``, because it may be hundreds of megabytes.
        sent: settings that the request's credential came from, each as ``NAME=file``, for the one that answered: the
            proxy at 407, else the server. Empty: none was sent.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    sent: tuple[str, ...] = ()


class Transport(Protocol):
    """Anything that can carry a GET to a metrics server, from several threads at once."""

    def get(self, path: str, params: Mapping[str, str]) -> Answer:
        """The server's answer to ``path`` with ``params``; every HTTP status is an answer.

        Raises:
            PrometheusUnreachable: no complete answer arrived in time.
        """
        ...


class RequestsTransport:
    """GETs over kept-alive connections: one :class:`DeadlineSession` for each request under way at once.

    It never follows a redirect, so that a token cannot travel to another host. It ignores the environment's
    proxies, ``.netrc`` and CA variables: a metrics server is a neighbour inside the cluster, ``.netrc`` would
    silently replace the bearer token, and what happens must be visible in this project's own settings.

    What the server sends back of the request's secrets is masked, whatever the status, before anyone sees it.

    Attributes:
        timeout_seconds: for each wait, so the longest silence of a server.
    """

    def __init__(
        self,
        base_url: str,
        *,
        access: Access | None = None,
        token_file: Path | None = None,
        ca_file: Path | None = None,
        timeout_seconds: float = TIMEOUT_SECONDS,
        deadline_seconds: float = 120,
        most_body_bytes: int = MAX_BODY_BYTES,
        compression: Compression = "identity",
    ) -> None:
        """Create a transport; no request is sent yet.

        Args:
            base_url: ``http(s)://host[:port][/prefix]``, without credentials.
            access: what the server requires.
            token_file, ca_file: short for an ``access`` of these two.
            timeout_seconds: for each wait: for the connection, TLS, and each read.
            deadline_seconds: for a whole request, from the look-up of the host's name to the last byte of the answer.
            most_body_bytes: largest size of a decoded body.
            compression: of bodies. ``identity`` is 3 to 6 times faster inside a cluster, where a server's gzip
                costs more than its evaluation; ``gzip`` wins below roughly 80 Mbit/s.

        Raises:
            SettingsError: the URL is not of that form.
        """
        self._base_url = _checked_url(base_url)
        self._access = access or Access(token_file=token_file, ca_file=ca_file)
        self.timeout_seconds = min(timeout_seconds, deadline_seconds)
        self._deadline = deadline_seconds
        self._most_body_bytes = most_body_bytes
        self._compression = compression
        self._idle: deque[DeadlineSession] = deque()
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
            PrometheusAccessError: a file of a secret or certificate cannot be used, TLS failed, or the proxy refused.
            PrometheusTooMuch: the body is longer than ``most_body_bytes``.
            PrometheusAnswerError: the body has a compression that was not requested.
        """
        credentials = self._access.credentials()
        with self._session() as session:
            session.deadline.begin(self._deadline, self.timeout_seconds)
            try:
                return self._exchange(session, path, params, credentials)
            except (requests.RequestException, urllib3.exceptions.HTTPError, zlib.error, OSError) as error:
                failure = self._failure(error, credentials.secrets, session.deadline)
        # Not while the other error is handled: as its context, that would be shown with what the server sent.
        raise failure

    def _exchange(
        self, session: DeadlineSession, path: str, params: Mapping[str, str], credentials: Credentials
    ) -> Answer:
        access, mask = self._access, credentials.secrets
        headers = {"Accept": "application/json", "Accept-Encoding": self._compression, **credentials.headers}
        session.adapter.proxy_authorization = credentials.proxy_authorization
        with session.get(
            self._base_url + path,
            params={**params, **({"namespace": access.namespace} if access.namespace else {})},
            headers=headers,
            timeout=self.timeout_seconds,
            verify=True if access.ca_file is None else str(access.ca_file),
            cert=access.certificate(),
            proxies={"http": access.proxy, "https": access.proxy} if access.proxy else None,
            allow_redirects=False,
            stream=True,
        ) as response:
            shown = {name.lower(): mask.masked(value) for name, value in response.headers.items()}
            body = self._body(response, shown.get("content-encoding", "identity"))
        if not looks_like_json(body):
            body = body[:MAX_TEXT_BYTES]
        sent = credentials.sent_to_proxy if response.status_code == PROXY_AUTHENTICATION else credentials.sent
        return Answer(response.status_code, shown, mask.masked_body(body), sent)

    @contextmanager
    def _session(self) -> Iterator[DeadlineSession]:
        """A session for one request at a time: sessions are not safe to share, and new connections cost time."""
        try:
            session = self._idle.pop()
        except IndexError:
            session = DeadlineSession()
        try:
            yield session
        finally:
            self._idle.append(session)
            if self._closed:
                self._close_idle()

    def _close_idle(self) -> None:
        while self._idle:
            self._idle.pop().close()

    def _body(self, response: requests.Response, encoding: str) -> bytes:
        body = bytearray()
        decode, finished = _decoder(encoding)
        # read1 returns what has arrived. read and iter_content wait until a chunk is full: a server that sends
        # a byte at a time would fill it slowly, and what it sent too much would be found late.
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
        if response.raw.tell() and not finished():
            raise PrometheusUnreachable(
                f"{self._base_url} sent a gzip body that does not end where it should; check PROMETHEUS_URL",
                code="broken_gzip",
            )
        return bytes(body)

    def _failure(
        self, error: Exception, secrets: Secrets, deadline: Deadline
    ) -> PrometheusUnreachable | PrometheusAccessError:
        if deadline.is_over and deadline.received:
            return PrometheusUnreachable(
                f"{self._base_url} was still sending after {self._deadline:g} s; "
                "request fewer series or a shorter range, or look at the network to PROMETHEUS_URL",
                code="still_sending",
                deadline_seconds=self._deadline,
            )
        # Servers get their own words into it: a status line, a proxy's reason.
        reason = secrets.masked(reason_of(error))
        reason = reason if len(reason) <= MAX_REASON else f"{reason[:MAX_REASON]}..."
        through = f" through PROMETHEUS_PROXY={self._access.proxy}" if self._access.proxy else ""
        # A handshake that the other side cuts off is a network error; every other TLS failure a wrong setting.
        # That with a proxy is wrapped in another error.
        tls = (requests.exceptions.SSLError, ssl.SSLError)
        if (isinstance(error, tls) or isinstance(bottom_of(error), tls)) and "EOF" not in reason:
            return PrometheusAccessError(
                f"TLS to {self._base_url}{through} failed ({reason}); PROMETHEUS_CA_FILE must name the bundle that "
                "signed the server's certificate, PROMETHEUS_CERT_FILE and PROMETHEUS_KEY_FILE the client's own where "
                "the server requires one, and PROMETHEUS_URL must use the server's scheme",
                code="tls_failed",
                reason=reason,
            )
        if isinstance(error, requests.exceptions.ProxyError) and (refused := _TUNNEL_REFUSED.search(reason)):
            return PrometheusAccessError(
                f"PROMETHEUS_PROXY={self._access.proxy} refuses a connection to {self._base_url} ({reason}); "
                "PROMETHEUS_PROXY_USER and PROMETHEUS_PROXY_PASSWORD_FILE must be those of a user who may use it",
                code="proxy_refused",
                status=int(refused[1]),
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
            f"no answer from {self._base_url}{through} ({reason}); check PROMETHEUS_URL and that the server runs",
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
            "PROMETHEUS_URL must not hold credentials; use PROMETHEUS_TOKEN_FILE, or PROMETHEUS_USER and "
            "PROMETHEUS_PASSWORD_FILE",
            code="credentials_in_url",
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
