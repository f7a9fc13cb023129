"""Requests to the ML service over kept-alive connections, bounded in time and size, with typed errors."""

import json
import threading
import time
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.util.retry import Retry

from aiops_assets.errors import ServiceRefused, ServiceUnavailable, SettingsError
from aiops_assets.http_client import read_token, reason_of
from aiops_assets.masking import Secrets, secrets_of_bearer

TIMEOUT_SECONDS = 30.0
CONNECT_SECONDS = 5.0
"""Longest wait for a connection, seconds; within a cluster it takes milliseconds."""
POOL_SIZE = 32
"""Most connections, and so concurrent requests, of one client."""
MIN_SECONDS = 0.001
"""Least timeout of a socket, seconds, also for a request that waited long for a connection: 0 is not allowed."""
READ_BYTES = 1 << 16
MAX_BODY_BYTES = 32 << 20
SHOWN_CHARACTERS = 300
"""Most characters of the server's text in a message."""
RETRY = Retry(
    total=None,
    connect=1,
    read=1,
    status=0,
    other=0,
    redirect=0,
    allowed_methods=frozenset({"GET"}),
    backoff_factor=0.05,
    respect_retry_after_header=False,
    raise_on_status=False,
)
"""Any request is repeated without a connection, because nothing was sent; one that was sent only if it is a GET."""


class Connection:
    """POSTs and GETs of JSON objects; safe to use from many threads.

    It follows no redirect, so that a key cannot travel to another host, keeps no cookie, and ignores the
    environment's proxies and ``.netrc``.

    Attributes:
        url: URL of the service.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout_seconds: float = TIMEOUT_SECONDS,
        token_file: Path | None = None,
        pool_size: int = POOL_SIZE,
    ) -> None:
        """Create a connection pool; no request is sent yet.

        Args:
            url: ``http(s)://host[:port][/prefix]``, without credentials.
            timeout_seconds: for a whole request; a read that is under way then may still end.
            token_file: file with the API key, read for each request.
            pool_size: most connections, all kept open; further requests wait for one, within their timeout.

        Raises:
            SettingsError: the URL is not of that form.
        """
        self.url = _checked_url(url)
        self._timeout = timeout_seconds
        self._token_file = token_file
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        # urllib3 opens connections beyond its pool and closes them again with a warning, or waits without limit.
        self._free = threading.BoundedSemaphore(pool_size)
        adapter = HTTPAdapter(pool_connections=1, pool_maxsize=pool_size, max_retries=RETRY)
        self._session.mount("http://", adapter)
        self._session.mount("https://", adapter)

    def close(self) -> None:
        """Close the kept-alive connections."""
        self._session.close()

    def ask(self, path: str, body: bytes | None) -> dict[str, Any]:
        """The JSON object with which the service answers a POST of ``body``, or a GET if it is ``None``.

        Raises:
            ServiceRefused: status 4xx.
            ServiceUnavailable: anything else but a JSON object with status 2xx within the timeout.
            SettingsError: the token file has no usable key.
        """
        ends = time.monotonic() + self._timeout
        token = None
        if self._token_file is not None:
            token = read_token(self._token_file, "API key", "ML_SERVICE_TOKEN_FILE", SettingsError)
        headers = {"Accept": "application/json", "Accept-Encoding": "identity", "Content-Type": "application/json"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        if not self._free.acquire(timeout=self._timeout):
            raise ServiceUnavailable(
                f"{self.url}{path}: nothing was sent, no connection was free for {self._timeout:g} s; raise pool_size, "
                "or use fewer threads",
                code="no_free_connection",
                seconds=self._timeout,
            )
        try:
            status, text = self._sent(path, body, headers, ends)
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            reason = reason_of(error)[:SHOWN_CHARACTERS]
            raise ServiceUnavailable(
                f"no answer from {self.url}{path} ({reason}); check ML_SERVICE_URL and that the service runs",
                code="no_answer",
                url=self.url,
                path=path,
                reason=reason,
            ) from None
        finally:
            self._free.release()
        return self._answer(path, status, text, token)

    def _sent(self, path: str, body: bytes | None, headers: dict[str, str], ends: float) -> tuple[int, bytes]:
        left = max(MIN_SECONDS, ends - time.monotonic())
        with self._session.request(
            "GET" if body is None else "POST",
            self.url + path,
            data=body,
            headers=headers,
            timeout=(min(CONNECT_SECONDS, left), left),
            allow_redirects=False,
            stream=True,
        ) as response:
            return response.status_code, self._read(response, path, ends)

    def _read(self, response: requests.Response, path: str, ends: float) -> bytes:
        text = bytearray()
        # read1 returns what has arrived: a slow server must not block a caller past the timeout.
        while piece := response.raw.read1(READ_BYTES, decode_content=True):
            text += piece
            if len(text) > MAX_BODY_BYTES:
                raise ServiceUnavailable(
                    f"{self.url}{path} sent more than {MAX_BODY_BYTES} bytes; request less", code="too_large"
                )
            if time.monotonic() > ends:
                raise ServiceUnavailable(
                    f"{self.url}{path} was still sending after {self._timeout:g} s; see ML_SERVICE_TIMEOUT",
                    code="too_slow",
                    seconds=self._timeout,
                )
        return bytes(text)

    def _answer(self, path: str, status: int, text: bytes, token: str | None) -> dict[str, Any]:
        where = f"{self.url}{path} answered {status}"
        if not 200 <= status < 300:
            # Some proxies show the rejected request, with its key, in their error page.
            secrets = Secrets(secrets_of_bearer(token) if token else ())
            words = secrets.masked(_own_words(secrets.masked_body(text)))
            if 400 <= status < 500:
                raise ServiceRefused(f"{where}: {words}", status, code="refused", path=path, words=words)
            raise ServiceUnavailable(
                f"{where}: {words}; look at the service's log", code="failed", path=path, status=status, words=words
            )
        try:
            found = json.loads(text, parse_constant=_no_constant)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise ServiceUnavailable(
                f"{where} without a JSON object; ML_SERVICE_URL must name the ML service itself",
                code="not_json",
                path=path,
                status=status,
            )
        return found


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _own_words(text: bytes) -> str:
    """A server's text about a failure: the ``error`` of a JSON object, or the beginning of another body."""
    shown = text[: 16 * SHOWN_CHARACTERS].decode("utf-8", "replace")
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if isinstance(found, dict):
        shown = str(found.get("error") or found.get("detail") or shown)
    return " ".join(shown.split())[:SHOWN_CHARACTERS] or "nothing more"


def _checked_url(url: str) -> str:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or set(url) & set("@?#"):
        shown = "" if set(url) & set("@?#") else f"={url!r}"
        raise SettingsError(
            f"ML_SERVICE_URL{shown} must look like http://host:8080 or https://host/prefix, without credentials",
            code="bad_url",
        )
    return url.rstrip("/")
