"""Where the rows of a training set come from this time: DATA_SOURCE's blend, or what FALLBACK allows instead.

The rule of the fallback, written once:

1. The last fetch reached the server: the lake is what the server says ("prometheus"). It must have asked for the days
   of the window that have not closed, after the window's end; else nothing is trained until they are fetched.
2. It did not: the options of FALLBACK are tried in order. ``cached`` takes the lake as it is, if it holds enough of
   the window to be trained on. ``synthetic`` generates all rows. ``fail``, or no option left: nothing is trained.
3. Only "unreachable after retries" comes here. A bad query or a refused token stopped the fetch itself.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import pandas as pd

from aiops_assets.errors import EmptyDataError, IntegrityError, NotFoundError, PrometheusUnreachable, SettingsError
from aiops_assets.settings import Settings
from aiops_assets.stores.lake import FetchOutcome, Lake
from aiops_assets.stores.records import Day, SourceReport, SyntheticRecipe, TrainingSetRecord
from aiops_assets.timeseries.catalog import ENGINE_METRICS, POD_CPU
from aiops_assets.timeseries.pod_series import MOST_PODS, blended_segments, generated_pods, segment_rows
from aiops_assets.timeseries.quality import FULL_DAY, too_little
from aiops_assets.timeseries.schema import combined_digest, content_digest, day_digests
from aiops_assets.timeseries.series import PodSeries
from aiops_assets.timeseries.training_rows import (
    VISIBLE_KINDS,
    blended_rows,
    holdout_of,
    holdout_start,
    synthetic_rows,
)
from aiops_assets.timeseries.views import POD_SERIES, View
from aiops_assets.window import LEAST_POD_MINUTES, Window, draw_pods, read_pods, read_window

LEAST_BLEND_PODS = 20
"""Fewer generated pods leave holes in the range of levels, whatever TRAINING_PODS says of real ones."""


@dataclass(frozen=True)
class Choice:
    """Which source stands in for what was asked; ``note`` says why it is another one."""

    source: str
    note: str = ""
    cached_age: timedelta | None = None


def choose(settings: Settings, outcome: FetchOutcome | None, window: Window, now: datetime) -> Choice:
    """The source that the rule above comes to.

    Args:
        settings: ``end``, ``fallback`` and ``min_coverage`` count.
        outcome: of the last fetch.
        window: what the lake holds.
        now: for the age of cached days.

    Raises:
        NotFoundError: the window was not fetched yet.
        PrometheusUnreachable: the server is away and FALLBACK allows nothing that is there.
    """
    if outcome is None:
        raise NotFoundError("raw_metrics was never materialized: materialize it first, or select it too")
    if outcome.reached:
        closed = {day.day for day in window.found if day.closed}
        stale = [day for day in window.days if day.isoformat() not in closed and not outcome.asked_for(day)]
        if stale or datetime.fromisoformat(outcome.when) < settings.end:
            raise NotFoundError(
                f"the last fetch, at {outcome.when}, asked for {outcome.first_day} to {outcome.last_day}; the window "
                f"needs {window.days[0]} to {window.days[-1]}: materialize raw_metrics for them"
            )
        return Choice("prometheus")
    problem = outcome.problem
    refused: list[str] = []
    for option in settings.fallback:
        if option == "synthetic":
            return Choice("synthetic", "; ".join([problem, *refused, "FALLBACK allows synthetic data"]))
        if option == "cached":
            lacking = too_little(
                window.coverage.share, window.coverage.full_days, len(window.days), settings.min_coverage
            )
            if window.fetched and not lacking:
                age = now - window.fetched
                hours = age.total_seconds() / 3600
                return Choice("cached", f"{problem}; cached days are used, fetched {hours:.1f} h ago", age)
            refused.append(f"cached days do not suffice: {lacking or 'there are none'}")
    allowed = ",".join(settings.fallback)
    raise PrometheusUnreachable("; ".join([problem, *refused, f"FALLBACK={allowed} allows nothing else"]))


def training_set(
    view: View,
    settings: Settings,
    recipe: SyntheticRecipe,
    announced: str,
    lake: Lake,
    days: Sequence[date],
    now: datetime,
) -> tuple[pd.DataFrame, TrainingSetRecord]:
    """Rows of a view and where they come from.

    Args:
        view: which.
        settings: of the blend.
        recipe: of generated rows.
        announced: data version that synthetic_series stated for it; derived recipes have another.
        lake: of fetched days.
        days: of the window, oldest first.
        now: for the age of cached days.

    Raises:
        AiopsError: see :func:`choose`, :func:`from_recipe` and :func:`from_window`.
    """
    if settings.mode == "synthetic":
        why = "PROMETHEUS_URL is not set" if settings.data_source == "auto" else ""
        return from_recipe(view, settings, recipe, announced, note=why)
    if settings.end > now:
        raise SettingsError(f"SYNTHETIC_END={settings.end.date()}: a window of real days cannot end in the future")
    window = read_window(lake, days)
    choice = choose(settings, lake.last_fetch(), window, now)
    if choice.source == "synthetic":
        return from_recipe(view, settings, recipe, announced, note=choice.note)
    return from_window(view, settings, lake, window, choice, recipe)


def from_recipe(
    view: View, settings: Settings, recipe: SyntheticRecipe, announced: str, note: str
) -> tuple[pd.DataFrame, TrainingSetRecord]:
    """Generated rows alone: N_SAMPLES drawn rows, or whole pods where the view has segments.

    Raises:
        IntegrityError: the recipe no longer yields the series that was announced.
    """
    derived = view.name == POD_SERIES
    if derived:
        recipe = recipe.model_copy(update={"n_pods": MOST_PODS, "kinds": VISIBLE_KINDS})
    series = recipe.series()
    days = _generated_days(series)
    if not derived and combined_digest({day.day: day.digest for day in days}) != announced:
        raise IntegrityError("synthetic_series was made by other code: materialize it again")
    if derived:
        rows = segment_rows(series, holdout_start(len(series.times)), source="synthetic")
    else:
        rows = synthetic_rows(series, settings.n_samples, recipe.anomaly_rate, recipe.seed)
    warnings = (note,) if note and settings.mode != "synthetic" else ()
    report = SourceReport(asked=settings.data_source, rows=_counts(rows), note=note, warnings=warnings)
    return rows, _record(view, rows, settings, "synthetic", report, series.pods, recipe, days, series.times[0], {})


def from_window(
    view: View, settings: Settings, lake: Lake, window: Window, choice: Choice, recipe: SyntheticRecipe
) -> tuple[pd.DataFrame, TrainingSetRecord]:
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
    n_shown = rows.loc[rows["source"] == "prometheus", "pod"].nunique()
    coverage = window.coverage
    report = SourceReport(
        asked=settings.data_source,
        rows=_counts(rows),
        note=choice.note,
        cached_age_seconds=int(choice.cached_age.total_seconds()) if choice.cached_age is not None else None,
        coverage=coverage.share,
        coverage_by_metric=coverage.by_metric,
        full_days=coverage.full_days,
        window_days=len(window.days),
        missing_share=missing,
        warnings=tuple(_warnings(choice, window, len(pods) - n_shown, len(pods))),
    )
    effective = choice.source + ("+synthetic" if "synthetic" in report.rows else "")
    queries = {metric.name: metric.promql for metric in ENGINE_METRICS}
    days = (*window.found, *(_generated_days(generated) if generated else ()))
    return rows, _record(view, rows, settings, effective, report, pods, blend, days, real.times[0], queries)


def _warnings(choice: Choice, window: Window, n_silent: int, n_pods: int) -> list[str]:
    low = window.coverage.share < FULL_DAY
    return [
        *([choice.note] if choice.note else []),
        *([f"coverage of the window is {window.coverage.stated()}"] if low else []),
        *([f"{n_silent} of {n_pods} pods gave no row: gaps in their metrics"] if n_silent else []),
        *window.damaged,
    ]


def _blend_recipe(
    view: View, recipe: SyntheticRecipe, real: PodSeries, days: int, cut: int, share: float
) -> SyntheticRecipe:
    """The recipe on the minutes of fetched series, with their hold-out and the kinds that rows can show."""
    n_pods = generated_pods(real, share) if view.name == POD_SERIES else max(recipe.n_pods, LEAST_BLEND_PODS)
    return recipe.model_copy(update={"days": days, "cut": cut, "kinds": VISIBLE_KINDS, "n_pods": n_pods})


def _generated_days(series: PodSeries) -> tuple[Day, ...]:
    digests = day_digests(series.to_frame())
    return tuple(Day(day=day, source="synthetic", digest=digest) for day, digest in digests.items())


def _counts(rows: pd.DataFrame) -> dict[str, int]:
    return {str(source): int(n) for source, n in rows["source"].value_counts().sort_index().items()}


def _record(
    view: View,
    rows: pd.DataFrame,
    settings: Settings,
    effective: str,
    report: SourceReport,
    pods: tuple[str, ...],
    recipe: SyntheticRecipe | None,
    days: Sequence[Day],
    start: pd.Timestamp,
    queries: Mapping[str, str],
) -> TrainingSetRecord:
    return TrainingSetRecord(
        view=view.name,
        data_version=content_digest(rows),
        rows_sha256="",
        cluster=settings.cluster,
        effective_source=effective,
        source=report,
        window_start=start.to_pydatetime(),
        window_end=settings.end.to_pydatetime(),
        rows=len(rows),
        label_rate=float(rows["label"].mean()),
        anomaly_rate=settings.anomaly_rate,
        seed=settings.random_seed,
        pods=pods,
        queries=dict(queries),
        days=tuple(days),
        recipe=recipe,
    )
