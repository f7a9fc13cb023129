"""The tables that `aiops evaluate` prints: how good the detector is, on data it never saw."""

from dataclasses import astuple
from pathlib import Path

import click
import numpy as np
import pandas as pd

from aiops_assets.errors import NotFoundError
from aiops_assets.models import isolation_forest
from aiops_assets.models.backtest import SeriesFigures, judge_generated, judge_series, labelled_folder
from aiops_assets.models.catalog import ANOMALY_DETECTOR
from aiops_assets.models.evaluation import healthy_rows
from aiops_assets.resources import stores_of
from aiops_assets.settings import Settings
from aiops_assets.stores.served import MODEL_FILE
from aiops_assets.timeseries.training_rows import VISIBLE_KINDS, labelled_series

FURTHER_DAYS, FURTHER_PODS = 30, 20


def on_generated_days(settings: Settings) -> None:
    """Judge the served anomaly-detector on days after its window, of another seed, and on healthy rows.

    Raises:
        NotFoundError: nothing is served.
        IntegrityError: the served file is not the recorded one.
    """
    served = stores_of(settings).served()
    record = served.champion(ANOMALY_DETECTOR.name)
    if record is None:
        raise NotFoundError(f"{served.locate(ANOMALY_DETECTOR.name)}: nothing is served, run `aiops run` first")
    champion = record.champion
    data = served.load_file(ANOMALY_DETECTOR.name, champion.version, MODEL_FILE, champion.manifest_sha256)
    pipeline = isolation_forest.from_bytes(data)
    seed = settings.random_seed + 1
    end = settings.end + pd.Timedelta(days=FURTHER_DAYS)
    series = labelled_series(FURTHER_PODS, FURTHER_DAYS, end, seed, settings.anomaly_rate, VISIBLE_KINDS)
    figures, episodes = judge_generated(pipeline, series)
    healthy = isolation_forest.predict(pipeline, healthy_rows(5000, seed)) == -1

    click.echo(
        f"{ANOMALY_DETECTOR.name} version {champion.version} ({champion.effective_source}) on {FURTHER_DAYS} further "
        f"generated days of {FURTHER_PODS} pods, seed {seed}: {figures.rows} rows, {figures.anomalies} anomalous"
    )
    click.echo(f"  average precision            {figures.average_precision or float('nan'):.3f}")
    click.echo(f"  false alarms, normal rows    {figures.false_alarm_rate or 0.0:.1%}")
    click.echo(f"  false alarms, healthy rows   {healthy.mean():.1%}  (5000 rows as the engine's contract has them)")
    for kind, share in figures.recall_by_kind.items():
        click.echo(f"  {kind:<15} caught in {share:.0%} of the rows, {episodes.get(kind, 0.0):.0%} of the episodes")


def on_labelled_series(folder: Path) -> None:
    """Judge the recipe on a folder of labelled series: a line a series, and the mean over data sets.

    Raises:
        DataError: the folder has another layout.
    """
    click.echo(f"{'series':<44} rows columns labels   AUC-PR recall  normal time under alert")
    results = []
    for name, frame, labels in labelled_folder(folder):
        results.append(judge_series(name, frame, labels))
        click.echo(_line(*astuple(results[-1])))
    for dataset in sorted({_dataset(result) for result in results}):
        members = [result for result in results if _dataset(result) == dataset]
        click.echo(_line(f"mean of {dataset}", *_means(members)))
    per_set = [_means([r for r in results if _dataset(r) == dataset]) for dataset in {_dataset(r) for r in results}]
    click.echo(_line("mean over the sets", *np.mean(per_set, axis=0)))


def _dataset(result: SeriesFigures) -> str:
    return result.name.partition("__")[0]


def _means(results: list[SeriesFigures]) -> list[float]:
    return [float(value) for value in np.nanmean([astuple(result)[1:] for result in results], axis=0)]


def _line(
    name: str, rows: float, columns: float, precision: float, labels: float, recall: float, under_alert: float
) -> str:
    return (
        f"{name[:44]:<44} {rows:>5.0f} {columns:>6.0f} {labels:>6.1%}"
        f"   {precision:>5.3f} {recall:>6.1%}  {under_alert:>6.1%}"
    )
