"""Drift of a day: quiet for a month of ordinary days, and seen within a day when a metric moves or widens."""

from typing import Any

import numpy as np
import pytest

from aiops_assets.timeseries.drift_profile import MIN_DAYS, profile_of
from aiops_assets.timeseries.series import DAY_SECONDS, Floats
from aiops_assets_tests.timeseries.drift_looks import METRICS, alarms, drifts, look, trained, weights
from aiops_assets_tests.timeseries.drift_series import NOISES, START, Simulated, simulated

HOUR = 3600
TRAINED_DAYS = 14
LIVE = START + TRAINED_DAYS * DAY_SECONDS
QUICK_NOISES = ("independent", "1 hour")
"""The fastest and the slowest: weeks of the others are long tests."""
MOVED = {"shift": {"shift": 1.0}, "width": {"width": 2**0.5}}
SEEN_WITHIN_A_DAY = ("independent", "heavy tails", "skewed", "counts", "rare counts")
"""Noises of which a day holds enough independent samples to tell a shift by one deviation, or a doubled variance."""


def series(noise: str, seed: int = 1, days: int = TRAINED_DAYS + 3, **how: Any) -> Simulated:
    return simulated(np.random.default_rng([seed, 2]), noise, days, **how)


def month(noise: str, seed: int, **how: Any) -> int:
    """Alarms of a cluster of stationary metrics in the thirty days after its training."""
    rng = np.random.default_rng([seed, 1])
    times = range(LIVE + DAY_SECONDS, LIVE + 30 * DAY_SECONDS + 1, 8 * HOUR)
    heaviest = np.zeros(len(times))
    for _ in range(METRICS):
        metric = simulated(rng, noise, TRAINED_DAYS + 30, **how)
        profile = trained(metric.seconds, metric.values(), LIVE)
        heaviest = np.maximum(heaviest, weights(profile, metric.seconds, metric.values(), times))
    return alarms(times, list(heaviest))


@pytest.mark.parametrize(
    ("noise", "week"),
    [
        *((noise, 0.0) for noise in NOISES),
        *((noise, 3.0) for noise in QUICK_NOISES),
        *(pytest.param(noise, 3.0, marks=pytest.mark.long) for noise in NOISES if noise not in QUICK_NOISES),
    ],
)
def test_thirty_ordinary_days_of_a_cluster_raise_at_most_one_alarm(noise: str, week: float) -> None:
    assert month(noise, seed=1, week=week) <= 1


@pytest.mark.parametrize("kind", MOVED)
@pytest.mark.parametrize("step", [60, 300])
@pytest.mark.parametrize("noise", SEEN_WITHIN_A_DAY)
def test_a_shift_and_a_doubled_variance_are_seen_within_a_day(noise: str, step: int, kind: str) -> None:
    metric = series(noise, step_seconds=step)
    since = LIVE + DAY_SECONDS + 7 * HOUR
    values = metric.values(since, **MOVED[kind])
    profile = trained(metric.seconds, values, LIVE, step)
    assert drifts(profile, metric.seconds, values, [since, since + DAY_SECONDS]) == [False, True]


@pytest.mark.parametrize("noise", ["10 minutes", "30 minutes", "1 hour"])
def test_a_shift_by_one_deviation_of_the_metric_is_seen_within_a_day_in_slow_noise_too(noise: str) -> None:
    metric = series(noise)
    since = LIVE + DAY_SECONDS + 7 * HOUR
    values = metric.values(since, shift=float(np.std(metric.values())))
    profile = trained(metric.seconds, values, LIVE)
    assert drifts(profile, metric.seconds, values, [since, since + DAY_SECONDS]) == [False, True]


@pytest.mark.parametrize("unit", [1e-9, 1.0, 1e9])
def test_figures_depend_on_no_unit(unit: float) -> None:
    one, other = series("independent"), series("independent", unit=unit)
    found = [
        look(trained(m.seconds, m.values(), LIVE), m.seconds, m.values(LIVE, shift=0.5), LIVE + DAY_SECONDS)
        for m in (one, other)
    ]
    assert found[0]
    assert found[1]
    assert found[1].psi == pytest.approx(found[0].psi, abs=0.01)
    assert found[1].strength == pytest.approx(found[0].strength, rel=0.01)


def with_gaps(metric: Simulated, values: Floats) -> Floats:
    """A third of the samples missing, four hours of the newest day, and a day of training."""
    gaps = np.random.default_rng(3).random(len(values)) < 1 / 3
    gaps |= (metric.seconds >= LIVE + DAY_SECONDS) & (metric.seconds < LIVE + DAY_SECONDS + 4 * HOUR)
    gaps |= (metric.seconds >= LIVE - 3 * DAY_SECONDS) & (metric.seconds < LIVE - 2 * DAY_SECONDS)
    return np.where(gaps, np.nan, values)


@pytest.mark.parametrize(("shift", "expected"), [(0.0, False), (1.0, True)])
def test_gaps_neither_raise_an_alarm_nor_hide_one(shift: float, expected: bool) -> None:
    metric = series("independent")
    values = with_gaps(metric, metric.values(LIVE + DAY_SECONDS, shift=shift))
    profile = trained(metric.seconds, values, LIVE)
    assert profile.days == TRAINED_DAYS - 1
    assert drifts(profile, metric.seconds, values, [LIVE + 2 * DAY_SECONDS]) == [expected]


def test_what_cannot_be_compared_is_not_judged() -> None:
    metric = series("independent")
    values = metric.values()
    profile = trained(metric.seconds, values, LIVE)
    few = np.where(metric.seconds >= LIVE + 8 * HOUR, np.nan, values)
    assert look(profile, metric.seconds, few, LIVE + DAY_SECONDS) is None
    before = metric.seconds < START + (MIN_DAYS - 1) * DAY_SECONDS
    assert profile_of(metric.seconds[before], values[before], 300) is None
    assert profile_of(metric.seconds[:0], values[:0], 300) is None


def test_a_weekend_is_not_judged_by_three_working_days() -> None:
    metric = series("independent", days=9, week=5.0)
    values = metric.values()
    profile = trained(metric.seconds, values, START + 3 * DAY_SECONDS)
    assert look(profile, metric.seconds, values, START + 5 * DAY_SECONDS) is not None
    assert look(profile, metric.seconds, values, START + 7 * DAY_SECONDS) is None
    moved = metric.values(START + 3 * DAY_SECONDS, shift=3.0)
    assert drifts(profile, metric.seconds, moved, [START + 5 * DAY_SECONDS]) == [True]


@pytest.mark.parametrize("level", [0.0, 1 / 3, 1e9])
def test_a_constant_metric_has_not_drifted_until_it_is_another_one(level: float) -> None:
    seconds = series("independent").seconds
    values = np.full(len(seconds), level) * (1 + 1e-15 * np.random.default_rng(4).standard_normal(len(seconds)))
    profile = trained(seconds, values, LIVE)
    same = look(profile, seconds, values, LIVE + DAY_SECONDS)
    assert same
    assert (same.shift, same.ks, same.drifted) == (0.0, 0.0, False)
    moved = np.where(seconds >= LIVE, level * 1.01 + 1.0, values)
    assert drifts(profile, seconds, moved, [LIVE + DAY_SECONDS]) == [True]


def test_a_metric_that_freezes_has_drifted() -> None:
    metric = series("independent")
    values = np.where(metric.seconds >= LIVE, metric.season, metric.values())
    profile = trained(metric.seconds, metric.values(), LIVE)
    assert drifts(profile, metric.seconds, values, [LIVE + DAY_SECONDS]) == [True]


def test_an_incident_of_an_hour_is_no_drift() -> None:
    metric = series("independent")
    begin = LIVE + 7 * HOUR
    burst = (metric.seconds >= begin) & (metric.seconds < begin + HOUR)
    values = np.where(burst, 1000.0, metric.values())
    profile = trained(metric.seconds, values, LIVE)
    assert drifts(profile, metric.seconds, values, [LIVE + DAY_SECONDS]) == [False]


def test_weekends_have_a_season_of_their_own_where_it_foretells_better() -> None:
    for week, rows in ((0.0, 1), (5.0, 2)):
        metric = series("independent", week=week)
        assert len(trained(metric.seconds, metric.values(), LIVE).season) == rows
