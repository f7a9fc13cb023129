from pathlib import Path

import pandas as pd
import pytest
import yaml

from aiops_assets.errors import SettingsError
from aiops_assets.settings import PROJECT_ROOT, Settings, allowed, load_settings, origin, shown
from aiops_assets.timeseries.catalog import METRICS
from aiops_assets.timeseries.matchers import with_matchers
from aiops_assets_tests.raising import raises
from aiops_assets_tests.snapshot import assert_snapshot


def test_defaults_are_the_documented_ones() -> None:
    settings = load_settings({})
    assert settings.aiops_home == PROJECT_ROOT / ".aiops"
    assert settings.model_root == str(PROJECT_ROOT / ".aiops" / "models")
    assert settings.mlflow_tracking_uri == f"sqlite:///{PROJECT_ROOT}/.aiops/mlflow/mlflow.db"
    assert (settings.aiops_env, settings.data_source, settings.prometheus_url) == ("dev", "synthetic", None)
    assert (settings.anomaly_rate, settings.n_samples, settings.random_seed) == (0.03, 2000, 42)
    assert (settings.forecast_horizon, settings.lookback_window, settings.training_pods) == (12, 24, 50)
    assert settings.training_days is None
    assert settings.end == pd.Timestamp.now("UTC").normalize()


@pytest.mark.parametrize(
    ("environment", "source", "fallback"),
    [
        ("dev", "synthetic", ("cached", "synthetic")),
        ("ci", "synthetic", ("cached", "synthetic")),
        ("staging", "hybrid", ("cached", "synthetic")),
        ("production", "prometheus", ("cached",)),
    ],
)
def test_the_environment_decides_defaults_and_a_variable_beats_it(
    environment: str, source: str, fallback: tuple[str, ...]
) -> None:
    settings = load_settings({"AIOPS_ENV": environment})
    assert (settings.data_source, settings.fallback) == (source, fallback)
    explicit = load_settings({"AIOPS_ENV": environment, "DATA_SOURCE": "synthetic", "FALLBACK": "fail"})
    assert (explicit.data_source, explicit.fallback) == ("synthetic", ("fail",))
    assert origin("data_source", {"DATA_SOURCE": "synthetic"}) == "set"
    assert origin("data_source", {}) == "AIOPS_ENV"
    assert origin("n_samples", {}) == "default"


WRONG = [
    ("ANOMALY_RATE", "-1"),
    ("ANOMALY_RATE", ".9"),
    ("ANOMALY_RATE", "nan"),
    ("DATA_SOURCE", "thanos"),
    ("AIOPS_ENV", "prod"),
    ("FALLBACK", "cached,never"),
    ("FALLBACK", "cached,fail"),
    ("N_SAMPLES", "0"),
    ("N_SAMPLES", "many"),
    ("TRAINING_DAYS", "1"),
    ("SYNTHETIC_END", "tomorrow"),
    ("SYNTHETIC_RATIO", "0.9"),
    ("MIN_COVERAGE", "2"),
    ("RETRAIN_AFTER_DAYS", "0"),
    ("PROMETHEUS_COMPRESSION", "br"),
    ("PROMETHEUS_MATCHER", "prod-1"),
    ("PROMETHEUS_MATCHER", 'cluster="$cluster"'),
    ("PROMETHEUS_SCRAPE_INTERVAL", "0"),
    ("PROMETHEUS_SCRAPE_INTERVAL", "1.5s"),
    ("PROMETHEUS_URL", "prometheus:9090"),
    ("PROMETHEUS_URL", "http://[::1"),
    ("THANOS_URL", "http://me:secret@host"),
    ("CLUSTER", "//["),
    ("CLUSTER", "../etc"),
    ("PROMETHEUS_NAMESPACE", "a,b"),
    ("PROMETHEUS_TENANT", "team a"),
    ("PROMETHEUS_USER", "me:too"),
    ("PROMETHEUS_PROXY", "socks5://proxy:1080"),
    ("PROMETHEUS_PROXY", "http://me:secret@proxy:3128"),
    ("PROMETHEUS_PROXY", "http://proxy:3128/path"),
    ("AIOPS_HOME", "s3://bucket/aiops"),
    ("AIOPS_HOME", "gs:/bucket/aiops"),
    ("AIOPS_HOME", " az://me:secret@account/container"),
    ("AIOPS_HOME", "file:///var/lib/aiops"),
]


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_a_wrong_value_names_itself_and_what_is_allowed(name: str, value: str) -> None:
    with raises(SettingsError, "wrong_values", names=(name,)) as error:
        load_settings({name: value})
    assert name in str(error.value)
    assert "\n" not in str(error.value)
    assert "secret" not in str(error.value)


CONTRADICTIONS: list[dict[str, str]] = [
    {"PROMETHEUS_USER": "me"},
    {"PROMETHEUS_PASSWORD_FILE": "password"},
    {"PROMETHEUS_TOKEN_FILE": "token", "PROMETHEUS_USER": "me", "PROMETHEUS_PASSWORD_FILE": "password"},
    {"PROMETHEUS_KEY_FILE": "key"},
    {"PROMETHEUS_PROXY_USER": "me", "PROMETHEUS_PROXY_PASSWORD_FILE": "password"},
    {"PROMETHEUS_PROXY": "http://proxy:3128", "PROMETHEUS_PROXY_USER": "me"},
    {"PROMETHEUS_CERT_FILE": "cert", "PROMETHEUS_URL": "http://host:9090"},
]


@pytest.mark.parametrize("given", CONTRADICTIONS, ids=" ".join)
def test_settings_that_contradict_each_other_are_named(given: dict[str, str]) -> None:
    with pytest.raises(SettingsError) as error:
        load_settings(given)
    assert error.value.code == "contradiction"
    assert set(error.value.facts["names"]) & set(given)
    assert all(name in str(error.value) for name in error.value.facts["names"])


def test_access_may_be_all_of_it() -> None:
    settings = load_settings(
        {
            "PROMETHEUS_URL": "http://host:9090",
            "THANOS_URL": "https://other:9090",
            "PROMETHEUS_USER": "me",
            "PROMETHEUS_PASSWORD_FILE": "password",
            "PROMETHEUS_HEADERS_FILE": "headers",
            "PROMETHEUS_TENANT": "team-a|team-b",
            "PROMETHEUS_NAMESPACE": "demo",
            "PROMETHEUS_CERT_FILE": "cert",
            "PROMETHEUS_KEY_FILE": "key",
            "PROMETHEUS_PROXY": "https://proxy:3128/",
            "PROMETHEUS_PROXY_USER": "me too",
            "PROMETHEUS_PROXY_PASSWORD_FILE": "password",
        }
    )
    assert settings.prometheus_proxy == "https://proxy:3128"
    assert (settings.prometheus_tenant, settings.prometheus_proxy_user) == ("team-a|team-b", "me too")


def test_a_home_may_have_any_local_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("s3", "a:b", "s3:bucket", "./s3:/bucket", str(tmp_path / "s3:" / "b")):
        assert load_settings({"AIOPS_HOME": name}).aiops_home.is_relative_to(tmp_path)


def test_all_wrong_values_are_named_at_once() -> None:
    with raises(SettingsError, "wrong_values", names=("N_SAMPLES", "CLUSTER")):
        load_settings({"N_SAMPLES": "0", "CLUSTER": "//["})


def test_the_wordings_are_those_that_were_agreed() -> None:
    messages = []
    for name, value in WRONG:
        with pytest.raises(SettingsError) as error:
            load_settings({name: value})
        messages.append(f"{error.value}\n")
    for given in CONTRADICTIONS:
        with pytest.raises(SettingsError) as error:
            load_settings(given)
        messages.append(f"{error.value}\n")
    assert_snapshot("wrong_settings", "".join(messages))


def test_passwords_are_refused_or_hidden() -> None:
    with raises(SettingsError, "wrong_values", names=("PROMETHEUS_URL",)) as error:
        load_settings({"PROMETHEUS_URL": "https://me:secret@host"})
    assert "PROMETHEUS_TOKEN_FILE" in str(error.value)
    assert "secret" not in str(error.value)
    for url in ("http://secret@h", "http://me:p/secret@h", "http://h/?token=secret", "http://h#secret@x"):
        with raises(SettingsError, "wrong_values", names=("THANOS_URL",)) as error:
            load_settings({"THANOS_URL": url})
        assert "secret" not in str(error.value)
    assert shown("postgresql://me:secret@host/db") == "postgresql://***@host/db"


def test_the_table_is_frozen_and_each_entry_explained(tmp_path: Path) -> None:
    settings = load_settings({"AIOPS_HOME": str(tmp_path)})
    with pytest.raises(ValueError, match="frozen"):
        settings.random_seed = 1  # type: ignore[misc]
    assert all(field.description for field in Settings.model_fields.values())
    assert allowed("training_days") == "2 to 365"
    assert settings.model_root == str(tmp_path / "models")


def test_an_empty_variable_is_not_set() -> None:
    assert load_settings({"N_SAMPLES": "", "PROMETHEUS_URL": ""}) == load_settings({})


def test_a_matcher_and_a_scrape_interval_reach_every_metric(tmp_path: Path) -> None:
    mine = {"unit": "count", "description": "mine"}
    entries = [
        {"name": "mine_a", "promql": "sum(rate(a[1m]))", **mine},
        {"name": "mine_b", "promql": "sum(rate(a[2m]))", "scrape_seconds": 60, **mine},
    ]
    file = tmp_path / "metrics.yaml"
    file.write_text(yaml.safe_dump({"metrics": entries}))
    given = {"METRICS_FILE": str(file), "PROMETHEUS_SCRAPE_INTERVAL": "30s"}
    settings = load_settings({**given, "PROMETHEUS_MATCHER": " cluster = 'prod-1' "})
    assert settings.prometheus_matcher == 'cluster="prod-1"'
    assert [metric.scrape_seconds for metric in settings.metrics] == [30] * (len(METRICS) + 1) + [60]
    for metric in settings.metrics:
        for promql in (metric.promql, metric.members.promql):
            assert with_matchers(promql, settings.prometheus_matcher) == promql
    assert settings.queried(METRICS) == settings.metrics[: len(METRICS)]
    assert load_settings({}).metrics == METRICS

    file.write_text(yaml.safe_dump({"metrics": [{"name": "mine_c", "promql": "sum(a) default 0", **mine}]}))
    assert load_settings(given).metrics[-1].promql == "sum(a) default 0"
    with raises(SettingsError, "unmatchable_query"):
        _ = load_settings({**given, "PROMETHEUS_MATCHER": 'cluster="prod-1"'}).metrics
