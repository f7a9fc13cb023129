"""Runs one after the other over a lake that grows: each finds what a run that recomputes everything finds."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from aiops_assets.datasets.newest import stored_window
from aiops_assets.registry.paging import Paging
from aiops_assets.registry.pod_scoring import PodScoring
from aiops_assets.registry.scoring import ChampionPredictions, predict_newest
from aiops_assets.storage.lake import Lake
from aiops_assets.storage.page_state import PageStates
from aiops_assets.storage.pod_memory import PodMemories
from aiops_assets.storage.storage import LocalStorage
from aiops_assets.synthetic.pods import generate
from aiops_assets.timeseries.catalog import ENGINE_METRICS, POD_CPU, POD_MEMORY, MetricSpec
from aiops_assets.timeseries.series import PodSeries
from aiops_assets_tests.conftest import make_settings
from aiops_assets_tests.service.served_home import SPECS, ServedHome

DETECTOR, ENSEMBLE = "anomaly-detector", "ensemble-predictor"
MIDNIGHT = pd.Timestamp("2026-11-11", tz="UTC")
START = datetime(2026, 11, 10, 10, 0, tzinfo=UTC)
TICK = timedelta(minutes=5)
PODS = 6
SPIKING = 2


@dataclass
class Cluster:
    """A lake that is filled up to a time, and the champions."""

    folder: Path
    series: PodSeries
    home: ServedHome

    def __post_init__(self) -> None:
        self.lake = Lake(LocalStorage(self.folder / "home"), "default")
        self.filled = self.series.times[0] - pd.Timedelta(minutes=1)

    def fill(self, now: datetime) -> None:
        """What a server has scraped since the last time."""
        new = (self.series.times > self.filled) & (self.series.times <= pd.Timestamp(now))
        for metric in ENGINE_METRICS:
            frame = self._frame(metric)[new]
            for day in sorted(set(pd.DatetimeIndex(frame.index).date)):
                self._put(metric, day, frame[pd.DatetimeIndex(frame.index).date == day], now)
        self.filled = pd.Timestamp(now)

    def late(self, metric: MetricSpec, pod: int, at: datetime, value: float) -> None:
        """A sample that is other than it was."""
        frame = self._frame(metric)
        row = pd.DataFrame({frame.columns[pod]: [value]}, index=pd.DatetimeIndex([at], name="timestamp"))
        self._put(metric, at.date(), row, self.filled.to_pydatetime())

    def run(self, now: datetime, *, anew: bool = False, pages: bool = False) -> ChampionPredictions:
        """A run; ``anew``: one that has kept nothing."""
        folder = LocalStorage(self.folder / "home")
        memories, states = PodMemories(folder, "default"), PageStates(folder, "default")
        window = stored_window(make_settings(self.folder), self.lake, now)
        specs = [SPECS[name] for name in (DETECTOR, ENSEMBLE)]
        paging = Paging(None if anew else states) if pages else None
        return predict_newest(self.home.served, specs, window, now, "default", None if anew else memories, paging)

    def _frame(self, metric: MetricSpec) -> pd.DataFrame:
        values = self.series.values[metric.name][:, 0]
        names = [f'{{"pod": "{pod}"}}' for pod in self.series.pods]
        names = names if metric.per == "pod" else ['{"instance": "node"}']
        return pd.DataFrame(values[: len(names)].T, index=self.series.times, columns=names)

    def _put(self, metric: MetricSpec, day: date, rows: pd.DataFrame, now: datetime) -> None:
        end = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1)
        until = min(end, now)
        self.lake.upsert_day(metric, day, rows, fetched=until, fetched_until=until, closed=end <= now)


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    series = generate(PODS, 10, MIDNIGHT, seed=3)
    values = {name: array.copy() for name, array in series.values.items()}
    at = int(series.times.searchsorted(pd.Timestamp(START)))
    values[POD_CPU.name][SPIKING, 0, at - 10 : at + 60] += 3.0
    values[POD_MEMORY.name][4, 0, at - 300 : at - 200] = np.nan
    home = ServedHome(tmp_path / "models").serve((DETECTOR, ENSEMBLE))
    made = PodSeries(series.times, series.pods, values, series.kind)
    cluster = Cluster(tmp_path, made, home)
    cluster.fill(START)
    return cluster


def assert_same(found: ChampionPredictions, expected: ChampionPredictions) -> None:
    order = ["model_name", "pod", "timestamp"]
    one, other = (run.run.scores.sort_values(order, ignore_index=True) for run in (found, expected))
    assert len(one)
    texts = ["contributing_features"]
    pd.testing.assert_frame_equal(one.drop(columns=texts), other.drop(columns=texts), rtol=1e-7, atol=1e-9)
    assert found.run.record.unwatched == expected.run.record.unwatched
    assert found.run.record.pods_version == expected.run.record.pods_version


def test_each_run_finds_what_a_run_that_recomputes_everything_finds(cluster: Cluster) -> None:
    first = cluster.run(START, pages=True)
    assert first.resumed == {ENSEMBLE: 0}
    for i in (1, 3):
        now = START + i * TICK
        cluster.fill(now)
        found, expected = cluster.run(now, pages=True), cluster.run(now, anew=True, pages=i == 3)
        assert_same(found, expected)
        assert found.resumed[ENSEMBLE] >= PODS - 2
    assert found.run.scores["is_anomaly"].any()
    one, other = (run.run.pages.sort_values(["timestamp", "pod"], ignore_index=True) for run in (found, expected))
    pd.testing.assert_frame_equal(one, other)
    assert set(one["pod"]) == {cluster.series.pods[SPIKING]}


@pytest.mark.parametrize("ago", [timedelta(minutes=20), timedelta(hours=4), timedelta(days=3)])
def test_a_late_sample_of_an_open_or_a_closed_day_is_as_if_it_had_always_been_there(
    cluster: Cluster, ago: timedelta
) -> None:
    cluster.run(START)
    cluster.late(POD_CPU, 5, START - ago, 2.5)
    now = START + TICK
    cluster.fill(now)
    found, expected = cluster.run(now), cluster.run(now, anew=True)
    assert found.resumed[ENSEMBLE] in (PODS - 1, PODS - 2)  # and one whose begin may have moved
    order = ["model_name", "pod", "timestamp"]
    one, other = (run.run.scores.sort_values(order, ignore_index=True) for run in (found, expected))
    np.testing.assert_allclose(one["anomaly_score"], other["anomaly_score"], rtol=1e-7, atol=1e-9)
    np.testing.assert_array_equal(one["is_anomaly"], other["is_anomaly"])


def test_a_row_detector_is_asked_about_rows_that_are_new_or_changed(cluster: Cluster) -> None:
    def tick(now: datetime) -> tuple[pd.DataFrame, int]:
        champion = cluster.home.served.champion(DETECTOR)
        assert champion
        window = stored_window(make_settings(cluster.folder), cluster.lake, now)
        scoring = PodScoring(cluster.home.served, window, PodMemories(cluster.lake.storage, "default"))
        return scoring.scores(SPECS[DETECTOR], champion.champion), scoring.known_rows[DETECTOR]

    assert tick(START)[1] == 0
    assert tick(START)[1] == 12 * PODS
    now = START + TICK
    cluster.fill(now)
    cluster.late(POD_CPU, 1, START - timedelta(minutes=20), 1.5)
    scores, known = tick(now)
    assert len(scores) == 12 * PODS
    assert known == 11 * PODS - 2  # two windows of six minutes hold the sample


def test_memories_of_a_model_that_is_served_no_more_are_removed(cluster: Cluster) -> None:
    cluster.run(START)
    folder = cluster.folder / "home" / PodMemories(cluster.lake.storage, "default").folder
    of_ensemble = {path.name for path in folder.glob(f"{ENSEMBLE}-*")}
    assert of_ensemble
    (cluster.home.folder / DETECTOR / "champion.json").unlink()
    damaged = cluster.home.folder / ENSEMBLE / "1" / "model.json"
    whole = damaged.read_bytes()
    damaged.write_bytes(b"{}")
    cluster.run(START)
    # It could not be loaded this time, and may be the next.
    assert {path.name for path in folder.glob("*.arrays")} == of_ensemble
    damaged.write_bytes(whole)
    assert cluster.run(START).resumed == {ENSEMBLE: PODS}
