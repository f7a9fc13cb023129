"""The rows of one view, made of generated rows and of those of the lake, with a record of both."""

from dataclasses import dataclass
from typing import Protocol

import pandas as pd
from typing_extensions import override

from aiops_assets.datasets.generation import frame_of, series_of
from aiops_assets.datasets.notes import Note
from aiops_assets.datasets.window import MIN_POD_MINUTES, Window, draw_pods, read_cluster, read_pods
from aiops_assets.errors import EmptyDataError, IntegrityError
from aiops_assets.settings import Settings
from aiops_assets.storage.lake import Lake
from aiops_assets.storage.records import Day, SyntheticRecipe
from aiops_assets.timeseries.catalog import POD_CPU, RESTARTS
from aiops_assets.timeseries.quality import doubled_at
from aiops_assets.timeseries.schema import combined_digest, day_digests
from aiops_assets.timeseries.series import PodSeries
from aiops_assets.views import cluster_metrics
from aiops_assets.views.catalog import CLUSTER_METRICS_VIEW, POD_FEATURES, POD_SERIES, View
from aiops_assets.views.pod_features import (
    VISIBLE_KINDS,
    blended_rows,
    holdout_of,
    holdout_start,
    synthetic_rows,
)
from aiops_assets.views.pod_series import MAX_PODS, blended_segments, generated_pods, segment_rows

MIN_BLEND_PODS = 20
"""Least number of generated pods, also if TRAINING_PODS is lower: fewer leave holes in the range of levels."""


@dataclass(frozen=True)
class Blend:
    """Rows and what they were made of.

    Attributes:
        rows: rows with the columns of the view.
        pods: names of the real pods, or of the generated ones where there are no others; of a cluster, its segments.
        recipe: recipe of the generated rows; ``None``: there are none.
        days: generated days with their digests.
        start: begin of the window.
        anomaly_rate: requested share (0 to 1) of anomalous rows.
        missing: share (0 to 1) of rows lost to gaps; ``None`` for generated rows alone.
        notes: what people should know before they trust a model of these rows.
    """

    rows: pd.DataFrame
    pods: tuple[str, ...]
    recipe: SyntheticRecipe | None
    days: tuple[Day, ...]
    start: pd.Timestamp
    anomaly_rate: float
    missing: float | None = None
    notes: tuple[Note, ...] = ()


class Blender(Protocol):
    """How the rows of one view are made."""

    def generated(self, view: View, settings: Settings, recipe: SyntheticRecipe, announced: str, n_days: int) -> Blend:
        """Generated rows alone.

        Args:
            view: view of the training set.
            settings: settings of the blend.
            recipe: recipe of generated pods.
            announced: data version that the asset synthetic_series stated for the recipe; recipes derived from it have
                others.
            n_days: length of the window in days, where it is not that of the recipe.

        Raises:
            IntegrityError: the recipe no longer yields the series that was announced.
        """

    def blended(self, view: View, settings: Settings, lake: Lake, window: Window, recipe: SyntheticRecipe) -> Blend:
        """Rows of fetched days, blended with as many generated ones as the share asks for.

        Raises:
            EmptyDataError: the window has no samples of which a row can be made.
            SchemaError: a metric has two series of one pod, or of the cluster.
        """


class PodFeatures(Blender):
    """Rows of 45 columns; without real rows, N_SAMPLES generated ones are drawn."""

    @override
    def generated(self, view: View, settings: Settings, recipe: SyntheticRecipe, announced: str, n_days: int) -> Blend:
        series = series_of(recipe)
        days = _generated_days(series.to_frame())
        if combined_digest({day.day: day.digest for day in days}) != announced:
            raise IntegrityError("synthetic_series was made by other code: materialize it again", code="other_code")
        rows = synthetic_rows(series, settings.n_samples, recipe.anomaly_rate, recipe.seed)
        return Blend(rows, series.pods, recipe, days, series.times[0], settings.anomaly_rate)

    @override
    def blended(self, view: View, settings: Settings, lake: Lake, window: Window, recipe: SyntheticRecipe) -> Blend:
        """All rows of the drawn pods, and the share of generated ones."""
        drawn = _drawn(view, settings, lake, window)
        share, rate, seed = settings.synthetic_share, settings.anomaly_rate, settings.random_seed
        n_pods = max(recipe.n_pods, MIN_BLEND_PODS)
        blend = _beside(recipe, drawn, len(window.days), n_pods) if share else None
        generated = series_of(blend) if blend else None
        rows, missing = blended_rows(drawn.real, generated, share, rate, seed, drawn.cut)
        return _pod_blend(drawn, rows, missing, blend, generated, rate)


class PodSegments(Blender):
    """Unbroken segments of whole pods."""

    @override
    def generated(self, view: View, settings: Settings, recipe: SyntheticRecipe, announced: str, n_days: int) -> Blend:
        """Rows of as many generated pods as window detectors need."""
        recipe = recipe.model_copy(update={"n_pods": MAX_PODS, "kinds": VISIBLE_KINDS})
        series = series_of(recipe)
        days = _generated_days(series.to_frame())
        rows = segment_rows(series, holdout_start(len(series.times)), source="synthetic")
        return Blend(rows, series.pods, recipe, days, series.times[0], settings.anomaly_rate)

    @override
    def blended(self, view: View, settings: Settings, lake: Lake, window: Window, recipe: SyntheticRecipe) -> Blend:
        """All rows of the drawn pods, and whole generated pods."""
        drawn = _drawn(view, settings, lake, window)
        share, rate, seed = settings.synthetic_share, settings.anomaly_rate, settings.random_seed
        blend = _beside(recipe, drawn, len(window.days), generated_pods(drawn.real, share)) if share else None
        generated = series_of(blend) if blend else None
        rows, missing = blended_segments(drawn.real, generated, rate, seed, drawn.cut)
        return _pod_blend(drawn, rows, missing, blend, generated, rate)


class ClusterMetrics(Blender):
    """The five metrics of a cluster, nothing injected."""

    @override
    def generated(self, view: View, settings: Settings, recipe: SyntheticRecipe, announced: str, n_days: int) -> Blend:
        """Rows of a generated cluster over ``n_days`` days."""
        recipe = recipe.cluster(n_days)
        values = frame_of(recipe)
        rows = cluster_metrics.segment_rows(values, cluster_metrics.holdout_of(values), source="synthetic")
        start = pd.Timestamp(values["timestamp"].iloc[0])
        return Blend(rows, (cluster_metrics.GENERATED,), recipe, _generated_days(values), start, 0.0)

    @override
    def blended(self, view: View, settings: Settings, lake: Lake, window: Window, recipe: SyntheticRecipe) -> Blend:
        """All fetched rows, and the newest rows of a generated cluster."""
        fetched = read_cluster(lake, window, settings.end, view.metrics)
        real = cluster_metrics.segment_of(fetched)
        share = settings.synthetic_share
        blend = recipe.cluster(len(window.days)) if share else None
        generated = frame_of(blend) if blend else None
        rows, missing = cluster_metrics.blended_segments(real, generated, share)
        lacking = 0 if generated is None else cluster_metrics.generated_rows(real, share) - len(generated)
        notes: tuple[Note, ...] = ()
        if lacking > 0:
            notes = (Note("short_cluster", asked=share, got=(rows["source"] == "synthetic").mean()),)
        days = () if generated is None else _generated_days(generated)
        start = pd.Timestamp(fetched["timestamp"].iloc[0])
        return Blend(rows, tuple(rows["pod"].unique()), blend, days, start, 0.0, missing, notes)


BLENDERS: dict[str, Blender] = {
    POD_FEATURES: PodFeatures(),
    POD_SERIES: PodSegments(),
    CLUSTER_METRICS_VIEW: ClusterMetrics(),
}
"""Name of a view -> the object that makes its rows."""


@dataclass(frozen=True)
class _Drawn:
    """Fetched series of the drawn pods, and the minute at which their hold-out begins."""

    pods: tuple[str, ...]
    real: PodSeries
    cut: int


def _drawn(view: View, settings: Settings, lake: Lake, window: Window) -> _Drawn:
    """The drawn pods. Raises EmptyDataError: the window has no pod, no node or no complete row."""
    n_pods = min(settings.training_pods, view.most_pods or settings.training_pods)
    pods = draw_pods(window.pod_minutes, n_pods, settings.random_seed, window.complete)
    if not pods:
        raise EmptyDataError(
            f"{POD_CPU.name}: of {len(window.pod_minutes)} pods none lived for {MIN_POD_MINUTES} minutes from "
            f"{window.days[0]} to {window.days[-1]}; is cAdvisor scraped, and are these days within the server's "
            f"retention? Query: {POD_CPU.promql}",
            code="no_lasting_pod",
            pods=len(window.pod_minutes),
            least_minutes=MIN_POD_MINUTES,
        )
    real = read_pods(lake, window, settings.end, pods)
    return _Drawn(pods, real, holdout_of(real))


def _beside(recipe: SyntheticRecipe, drawn: _Drawn, days: int, n_pods: int) -> SyntheticRecipe:
    """A recipe for the minutes and hold-out of fetched series, with the kinds of anomalies that rows can show."""
    return recipe.model_copy(update={"days": days, "cut": drawn.cut, "kinds": VISIBLE_KINDS, "n_pods": n_pods})


def _pod_blend(
    drawn: _Drawn,
    rows: pd.DataFrame,
    missing: float,
    recipe: SyntheticRecipe | None,
    generated: PodSeries | None,
    rate: float,
) -> Blend:
    n_silent = len(drawn.pods) - rows.loc[rows["source"] == "prometheus", "pod"].nunique()
    notes = [Note("silent_pods", silent=n_silent, pods=len(drawn.pods))] if n_silent else []
    doubled = doubled_at(drawn.real.values[RESTARTS.name][:, 0])
    if len(doubled) > 1:  # a single counter may have begun anew
        first = drawn.real.times[min(doubled.values())]
        notes.append(Note("doubled_restarts", doubled=len(doubled), pods=len(drawn.pods), first=first))
    days = _generated_days(generated.to_frame()) if generated else ()
    return Blend(rows, drawn.pods, recipe, days, drawn.real.times[0], rate, missing, tuple(notes))


def _generated_days(frame: pd.DataFrame) -> tuple[Day, ...]:
    return tuple(Day(day=day, source="synthetic", digest=digest) for day, digest in day_digests(frame).items())
