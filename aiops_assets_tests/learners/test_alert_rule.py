"""Alerts that people can live with: none while a usual value holds, an end with the incident, none by habit."""

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest

from aiops_assets.families.backtests import backtest
from aiops_assets.learners.detectors.alert_rule import alerts
from aiops_assets.learners.detectors.counters import counters_of, increases
from aiops_assets.learners.detectors.ensemble import EnsemblePredictor
from aiops_assets.timeseries.frames import Grid
from aiops_assets_tests.learners.test_window_detectors import series, with_incident

DAY = 288
FORMAT_1 = Path(__file__).parent / "data" / "ensemble_format_1.json"


def frame_of(values: npt.ArrayLike, step: str = "5min", train: float = 1 / 3) -> pd.DataFrame:
    """A series of one metric whose first part is train; it begins on a Monday."""
    n = len(np.asarray(values))
    times = pd.date_range("2026-03-02", periods=n, freq=step, tz="UTC", unit="us")
    split = np.where(np.arange(n) < train * n, "train", "test")
    return pd.DataFrame({"timestamp": times, "split": split, "value": np.asarray(values, dtype=float)})


def alert_of(frame: pd.DataFrame) -> npt.NDArray[np.bool_]:
    """Alerts of all rows by ensemble-predictor."""
    return backtest("ensemble-predictor", frame)["alert"].to_numpy()


@pytest.mark.parametrize("step", ["5min", "1h"])
def test_rare_events_raise_no_alert_while_the_usual_value_holds(step: str) -> None:
    values = np.zeros(2000)
    values[[300, *np.random.default_rng(3).integers(700, 2000, 8)]] = 1
    alert = alert_of(frame_of(values, step))
    assert not alert[values == 0].any()
    assert alert[667:].mean() < 0.012


@pytest.mark.parametrize("restart", [False, True])
def test_a_steady_counter_raises_no_alert_but_a_change_of_its_rate_does(restart: bool) -> None:
    rng = np.random.default_rng(4)
    growth = 2.0 + (rng.random(4000) < 0.05)
    values = growth.cumsum()
    if restart:
        values[2500:] -= values[2499]
    assert alert_of(frame_of(values))[1334:].mean() < 0.012
    growth[3000:3010] += 60
    alert = alert_of(frame_of(growth.cumsum()))
    assert alert[3000:3010].any()
    assert not alert[3013:3200].any()


def test_what_counts_is_seen_by_its_values() -> None:
    n = 500
    rng = np.random.default_rng(1)
    counter = rng.integers(0, 3, n).cumsum().astype(float)
    restarted = np.where(np.arange(n) < 300, counter, counter - counter[299])
    others = (rng.standard_normal(n), (rng.random(n) < 0.02).astype(float), np.where(np.arange(n) < 200, 1.0, 2.0))
    values = np.stack([counter, restarted, *others], axis=1)
    counters = counters_of([values])
    assert counters.tolist() == [True, True, False, False, False]
    found = increases(values, counters)
    assert (found[1:, 0] == np.diff(counter)).all()
    assert found[1:, 1].min() >= 0
    assert np.isnan(found[0, :2]).all()
    assert (found[:, 2:] == values[:, 2:]).all()


@pytest.mark.parametrize("unit", [1e-9, 1e9])
def test_the_unit_changes_no_alert(unit: float) -> None:
    values = np.random.default_rng(7).standard_normal(1500).cumsum() + np.random.default_rng(8).standard_normal(1500)
    values[1200:1210] += 30
    first, other = (backtest("ensemble-predictor", frame_of(values * by)) for by in (1.0, unit))
    assert (first["alert"] == other["alert"]).all()
    assert first["alert"].iloc[1200:1210].any()
    np.testing.assert_allclose(other["score"], first["score"], atol=1e-6)


def test_the_recipe_of_anomaly_detector_knows_counters_and_no_unit() -> None:
    rng = np.random.default_rng(5)
    counter = frame_of(rng.poisson(3, 3000).cumsum())
    tiny = counter.assign(value=counter["value"] * 1e-12)
    alert, other = (backtest("anomaly-detector", one)["alert"].to_numpy() for one in (counter, tiny))
    assert alert[1000:].mean() < 0.02
    assert (alert == other).all()


@pytest.mark.parametrize(("step", "rows", "quarter"), [("5min", 3, 3), ("1min", 10, 15)])
def test_an_alert_ends_with_its_incident_and_a_second_one_is_a_second_one(step: str, rows: int, quarter: int) -> None:
    hour = 4 * quarter
    values = 10 + np.random.default_rng(11).standard_normal(150 * hour)
    first, second = 100 * hour, 101 * hour + rows
    for begin in (first, second):
        values[begin : begin + rows] += 10
    alert = alert_of(frame_of(values, step))
    for begin in (first, second):
        end = begin + rows
        assert alert[begin:end].any()
        assert not alert[end + quarter : end + hour].any()


@pytest.mark.parametrize("habit", ["working days", "a job on Sundays"])
def test_what_repeats_each_week_raises_no_alert(habit: str) -> None:
    rng = np.random.default_rng(2)
    time = np.arange(35 * DAY)
    day, slot = time // DAY % 7, time % DAY
    if habit == "working days":
        values = np.where(day < 5, 1.0, 0.4) * (3 + 2 * np.sin(2 * np.pi * slot / DAY)) + 0.2 * rng.standard_normal(
            len(time)
        )
    else:
        values = 1 + 0.1 * rng.standard_normal(len(time)) + 3 * ((day == 6) & (slot >= 72) & (slot < 84))
    alert = alert_of(frame_of(values, train=0.4))
    assert alert[14 * DAY :].mean() < 0.0075
    assert alert[14 * DAY :][day[14 * DAY :] >= 5].mean() < 0.0075


def test_a_lasting_incident_does_not_spend_the_budget_of_the_next() -> None:
    """The second, half as large, comes a day after one of six hours."""
    grid = Grid(np.zeros((12 * DAY, 1)), np.arange(12 * DAY), 300)
    rng = np.random.default_rng(1)
    score, now = rng.random(12 * DAY), np.zeros(12 * DAY)
    for begin, rows, height in ((6 * DAY, 72, 10.0), (7 * DAY, 6, 5.0)):
        score[begin : begin + rows], now[begin : begin + rows] = height, height
    alert = alerts(score, now, np.sort(rng.random(1000)), 4 * DAY, grid, 0.01)
    assert alert[6 * DAY : 6 * DAY + 72].all()
    assert alert[7 * DAY : 7 * DAY + 6].all()
    assert alert.sum() == 78


def test_exports_below_each_other_are_one_series() -> None:
    """Of two rows of one instant neither says that the other's value is missing."""
    wide = with_incident(series(n=900, columns=2), 700)
    columns = [name for name in wide.columns if name.startswith("metric_")]
    parts = [wide.assign(**{name: np.nan}) for name in columns]
    stacked = pd.concat(parts, ignore_index=True)
    scored = backtest("ensemble-predictor", wide)
    found = backtest("ensemble-predictor", stacked)
    for part in (found.iloc[:900], found.iloc[900:]):
        assert (part["alert"].to_numpy() == scored["alert"].to_numpy()).all()
        np.testing.assert_allclose(part["score"], scored["score"])


def test_a_file_of_the_release_before_gives_the_scores_that_it_gave() -> None:
    known = json.loads(FORMAT_1.read_text())
    data = json.dumps(known["file"]).encode()
    detector = EnsemblePredictor.from_bytes(data)
    frame = with_incident(series(n=700, columns=2), 600)
    np.testing.assert_allclose(detector.score(frame).score[590:620], known["scores"], atol=1e-6)
    assert detector.score(frame).alert[600:612].any()
    again = EnsemblePredictor.from_bytes(detector.to_bytes())
    assert (again.score(frame).score == detector.score(frame).score).all()


def _restarts_of_a_counter_of_a_sum(rng: np.random.Generator, n: int) -> npt.NDArray[np.float64]:
    """A counter summed over pods, of which one in twenty goes each day, with lost samples."""
    values = rng.poisson(30, n).cumsum().astype(float)
    for gone in rng.integers(10, n, n // DAY):
        values[gone:] -= 0.05 * values[gone - 1]
    values[rng.random(n) < 0.05] = np.nan
    return values


HEALTHY = {
    "random walk": lambda rng, n: rng.standard_normal(n).cumsum(),
    "few steps between values that hold": lambda rng, n: (rng.random(n) < 0.0007).cumsum() % 3.0,
    "restarts": lambda rng, n: (rng.random(n) < 0.002).cumsum().astype(float),
    "counter of a sum": _restarts_of_a_counter_of_a_sum,
}


@pytest.mark.parametrize("kind", list(HEALTHY))
def test_healthy_series_keep_to_the_budget(kind: str) -> None:
    """With the tolerance of one fifth that people are promised, over two seeds."""
    shares = []
    for seed in range(2):
        values = HEALTHY[kind](np.random.default_rng([seed, 7]), 42 * DAY)
        shares.append(alert_of(frame_of(values))[14 * DAY :].mean())
    assert np.mean(shares) < 0.012


def test_an_alert_ends_where_a_metric_stands_still_at_a_new_value() -> None:
    values = np.full(20 * DAY, 5.0)
    values[15 * DAY :] = 8.0
    alert = alert_of(frame_of(values))
    assert alert[15 * DAY : 15 * DAY + 3].any()
    assert not alert[15 * DAY + 36 :].any()


def test_the_recipe_of_anomaly_detector_raises_no_alert_while_the_usual_value_holds() -> None:
    values = np.full(4000, 5.0)
    values[np.random.default_rng(9).integers(0, 4000, 12)] = 0.0
    alert = backtest("anomaly-detector", frame_of(values))["alert"].to_numpy()
    assert not alert[values == 5.0].any()
    assert alert[1334:].mean() < 0.012


def test_an_increase_after_lost_samples_is_spread_over_them_and_a_fall_counts_nothing() -> None:
    values = np.array([[0.0], [2.0], [np.nan], [np.nan], [8.0], [9.0], [7.0], [10.0], [0.5], [1.5]])
    found = increases(values, np.array([True]))[:, 0]
    np.testing.assert_array_equal(found, [np.nan, 2, np.nan, np.nan, 2, 1, np.nan, 3, 0.5, 1])
    long_gap = np.concatenate([values[:2], np.full((12, 1), np.nan), [[99.0]]])
    assert np.isnan(increases(long_gap, np.array([True]))[-1, 0])
