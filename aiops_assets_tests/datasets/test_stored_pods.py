"""Pods of a lake, read some at a time and from copies of closed days: the same numbers as of the day files."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from aiops_assets.datasets.newest import stored_window
from aiops_assets.datasets.stored_pods import StoredPods
from aiops_assets.storage import day_parquet
from aiops_assets.storage.lake import Lake
from aiops_assets.storage.storage import LocalStorage
from aiops_assets.synthetic.pods import generate
from aiops_assets.timeseries.catalog import ENGINE_METRICS, NETWORK_RECEIVE, POD_CPU, MetricSpec
from aiops_assets.timeseries.series import PodSeries
from aiops_assets.views.pod_history import PodHistory
from aiops_assets_tests.conftest import make_settings

NOW = datetime(2026, 11, 4, 10, 2, 30, tzinfo=UTC)
PODS = 40
CLOSED = [date(2026, 11, day) for day in (2, 3)]
METRICS = (*ENGINE_METRICS, NETWORK_RECEIVE)


@pytest.fixture(scope="module")
def series() -> PodSeries:
    """Two and a half days of forty pods, in several parts."""
    made = generate(PODS, 3, pd.Timestamp("2026-11-05", tz="UTC"), seed=3)
    until = int(made.times.searchsorted(pd.Timestamp("2026-11-04T10:02", tz="UTC"))) + 1
    values = {name: array[..., :until] for name, array in made.values.items()}
    values[POD_CPU.name][3, 0, 700:900] = np.nan
    values |= {metric.name: values[metric.name][:1] for metric in ENGINE_METRICS if metric.per == "node"}
    return PodSeries(made.times[:until], made.pods, values, made.kind[:, :until])


def store(folder: Path, series: PodSeries) -> Lake:
    lake = Lake(LocalStorage(folder), "default")
    for metric in METRICS:
        values = series.values[metric.name][:, 0]
        names = [f'{{"pod": "{pod}"}}' for pod in series.pods] if metric.per == "pod" else ['{"instance": "node"}']
        frame = pd.DataFrame(values[: len(names)].T, index=series.times, columns=names)
        frame = frame[series.times.as_unit("s").asi8 % metric.step_seconds == 0]
        for day in (*CLOSED, NOW.date()):
            put(lake, metric, day, frame[pd.DatetimeIndex(frame.index).date == day])
    return lake


def put(lake: Lake, metric: MetricSpec, day: date, rows: pd.DataFrame) -> None:
    end = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1)
    until = min(end, NOW)
    lake.upsert_day(metric, day, rows, fetched=until, fetched_until=until, closed=day in CLOSED)


@pytest.fixture
def lake(tmp_path: Path, series: PodSeries) -> Lake:
    return store(tmp_path, series)


def pods_of(folder: Path, lake: Lake, now: datetime = NOW) -> StoredPods:
    found = stored_window(make_settings(folder), lake, now).pods
    assert isinstance(found, StoredPods)
    return found


def assert_equal(found: PodHistory, expected: PodHistory, those: "np.ndarray[tuple[int], np.dtype[np.intp]]") -> None:
    assert found.pods == tuple(expected.pods[i] for i in those)
    n = len(expected.rows.times)
    for part in ("rows", "recent"):
        for name, values in getattr(found, part).values.items():
            whole = getattr(expected, part).values[name]
            whole = whole[those] if len(whole) > 1 else whole
            np.testing.assert_array_equal(values[..., -n:] if part == "rows" else values, whole, err_msg=name)


@pytest.fixture
def read_days(monkeypatch: pytest.MonkeyPatch) -> list[date]:
    """Days whose files' samples are read."""
    read: list[date] = []
    original = day_parquet.decode_blocks

    def counted(data: bytes, day: date, step_seconds: int, wanted: Callable[[str], bool]) -> object:
        read.append(day)
        return original(data, day, step_seconds, wanted)

    monkeypatch.setattr(day_parquet, "decode_blocks", counted)
    return read


def test_pods_in_parts_and_as_columns_are_those_of_the_day_files(tmp_path: Path, lake: Lake, series: PodSeries) -> None:
    expected = PodHistory.of(series)
    for _ in range(2):  # from the day files, and from their copies
        found = pods_of(tmp_path, lake)
        for those in (np.arange(PODS), np.array([0]), np.arange(3, PODS, 5)):
            assert_equal(found.of_pods(those), expected, those)
        assert found.rows_until == expected.rows_until
        assert found.lasting(pd.Timedelta(minutes=15)) == expected.lasting(pd.Timedelta(minutes=15))
        shift = len(found.times) - len(expected.rows.times)
        for name in (POD_CPU.name, NETWORK_RECEIVE.name):
            column = expected.rows.values[name][:, 0]
            for at in (slice(0, 24), slice(280, 300), slice(len(expected.rows.times) - 3, len(expected.rows.times))):
                moved = slice(at.start + shift, at.stop + shift)
                np.testing.assert_array_equal(found.column(name)[:, moved], column[:, at])


def test_a_later_run_reads_the_samples_of_the_open_day_alone(tmp_path: Path, lake: Lake, read_days: list[date]) -> None:
    pods_of(tmp_path, lake).of_pods(np.arange(PODS))
    assert set(read_days) == {*CLOSED, NOW.date()}
    read_days.clear()
    pods_of(tmp_path, lake, NOW + timedelta(minutes=5)).of_pods(np.arange(PODS))
    assert set(read_days) == {NOW.date()}


def test_a_sample_that_comes_to_a_closed_day_is_read_and_the_digest_is_another(
    tmp_path: Path, lake: Lake, series: PodSeries, read_days: list[date]
) -> None:
    before = pods_of(tmp_path, lake)
    at = int(series.times.searchsorted(pd.Timestamp("2026-11-03T12:00", tz="UTC")))
    late = pd.DataFrame({f'{{"pod": "{series.pods[7]}"}}': [42.0]}, index=series.times[at : at + 1])
    put(lake, POD_CPU, CLOSED[1], late)
    read_days.clear()
    after = pods_of(tmp_path, lake)
    assert read_days.count(CLOSED[1]) == 1
    row = int(after.times.searchsorted(series.times[at]))
    assert after.of_pods(np.array([7])).rows.values[POD_CPU.name][0, 0, row] == 42.0
    assert before.digest != after.digest
    assert pods_of(tmp_path, lake).digest == after.digest
    assert len(list(tmp_path.rglob(f"{POD_CPU.name}.{CLOSED[1]}.*.rows"))) == 1


@pytest.mark.parametrize("remove", [True, False])
def test_a_copy_that_is_lost_or_damaged_while_it_is_read_costs_a_read_of_the_day_file(
    tmp_path: Path, lake: Lake, series: PodSeries, remove: bool
) -> None:
    found = pods_of(tmp_path, lake)
    for path in tmp_path.rglob("*.rows"):
        if remove:
            path.unlink()
        else:
            data = path.read_bytes()
            path.write_bytes(data[:-8] + bytes(8))
    those = np.arange(PODS)
    assert_equal(found.of_pods(those), PodHistory.of(series), those)


def test_a_day_that_is_written_again_while_it_is_read_keeps_each_pods_rows(
    tmp_path: Path, lake: Lake, series: PodSeries
) -> None:
    found = pods_of(tmp_path, lake)
    late = {f'{{"pod": "a-{i}"}}': [1.0] for i in range(64)}  # before the others in order, and some in each part
    put(lake, POD_CPU, CLOSED[1], pd.DataFrame(late, index=[pd.Timestamp("2026-11-03T12:00", tz="UTC")]))
    pods_of(tmp_path, lake)  # another run, which removes the former copy
    those = np.arange(PODS)
    assert_equal(found.of_pods(those), PodHistory.of(series), those)
