"""Kinds of deviation: how far each metric is from its expected value, by its own past, without a threshold.

Each kind is (n_rows, n_metrics) float64, not negative, in the unit of its metric (``forecast_error``: in standard
deviations), NaN where the sample or its past is missing. All are causal: row t reads rows up to t.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from aiops_assets.timeseries.frames import Grid
from aiops_assets.timeseries.series import Floats

SEASONAL_DAYS = 7
MEDIAN_HOURS = 6.0
SMOOTH_HOURS = 0.25
VOLATILITY_HOURS = 0.5
FORECAST_LAGS = 4
MAX_COMPONENTS = 10
MAX_FIT_ROWS = 5000
RIDGE = 10.0
BLOCK = 64
"""So many columns are handled at a time where seven copies of them are needed."""
MAX_DEVIATIONS = 8.0
"""Standardised values are cut here, so that one spike does not decide the forecast of all metrics."""


@dataclass(frozen=True)
class Forecast:
    """A linear forecast of the next change of every metric from the newest values of all of them.

    A vector autoregression on principal components: ``n_components`` of the standardised metrics, each at
    :data:`FORECAST_LAGS` lags, ridge regression (Hoerl, Kennard 1970).

    Attributes:
        mean, scale: (n_metrics,) of the training rows.
        components: (n_metrics, n_components).
        coefficients: (FORECAST_LAGS * n_components + 1, n_metrics), the last row is the constant.
    """

    mean: Floats
    scale: Floats
    components: Floats
    coefficients: Floats

    def errors(self, values: Floats) -> Floats:
        """(n_rows, n_metrics) absolute errors in standard deviations."""
        standard = _standardised(values, self.mean, self.scale)
        change, past = _change_and_past(standard, self.components)
        errors: Floats = np.abs(change - past @ self.coefficients)
        return np.where(np.isfinite(values), errors, np.nan)


def fit_forecast(stretches: list[Floats]) -> Forecast:
    """Fit on stretches of consecutive rows, each (n_rows, n_metrics)."""
    together = np.concatenate(stretches)
    known = np.isfinite(together)
    count = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, together, 0.0).sum(axis=0) / count
    variance = np.where(known, (together - mean) ** 2, 0.0).sum(axis=0) / count
    scale = np.sqrt(variance) + 1e-3 * np.abs(mean) + 1e-6
    standard = [_standardised(values, mean, scale) for values in stretches]
    sample = np.concatenate(standard)[:: max(1, len(together) // MAX_FIT_ROWS)]
    axes = np.linalg.svd(sample - sample.mean(axis=0), full_matrices=False)[2]
    components: Floats = axes[: min(MAX_COMPONENTS, len(axes))].T
    width = FORECAST_LAGS * components.shape[1] + 1
    square, mixed = RIDGE * np.eye(width), np.zeros((width, together.shape[1]))
    for values in standard:
        change, past = _change_and_past(values, components)
        square += past.T @ past
        mixed += past.T @ change
    coefficients = np.linalg.solve(square, mixed).astype(np.float64)
    return Forecast(mean, scale, components, coefficients)


def deviations(grid: Grid, forecast: Forecast) -> Mapping[str, Floats]:
    """Kind -> (n_rows, n_metrics).

    ``change``, ``change_1h``: to the row before, and to an hour before. ``volatility``: mean absolute change of
    half an hour. ``seasonal``: to the median of the last seven days at this time. ``level``: of the last quarter of
    an hour to the median of the six hours before. ``forecast_error``: to :class:`Forecast`.
    """
    values = grid.values
    change = _absolute_change(values, 1)
    return {
        "change": change,
        "change_1h": _absolute_change(values, grid.rows(1)),
        "volatility": rolling_mean(change, grid.rows(VOLATILITY_HOURS, least=4)),
        "seasonal": np.abs(values - _same_time_median(values, grid.rows(24))),
        "level": _level_shift(values, grid),
        "forecast_error": forecast.errors(values),
    }


def rolling_mean(values: Floats, rows: int) -> Floats:
    """Mean of the known values of the last ``rows`` rows, along the first axis."""
    if rows <= 1 or not len(values):
        return values
    return pd.DataFrame(values).rolling(rows, min_periods=1).mean().to_numpy().reshape(values.shape)


def _absolute_change(values: Floats, lag: int) -> Floats:
    change = np.full_like(values, np.nan)
    change[lag:] = np.abs(values[lag:] - values[:-lag])
    return change


def _same_time_median(values: Floats, day: int) -> Floats:
    """Median over the last days at the same time; NaN on the first day."""
    median = np.empty_like(values)
    for first in range(0, values.shape[1], BLOCK):
        block = values[:, first : first + BLOCK]
        earlier = np.full((SEASONAL_DAYS, *block.shape), np.nan)
        for days in range(1, SEASONAL_DAYS + 1):
            earlier[days - 1, days * day :] = block[: -days * day]
        earlier.sort(axis=0)  # NaN last
        last = np.isfinite(earlier).sum(axis=0)[np.newaxis] - 1  # -1: nothing is known, and NaN is taken
        low, high = (np.take_along_axis(earlier, at, axis=0)[0] for at in (last // 2, (last + 1) // 2))
        median[:, first : first + BLOCK] = (low + high) / 2
    return median


def _level_shift(values: Floats, grid: Grid) -> Floats:
    now = rolling_mean(values, grid.rows(SMOOTH_HOURS, least=2))
    median = pd.DataFrame(values).rolling(grid.rows(MEDIAN_HOURS, least=8), min_periods=1).median().shift(1).to_numpy()
    return np.where(np.isfinite(values), np.abs(now - median), np.nan)


def _standardised(values: Floats, mean: Floats, scale: Floats) -> Floats:
    """Bounded standard values; what is not known stands at the mean."""
    return np.nan_to_num(np.clip((values - mean) / scale, -MAX_DEVIATIONS, MAX_DEVIATIONS), nan=0.0)


def _change_and_past(standard: Floats, components: Floats) -> tuple[Floats, Floats]:
    """The change to predict (n_rows, n_metrics), and its predictors, of earlier rows (n_rows, n_predictors)."""
    reduced = standard @ components
    before = np.concatenate([standard[:1], standard[:-1]])
    lags = [np.concatenate([np.repeat(reduced[:1], lag, axis=0), reduced[:-lag]])[: len(reduced)] for lag in _LAGS]
    return standard - before, np.concatenate([*lags, np.ones((len(standard), 1))], axis=1)


_LAGS = range(1, FORECAST_LAGS + 1)
