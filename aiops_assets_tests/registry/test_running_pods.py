"""Scores that go on from a memory are those of the whole history, whatever happened in between."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from aiops_assets.learners.detectors.ensemble import EnsemblePredictor
from aiops_assets.registry.running_pods import PodResults, RunningPods, begins_of
from aiops_assets.storage.pod_memory import PodMemories
from aiops_assets.storage.storage import LocalStorage
from aiops_assets.synthetic.pods import generate
from aiops_assets.timeseries.catalog import ENGINE_METRICS, POD_CPU
from aiops_assets.timeseries.pod_parts import part_of
from aiops_assets.timeseries.series import Floats, PodSeries
from aiops_assets.views.pod_history import PodHistory
from aiops_assets.views.pod_series import VALUES
from aiops_assets_tests.service.served_home import model_file

END = pd.Timestamp("2026-11-12", tz="UTC")
NOON = END - pd.Timedelta(hours=12)
QUARTER = pd.Timedelta(minutes=15)
OF = {"version": "1", "manifest": "a", "code": "b"}
PODS = 8
Change = Callable[[dict[str, Floats]], None]


@pytest.fixture(scope="module")
def detector() -> EnsemblePredictor:
    return EnsemblePredictor.from_bytes(model_file("ensemble-predictor"))


@pytest.fixture(scope="module")
def series() -> PodSeries:
    """Eleven days of eight pods, of which one spikes twice, one has gaps and one begins at 11:40 of the last day."""
    made = generate(PODS, 11, END, seed=11)
    at = made.times.searchsorted(NOON)
    values = {name: array.copy() for name, array in made.values.items()}
    for begin in (at - 400, at - 25):
        values[POD_CPU.name][1, 0, begin : begin + 20] += 3.0
    values[POD_CPU.name][2, 0, at - 300 : at - 200] = np.nan
    for metric in ENGINE_METRICS:
        if metric.per == "pod":
            values[metric.name][3, 0, : at - 20] = np.nan
        else:
            values[metric.name] = values[metric.name][:1]
    return replace(made, values=values)


def history(
    series: PodSeries, until: pd.Timestamp, change: Change | None = None, pods: slice = slice(None)
) -> PodHistory:
    """The nine days up to an instant, changed in place by a function."""
    first, stop = (series.times.searchsorted(t, side="right") for t in (until - pd.Timedelta(days=9), until))
    values = {}
    for name in VALUES:
        array = series.values[name]
        values[name] = array[pods if len(array) > 1 else slice(None), :, first:stop].copy()
    if change:
        change(values)
    times, kind = series.times[first:stop], series.kind[pods, first:stop]
    return PodHistory.of(PodSeries(times, series.pods[pods], values, kind))


def assert_equal(found: PodResults, expected: PodResults) -> None:
    assert np.isfinite(expected.score).any()
    for name in ("score", "now", "contributions"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), rtol=1e-7, atol=1e-9, err_msg=name)
    np.testing.assert_array_equal(found.alert, expected.alert)


class Home:
    """Scores with a memory on disk, each time compared with those without any."""

    def __init__(self, detector: EnsemblePredictor, folder: Path) -> None:
        self.detector = detector
        self.folder = folder

    def tick(self, found: PodHistory, of: dict[str, str] = OF) -> tuple[PodResults, set[str]]:
        """Scores, and the pods that went on."""
        memories = PodMemories(LocalStorage(self.folder), "prod")
        scores = RunningPods(self.detector, "m", of, memories, 8).scores(found)
        assert_equal(scores, RunningPods(self.detector, "m", of, None, 8).scores(found))
        return scores, {pod for pod, resumed in zip(found.pods, scores.resumed, strict=True) if resumed}


@pytest.fixture
def home(detector: EnsemblePredictor, tmp_path: Path) -> Home:
    return Home(detector, tmp_path)


def at_row(name: str, pod: int, back: int, value: float) -> Change:
    """A change of the row so many minutes before the end, which is full five minutes."""

    def change(values: dict[str, Floats]) -> None:
        values[name][pod, 0, -1 - back] = value

    return change


def moved(one: PodHistory, other: PodHistory) -> set[str]:
    """Pods whose begin differs."""
    begins = [
        {pod: found.rows.times[i : i + 1].asi8.tolist() for pod, i in zip(found.pods, begins_of(found, 8), strict=True)}
        for found in (one, other)
    ]
    return {pod for pod, begin in begins[1].items() if begins[0].get(pod) != begin}


def test_runs_one_after_the_other_go_on_and_find_an_incident_at_its_time(home: Home, series: PodSeries) -> None:
    assert home.tick(history(series, NOON - 2 * QUARTER))[1] == set()
    for back in (1, 0):
        scores, resumed = home.tick(history(series, NOON - back * QUARTER))
        assert len(resumed) >= PODS - 1
    assert scores.alert[1, -5:].any()


def test_a_run_without_new_rows_repeats_itself(home: Home, series: PodSeries) -> None:
    home.tick(history(series, NOON))
    assert len(home.tick(history(series, NOON + pd.Timedelta(minutes=2)))[1]) == PODS


@pytest.mark.parametrize("hours", [1.0, 7.0, 30.0])
def test_after_a_gap_it_goes_on_from_where_it_was(home: Home, series: PodSeries, hours: float) -> None:
    before = history(series, NOON - pd.Timedelta(hours=hours))
    home.tick(before)
    now = history(series, NOON)
    assert home.tick(now)[1] == set(before.pods) - moved(before, now)


def test_a_late_sample_scores_its_pod_anew_and_no_other(home: Home, series: PodSeries) -> None:
    before = history(series, NOON - QUARTER)
    home.tick(before)
    now = history(series, NOON, at_row(POD_CPU.name, 5, 180, 2.5))
    assert home.tick(now)[1] == set(now.pods) - moved(before, now) - {series.pods[5]}


def test_a_changed_sample_of_a_node_scores_all_anew(home: Home, series: PodSeries) -> None:
    home.tick(history(series, NOON - QUARTER))
    node = next(metric.name for metric in ENGINE_METRICS if metric.per == "node")
    assert home.tick(history(series, NOON, at_row(node, 0, 180, 0.01)))[1] <= {series.pods[3]}


def test_pods_come_and_go(home: Home, series: PodSeries) -> None:
    few = history(series, NOON - QUARTER, pods=slice(0, 5))
    home.tick(few)
    now = history(series, NOON, pods=slice(2, PODS))
    assert home.tick(now)[1] == set(series.pods[2:5]) - moved(few, now)
    assert home.tick(history(series, NOON + QUARTER))[1] >= set(series.pods[5:]) - moved(
        now, history(series, NOON + QUARTER)
    )


@pytest.mark.parametrize("other", [{"version": "2"}, {"manifest": "c"}, {"code": "c"}])
def test_another_version_or_other_code_begins_anew(home: Home, series: PodSeries, other: dict[str, str]) -> None:
    home.tick(history(series, NOON - QUARTER))
    assert home.tick(history(series, NOON), {**OF, **other})[1] == set()


def test_a_damaged_memory_is_as_none_and_is_replaced(home: Home, series: PodSeries) -> None:
    home.tick(history(series, NOON - QUARTER))
    files = sorted(home.folder.rglob("*.arrays"))
    assert len(files) == len({part_of(pod) for pod in series.pods})
    for i, path in enumerate(files):
        data = bytearray(path.read_bytes())
        if i % 3 == 0:
            data[len(data) // 2] ^= 1
        path.write_bytes(data[: len(data) // 2] if i % 3 == 1 else data if i % 3 == 0 else b"")
    assert home.tick(history(series, NOON))[1] == set()
    assert len(home.tick(history(series, NOON + QUARTER))[1]) >= PODS - 2


def test_a_clock_that_goes_back_finds_what_it_found_then(home: Home, series: PodSeries) -> None:
    home.tick(history(series, NOON))
    assert home.tick(history(series, NOON - 4 * QUARTER))[1] == set()


def test_begins_are_eight_to_nine_days_ago_and_move_once_a_day(series: PodSeries) -> None:
    old = [i for i in range(PODS) if i != 3]
    begins = []
    for back in range(96, -1, -4):
        found = history(series, NOON - back * QUARTER)
        begins.append(found.rows.times[begins_of(found, 8)[old]])
        ago = (found.rows.times[-1] - begins[-1]) / pd.Timedelta(days=1)
        assert ((ago >= 8) & (ago < 9)).all()
    steps = np.diff([one.asi8 for one in begins], axis=0) / 86_400e6
    assert ((steps == 0) | (steps == 1)).all()
    assert (steps.sum(axis=0) == 1).all()
