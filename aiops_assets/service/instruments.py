"""Metrics of the service for /metrics: requests, predictions, and the models that made them."""

from contextlib import suppress

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from aiops_assets import __version__
from aiops_assets.service.ready import ReadyModel
from aiops_assets.settings import Settings

LATENCIES = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
SCORES = (-0.3, -0.2, -0.15, -0.1, -0.05, 0.0, 0.05, 0.1, 0.15, 0.2, 0.3)
"""Buckets of the row detector's scores, which are between -0.5 and 0.5; positive ones are anomalous."""


class Instruments:
    """The metrics of one service; the registry is its own, so that several can live in one process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self.service_info = Gauge(
            "aiops_service_info",
            "1; its labels state how this process was started.",
            ("environment", "data_source", "cluster", "version", "external_url"),
            registry=self.registry,
        )
        self.requests = Histogram(
            "aiops_http_request_duration_seconds",
            "Time from the request's head to the answer's end.",
            ("route", "method", "code"),
            buckets=LATENCIES,
            registry=self.registry,
        )
        self.refused = Counter(
            "aiops_refused",
            "Connections and requests refused before they were read, or before any work was done for them.",
            ("reason",),
            registry=self.registry,
        )
        self.predictions = Counter(
            "aiops_predictions", "Instances answered.", ("model", "verdict"), registry=self.registry
        )
        self.scores = Histogram(
            "aiops_row_anomaly_score",
            "Scores of rows; positive is an anomaly.",
            ("model",),
            buckets=SCORES,
            registry=self.registry,
        )
        self.anomalies = Counter(
            "aiops_anomalies_reported", "Anomalies in answers of detect.", ("severity",), registry=self.registry
        )
        self.model_info = Gauge(
            "aiops_model_info",
            "1 for the version that answers.",
            ("model", "version", "data_version", "source"),
            registry=self.registry,
        )
        self.model_ready = Gauge(
            "aiops_model_ready",
            "1 if the model can answer; each model that this process is to serve has one.",
            ("model",),
            registry=self.registry,
        )
        self.model_coverage = Gauge(
            "aiops_model_coverage_ratio",
            "Share of the training window's samples that was there, 0-1; absent if the manifest does not state it.",
            ("model",),
            registry=self.registry,
        )
        self.model_trained = Gauge(
            "aiops_model_trained_timestamp_seconds", "When the version was made.", ("model",), registry=self.registry
        )
        self.model_loaded = Gauge(
            "aiops_model_loaded_timestamp_seconds", "When the version was loaded.", ("model",), registry=self.registry
        )
        self.swaps = Counter("aiops_model_swaps", "Versions that replaced another.", ("model",), registry=self.registry)
        self.load_failures = Counter(
            "aiops_model_load_failures",
            "Versions that could not be loaded or failed their smoke inference, by try.",
            ("model",),
            registry=self.registry,
        )

    def started(self, settings: Settings) -> None:
        """Record version and settings of this process."""
        url = settings.service_external_url or ""
        label_values = (settings.aiops_env, settings.data_source, settings.cluster, __version__, url)
        self.service_info.labels(*label_values).set(1)

    def swapped(self, loaded: ReadyModel, before: ReadyModel | None) -> None:
        """Record that another version is loaded."""
        name = loaded.spec.name
        if before is not None:
            self.swaps.labels(name).inc()
            _remove(self.model_info, *self._labels(before))
        self.model_info.labels(*self._labels(loaded)).set(1)
        self.model_ready.labels(name).set(1)
        coverage = loaded.manifest.source.coverage
        if coverage is not None:
            self.model_coverage.labels(name).set(coverage)
        else:
            _remove(self.model_coverage, name)
        self.model_trained.labels(name).set(loaded.manifest.created.timestamp())
        self.model_loaded.labels(name).set(loaded.loaded.timestamp())

    @staticmethod
    def _labels(model: ReadyModel) -> tuple[str, str, str, str]:
        origin = model.origin
        return (origin["model_name"], origin["model_version"], origin["data_version"], origin["effective_source"])


def _remove(gauge: Gauge, *labels: str) -> None:
    # prometheus-client before 0.22 raises for labels that were never set, which would leave a swap half recorded.
    with suppress(KeyError):
        gauge.remove(*labels)
