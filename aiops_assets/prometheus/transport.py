"""How a query reaches a metrics server: one GET, one answer, bounded in time and size.

The client gets its transport passed in. Tests pass a handler; everything else a :class:`RequestsTransport`.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, Self
from urllib.parse import urlsplit

import requests
import urllib3

from aiops_assets.errors import (
    PrometheusAccessError,
    PrometheusAnswerError,
    PrometheusUnreachable,
    SettingsError,
)

READ_BYTES = 1 << 20
MOST_BODY_BYTES = 512 << 20
"""A day of 1,000 series at 5 minutes is 7 MB of JSON: more than this is a query gone wrong."""


@dataclass(frozen=True)
class Answer:
    """What a server said, whatever its status.

    Attributes:
        status: HTTP status code.
        headers: by name in lower case.
        body: complete and decoded; left out of ``repr``, where it could be hundreds of megabytes.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


class Transport(Protocol):
    """Anything that can carry a GET to a metrics server."""

    def get(self, path: str, params: Mapping[str, str]) -> Answer:
        """The server's answer to ``path`` with ``params``; every HTTP status is an answer.

        Raises:
            PrometheusUnreachable: no complete answer arrived in time.
        """
        ...


class RequestsTransport:
    """GETs over one kept-alive :class:`requests.Session`.

    It never follows a redirect, so that a token cannot travel to another host. It ignores the environment's
    proxies, ``.netrc`` and CA variables: a metrics server is a neighbour inside the cluster, ``.netrc`` would
    silently replace the bearer token, and what happens must be visible in this project's own settings. It
    asks for an uncompressed body, which is several times faster inside a cluster.
    """

    def __init__(
        self,
        base_url: str,
        *,
        token_file: Path | None = None,
        ca_file: Path | None = None,
        timeout_seconds: float = 30,
        deadline_seconds: float = 120,
        most_body_bytes: int = MOST_BODY_BYTES,
    ) -> None:
        """Nothing is sent yet.

        Args:
            base_url: ``http(s)://host[:port][/prefix]``, without credentials.
            token_file: its content is the bearer token, read anew at each request: tokens rotate.
            ca_file: PEM bundle that the server's certificate must chain to; the public ones by default.
            timeout_seconds: for the connection and for each read, so also for the headers.
            deadline_seconds: for a whole answer; a read under way at that moment may still end.
            most_body_bytes: a longer decoded body is refused.

        Raises:
            SettingsError: the URL is not of that form.
        """
        self._base_url = _checked_url(base_url)
        self._token_file = token_file
        self._ca_file = ca_file
        self._timeout = min(timeout_seconds, deadline_seconds)
        self._deadline = deadline_seconds
        self._most_body_bytes = most_body_bytes
        self._session = requests.Session()
        self._session.trust_env = False

    def __repr__(self) -> str:
        return f"RequestsTransport({self._base_url!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the kept-alive connections."""
        self._session.close()

    def get(self, path: str, params: Mapping[str, str]) -> Answer:
        """GET ``path`` below the base URL.

        Raises:
            PrometheusUnreachable: refused, reset, cut off, timed out, or unknown host.
            PrometheusAccessError: no readable token or CA file, or TLS failed.
            PrometheusAnswerError: the body is longer than allowed.
        """
        ends = time.monotonic() + self._deadline
        token = self._token()
        headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        try:
            with self._session.get(
                self._base_url + path,
                params=dict(params),
                headers=headers,
                timeout=self._timeout,
                verify=True if self._ca_file is None else str(self._ca_file),
                allow_redirects=False,
                stream=True,
            ) as response:
                body = self._body(response, ends)
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            raise self._failure(error) from error
        if token and response.status_code != 200:
            # Some proxies show the refused request in their error page, and error pages get into messages.
            body = body.replace(token.encode(), b"[token]")
        return Answer(response.status_code, {k.lower(): v for k, v in response.headers.items()}, body)

    def _token(self) -> str | None:
        if self._token_file is None:
            return None
        cure = "PROMETHEUS_TOKEN_FILE must name a readable file that holds the bearer token alone"
        try:
            content = self._token_file.read_bytes().strip()
        except OSError as error:
            raise PrometheusAccessError(f"no token: {self._token_file}: {error.strerror}; {cure}") from error
        # Anything else would be refused by requests, in an error that shows the token.
        if not content or any(not 0x21 <= byte <= 0x7E for byte in content):
            raise PrometheusAccessError(f"no usable token in {self._token_file}; {cure}")
        return content.decode("ascii")

    def _body(self, response: requests.Response, ends: float) -> bytes:
        body = bytearray()
        # read1 hands over what has arrived. read and iter_content wait until a chunk is full, and a server
        # that drips a byte at a time keeps them, and the look at the clock, waiting for hours.
        while piece := response.raw.read1(READ_BYTES, decode_content=True):
            body += piece
            if len(body) > self._most_body_bytes:
                raise PrometheusAnswerError(
                    f"{self._base_url} sent more than {self._most_body_bytes} bytes; "
                    "ask for fewer series or a shorter range"
                )
            if time.monotonic() > ends:
                raise PrometheusUnreachable(
                    f"{self._base_url} was still sending after {self._deadline:g} s; "
                    "ask for fewer series or a shorter range, or look at the network to PROMETHEUS_URL"
                )
        return bytes(body)

    def _failure(self, error: Exception) -> PrometheusUnreachable | PrometheusAccessError:
        reason = _reason(error)
        # A handshake that the other side cuts off is a network's doing; every other TLS failure a setting's.
        if isinstance(error, requests.exceptions.SSLError) and "EOF" not in reason:
            return PrometheusAccessError(
                f"TLS to {self._base_url} failed ({reason}); PROMETHEUS_CA_FILE must name the bundle that "
                "signed the server's certificate, and PROMETHEUS_URL must use the scheme the server speaks"
            )
        if isinstance(error, requests.exceptions.InvalidURL):
            return PrometheusAccessError(f"{self._base_url} cannot be asked ({reason}); check PROMETHEUS_URL")
        if not isinstance(error, requests.RequestException | urllib3.exceptions.HTTPError):
            return PrometheusAccessError(f"{reason}; PROMETHEUS_CA_FILE must name a readable PEM bundle")
        return PrometheusUnreachable(
            f"no answer from {self._base_url} ({reason}); check PROMETHEUS_URL and that the server runs"
        )


def _checked_url(base_url: str) -> str:
    if "@" in base_url:
        raise SettingsError("PROMETHEUS_URL must not hold credentials; use PROMETHEUS_TOKEN_FILE")
    url = base_url.rstrip("/")
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or parts.query or parts.fragment:
        raise SettingsError(f"PROMETHEUS_URL={base_url!r} must look like http://host:9090 or https://host:9091/prefix")
    return url


def _reason(error: BaseException) -> str:
    """What went wrong at the bottom, in one line: requests and urllib3 wrap it in several layers of words."""
    for inner in (getattr(error, "reason", None), *error.args):
        if isinstance(inner, BaseException):
            return _reason(inner)
    return " ".join(f"{type(error).__name__}: {error}".split())
