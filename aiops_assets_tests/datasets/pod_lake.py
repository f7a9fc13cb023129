"""A lake with the days of a few generated pods, as a server would have answered, and the training set made of it."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd

from aiops_assets.datasets.source_rule import Choice, from_window
from aiops_assets.datasets.window import read_window
from aiops_assets.storage.lake import Lake
from aiops_assets.storage.records import SyntheticRecipe, TrainingSetRecord
from aiops_assets.synthetic.pods import generate
from aiops_assets.timeseries.catalog import ENGINE_METRICS, POD_MEMORY, MetricSpec
from aiops_assets.timeseries.series import PodSeries
from aiops_assets.views.catalog import VIEWS
from aiops_assets_tests.conftest import END, make_settings
from aiops_assets_tests.pipeline.graph import CLOSED

PODS, DAYS = 12, 2
WINDOW = [(END - timedelta(days=back)).date() for back in range(DAYS, 0, -1)]
RECIPE = SyntheticRecipe(n_pods=20, days=DAYS, end=END.to_pydatetime(), seed=42, anomaly_rate=0.03)


def pods() -> PodSeries:
    """Two days of twelve pods."""
    return generate(PODS, DAYS, END, seed=3)


def fill(lake: Lake, series: PodSeries, minutes: Mapping[str, Mapping[int, int]]) -> None:
    """Store what a server would have answered.

    Args:
        lake: where it is stored.
        series: of the pods.
        minutes: metric -> index of a pod -> minutes of its end that have the metric, where not all have it.
    """
    for metric in ENGINE_METRICS:
        if metric.per == "node":
            frame = pd.DataFrame({'{"instance": "node"}': series.values[metric.name][0, 0]}, index=series.times)
        else:
            values = series.values[metric.name][:, 0].copy()
            for pod, kept in minutes.get(metric.name, {}).items():
                values[pod, : len(series.times) - kept] = np.nan
            names = [f'{{"pod": "{pod}"}}' for pod in series.pods]
            frame = pd.DataFrame(values.T, index=series.times, columns=names).dropna(axis=1, how="all")
        store(lake, metric, frame)


def store(lake: Lake, metric: MetricSpec, frame: pd.DataFrame) -> None:
    """Store closed days of a metric; the frame has an instant a row and a series a column."""
    for day, rows in frame.groupby(pd.DatetimeIndex(frame.index).date):
        assert isinstance(day, date)
        end = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1)
        lake.upsert_day(metric, day, rows, fetched=end, fetched_until=end, closed=True)


def made_of(lake: Lake, view: str, home: Path, pods: int = 6) -> tuple[pd.DataFrame, TrainingSetRecord]:
    """The training set of a view, of fetched rows alone; ``pods`` is TRAINING_PODS."""
    variables = {"DATA_SOURCE": "prometheus", "PROMETHEUS_URL": CLOSED, "SYNTHETIC_RATIO": "0"}
    settings = make_settings(home, TRAINING_PODS=str(pods), **variables)
    window = read_window(lake, WINDOW)
    return from_window(VIEWS[view], settings, lake, window, Choice("prometheus"), RECIPE)


def without_limit(*pods: int) -> dict[str, dict[int, int]]:
    """For :func:`fill`: these pods have no memory limit."""
    return {POD_MEMORY.name: dict.fromkeys(pods, 0)}
