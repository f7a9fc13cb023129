"""training_set/pod_features: rows of the view, from the source that DATA_SOURCE names, stored under their digest."""

from datetime import date

import dagster as dg
import numpy as np
import pandas as pd

from aiops_assets import plots
from aiops_assets.assets.handoff import SeriesRef, TrainingSetRef
from aiops_assets.assets.partitions import window_days
from aiops_assets.assets.raw_metrics import RAW_METRICS
from aiops_assets.assets.reporting import feature_columns, picture, table_schema
from aiops_assets.assets.synthetic_series import SYNTHETIC_SERIES
from aiops_assets.errors import EmptyDataError, IntegrityError, SettingsError
from aiops_assets.models.catalog import ANOMALY_DETECTOR, POD_FEATURES
from aiops_assets.resources import StoresResource
from aiops_assets.settings import Settings
from aiops_assets.stores.lake import Lake
from aiops_assets.stores.records import Day, SyntheticRecipe, TrainingSetRecord
from aiops_assets.timeseries.catalog import ENGINE_METRICS, POD_CPU
from aiops_assets.timeseries.schema import combined_digest, content_digest, day_digests
from aiops_assets.timeseries.series import from_metric_frames, pod_of
from aiops_assets.timeseries.training_rows import real_rows, synthetic_rows, validate

POD_FEATURES_KEY = dg.AssetKey(["training_set", POD_FEATURES])


@dg.asset(
    key=POD_FEATURES_KEY,
    ins={"series": dg.AssetIn(key=SYNTHETIC_SERIES)},
    deps=[RAW_METRICS],
    group_name="data",
    kinds={"parquet"},
    backfill_policy=dg.BackfillPolicy.single_run(),
    description=(
        "A row is one pod at one time: the 45 columns of the anomaly-detector, every five minutes, the asked share "
        "of rows anomalous and labelled with their kind. Stored under the digest of its rows and never changed."
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
    if settings.data_source == "synthetic":
        rows, record = from_recipe(series, settings)
    elif settings.data_source == "prometheus":
        rows, record = from_lake(stores.lake(), settings)
    else:
        raise SettingsError(
            f"DATA_SOURCE={settings.data_source} blends real and synthetic rows, which is not built yet: "
            "set DATA_SOURCE=synthetic or DATA_SOURCE=prometheus"
        )
    validate(rows)
    stores.training_sets().put(rows, record)
    context.log.info(f"{len(rows)} rows, effective source {record.effective_source}, data {record.data_version}")
    return dg.MaterializeResult(
        value=TrainingSetRef(view=record.view, data_version=record.data_version),
        data_version=dg.DataVersion(record.data_version),
        metadata={
            "dagster/row_count": len(rows),
            "dagster/uri": stores.training_sets().locate(record.view, record.data_version),
            "data_version": record.data_version,
            "effective_source": record.effective_source,
            "label_rate": record.label_rate,
            "pods": len(record.pods),
            "window": f"{record.window_start} to {record.window_end}",
            "days": dg.MetadataValue.json({day.day: day.digest for day in record.days}),
            "plot": picture(plots.label_timeline(rows)),
        },
    )


def from_recipe(series: SeriesRef, settings: Settings) -> tuple[pd.DataFrame, TrainingSetRecord]:
    """Rows drawn from generated series, and where they come from.

    Raises:
        IntegrityError: the recipe no longer yields the series that was announced.
    """
    recipe = series.recipe
    labelled = recipe.series()
    days = day_digests(labelled.to_frame())
    if combined_digest(days) != series.data_version:
        raise IntegrityError("synthetic_series was made by other code: materialize it again")
    rows = synthetic_rows(labelled, settings.n_samples, recipe.anomaly_rate, recipe.seed)
    return rows, _record(
        rows,
        settings,
        seed=recipe.seed,
        rate=recipe.anomaly_rate,
        window=(labelled.times[0], pd.Timestamp(recipe.end)),
        pods=labelled.pods,
        days=[Day(day=day, digest=digest) for day, digest in days.items()],
        recipe=recipe,
    )


def from_lake(lake: Lake, settings: Settings) -> tuple[pd.DataFrame, TrainingSetRecord]:
    """Rows of the fetched window, and where they come from."""
    days = window_days(settings, ANOMALY_DETECTOR.training_days)
    frames: dict[str, pd.DataFrame] = {}
    digests: dict[date, dict[str, str]] = {day: {} for day in days}
    for metric in ENGINE_METRICS:
        parts = []
        for day in days:
            wide, info = lake.read_day(metric, day)
            parts.append(wide)
            digests[day][metric.name] = info.digest
        frames[metric.name] = pd.concat(parts)
    names = sorted({pod_of(column) for column in frames[POD_CPU.name].columns} - {""})
    if not names:
        raise EmptyDataError(f"no pod in {POD_CPU.promql}: is cAdvisor scraped?")
    rng = np.random.default_rng([settings.random_seed, 4])
    pods = sorted(rng.permutation(names)[: settings.training_pods].tolist())
    start, end = pd.Timestamp(days[0], tz="UTC"), settings.end
    series = from_metric_frames(frames, ENGINE_METRICS, start, end, pods)
    rows = real_rows(series, settings.anomaly_rate, settings.random_seed)
    return rows, _record(
        rows,
        settings,
        seed=settings.random_seed,
        rate=settings.anomaly_rate,
        window=(start, end),
        pods=tuple(pods),
        days=[
            Day(day=day.isoformat(), digest=combined_digest(metrics), metrics=metrics)
            for day, metrics in digests.items()
        ],
        queries={metric.name: metric.promql for metric in ENGINE_METRICS},
    )


def _record(
    rows: pd.DataFrame,
    settings: Settings,
    *,
    seed: int,
    rate: float,
    window: tuple[pd.Timestamp, pd.Timestamp],
    pods: tuple[str, ...],
    days: list[Day],
    queries: dict[str, str] | None = None,
    recipe: SyntheticRecipe | None = None,
) -> TrainingSetRecord:
    return TrainingSetRecord(
        view=POD_FEATURES,
        data_version=content_digest(rows),
        rows_sha256="",
        cluster=settings.cluster,
        effective_source="synthetic" if recipe else "prometheus",
        window_start=window[0].to_pydatetime(),
        window_end=window[1].to_pydatetime(),
        rows=len(rows),
        label_rate=float(rows["label"].mean()),
        anomaly_rate=rate,
        seed=seed,
        pods=pods,
        queries=queries or {},
        days=tuple(days),
        recipe=recipe,
    )
