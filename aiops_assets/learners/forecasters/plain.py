"""Forecasts of any single series by the best of four plain rules, with an interval of their own past errors.

The rules: the last value; the value a day before; that, moved by how today differs from yesterday; the median of the
newest day. At each horizon the rule with the least mean absolute error of the past counts. The interval is that of
split conformal prediction (Vovk et al. 2005; Lei et al. 2018): quantiles of the rule's past errors at this horizon, one
past forecast origin an hour. Nothing is fitted, so hundreds of series take a moment.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from aiops_assets.timeseries.series import DAY_SECONDS, Floats

LEAST_ORIGINS = 20
"""Fewer past errors make no interval."""
SIDE = 0.1
"""Share of values below, and above, the interval."""


@dataclass(frozen=True)
class Ahead:
    """Forecasts of n series at some horizons.

    Attributes:
        value, lower, upper: (n_series, n_horizons) median and 80 % interval; NaN where too little is known.
    """

    value: Floats
    lower: Floats
    upper: Floats


def forecast_ahead(history: Floats, step_seconds: int, horizons: Sequence[int]) -> Ahead:
    """Forecast series from their newest row.

    Args:
        history: (n_series, n_rows) the newest rows of a regular grid, NaN unknown.
        step_seconds: distance of rows.
        horizons: seconds ahead, up to a day; of one that is no multiple of the step nothing is known.
    """
    n, rows = history.shape
    sides = np.full((3, n, len(horizons)), np.nan)
    filled = _forward_filled(history, max(1, 3600 // step_seconds))
    day = DAY_SECONDS // step_seconds
    every = max(1, 3600 // step_seconds)
    median = _daily_medians(filled, day, every)
    for i, horizon in enumerate(horizons):
        ahead = horizon // step_seconds
        if horizon % step_seconds or not 1 <= ahead <= day or rows <= every:
            continue
        origins = np.arange(rows - 1, every - 1, -every)[::-1]  # the last one is the present
        rules = _rules(filled, median, origins, ahead, day)
        target = history[:, np.minimum(origins + ahead, rows - 1)]
        past = origins + ahead < rows
        error = np.where(past, target - rules, np.nan)  # (4, n, n_origins)
        sides[:, :, i] = _best(rules[:, :, -1], error)
    return Ahead(*sides)


def _rules(filled: Floats, median: Floats, origins: "np.ndarray", ahead: int, day: int) -> Floats:
    """(4, n, n_origins) what each rule says of the row ``ahead`` after each origin."""
    now, before, then = (_rows_at(filled, origins + back) for back in (0, -day, ahead - day))
    return np.stack([now, then, then + now - before, median[:, origins]])


def _rows_at(values: Floats, rows: "np.ndarray") -> Floats:
    """(n, n_origins) of these rows; NaN before the first one."""
    return np.where(rows >= 0, values[:, np.maximum(rows, 0)], np.nan)


def _best(now: Floats, error: Floats) -> Floats:
    """(3, n) value, lower and upper by the rule with the least error; ``now`` is (4, n)."""
    known = np.isfinite(error)
    count = known.sum(axis=2)
    usable = (count >= LEAST_ORIGINS) & np.isfinite(now)
    mean = np.where(known, np.abs(error), 0.0).sum(axis=2) / np.maximum(count, 1)
    rule = np.where(usable, mean, np.inf).argmin(axis=0)
    series = np.arange(now.shape[1])
    errors = np.sort(error[rule, series], axis=1)  # NaN last
    n = count[rule, series]
    low = np.maximum(np.floor(SIDE * (n + 1)).astype(np.int64) - 1, 0)
    high = np.minimum(np.ceil((1 - SIDE) * (n + 1)).astype(np.int64) - 1, np.maximum(n - 1, 0))
    value = np.where(usable[rule, series], now[rule, series], np.nan)
    lower, upper = value + errors[series, low], value + errors[series, high]
    return np.stack([value, np.minimum(lower, value), np.maximum(upper, value)])


def _forward_filled(values: Floats, most: int) -> Floats:
    """Values in which gaps of at most ``most`` rows hold the value before them."""
    known = np.isfinite(values)
    place = np.maximum.accumulate(np.where(known, np.arange(values.shape[1]), -1), axis=1)
    near = (place >= 0) & (np.arange(values.shape[1]) - place <= most)
    return np.where(near, np.take_along_axis(values, np.maximum(place, 0), axis=1), np.nan)


def _daily_medians(values: Floats, day: int, every: int) -> Floats:
    """(n, n_rows) median of the day up to a row, at the rows that are origins."""
    result = np.full(values.shape, np.nan)
    for row in range(values.shape[1] - 1, every - 1, -every):
        newest = np.sort(values[:, max(0, row - day + 1) : row + 1], axis=1)
        count = np.isfinite(newest).sum(axis=1)
        middle = np.take_along_axis(newest, np.maximum(count - 1, 0)[:, np.newaxis] // 2, axis=1)[:, 0]
        result[:, row] = np.where(count > 0, middle, np.nan)
    return result
