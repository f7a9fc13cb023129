"""What a metrics server requires of those who ask: token or password, headers, certificates, a proxy."""

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from aiops_assets.errors import PrometheusAccessError
from aiops_assets.http_client import read_secret, read_token, unusable
from aiops_assets.masking import Secret, Secrets, basic_credentials, secrets_of_basic, secrets_of_bearer

TENANT_HEADER = "X-Scope-OrgID"
"""By which Mimir, Cortex and Loki tell tenants apart."""
MAX_HEADERS = 50
MAX_VALUE_CHARACTERS = 8000

_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
_VALUE = re.compile(r"[!-~]([ -~]*[!-~])?")
_CREDENTIAL = re.compile("auth|token|key|secret|pass|cookie|credential|session|signature|jwt", re.IGNORECASE)
_NOT_OURS = frozenset(
    {"accept-encoding", "connection", "content-length", "content-type", "expect", "host", "keep-alive", "te", "trailer"}
    | {"proxy-authenticate", "proxy-authorization", "proxy-connection", "transfer-encoding", "upgrade"}
)
"""Headers of one connection, and those that decide how request and answer are read."""


@dataclass(frozen=True)
class Credentials:
    """What one request carries.

    Attributes:
        headers: for the server.
        proxy_authorization: for the proxy; "" for none.
        secrets: of both; masked in the answer.
        sent: settings that a credential for the server came from, each as ``NAME=file``; empty: none is sent.
        sent_to_proxy: the same for the proxy.
    """

    headers: Mapping[str, str] = field(repr=False)
    proxy_authorization: str = field(repr=False)
    secrets: Secrets
    sent: tuple[str, ...] = ()
    sent_to_proxy: tuple[str, ...] = ()


@dataclass(frozen=True)
class Access:
    """Where the things are that a server requires. Files are read for each request, because secrets rotate.

    Attributes:
        token_file: a bearer token alone.
        user, password_file: of basic authentication; a password alone, as a ``kubernetes.io/basic-auth`` Secret has it.
        headers_file: further headers, see :func:`read_headers`.
        tenant: ``X-Scope-OrgID``; no secret.
        namespace: the parameter ``namespace`` of each request, as OpenShift's tenancy port requires it.
        ca_file: PEM bundle that the server's certificate must chain to; by default the public one.
        cert_file, key_file: the client's certificate, PEM, and its key where that is in a file of its own. They are
            read for each new connection.
        proxy: ``http(s)://host:port``, without credentials; "" for none.
        proxy_user, proxy_password_file: of basic authentication at the proxy.
    """

    token_file: Path | None = None
    user: str = ""
    password_file: Path | None = None
    headers_file: Path | None = None
    tenant: str = ""
    namespace: str = ""
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    proxy: str = ""
    proxy_user: str = ""
    proxy_password_file: Path | None = None

    def credentials(self) -> Credentials:
        """Headers and secrets of one request, read anew.

        Raises:
            PrometheusAccessError: a file cannot be read, holds something else than it should, or contradicts another
                setting; the message names the setting and shows nothing of the content.
        """
        headers: dict[str, str] = {}
        secrets: list[Secret] = []
        has_credential = False
        if self.headers_file is not None:
            headers = read_headers(self.headers_file)
            has_credential = any(_CREDENTIAL.search(name) for name in headers)
            for name, value in headers.items():
                secrets += _secrets_of_header(name, value)
        if self.tenant:
            self._add(headers, TENANT_HEADER, self.tenant, "PROMETHEUS_TENANT")
        if self.token_file is not None:
            token = read_token(self.token_file, "bearer token", "PROMETHEUS_TOKEN_FILE", PrometheusAccessError)
            self._add(headers, "Authorization", f"Bearer {token}", "PROMETHEUS_TOKEN_FILE")
            secrets += secrets_of_bearer(token)
        if self.password_file is not None:
            password = read_password(self.password_file, "PROMETHEUS_PASSWORD_FILE")
            basic = f"Basic {basic_credentials(self.user, password)}"
            self._add(headers, "Authorization", basic, "PROMETHEUS_PASSWORD_FILE")
            secrets += secrets_of_basic(self.user, password)
        proxy_authorization = ""
        if self.proxy_password_file is not None:
            password = read_password(self.proxy_password_file, "PROMETHEUS_PROXY_PASSWORD_FILE")
            proxy_authorization = f"Basic {basic_credentials(self.proxy_user, password)}"
            secrets += secrets_of_basic(self.proxy_user, password)
        sent = self._named(
            PROMETHEUS_TOKEN_FILE=self.token_file,
            PROMETHEUS_PASSWORD_FILE=self.password_file,
            PROMETHEUS_HEADERS_FILE=self.headers_file if has_credential else None,
            PROMETHEUS_CERT_FILE=self.cert_file,
        )
        to_proxy = self._named(PROMETHEUS_PROXY_PASSWORD_FILE=self.proxy_password_file)
        return Credentials(headers, proxy_authorization, Secrets(secrets), sent, to_proxy)

    def certificate(self) -> tuple[str, str] | None:
        """The files of the client's certificate and key; ``None`` without one.

        Raises:
            PrometheusAccessError: one of them cannot be read.
        """
        if self.cert_file is None:
            return None
        key_file = self.key_file or self.cert_file
        read_secret(self.cert_file, "client certificate", "PROMETHEUS_CERT_FILE", PrometheusAccessError)
        read_secret(key_file, "client key", "PROMETHEUS_KEY_FILE", PrometheusAccessError)
        # Both are named also where they are one file: a key that needs a password would be asked for on the terminal.
        return str(self.cert_file), str(key_file)

    @staticmethod
    def _named(**files: Path | None) -> tuple[str, ...]:
        """Settings and the files that they name, of those that are set."""
        return tuple(f"{setting}={file}" for setting, file in files.items() if file is not None)

    def _add(self, headers: dict[str, str], name: str, value: str, setting: str) -> None:
        if name.lower() in map(str.lower, headers):
            # Whichever won, somebody would look for the reason in the other one.
            other = "PROMETHEUS_HEADERS_FILE" if self.headers_file is not None else "PROMETHEUS_TOKEN_FILE"
            raise PrometheusAccessError(
                f"both {other} and {setting} set the header {name}; leave it to one of them",
                code="header_set_twice",
                header=name,
                settings=(other, setting),
            )
        headers[name] = value


def read_headers(path: Path) -> dict[str, str]:
    """Headers of a file with one ``Name: value`` a line, as ``curl -H @file`` takes it and YAML writes it.

    Empty lines and lines that begin with # do not count.

    Raises:
        PrometheusAccessError: the file cannot be read, a line is of another form, or a header is set twice or is not
            for users to set; the message names the line and shows no value.
    """
    what, setting = "headers", "PROMETHEUS_HEADERS_FILE"

    def refused(why: str) -> Exception:
        return unusable(path, what, setting, PrometheusAccessError, why)

    content = read_secret(path, what, setting, PrometheusAccessError)
    headers: dict[str, str] = {}
    for number, line in enumerate(content.decode("utf-8-sig", "replace").split("\n"), start=1):
        text = line.removesuffix("\r").strip(" \t")
        if not text or text.startswith("#"):
            continue
        name, colon, value = text.partition(":")
        value = value.strip(" \t")
        if not colon or not _NAME.fullmatch(name):
            raise refused(f"line {number} is not of the form Name: value")
        if not _VALUE.fullmatch(value) or len(value) > MAX_VALUE_CHARACTERS:
            raise refused(f"line {number}: {name} must have a value of printable ASCII characters")
        if value[0] in "\"'" and value[-1] == value[0]:
            raise refused(f"line {number}: write the value of {name} without quotes, which would be sent")
        if name.lower() in _NOT_OURS:
            raise refused(f"line {number}: {name} belongs to the connection and cannot be set")
        if name.lower() in map(str.lower, headers):
            raise refused(f"line {number}: {name} is set twice")
        headers[name] = value
    if not 0 < len(headers) <= MAX_HEADERS:
        raise refused(f"it has {len(headers)} headers, must have 1 to {MAX_HEADERS}")
    return headers


def read_password(path: Path, setting: str) -> str:
    """The password that a file holds alone; only the end of its line is no part of it.

    Raises:
        PrometheusAccessError: the file cannot be read, or holds something else than printable ASCII characters.
    """
    password = read_secret(path, "password", setting, PrometheusAccessError).removesuffix(b"\n").removesuffix(b"\r")
    if not password or any(not 0x20 <= byte <= 0x7E for byte in password):
        raise unusable(path, "password", setting, PrometheusAccessError, "it must be printable ASCII characters")
    return password.decode("ascii")


def _secrets_of_header(name: str, value: str) -> list[Secret]:
    """What of a header must not be shown: no tenant, but each word of a credential, and what ``Basic`` encodes."""
    if name.lower() in (TENANT_HEADER.lower(), "thanos-tenant"):
        return []
    if not _CREDENTIAL.search(name):
        return [Secret(value, name, is_credential=False)]
    words = {value}
    for word in re.split(r"[\s;,]+", value):
        words |= {word, word.rstrip("=").partition("=")[2]}
    found = [Secret(word, name) for word in sorted(words) if word.lower() not in ("bearer", "basic", "token")]
    if value.lower().startswith("basic "):
        found += _secrets_of_encoded(value[len("basic ") :].strip())
    return found


def _secrets_of_encoded(encoded: str) -> tuple[Secret, ...]:
    try:
        user, colon, password = base64.b64decode(encoded, validate=True).decode("ascii").partition(":")
    except ValueError:
        return ()
    return secrets_of_basic(user, password) if colon else ()
