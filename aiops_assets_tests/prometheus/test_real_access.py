"""A real Prometheus that requires a password, a client certificate, or both."""

import json
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from aiops_assets.errors import PrometheusAccessError, PrometheusError, PrometheusUnreachable
from aiops_assets.prometheus.access import Access
from aiops_assets.prometheus.client import PrometheusClient
from aiops_assets.prometheus.transport import RequestsTransport
from aiops_assets_tests.ports import free_port
from aiops_assets_tests.prometheus.answering import AT_ONCE
from aiops_assets_tests.prometheus.test_deadline import listening, request_of
from aiops_assets_tests.raising import raises

pytestmark = [pytest.mark.needs("prometheus"), pytest.mark.needs("openssl")]

PASSWORD = "test-password-1"
HASH = "$2b$04$6mQ82jZfwZB/YpxEThjIgeHvywMkUTNehkXI2zaTGdbodchyTpQ7y"
"""By bcrypt, with the least work."""
READY_SECONDS = 60.0


def certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """A certificate that signed itself, for 127.0.0.1, and its key."""
    cert, key = folder / f"{name}.crt", folder / f"{name}.key"
    subject = ["-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2"]
    kind = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    command = ["openssl", "req", *kind, *subject, "-keyout", str(key), "-out", str(cert)]
    subprocess.run(command, check=True, capture_output=True)
    return cert, key


@contextmanager
def guarded(folder: Path, web: object, access: Access, scheme: str) -> Iterator[str]:
    """The URL of a server that is ready, with a web configuration."""
    (folder / "web.yml").write_text(json.dumps(web))
    (folder / "prometheus.yml").write_text("global: {scrape_interval: 1m}\n")
    host = f"127.0.0.1:{free_port()}"
    command = [
        "prometheus",
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.config.file={folder / 'web.yml'}",
        f"--web.listen-address={host}",
    ]
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen(command, stdout=log, stderr=log) as server,
        RequestsTransport(f"{scheme}://{host}", access=access) as transport,
    ):
        try:
            ends = time.monotonic() + READY_SECONDS
            while not is_ready(transport):
                assert server.poll() is None, (folder / "log").read_text()
                assert time.monotonic() < ends, (folder / "log").read_text()
                time.sleep(0.05)
            yield f"{scheme}://{host}"
        finally:
            server.terminate()


def is_ready(transport: RequestsTransport) -> bool:
    try:
        return transport.get("/-/ready", {}).status == 200
    except PrometheusUnreachable:
        return False


def probe(url: str, access: Access) -> None:
    with RequestsTransport(url, access=access) as transport:
        PrometheusClient(transport, retry=AT_ONCE).probe()


def locked(key: Path) -> Path:
    """The same key with a password, which nobody must be asked for."""
    path = key.with_suffix(".locked")
    command = ["openssl", "pkcs8", "-topk8", "-in", str(key), "-out", str(path), "-passout", "pass:secret"]
    subprocess.run(command, check=True, capture_output=True)
    return path


@contextmanager
def tls_proxy(cert: Path, key: Path) -> Iterator[str]:
    """The URL of a proxy that is itself spoken to by TLS, and makes tunnels."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)

    def pipe(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while piece := source.recv(1 << 16):
                sink.sendall(piece)
            sink.shutdown(socket.SHUT_WR)

    def talk(client: socket.socket, over: threading.Event) -> None:
        with context.wrap_socket(client, server_side=True) as tunnel:
            host, _, port = request_of(tunnel).split()[1].decode().rpartition(":")
            with socket.create_connection((host, int(port)), timeout=20) as server:
                tunnel.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                back = threading.Thread(target=pipe, args=(server, tunnel))
                back.start()
                pipe(tunnel, server)
                back.join(20)

    with listening(talk) as host:
        yield f"https://{host}"


def test_the_certificate_of_a_proxy_is_checked_also_for_a_server_without_tls(tmp_path: Path) -> None:
    cert, key = certificate(tmp_path, "proxy")
    with tls_proxy(cert, key) as proxy, raises(PrometheusAccessError, "tls_failed"):
        probe("http://prometheus.invalid", Access(proxy=proxy))


def test_a_password_and_a_client_certificate_open_the_server_and_nothing_less_does(tmp_path: Path) -> None:
    server_cert, server_key = certificate(tmp_path, "server")
    cert, key = certificate(tmp_path, "client")
    password = tmp_path / "password"
    password.write_text(f"{PASSWORD}\n")
    web = {
        "basic_auth_users": {"me": HASH},
        "tls_server_config": {
            "cert_file": str(server_cert),
            "key_file": str(server_key),
            "client_auth_type": "RequireAndVerifyClientCert",
            "client_ca_file": str(cert),
        },
    }
    whole = Access(user="me", password_file=password, ca_file=server_cert, cert_file=cert, key_file=key)
    with guarded(tmp_path, web, whole, "https") as url:
        probe(url, whole)
        both = tmp_path / "both.pem"
        both.write_bytes(cert.read_bytes() + key.read_bytes())
        probe(url, Access(user="me", password_file=password, ca_file=server_cert, cert_file=both))
        # Without a certificate the handshake ends, or what follows it, as the kernel likes.
        with pytest.raises(PrometheusError, check=lambda error: error.code in ("tls_failed", "no_answer")):
            probe(url, Access(user="me", password_file=password, ca_file=server_cert))
        with raises(PrometheusAccessError, "tls_failed"):
            probe(url, Access(user="me", password_file=password, cert_file=cert, key_file=key))
        with pytest.raises(PrometheusAccessError, check=lambda error: error.facts["status"] == 401):
            probe(url, Access(ca_file=server_cert, cert_file=cert, key_file=key))
        with tls_proxy(server_cert, server_key) as proxy:
            probe(url, replace(whole, proxy=proxy))
        for wrong in (locked(key), password):
            with raises(PrometheusAccessError, "tls_failed"):
                probe(url, replace(whole, key_file=wrong))
        password.write_text("another")
        with pytest.raises(PrometheusAccessError, check=lambda error: error.facts["status"] == 401):
            probe(url, whole)
