"""training_set/<view>: rows of a view, blended as DATA_SOURCE says, stored under their digest."""

from datetime import UTC, datetime

import dagster as dg

from aiops_assets import plots, sources
from aiops_assets.assets.partitions import window_days
from aiops_assets.assets.raw_metrics import RAW_METRICS
from aiops_assets.assets.reporting import picture, source_metadata, table_schema
from aiops_assets.assets.synthetic_series import SYNTHETIC_SERIES
from aiops_assets.models.catalog import MODELS
from aiops_assets.resources import StoresResource
from aiops_assets.settings import Settings
from aiops_assets.stores.handoff import SeriesRef, TrainingSetRef
from aiops_assets.timeseries.views import View


def training_set_key(view: str) -> dg.AssetKey:
    """Key of a view's training set."""
    return dg.AssetKey(["training_set", view])


def training_set_asset(view: View) -> dg.AssetsDefinition:
    """The asset that builds the rows of one view, over the longest window that a model of it asks for."""
    training_days = max(spec.training_days for spec in MODELS if spec.view == view.name)

    @dg.asset(
        key=training_set_key(view.name),
        ins={"series": dg.AssetIn(key=SYNTHETIC_SERIES)},
        deps=[RAW_METRICS],
        group_name="data",
        kinds={"parquet"},
        backfill_policy=dg.BackfillPolicy.single_run(),
        description=(
            f"{view.about} The asked share of rows is anomalous and labelled with its kind. When Prometheus is away, "
            "FALLBACK decides. Stored under the digest of its rows and never changed."
        ),
        metadata=table_schema(
            {
                "timestamp": ("timestamp[us, UTC]", "instant of the row"),
                "pod": ("string", "whose row it is"),
                "source": ("string", "where the row comes from: synthetic or prometheus"),
                "split": ("string", "train, or holdout: the newest fifth of the window, fitted by no model"),
                "label": ("int64", "1: the row's own minute is anomalous"),
                "kind": ("string", "kind of the anomaly, or normal"),
                **{name: ("double", text) for name, text in view.columns.items()},
            }
        ),
    )
    def training_set(
        context: dg.AssetExecutionContext,
        series: SeriesRef,
        settings: dg.ResourceParam[Settings],
        stores: StoresResource,
    ) -> dg.MaterializeResult[TrainingSetRef]:
        days = window_days(settings, training_days)
        rows, record = sources.training_set(
            view, settings, series.recipe, series.data_version, stores.lake(), days, datetime.now(UTC)
        )
        view.validate(rows)
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

    return training_set
