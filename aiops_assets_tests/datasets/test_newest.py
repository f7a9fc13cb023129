"""The newest window: from a lake, from a real server into a lake, and generated."""

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from aiops_assets.datasets.newest import fetch_newest, generated_window, stored_window
from aiops_assets.datasets.notes import Note
from aiops_assets.datasets.stored_pods import StoredPods
from aiops_assets.pipeline.resources import stores_of
from aiops_assets.prometheus.client import PrometheusClient
from aiops_assets.prometheus.transport import RequestsTransport
from aiops_assets.storage.lake import Lake
from aiops_assets.storage.scores import ABOVE_CAP, NO_CPU
from aiops_assets.storage.storage import LocalStorage
from aiops_assets.synthetic.pods import generate
from aiops_assets.timeseries.catalog import ENGINE_METRICS, FORECAST_METRICS, POD_CPU, POD_MEMORY, MetricSpec
from aiops_assets.timeseries.series import PodSeries, minute_grid
from aiops_assets.views.cluster_metrics import VALUES
from aiops_assets.views.pod_history import PodHistory, member_mean
from aiops_assets_tests.conftest import make_settings
from aiops_assets_tests.pipeline.graph import CLOSED
from aiops_assets_tests.prometheus.answering import AT_ONCE
from aiops_assets_tests.prometheus.fault_server import Reply, faulty
from aiops_assets_tests.snapshot import assert_snapshot

NOW = datetime(2026, 11, 1, 10, 2, 30, tzinfo=UTC)
MIDNIGHT = pd.Timestamp("2026-11-02", tz="UTC")
PODS = 4


@pytest.fixture(scope="module")
def series() -> PodSeries:
    """Three days of four pods; the last one ended two hours before NOW."""
    made = generate(PODS, 3, MIDNIGHT, seed=3)
    ended = made.times > pd.Timestamp(NOW) - pd.Timedelta(hours=2)
    for metric in ENGINE_METRICS:
        if metric.per == "pod":
            made.values[metric.name][-1, :, ended] = np.nan
    return made


@pytest.fixture
def lake(tmp_path: Path, series: PodSeries) -> Lake:
    """The series as a server would have answered, and a cluster whose metrics count steps; up to the end of the day."""
    lake = Lake(LocalStorage(tmp_path), "default")
    steps = pd.date_range(series.times[0], MIDNIGHT, freq="5min", inclusive="left", unit="us", name="timestamp")
    for metric in ENGINE_METRICS:
        values = series.values[metric.name][:, 0]
        if metric.per == "node":
            frame = pd.DataFrame({'{"instance": "node"}': values[0]}, index=series.times)
        else:
            frame = pd.DataFrame({f'{{"pod": "{pod}"}}': one for pod, one in zip(series.pods, values, strict=True)},
                                 index=series.times)  # fmt: skip
        _store(lake, metric, frame)
    for i, metric in enumerate(FORECAST_METRICS):
        _store(lake, metric, pd.DataFrame({"{}": np.arange(len(steps)) + 1000.0 * i}, index=steps))
    return lake


def cut(series: PodSeries, n: int) -> PodSeries:
    """The first minutes alone."""
    values = {name: array[..., :n] for name, array in series.values.items()}
    return replace(series, times=series.times[:n], values=values, kind=series.kind[:, :n])


def _store(lake: Lake, metric: MetricSpec, frame: pd.DataFrame) -> None:
    for day, rows in frame.groupby(pd.DatetimeIndex(frame.index).date):
        assert isinstance(day, date)
        end = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1)
        lake.upsert_day(metric, day, rows, fetched=end, fetched_until=end, closed=True)


def test_a_lake_gives_the_pods_that_live_and_the_cluster_up_to_now(
    tmp_path: Path, lake: Lake, series: PodSeries
) -> None:
    window = stored_window(make_settings(tmp_path), lake, NOW)
    assert (window.source, window.lacking, window.notes) == ("prometheus", {}, ())
    assert isinstance(window.pods, StoredPods)
    assert window.cluster is not None
    assert window.pods.pods == series.pods[:-1]
    assert window.pods.until == pd.Timestamp("2026-11-01T10:02", tz="UTC")
    assert window.unwatched == {ABOVE_CAP: 0, NO_CPU: 0}
    n = int(series.times.searchsorted(window.pods.until)) + 1
    told = PodHistory.of(cut(series, n))
    for metric in ENGINE_METRICS:
        pods = slice(0, 1 if metric.per == "node" else -1)
        of_rows, of_recent = told.rows.values[metric.name][pods], told.recent.values[metric.name][pods]
        np.testing.assert_array_equal(window.pods.rows.values[metric.name][..., -of_rows.shape[-1] :], of_rows)
        assert np.isnan(window.pods.rows.values[metric.name][..., : -of_rows.shape[-1]]).all()
        np.testing.assert_array_equal(window.pods.recent.values[metric.name], of_recent)
    assert told.recent.times.equals(window.pods.recent.times)
    assert window.cluster["timestamp"].iloc[-1] == pd.Timestamp("2026-11-01T10:00", tz="UTC")
    assert window.cluster[list(VALUES)].iloc[-1].tolist() == [696.0 + 1000 * i for i in range(5)]
    assert window.problems(NOW) == []


def test_nine_days_of_pods_are_read_and_no_more(tmp_path: Path) -> None:
    lake = Lake(LocalStorage(tmp_path), "default")
    grid = minute_grid(MIDNIGHT - pd.Timedelta(days=11), MIDNIGHT)
    for metric in ENGINE_METRICS:
        _store(lake, metric, pd.DataFrame({'{"pod": "a"}': 0.5}, index=grid))
    window = stored_window(make_settings(tmp_path), lake, NOW)
    assert isinstance(window.pods, StoredPods)
    assert len(window.pods.rows.times) == 9 * 288
    assert window.lacking.keys() == {"cluster"}


def test_above_a_cap_pods_are_not_read_but_counted_and_the_same_ones_stay(tmp_path: Path, lake: Lake) -> None:
    settings = make_settings(tmp_path, SCORED_PODS_MAX="2", TRAINING_PODS="1")
    window = stored_window(settings, lake, NOW)
    assert isinstance(window.pods, StoredPods)
    assert len(window.pods.pods) == 2
    assert window.unwatched[ABOVE_CAP] == 1
    assert window.notes == (Note("pods_left_out", most=2, scored=2, living=3).text,)
    again = stored_window(settings, lake, NOW + timedelta(minutes=15))
    assert isinstance(again.pods, StoredPods)
    assert again.pods.pods == window.pods.pods


def test_a_pod_of_some_minutes_is_read_and_one_without_cpu_time_is_counted(
    tmp_path: Path, lake: Lake, series: PodSeries
) -> None:
    """The last pod has no CPU time for hours; its memory is still there. Another begins eight minutes ago."""
    day = series.times[series.times >= MIDNIGHT - pd.Timedelta(days=1)]
    until = day[day <= pd.Timestamp(NOW)]
    young = pd.DataFrame({'{"pod": "young"}': 0.5}, index=until[-8:])
    for metric, frame in (
        (POD_CPU, young),
        (
            POD_MEMORY,
            pd.concat([pd.DataFrame({f'{{"pod": "{series.pods[-1]}"}}': 0.5}, index=until), young], axis=1, sort=True),
        ),
    ):
        stored = lake.read_day(metric, NOW.date())[0]
        _store(lake, metric, frame.combine_first(stored[stored.index <= pd.Timestamp(NOW)]))
    window = stored_window(make_settings(tmp_path), lake, NOW)
    assert isinstance(window.pods, StoredPods)
    assert window.pods.pods == (*series.pods[:-1], "young")
    assert window.unwatched == {ABOVE_CAP: 0, NO_CPU: 1}
    assert window.pods.begins["young"] == pd.Timestamp("2026-11-01T09:55", tz="UTC")


def test_a_server_that_is_away_leaves_what_is_cached_with_its_age(tmp_path: Path, lake: Lake) -> None:
    later = NOW + timedelta(days=3)
    window = stored_window(make_settings(tmp_path), lake, later, "cannot reach it")
    assert window.source == "cached"
    assert window.ends["pods"] == datetime(2026, 11, 1, 23, 59, tzinfo=UTC)
    old = [Note("old_sample", name=name, hours=58.1) for name in ("pods", "cluster")]
    assert window.problems(later) == [note.text for note in (*old, Note("cached_newest", problem="cannot reach it"))]


def test_an_empty_lake_lacks_both_and_says_what_to_do(tmp_path: Path) -> None:
    window = stored_window(make_settings(tmp_path), stores_of(make_settings(tmp_path)).lake(), NOW)
    assert (window.pods, window.cluster) == (None, None)
    errors = [window.lacking["pods"], window.lacking["cluster"]]
    assert [(error.code, error.facts) for error in errors] == [
        ("no_stored_day", {"metric": "pod_cpu_usage"}),
        ("no_stored_day", {"metric": "cpu_usage"}),
    ]
    assert window.problems(NOW) == [str(error) for error in errors]
    assert_snapshot("empty_lake", "".join(f"{error}\n" for error in errors))


def test_a_damaged_day_is_said_and_the_others_are_scored(tmp_path: Path, lake: Lake) -> None:
    path = tmp_path / lake._path(POD_CPU, date(2026, 10, 31))
    path.write_bytes(path.read_bytes()[:-10])
    window = stored_window(make_settings(tmp_path), lake, NOW)
    assert isinstance(window.pods, StoredPods)
    there = np.isfinite(window.pods.rows.values[POD_CPU.name][:, 0])
    damaged = window.pods.rows.times.floor("D") == pd.Timestamp("2026-10-31", tz="UTC")
    assert not there[:, damaged].any()
    assert there[:, window.pods.rows.times >= MIDNIGHT - pd.Timedelta(days=1)].all()
    (note,) = window.notes
    assert f"{path} is damaged" in note


def test_the_newest_day_damaged_is_said_too(tmp_path: Path, lake: Lake) -> None:
    path = tmp_path / lake._path(POD_CPU, date(2026, 11, 1))
    path.write_bytes(path.read_bytes()[:-10])
    window = stored_window(make_settings(tmp_path), lake, NOW)
    assert any(f"{path} is damaged" in note for note in window.problems(NOW))


@pytest.mark.needs("prometheus")
def test_today_and_yesterday_are_fetched_anew_and_nothing_else(tmp_path: Path, prometheus_url: str) -> None:
    settings = make_settings(tmp_path)
    lake = stores_of(settings).lake()
    now = datetime(2026, 10, 31, 12, 0, tzinfo=UTC)
    with RequestsTransport(prometheus_url) as transport:
        client = PrometheusClient(transport)
        fetch_newest(client, lake, now)
        assert all(lake.days(m) == [date(2026, 10, 30), date(2026, 10, 31)] for m in (POD_CPU, FORECAST_METRICS[0]))
        window = stored_window(settings, lake, now)
        # A rate takes five minutes to be right: nothing younger is asked.
        assert window.ends == {
            "pods": datetime(2026, 10, 31, 11, 54, tzinfo=UTC),
            "cluster": datetime(2026, 10, 31, 11, 50, tzinfo=UTC),
        }
        assert window.problems(now) == []
        later = now + timedelta(minutes=15)
        fetches = fetch_newest(client, lake, later)
        asked = {fetch.metric.name: fetch.requested for fetch in fetches}
        assert asked[POD_CPU.name] == 60 + 15
        assert stored_window(settings, lake, later).ends["pods"] == datetime(2026, 10, 31, 12, 9, tzinfo=UTC)


@pytest.mark.needs("prometheus")
def test_the_archive_is_asked_for_what_the_server_forgot_of_yesterday(tmp_path: Path, prometheus_url: str) -> None:
    """A fetch that closed such a day would keep everybody from asking the archive ever again."""
    lake, day = stores_of(make_settings(tmp_path)).lake(), date(2026, 10, 30)
    now = datetime(2026, 10, 31, 2, 0, tzinfo=UTC)
    with (
        faulty(prometheus_url, lambda *_: Reply(change=_from_noon_on)) as short,
        RequestsTransport(short.url) as server,
        RequestsTransport(prometheus_url) as whole,
        RequestsTransport(CLOSED) as nobody,
    ):
        fetches = fetch_newest(PrometheusClient(server), lake, now, PrometheusClient(nobody, retry=AT_ONCE))
        assert all("check THANOS_URL" in fetch.archive_away for fetch in fetches)
        info = lake.info(POD_CPU, day)
        assert info
        assert (info.closed, info.got) == (False, 720)
        fetch_newest(PrometheusClient(server), lake, now, PrometheusClient(whole))
        info = lake.info(POD_CPU, day)
        assert info
        assert (info.closed, info.got, info.source) == (True, 1440, "thanos")


def _from_noon_on(body: bytes) -> bytes:
    """A range query's answer without its samples from before noon of 30 October."""
    noon = datetime(2026, 10, 30, 12, tzinfo=UTC).timestamp()
    answer = json.loads(body)
    for series in answer["data"]["result"] if answer["data"].get("resultType") == "matrix" else []:
        series["values"] = [sample for sample in series["values"] if sample[0] >= noon]
    return json.dumps(answer, separators=(",", ":")).encode()


def test_generated_windows_end_with_the_present_step_and_agree_with_each_other(tmp_path: Path) -> None:
    settings = make_settings(tmp_path, TRAINING_PODS="3")
    one = generated_window(settings, NOW)
    other = generated_window(settings, NOW + timedelta(hours=1))
    assert (one.source, one.lacking, one.problems(NOW)) == ("synthetic", {}, [])
    assert isinstance(one.pods, PodHistory)
    assert isinstance(other.pods, PodHistory)
    assert one.cluster is not None
    assert other.cluster is not None
    assert one.ends == dict.fromkeys(("pods", "cluster"), datetime(2026, 11, 1, 10, 0, tzinfo=UTC))
    assert (len(one.pods.pods), len(one.pods.rows.times), len(one.cluster)) == (3, 9 * 288, 14 * 288)
    whole = generate(3, 10, MIDNIGHT, settings.random_seed)
    last = int(whole.times.searchsorted(pd.Timestamp(one.ends["pods"])))
    for name, values in one.pods.rows.values.items():
        np.testing.assert_array_equal(values[:, 0, -1], member_mean(whole.values[name])[:, last])
        np.testing.assert_array_equal(values[..., 12:], other.pods.rows.values[name][..., :-12])
    both = one.cluster.merge(other.cluster, on="timestamp")
    assert len(both) == 14 * 288 - 12
    assert (both["cpu_usage_x"] == both["cpu_usage_y"]).all()
