from typing import Any

import numpy as np
import pytest

from aiops_assets.engine.detection.leaks import rise_per_hour
from aiops_assets.engine.detection.own_history import newest_deviation
from aiops_assets.engine.samples import Series, by_name
from aiops_assets.timeseries.series import Floats
from aiops_assets_tests.engine.situations import NOW, samples_of, timed


def _series(values: Floats, step_seconds: int = 300) -> Series:
    return by_name(samples_of(timed("x", values, step_seconds)), NOW)["x"]


def _noise(n: int, seed: int = 1) -> Floats:
    return 100 + 5 * np.random.default_rng(seed).standard_normal(n)


@pytest.mark.parametrize("n", [1, 2, 9])
def test_few_samples_say_nothing(n: int) -> None:
    values = _noise(n)
    values[-1] = 1e6
    assert newest_deviation(_series(values)) is None


@pytest.mark.parametrize("n", [10, 14, 15, 49, 50, 300])
def test_a_newest_sample_that_is_far_off_does_not_fit(n: int) -> None:
    values = _noise(n)
    values[-1] = 200.0
    found = newest_deviation(_series(values))
    assert found is not None
    assert found.value == 200.0
    assert found.expected == pytest.approx(100, abs=4)
    assert found.excess > 0
    assert found.time == NOW
    assert not found.lasting


@pytest.mark.parametrize("n", [30, 120])
def test_a_new_level_is_lasting(n: int) -> None:
    values = _noise(n)
    values[-3:] += 100
    found = newest_deviation(_series(values))
    assert found is not None
    assert found.lasting


@pytest.mark.parametrize("newest", [1, 4, 5, 6, 10, 15])
@pytest.mark.parametrize(("usual", "storm"), [(0.01, 0.25), (200.0, 2500.0)])
def test_a_storm_is_told_until_a_quarter_of_the_samples_is_of_it(usual: float, storm: float, newest: int) -> None:
    for seed in range(3):
        values = usual * (1 + 0.2 * np.random.default_rng(seed).standard_normal(60))
        values[-newest:] = storm * (1 + 0.05 * np.random.default_rng(seed).standard_normal(newest))
        found = newest_deviation(_series(values, 60))
        assert found is not None
        assert found.expected == pytest.approx(usual, rel=0.1)
        assert found.lasting is (newest >= 3)


def test_a_slow_rise_to_a_new_level_is_no_storm() -> None:
    noise = 2 * np.random.default_rng(5).standard_normal(60)
    rise = np.clip((np.arange(60) - 45) / 15, 0, 1)
    assert newest_deviation(_series(20 + 80 * rise + noise)) is None


def test_what_is_over_is_not_reported() -> None:
    for n in (30, 120):
        values = _noise(n)
        values[-2] = 300.0
        assert newest_deviation(_series(values)) is None


@pytest.mark.parametrize("n", [12, 40, 60, 200])
def test_noise_ramps_seasons_and_counters_are_quiet(n: int) -> None:
    alarms = 0
    for seed in range(10):
        rng = np.random.default_rng([n, seed])
        steps = np.arange(n)
        healthy: tuple[Any, ...] = (
            10 + rng.standard_normal(n),
            steps * 0.5 + rng.standard_normal(n),
            steps * 0.5,
            50 + 10 * np.sin(2 * np.pi * (steps / 288 + rng.random())) + rng.standard_normal(n),
            rng.poisson(30, n).cumsum().astype(np.float64),
            rng.poisson(0.2, n).astype(np.float64),
            rng.poisson(0.2, n).cumsum().astype(np.float64),
            np.full(n, 7.0),
        )
        alarms += sum(newest_deviation(_series(values)) is not None for values in healthy)
    assert alarms <= 1


def test_a_counter_may_begin_again_but_not_race() -> None:
    counter = np.random.default_rng(3).poisson(30, 40).cumsum().astype(np.float64)
    again = counter.copy()
    again[-1] = 12.0
    assert newest_deviation(_series(again)) is None
    steady = np.append(100.0 * np.arange(30), 5.0)
    assert newest_deviation(_series(steady)) is None
    racing = counter.copy()
    racing[-1] += 2000
    found = newest_deviation(_series(racing))
    assert found is not None
    assert found.expected == pytest.approx(counter[-2] + 30, abs=10)


def test_irregular_samples_are_judged_by_a_robust_deviation() -> None:
    series = _series(np.append(_noise(80), 300.0))
    gaps = np.random.default_rng(2).integers(10, 4000, 81).cumsum() * 1_000_000
    irregular = Series("x", series.values, series.times[0] + gaps.astype("timedelta64[us]"), timed=True)
    found = newest_deviation(irregular)
    assert found is not None
    assert not found.learned


def test_values_of_any_size_stay_finite() -> None:
    for scale in (1e-300, 1e300):
        values = scale * _noise(30)
        values[-1] *= 1000
        found = newest_deviation(_series(values))
        assert found is not None
        assert np.isfinite([found.expected, found.excess]).all()


def test_a_rise_is_sure_or_none() -> None:
    hours = np.arange(24) / 12
    noise = 0.005 * np.random.default_rng(4).standard_normal(24)
    rise = rise_per_hour(_series(0.3 + 0.2 * hours + noise))
    assert 0.17 <= rise <= 0.21
    assert rise_per_hour(_series(0.8 - 0.2 * hours + noise)) == 0
    assert rise_per_hour(_series((0.3 + 0.2 * hours)[:9])) == 0
    assert rise_per_hour(_series((0.3 + 0.2 * hours)[:14], step_seconds=60)) == 0  # a quarter of an hour


def test_a_rise_that_slows_down_is_none() -> None:
    hours = np.arange(24) / 12
    assert rise_per_hour(_series(0.6 - 0.4 * np.exp(-4 * hours))) == 0


@pytest.mark.parametrize(("spreads", "found"), [(9.0, False), (20.0, True)])
def test_few_samples_need_more_spreads(spreads: float, found: bool) -> None:
    values = np.array([-1.5, -1.0, -1.0, -0.5, 0.0, 0.5, 1.0, 1.0, 1.5, 1.4826 * spreads])  # median 0, MAD 1
    assert (newest_deviation(_series(values)) is not None) is found


@pytest.mark.parametrize("n", [20, 60])
@pytest.mark.parametrize(("last", "found"), [(9.0, False), (60.0, True)])
def test_small_counts_are_judged_as_counts(n: int, last: float, found: bool) -> None:
    assert (newest_deviation(_series(np.append(np.full(n, 7.0), last))) is not None) is found
