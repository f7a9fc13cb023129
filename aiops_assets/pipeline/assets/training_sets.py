"""The asset <view>: rows of a view, blended according to DATA_SOURCE, stored under their digest."""

from datetime import UTC, datetime

import dagster as dg
import pandas as pd

from aiops_assets.datasets.earlier import with_earlier_days
from aiops_assets.datasets.reuse import Request, stored_training_set
from aiops_assets.datasets.selection import training_set_name
from aiops_assets.pipeline.assets.raw_metrics import RAW_METRICS
from aiops_assets.pipeline.assets.synthetic_series import SYNTHETIC_SERIES
from aiops_assets.pipeline.keys import DATA, OWNER, TRAINING_SET, handed_over
from aiops_assets.pipeline.metadata import picture, preview, source_metadata, table_schema
from aiops_assets.pipeline.partitions import earlier_days, training_days, window_days
from aiops_assets.pipeline.pod_resources import step_tags
from aiops_assets.pipeline.resources import StoresResource
from aiops_assets.reporting import plots, previews
from aiops_assets.settings import Settings
from aiops_assets.storage.handoff import SeriesRef, TrainingSetRef
from aiops_assets.views.catalog import View


def training_set_key(view: str, source: str = "") -> dg.AssetKey:
    """Asset key of a view's training set; ``source`` is empty for that of the environment."""
    return dg.AssetKey(training_set_name(view, source))


def training_set_asset(view: View, source: str = "") -> dg.AssetsDefinition:
    """The asset with the rows of one view, over the longest window that a model of it needs, and what the lake holds
    before it where a model learns from that."""

    @dg.asset(
        key=training_set_key(view.name, source),
        ins={"series": dg.AssetIn(key=SYNTHETIC_SERIES)},
        deps=[RAW_METRICS],
        group_name=DATA,
        owners=[OWNER],
        tags={"aiops/view": view.name},
        kinds={"parquet"},
        backfill_policy=dg.BackfillPolicy.single_run(),
        op_tags=step_tags("training_set"),
        description=(
            f"{view.about} If Prometheus is away, FALLBACK decides. Stored under the digest of its rows and never "
            "changed."
        ),
        metadata=table_schema(
            {
                "timestamp": ("timestamp[us, UTC]", "instant of the row"),
                "pod": ("string", "whose row it is, namespace/name; cluster: of all pods and nodes together"),
                "source": ("string", "where the row comes from: synthetic or prometheus"),
                "split": (
                    "string",
                    "train, or holdout: the newest fifth of the window (at most 67 h of a cluster), fitted by no model",
                ),
                "label": ("int64", "1: the row's own minute is anomalous"),
                "kind": ("string", "kind of the anomaly, or normal"),
                **{name: ("double", text) for name, text in view.columns.items()},
            }
        )
        | handed_over(training_set_name(view.name, source), TRAINING_SET),
    )
    def training_set(
        context: dg.AssetExecutionContext,
        series: SeriesRef,
        settings: dg.ResourceParam[Settings],
        stores: StoresResource,
    ) -> dg.MaterializeResult[TrainingSetRef]:
        sets, lake, own = stores.training_sets(), stores.lake(), settings.for_source(source)
        window = window_days(settings, training_days(view.name))
        request = Request(
            view=view,
            settings=own,
            recipe=series.recipe,
            announced=series.data_version,
            days=with_earlier_days(lake, window, view.metrics, earlier_days(own, view.name)),
        )
        found = stored_training_set(request, training_set_name(view.name, source), lake, sets, datetime.now(UTC))
        rows, record = found.rows, found.record
        where = sets.locate(record.view, record.data_version)
        origin = f"unchanged, taken from {where}" if found.is_reused else "built"
        for warning in record.source.warnings:
            context.log.warning(warning)
        context.log.info(
            f"{len(rows)} rows, effective source {record.effective_source}, data {record.data_version}: {origin}"
        )
        return dg.MaterializeResult(
            value=TrainingSetRef(
                view=record.view,
                data_version=record.data_version,
                effective_source=record.effective_source,
                source=record.source,
            ),
            data_version=dg.DataVersion(record.data_version),
            metadata={
                **preview(_preview(view, rows)),
                "dagster/row_count": len(rows),
                "dagster/uri": where,
                "data_version": record.data_version,
                "reused": found.is_reused,
                **source_metadata(record.effective_source, record.source),
                "label_rate": record.label_rate,
                "pods": len(record.pods),
                "window": f"{record.window_start} to {record.window_end}",
                "days": dg.MetadataValue.json({f"{day.source} {day.day}": day.digest for day in record.days}),
                "plot": picture(_plot(view, rows)),
            },
        )

    return training_set


def _plot(view: View, rows: pd.DataFrame) -> bytes:
    """PNG of the labels over time or, of a view without any, of a fetched segment, else of a generated one."""
    if view.is_labelled:
        return plots.label_timeline(rows)
    source = "prometheus" if (rows["source"] == "prometheus").any() else "synthetic"
    shown = rows[rows["source"] == source].set_index("timestamp")
    return plots.metric_lines({name: shown[name] for name in view.values}, view.metrics, f"the cluster, {source}")


def _preview(view: View, rows: pd.DataFrame) -> str:
    """The first column in order of time; anomalous rows are marked."""
    order = previews.in_order(rows["timestamp"])
    return previews.timeline(rows[next(iter(view.columns))].to_numpy()[order], rows["label"].to_numpy()[order] == 1)
