"""The tables and pictures of `aiops evaluate`: the quality of detectors on unseen data."""

import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import click
import pandas as pd

from aiops_assets.commands.backtesting import BackTest, Judged, judge_labelled, known_models
from aiops_assets.commands.files import write_whole
from aiops_assets.commands.tables import show_table
from aiops_assets.errors import AiopsError, DataError, ModelError, NotFoundError
from aiops_assets.families.anomaly_detector import ANOMALY_DETECTOR
from aiops_assets.families.backtests import backtest
from aiops_assets.judging.detection.generated_days import judge_generated
from aiops_assets.judging.detection.page_figures import pages_of_sets
from aiops_assets.judging.detection.series_figures import DetectionFigures, aggregate
from aiops_assets.learners.detectors import isolation_forest
from aiops_assets.reporting import plots
from aiops_assets.settings import Settings
from aiops_assets.synthetic.healthy import healthy_rows
from aiops_assets.timeseries.series_file import LabelledSeries, labelled_folder
from aiops_assets.views.pod_features import VISIBLE_KINDS, labelled_series

FURTHER_DAYS, FURTHER_PODS = 30, 20
HEAD = (
    *("series", "rows", "metrics", "events", "VUS-PR", "AUC-PR", "event F1", "alarms/day", "under alert", "delay"),
    *("paged", "false pages/day"),
)
PAGES_HEAD = ("set", "fault-free days", "false pages", "in 20 days", "events", "paged")


def on_generated_days(settings: Settings) -> None:
    """Judge the served anomaly-detector on days after its window, with another seed, and on healthy rows.

    Raises:
        NotFoundError: nothing is served.
        IntegrityError: the served file is not the recorded one.
        ModelError: this code cannot load the model.
    """
    from aiops_assets.pipeline.resources import stores_of
    from aiops_assets.registry.version import version_of

    served = stores_of(settings).served()
    record = served.champion(ANOMALY_DETECTOR.name)
    if record is None:
        raise NotFoundError(
            f"{served.locate(ANOMALY_DETECTOR.name)}: nothing is served, run `aiops run` first", code="nothing_served"
        )
    champion = record.champion
    pipeline = version_of(served, ANOMALY_DETECTOR, champion).model()
    seed = settings.random_seed + 1
    end = settings.end + pd.Timedelta(days=FURTHER_DAYS)
    series = labelled_series(FURTHER_PODS, FURTHER_DAYS, end, seed, settings.anomaly_rate, VISIBLE_KINDS)
    figures, episodes = judge_generated(pipeline, series)
    healthy = isolation_forest.predict(pipeline, healthy_rows(5000, seed)) == -1

    precision = float("nan") if figures.average_precision is None else figures.average_precision
    click.echo(
        f"{ANOMALY_DETECTOR.name} version {champion.version} ({champion.effective_source}) on {FURTHER_DAYS} further "
        f"generated days of {FURTHER_PODS} pods, seed {seed}: {figures.rows} rows, {figures.anomalies} anomalous"
    )
    click.echo(f"  average precision            {precision:.3f}")
    click.echo(f"  false alarms, normal rows    {figures.false_alarm_rate or 0.0:.1%}")
    click.echo(f"  false alarms, healthy rows   {healthy.mean():.1%}  (5000 rows as the engine's contract has them)")
    for kind, share in figures.recall_by_kind.items():
        click.echo(f"  {kind:<16} caught in {share:.0%} of the rows, {episodes.get(kind, 0.0):.0%} of the episodes")


def on_labelled_series(
    folder: Path,
    names: Sequence[str],
    *,
    pictures: Path,
    scores: Path | None = None,
    back_test: BackTest = backtest,
) -> None:
    """Back-test models on a folder of labelled series: a table per model, and pictures of its worst and best series.

    Args:
        folder: folder with ``series/*.parquet`` and ``labels/*.parquet``.
        names: names of models; empty: all that can be back-tested.
        pictures: folder to write the pictures to.
        scores: folder for scores, ``<model>/<series>.parquet``; ``None``: they are not kept.
        back_test: scores a checked series.

    Raises:
        DataError: the folder has another layout, a model is not known, or (raised after all others were judged) series
            cannot be used.
        StoreError: pictures or scores cannot be written.
    """
    models, series = known_models(names), labelled_folder(folder)
    left_out: dict[str, AiopsError] = {}
    for number, name in enumerate(models):
        begin = time.perf_counter()
        kept = None if scores is None else scores / name
        # Without a terminal, the progress bar would fill a log.
        hidden = not sys.stderr.isatty()
        with click.progressbar(series, label=name, file=sys.stderr, hidden=hidden, item_show_func=_shown) as bar:
            judged, refused = _judged(name, bar, back_test, kept)
        click.echo("\n" * bool(number) + f"{name} on {len(series)} series, {time.perf_counter() - begin:.0f} s")
        if judged:
            _print_table(judged)
            _print_pages(judged)
            _draw_extremes(name, judged, pictures)
        if kept:
            click.echo(f"scores: {kept}")
        # Two models may refuse one series for the same reason.
        left_out |= {str(error): error for error in refused}
    if left_out:
        raise DataError(
            f"{len(left_out)} series not judged: {'; '.join(left_out)}",
            code="series_not_judged",
            causes=tuple(left_out.values()),
        )


def _judged(
    name: str, series: Iterable[LabelledSeries], back_test: BackTest, scores: Path | None
) -> tuple[list[Judged], list[AiopsError]]:
    """Results, and the errors of series that could not be judged."""
    judged: list[Judged] = []
    refused: list[AiopsError] = []
    for one in series:
        try:
            judged.append(judge_labelled(name, one, back_test, scores))
        except (DataError, ModelError) as error:
            refused.append(error.with_traceback(None))  # which would keep the series and its model
    return judged, refused


def _shown(one: LabelledSeries | None) -> str:
    return one.name if one else ""


def _print_table(judged: Sequence[Judged]) -> None:
    summary = aggregate({one.name: one.figures for one in judged})
    means = {f"mean of {dataset}": figures for dataset, figures in summary.datasets.items()}
    rows = [
        *((one.name, str(one.figures.rows), str(one.columns), *_cells(one.figures)) for one in judged),
        *((name, str(figures.rows), "", *_cells(figures)) for name, figures in means.items()),
        ("mean over the sets", str(summary.macro.rows), "", *_cells(summary.macro)),
    ]
    show_table(HEAD, rows, right=True)


def _print_pages(judged: Sequence[Judged]) -> None:
    """A table of pages, with one line for each set of series; empty where no pages were judged."""
    sets = pages_of_sets({one.name: one.figures for one in judged})
    if not sets:
        return
    rows = [
        (
            name,
            f"{pages.fault_free_days:.0f}",
            str(pages.false_pages),
            f"{pages.false_pages / pages.fault_free_days * 20:.2f}" if pages.fault_free_days else "-",
            str(pages.events),
            f"{pages.paged / pages.events:.2f}" if pages.events else "-",
        )
        for name, pages in sets.items()
    ]
    click.echo("\npages, the series of a set together")
    show_table(PAGES_HEAD, rows, right=True)


def _cells(figures: DetectionFigures) -> tuple[str, ...]:
    shown = (
        (figures.vus_pr, "{:.3f}"),
        (figures.auc_pr, "{:.3f}"),
        (figures.event_f1, "{:.3f}"),
        (figures.false_alarms_per_day, "{:.2f}"),
        (figures.normal_time_under_alert, "{:.2%}"),
        (figures.delay_minutes, "{:.0f} min"),
        (figures.page_recall, "{:.2f}"),
        (figures.false_pages_per_day, "{:.3f}"),
    )
    return (str(figures.events), *("-" if value is None else form.format(value) for value, form in shown))


def _draw_extremes(name: str, judged: Sequence[Judged], folder: Path) -> None:
    """Draw the worst and the best series by VUS-PR; a single picture for a single series."""
    ranked = sorted((one for one in judged if one.figures.vus_pr is not None), key=lambda one: one.figures.vus_pr or 0)
    if not ranked:
        click.echo("no picture: no series has a labelled event")
    extremes = [("best", one) for one in ranked[-1:]] + [("worst", one) for one in ranked[:-1][:1]]
    for which, one in extremes:
        path = folder / f"{name}-{which}.png"
        title = f"{name}, {which} of {len(ranked)}: {one.name}, VUS-PR {one.figures.vus_pr:.3f}"
        write_whole(path, plots.score_timeline(one.timeline, title))
        click.echo(f"{which}: {one.name}, {path}")
