"""The asset raw_metrics: samples of Prometheus, a partition per UTC day with today; only new samples are requested."""

import time
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta

import dagster as dg
from pydantic import Field

from aiops_assets.datasets.identity import archive_check, identify
from aiops_assets.datasets.ingest import MetricFetch, Progress, ingest_metric
from aiops_assets.datasets.workloads import fetch_workloads
from aiops_assets.errors import IntegrityError, NotFoundError, PrometheusUnreachable, StoreError
from aiops_assets.pipeline.fetch_checks import check_results, check_specs, query_notes
from aiops_assets.pipeline.keys import DATA, OWNER
from aiops_assets.pipeline.metadata import picture, table_schema
from aiops_assets.pipeline.partitions import daily
from aiops_assets.pipeline.pod_resources import step_tags
from aiops_assets.pipeline.resources import PrometheusResource, StoresResource
from aiops_assets.prometheus.moved_labels import count_moved
from aiops_assets.registry.retention import expired, prune
from aiops_assets.reporting import plots
from aiops_assets.settings import Settings
from aiops_assets.storage.lake import FetchOutcome, Lake
from aiops_assets.storage.lake_files import StoredDay, readable_days
from aiops_assets.timeseries.catalog import MetricSpec, with_members
from aiops_assets.timeseries.queries import settle_seconds
from aiops_assets.timeseries.schema import combined_digest

RAW_METRICS = dg.AssetKey("raw_metrics")
POOL = "lake"
"""Pool that limits writers of the lake to one run: two would request the same days."""
PROGRESS_SECONDS = 5.0


class FetchConfig(dg.Config):
    """How to fetch."""

    refetch: bool = Field(False, description="Request the whole of each day again, also of closed days.")


def raw_metrics_asset(settings: Settings) -> dg.AssetsDefinition:
    """The asset, with partitions from ``FIRST_DAY`` and the metrics of the catalogue and METRICS_FILE."""
    metrics = settings.metrics

    @dg.asset(
        key=RAW_METRICS,
        group_name=DATA,
        owners=[OWNER],
        kinds={"prometheus", "parquet"},
        partitions_def=daily(settings),
        backfill_policy=dg.BackfillPolicy.single_run(),
        op_tags=step_tags("raw_metrics"),
        pool=POOL,
        check_specs=check_specs(RAW_METRICS),
        description=(
            f"{len(metrics)} metrics and how many series stand behind each, a Parquet file per metric and UTC day "
            "below `<home>/lake/cluster=<name>/`. Closed days are never requested again; of an open day, only what is "
            "new and the hour before it. A range of days is one run. In synthetic mode it is left alone: an "
            "empty day marked as done would never be fetched."
        ),
        metadata=table_schema(
            {
                "timestamp": ("timestamp[us, UTC]", "instant on the metric's grid"),
                "series": ("string", "labels as JSON"),
                "value": ("double", "in the unit of the metric's catalogue entry"),
            }
        )
        | {"queries": dg.MetadataValue.json({metric.name: metric.promql for metric in metrics})},
    )
    def raw_metrics(
        context: dg.AssetExecutionContext,
        config: FetchConfig,
        settings: dg.ResourceParam[Settings],
        prometheus: PrometheusResource,
        stores: StoresResource,
    ) -> dg.MaterializeResult:  # type: ignore[type-arg]  # Dagster reads None there as a second output
        lake, now = stores.lake(), datetime.now(UTC)
        days = [date.fromisoformat(key) for key in context.partition_keys]
        fetches: list[MetricFetch] = []
        away: PrometheusUnreachable | None = None
        moved = 0
        try:
            moved = fetch_all(prometheus, lake, metrics, days, now, fetches, context.log.info, refetch=config.refetch)
        except PrometheusUnreachable as error:
            away = error
        problem = str(away or "")
        lake.note_fetch(
            FetchOutcome(
                when=now.isoformat(),
                reached=not problem,
                problem=problem,
                run_id=context.run.run_id,
                server=prometheus.server,
                first_day=days[0].isoformat(),
                last_day=days[-1].isoformat(),
            )
        )
        if away and settings.fallback == ("fail",):
            raise away
        if problem:
            context.log.warning(f"{problem}; what was fetched before stays, FALLBACK={','.join(settings.fallback)}")
        pruned = () if problem else _prune(stores, settings, now.date(), context.log)
        coverage = coverage_of(lake, metrics, days)
        expected = [coverage[metric.name] for metric in metrics if not metric.optional]
        stands_in = "cached" if any(map(any, coverage.values())) else "none"
        infos = [info for fetch in fetches for info in fetch.infos.values() if info]
        for i, day in enumerate(days):
            day_metadata = {
                "day_coverage": min(shares[i] for shares in expected),
                "day_samples": sum(info.samples for info in infos if info.day == day.isoformat()),
            }
            context.add_asset_metadata(day_metadata, partition_key=day.isoformat())
        return dg.MaterializeResult(
            data_version=dg.DataVersion(combined_digest({f"{i.metric}/{i.day}": i.digest for i in infos})),
            metadata={
                "effective_source": stands_in if problem else "prometheus",
                "server": prometheus.server,
                "days": len(days),
                "days_written": len({day for fetch in fetches for day in fetch.fetched}),
                "instants_asked": sum(fetch.requested for fetch in fetches),
                "samples_stored": sum(info.samples for info in infos),
                "days_pruned": len({stored.day for stored in pruned}),
                "points_revised": sum(fetch.revised for fetch in fetches),
                "not_finite": sum(fetch.not_finite for fetch in fetches),
                "coverage": picture(plots.coverage_map(coverage, days)),
            },
            check_results=check_results(problem, fetches, days, lake, moved),
        )

    return raw_metrics


def _prune(stores: StoresResource, settings: Settings, today: date, log: dg.DagsterLogManager) -> tuple[StoredDay, ...]:
    """Remove days that KEEP_LAKE_DAYS no longer keeps; what cannot be removed now is left to the next fetch."""
    if settings.keep_lake_days is None:
        return ()
    lake = stores.lake()
    try:
        found = expired(lake, stores.served(), stores.training_sets(), settings, today)
        prune(lake, found)
    except StoreError as error:
        log.warning(str(error))
        return ()
    if found.removable or found.needed:
        log.info(
            f"KEEP_LAKE_DAYS={settings.keep_lake_days}: {len(found.removable)} day files from before {found.before} "
            f"were removed, {found.needed} stay because versions were trained on them"
        )
    return found.removable


def fetch_all(
    prometheus: PrometheusResource,
    lake: Lake,
    metrics: Sequence[MetricSpec],
    days: Sequence[date],
    now: datetime,
    fetches: list[MetricFetch],
    say: Callable[[str], None],
    *,
    refetch: bool = False,
) -> int:
    """Fetch each metric and its companion in turn; ``fetches`` gets each result, also if a later one fails.

    The queries that will be sent are tried first, as ``count(<query>)``, so that an error in one is found before a long
    fetch. Where all days are closed none is.

    Returns:
        number of series of kube-state-metrics that have other labels than their queries need.

    Raises:
        PrometheusError: there is no usable answer, or the server is of another cluster than the days of the lake.
    """
    wanted = with_members(metrics)
    spoken = time.monotonic()

    def progress(step: Progress) -> None:
        nonlocal spoken
        if time.monotonic() - spoken > PROGRESS_SECONDS:
            spoken = time.monotonic()
            say(
                f"metric {len(fetches) + 1} of {len(wanted)}: {step.metric}, day {step.days_done} "
                f"of {step.days_requested} ({step.day}), {step.samples:,} samples"
            )

    with prometheus.clients() as (client, archive):
        client.probe()
        cluster_id = identify(client, lake, prometheus.server, now)
        check_archive = archive_check(lake, prometheus.archive, now)
        say(f"{prometheus.server} answers; {len(metrics)} metrics, {len(days)} days")
        settled = {metric.name: now - timedelta(seconds=settle_seconds(metric)) for metric in metrics}
        tried = [m for m in metrics if refetch or _is_requested(lake, m, days) or _is_requested(lake, m.members, days)]
        silent = [m.name for m in tried if not client.count_series(m.promql, settled[m.name])]
        if silent:
            say(f"it has no samples now of {', '.join(silent)}")
        away = ""
        for spec in wanted:
            fetch = ingest_metric(
                client,
                lake,
                spec,
                days,
                now,
                archive=archive,
                archive_away=away,
                refetch=refetch,
                cluster_id=cluster_id,
                check_archive=check_archive,
                on_progress=progress,
            )
            away = away or fetch.archive_away  # an unreachable archive is tried once, not for each metric
            fetches.append(fetch)
        if why := fetch_workloads(client, lake, days, now):
            say(f"workloads are known by names of pods: {why}")
        moved = count_moved(client, now)
    lake.intact.save()
    for note in query_notes(fetches):
        say(f"{note}; the samples are whole")
    written = sum(len(fetch.fetched) for fetch in fetches)
    say(f"{written} day files written, {sum(fetch.requested for fetch in fetches):,} instants requested")
    return moved


def _is_requested(lake: Lake, metric: MetricSpec, days: Sequence[date]) -> bool:
    """Whether any of the days is not stored as it was written, or not closed."""
    try:
        return not all(lake.verify_day(metric, day).closed for day in days)
    except (NotFoundError, IntegrityError):
        return True


def coverage_of(lake: Lake, metrics: Sequence[MetricSpec], days: Sequence[date]) -> dict[str, list[float]]:
    """Metric -> coverage of each day in the lake, 0 to 1."""

    def share(metric: MetricSpec, day: date) -> float:
        try:
            info = lake.info(metric, day)
        except IntegrityError:
            return 0.0
        return info.coverage if info else 0.0

    stored = {metric.name: readable_days(lake, metric) for metric in metrics}
    return {metric.name: [share(stored[metric.name].get(day, metric), day) for day in days] for metric in metrics}
