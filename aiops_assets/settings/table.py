"""The table itself: each environment variable with its type, default, meaning and limits."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal

import pandas as pd
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from aiops_assets.durations import parse_duration
from aiops_assets.errors import DataError, SettingsError
from aiops_assets.families.catalog import MODEL_NAMES, MODELS, named
from aiops_assets.http_client import plain_url
from aiops_assets.settings.checks import dns_label, login, part_of_an_hour, proxy_url, tenant
from aiops_assets.timeseries.catalog import METRICS, SCRAPE_SECONDS, MetricSpec
from aiops_assets.timeseries.matchers import canonical_matchers
from aiops_assets.timeseries.metrics_file import load_own
from aiops_assets.timeseries.queries import queried
from aiops_assets.timeseries.watch import OwnMetric

Environment = Literal["dev", "ci", "staging", "production"]
Source = Literal["synthetic", "prometheus", "hybrid", "auto"]
Mode = Literal["synthetic", "prometheus", "hybrid"]
Fallback = Literal["cached", "synthetic", "fail"]

SYNTHETIC_SHARES: dict[str, float] = {"prometheus": 0.2, "hybrid": 0.5}
"""ADR-052's blends: some generated rows stay in production, staging takes as many as real ones."""

ENVIRONMENT_DEFAULTS: dict[str, dict[str, Any]] = {
    "dev": {"data_source": "synthetic", "fallback": ("cached", "synthetic")},
    "ci": {"data_source": "synthetic", "fallback": ("cached", "synthetic")},
    "staging": {"data_source": "hybrid", "fallback": ("cached", "synthetic")},
    "production": {"data_source": "prometheus", "fallback": ("cached",)},
}
"""Defaults by ``AIOPS_ENV``, for variables that are not set themselves."""

GPU_CAPABLE = tuple(spec.name for spec in MODELS if spec.family.computes_on_gpu)
"""Models of PyTorch: the others compute nothing on a GPU."""

PROJECT_ROOT = Path(__file__).resolve().parents[2]


class Settings(BaseModel):
    """The table: a field is an environment variable in lower case."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    aiops_env: Environment = Field("dev", description="Environment; decides the defaults of DATA_SOURCE and FALLBACK.")
    data_source: Source = Field("synthetic", description="Where training rows come from.")
    models: tuple[str, ...] = Field((), description="Which models are trained and served, by name. Unset: all.")
    model_sources: dict[str, Source] = Field(
        {}, description="DATA_SOURCE of single models, e.g. lstm-predictor=synthetic. Unset: DATA_SOURCE."
    )
    gpu_models: tuple[str, ...] = Field(
        (), description="Models whose fit requests a GPU on Kubernetes, in a pod of its own. Default: none."
    )
    prometheus_url: str | None = Field(None, description="Prometheus or Thanos querier. No default.")
    prometheus_token_file: Path | None = Field(None, description="File with a bearer token, read for each request.")
    prometheus_user: Annotated[str, AfterValidator(login)] | None = Field(
        None, description="User of basic authentication, in place of a token."
    )
    prometheus_password_file: Path | None = Field(
        None, description="File with the password of PROMETHEUS_USER, read for each request."
    )
    prometheus_headers_file: Path | None = Field(
        None, description="File with further headers, one Name: value a line, read for each request."
    )
    prometheus_tenant: Annotated[str, AfterValidator(tenant)] | None = Field(
        None, description="Tenant of Mimir or Cortex, sent as X-Scope-OrgID."
    )
    prometheus_namespace: Annotated[str, AfterValidator(dns_label)] | None = Field(
        None, description="Sent as the parameter namespace, which OpenShift's tenancy port requires."
    )
    prometheus_ca_file: Path | None = Field(None, description="CA bundle that signed the server's certificate.")
    prometheus_cert_file: Path | None = Field(
        None, description="Client certificate (PEM), where the server requires one; may hold the key too."
    )
    prometheus_key_file: Path | None = Field(None, description="Key of PROMETHEUS_CERT_FILE, without a password.")
    prometheus_proxy: Annotated[str, AfterValidator(proxy_url)] | None = Field(
        None, description="Proxy to PROMETHEUS_URL and THANOS_URL. Unset: none; variables of the system are ignored."
    )
    prometheus_proxy_user: Annotated[str, AfterValidator(login)] | None = Field(
        None, description="User of basic authentication at the proxy."
    )
    prometheus_proxy_password_file: Path | None = Field(
        None, description="File with the password of PROMETHEUS_PROXY_USER."
    )
    prometheus_compression: Literal["identity", "gzip"] = Field(
        "identity", description="Of answers: gzip is slower inside a cluster and faster below about 80 Mbit/s."
    )
    prometheus_matcher: str = Field(
        "", description='Label matchers put into every query, e.g. cluster="prod-1": one cluster of a shared server.'
    )
    prometheus_max_series: int = Field(
        100_000, ge=1, le=1_000_000, description="A query with more series than this is refused."
    )
    prometheus_max_concurrent: int = Field(
        2, ge=1, le=16, description="Most queries that a run has under way at once, at each server."
    )
    prometheus_scrape_interval: int = Field(
        SCRAPE_SECONDS, ge=1, le=3600, description="Of the slowest metrics that are fetched: 30s, or seconds."
    )
    thanos_url: str | None = Field(None, description="Querier for days that Prometheus no longer keeps.")
    metrics_file: Path | None = Field(None, description="YAML file with further metrics to fetch.")
    first_day: date = Field(date(2025, 1, 1), description="First daily partition of raw_metrics.")
    training_days: int | None = Field(None, ge=2, le=365, description="Window in days. Unset: each model's own.")
    training_pods: int = Field(50, ge=1, le=10_000, description="Most pods in a training set; drawn with the seed.")
    scored_pods_max: int = Field(
        10_000, ge=1, le=1_000_000, description="Most living pods that are scored; others are counted as not watched."
    )
    metric_series_max: int = Field(
        2000, ge=1, le=100_000, description="Most series of METRICS_FILE that are scored; others count as not watched."
    )
    anomaly_rate: float = Field(0.03, ge=0.0, le=0.5, description="Share of training rows made anomalous.")
    min_coverage: float = Field(
        0.5, ge=0.0, le=1.0, description="Share of the window's samples below which nothing is trained on it."
    )
    retrain_after_days: int = Field(
        7, ge=1, le=365, description="Complete days newer than the trained window at which the sensor retrains."
    )
    keep_versions: int = Field(
        10, ge=2, le=1000, description="Version directories kept; the champion and its predecessor always stay."
    )
    keep_lake_days: int | None = Field(
        None, ge=1, le=36_500, description="Fetched days kept, besides those that versions or windows need. Unset: all."
    )
    score_minutes: Annotated[int, AfterValidator(part_of_an_hour)] = Field(
        5, description="Minutes between two runs of scores; a page waits for the next one."
    )
    alerts_per_day: float = Field(
        1.0, ge=0.01, le=1000.0, description="False pages a day that the whole cluster may raise; notices are more."
    )
    keep_scores_days: int = Field(7, ge=1, le=3650, description="Days for which scores and forecasts are kept.")
    remote_write_url: str | None = Field(
        None, description="Receiver of Prometheus remote write that scores are written back to. No default: none is."
    )
    remote_write_token_file: Path | None = Field(
        None, description="File with a bearer token for REMOTE_WRITE_URL, read for each request."
    )
    remote_write_tenant: Annotated[str, AfterValidator(tenant)] | None = Field(
        None, description="Tenant at REMOTE_WRITE_URL, sent as X-Scope-OrgID."
    )
    remote_write_ca_file: Path | None = Field(
        None, description="CA bundle that signed the certificate of REMOTE_WRITE_URL."
    )
    synthetic_ratio: float | None = Field(
        None, ge=0.0, le=0.8, description="Synthetic share of a blend. Unset: 0.2 for prometheus, 0.5 for hybrid."
    )
    n_samples: int = Field(2000, ge=100, le=1_000_000, description="Rows of a training set in synthetic mode.")
    random_seed: int = Field(42, ge=0, le=2**32 - 1, description="Seed of generator, injection, sampling and models.")
    synthetic_end: date = Field(
        date(1970, 1, 1), description="UTC day at whose beginning the window ends. Default: today."
    )
    forecast_horizon: int = Field(12, ge=1, le=288, description="Steps of a forecast where none are requested.")
    lookback_window: int = Field(
        24, ge=2, le=288, description="Steps of five minutes from which predictive-analytics forecasts at least."
    )
    forecast_trees: Literal["boosting", "random_forest"] = Field(
        "boosting", description="Trees of predictive-analytics; the random forest is that of the documents."
    )
    fallback: tuple[Fallback, ...] = Field(
        ("cached", "synthetic"), description="What to use when Prometheus is unreachable, in order; fail: stop."
    )
    cluster: Annotated[str, AfterValidator(dns_label)] = Field(
        "default", description="Name of the cluster the data is of."
    )
    aiops_home: Path = Field(
        Path(), description="All state, a local folder. Default: .aiops beside pyproject.toml, else here."
    )
    model_root: str = Field("", description="Served directories, a folder or a URL. Default: <home>/models.")
    signing_key_file: Path = Field(
        Path(), description="Private key that signs versions and champion records; training makes it if it is missing."
    )
    verify_key_file: Path = Field(
        Path(), description="Public keys; a version or champion record that none of them signed is not used."
    )
    mlflow_tracking_uri: str = Field("", description="MLflow. Default: SQLite below <home>.")
    ml_service_url: str | None = Field(None, description="ML service that a client sends requests to. No default.")
    ml_service_timeout: float = Field(30.0, ge=0.01, le=3600, description="Of a client's request: 30s, or seconds.")
    ml_service_token_file: Path | None = Field(None, description="File with the API key that a client sends.")
    ml_circuit_breaker_threshold: int = Field(
        3, ge=1, le=1000, description="Failures in a row after which a client sends nothing."
    )
    ml_circuit_breaker_timeout: float = Field(
        30.0, ge=0.01, le=86_400, description="How long it then sends nothing: 30s, or seconds."
    )
    service_api_key_file: Path | None = Field(
        None, description="File with the key that requests to the service have to carry. Unset: none is required."
    )
    service_external_url: str | None = Field(
        None,
        description="Where people reach the service, such as https://aiops.example.com: links of alerts begin with it. "
        "Unset: they are paths.",
    )
    service_max_body_bytes: int = Field(
        8 * 2**20, ge=2**10, le=2**30, description="Largest body of a request to the service."
    )
    service_timeout_seconds: float = Field(
        9.0, ge=0.05, le=600.0, description="Longest time of a request; the engine waits 10 s."
    )
    service_traces_url: str | None = Field(
        None,
        description="OTLP over HTTP, where the service sends OpenTelemetry traces: http://host:4318/v1/traces. "
        "Unset: none are made.",
    )
    service_max_connections: int = Field(
        1000, ge=8, le=100_000, description="Most open connections of the service, within its limit of open files."
    )
    service_max_head_bytes: int = Field(
        2**16, ge=2**10, le=2**20, description="Largest head (request line and headers) of a request to the service."
    )
    service_head_seconds: float = Field(
        10.0, ge=0.1, le=600.0, description="Longest time for a head; silent new connections are closed after it."
    )
    service_max_json_values: int = Field(
        500_000, ge=1_000, le=2**30, description="Most values of a request's JSON; an array or object counts as four."
    )
    service_max_inflight_bytes: int = Field(
        16 * 2**20, ge=2**20, le=2**34, description="Most bytes of all bodies at once; further bodies wait, then 503."
    )
    service_poll_seconds: float = Field(
        5.0, ge=0.01, le=3600.0, description="How often the service looks for another champion."
    )

    @field_validator("model_sources", mode="before")
    @classmethod
    def _split_pairs(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        pairs = [part.strip().partition("=") for part in value.split(",")]
        names = [name.strip() for name, _, _ in pairs]
        if any(not source for _, _, source in pairs) or len(set(names)) < len(names):
            raise ValueError("must be <model>=<source>,<model>=<source>, each model once")
        return {name: source.strip() for name, (_, _, source) in zip(names, pairs, strict=True)}

    @field_validator("models", "model_sources")
    @classmethod
    def _known_models(cls, value: Any) -> Any:
        value = (
            {named(name): one for name, one in value.items()} if isinstance(value, dict) else tuple(map(named, value))
        )
        if any(name not in MODEL_NAMES for name in value):
            raise ValueError(f"must be of {', '.join(MODEL_NAMES)}")
        return value

    @field_validator("gpu_models")
    @classmethod
    def _models_of_torch(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if any(name not in GPU_CAPABLE for name in value):
            raise ValueError(f"must be of {', '.join(GPU_CAPABLE)}: only models of PyTorch compute on a GPU")
        return value

    @field_validator("fallback", "models", "gpu_models", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",")) if isinstance(value, str) else value

    @field_validator("fallback")
    @classmethod
    def _fail_stands_alone(cls, value: tuple[Fallback, ...]) -> tuple[Fallback, ...]:
        if not value or ("fail" in value and len(value) > 1) or len(set(value)) < len(value):
            raise ValueError("must be cached, synthetic, cached,synthetic or fail")
        return value

    @field_validator("ml_service_timeout", "ml_circuit_breaker_timeout", "prometheus_scrape_interval", mode="before")
    @classmethod
    def _seconds(cls, value: object) -> object:
        if not isinstance(value, str) or not value.strip().endswith(tuple("smhd")):
            return value
        try:
            return parse_duration(value).total_seconds()
        except DataError:
            raise ValueError("must be a duration such as 30s or 1m30s, or seconds") from None

    @field_validator("prometheus_matcher")
    @classmethod
    def _matchers(cls, value: str) -> str:
        return canonical_matchers(value)

    @field_validator(
        "prometheus_url",
        "thanos_url",
        "ml_service_url",
        "remote_write_url",
        "service_external_url",
        "service_traces_url",
    )
    @classmethod
    def _plain_url(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is None:
            return None
        login = "PROMETHEUS_TOKEN_FILE, or user and password in PROMETHEUS_USER and PROMETHEUS_PASSWORD_FILE"
        tokens = {
            "ml_service_url": "ML_SERVICE_TOKEN_FILE",
            "remote_write_url": "REMOTE_WRITE_TOKEN_FILE",
            "service_external_url": "SERVICE_API_KEY_FILE",
            "service_traces_url": "OTEL_EXPORTER_OTLP_HEADERS",
        }
        return plain_url(value, tokens.get(str(info.field_name), login))

    @field_validator("model_root")
    @classmethod
    def _plain_root(cls, value: str) -> str:
        if "://" in value and set(value) & set("@?#"):
            raise ValueError("must be a folder or a bucket URL without credentials or query: use the cloud's own")
        return value

    @property
    def mode(self) -> Mode:
        """The source that DATA_SOURCE leads to.

        ``auto`` is ``prometheus`` where PROMETHEUS_URL is set and ``synthetic`` where it is not. Whether that
        server answers shows with the first request, and FALLBACK decides what follows.

        Raises:
            SettingsError: no PROMETHEUS_URL where one is needed: production never guesses.
        """
        if self.data_source == "synthetic" or self.prometheus_url:
            return "prometheus" if self.data_source == "auto" else self.data_source
        if self.data_source == "auto" and self.aiops_env != "production":
            return "synthetic"
        setting = f"DATA_SOURCE={self.data_source}" + " (or MODEL_SOURCES)" * bool(self.model_sources)
        raise SettingsError(f"{setting} needs PROMETHEUS_URL, e.g. PROMETHEUS_URL=http://host:9090", code="no_server")

    def for_source(self, source: str) -> "Settings":
        """The same with another DATA_SOURCE; an empty one changes nothing."""
        return self.model_copy(update={"data_source": source}) if source else self

    @property
    def wants_days(self) -> bool:
        """Whether any model is to be trained on a server's days, whether or not there is one."""
        names = self.models or MODEL_NAMES
        return any(self.model_sources.get(name, self.data_source) in SYNTHETIC_SHARES for name in names)

    @property
    def fetches(self) -> bool:
        """Whether any model wants days from a server.

        Raises:
            SettingsError: see :attr:`mode`.
        """
        names = self.models or MODEL_NAMES
        return any(self.for_source(self.model_sources.get(name, "")).mode != "synthetic" for name in names)

    @property
    def synthetic_share(self) -> float:
        """Share of generated rows in a training set."""
        if self.mode == "synthetic":
            return 1.0
        return SYNTHETIC_SHARES[self.mode] if self.synthetic_ratio is None else self.synthetic_ratio

    @property
    def metrics(self) -> tuple[MetricSpec, ...]:
        """The catalogue with the metrics of METRICS_FILE, as they are queried.

        Raises:
            SettingsError: the file is not valid, or PROMETHEUS_MATCHER cannot be put into a query of it.
        """
        return (*self.queried(METRICS), *(own.spec for own in self.own_metrics))

    @property
    def own_metrics(self) -> tuple[OwnMetric, ...]:
        """The metrics of METRICS_FILE, as they are queried.

        Raises:
            SettingsError: see :attr:`metrics`.
        """
        mine = load_own(self.metrics_file, self.prometheus_scrape_interval) if self.metrics_file else ()
        return tuple(
            replace(own, spec=queried(own.spec, self.prometheus_matcher, own.spec.scrape_seconds)) for own in mine
        )

    def queried(self, metrics: Sequence[MetricSpec]) -> tuple[MetricSpec, ...]:
        """Metrics of the catalogue with PROMETHEUS_MATCHER in each selector, and with PROMETHEUS_SCRAPE_INTERVAL.

        Raises:
            SettingsError: the matcher cannot be put into a query.
        """
        return tuple(queried(metric, self.prometheus_matcher, self.prometheus_scrape_interval) for metric in metrics)

    @property
    def end(self) -> pd.Timestamp:
        """The UTC midnight at which training windows end."""
        return pd.Timestamp(self.synthetic_end, tz="UTC")
