"""Where the rows of a training set come from: the blend of DATA_SOURCE, or what FALLBACK allows instead.

The rule of the fallback:

1. The last fetch reached the server: the lake holds its samples ("prometheus"). It must have requested the days
   of the window that have not closed, after the window's end; else nothing is trained until they are fetched.
2. It did not: the options of FALLBACK are tried in order. ``cached`` takes the lake as it is, if it holds enough of
   the window to be trained on. ``synthetic`` generates all rows. ``fail``, or no option left: nothing is trained.
3. Only "unreachable after retries" leads to the fallback. A bad query or a rejected token stops the fetch itself.
4. The server is reached and its history has only begun (:mod:`young_history`): where FALLBACK allows ``synthetic``, all
   rows are generated until there is enough of the cluster's own, and a note says so.
"""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import pandas as pd

from aiops_assets.datasets.blends import BLENDERS, Blend
from aiops_assets.datasets.known import fewer_nodes, known_metrics, notes_on, notes_on_nodes
from aiops_assets.datasets.notes import Note
from aiops_assets.datasets.window import Window, read_window
from aiops_assets.datasets.workloads import workloads_of
from aiops_assets.datasets.young_history import young_history
from aiops_assets.errors import NotFoundError, PrometheusUnreachable, SettingsError
from aiops_assets.settings import Settings
from aiops_assets.storage.lake import FetchOutcome, Lake
from aiops_assets.storage.records import Day, SourceReport, SyntheticRecipe, TrainingSetRecord
from aiops_assets.timeseries.quality import FULL_DAY, too_little
from aiops_assets.timeseries.schema import content_digest
from aiops_assets.views.catalog import View


@dataclass(frozen=True)
class Choice:
    """The source that is used; ``note`` states why it differs from the requested one, ``None`` if it does not."""

    source: str
    note: Note | None = None
    cached_age: timedelta | None = None


def choose(settings: Settings, outcome: FetchOutcome | None, window: Window, now: datetime) -> Choice:
    """The source that the rule above yields.

    Args:
        settings: ``end``, ``fallback`` and ``min_coverage`` are used.
        outcome: outcome of the last fetch; ``None``: there was none.
        window: what the lake holds of the window.
        now: present time, for the age of cached days.

    Raises:
        NotFoundError: the window was not fetched yet.
        PrometheusUnreachable: the server cannot be reached, and FALLBACK allows no source with enough data.
    """
    if outcome is None:
        raise NotFoundError(
            "raw_metrics was never materialized: materialize it first, or select it too", code="never_fetched"
        )
    if outcome.reached:
        require_fetched(settings, outcome, window.days, {date.fromisoformat(d.day) for d in window.found if d.closed})
        return Choice("prometheus")
    tried: dict[str, Any] = {}
    for option in settings.fallback:
        if option == "synthetic":
            return Choice("synthetic", Note("synthetic_allowed", problem=outcome.problem, **tried))
        if option == "cached":
            shortage = too_little(
                window.coverage.share, window.coverage.full_days, len(window.days), settings.min_coverage
            )
            if window.fetched and not shortage:
                age = now - window.fetched
                hours = age.total_seconds() / 3600
                return Choice("cached", Note("cached_days", problem=outcome.problem, hours=hours), age)
            tried = {"shortage": shortage, "has_cache": window.fetched is not None}
    note = Note("nothing_allowed", problem=outcome.problem, fallback=settings.fallback, **tried)
    raise PrometheusUnreachable(note.text, code=note.code, **note.facts)


def require_fetched(settings: Settings, outcome: FetchOutcome, days: Sequence[date], closed: Set[date]) -> None:
    """Check that the last fetch requested the days of a window that have not closed, after the window's end.

    Args:
        settings: ``end`` is used.
        outcome: outcome of the last fetch, which reached the server.
        days: days of the window, oldest first.
        closed: stored days that are complete.

    Raises:
        NotFoundError: it did not.
    """
    stale = [day for day in days if day not in closed and not outcome.requested(day)]
    if stale or datetime.fromisoformat(outcome.when) < settings.end:
        raise NotFoundError(
            f"the last fetch, at {outcome.when}, requested {outcome.first_day} to {outcome.last_day}; the window "
            f"needs {days[0]} to {days[-1]}: materialize raw_metrics for them",
            code="window_not_fetched",
            fetched=(outcome.first_day, outcome.last_day),
            needed=(days[0].isoformat(), days[-1].isoformat()),
        )


def training_set(
    view: View,
    settings: Settings,
    recipe: SyntheticRecipe,
    announced: str,
    lake: Lake,
    days: Sequence[date],
    now: datetime,
) -> tuple[pd.DataFrame, TrainingSetRecord]:
    """The rows of a view, and the record of where they come from.

    Args:
        view: view of the training set.
        settings: settings of the blend.
        recipe: recipe of generated rows.
        announced: data version that the asset synthetic_series stated for the recipe; recipes derived from it have
            others.
        lake: the lake with fetched days.
        days: days of the window, oldest first.
        now: present time, for the age of cached days.

    Raises:
        AiopsError: see :func:`choose`, :func:`from_recipe` and :func:`from_window`.
    """
    if settings.mode == "synthetic":
        why = Note("no_server") if settings.data_source == "auto" else None
        return from_recipe(view, settings, recipe, announced, len(days), note=why)
    if settings.end > now:
        raise SettingsError(
            f"SYNTHETIC_END={settings.end.date()}: a window of real days cannot end in the future",
            code="end_in_future",
            end=settings.end.date().isoformat(),
        )
    window = read_window(lake, days, view.metrics)
    choice = choose(settings, lake.last_fetch(), window, now)
    note = choice.note
    if choice.source == "prometheus" and "synthetic" in settings.fallback:
        note = young_history(lake, window, view.metrics, settings.min_coverage, now)
    if choice.source == "synthetic" or (note and choice.source == "prometheus"):
        return from_recipe(view, settings, recipe, announced, len(days), note=note)
    return from_window(view, settings, lake, window, choice, recipe)


def from_recipe(
    view: View, settings: Settings, recipe: SyntheticRecipe, announced: str, n_days: int, note: Note | None
) -> tuple[pd.DataFrame, TrainingSetRecord]:
    """Generated rows alone: of pods over the recipe's days, of a cluster over ``n_days``.

    Raises:
        IntegrityError: the recipe no longer yields the series that was announced.
    """
    blend = BLENDERS[view.name].generated(view, settings, recipe, announced, n_days)
    stated = note.text if note else ""
    warnings = (stated,) if note and settings.mode != "synthetic" else ()
    report = SourceReport(asked=settings.data_source, rows=_counts(blend.rows), note=stated, warnings=warnings)
    return blend.rows, _record(view, settings, blend, "synthetic", report, blend.days, {})


def from_window(
    view: View, settings: Settings, lake: Lake, window: Window, choice: Choice, recipe: SyntheticRecipe
) -> tuple[pd.DataFrame, TrainingSetRecord]:
    """Rows of fetched days, blended with as many generated ones as the share asks for.

    Raises:
        EmptyDataError: the window has no samples of which a row can be made.
        SchemaError: a metric has two series of one pod, or of the cluster.
    """
    blend = BLENDERS[view.name].blended(view, settings, lake, window, recipe)
    coverage = window.coverage
    known, nodes = known_metrics(view, blend.rows, window), fewer_nodes(lake, window.days)
    of_fill_ins = [note.text for note in (*notes_on(known), *notes_on_nodes(nodes))]
    report = SourceReport(
        asked=settings.data_source,
        rows=_counts(blend.rows),
        note=choice.note.text if choice.note else "",
        cached_age_seconds=int(choice.cached_age.total_seconds()) if choice.cached_age is not None else None,
        coverage=coverage.share,
        coverage_by_metric=coverage.by_metric,
        full_days=coverage.full_days,
        window_days=len(window.days),
        missing_share=blend.missing,
        known=known,
        nodes=nodes,
        warnings=(*_warnings(choice, window, blend), *of_fill_ins),
    )
    effective = choice.source + ("+synthetic" if "synthetic" in report.rows else "")
    queries = {metric.name: metric.promql for metric in settings.queried(view.metrics)}
    record = _record(view, settings, blend, effective, report, (*window.found, *blend.days), queries)
    return blend.rows, record.model_copy(update={"workloads": workloads_of(lake, window.days, blend.pods)})


def _warnings(choice: Choice, window: Window, blend: Blend) -> list[str]:
    found = window.coverage
    low = Note("low_coverage", share=found.share, days=found.days, full_days=found.full_days, lowest=found.lowest)
    return [
        *([choice.note.text] if choice.note else []),
        *([low.text] if found.share < FULL_DAY else []),
        *(note.text for note in blend.notes),
        *window.damaged,
    ]


def _counts(rows: pd.DataFrame) -> dict[str, int]:
    return {str(source): int(n) for source, n in rows["source"].value_counts().sort_index().items()}


def _record(
    view: View,
    settings: Settings,
    blend: Blend,
    effective: str,
    report: SourceReport,
    days: Sequence[Day],
    queries: Mapping[str, str],
) -> TrainingSetRecord:
    return TrainingSetRecord(
        view=view.name,
        data_version=content_digest(blend.rows),
        rows_sha256="",
        cluster=settings.cluster,
        effective_source=effective,
        source=report,
        window_start=blend.start.to_pydatetime(),
        window_end=settings.end.to_pydatetime(),
        rows=len(blend.rows),
        label_rate=float(blend.rows["label"].mean()),
        anomaly_rate=blend.anomaly_rate,
        seed=settings.random_seed,
        pods=blend.pods,
        queries=dict(queries),
        days=tuple(days),
        recipe=blend.recipe,
    )
