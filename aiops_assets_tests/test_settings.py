from pathlib import Path

import pandas as pd
import pytest

from aiops_assets.errors import SettingsError
from aiops_assets.settings import PROJECT_ROOT, Settings, allowed, load_settings, origin, shown


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


@pytest.mark.parametrize(
    ("name", "value", "hint"),
    [
        ("ANOMALY_RATE", "-1", "0.0 to 0.5"),
        ("ANOMALY_RATE", ".9", "0.0 to 0.5"),
        ("ANOMALY_RATE", "nan", "0.0 to 0.5"),
        ("DATA_SOURCE", "thanos", "one of synthetic, prometheus, hybrid, auto"),
        ("AIOPS_ENV", "prod", "one of dev, ci, staging, production"),
        ("FALLBACK", "cached,never", "one of cached, synthetic, fail"),
        ("N_SAMPLES", "0", "100 to 1000000"),
        ("N_SAMPLES", "many", "100 to 1000000"),
        ("TRAINING_DAYS", "1", "2 to 365"),
        ("SYNTHETIC_END", "tomorrow", "a day, YYYY-MM-DD"),
        ("PROMETHEUS_URL", "prometheus:9090", "http:// or https://"),
        ("PROMETHEUS_URL", "http://[::1", "http"),
        ("CLUSTER", "//[", "lower-case letters"),
        ("CLUSTER", "../etc", "lower-case letters"),
    ],
)
def test_a_wrong_value_names_itself_and_what_is_allowed(name: str, value: str, hint: str) -> None:
    with pytest.raises(SettingsError) as error:
        load_settings({name: value})
    assert name in str(error.value)
    assert hint in str(error.value)
    assert "\n" not in str(error.value)


def test_passwords_are_refused_or_hidden() -> None:
    with pytest.raises(SettingsError, match="PROMETHEUS_TOKEN_FILE") as error:
        load_settings({"PROMETHEUS_URL": "https://me:secret@host"})
    assert "secret" not in str(error.value)
    for url in ("http://secret@h", "http://me:p/secret@h", "http://h/?token=secret", "http://h#secret@x"):
        with pytest.raises(SettingsError, match="without user, password or query") as error:
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
