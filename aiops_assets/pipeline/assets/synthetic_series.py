"""The asset synthetic_series: labelled pods, generated with a seed."""

import dagster as dg

from aiops_assets.datasets.generation import frame_of
from aiops_assets.pipeline.keys import DATA, OWNER
from aiops_assets.pipeline.metadata import picture, preview, table_schema
from aiops_assets.pipeline.partitions import longest_window
from aiops_assets.pipeline.pod_resources import step_tags
from aiops_assets.reporting import plots, previews
from aiops_assets.settings import Settings
from aiops_assets.storage.handoff import SeriesRef
from aiops_assets.storage.records import SyntheticRecipe
from aiops_assets.synthetic.anomalies import ANOMALIES
from aiops_assets.timeseries.catalog import SYNTHETIC_METRICS
from aiops_assets.timeseries.schema import combined_digest, day_digests
from aiops_assets.views.catalog import POD_VIEWS

SYNTHETIC_SERIES = dg.AssetKey("synthetic_series")


@dg.asset(
    key=SYNTHETIC_SERIES,
    group_name=DATA,
    owners=[OWNER],
    kinds={"numpy"},
    backfill_policy=dg.BackfillPolicy.single_run(),
    op_tags=step_tags("synthetic_series"),
    description=(
        "Seeded pods, one sample a minute, with harmless changes (roll-outs, nightly work, weekends and others) and "
        "labelled anomalies. What is kept is the recipe: the "
        "same recipe yields the same rows on every machine, so they are generated again wherever they are needed."
    ),
    metadata=table_schema(
        {
            "timestamp": ("timestamp[us, UTC]", "full minute"),
            "pod": ("string", "synthetic-000 and so on"),
            **{metric.name: ("double", f"{metric.description} ({metric.unit})") for metric in SYNTHETIC_METRICS},
            "kind": ("string", f"normal, {', '.join(ANOMALIES)}"),
        }
    ),
)
def synthetic_series(settings: dg.ResourceParam[Settings]) -> dg.MaterializeResult[SeriesRef]:
    """Generate labelled series, and return their recipe and digest."""
    recipe = SyntheticRecipe(
        n_pods=settings.training_pods,
        days=len(longest_window(settings, POD_VIEWS)),
        end=settings.end.to_pydatetime(),
        seed=settings.random_seed,
        anomaly_rate=settings.anomaly_rate,
    )
    frame = frame_of(recipe)
    data_version = combined_digest(day_digests(frame))
    return dg.MaterializeResult(
        value=SeriesRef(data_version=data_version, recipe=recipe),
        data_version=dg.DataVersion(data_version),
        metadata={
            **preview(previews.timeline(frame[SYNTHETIC_METRICS[0].name], frame["kind"] != "normal")),
            "dagster/row_count": len(frame),
            "effective_source": "synthetic",
            "pods": recipe.n_pods,
            "window": f"{frame['timestamp'].iloc[0]} to {frame['timestamp'].iloc[-1]}",
            "seed": recipe.seed,
            "minutes_by_kind": dg.MetadataValue.json({str(k): int(n) for k, n in frame["kind"].value_counts().items()}),
            "plot": picture(plots.labelled_pods(frame)),
        },
    )
