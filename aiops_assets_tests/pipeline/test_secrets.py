"""A server that sends back what it was sent, and all that a run leaves behind."""

import base64
import json
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from aiops_assets_tests.conftest import make_settings
from aiops_assets_tests.pipeline.graph import materialize
from aiops_assets_tests.prometheus.test_transport import loopback, send

PASSWORD, KEY = "very-secret/1", "other-secret+2"
BASIC = base64.b64encode(f"me:{PASSWORD}".encode()).decode()


@pytest.mark.long
def test_what_a_server_sends_back_of_secrets_is_in_no_database_and_no_log(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "password").write_text(PASSWORD)
    (tmp_path / "headers").write_text(f"X-Api-Key: {KEY}")
    asked: list[str] = []

    def reply(handler: BaseHTTPRequestHandler) -> None:
        asked.append(handler.path)
        said = f"for {handler.headers['Authorization']} of me:{PASSWORD} with {handler.headers['X-Api-Key']}"
        if len(asked) == 1:
            send(handler, 502, said.encode())
            return
        error = {"status": "error", "errorType": "internal", "error": said}
        send(handler, 200, json.dumps(error).replace("/", "\\/").encode())

    with loopback(reply) as url:
        settings = make_settings(
            tmp_path / "home",
            DATA_SOURCE="prometheus",
            PROMETHEUS_URL=url,
            PROMETHEUS_USER="me",
            PROMETHEUS_PASSWORD_FILE=str(tmp_path / "password"),
            PROMETHEUS_HEADERS_FILE=str(tmp_path / "headers"),
        )
        result = materialize(settings, raise_on_error=False, lasting=True, until="training_set")
    assert not result.success
    assert len(asked) > 1
    printed = "".join(capfd.readouterr())
    left = b"".join(path.read_bytes() for path in (tmp_path / "home").rglob("*") if path.is_file())
    for secret in (PASSWORD, KEY, BASIC.rstrip("=")):
        for spelled in (secret, secret.replace("/", "\\/"), secret.replace("/", "\\\\/")):
            assert spelled not in printed
            assert spelled.encode() not in left
    assert b"[password]" in left
    assert b"[X-Api-Key]" in left
