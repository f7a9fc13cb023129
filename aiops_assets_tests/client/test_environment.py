"""Settings of a client, and its key."""

import dataclasses
import logging
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from aiops_assets.client import MLServiceClient
from aiops_assets.client.environment import ClientVariables, read_variables
from aiops_assets.errors import (
    ServiceCircuitOpen,
    ServiceRefused,
    SettingsError,
)
from aiops_assets.settings import Settings, load_settings
from aiops_assets_tests.client.fake_service import CPU, Clock, Service, fails
from aiops_assets_tests.raising import raises
from aiops_assets_tests.snapshot import assert_snapshot

NUMBERS = (
    *("", "0", "1", "3", "1000", "1001", "-1", "+5", "007", "3.0", "3.00", "3.", "3.5", ".5", "0.01", "0.009", "1e3"),
    *("1e400", "nan", "inf", "-inf", "True", "null", "1,5", "1_0", "1__0", "_1", " 12 ", "12\n", "1 0", "0x10", "-0"),
    *("3600", "3600.1", "86400", "86400.5", "٣٤", "३४", "9" * 400, "9" * 5000),
)
TIMES = (
    *("30s", " 30s ", "30 s", "1m30s", "250ms", "1us", "1ns", "9ms", "10ms", "1h", "1h1s", "1d", "1d1s", "0s", "-5s"),
    *("s", "d", "soon", "seconds", "infs", "30S", "1w", "1.5h", "1e3s", "٣٤s", "4000d"),
)
URLS = (
    *("http://host", "https://host:8080/prefix/", "http://host//", " http://host", "http://host ", "HTTP://HOST"),
    *("host:8080", "http://", "http://:80", "http://[::1", "http://[::1]:80/", "ftp://host", "//host", "/a/file", "?"),
    *("http://me:secret@host", "http://host?key=secret", "http://host#secret", "me@host", "http://host:99999", "~/key"),
)


def test_the_key_is_read_at_each_request_and_never_shown(
    service: Service, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "key"
    file.write_text("first-secret\n")
    with caplog.at_level(logging.DEBUG), MLServiceClient(service.url, token_file=file) as client:
        client.detect(CPU)
        file.write_text("second-secret")
        client.detect(CPU)
        service.answers(401, {"error": "unknown: second-secret"})
        with raises(ServiceRefused, "refused", words="unknown: [token]") as refused:
            client.detect(CPU)
        service.answers(500, b"Authorization: Bearer second-secret")
        assert client.detect(CPU).cached is True
        file.write_text("third secret\n\n of two lines")
        with pytest.raises(SettingsError, match="ML_SERVICE_TOKEN_FILE") as unusable:
            client.detect(CPU)
        shown = caplog.text + repr(client) + str(refused.value) + str(unusable.value)
    assert [headers["Authorization"] for *_, headers in service.asked[:2]] == [
        "Bearer first-secret",
        "Bearer second-secret",
    ]
    assert "secret" not in shown
    assert [record.levelname for record in caplog.records if record.name == "aiops.client"] == ["WARNING"]


def test_the_environment_decides(service: Service, tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("abc")
    environment = {
        "ML_SERVICE_URL": service.url + "/",
        "ML_SERVICE_TIMEOUT": "2s",
        "ML_CIRCUIT_BREAKER_THRESHOLD": "1",
        "ML_CIRCUIT_BREAKER_TIMEOUT": "1m",
        "ML_SERVICE_TOKEN_FILE": str(key),
    }
    clock = Clock()
    registry = CollectorRegistry()
    with MLServiceClient.from_environment(environment, clock=clock, registry=registry) as client:
        assert client.registry is registry
        service.answers(500, {})
        fails(client, 1)
        clock.now += 59
        with pytest.raises(ServiceCircuitOpen):
            client.detect(CPU)
        clock.now += 2
        service.answers(200, {})
        assert client.detect(CPU).cached is False
    assert service.asked[0][1] == "/api/v1/anomaly/detect"
    assert service.asked[0][3]["Authorization"] == "Bearer abc"


def outcome(read: Callable[[dict[str, str]], object], environment: dict[str, str]) -> tuple[object, ...] | str:
    """The five values that somebody reads, or how they are refused."""
    try:
        table = read(environment)
    except SettingsError as error:
        return str(error)
    return tuple(getattr(table, field.name) for field in dataclasses.fields(ClientVariables))


@pytest.mark.parametrize("name", [field.name.upper() for field in dataclasses.fields(ClientVariables)])
def test_the_client_and_the_settings_table_read_the_same(name: str) -> None:
    outcomes = []
    for value in (*NUMBERS, *TIMES, *URLS):
        ours, theirs = outcome(read_variables, {name: value}), outcome(load_settings, {name: value})
        assert ours == theirs, value
        outcomes.append(ours)
    assert any(isinstance(one, tuple) for one in outcomes)
    assert name == "ML_SERVICE_TOKEN_FILE" or any(isinstance(one, str) for one in outcomes)


def test_the_client_reads_every_variable_of_its_own_in_the_table_and_no_other() -> None:
    ours = [field.name for field in dataclasses.fields(ClientVariables)]
    assert ours == [name for name in Settings.model_fields if name.startswith("ml_")]
    wrong = {name.upper(): "-" for name in Settings.model_fields if name not in ours}
    assert read_variables(wrong) == ClientVariables()


def test_all_wrong_values_are_named_at_once() -> None:
    environment = {
        "ML_CIRCUIT_BREAKER_TIMEOUT": "never",
        "ML_CIRCUIT_BREAKER_THRESHOLD": "0",
        "ML_SERVICE_TIMEOUT": "0",
        "ML_SERVICE_URL": "host",
    }
    with raises(SettingsError, "not_allowed", variables=[*environment][::-1]):
        read_variables(environment)
    assert outcome(read_variables, environment) == outcome(load_settings, environment)
    assert [str(outcome(read_variables, environment)).count(name) for name in environment] == [1] * 4


def test_a_client_is_made_from_the_projects_settings_too(service: Service) -> None:
    with MLServiceClient.from_settings(load_settings({"ML_SERVICE_URL": service.url})) as client:
        assert client.detect(CPU).cached is False


@pytest.mark.parametrize(
    ("text", "seconds"), [("30s", 30.0), ("1m30s", 90.0), ("250ms", 0.25), ("12", 12.0), ("1.5", 1.5)]
)
def test_times_are_go_durations_or_seconds(text: str, seconds: float) -> None:
    settings = read_variables({"ML_SERVICE_TIMEOUT": text, "ML_CIRCUIT_BREAKER_TIMEOUT": text})
    assert (settings.ml_service_timeout, settings.ml_circuit_breaker_timeout) == (seconds, seconds)


WRONG_TIMES = ("s", "soon", "4000", "0s")


@pytest.mark.parametrize("text", WRONG_TIMES)
def test_a_wrong_time_is_named(text: str) -> None:
    with raises(SettingsError, "not_allowed", variables=["ML_SERVICE_TIMEOUT"]) as caught:
        read_variables({"ML_SERVICE_TIMEOUT": text})
    assert str(caught.value).startswith(f"ML_SERVICE_TIMEOUT={text}: ")


def test_what_is_allowed_is_said() -> None:
    environments: list[dict[str, str]] = [{"ML_SERVICE_TIMEOUT": text} for text in WRONG_TIMES]
    environments += [{}, {"ML_SERVICE_URL": "http://me:secret@host"}, {"ML_SERVICE_URL": "host"}]
    environments.append({"ML_CIRCUIT_BREAKER_THRESHOLD": "0", "ML_CIRCUIT_BREAKER_TIMEOUT": "never"})
    said = []
    for environment in environments:
        with pytest.raises(SettingsError) as caught:
            MLServiceClient.from_environment(environment)
        said.append(str(caught.value))
    for url in ("http://me:secret@host", "host:8080"):
        with pytest.raises(SettingsError) as caught:
            MLServiceClient(url)
        said.append(str(caught.value))
    assert_snapshot("client_settings", "".join(f"{line}\n" for line in said))


def test_without_variables_the_documents_defaults_hold() -> None:
    settings = read_variables({})
    assert (settings.ml_service_url, settings.ml_service_token_file) == (None, None)
    assert (settings.ml_service_timeout, settings.ml_circuit_breaker_timeout) == (30.0, 30.0)
    assert settings.ml_circuit_breaker_threshold == 3


def test_there_is_no_default_host_and_no_password_in_one() -> None:
    with raises(SettingsError, "no_url"):
        MLServiceClient.from_environment({})
    with raises(SettingsError, "not_allowed", variables=["ML_SERVICE_URL"]) as error:
        MLServiceClient.from_environment({"ML_SERVICE_URL": "http://me:secret@host"})
    assert "secret" not in str(error.value)
    for url in ("http://me:secret@host", "http://host?key=secret", "host:8080", "http://[::1"):
        with raises(SettingsError, "bad_url") as error:
            MLServiceClient(url)
        assert "secret" not in str(error.value)
