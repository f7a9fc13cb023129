"""Forecasters on seeded series: nothing of the future, sensible on odd histories, intervals that hold what they say."""

import numpy as np
import pandas as pd
import pytest

from aiops_assets.errors import DataError, ModelError
from aiops_assets.families.backtests import FORECASTERS, forecasts
from aiops_assets.judging.forecasting.backtest import COLUMNS
from aiops_assets.learners.contracts import Forecast
from aiops_assets.learners.forecasters import direct
from aiops_assets.learners.forecasters.features import DAY_BEFORE, HOUR_MEDIAN, LAST, MetricFeatures
from aiops_assets.learners.forecasters.trivial import TRIVIAL
from aiops_assets.timeseries.history import History, history_of
from aiops_assets.timeseries.series import Floats
from aiops_assets_tests.raising import raises

DAY = 288
BOOSTED = "predictive-analytics"


def history(*columns: Floats, keep: Floats | None = None) -> History:
    times = pd.date_range("2026-01-01", periods=len(columns[0]), freq="5min", tz="UTC")
    frame = pd.DataFrame({"timestamp": times, **{f"m{i}": column for i, column in enumerate(columns)}})
    return history_of(frame if keep is None else frame[keep.astype(bool)])


def seasonal(days: int, seed: int = 1, noise: float = 0.05) -> Floats:
    """A daily swing whose level wanders, as load does."""
    rng = np.random.default_rng(seed)
    steps = np.arange(days * DAY)
    level = np.cumsum(rng.normal(0, 0.01, len(steps)))
    return 5 + level + np.sin(steps / DAY * 2 * np.pi) + rng.normal(0, noise, len(steps))


def noisy(days: int, rng: np.random.Generator) -> Floats:
    """A daily swing that stays where it is, below noise."""
    steps = np.arange(days * DAY)
    return 3 + np.sin(steps / DAY * 2 * np.pi) + rng.normal(0, 0.3, len(steps))


def forecast_of(name: str, known: History, horizon: int = DAY) -> Forecast:
    forecaster = FORECASTERS[name](42)
    forecaster.fit(known)
    return forecaster.forecast(known, horizon)


def test_features_of_an_origin_do_not_know_what_comes_after_it() -> None:
    values = seasonal(9)
    t, h = np.full(DAY, 8 * DAY - 1), np.arange(1, DAY + 1)
    other = np.concatenate([values[: 8 * DAY], np.random.default_rng(2).normal(50, 9, DAY)])
    scale = MetricFeatures(values, DAY).scale
    expected = MetricFeatures(values, DAY, scale).matrix(t, h)
    assert np.array_equal(MetricFeatures(other, DAY, scale).matrix(t, h), expected, equal_nan=True)
    assert np.array_equal(MetricFeatures(values[: 8 * DAY], DAY, scale).matrix(t, h), expected, equal_nan=True)


def test_the_columns_that_are_forecasts_by_themselves() -> None:
    values = seasonal(3)
    one = MetricFeatures(values, DAY)
    t, h = np.full(DAY, 2 * DAY), np.arange(1, DAY + 1)
    x = one.matrix(t, h)
    assert one.unscaled(t, x[:, LAST]) == pytest.approx(np.full(DAY, values[2 * DAY]))
    assert one.unscaled(t, x[:, DAY_BEFORE]) == pytest.approx(values[DAY + 1 : 2 * DAY + 1])
    assert one.unscaled(t, x[:, HOUR_MEDIAN]) == pytest.approx(np.median(values[2 * DAY - 11 : 2 * DAY + 1]))
    assert one.unscaled(t, one.target(t, np.ones(DAY, dtype=int)))[0] == pytest.approx(values[2 * DAY + 1])


def test_trivial_forecasts_are_what_their_names_say() -> None:
    values = seasonal(4)
    known = history(values)
    assert forecast_of("last-value", known).value[:, 0] == pytest.approx(np.full(DAY, values[-1]))
    assert forecast_of("seasonal-naive", known).value[:, 0] == pytest.approx(values[-DAY:])
    assert forecast_of("median-24h", known).value[:, 0] == pytest.approx(np.full(DAY, np.median(values[-DAY:])))


def test_boosting_learns_the_season_that_noise_hides() -> None:
    values = noisy(8, np.random.default_rng(1))
    wrong = {
        name: float(np.abs(forecast_of(name, history(values[:-DAY])).value[:, 0] - values[-DAY:]).mean())
        for name in (BOOSTED, *TRIVIAL)
    }
    assert wrong[BOOSTED] < 0.9 * min(wrong[name] for name in TRIVIAL)


@pytest.mark.parametrize(
    ("name", "draws"), [pytest.param(BOOSTED, 3, marks=pytest.mark.long), ("seasonal-naive", 12), ("median-24h", 12)]
)
def test_about_eight_of_ten_values_lie_in_the_interval(name: str, draws: int) -> None:
    rng = np.random.default_rng(3)
    inside = []
    for _ in range(draws):
        values = noisy(8, rng)
        said = forecast_of(name, history(values[:-DAY]))
        inside.append(np.mean((values[-DAY:] >= said.lower[:, 0]) & (values[-DAY:] <= said.upper[:, 0])))
    assert 0.7 <= np.mean(inside) <= 0.9


STEPS = np.arange(6 * DAY)
ODD = {
    "constant": (np.full(6 * DAY, 3.0), None),
    "step": (np.where(STEPS < 4 * DAY, 1.0, 5.0), None),
    "ramp": (STEPS * 0.01, None),
    "40 rows": (seasonal(1)[:40], None),
    "12 rows": (seasonal(1)[:12], None),
    "two days": (seasonal(2), None),
    "a day missing": (seasonal(6), (STEPS // DAY != 3)),
    "two ends": (seasonal(6), (STEPS < 15) | (STEPS >= 6 * DAY - 30)),
    "counter reset": (np.where(STEPS < 5 * DAY, STEPS, STEPS - 5 * DAY) * 2.0, None),
    "ends in a gap": (np.where(STEPS < 5 * DAY, 1.0, np.nan), None),
    "huge": (seasonal(6) * 1e18, None),
    "spikes": (np.where(STEPS % 100 == 0, 1e6, 1.0), None),
}


@pytest.mark.parametrize("name", [BOOSTED, *TRIVIAL])
@pytest.mark.parametrize("kind", ODD)
def test_odd_histories_have_sensible_forecasts_with_intervals_that_widen(
    name: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # How good it is, is not asked here: a fifth of the pairs takes a quarter of the time.
    monkeypatch.setattr(direct, "HISTORY_PAIRS", 3000)
    values, keep = ODD[kind]
    known = history(values, keep=keep)
    said = forecast_of(name, known)
    assert said.value.shape == (DAY, 1)
    assert np.isfinite(said.value).all()
    assert (said.lower <= said.value).all()
    assert (said.value <= said.upper).all()
    assert (np.diff((said.upper - said.value)[:, 0]) >= -1e-9 * np.nanmax(np.abs(values))).all()
    least, most = np.nanmin(values), np.nanmax(values)
    reach = most - least
    assert least - reach <= said.value.min()
    assert said.value.max() <= most + reach


def test_a_constant_stays_what_it_is() -> None:
    said = forecast_of(BOOSTED, history(np.full(6 * DAY, 3.0)))
    assert said.lower == pytest.approx(3.0)
    assert said.upper == pytest.approx(3.0)


def test_what_was_never_negative_is_not_forecast_so() -> None:
    rng = np.random.default_rng(1)
    said = forecast_of(BOOSTED, history(rng.exponential(0.1, 4 * DAY), rng.normal(0, 1, 4 * DAY)))
    assert said.lower[:, 0].min() >= 0.0
    assert said.lower[:, 1].max() < 0.0


def test_several_metrics_are_forecast_at_once_each_in_its_unit() -> None:
    small, large = seasonal(6, 1), seasonal(6, 2) * 1e6
    said = forecast_of(BOOSTED, history(small[:-12], large[:-12]), 12)
    assert said.metrics == ("m0", "m1")
    assert said.value[:, 0] == pytest.approx(small[-12:], abs=0.5)
    assert said.value[:, 1] == pytest.approx(large[-12:], abs=0.5e6)
    assert said.times[0] == pd.Timestamp("2026-01-06 23:00", tz="UTC")


@pytest.mark.long
def test_a_seed_gives_equal_forecasts() -> None:
    known = history(seasonal(4))
    first, again = (forecast_of(BOOSTED, known) for _ in range(2))
    assert np.array_equal(first.value, again.value)
    assert np.array_equal(first.upper, again.upper)


def test_what_cannot_be_asked_is_refused_by_name() -> None:
    known = history(seasonal(2))
    forecaster = FORECASTERS["last-value"](42)
    with raises(ModelError, "fitted_on_others", fitted=((), 0), asked=(("m0",), 300)):
        forecaster.forecast(known, 12)
    forecaster.fit(known)
    with raises(ModelError, "fitted_on_others", fitted=(("m0",), 300), asked=(("m0", "m1"), 300)):
        forecaster.forecast(history(seasonal(2), seasonal(2)), 12)
    for horizon in (0, DAY + 1):
        with raises(DataError, "bad_horizon", horizon=horizon, most=288, step_seconds=300):
            forecaster.forecast(known, horizon)


def test_a_back_test_asks_at_each_origin_what_was_known_then() -> None:
    values = seasonal(5)
    known = history(values)
    made = pd.concat(forecasts("seasonal-naive", known, 100, origins=3))
    assert tuple(made.columns) == COLUMNS
    assert made["origin"].unique().tolist() == [known.times[-201], known.times[-101], known.times[-1]]
    changed = history(np.concatenate([values[:-100], values[-100:] + 7]))
    again = pd.concat(forecasts("seasonal-naive", changed, 100, origins=3))
    earlier = made["origin"] < known.times[-1]
    pd.testing.assert_frame_equal(made[earlier], again[earlier.to_numpy()])
    assert not made[~earlier].equals(again[~earlier.to_numpy()])


def test_back_tests_that_the_history_does_not_allow_are_refused() -> None:
    known = history(seasonal(2))
    with raises(DataError, "too_many_origins", origins=4, horizon=200, rows=576, most=3):
        list(forecasts("last-value", known, 200, origins=4))
    with raises(DataError, "unknown_forecaster", name="oracle", known=tuple(FORECASTERS)):
        list(forecasts("oracle", known, 12))
    assert next(iter(FORECASTERS)) == "predictive-analytics"
