"""deploy/ sets settings that there are, and production sets all that have no default of use there."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from aiops_assets.errors import SettingsError
from aiops_assets.service.serving import app_of
from aiops_assets.settings import PROJECT_ROOT, Settings, load_settings
from aiops_assets_tests.deploy.overlays import ENVIRONMENTS, everything, named, render

DEPLOY = PROJECT_ROOT / "deploy"
OURS_BY_FIELD = {name: name.upper() for name in Settings.model_fields}
OURS = set(OURS_BY_FIELD.values())
SERVE = ["aiops", "serve"]
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
    "signing_key_file",  # a person's folder, which pods do not have
    "verify_key_file",  # the same
    "mlflow_tracking_uri",  # SQLite below AIOPS_HOME, which run pods cannot share
    "ml_service_url",  # no default
}
DEFAULT_IN_PRODUCTION = {
    "remote_write_ca_file",  # nothing is written back
    "remote_write_tenant",  # the same, and the next two
    "remote_write_token_file",
    "remote_write_url",
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
    "prometheus_matcher",  # the cluster's own querier holds one cluster
    "prometheus_scrape_interval",  # a minute, which is what the catalogue's ranges suit
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
    "scored_pods_max",  # ten thousand
    "metric_series_max",  # two thousand
    "score_minutes",  # five
    "alerts_per_day",  # one
    "keep_scores_days",  # a week
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
    "service_external_url",  # nobody outside the cluster reaches the service
    "service_max_body_bytes",  # 8 MiB
    "service_max_connections",  # as many as file descriptors allow
    "service_max_head_bytes",  # 64 KiB
    "service_head_seconds",  # 10 s
    "service_max_json_values",  # 500,000
    "service_max_inflight_bytes",  # the default
    "service_timeout_seconds",  # below the engine's 10 s
    "service_poll_seconds",  # 5 s
    "service_traces_url",  # no trace leaves the service unless somebody says where to
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


@pytest.fixture
def read_by_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The settings that the service reads when it starts."""
    read: set[str] = set()

    def spy(self: Settings, name: str) -> object:
        if name in OURS_BY_FIELD:
            read.add(OURS_BY_FIELD[name])
        return object.__getattribute__(self, name)

    settings = load_settings({"AIOPS_HOME": str(tmp_path), "MODEL_ROOT": str(tmp_path / "models")})
    monkeypatch.setattr(Settings, "__getattribute__", spy)
    app_of(settings)
    assert {"CLUSTER", "MODEL_ROOT", "PROMETHEUS_MATCHER"} <= read
    return read


def serving_containers(environment: str) -> list[dict[str, Any]]:
    """Containers that run `aiops serve`, of the Deployment and of KServe's runtimes."""
    found: list[dict[str, Any]] = []
    for one in everything(environment):
        if one["kind"] in ("Deployment", "ServingRuntime", "ClusterServingRuntime"):
            spec = one["spec"]["template"]["spec"] if one["kind"] == "Deployment" else one["spec"]
            found += [container for container in spec["containers"] if container.get("args", [])[:2] == SERVE]
    return found


@pytest.mark.needs("npm")
@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_the_service_has_the_settings_of_the_runs(environment: str, read_by_service: set[str]) -> None:
    values = yaml.safe_load((DEPLOY / "dagster" / "values.yaml").read_text())
    (runs,) = values["dagster-user-deployments"]["deployments"]
    assert [one["name"] for one in runs["envConfigMaps"]] == ["aiops-settings"]
    containers = serving_containers(environment)
    assert len(containers) > 1
    for container in containers:
        assert {"configMapRef": {"name": "aiops-settings"}} in container["envFrom"]
        # A predictor has its champion's record at another place.
        assert {one["name"] for one in container.get("env", ())} & read_by_service <= {"MODEL_ROOT"}


def test_the_service_of_compose_has_the_settings_of_the_runs(read_by_service: set[str]) -> None:
    services = yaml.safe_load((DEPLOY / "compose" / "compose.yaml").read_text())["services"]
    runs, service = (services[name]["environment"] for name in ("code-server", "service"))
    assert {name: value for name, value in runs.items() if name in read_by_service} == {
        name: value for name, value in service.items() if name in read_by_service
    }
    # What is not read now may be by the next release.
    assert set(runs) & OURS - set(service) == {"MLFLOW_TRACKING_URI", "SIGNING_KEY_FILE"}
