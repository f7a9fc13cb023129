"""Time to exhaustion on seeded simulations: intervals that hold what they say, few false alarms, odd histories."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from aiops_assets.errors import DataError
from aiops_assets.outlook.exhaustion import HORIZON_HOURS, Exhaustion, time_to_exhaustion
from aiops_assets.timeseries.series import Floats
from aiops_assets_tests.outlook.exhaustion_series import (
    DAY,
    SIMULATED,
    Rng,
    falling,
    history,
    random_walk,
    settled,
    swinging,
    teeth,
    white_noise,
)


def ahead(values: Floats, limit: float = 1.0) -> Exhaustion:
    return time_to_exhaustion(history(values), "m", limit)


def young_swing(rng: Rng) -> Floats:
    return swinging(rng, 0.5, 1.5)


def noise(size: int) -> Floats:
    return np.random.default_rng(1).normal(0, 0.01, size)


QUICK = (
    "linear leak",
    "flattening leak",
    "settling leak",
    "leak with restarts",
    "disk",
    "disk in stairs",
    "disk with deletes",
    "disk with deletes at irregular times",
)


@pytest.fixture(scope="module")
def simulated() -> pd.DataFrame:
    """Of simulated series: their kind, the true hours, the estimate, and whether its interval holds the true ones."""
    rows = []
    for number, kind in enumerate(QUICK):
        rng = np.random.default_rng(number)
        for _ in range(8):
            values, truth = SIMULATED[kind](rng)
            found = ahead(values)
            latest = np.inf if found.latest_hours is None else found.latest_hours
            rows.append((kind, truth, found.hours, found.not_before_hours <= truth <= latest))
    return pd.DataFrame(rows, columns=["kind", "truth", "hours", "inside"]).astype({"hours": float})


def test_the_true_time_is_inside_the_interval_of_each_kind(simulated: pd.DataFrame) -> None:
    estimated = simulated[simulated["hours"].notna()]
    assert estimated["inside"].mean() >= 0.8
    # Of eight of a kind: a share of 80 % has less than four with a probability of 1 %.
    assert estimated.groupby("kind")["inside"].mean().min() >= 0.5


def test_leaks_are_found_and_the_estimate_is_near(simulated: pd.DataFrame) -> None:
    assert simulated["hours"].notna().mean() >= 0.8
    relative = (simulated["hours"] / simulated["truth"] - 1).abs()
    assert relative.median() <= 0.1
    assert relative.groupby(simulated["kind"]).median().max() <= 0.25


@pytest.mark.parametrize(
    ("make", "alarms"),
    [
        (swinging, 0.1),
        (falling, 0.0),
        (white_noise, 0.1),
        (random_walk, 0.2),
        (teeth, 0.1),
        (settled, 0.1),
        (young_swing, 0.1),
    ],
    ids=["seasonal", "falling", "white noise", "random walk", "sawtooth", "settled", "less than two days"],
)
def test_what_has_no_trend_raises_no_alarm(make: Callable[[Rng], Floats], alarms: float) -> None:
    rng = np.random.default_rng(5)
    said = [ahead(make(rng)) for _ in range(10)]
    assert np.mean([one.hours is not None for one in said]) <= alarms
    assert all(0 < one.not_before_hours <= HORIZON_HOURS for one in said)


def test_a_season_is_neither_a_trend_nor_forgotten() -> None:
    values = 0.5 + 0.1 * np.sin(2 * np.pi * np.arange(4 * DAY + DAY // 2) / DAY) + noise(4 * DAY + DAY // 2)
    assert ahead(values).hours is None
    rising = values + 0.002 * np.arange(len(values)) / 12
    assert ahead(rising).trend_per_hour == pytest.approx(0.002, rel=0.1)
    # The swing of each day reaches the limit long before the days' level does.
    level = (1 - 0.5 - 0.002 * len(values) / 12) / 0.002
    said = ahead(rising).hours
    assert said is not None
    assert 0 < said < level - 20


def test_after_a_restart_only_the_rows_since_then_count() -> None:
    tooth = 0.3 + 0.6 * np.arange(96) / 96
    values = np.concatenate([np.tile(tooth, 6), tooth[:48]]) + noise(6 * 96 + 48)
    said = ahead(values, 0.9)
    assert said.hours == pytest.approx(4, abs=0.5)
    assert said.trend_per_hour == pytest.approx(0.6 / 8, rel=0.1)


def test_just_after_a_restart_the_trend_before_it_goes_on_from_the_new_level() -> None:
    tooth = 0.3 + 0.6 * np.arange(96) / 96
    values = np.concatenate([np.tile(tooth, 6), tooth[:5]]) + noise(6 * 96 + 5)
    assert ahead(values, 0.9).hours == pytest.approx(7.6, abs=0.8)


@pytest.mark.parametrize("outlier", [-5.0, 0.99])
def test_outliers_are_no_restarts_and_no_trend(outlier: float) -> None:
    values = 0.3 + 0.0003 * np.arange(1200) + noise(1200)
    truth = (1 - 0.66) / 0.0036
    values[np.random.default_rng(3).random(1200) < 0.05] = outlier
    assert ahead(values).hours == pytest.approx(truth, rel=0.1)


def test_gaps_also_at_the_end_move_nothing() -> None:
    values = 0.3 + 0.0003 * np.arange(1200) + noise(1200)
    values[300:900] = np.nan
    values[-20:] = np.nan
    assert ahead(values).hours == pytest.approx((1 - 0.66) / 0.0036, rel=0.15)


def test_a_quota_in_bytes_on_an_hourly_grid() -> None:
    values = 4e11 + 1e9 * np.arange(240) + np.random.default_rng(1).normal(0, 1e9, 240)
    said = time_to_exhaustion(history(values, 3600), "m", 7e11)
    assert said.hours == pytest.approx(61, rel=0.1)
    assert said.trend_per_hour == pytest.approx(1e9, rel=0.05)


def test_what_stands_still_is_not_exhausted() -> None:
    said = ahead(np.full(300, 0.5))
    assert (said.hours, said.earliest_hours, said.latest_hours) == (None, None, None)
    assert (said.not_before_hours, said.trend_per_hour, said.now) == (336, 0, 0.5)
    assert said.in_words() == "m reaches 1 not before 14 days"


def test_what_is_at_its_limit_is_at_zero_hours() -> None:
    said = ahead(np.full(300, 1.2))
    assert (said.hours, said.earliest_hours, said.latest_hours, said.not_before_hours) == (0, 0, 0, 0)
    assert said.in_words() == "m is at its limit now"


def test_twelve_noisy_rows_promise_little() -> None:
    said = ahead(0.5 + np.random.default_rng(2).normal(0, 0.02, 12))
    assert said.hours is None
    assert said.not_before_hours < 72
    rising = ahead(0.5 + 0.01 * np.arange(12) + noise(12))
    assert rising.hours is not None
    assert rising.earliest_hours is not None
    assert rising.latest_hours is None or rising.latest_hours > 1.5 * rising.earliest_hours


def test_more_coverage_is_a_wider_interval() -> None:
    values = history(0.3 + 0.0003 * np.arange(1200) + noise(1200))
    narrow, wide = (time_to_exhaustion(values, "m", coverage=coverage) for coverage in (0.5, 0.95))
    assert narrow.hours == wide.hours
    assert narrow.earliest_hours is not None
    assert wide.earliest_hours is not None
    assert wide.earliest_hours < narrow.earliest_hours


def test_emptied_again_and_again_is_no_trend_and_peaks_that_rise_are_one() -> None:
    tooth = 0.3 + 0.2 * np.arange(96) / 96
    saws = np.concatenate([np.tile(tooth, 8), tooth[:60]])
    assert ahead(saws + 0.1 * noise(len(saws))).hours is None
    rising = saws + 0.0005 * np.arange(len(saws)) / 12
    truth = (1 - 0.5 - 0.0005 * len(saws) / 12) / 0.0005
    assert ahead(rising + 0.1 * noise(len(saws))).hours is None or truth > HORIZON_HOURS
    steep = saws + 0.003 * np.arange(len(saws)) / 12
    found = ahead(steep + 0.1 * noise(len(saws)))
    assert found.hours == pytest.approx((1 - 0.5 - 0.003 * len(saws) / 12) / 0.003, rel=0.15)


def test_deletes_that_are_small_beside_the_whole_rise_are_seen_and_an_estimate_follows_the_peaks() -> None:
    cycle = np.arange(6 * 288)
    net = 0.3 / len(cycle)
    values = 0.4 + net * (cycle // 48 * 48 + 2.5 * (cycle % 48)) + 0.1 * noise(len(cycle))
    found = ahead(values)
    peak = 0.4 + net * (len(cycle) - 48 + 2.5 * 47)
    assert found.hours == pytest.approx((1 - peak) / net / 12, rel=0.05)


def test_restarts_at_chance_heights_do_not_hold_back_the_leak_that_runs() -> None:
    lives = [60, 110, 75, 120, 90, 66]
    values = np.concatenate([0.3 + 0.002 * np.arange(life) for life in (*lives, 60)]) + 0.1 * noise(sum(lives) + 60)
    assert ahead(values).hours == pytest.approx((1 - 0.42) / 0.002 / 12, rel=0.1)


def test_a_sawtooth_whose_deletes_have_stopped_is_judged_by_what_grows() -> None:
    tooth = 0.3 + 0.2 * np.arange(96) / 96
    values = np.concatenate([np.tile(tooth, 8), 0.3 + 0.2 * np.arange(200) / 96]) + 0.1 * noise(8 * 96 + 200)
    assert ahead(values).hours == pytest.approx((1 - 0.3 - 0.2 * 200 / 96) / (0.2 / 8), rel=0.15)


def test_what_has_settled_is_not_said_to_run_out() -> None:
    hours = np.arange(600) / 12
    assert ahead(0.8 - 0.4 * np.exp(-hours / 6) + 0.3 * noise(600)).hours is None


def test_words_say_the_interval() -> None:
    assert Exhaustion("memory", 1.0, 6.2, 5.0, 8.1, 5.0, 0.1, 0.4).in_words() == (
        "memory reaches 1 in about 6.2 h (5.0 h to 8.1 h)"
    )
    never = Exhaustion("disk", 0.9, 120.0, 0.5, None, 0.5, 0.1, 0.4)
    assert never.in_words() == "disk reaches 0.9 in about 5 days (30 min to perhaps never)"


@pytest.mark.parametrize(
    ("rows", "metric", "limit", "coverage", "says"),
    [
        (11, "m", 1.0, 0.8, "m: 11 steps of 300 s with a sample in four weeks: a trend needs 12, bring a longer"),
        (50, "other", 1.0, 0.8, "no metric 'other' in the history: there are m"),
        (50, "m", np.nan, 0.8, "give a finite limit"),
        (50, "m", 1.0, 1.0, "a coverage between 0 and 1"),
    ],
)
def test_what_cannot_be_asked_is_said(rows: int, metric: str, limit: float, coverage: float, says: str) -> None:
    with pytest.raises(DataError, match=says):
        time_to_exhaustion(history(np.full(rows, 0.5)), metric, limit, coverage=coverage)
