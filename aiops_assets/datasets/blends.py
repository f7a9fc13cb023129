"""The rows of one view, made of what was generated and of what the lake holds, and what they were made of."""

from dataclasses import dataclass

import pandas as pd

from aiops_assets.datasets.window import LEAST_POD_MINUTES, Window, draw_pods, read_cluster, read_pods
from aiops_assets.errors import EmptyDataError, IntegrityError
from aiops_assets.settings import Settings
from aiops_assets.storage.lake import Lake
from aiops_assets.storage.records import Day, SyntheticRecipe
from aiops_assets.timeseries.catalog import POD_CPU
from aiops_assets.timeseries.schema import combined_digest, day_digests
from aiops_assets.timeseries.series import PodSeries
from aiops_assets.views import cluster_metrics as cluster_series
from aiops_assets.views.catalog import POD_SERIES, View
from aiops_assets.views.pod_features import (
    VISIBLE_KINDS,
    blended_rows,
    holdout_of,
    holdout_start,
    synthetic_rows,
)
from aiops_assets.views.pod_series import MOST_PODS, blended_segments, generated_pods, segment_rows

LEAST_BLEND_PODS = 20
"""Fewer generated pods leave holes in the range of levels, whatever TRAINING_PODS says of real ones."""


@dataclass(frozen=True)
class Blend:
    """Rows and what they were made of.

    Attributes:
        rows: in the columns of the view.
        pods: the real ones, or the generated ones where there are no others; of a cluster its segments.
        recipe: of the generated rows; ``None``: there are none.
        days: that were generated, with their digests.
        start: begin of the window.
        anomaly_rate: that was asked for.
        missing: share that gaps cost; ``None`` for generated rows alone.
        warnings: what people should know.
    """

    rows: pd.DataFrame
    pods: tuple[str, ...]
    recipe: SyntheticRecipe | None
    days: tuple[Day, ...]
    start: pd.Timestamp
    anomaly_rate: float
    missing: float | None = None
    warnings: tuple[str, ...] = ()


def generated_pod_rows(view: View, settings: Settings, recipe: SyntheticRecipe, announced: str) -> Blend:
    """Generated pods alone: N_SAMPLES drawn rows, or whole pods where the view has segments.

    Raises:
        IntegrityError: the recipe no longer yields the series that was announced.
    """
    derived = view.name == POD_SERIES
    if derived:
        recipe = recipe.model_copy(update={"n_pods": MOST_PODS, "kinds": VISIBLE_KINDS})
    series = recipe.series()
    days = _generated_days(series.to_frame())
    if not derived and combined_digest({day.day: day.digest for day in days}) != announced:
        raise IntegrityError("synthetic_series was made by other code: materialize it again")
    if derived:
        rows = segment_rows(series, holdout_start(len(series.times)), source="synthetic")
    else:
        rows = synthetic_rows(series, settings.n_samples, recipe.anomaly_rate, recipe.seed)
    return Blend(rows, series.pods, recipe, days, series.times[0], settings.anomaly_rate)


def blended_pod_rows(view: View, settings: Settings, lake: Lake, window: Window, recipe: SyntheticRecipe) -> Blend:
    """All rows of drawn pods of fetched days, blended with as many generated ones as the share asks for.

    Raises:
        EmptyDataError: no pod, no node or no complete row in the window.
    """
    n_pods = min(settings.training_pods, view.most_pods or settings.training_pods)
    pods = draw_pods(window.pod_minutes, n_pods, settings.random_seed)
    if not pods:
        raise EmptyDataError(
            f"{POD_CPU.name}: of {len(window.pod_minutes)} pods none lived for {LEAST_POD_MINUTES} minutes from "
            f"{window.days[0]} to {window.days[-1]}; is cAdvisor scraped, and are these days within the server's "
            f"retention? Query: {POD_CPU.promql}"
        )
    real = read_pods(lake, window, settings.end, pods)
    cut = holdout_of(real)
    share, rate, seed = settings.synthetic_share, settings.anomaly_rate, settings.random_seed
    blend = _blend_recipe(view, recipe, real, len(window.days), cut, share) if share else None
    generated = blend.series() if blend else None
    if view.name == POD_SERIES:
        rows, missing = blended_segments(real, generated, rate, seed, cut)
    else:
        rows, missing = blended_rows(real, generated, share, rate, seed, cut)
    n_silent = len(pods) - rows.loc[rows["source"] == "prometheus", "pod"].nunique()
    warnings = (f"{n_silent} of {len(pods)} pods gave no row: gaps in their metrics",) if n_silent else ()
    days = _generated_days(generated.to_frame()) if generated else ()
    return Blend(rows, pods, blend, days, real.times[0], rate, missing, warnings)


def generated_cluster_rows(recipe: SyntheticRecipe, n_days: int) -> Blend:
    """A generated cluster alone, over so many days."""
    recipe = recipe.cluster(n_days)
    values = recipe.frame()
    rows = cluster_series.segment_rows(values, cluster_series.holdout_of(values), source="synthetic")
    start = pd.Timestamp(values["timestamp"].iloc[0])
    return Blend(rows, (cluster_series.GENERATED,), recipe, _generated_days(values), start, 0.0)


def blended_cluster_rows(view: View, settings: Settings, lake: Lake, window: Window, recipe: SyntheticRecipe) -> Blend:
    """All fetched rows of the window, and beside them the newest of a generated cluster as the share asks for.

    Raises:
        EmptyDataError: no sample in the window.
        SchemaError: a metric has more than one series.
    """
    fetched = read_cluster(lake, window, settings.end, view.metrics)
    real = cluster_series.segment_of(fetched)
    share = settings.synthetic_share
    blend = recipe.cluster(len(window.days)) if share else None
    generated = blend.frame() if blend else None
    rows, missing = cluster_series.blended_segments(real, generated, share)
    lacking = 0 if generated is None else cluster_series.generated_rows(real, share) - len(generated)
    warnings: tuple[str, ...] = ()
    if lacking > 0:
        got = (rows["source"] == "synthetic").mean()
        warnings = (f"SYNTHETIC_RATIO={share:g}: a generated cluster has no more rows than its window, {got:.0%} are",)
    days = () if generated is None else _generated_days(generated)
    start = pd.Timestamp(fetched["timestamp"].iloc[0])
    return Blend(rows, tuple(rows["pod"].unique()), blend, days, start, 0.0, missing, warnings)


def _blend_recipe(
    view: View, recipe: SyntheticRecipe, real: PodSeries, days: int, cut: int, share: float
) -> SyntheticRecipe:
    """The recipe on the minutes of fetched series, with their hold-out and the kinds that rows can show."""
    n_pods = generated_pods(real, share) if view.name == POD_SERIES else max(recipe.n_pods, LEAST_BLEND_PODS)
    return recipe.model_copy(update={"days": days, "cut": cut, "kinds": VISIBLE_KINDS, "n_pods": n_pods})


def _generated_days(frame: pd.DataFrame) -> tuple[Day, ...]:
    return tuple(Day(day=day, source="synthetic", digest=digest) for day, digest in day_digests(frame).items())
