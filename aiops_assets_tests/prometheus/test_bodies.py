"""Bodies of answers: their size, their encoding, and what is broken of them."""

import gzip
import subprocess
import sys
from contextlib import suppress
from http.server import BaseHTTPRequestHandler

import pytest

from aiops_assets.errors import (
    PrometheusAnswerError,
    PrometheusTooMuch,
    PrometheusUnreachable,
)
from aiops_assets.prometheus.transport import Compression, RequestsTransport
from aiops_assets_tests.prometheus.test_transport import loopback, send
from aiops_assets_tests.raising import raises


def test_a_body_longer_than_allowed_is_refused() -> None:
    with (
        loopback(lambda handler: send(handler, 200, b"x" * 1001)) as url,
        RequestsTransport(url, most_body_bytes=1000) as transport,
        raises(PrometheusTooMuch, "too_many_bytes", most=1000),
    ):
        transport.get("/", {})


@pytest.mark.parametrize("compression", ["identity", "gzip"])
def test_a_body_is_decoded_whatever_was_asked_for(compression: Compression) -> None:
    asked: list[str] = []

    def reply(handler: BaseHTTPRequestHandler) -> None:
        asked.append(handler.headers["Accept-Encoding"])
        send(handler, 200, gzip.compress(b"body" * 1000), Content_Encoding="gzip")

    with loopback(reply) as url, RequestsTransport(url, compression=compression, most_body_bytes=4000) as transport:
        assert transport.get("/", {}).body == b"body" * 1000
    assert asked == [compression]


def test_an_empty_body_is_empty_whatever_its_encoding() -> None:
    with (
        loopback(lambda handler: send(handler, 302, b"", Content_Encoding="gzip")) as url,
        RequestsTransport(url) as transport,
    ):
        assert transport.get("/", {}).body == b""


def test_a_small_body_that_becomes_a_large_one_is_refused_before_it_is() -> None:
    bomb = gzip.compress(b"\0" * (256 << 20), compresslevel=1)
    script = """
import resource, sys
from aiops_assets.errors import PrometheusTooMuch
from aiops_assets.prometheus.transport import RequestsTransport
with RequestsTransport(sys.argv[1], compression="gzip", most_body_bytes=1 << 20) as transport:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        transport.get("/", {})
    except PrometheusTooMuch:
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 << 10)
"""

    def reply(handler: BaseHTTPRequestHandler) -> None:
        with suppress(OSError):  # it hangs up, as it should
            send(handler, 200, bomb, Content_Encoding="gzip")

    with loopback(reply) as url:
        done = subprocess.run([sys.executable, "-c", script, url], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("True\n", "")


@pytest.mark.parametrize("damage", ["cut off", "no gzip", "more"])
def test_a_broken_gzip_body_is_no_answer(damage: str) -> None:
    whole = gzip.compress(b"body" * 1000)
    body = {"cut off": whole[:-9], "no gzip": b"body", "more": whole + b"body"}[damage]
    with (
        loopback(lambda handler: send(handler, 200, body, Content_Encoding="gzip")) as url,
        RequestsTransport(url, compression="gzip") as transport,
        raises(PrometheusUnreachable, "no_answer" if damage == "no gzip" else "broken_gzip"),
    ):
        transport.get("/", {})


def test_an_encoding_that_was_not_asked_for_is_refused() -> None:
    with (
        loopback(lambda handler: send(handler, 200, b"body", Content_Encoding="br")) as url,
        RequestsTransport(url) as transport,
        raises(PrometheusAnswerError, "other_encoding", encoding="br"),
    ):
        transport.get("/", {})
