"""Resources of the assets, made from settings: stores, MLflow, Prometheus."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from urllib.parse import urlsplit

import dagster as dg

from aiops_assets.errors import SettingsError
from aiops_assets.pipeline.keys import HANDED_OVER_AS
from aiops_assets.prometheus.client import PrometheusClient
from aiops_assets.prometheus.transport import RequestsTransport
from aiops_assets.settings import Settings
from aiops_assets.storage.cards import Cards
from aiops_assets.storage.drift import DriftStore
from aiops_assets.storage.handoff import Handoffs
from aiops_assets.storage.lake import Lake
from aiops_assets.storage.records import Record
from aiops_assets.storage.scores import Scores
from aiops_assets.storage.served import ServedModels
from aiops_assets.storage.shadow import ShadowScores
from aiops_assets.storage.storage import open_storage
from aiops_assets.storage.training_sets import TrainingSets
from aiops_assets.tracking.tracker import Tracker


class StoresResource(dg.ConfigurableResource[None]):
    """Lake, training sets and scores below home, served directories and cards below the model root."""

    home: str
    model_root: str
    cluster: str

    def lake(self) -> Lake:
        """The lake with days of metrics."""
        return Lake(open_storage(self.home), self.cluster)

    def training_sets(self) -> TrainingSets:
        """The training sets of the cluster."""
        return TrainingSets(open_storage(self.home), self.cluster)

    def served(self) -> ServedModels:
        """The served directories and champion records."""
        return ServedModels(open_storage(self.model_root))

    def cards(self) -> Cards:
        """The model cards."""
        return Cards(open_storage(self.model_root))

    def shadow(self) -> ShadowScores:
        """The shadow scores of the cluster."""
        return ShadowScores(open_storage(self.home), self.cluster)

    def scores(self) -> Scores:
        """The scores and forecasts of the champions for the newest windows."""
        return Scores(open_storage(self.home), self.cluster)

    def drift(self) -> DriftStore:
        """The newest look at drift of the cluster, and the profiles it compares with."""
        return DriftStore(open_storage(self.home), self.cluster)


class TrackingResource(dg.ConfigurableResource[None]):
    """MLflow runs and the model registry."""

    uri: str
    experiment: str
    artifact_root: str

    def tracker(self) -> Tracker:
        """A tracker, which connects on first use."""
        return Tracker(self.uri, self.experiment, self.artifact_root)


class PrometheusResource(dg.ConfigurableResource[None]):
    """A Prometheus or a Thanos querier, and one for older days. The token itself is never part of the configuration."""

    url: str
    thanos_url: str
    token_file: str
    ca_file: str
    compression: str

    @contextmanager
    def clients(self) -> Iterator[tuple[PrometheusClient, PrometheusClient | None]]:
        """The server's client and, if THANOS_URL is set, the archive's; closed when the block ends.

        Raises:
            SettingsError: PROMETHEUS_URL is not set.
        """
        if not self.url:
            raise SettingsError("PROMETHEUS_URL is not set: raw_metrics needs it, e.g. PROMETHEUS_URL=http://host:9090")
        with ExitStack() as stack:
            server, *archive = [
                PrometheusClient(stack.enter_context(self._transport(url)))
                for url in (self.url, self.thanos_url)
                if url
            ]
            yield server, archive[0] if archive else None

    @property
    def server(self) -> str:
        """Host and port, for records."""
        return urlsplit(self.url).netloc

    def _transport(self, url: str) -> RequestsTransport:
        return RequestsTransport(
            url,
            token_file=Path(self.token_file) if self.token_file else None,
            ca_file=Path(self.ca_file) if self.ca_file else None,
            compression="gzip" if self.compression == "gzip" else "identity",
        )


class HandoffIOManager(dg.ConfigurableIOManager):
    """Keeps each asset's reference as JSON below home."""

    home: str
    cluster: str

    def handle_output(self, context: dg.OutputContext, obj: Record | None) -> None:
        """Store what an asset returned."""
        if obj is not None:
            self._handoffs.put(_place(context), context.run_id, obj)

    def load_input(self, context: dg.InputContext) -> Record:
        """Read what an upstream asset returned in this run, else in the newest one."""
        kind: type[Record] = context.dagster_type.typing_type
        upstream = context.upstream_output
        assert upstream is not None
        return self._handoffs.get(_place(upstream), kind, context.step_context.run_id)

    @property
    def _handoffs(self) -> Handoffs:
        return Handoffs(open_storage(self.home), self.cluster)


def _place(context: dg.OutputContext) -> tuple[str, ...]:
    """The path below ``handoff/`` of an asset's reference: the one that its metadata name, else its key."""
    place = context.definition_metadata.get(HANDED_OVER_AS)
    return tuple(str(place).split("/")) if place else tuple(context.asset_key.path)


def settings_of_run(settings: Settings, created: datetime, today: date) -> Settings:
    """Settings of a run: its window ends on the day on which the run was requested.

    Each process of a run reads the settings anew, possibly after midnight. A SYNTHETIC_END that was set to another day
    than today stays.
    """
    if settings.synthetic_end != today:
        return settings
    return settings.model_copy(update={"synthetic_end": created.astimezone(UTC).date()})


def _settings_resource(settings: Settings) -> dg.ResourceDefinition:
    def of_run(context: dg.InitResourceContext) -> Settings:
        record = context.instance.get_run_record_by_id(context.run.run_id) if context.instance and context.run else None
        return settings_of_run(settings, record.create_timestamp, datetime.now(UTC).date()) if record else settings

    return dg.ResourceDefinition(of_run)


def stores_of(settings: Settings) -> StoresResource:
    """The stores according to settings."""
    return StoresResource(home=str(settings.aiops_home), model_root=settings.model_root, cluster=settings.cluster)


def tracking_of(settings: Settings) -> TrackingResource:
    """MLflow according to settings; the experiment has the cluster's name."""
    return TrackingResource(
        uri=settings.mlflow_tracking_uri,
        experiment=f"aiops/{settings.cluster}",
        artifact_root=str(settings.aiops_home / "mlflow" / "artifacts"),
    )


def prometheus_of(settings: Settings) -> PrometheusResource:
    """The metrics servers according to settings."""
    return PrometheusResource(
        url=settings.prometheus_url or "",
        thanos_url=settings.thanos_url or "",
        token_file=str(settings.prometheus_token_file or ""),
        ca_file=str(settings.prometheus_ca_file or ""),
        compression=settings.prometheus_compression,
    )


def resources_for(settings: Settings) -> dict[str, object]:
    """All resources of the asset graph, with the same keys in every environment."""
    return {
        "settings": _settings_resource(settings),
        "stores": stores_of(settings),
        "tracking": tracking_of(settings),
        "prometheus": prometheus_of(settings),
        "io_manager": HandoffIOManager(home=str(settings.aiops_home), cluster=settings.cluster),
    }
