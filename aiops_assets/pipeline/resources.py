"""Resources of the assets, made from settings: stores, MLflow, Prometheus."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import dagster as dg

from aiops_assets.errors import SettingsError
from aiops_assets.pipeline.keys import HANDED_OVER_AS
from aiops_assets.prometheus.access import Access
from aiops_assets.prometheus.answers import MAX_SERIES
from aiops_assets.prometheus.client import PrometheusClient
from aiops_assets.prometheus.transport import Compression, RequestsTransport
from aiops_assets.settings import Settings
from aiops_assets.storage.cards import Cards
from aiops_assets.storage.drift import DriftStore
from aiops_assets.storage.handoff import Handoffs
from aiops_assets.storage.lake import Lake
from aiops_assets.storage.metric_state import MetricStates
from aiops_assets.storage.page_state import PageStates
from aiops_assets.storage.pod_memory import PodMemories
from aiops_assets.storage.records import Record
from aiops_assets.storage.scores import Scores
from aiops_assets.storage.served import ServedModels
from aiops_assets.storage.shadow import ShadowScores
from aiops_assets.storage.signatures import Keys
from aiops_assets.storage.storage import open_storage
from aiops_assets.storage.training_sets import TrainingSets
from aiops_assets.storage.written_back import WriteBacks
from aiops_assets.tracking.tracker import Tracker


class StoresResource(dg.ConfigurableResource[None]):
    """Lake, training sets and scores below home, served directories and cards below the model root."""

    home: str
    model_root: str
    cluster: str
    verify_key_file: str
    signing_key_file: str
    matcher: str = ""
    keep_scores_days: int = 7

    def lake(self) -> Lake:
        """The lake with days of metrics."""
        return Lake(open_storage(self.home), self.cluster, self.matcher)

    def training_sets(self) -> TrainingSets:
        """The training sets of the cluster."""
        return TrainingSets(open_storage(self.home), self.cluster)

    def served(self) -> ServedModels:
        """The served directories and champion records; what is published and moved is signed."""
        keys = Keys(Path(self.verify_key_file), Path(self.signing_key_file))
        return ServedModels(open_storage(self.model_root), keys)

    def cards(self) -> Cards:
        """The model cards."""
        return Cards(open_storage(self.model_root))

    def shadow(self) -> ShadowScores:
        """The shadow scores of the cluster."""
        return ShadowScores(open_storage(self.home), self.cluster)

    def scores(self) -> Scores:
        """The scores and forecasts of the champions for the newest windows."""
        return Scores(open_storage(self.home), self.cluster, timedelta(days=self.keep_scores_days))

    def pod_memories(self) -> PodMemories:
        """What scoring keeps of pods between two runs."""
        return PodMemories(open_storage(self.home), self.cluster)

    def page_states(self) -> PageStates:
        """What the page decision keeps between two runs."""
        return PageStates(open_storage(self.home), self.cluster)

    def written_back(self) -> WriteBacks:
        """What became of writing scores back to a server."""
        return WriteBacks(open_storage(self.home), self.cluster)

    def metric_states(self) -> MetricStates:
        """What the scores of the metrics of METRICS_FILE keep between two runs."""
        return MetricStates(open_storage(self.home), self.cluster)

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
    """A Prometheus or a Thanos querier, and one for older days, with the same access for both.

    Secrets themselves are never part of the configuration: it names their files.
    """

    url: str
    thanos_url: str
    compression: str
    token_file: str = ""
    user: str = ""
    password_file: str = ""
    headers_file: str = ""
    tenant: str = ""
    namespace: str = ""
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    proxy: str = ""
    proxy_user: str = ""
    proxy_password_file: str = ""
    matcher: str = ""
    max_series: int = MAX_SERIES
    max_concurrent: int = 2

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
                PrometheusClient(
                    stack.enter_context(self._transport(url)),
                    matchers=self.matcher,
                    ahead=self.max_concurrent,
                    most_series=self.max_series,
                )
                for url in (self.url, self.thanos_url)
                if url
            ]
            yield server, archive[0] if archive else None

    @property
    def server(self) -> str:
        """Host and port, for records."""
        return urlsplit(self.url).netloc

    @property
    def archive(self) -> str:
        """Host and port of the archive, for records; empty without one."""
        return urlsplit(self.thanos_url).netloc

    @property
    def _access(self) -> Access:
        """What the servers require."""

        def file(name: str) -> Path | None:
            return Path(name) if name else None

        return Access(
            token_file=file(self.token_file),
            user=self.user,
            password_file=file(self.password_file),
            headers_file=file(self.headers_file),
            tenant=self.tenant,
            namespace=self.namespace,
            ca_file=file(self.ca_file),
            cert_file=file(self.cert_file),
            key_file=file(self.key_file),
            proxy=self.proxy,
            proxy_user=self.proxy_user,
            proxy_password_file=file(self.proxy_password_file),
        )

    def _transport(self, url: str) -> RequestsTransport:
        compression: Compression = "gzip" if self.compression == "gzip" else "identity"
        return RequestsTransport(url, access=self._access, compression=compression)


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
    return StoresResource(
        home=str(settings.aiops_home),
        model_root=settings.model_root,
        cluster=settings.cluster,
        verify_key_file=str(settings.verify_key_file),
        signing_key_file=str(settings.signing_key_file),
        matcher=settings.prometheus_matcher,
        keep_scores_days=settings.keep_scores_days,
    )


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
        compression=settings.prometheus_compression,
        matcher=settings.prometheus_matcher,
        max_series=settings.prometheus_max_series,
        max_concurrent=settings.prometheus_max_concurrent,
        token_file=str(settings.prometheus_token_file or ""),
        user=settings.prometheus_user or "",
        password_file=str(settings.prometheus_password_file or ""),
        headers_file=str(settings.prometheus_headers_file or ""),
        tenant=settings.prometheus_tenant or "",
        namespace=settings.prometheus_namespace or "",
        ca_file=str(settings.prometheus_ca_file or ""),
        cert_file=str(settings.prometheus_cert_file or ""),
        key_file=str(settings.prometheus_key_file or ""),
        proxy=settings.prometheus_proxy or "",
        proxy_user=settings.prometheus_proxy_user or "",
        proxy_password_file=str(settings.prometheus_proxy_password_file or ""),
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
