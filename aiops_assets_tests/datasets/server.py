"""A server that keeps to the client's contract and remembers what it was asked."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pandas as pd

from aiops_assets.errors import PrometheusUnreachable
from aiops_assets.prometheus.client import Chunk, PrometheusClient
from aiops_assets.storage.day_file import wide_digest
from aiops_assets.storage.lake import Lake
from aiops_assets.timeseries.catalog import POD_CPU

METRIC = replace(POD_CPU, step_seconds=300)
"""Settles in 300 s: its range is 5 minutes."""
STEP, HOUR, DAY = timedelta(minutes=5), timedelta(hours=1), timedelta(days=1)
FIRST = datetime(2026, 10, 20, tzinfo=UTC)
N_DAYS = 6
DAYS = [(FIRST + i * DAY).date() for i in range(N_DAYS)]
LATER = FIRST + (N_DAYS + 3) * DAY


class Server(PrometheusClient):
    """A server that holds a matrix and answers as the client does; what it was asked is noted.

    Args:
        truth: (instants, series), NaN: no sample.
        chunk: how much it answers at once; cut at midnights unless it is whole days.
    """

    def __init__(self, truth: pd.DataFrame, chunk: timedelta = DAY) -> None:
        self.truth = truth
        self.chunk = chunk
        self.now = LATER
        self.arrives: pd.DataFrame | None = None
        self.wrong = timedelta(0)
        self.fails_after: int | None = None
        self.error: type[Exception] = PrometheusUnreachable
        self.asked: list[tuple[datetime, datetime]] = []
        self.sized: list[int] = []
        self.counted: list[datetime] = []

    def stream(
        self, promql: str, start: datetime, end: datetime, step_seconds: int = 60, series: int = 1
    ) -> Iterator[tuple[Chunk, pd.DataFrame]]:
        assert promql == METRIC.promql
        self.asked.append((start, end))
        self.sized.append(series)
        while start < end:
            if self.fails_after is not None:
                if self.fails_after == 0:
                    raise self.error("cut off")
                self.fails_after -= 1
            stop = min(end, start + self.chunk)
            midnight = start.replace(hour=0) + DAY if self.chunk <= DAY else stop
            stop = min(stop, midnight.replace(minute=0))
            yield Chunk(int(start.timestamp()), int(stop.timestamp()), step_seconds), self._view(start, stop)
            start = stop

    def count_series(self, promql: str, at: datetime) -> int:
        self.counted.append(at)
        return int(self._view(at, at + STEP).notna().sum().sum())

    def _view(self, start: datetime, stop: datetime) -> pd.DataFrame:
        """What the server says at ``now``: late samples are not there yet, young ones are too low."""
        grid = pd.date_range(start, stop, freq="300s", inclusive="left", unit="us", name="timestamp")
        frame = self.truth.reindex(grid)
        if self.arrives is not None:
            frame = frame.mask(self.arrives.reindex(grid) > self.now)
        young = np.asarray(grid > pd.Timestamp(self.now - self.wrong))
        frame.loc[young] *= 0.7
        frame = frame.dropna(axis=1, how="all")
        frame.attrs["not_finite"] = 2
        return frame[sorted(frame.columns)]


def truth_of(days: int = N_DAYS, seed: int = 1) -> pd.DataFrame:
    """Three series with holes; one that begins late, one that ends early."""
    grid = pd.date_range(FIRST, periods=days * 288, freq="300s", unit="us", name="timestamp")
    rng = np.random.default_rng(seed)
    values = rng.random((len(grid), 3))
    values[rng.random(values.shape) < 0.05] = np.nan
    values[0] = 0.5
    values[: len(grid) // 2, 1] = values[len(grid) // 3 :, 2] = np.nan
    return pd.DataFrame(values, index=grid, columns=[f'{{"pod": "{name}"}}' for name in "cab"])


def end_of(day: str) -> datetime:
    return datetime.fromisoformat(day).replace(tzinfo=UTC) + DAY


def digests_of(lake: Lake) -> dict[date, str]:
    return {day: lake.read_day(METRIC, day)[1].digest for day in lake.days(METRIC)}


def expected_of(truth: pd.DataFrame) -> dict[date, str]:
    return {truth.index[row].date(): wide_digest(truth.iloc[row : row + 288]) for row in range(0, len(truth), 288)}
