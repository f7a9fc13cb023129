"""One request to the ML service over kept connections: bounded in time and size, and typed in how it fails."""

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

TIMEOUT_SECONDS = 30.0
CONNECT_SECONDS = 5.0
"""Longest wait for a connection; a neighbour in the cluster takes milliseconds."""
POOL_SIZE = 32
"""Connections of one client, and so its requests at once."""
LEAST_SECONDS = 0.001
"""Left to a request that waited long for a connection: a socket takes no zero."""
READ_BYTES = 1 << 16
MOST_BODY_BYTES = 32 << 20
SHOWN_CHARACTERS = 300
"""Of the server's own words in a message."""
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
"""A connection that was not made has sent nothing, so any request may try again; one that was sent only if a GET."""


class Connection:
    """POSTs and GETs of JSON objects; safe to use from many threads.

    It follows no redirect, so that a key cannot travel to another host, keeps no cookie, and ignores the
    environment's proxies and ``.netrc``.

    Attributes:
        url: of the service.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout_seconds: float = TIMEOUT_SECONDS,
        token_file: Path | None = None,
        pool_size: int = POOL_SIZE,
    ) -> None:
        """Nothing is sent yet.

        Args:
            url: ``http(s)://host[:port][/prefix]``, without credentials.
            timeout_seconds: for a whole request; a read under way at that moment may still end.
            token_file: holds the API key; read at each request.
            pool_size: most connections, all kept open; a request beyond them waits for one, within its time.

        Raises:
            SettingsError: the URL is not of that form.
        """
        self.url = _checked_url(url)
        self._timeout = timeout_seconds
        self._token_file = token_file
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        # urllib3 makes connections beyond its pool, warns and closes them again, or waits without an end.
        self._free = threading.BoundedSemaphore(pool_size)
        adapter = HTTPAdapter(pool_connections=1, pool_maxsize=pool_size, max_retries=RETRY)
        self._session.mount("http://", adapter)
        self._session.mount("https://", adapter)

    def close(self) -> None:
        """Close the kept connections."""
        self._session.close()

    def ask(self, path: str, body: bytes | None) -> dict[str, Any]:
        """The JSON object that the service answers to a POST of ``body``, or to a GET where that is ``None``.

        Raises:
            ServiceRefused: 4xx.
            ServiceUnavailable: anything else that is no JSON object with 2xx in time.
            SettingsError: the token file holds no usable key.
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
                f"{self.url}{path} was not asked: no connection was free for {self._timeout:g} s; raise pool_size, or "
                "ask from fewer threads",
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
        left = max(LEAST_SECONDS, ends - time.monotonic())
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
        # read1 hands over what has arrived: a server that drips must not keep a caller waiting past the time.
        while piece := response.raw.read1(READ_BYTES, decode_content=True):
            text += piece
            if len(text) > MOST_BODY_BYTES:
                raise ServiceUnavailable(
                    f"{self.url}{path} sent more than {MOST_BODY_BYTES} bytes; ask for less", code="too_large"
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
            words = _own_words(text)
            # Some proxies show the refused request in their error page.
            words = words.replace(token, "[token]") if token else words
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
                f"{where} and no JSON object; ML_SERVICE_URL must name the ML service itself",
                code="not_json",
                path=path,
                status=status,
            )
        return found


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _own_words(text: bytes) -> str:
    """What a server says of a failure: the ``error`` of a JSON object, or the beginning of anything else."""
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
