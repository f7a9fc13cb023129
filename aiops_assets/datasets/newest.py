"""The newest window: a week of pods and two weeks of the cluster, up to now, from the lake or the generator.

Where days are fetched, generated rows never replace them: scores of pods that do not exist would call people. While the
server cannot be reached, the window is what the lake holds, with a note about its age.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta

import pandas as pd

from aiops_assets.datasets.capacity import Capacity, read_capacities
from aiops_assets.datasets.identity import archive_check, identify
from aiops_assets.datasets.ingest import MetricFetch, ignore, ingest_metric
from aiops_assets.datasets.living import living_pods
from aiops_assets.datasets.nodes import NodeHistory, read_nodes
from aiops_assets.datasets.notes import Note
from aiops_assets.datasets.present import fetch_present
from aiops_assets.datasets.stored_pods import StoredPods
from aiops_assets.datasets.window import Window, read_cluster, read_window
from aiops_assets.datasets.workloads import fetch_workloads, workloads_of
from aiops_assets.errors import DataError, EmptyDataError, IntegrityError, PrometheusError, PrometheusUnreachable
from aiops_assets.learners.detectors.alert_rule import HISTORY_DAYS
from aiops_assets.prometheus.client import PrometheusClient
from aiops_assets.settings import Settings
from aiops_assets.storage.day_rows import RowCopies
from aiops_assets.storage.lake import Lake
from aiops_assets.storage.lake_files import readable_days
from aiops_assets.storage.scores import ABOVE_CAP, NO_CPU
from aiops_assets.synthetic.cluster import generate_cluster
from aiops_assets.synthetic.pods import generate
from aiops_assets.timeseries.catalog import (
    CAPACITY_METRICS,
    EACH_NODE_CPU,
    EACH_NODE_DISK,
    ENGINE_METRICS,
    FORECAST_METRICS,
    NETWORK_RECEIVE,
    POD_CPU,
    MetricSpec,
)
from aiops_assets.timeseries.features import ROW_EVERY_MINUTES
from aiops_assets.timeseries.series import PodSeries
from aiops_assets.views import cluster_metrics as cluster_series
from aiops_assets.views.pod_history import LivingPods, PodHistory

SCORED = (*ENGINE_METRICS, *FORECAST_METRICS, NETWORK_RECEIVE, EACH_NODE_CPU, EACH_NODE_DISK, *CAPACITY_METRICS)
"""The metrics that models score and forecast, those that pages are decided on, and what can run out."""
POD_DAYS = HISTORY_DAYS + 1
"""Days of pods: scores compare with the same time a week ago, and where a pod begins moves on once a day."""
CLUSTER_DAYS = 14
"""Days of the cluster, as many as forecasters are trained on."""
STALE = timedelta(hours=1)
"""A window that ended longer ago than this says nothing about the present."""
INCOMPLETE_AGAIN = timedelta(hours=1)
"""A past day from whose answer series were missing is requested again as a whole. With many pods that is expensive, so
it is done at most this often."""
SYNTHETIC, FETCHED, CACHED = "synthetic", "prometheus", "cached"


@dataclass(frozen=True)
class NewestWindow:
    """The input of the champions.

    Attributes:
        source: "prometheus", "cached" or "synthetic".
        pods: the engine's five metrics of all living pods, as far as a cap allows; ``None``: there are no samples.
        nodes: metrics of each node, on the instants of rows of pods; ``None``: there are none.
        capacities: disks, volumes and quotas.
        cluster: ``timestamp`` and the metrics of ``FORECAST_METRICS``, every five minutes; ``None``: no samples.
        workloads: pod -> ``kind/name`` of its workload, of the pods that kube-state-metrics knows.
        unwatched: why a pod that lives is not among ``pods``, a reason of :mod:`aiops_assets.storage.scores` -> how
            many pods.
        lacking: "pods" or "cluster" -> the error that says why there are no samples.
        notes: what people should know before they trust scores of it.
    """

    source: str
    pods: LivingPods | None = None
    nodes: NodeHistory | None = None
    capacities: tuple[Capacity, ...] = ()
    cluster: pd.DataFrame | None = None
    workloads: Mapping[str, str] = field(default_factory=dict)
    unwatched: Mapping[str, int] = field(default_factory=dict)
    lacking: dict[str, DataError] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def ends(self) -> dict[str, datetime]:
        """ "pods" or "cluster" -> its newest instant."""
        found = {"pods": self.pods.until} if self.pods else {}
        found |= {"cluster": self.cluster["timestamp"].iloc[-1]} if self.cluster is not None else {}
        return {name: pd.Timestamp(end).to_pydatetime() for name, end in found.items()}

    def problems(self, now: datetime) -> list[str]:
        """Why scores of the window say little about the present: missing or old parts first, then the notes."""
        old = [
            Note("old_sample", name=name, hours=(now - end).total_seconds() / 3600).text
            for name, end in self.ends.items()
            if now - end > STALE
        ]
        return [*map(str, self.lacking.values()), *old, *self.notes]


def generated_window(settings: Settings, now: datetime) -> NewestWindow:
    """Healthy generated pods and a generated cluster, up to the present five minutes.

    All windows of a day are cut from the same series, which are generated up to the end of the day.
    """
    until = pd.Timestamp(now.astimezone(UTC)).floor(f"{ROW_EVERY_MINUTES}min")
    midnight = until.normalize() + pd.Timedelta(days=1)
    series = generate(settings.training_pods, POD_DAYS + 1, midnight, settings.random_seed)
    cluster = generate_cluster(CLUSTER_DAYS + 1, midnight, settings.random_seed)
    begin = until - pd.Timedelta(days=CLUSTER_DAYS)
    inside = (cluster["timestamp"] > begin) & (cluster["timestamp"] <= until)
    return NewestWindow(
        source=SYNTHETIC,
        pods=PodHistory.of(_between(series, until - pd.Timedelta(days=POD_DAYS), until)),
        cluster=cluster[inside].reset_index(drop=True),
    )


def fetch_newest(
    client: PrometheusClient,
    lake: Lake,
    now: datetime,
    archive: PrometheusClient | None = None,
    metrics: Sequence[MetricSpec] = SCORED,
    *,
    own: Sequence[MetricSpec] = (),
    missed: Sequence[MetricSpec] = (),
    servers: tuple[str, str] = ("", ""),
    say: Callable[[str], None] = ignore,
    lost: dict[str, str] | None = None,
) -> list[MetricFetch]:
    """Fetch today, and yesterday until it has closed, up to now. The asset ``raw_metrics`` fetches older days.

    Args:
        client: the server.
        lake: the lake that stores the days.
        now: present time, with time zone.
        archive: a server with more history; without it a day that the server has only in part is closed as it is.
        metrics: what is fetched, as the settings have it queried.
        own: metrics of METRICS_FILE, fetched after these; one without a usable answer keeps none from being fetched.
        missed: those of ``own`` whose series are missed when they stop.
        servers: host:port of the server and of the archive, for records and messages.
        say: is told what the server does not answer and nothing depends on.
        lost: gets the metrics of ``own`` that have no usable answer, and why.

    Raises:
        OtherClusterError: the server is of another cluster than the days of the lake; nothing is fetched.
        PrometheusError: there is no usable answer; what was fetched until then is stored.
        StoreError: the lake cannot be read or written.
    """
    client.probe()
    cluster_id = identify(client, lake, servers[0], now)
    check_archive = archive_check(lake, servers[1], now)
    today = now.astimezone(UTC).date()
    fetches: list[MetricFetch] = []
    away = ""
    of_mine = {spec.name for one in own for spec in (one, one.members)}
    for metric in [spec for one in (*metrics, *own) for spec in ((one.members, one) if one.counts_series else (one,))]:
        days = [day for day in (today - timedelta(days=1), today) if _is_due(lake, metric, day, now)]
        try:
            fetch = ingest_metric(
                client,
                lake,
                metric,
                days,
                now,
                archive=archive,
                archive_away=away,
                cluster_id=cluster_id,
                check_archive=check_archive,
            )
        except PrometheusUnreachable:
            raise
        except PrometheusError as error:
            if metric.name not in of_mine:
                raise
            if lost is not None:
                lost[metric.name] = str(error)
            continue
        away = away or fetch.archive_away
        fetches.append(fetch)
    if why := fetch_workloads(client, lake, [today], now):
        say(f"workloads are known by names of pods: {why}")
    if why := fetch_present(client, lake, now, metrics[0].scrape_seconds, missed):
        say(f"pods and nodes that vanish are not missed: {why}")
    return fetches


def stored_window(settings: Settings, lake: Lake, now: datetime, problem: str = "") -> NewestWindow:
    """The newest days of the lake, up to now.

    Args:
        settings: ``scored_pods_max`` and ``random_seed`` are used.
        lake: the lake with fetched days.
        now: present time; later samples are not read.
        problem: why the server could not be reached; empty when it was.

    Raises:
        StoreError: the lake cannot be read at all.
    """
    notes = [Note("cached_newest", problem=problem).text] if problem else []
    pods, cluster = None, None
    copies = RowCopies(lake.storage, lake.cluster)
    unwatched: dict[str, int] = {}
    lacking: dict[str, DataError] = {}
    try:
        pods, unwatched, found = _stored_pods(settings, lake, now, copies)
        notes += found
    except DataError as error:
        lacking["pods"] = error.with_traceback(None)
    try:
        cluster, found = _stored_cluster(lake, now)
        notes += found
    except DataError as error:
        lacking["cluster"] = error.with_traceback(None)
    days = [now.astimezone(UTC).date() - timedelta(days=back) for back in range(POD_DAYS + 1)]
    workloads = workloads_of(lake, days, pods.pods) if pods else {}
    until = pd.Timestamp(now).floor(f"{ROW_EVERY_MINUTES}min")
    rows = pd.date_range(until - pd.Timedelta(days=POD_DAYS), until, freq=f"{ROW_EVERY_MINUTES}min", unit="us")
    return NewestWindow(
        source=CACHED if problem else FETCHED,
        pods=pods,
        nodes=read_nodes(lake, copies, days, pods.times) if pods else None,
        capacities=read_capacities(lake, days, rows),
        cluster=cluster,
        workloads=workloads,
        unwatched=unwatched,
        lacking=lacking,
        notes=tuple(dict.fromkeys(notes)),
    )


def _stored_pods(
    settings: Settings, lake: Lake, now: datetime, copies: RowCopies
) -> tuple[StoredPods, dict[str, int], list[str]]:
    """Living pods, how many more live by why they are not read, and notes."""
    window = _newest_days(lake, POD_CPU, (*ENGINE_METRICS, NETWORK_RECEIVE), POD_DAYS, now)
    living = living_pods(lake, window, now)
    pods = living.at_most(settings.scored_pods_max, settings.random_seed)
    if not pods:
        raise EmptyDataError(
            f"{POD_CPU.name}: no pod has samples in the newest hour of {window.days[-1]}: "
            f"is cAdvisor scraped? Query: {POD_CPU.promql}",
            code="no_living_pod",
            day=window.days[-1],
        )
    unwatched = {ABOVE_CAP: len(living.pods) - len(pods), NO_CPU: len(living.without_cpu)}
    stored = StoredPods(lake, window, pods, living.until, POD_DAYS, copies)
    notes = list(window.damaged)
    if unwatched[ABOVE_CAP]:
        facts = {"most": settings.scored_pods_max, "scored": len(pods), "living": len(living.pods)}
        notes.append(Note("pods_left_out", **facts).text)
    return stored, unwatched, notes


def _stored_cluster(lake: Lake, now: datetime) -> tuple[pd.DataFrame, list[str]]:
    window = _newest_days(lake, FORECAST_METRICS[0], FORECAST_METRICS, CLUSTER_DAYS, now)
    end = pd.Timestamp(window.days[-1], tz="UTC") + pd.Timedelta(days=1)
    values = cluster_series.segment_of(read_cluster(lake, window, end, FORECAST_METRICS))
    values = values[values["timestamp"] <= pd.Timestamp(now)]
    until = values["timestamp"].iloc[-1]
    newest = values[values["timestamp"] > until - pd.Timedelta(days=CLUSTER_DAYS)]
    return newest.reset_index(drop=True), list(window.damaged)


def _newest_days(lake: Lake, first: MetricSpec, metrics: Sequence[MetricSpec], n: int, now: datetime) -> Window:
    """The newest stored day of a metric that is not in the future, and ``n`` days before it. Raises EmptyDataError."""
    last = max((day for day in readable_days(lake, first) if day <= now.astimezone(UTC).date()), default=None)
    if last is None:
        raise EmptyDataError(
            f"{first.name}: the lake holds no day of it; materialize raw_metrics first",
            code="no_stored_day",
            metric=first.name,
        )
    return read_window(lake, [last - timedelta(days=back) for back in range(n, -1, -1)], metrics, counts_pods=False)


def _between(series: PodSeries, after: pd.Timestamp, until: pd.Timestamp) -> PodSeries:
    """The minutes in (after, until], as views of the arrays."""
    first, stop = (int(series.times.searchsorted(time, side="right")) for time in (after, until))
    values = {name: series.values[name][..., first:stop] for name in series.values}
    return replace(series, times=series.times[first:stop], values=values, kind=series.kind[:, first:stop])


def _is_due(lake: Lake, metric: MetricSpec, day: date, now: datetime) -> bool:
    """Whether a day is to be requested: an open one is, but a past one that lacks series once an hour at most."""
    with suppress(IntegrityError):  # fetched again
        info = lake.info(metric, day)
        if info is None or not info.incomplete_since or day == now.astimezone(UTC).date():
            return info is None or not info.closed
        return not info.closed and now - datetime.fromisoformat(info.fetched) >= INCOMPLETE_AGAIN
    return True
