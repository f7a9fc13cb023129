"""training_set/pod_features: rows of the view, blended as DATA_SOURCE says, stored under their digest."""

from datetime import UTC, datetime

import dagster as dg

from aiops_assets import plots, sources
from aiops_assets.assets.partitions import window_days
from aiops_assets.assets.raw_metrics import RAW_METRICS
from aiops_assets.assets.reporting import feature_columns, picture, source_metadata, table_schema
from aiops_assets.assets.synthetic_series import SYNTHETIC_SERIES
from aiops_assets.models.catalog import ANOMALY_DETECTOR, POD_FEATURES
from aiops_assets.resources import StoresResource
from aiops_assets.settings import Settings
from aiops_assets.stores.handoff import SeriesRef, TrainingSetRef
from aiops_assets.timeseries.training_rows import validate

POD_FEATURES_KEY = dg.AssetKey(["training_set", POD_FEATURES])


@dg.asset(
    key=POD_FEATURES_KEY,
    ins={"series": dg.AssetIn(key=SYNTHETIC_SERIES)},
    deps=[RAW_METRICS],
    group_name="data",
    kinds={"parquet"},
    backfill_policy=dg.BackfillPolicy.single_run(),
    description=(
        "A row is one pod at one time: the 45 columns of the anomaly-detector, the asked share of rows anomalous and "
        "labelled with their kind. Real rows are all kept, every five minutes; generated ones are added as the blend "
        "asks. When Prometheus is away, FALLBACK decides. Stored under the digest of its rows and never changed."
    ),
    metadata=table_schema(
        {
            "timestamp": ("timestamp[us, UTC]", "instant of the row"),
            "pod": ("string", "whose row it is"),
            "source": ("string", "where the row comes from: synthetic or prometheus"),
            "split": ("string", "train, or holdout: the newest fifth of the window, fitted by no model"),
            "label": ("int64", "1: the row's own minute is anomalous"),
            "kind": ("string", "kind of the anomaly, or normal"),
            **feature_columns(),
        }
    ),
)
def pod_features(
    context: dg.AssetExecutionContext,
    series: SeriesRef,
    settings: dg.ResourceParam[Settings],
    stores: StoresResource,
) -> dg.MaterializeResult[TrainingSetRef]:
    """Read the source, build the rows, store them."""
    days = window_days(settings, ANOMALY_DETECTOR.training_days)
    rows, record = sources.pod_features(
        settings, series.recipe, series.data_version, stores.lake(), days, datetime.now(UTC)
    )
    validate(rows)
    stores.training_sets().put(rows, record)
    for warning in record.source.warnings:
        context.log.warning(warning)
    context.log.info(f"{len(rows)} rows, effective source {record.effective_source}, data {record.data_version}")
    return dg.MaterializeResult(
        value=TrainingSetRef(
            view=record.view,
            data_version=record.data_version,
            effective_source=record.effective_source,
            source=record.source,
        ),
        data_version=dg.DataVersion(record.data_version),
        metadata={
            "dagster/row_count": len(rows),
            "dagster/uri": stores.training_sets().locate(record.view, record.data_version),
            "data_version": record.data_version,
            **source_metadata(record.effective_source, record.source),
            "label_rate": record.label_rate,
            "pods": len(record.pods),
            "window": f"{record.window_start} to {record.window_end}",
            "days": dg.MetadataValue.json({f"{day.source} {day.day}": day.digest for day in record.days}),
            "plot": picture(plots.label_timeline(rows)),
        },
    )
