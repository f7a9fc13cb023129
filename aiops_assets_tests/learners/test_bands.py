"""Expected bands: what is unusual of any series, whatever its unit, without a look ahead."""

from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from aiops_assets.errors import ModelError
from aiops_assets.learners.bands.expected import Band, RunningBand, expected_band
from aiops_assets.learners.bands.options import BandOptions
from aiops_assets.learners.bands.state import BandState
from aiops_assets.learners.contracts import Flags
from aiops_assets.timeseries.local_time import clock_of
from aiops_assets.timeseries.series import Floats
from aiops_assets_tests.raising import raises

STEP = 900
DAY = 86_400 // STEP
DAYS = 10
MONDAY = 1_767_571_200
"""2026-01-05T00:00:00Z."""
SECONDS = MONDAY + STEP * np.arange(DAYS * DAY, dtype=np.int64)
OPTIONS = BandOptions(step_seconds=STEP)
AT = 9 * DAY + 48


def _series(seed: int = 1, swing: float = 30.0) -> Floats:
    """(1, n_rows) a daily swing around 100, with noise of 2."""
    noise = np.random.default_rng(seed).normal(0, 2, len(SECONDS))
    values: Floats = 100 + swing * np.sin(2 * np.pi * SECONDS / 86_400) + noise
    return values.reshape(1, -1)


def _changed(amount: float, first: int = AT, last: int = AT + 6) -> Floats:
    values = _series()
    values[0, first:last] += amount
    return values


def _outside(values: Floats, options: BandOptions = OPTIONS) -> Flags:
    return np.asarray(np.nan_to_num(expected_band(SECONDS, values, options).score[0]) > 1)


def test_an_incident_is_outside_and_healthy_rows_are_not() -> None:
    outside = _outside(_changed(30.0))
    assert outside[AT : AT + 6].all()
    assert outside[DAY:AT].mean() < 0.01


def test_the_habit_of_the_day_is_expected_and_not_a_level() -> None:
    band = expected_band(SECONDS, _series(), OPTIONS)
    wrong = np.abs(band.expected - _series(seed=2))[0, 7 * DAY :]
    width = (band.upper - band.lower)[0, 7 * DAY :]
    assert wrong.mean() < 4
    assert width.max() < 30  # a band without habits would be as wide as the swing


@pytest.mark.parametrize("scale", [1e-9, 1e9])
def test_scores_do_not_depend_on_the_unit(scale: float) -> None:
    values = _changed(20.0)
    one, other = (expected_band(SECONDS, v, OPTIONS).score for v in (values, values * scale))
    assert np.allclose(one, other, rtol=1e-3, equal_nan=True)


def test_what_comes_later_changes_nothing() -> None:
    short = expected_band(SECONDS[:AT], _changed(500.0)[:, :AT], OPTIONS)
    whole = expected_band(SECONDS, _changed(500.0), OPTIONS)
    assert np.array_equal(short.expected, whole.expected[:, :AT], equal_nan=True)
    # The row of the incident is judged by a band that does not know it.
    assert whole.upper[0, AT] == expected_band(SECONDS, _series(), OPTIONS).upper[0, AT]


@pytest.mark.parametrize("cuts", [[700], [1, 2, 50, 51, 500, 777, AT, AT + 1]])
def test_only_new_rows_give_what_the_whole_recomputation_gives(cuts: list[int]) -> None:
    values = np.concatenate([_changed(60.0), _series(seed=5, swing=0.0)])
    values[1, 300:340] = np.nan
    whole = expected_band(SECONDS, values, OPTIONS)
    state = BandState.new(2).to_bytes()
    parts = []
    for at in np.split(np.arange(len(SECONDS)), cuts):
        running = RunningBand(BandState.from_bytes(state), STEP)
        parts.append(running.learn(SECONDS[at], values[:, at]).band(values[:, at], OPTIONS))
        state = running.state.to_bytes()
    for side in ("expected", "lower", "upper", "score"):
        got = np.concatenate([getattr(part, side) for part in parts], axis=1)
        assert np.array_equal(got, getattr(whole, side), equal_nan=True)


def test_series_may_come_and_go_between_two_runs() -> None:
    running = RunningBand(BandState.new(2), STEP)
    both = np.concatenate([_series(), _series(seed=9)])
    running.learn(SECONDS[:AT], both[:, :AT])
    later = RunningBand(running.state.of_series([1, -1]), STEP)
    newest = np.concatenate([both[1:, AT:], both[:1, AT:]])
    got = later.learn(SECONDS[AT:], newest).band(newest, OPTIONS)
    assert np.array_equal(got.score[0], expected_band(SECONDS, both, OPTIONS).score[1, AT:])
    assert np.isnan(got.score[1, :24]).all()


def test_states_of_several_series_are_joined_and_taken_apart() -> None:
    parts = [RunningBand(BandState.new(1), STEP) for _ in range(2)]
    values = [_series(), _series(seed=9)]
    for part, one in zip(parts, values, strict=True):
        part.learn(SECONDS[:AT], one[:, :AT])
    joined = RunningBand(BandState.joined([part.state for part in parts]), STEP)
    both = np.concatenate(values)
    got = joined.learn(SECONDS[AT:], both[:, AT:]).band(both[:, AT:], OPTIONS)
    assert np.array_equal(got.score, expected_band(SECONDS, both, OPTIONS).score[:, AT:])
    assert joined.state.of_series([1]).to_bytes() != joined.state.of_series([0]).to_bytes()


def test_a_new_level_is_followed_within_hours_and_an_incident_is_not() -> None:
    shifted = _changed(200.0, AT - 2 * DAY, len(SECONDS))
    band = expected_band(SECONDS, shifted, OPTIONS)
    since = AT - 2 * DAY
    assert (band.score[0, since : since + 12] > 1).all()
    assert np.nanmean(band.score[0, since + 24 :] > 1) < 0.05
    short = expected_band(SECONDS, _changed(200.0, AT, AT + 8), OPTIONS)
    usual = expected_band(SECONDS, _series(), OPTIONS)
    half = (usual.upper - usual.expected)[0, AT + 8]
    assert abs(short.expected[0, AT + 8] - usual.expected[0, AT + 8]) < 1.5 * half
    assert (short.upper - short.lower)[0, AT + 12] < 2.5 * 2 * half


def test_sparse_peaks_are_usual_and_larger_ones_are_not() -> None:
    rng = np.random.default_rng(4)
    values = np.where(rng.random(len(SECONDS)) < 0.05, rng.uniform(2, 5, len(SECONDS)), 0.0)[np.newaxis]
    assert _outside(values)[2 * DAY :].mean() < 0.01
    values[0, AT : AT + 3] = 40
    assert _outside(values)[AT : AT + 3].all()


def test_the_usual_zero_of_sparse_peaks_is_inside_the_band() -> None:
    rng = np.random.default_rng(4)
    values = np.where(rng.random(len(SECONDS)) < 0.02, rng.exponential(5, len(SECONDS)), 0.0)[np.newaxis]
    outside = _outside(values)
    assert not outside[3 * DAY :][values[0, 3 * DAY :] == 0].any()


def test_a_flat_series_has_a_band_and_a_step_leaves_it() -> None:
    values = np.full((1, len(SECONDS)), 8.0)
    assert not _outside(values + 0.01 * (np.arange(len(SECONDS)) % 97 == 0)).any()
    values[0, AT:] = 10
    band = expected_band(SECONDS, values, OPTIONS)
    assert band.lower[0, AT] < 8 < band.upper[0, AT]
    assert band.score[0, AT] > 1
    assert np.isfinite(band.score[0, DAY:]).all()


def test_nothing_is_answered_before_enough_is_known() -> None:
    band = expected_band(SECONDS, _series(), OPTIONS)
    assert np.isnan(band.score[0, :24]).all()
    assert np.isnan(band.upper[0, :24]).all()
    assert np.isfinite(band.score[0, 24:]).all()


def test_unknown_values_have_a_band_and_no_score() -> None:
    values = _series()
    values[0, AT : AT + 4] = [np.nan, np.inf, -np.inf, np.nan]
    band = expected_band(SECONDS, values, OPTIONS)
    assert np.isnan(band.score[0, AT : AT + 4]).all()
    assert np.isfinite(band.upper[0, AT : AT + 4]).all()


@pytest.mark.parametrize(
    ("options", "amount", "alarms"),
    [
        ({"direction": "up"}, 30.0, True),
        ({"direction": "up"}, -30.0, False),
        ({"direction": "down"}, -30.0, True),
        ({"direction": "down"}, 30.0, False),
        ({"min_deviation": 50.0}, 30.0, False),
        ({"min_deviation": 15.0}, 30.0, True),
        ({"min_deviation_ratio": 0.5}, 30.0, False),
        ({"min_deviation_ratio": 0.1}, 30.0, True),
    ],
)
def test_direction_and_least_deviation(options: dict[str, object], amount: float, alarms: bool) -> None:
    outside = _outside(_changed(amount), replace(OPTIONS, **options))  # type: ignore[arg-type]
    assert outside[AT : AT + 6].all() == alarms
    assert outside[AT : AT + 6].any() == alarms


def test_the_band_does_not_leave_what_is_possible() -> None:
    values = np.clip(_series() / 130, 0, 1)
    band: Band = expected_band(SECONDS, values, replace(OPTIONS, lower=0.0, upper=1.0))
    assert np.nanmax(band.upper) == 1.0
    assert np.nanmin(expected_band(SECONDS, values - values, replace(OPTIONS, lower=0.0)).lower) == 0.0


def _clock_habits(zone: str, at_hour: int, days: range, holidays: frozenset[date] = frozenset()) -> Floats:
    """Score of each row of a series that is 50 higher in one hour of the wall clock of Berlin, on weekdays; over the
    change to summer time on 2026-03-29."""
    begin = 1_772_409_600  # 2026-03-02, a Monday
    seconds = begin + STEP * np.arange(len(days) * DAY, dtype=np.int64)
    clock = clock_of(seconds, "Europe/Berlin", holidays)
    works = (clock.seconds // 3600 == at_hour) & (clock.weekdays < 5)
    values = 100 + np.random.default_rng(3).normal(0, 1, len(seconds)) + 50 * works
    options = replace(OPTIONS, time_zone=zone, holidays=holidays)
    score: Floats = expected_band(seconds, values[np.newaxis], options).score[0]
    return np.asarray(score[works & (seconds >= begin + 28 * 86_400)], dtype=np.float64)


def test_habits_follow_the_wall_clock_of_their_zone() -> None:
    days = range(30)  # the last one is the second day of summer time
    assert _clock_habits("Europe/Berlin", 9, days).max() < 1
    assert _clock_habits("UTC", 9, days).max() > 1


def test_a_holiday_is_a_sunday() -> None:
    at = np.array([1_767_571_200 + 43_200], dtype=np.int64)
    assert clock_of(at).weekdays[0] == 0
    assert clock_of(at, "UTC", frozenset({date(2026, 1, 5)})).weekdays[0] == 6
    assert clock_of(at, "UTC", frozenset({date(2026, 1, 6)})).weekdays[0] == 0
    assert clock_of(at, "Pacific/Auckland").days[0] == clock_of(at).days[0] + 1


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04 no archive", BandState.new(1).to_bytes()[:-40]])
def test_what_is_no_state_is_refused(data: bytes) -> None:
    with raises(ModelError, "no_band_state"):
        BandState.from_bytes(data)
