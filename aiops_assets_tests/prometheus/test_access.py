"""What a request carries, where that comes from, and that nobody sees the secrets among it."""

import base64
import json
import logging
import os
import socket
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from aiops_assets.errors import AiopsError, PrometheusAccessError, PrometheusError, PrometheusUnreachable
from aiops_assets.http_client import MAX_SECRET_BYTES
from aiops_assets.prometheus.access import Access, read_headers
from aiops_assets.prometheus.client import PrometheusClient
from aiops_assets.prometheus.transport import RequestsTransport
from aiops_assets_tests.prometheus.answering import AT_ONCE, NOON
from aiops_assets_tests.prometheus.test_deadline import listening, request_of
from aiops_assets_tests.prometheus.test_transport import loopback, send
from aiops_assets_tests.raising import raises

PASSWORD = "pa:ss/word+1"
BASIC = base64.b64encode(f"me:{PASSWORD}".encode()).decode()


@contextmanager
def recorded() -> Iterator[tuple[str, list[tuple[str, Mapping[str, str]]]]]:
    """A server's URL, and the path and headers of each request to it, with names in lower case."""
    seen: list[tuple[str, Mapping[str, str]]] = []

    def reply(handler: BaseHTTPRequestHandler) -> None:
        seen.append((handler.path, {name.lower(): value for name, value in handler.headers.items()}))
        send(handler, 200, b"{}")

    with loopback(reply) as url:
        yield url, seen


def written(folder: Path, **files: str) -> dict[str, Any]:
    """Name -> path of a file of that name and content."""
    for name, content in files.items():
        (folder / name).write_text(content)
    return {name: folder / name for name in files}


def test_a_request_carries_what_its_files_hold_now(tmp_path: Path) -> None:
    files = written(tmp_path, password_file=f"{PASSWORD}\n", headers_file="# ours\n\nX-Cluster: a:b \r\nx-more:1\n")
    access = Access(user="me", tenant="team-a|team-b", namespace="demo", **files)
    with recorded() as (url, seen), RequestsTransport(url, access=access) as transport:
        transport.get("/api/v1/query", {"query": "up"})
        files["headers_file"].write_text("X-Cluster: other")
        files["password_file"].write_text("another one")
        transport.get("/api/v1/query", {"query": "up"})
    (path, first), (_, second) = seen
    assert path == "/api/v1/query?query=up&namespace=demo"
    wanted = {"authorization": f"Basic {BASIC}", "x-scope-orgid": "team-a|team-b", "x-cluster": "a:b", "x-more": "1"}
    assert wanted.items() <= first.items()
    assert second["x-cluster"] == "other"
    assert base64.b64decode(second["authorization"].removeprefix("Basic ")) == b"me:another one"
    assert "x-more" not in second


@pytest.mark.parametrize(
    ("files", "sent"),
    [
        ({}, ()),
        ({"headers_file": "X-Cluster: a"}, ()),
        ({"headers_file": "X-Cluster: a\nX-Api-Key: very-secret"}, ("PROMETHEUS_HEADERS_FILE",)),
        ({"token_file": "very-secret", "headers_file": "X-Cluster: a"}, ("PROMETHEUS_TOKEN_FILE",)),
        ({"password_file": "very-secret"}, ("PROMETHEUS_PASSWORD_FILE",)),
    ],
)
def test_settings_of_the_credential_that_is_sent_are_known(
    tmp_path: Path, files: dict[str, str], sent: tuple[str, ...]
) -> None:
    paths = written(tmp_path, **files)
    credentials = Access(
        user="me", tenant="team-a", proxy_password_file=paths.get("password_file"), **paths
    ).credentials()
    named = dict(one.split("=", 1) for one in credentials.sent)
    assert tuple(named) == sent
    assert set(named.values()) <= {str(path) for path in paths.values()}
    assert bool(credentials.sent_to_proxy) == ("password_file" in files)


@pytest.mark.parametrize(
    ("settings", "header"),
    [
        ({"tenant": "team-b", "headers_file": "x-scope-orgid: team-a"}, "X-Scope-OrgID"),
        ({"token_file": "very-secret", "headers_file": "authorization: Bearer other-secret"}, "Authorization"),
        ({"user": "me", "password_file": "secret", "headers_file": "Authorization: Bearer a"}, "Authorization"),
        ({"user": "me", "password_file": "secret", "token_file": "very-secret"}, "Authorization"),
    ],
)
def test_a_header_that_two_settings_set_is_an_error(tmp_path: Path, settings: dict[str, str], header: str) -> None:
    plain: dict[str, Any] = {name: settings.pop(name) for name in ("tenant", "user") if name in settings}
    with raises(PrometheusAccessError, "header_set_twice", header=header) as caught:
        Access(**plain, **written(tmp_path, **settings)).credentials()
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "# nothing\n",
        "X-Name",
        "X-Name:",
        "X-Name: \n",
        ": very-secret",
        "X Name: very-secret",
        "X-Name: very\tsecret",
        "X-Name: very-secret\x00",
        "X-Name: very-secret\rX-Other: a",
        "X-Name: very-sécret",
        'X-Name: "very-secret"',
        "X-Name: 'very-secret'",
        "X-Name: very-secret\nx-name: b",
        "Host: very-secret",
        "connection: close",
        "Transfer-Encoding: chunked",
        "Content-Length: 3",
        "Accept-Encoding: br",
        "Proxy-Authorization: Basic very-secret",
        "X-Name: " + "very-secret" * 1000,
        "".join(f"X-{i}: a\n" for i in range(51)),
        "{X-Name: very-secret}",
        "- X-Name: very-secret",
        "X-Name: a\n" + "#" * MAX_SECRET_BYTES,
    ],
)
def test_headers_that_cannot_be_sent_are_refused_unshown(tmp_path: Path, content: str) -> None:
    path = tmp_path / "headers"
    path.write_text(content, newline="")
    with raises(PrometheusAccessError, "unusable_file", setting="PROMETHEUS_HEADERS_FILE") as caught:
        read_headers(path)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", ["", "\n", "a\nb", "pass\x00word", "pässword"])
def test_a_password_that_cannot_be_sent_is_refused_unshown(tmp_path: Path, content: str) -> None:
    access = Access(user="me", **written(tmp_path, password_file=content))
    with raises(PrometheusAccessError, "unusable_file", setting="PROMETHEUS_PASSWORD_FILE"):
        access.credentials()


@pytest.mark.parametrize("setting", ["token_file", "password_file", "headers_file", "proxy_password_file"])
def test_a_file_that_is_none_or_never_ends_is_refused_at_once(tmp_path: Path, setting: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path, code in (
        (tmp_path / "absent", "no_file"),
        (tmp_path, "unusable_file"),
        (tmp_path / "pipe", "unusable_file"),
    ):
        access = Access(**{setting: path})  # type: ignore[arg-type]
        with raises(PrometheusAccessError, code, setting=f"PROMETHEUS_{setting.upper()}", path=str(path)):
            access.credentials()


def test_a_certificate_that_is_not_there_names_its_setting(tmp_path: Path) -> None:
    with (
        RequestsTransport("https://127.0.0.1:1", access=Access(cert_file=tmp_path / "absent")) as transport,
        raises(PrometheusAccessError, "no_file", setting="PROMETHEUS_CERT_FILE"),
    ):
        transport.get("/", {})


# What comes back

SECRETS: dict[str, tuple[Callable[[Path], Access], str]] = {
    "token": (lambda folder: Access(**written(folder, token_file="very-secret")), "very-secret"),
    "long token": (lambda folder: Access(**written(folder, token_file="very-secret/" * 80)), "very-secret/" * 80),
    "password": (lambda folder: Access(user="me", **written(folder, password_file="very-secret")), "very-secret"),
    "encoded": (lambda folder: Access(user="me", **written(folder, password_file=PASSWORD)), BASIC.rstrip("=")),
    "header": (lambda folder: Access(**written(folder, headers_file="X-Api-Key: very-secret")), "very-secret"),
    "cookie": (lambda folder: Access(**written(folder, headers_file="Cookie: a=b; s=very-secret")), "very-secret"),
    "basic header": (
        lambda folder: Access(**written(folder, headers_file=f"Authorization: Basic {BASIC}")),
        PASSWORD,
    ),
    "plain header": (lambda folder: Access(**written(folder, headers_file="X-Way: very-secret")), "very-secret"),
    "proxy": (
        lambda folder: Access(proxy_user="me", **written(folder, proxy_password_file="very-secret")),
        "very-secret",
    ),
}
RESULT = {"resultType": "vector", "result": [{"metric": {"pod": "a"}, "value": [1, "1"]}]}
ANSWERS: dict[str, Callable[[str], tuple[int, object, dict[str, str]]]] = {
    "error, 200": lambda said: (200, {"status": "error", "errorType": said, "error": f"for {said}"}, {}),
    "error, 400": lambda said: (400, {"status": "error", "errorType": "bad_data", "error": said}, {}),
    "error, 422": lambda said: (422, {"status": "error", "errorType": said, "error": "no"}, {}),
    "error, 503": lambda said: (503, {"status": "error", "errorType": "unavailable", "error": said}, {}),
    "warnings": lambda said: (200, {"status": "success", "data": RESULT, "warnings": [said]}, {}),
    "infos": lambda said: (200, {"status": "success", "data": RESULT, "warnings": [f"PromQL info: {said}"]}, {}),
    "type": lambda said: (200, {"status": "success", "data": {"resultType": said, "result": []}}, {}),
    "item": lambda said: (200, {"status": "success", "data": {"resultType": "vector", "result": [said]}}, {}),
    "value": lambda said: (
        200,
        {"status": "success", "data": {"resultType": "vector", "result": [{"metric": {}, "value": [1, said]}]}},
        {},
    ),
    "unauthorized": lambda said: (401, f"no: {said}", {}),
    "redirect": lambda said: (302, said, {"Location": f"/login?for={said}"}),
    "gateway": lambda said: (502, f"<html>{said}</html>", {"Retry-After": said}),
    "page": lambda said: (200, f"<html>{said}</html>", {}),
    "encoding": lambda said: (200, "", {"Content-Encoding": said}),
    "text": lambda said: (404, said, {"X-Echo": said}),
}


@pytest.mark.parametrize("kind", SECRETS)
def test_a_secret_that_comes_back_is_in_no_error_log_or_answer(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    make, secret = SECRETS[kind]
    status, body, headers = 0, b"", {"X": "y"}

    def reply(handler: BaseHTTPRequestHandler) -> None:
        send(handler, status, body, **{name.replace("-", "_"): value for name, value in headers.items()})

    with caplog.at_level(logging.DEBUG), loopback(reply) as url, RequestsTransport(url, access=make(tmp_path)) as asked:
        for name, answer in ANSWERS.items():
            status, said, headers = answer(f"Bearer {secret}")
            text = said if isinstance(said, str) else json.dumps(said).replace("/", "\\/").replace("very", "v\\u0065ry")
            body = text.encode()
            shown = []
            try:
                shown.append(repr(asked.get("/", {}).headers))
                shown.append(repr(PrometheusClient(asked, retry=AT_ONCE).query("up", NOON)))
            except PrometheusError as error:
                shown += [*traceback.format_exception(error), repr(error.facts)]
            assert secret not in "".join([*shown, caplog.text]), name


def test_a_secret_in_what_is_no_http_is_masked_too(tmp_path: Path) -> None:
    access = Access(**written(tmp_path, token_file="very-secret"))

    def talk(client: socket.socket, over: threading.Event) -> None:
        request_of(client)
        client.sendall(b"NOTHTTP for Bearer very-secret\r\n\r\n")

    with (
        listening(talk) as host,
        RequestsTransport(f"http://{host}", access=access) as transport,
        raises(PrometheusUnreachable, "no_answer") as caught,
    ):
        transport.get("/", {})
    assert "NOTHTTP for Bearer [token]" in caught.value.facts["reason"]
    # Dagster stores the causes of an error with it.
    assert "very-secret" not in "".join(traceback.format_exception(caught.value))
    assert caught.value.__context__ is None


def test_nothing_shows_what_a_request_carries(tmp_path: Path) -> None:
    access = Access(user="me", **written(tmp_path, password_file="very-secret", headers_file="X-Api-Key: other-secret"))
    shown = f"{access!r} {access.credentials()!r} {RequestsTransport('http://host', access=access)!r}"
    assert "secret" not in shown.replace("secrets=Secrets", "")


# Proxies


def test_a_proxy_is_asked_in_place_of_the_server_and_gets_its_own_password(tmp_path: Path) -> None:
    files = written(tmp_path, token_file="for-the-server", proxy_password_file="for-the-proxy")
    with recorded() as (url, seen):
        access = Access(proxy=url, proxy_user="me", **files)
        with RequestsTransport("http://prometheus.invalid:9090/prom", access=access) as transport:
            transport.get("/api", {})
            files["proxy_password_file"].write_text("another")
            transport.get("/api", {})
    assert [path for path, _ in seen] == ["http://prometheus.invalid:9090/prom/api"] * 2
    sent = [base64.b64decode(headers["proxy-authorization"].removeprefix("Basic ")) for _, headers in seen]
    assert sent == [b"me:for-the-proxy", b"me:another"]
    assert {headers["authorization"] for _, headers in seen} == {"Bearer for-the-server"}


@pytest.mark.parametrize(
    ("status", "kind", "code"),
    [(407, PrometheusAccessError, "proxy_refused"), (502, PrometheusUnreachable, "no_answer")],
)
def test_a_proxy_that_makes_no_tunnel_says_why(tmp_path: Path, status: int, kind: type[AiopsError], code: str) -> None:
    heads: list[bytes] = []

    def talk(client: socket.socket, over: threading.Event) -> None:
        heads.append(request_of(client))
        client.sendall(b"HTTP/1.1 %d for-the-proxy is wrong\r\n\r\n" % status)

    files = written(tmp_path, token_file="for-the-server", proxy_password_file="for-the-proxy")
    with listening(talk) as host:
        access = Access(proxy=f"http://{host}", proxy_user="me", **files)
        with RequestsTransport("https://prometheus.invalid", access=access) as transport, raises(kind, code) as caught:
            transport.get("/", {})
    assert "[password] is wrong" in caught.value.facts["reason"]
    assert heads[0].startswith(b"CONNECT prometheus.invalid:443 ")
    assert b"for-the-server" not in heads[0]
