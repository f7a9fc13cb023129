"""deploy/ sets settings that there are, and production sets all that have no default of use there."""

import re
from pathlib import Path

import pytest

from aiops_assets.errors import SettingsError
from aiops_assets.settings import PROJECT_ROOT, Settings, load_settings
from aiops_assets_tests.deploy.overlays import ENVIRONMENTS, named, render

DEPLOY = PROJECT_ROOT / "deploy"
OURS = {name.upper() for name in Settings.model_fields}
VARIABLE = re.compile(r"(?<![\w-])[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+(?![\w-])")
FOREIGN = re.compile("(AWS|DAGSTER|GIT|MLFLOW|NUMBA|OMP|PG|PIP|POSTGRES|PYTHON|TORCH|TORCHINDUCTOR)_[A-Z0-9_]+")
"""Variables of programs that are not ours."""
NO_SETTINGS = {"CLOUD_PACKAGES", "SCIKIT_LEARN", "DO_NOT_TRACK", "DAC_OVERRIDE", "ON_ERROR_STOP"}
"""Build arguments of the Dockerfile, a variable that many programs look at, a capability, psql's own variable."""

SET_IN_PRODUCTION = {
    "aiops_env",  # dev by default, which falls back to generated rows
    "data_source",  # decided by AIOPS_ENV, and said for readers
    "fallback",  # decided by AIOPS_ENV, and said for readers
    "prometheus_url",  # no default
    "prometheus_token_file",  # the cluster's querier asks for a token
    "prometheus_ca_file",  # the cluster's querier has a certificate of the cluster's own
    "cluster",  # default is no name of a cluster, and the lake's path has it
    "aiops_home",  # a folder beside the code, which is no volume
    "model_root",  # below AIOPS_HOME, which predictors do not mount
    "mlflow_tracking_uri",  # SQLite below AIOPS_HOME, which run pods cannot share
    "ml_service_url",  # no default
}
DEFAULT_IN_PRODUCTION = {
    "models",  # all
    "model_sources",  # DATA_SOURCE for all
    "gpu_models",  # no GPU is asked for
    "prometheus_user",  # a token is enough
    "prometheus_password_file",  # the same
    "prometheus_headers_file",  # the cluster's querier asks for no header
    "prometheus_tenant",  # it knows no tenants by name
    "prometheus_namespace",  # its other port shows everything
    "prometheus_cert_file",  # a token is enough
    "prometheus_key_file",  # the same
    "prometheus_proxy",  # a neighbour inside the cluster
    "prometheus_proxy_user",  # no proxy
    "prometheus_proxy_password_file",  # no proxy
    "prometheus_compression",  # identity is the faster one inside a cluster
    "thanos_url",  # PROMETHEUS_URL is Thanos' querier already
    "metrics_file",  # no metrics beside the catalogue's
    "first_day",  # a bound: days that the server no longer has are told as missing
    "training_days",  # each model's own
    "training_pods",  # 50, drawn with the seed
    "anomaly_rate",  # that of the evaluation's figures
    "min_coverage",  # half of the window
    "retrain_after_days",  # weekly
    "keep_versions",  # ten
    "keep_lake_days",  # all: a cluster's volume is sized for it, and nobody loses days by an upgrade
    "keep_scores_days",  # a week
    "prometheus_matcher",  # the cluster's querier has one cluster
    "prometheus_scrape_interval",  # a minute, the slowest of the cluster's own exporters
    "prometheus_max_series",  # a hundred thousand
    "prometheus_max_concurrent",  # two
    "synthetic_ratio",  # that of DATA_SOURCE
    "n_samples",  # of synthetic mode only
    "random_seed",  # any is as good
    "synthetic_end",  # today
    "forecast_horizon",  # an hour
    "lookback_window",  # two hours
    "forecast_trees",  # boosting, the better one
    "ml_service_timeout",  # the documents'
    "ml_service_token_file",  # SERVICE_API_KEY_FILE is not set
    "ml_circuit_breaker_threshold",  # the documents'
    "ml_circuit_breaker_timeout",  # the documents'
    "service_api_key_file",  # the engine sends no key: NetworkPolicies say who may ask
    "service_max_body_bytes",  # 8 MiB
    "service_timeout_seconds",  # below the engine's 10 s
    "service_poll_seconds",  # 5 s
}


def settings_of(environment: str) -> dict[str, str]:
    data: dict[str, str] = named(render(environment), "ConfigMap", "aiops-settings")["data"]
    return data


def unknown_variables(text: str) -> set[str]:
    """Names that look like a variable and are neither of ours nor of a program that is known here."""
    found = set(VARIABLE.findall(text)) - OURS - NO_SETTINGS
    return {name for name in found if not FOREIGN.fullmatch(name)}


def files() -> list[Path]:
    return sorted(path for path in DEPLOY.rglob("*") if path.is_file() and path.suffix != ".md")


@pytest.mark.parametrize("path", files(), ids=lambda path: path.relative_to(DEPLOY).as_posix())
def test_a_file_names_no_variable_that_nobody_reads(path: Path) -> None:
    assert unknown_variables(path.read_text()) == set()


@pytest.mark.parametrize("line", ["MODEL_ROOTS=/mnt/models", "- name: AIOPS_HOUSE", "THANOS_URI: http://thanos"])
def test_a_misspelt_variable_is_found(line: str) -> None:
    assert unknown_variables(line)


@pytest.mark.needs("npm")
@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_an_environment_sets_settings_and_nothing_else(environment: str) -> None:
    assert set(settings_of(environment)) <= OURS


def test_each_setting_has_a_default_of_use_or_is_to_be_set() -> None:
    assert not SET_IN_PRODUCTION & DEFAULT_IN_PRODUCTION
    assert set(Settings.model_fields) == SET_IN_PRODUCTION | DEFAULT_IN_PRODUCTION


@pytest.mark.needs("npm")
def test_production_sets_what_has_no_default_of_use() -> None:
    assert set(settings_of("production")) == {name.upper() for name in SET_IN_PRODUCTION}


@pytest.mark.needs("npm")
@pytest.mark.parametrize(
    ("environment", "source"), [("dev", "synthetic"), ("staging", "hybrid"), ("production", "prometheus")]
)
def test_an_environments_settings_give_its_source(environment: str, source: str) -> None:
    settings = load_settings(settings_of(environment))
    assert (settings.aiops_env, settings.mode, settings.cluster) == (environment, source, environment)
    assert settings.fallback == (("cached",) if environment == "production" else ("cached", "synthetic"))


@pytest.mark.needs("npm")
def test_production_without_a_server_is_refused() -> None:
    settings = load_settings({**settings_of("production"), "PROMETHEUS_URL": ""})
    with pytest.raises(SettingsError, match="needs PROMETHEUS_URL"):
        _ = settings.mode
