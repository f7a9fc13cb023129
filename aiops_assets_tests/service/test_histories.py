"""Where the lake has a pod's history, the window detector has a say in detect."""

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from aiops_assets.families.anomaly_detector import ANOMALY_DETECTOR
from aiops_assets.families.ensemble_predictor import ENSEMBLE_PREDICTOR
from aiops_assets.service import bodies
from aiops_assets.service.engine import Engine
from aiops_assets.service.histories import LakeHistories, newest_days
from aiops_assets.service.instruments import Instruments
from aiops_assets.service.pool import ModelPool
from aiops_assets.service.versions import ChampionSource
from aiops_assets.storage.day_info import StoredQuery
from aiops_assets.storage.lake import Lake
from aiops_assets.storage.storage import LocalStorage
from aiops_assets.synthetic.pods import generate
from aiops_assets.timeseries.catalog import ENGINE_METRICS, POD_CPU, MetricSpec
from aiops_assets.timeseries.series import PodSeries
from aiops_assets.views.pod_series import VALUES
from aiops_assets_tests.service.served_home import SPECS, ServedHome

MIDNIGHT = pd.Timestamp("2026-11-02", tz="UTC")
NOW = datetime(2026, 11, 1, 23, 56, tzinfo=UTC)
DAYS = 8


def filled(folder: Path, series: PodSeries) -> Lake:
    """A lake with the series of some pods and one node."""
    lake = Lake(LocalStorage(folder), "default")
    for metric in ENGINE_METRICS:
        values = series.values[metric.name][:, 0]
        names = ['{"instance": "node"}'] if metric.per == "node" else [f'{{"pod": "{pod}"}}' for pod in series.pods]
        frame = pd.DataFrame(values[: len(names)].T, index=series.times, columns=names)
        for day, rows in frame.groupby(pd.DatetimeIndex(frame.index).date):
            assert isinstance(day, date)
            end = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1)
            lake.upsert_day(metric, day, rows, fetched=end, fetched_until=end, closed=True)
    return lake


@pytest.fixture(scope="module")
def series() -> PodSeries:
    return generate(2, DAYS, MIDNIGHT, seed=3)


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> ModelPool:
    names = (ANOMALY_DETECTOR.name, ENSEMBLE_PREDICTOR.name)
    home = ServedHome(tmp_path_factory.mktemp("models")).serve(names)
    pool = ModelPool(ChampionSource(home.served), [SPECS[name] for name in names], Instruments())
    pool.refresh()
    return pool


@pytest.fixture
def engine(pool: ModelPool) -> Iterator[Callable[[Lake], Engine]]:
    """Makes engines whose histories are read in the background, as the service has them."""
    started = []

    def make(lake: Lake) -> Engine:
        histories = LakeHistories(lake, lambda: NOW, patience_seconds=60)
        histories.start()
        started.append(histories)
        return Engine(pool, Instruments(), lambda: NOW, histories)

    yield make
    for histories in started:
        histories.stop()


Make = Callable[[Lake], Engine]


def body(pod: str, series: PodSeries) -> bodies.DetectBody:
    """The newest values of a pod, as the engine would send them."""
    i = series.pods.index(pod)
    newest = {
        metric.name: float(series.values[metric.name][0 if metric.per == "node" else i, 0, -5])
        for metric in ENGINE_METRICS
    }
    metrics = [{"name": name, "value": value} for name, value in newest.items()]
    return bodies.DetectBody.model_validate({"metrics": metrics, "context": {"resource": pod}})


def test_a_pods_week_is_read_with_what_is_missing(tmp_path: Path, series: PodSeries) -> None:
    pod = series.pods[1]
    lake = filled(tmp_path, series)
    found = newest_days(lake, [pod, "nobody"], NOW)
    assert list(found) == [pod]
    history = found[pod]
    assert list(history.columns) == ["timestamp", *VALUES]
    assert history["timestamp"].iloc[-1] == pd.Timestamp("2026-11-01T23:55", tz="UTC")
    assert (history["timestamp"].diff().dropna() == pd.Timedelta(minutes=5)).all()
    at = int(series.times.searchsorted(history["timestamp"].iloc[-1]))
    for metric in ENGINE_METRICS:
        told = series.values[metric.name][0 if metric.per == "node" else 1, 0, at]
        assert history[metric.name].iloc[-1] == told
    assert newest_days(lake, ["nobody"], NOW) == {}
    assert newest_days(Lake(LocalStorage(tmp_path / "empty"), "default"), [pod], NOW) == {}


def test_a_calm_pod_stays_calm_and_the_window_detector_is_named(
    tmp_path: Path, series: PodSeries, engine: Make
) -> None:
    found = engine(filled(tmp_path, series)).detect(body(series.pods[0], series))
    assert "ensemble-predictor" in found["judged_by"]
    assert [one["model_name"] for one in found["models"]] == ["anomaly-detector", "ensemble-predictor"]
    assert found["anomalies"] == []


def test_a_change_that_no_single_row_shows_is_found_in_the_history(
    tmp_path: Path, series: PodSeries, engine: Make
) -> None:
    """The pod's own levels are usual for pods, but not for this one."""
    pod = series.pods[0]
    changed = generate(2, DAYS, MIDNIGHT, seed=4)
    for name in ("pod_cpu_usage", "pod_memory_usage", "node_cpu_utilization", "node_memory_utilization"):
        values = changed.values[name]
        values[0, :, -6:] = np.clip(values[0, :, -6:] * 1.6, 0, 0.85)
    found = engine(filled(tmp_path, changed)).detect(body(pod, changed))
    by_history = [one for one in found["anomalies"] if "histor" in one["reason"] or "ensemble" in one["reason"]]
    assert by_history
    alone = engine(Lake(LocalStorage(tmp_path / "empty"), "default")).detect(body(pod, changed))
    assert len(alone["anomalies"]) < len(found["anomalies"])


def test_a_lake_that_cannot_be_read_is_told_by_health_and_the_row_is_judged(
    tmp_path: Path, series: PodSeries, engine: Make
) -> None:
    class Gone(Lake):
        def days(self, metric: object) -> list[date]:
            from aiops_assets.errors import StoreError

            raise StoreError("the bucket does not answer", code="away", bucket="b")

    asked = engine(Gone(LocalStorage(tmp_path), "default"))
    found = asked.detect(body(series.pods[0], series))
    assert found["judged_by"][0] == "anomaly-detector"
    (problem,) = asked.problems()
    assert (problem.code, problem.facts) == ("unreadable_history", {"cause": "away", "bucket": "b"})


def test_a_damaged_day_is_told_and_the_row_is_judged(tmp_path: Path, series: PodSeries, engine: Make) -> None:
    lake = filled(tmp_path, series)
    file = next(tmp_path.rglob("metric=pod_memory_usage/**/day=2026-10-30.parquet"))
    file.write_bytes(file.read_bytes()[:-100])
    asked = engine(lake)
    assert "ensemble-predictor" not in asked.detect(body(series.pods[0], series))["judged_by"]
    (problem,) = asked.problems()
    assert problem.code == "unreadable_history"
    assert "is damaged" in problem.text


def test_requests_wait_for_one_reading_of_all_pods_and_then_no_more(tmp_path: Path, series: PodSeries) -> None:
    class Counting(Lake):
        listed = 0

        def days(self, metric: MetricSpec | StoredQuery) -> list[date]:
            Counting.listed += metric == POD_CPU
            return super().days(metric)

    filled(tmp_path, series)
    histories = LakeHistories(Counting(LocalStorage(tmp_path), "default"), lambda: NOW, patience_seconds=60)
    histories.start()
    try:
        assert set(histories.of(series.pods)) == set(series.pods)
        for _ in range(5):
            assert list(histories.of([series.pods[0]])) == [series.pods[0]]
        # Once for the newest day, and once for the week.
        assert Counting.listed == 2
    finally:
        histories.stop()


def test_a_request_does_not_wait_longer_than_its_patience(tmp_path: Path, series: PodSeries) -> None:
    histories = LakeHistories(filled(tmp_path, series), lambda: NOW, patience_seconds=0.0)
    assert histories.of(series.pods) == {}  # nobody reads
    histories.refresh()
    assert set(histories.of(series.pods)) == set(series.pods)
