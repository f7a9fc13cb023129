"""Plain forecasts of single series, and whether their intervals hold what they should."""

import numpy as np
import pytest

from aiops_assets.learners.forecasters.plain import forecast_ahead
from aiops_assets.timeseries.series import Floats

STEP = 1800
DAY = 48
HORIZONS = (3600, 86_400)


def seasonal(seed: int, rows: int, noise: float = 1.0) -> Floats:
    hours = np.arange(rows) / DAY
    return 50 + 20 * np.sin(2 * np.pi * hours) + np.random.default_rng(seed).normal(0, noise, rows)


def test_a_daily_swing_is_forecast_by_the_day_before_and_a_level_by_the_last_value() -> None:
    rows = 10 * DAY + 12
    level = 5 + np.cumsum(np.random.default_rng(1).normal(0, 0.1, rows))
    ahead = forecast_ahead(np.stack([seasonal(1, rows), level]), STEP, HORIZONS)
    later = 50 + 20 * np.sin(2 * np.pi * (rows + 1) / DAY)
    assert ahead.value[0, 0] == pytest.approx(later, abs=5)
    assert ahead.value[1, 0] == level[-1]


def test_the_interval_holds_four_of_five_values() -> None:
    n, rows = 150, 8 * DAY
    whole = np.stack([seasonal(seed, rows + DAY) for seed in range(n)])
    ahead = forecast_ahead(whole[:, :rows], STEP, HORIZONS)
    for i, horizon in enumerate(HORIZONS):
        truth = whole[:, rows - 1 + horizon // STEP]
        assert 0.7 <= ((ahead.lower[:, i] <= truth) & (truth <= ahead.upper[:, i])).mean() <= 0.95


def test_the_unit_is_no_matter_and_gaps_are_left_out() -> None:
    values = seasonal(3, 6 * DAY)[np.newaxis]
    holed = values.copy()
    holed[0, 100:140] = np.nan
    plain, scaled = (forecast_ahead(one, STEP, HORIZONS) for one in (holed, holed * 1e6))
    assert np.allclose(plain.value * 1e6, scaled.value)
    assert np.isfinite(plain.upper).all()


@pytest.mark.parametrize("rows", [0, 1, DAY // 2])
def test_a_short_history_has_no_forecast(rows: int) -> None:
    ahead = forecast_ahead(seasonal(1, rows)[np.newaxis], STEP, HORIZONS)
    assert np.isnan(ahead.value).all()


def test_an_hour_ahead_is_judged_after_a_day_and_a_day_ahead_after_two() -> None:
    after = {hours: forecast_ahead(seasonal(1, 2 * hours)[np.newaxis], STEP, HORIZONS).value[0] for hours in (24, 48)}
    assert np.isfinite(after[24]).tolist() == [True, False]
    assert np.isfinite(after[48]).all()


def test_a_horizon_between_rows_has_no_forecast_and_a_silent_series_has_none() -> None:
    values = np.stack([seasonal(1, 6 * DAY), np.full(6 * DAY, np.nan)])
    ahead = forecast_ahead(values, STEP, (300, 3600))
    assert np.isnan(ahead.value[:, 0]).all()
    assert np.isfinite(ahead.value[0, 1])
    assert np.isnan(ahead.value[1]).all()
