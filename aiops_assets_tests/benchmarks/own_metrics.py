"""What metrics of one's own cost, and how often healthy rows are an alert. ``make own-metrics DATA=<folder>``.

Cost: a first run over two weeks of some hundreds of metrics, and the runs after it, each with one new row, in CPU
seconds and peak memory. Healthy alerts: the share of rows under an alert, on generated series without an incident and,
with ``DATA``, on the training rows of labelled series, which are not all healthy: theirs is an upper bound.
"""

import argparse
import json
import resource
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd

from aiops_assets.learners.bands.expected import expected_band
from aiops_assets.learners.bands.options import BandOptions
from aiops_assets.registry.metric_scoring import ROWS_OF_ALERT, score_metrics
from aiops_assets.storage.lake import Lake
from aiops_assets.storage.metric_state import MetricStates
from aiops_assets.storage.storage import LocalStorage
from aiops_assets.timeseries.catalog import MetricSpec
from aiops_assets.timeseries.series import Floats
from aiops_assets.timeseries.watch import OwnMetric

STEP, DAYS, TICKS = 300, 14, 3
BEGIN = datetime(2026, 11, 2, tzinfo=UTC)
SPEC = MetricSpec("m", "m", "count", "labels", "", step_seconds=STEP, labels=("one",))


def healthy(n: int, days: int, seed: int = 1) -> Floats:
    """(n, n_rows) series of five kinds: daily and weekly habits, noise, a slow walk, sparse peaks, all but flat."""
    rng = np.random.default_rng(seed)
    rows = days * 86_400 // STEP
    at = np.arange(rows) * STEP / 86_400
    kinds = []
    for i in range(n):
        noise = rng.normal(0, 1, rows)
        swing = 1 + 0.5 * np.sin(2 * np.pi * (at + rng.random()))
        week = np.where(at.astype(int) % 7 < 5, 1.0, 0.6)
        kinds.append(
            (
                100 * swing * week * (1 + 0.05 * noise),
                50 + 5 * rng.standard_t(4, rows),
                200 + np.cumsum(0.3 * noise),
                np.where(rng.random(rows) < 0.02, rng.exponential(5, rows), 0.0),
                7 + 0.01 * np.round(noise / 4),
            )[i % 5]
        )
    return np.array(kinds)


def alert_share(values: Floats, seconds: "np.ndarray", step: int) -> float:
    """Share of rows, but those of the first day, under an alert."""
    outside = np.nan_to_num(expected_band(seconds, values, BandOptions(step_seconds=step)).score) > 1
    before = np.zeros_like(outside)
    for back in range(1, ROWS_OF_ALERT):
        before[:, back:] |= outside[:, :-back]
    return float((outside & before)[:, max(1, 86_400 // step) :].mean())


def of_folder(folder: Path, rows: int = 8_000) -> None:
    """Print the share of each set of labelled series."""
    shares: dict[str, list[float]] = {}
    for path in sorted(folder.glob("*.parquet")):
        frame = pd.read_parquet(path)
        frame = frame[frame["split"] == "train"].sort_values("timestamp", kind="stable").iloc[:rows]
        columns = [name for name in frame.columns if name not in ("timestamp", "split")][:20]
        seconds = pd.DatetimeIndex(frame["timestamp"]).as_unit("s").asi8
        step = max(1, int(np.median(np.diff(seconds)))) if len(seconds) > 1 else 0
        if len(frame) > 2 * 86_400 // max(step, 1):
            share = alert_share(frame[columns].to_numpy(dtype=np.float64).T, seconds, step)
            shares.setdefault(path.name.partition("__")[0], []).append(share)
    for name, found in shares.items():
        print(f"{name:8s} {np.mean(found):8.3%} of rows, {len(found)} files")


def entries(metrics: int) -> list[OwnMetric]:
    """So many metrics, a fifth of them with forecasts."""
    return [OwnMetric(replace(SPEC, name=f"m{i}", promql=f"m{i}"), forecast=i % 5 == 0) for i in range(metrics)]


def store_days(lake: Lake, own: Sequence[OwnMetric], until: datetime, days: int, series: int = 1) -> None:
    """Store so many days of rows of each metric, before and up to an instant; metrics differ in kind."""
    midnight = until.replace(hour=0, minute=0) - timedelta(days=days)
    times = pd.date_range(midnight, until, freq=f"{STEP}s", name="timestamp")
    values = healthy(max(series, 5), days + 1)[:, : len(times)]
    names = [json.dumps({"one": str(i)}) for i in range(series)]
    for i, one in enumerate(own):
        frame = pd.DataFrame(values[(i + np.arange(series)) % len(values)].T, index=times, columns=names)
        for day, part in frame.groupby(pd.DatetimeIndex(frame.index).date):
            closed = day < until.date()  # type: ignore[operator]
            lake.upsert_day(one.spec, day, part, fetched=until, fetched_until=until, closed=closed)  # type: ignore[arg-type]


def cost(metrics: int, series: int) -> None:
    """Print what runs cost."""
    with tempfile.TemporaryDirectory() as folder:
        storage = LocalStorage(Path(folder))
        lake, states = Lake(storage, "c"), MetricStates(storage, "c")
        values = healthy(series, DAYS + 1)
        own = entries(metrics)
        names = [json.dumps({"one": str(i)}) for i in range(series)]
        times = pd.date_range(BEGIN, periods=values.shape[1], freq=f"{STEP}s", name="timestamp")
        frame = pd.DataFrame(values.T, index=times, columns=names)
        first = BEGIN + timedelta(days=DAYS, hours=12)
        for run in range(TICKS + 1):
            now = first + timedelta(seconds=run * STEP)
            known = frame[frame.index <= now]
            for day, part in known.groupby(pd.DatetimeIndex(known.index).date):
                if run == 0 or day == now.date():
                    for one in own:
                        lake.upsert_day(one.spec, day, part, fetched=now, fetched_until=now, closed=False)  # type: ignore[arg-type]
            began = time.process_time()
            tables = score_metrics(own, lake, states, now, {}, metrics * series)
            spent = time.process_time() - began
            what = "first run" if run == 0 else "one new row"
            print(f"{what}: {metrics} metrics x {series} series, {spent:.1f} s of CPU, {len(tables.scores)} rows")
        print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


def main() -> None:
    """See the head of this module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", nargs="?", type=Path, help="folder of labelled series")
    parser.add_argument("--metrics", type=int, default=100)
    parser.add_argument("--series", type=int, default=1, help="of each metric")
    chosen = parser.parse_args()
    values = healthy(25, 21)
    seconds = int(BEGIN.timestamp()) + STEP * np.arange(values.shape[1], dtype=np.int64)
    for kind, name in enumerate(("habits", "noise", "walk", "sparse", "flat")):
        print(f"{name:8s} {alert_share(values[kind::5], seconds, STEP):8.3%} of rows, generated")
    if chosen.data:
        of_folder(chosen.data)
    cost(chosen.metrics, chosen.series)


if __name__ == "__main__":
    main()
