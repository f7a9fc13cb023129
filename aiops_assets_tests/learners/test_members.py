"""Lines from features to what comes, and how much each member of a learned forecaster counts."""

import numpy as np
import pytest

from aiops_assets.learners.forecasters.blended import BlendedForecaster
from aiops_assets.learners.forecasters.direct import draw_pairs
from aiops_assets.learners.forecasters.features import AHEAD, HOUR_MEDIAN
from aiops_assets.learners.forecasters.learned import LearnedForecaster
from aiops_assets.learners.forecasters.lines import Lines
from aiops_assets.learners.forecasters.members import Members, Weights, weighted_median
from aiops_assets.learners.forecasters.predictive_analytics import FORMATS, PredictiveAnalytics
from aiops_assets.learners.forecasters.trees import RandomForest
from aiops_assets.timeseries.series import Floats
from aiops_assets_tests.learners.forecaster_histories import DAY, history, noisy

RNG = np.random.default_rng(7)
N = 4000
AHEADS = np.floor(np.exp(RNG.uniform(0, np.log(DAY + 1), N))).clip(1, DAY)
METRIC = RNG.integers(0, 2, N)
WIDTH = HOUR_MEDIAN + 5
NONE = np.zeros(N, dtype=np.int64)
SETTLED = np.ones(N, dtype=bool)


def features() -> Floats:
    x = RNG.normal(0, 1, (N, WIDTH))
    x[:, AHEAD] = AHEADS
    return x


def test_lines_find_what_each_metric_is_made_of_in_spite_of_spikes_and_gaps() -> None:
    x = features()
    y = np.where(METRIC == 0, 2 * x[:, 0] + 1, -3 * x[:, 1])
    spiked = np.where(RNG.random(N) < 0.05, 500.0, y)
    x[RNG.random((N, WIDTH)) < 0.02] = np.nan
    x[:, AHEAD] = AHEADS
    lines = Lines.of(x, spiked, METRIC, 3, SETTLED)
    whole = ~np.isnan(x).any(axis=1) & (np.abs(x[:, :2]).max(axis=1) < 3)
    assert np.abs(lines.predict(x, METRIC) - y)[whole].max() < 0.1
    assert np.isfinite(lines.predict(x, METRIC)).all()
    assert (lines.predict(x, np.full(N, 2)) == 0).all()  # it had no pairs


def test_lines_change_with_steps_ahead_and_are_not_followed_beyond_what_came() -> None:
    x = features()
    fades = np.exp(-AHEADS / 50)
    lines = Lines.of(x, fades * x[:, 0], NONE, 1, SETTLED)
    at = np.zeros((2, WIDTH))
    at[:, 0], at[:, AHEAD] = 1.0, (1, DAY)
    near, far = lines.predict(at, NONE[:2])
    assert (near, far) == (pytest.approx(1, abs=0.1), pytest.approx(0, abs=0.1))
    at[:, 0] = 1e9
    assert lines.predict(at, NONE[:2]).max() <= (fades * x[:, 0]).max()


def test_lines_know_the_levels_that_they_learnt() -> None:
    x = features()
    x[:, HOUR_MEDIAN] = np.linspace(-1, 3, N)
    lines = Lines.of(x, x[:, 0], NONE, 1, np.arange(N) < N / 2)  # since then it has risen above 1
    at = np.zeros((3, WIDTH))
    at[:, HOUR_MEDIAN], at[:, AHEAD] = (-0.99, 0.9, 2.0), 1
    assert lines.knows(at, NONE[:3]).tolist() == [False, True, False]


def test_a_level_that_has_just_shifted_is_not_led_back() -> None:
    values = 6 + np.random.default_rng(4).normal(0, 0.3, 8 * DAY)
    values[7 * DAY - 60 :] += 9
    forecaster = LearnedForecaster()
    forecaster.fit(history(values[: 7 * DAY]))
    said = forecaster.forecast(history(values[: 7 * DAY]), DAY).value[:, 0]
    assert np.abs(said - values[7 * DAY :]).mean() < 2  # back at the level before: 9


def test_who_errs_less_counts_more_by_metric_and_steps_ahead() -> None:
    far = AHEADS > 20
    errors = np.stack([np.where(far, 1.0, 2.0), np.where(far, 2.0, 1.0), np.full(N, 2.0)])
    errors[:, METRIC == 1] = 1.0
    weights = Weights.of(errors, np.zeros(N), AHEADS, METRIC, 3)
    for shares in (weights.usual, weights.shifted):
        assert shares.sum(axis=0) == pytest.approx(np.ones((3, 6)))
        assert shares[:, 1:] == pytest.approx(np.full((3, 2, 6), 1 / 3))  # alike, and a metric without errors
        assert (shares[:, 0].argmax(axis=0) == [1, 1, 1, 0, 0, 0]).all()
    assert weights.usual[1, 0, 0] > weights.shifted[1, 0, 0] > 0.5
    said = np.array([[1.0, 1.0], [0.0, 0.0], [0.0, 0.0]])
    assert weights.mix(said, np.array([1, DAY]), NONE[:2], SETTLED[:2]) == pytest.approx([0, 1], abs=0.01)


def test_newer_errors_count_more_and_most_where_a_level_has_shifted() -> None:
    days_ago = RNG.uniform(0, 10, N)
    errors = np.stack([np.where(days_ago > 1, 1.0, 2.0), np.where(days_ago > 1, 2.0, 1.0)])
    weights = Weights.of(errors, days_ago, AHEADS, NONE, 1)
    assert (weights.usual[0] > 0.9).all()
    assert (weights.shifted[1] > 0.7).all()
    said, both = np.array([[0.0, 0.0], [1.0, 1.0]]), np.array([True, False])
    assert weights.mix(said, np.array([12, 12]), NONE[:2], both) == pytest.approx([0, 1], abs=0.35)
    assert (Weights.of(np.zeros((2, N)), np.zeros(N), AHEADS, NONE, 1).usual == 0.5).all()
    assert (Weights.of(np.full((2, N), np.nan), np.zeros(N), AHEADS, NONE, 1).usual == 0.5).all()
    years = Weights.of(errors, days_ago + 4000, AHEADS, NONE, 1)  # a metric that was silent for long
    assert years.usual == pytest.approx(weights.usual)


def test_a_weighted_median_is_between_members_and_a_far_one_does_not_move_it() -> None:
    values = np.array([[3.0, 3.0, 0.0], [1.0, 1.0, 1.0], [2.0, 1e9, 0.0]])
    even = np.full((3, 3), 1 / 3)
    assert weighted_median(values, even) == pytest.approx([2, 3, 0])
    assert weighted_median(values, np.array([[0.0] * 3, [1.0] * 3, [0.0] * 3])) == pytest.approx([1, 1, 1])
    assert weighted_median(values[:2], np.full((2, 3), 0.5)) == pytest.approx([2, 2, 0.5])


def test_newer_origins_are_drawn_more_often() -> None:
    known = np.ones(10_000, dtype=bool)
    t, h = draw_pairs(known, 1000, DAY, 50_000, np.random.default_rng(1), newer_first=True)
    assert (t.min(), (t + h).max()) == (1000, 9999)
    counts, _ = np.histogram(t[h == 1], bins=4, range=(1000, 10_000))
    assert counts / counts.sum() == pytest.approx([0.156, 0.219, 0.281, 0.344], abs=0.02)


def test_noise_around_a_level_is_forecast_no_worse_than_by_the_median() -> None:
    values = 5 + np.random.default_rng(2).normal(0, 1, 8 * DAY)
    forecaster = LearnedForecaster()
    forecaster.fit(history(values[: 7 * DAY]))
    said = forecaster.forecast(history(values[: 7 * DAY]), DAY).value[:, 0]
    truth = values[7 * DAY :]
    assert np.abs(truth - said).mean() < 1.05 * np.abs(truth - np.median(values[6 * DAY : 7 * DAY])).mean()


def test_members_are_kept_and_those_of_an_earlier_release_are_trees_alone() -> None:
    forecaster = LearnedForecaster()
    known = history(noisy(4))
    forecaster.fit(known)
    state = forecaster.state()
    again = LearnedForecaster()
    again.restore(state)
    assert np.array_equal(again.forecast(known, 9).value, forecaster.forecast(known, 9).value)
    older = LearnedForecaster()
    older.restore({name: part for name, part in state.items() if name != "beside"})
    assert isinstance(older.members, Members)
    assert older.members.lines is None
    assert np.isfinite(older.forecast(known, 9).value).all()


def test_a_random_forest_forecasts_alone() -> None:
    forecaster = LearnedForecaster(trees=RandomForest())
    forecaster.fit(history(noisy(2)))
    assert forecaster.state()["beside"] is None


def test_a_file_of_the_earlier_format_is_read() -> None:
    import io

    import joblib

    model = PredictiveAnalytics(lookback=2)
    model.fit(history(noisy(2)[: DAY // 4]))
    document = joblib.load(io.BytesIO(model.to_bytes()))
    document["format"] = FORMATS[0]
    for part in document["parts"].values():
        part.pop("beside")
    buffer = io.BytesIO()
    joblib.dump(document, buffer)
    assert PredictiveAnalytics.from_bytes(buffer.getvalue()).lookback == 2


def test_a_disk_that_fills_goes_on_filling() -> None:
    """Three points a day; as it is fitted, and as it is served."""
    steps = np.arange(13 * DAY)
    values = 0.3 + 0.03 * steps / DAY + np.random.default_rng(3).normal(0, 0.002, len(steps))
    known, came = history(values[: 12 * DAY]), values[12 * DAY :]
    forecaster = BlendedForecaster()
    forecaster.fit(known)
    for said in (LearnedForecaster.forecast(forecaster, known, DAY), forecaster.forecast(known, DAY)):
        inside = (came >= said.lower[:, 0]) & (came <= said.upper[:, 0])
        assert inside.mean() >= 0.6
        assert np.abs(came - said.value[:, 0]).mean() < 0.3 * np.abs(came - known.values[-1, 0]).mean()
