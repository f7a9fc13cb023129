"""raw_metrics: what Prometheus says, a partition a UTC day."""

from datetime import UTC, date, datetime, timedelta

import dagster as dg
import pandas as pd

from aiops_assets import plots
from aiops_assets.assets.partitions import daily
from aiops_assets.assets.reporting import picture, table_schema
from aiops_assets.errors import EmptyDataError, StoreError
from aiops_assets.prometheus.client import PrometheusClient
from aiops_assets.resources import PrometheusResource, StoresResource
from aiops_assets.settings import Settings
from aiops_assets.stores.lake import DayInfo, Lake
from aiops_assets.timeseries.catalog import ENGINE_METRICS, MetricSpec
from aiops_assets.timeseries.schema import combined_digest

RAW_METRICS = dg.AssetKey("raw_metrics")


def raw_metrics_asset(settings: Settings) -> dg.AssetsDefinition:
    """The asset, with partitions from ``FIRST_DAY``."""

    @dg.asset(
        key=RAW_METRICS,
        group_name="data",
        kinds={"prometheus", "parquet"},
        partitions_def=daily(settings),
        backfill_policy=dg.BackfillPolicy.single_run(),
        description=(
            "The engine's five metrics from Prometheus, one sample a minute, a Parquet file per metric and UTC day "
            "below `<home>/lake/cluster=<name>/`. A range of days is fetched in one run. In synthetic mode it is "
            "left alone: an empty day marked as done would never be fetched."
        ),
        metadata=table_schema(
            {
                "timestamp": ("timestamp[us, UTC]", "full minute"),
                "series": ("string", "labels as JSON"),
                "value": ("double", "in the unit of the metric's catalogue entry"),
            }
        ),
    )
    def raw_metrics(
        context: dg.AssetExecutionContext, prometheus: PrometheusResource, stores: StoresResource
    ) -> dg.MaterializeResult[None]:
        lake = stores.lake()
        digests, samples, coverage = {}, 0, []
        with prometheus.client() as client:
            client.probe()
            for key in context.partition_keys:
                day = date.fromisoformat(key)
                for info in fetch_day(client, lake, day):
                    digests[f"{info.metric}/{key}"] = info.digest
                    samples += info.samples
                    coverage.append(info.coverage)
                context.log.info(f"{key}: {len(ENGINE_METRICS)} metrics written")
        newest = {metric.name: lake.read_day(metric, day)[0].mean(axis=1) for metric in ENGINE_METRICS}
        return dg.MaterializeResult(
            data_version=dg.DataVersion(combined_digest(digests)),
            metadata={
                "effective_source": "prometheus",
                "days": len(context.partition_keys),
                "samples": samples,
                "lowest_coverage": min(coverage),
                "queries": dg.MetadataValue.json({metric.name: metric.promql for metric in ENGINE_METRICS}),
                "newest_day": picture(plots.metric_lines(newest, ENGINE_METRICS, f"{day}: mean over series")),
            },
        )

    return raw_metrics


def fetch_day(client: PrometheusClient, lake: Lake, day: date) -> list[DayInfo]:
    """Fetch all metrics of a UTC day into the lake; what is kept of each metric.

    Raises:
        EmptyDataError: a metric without any series.
        PrometheusError: no answer that can be used.
    """
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    infos = []
    for metric in ENGINE_METRICS:
        wide = client.query_range(metric.promql, start, start + timedelta(days=1), metric.step_seconds)
        if wide.shape[1] == 0:
            raise EmptyDataError(
                f"{metric.name} of {day}: Prometheus answered without any series for {metric.promql}; "
                "is the day within its retention, and is the exporter scraped?"
            )
        infos.append(_write_unless_poorer(lake, metric, day, wide))
    return infos


def _write_unless_poorer(lake: Lake, metric: MetricSpec, day: date, wide: pd.DataFrame) -> DayInfo:
    """Write a day, but keep an earlier fetch with more samples: a server forgets what is beyond its retention."""
    try:
        stored = lake.read_day(metric, day)[1]
    except StoreError:
        stored = None
    if stored and stored.samples > wide.count().sum():
        return stored
    return lake.write_day(metric, day, wide, datetime.now(UTC).isoformat())
