"""What a forecaster knows of a metric at a moment, about a moment ahead: levels, the same time on other days, spread.

All features of (t, h) use values up to and including row t only; h is how many steps ahead.
"""

import warnings

import numpy as np
import numpy.typing as npt
import pandas as pd

from aiops_assets.timeseries.series import Floats

Steps = npt.NDArray[np.int64]

MEAN_HOURS = (0.25, 1.0, 3.0, 12.0)
MEDIAN_HOURS = (0.5, 1.0, 3.0, 6.0)
CHANGE_HOURS = (0.0, 1.0, 24.0)
SPREAD_HOURS = 6.0
LAST = 0
HOUR_MEDIAN = 1 + len(MEAN_HOURS) + MEDIAN_HOURS.index(1.0)
DAY_BEFORE = 1 + len(MEAN_HOURS) + len(MEDIAN_HOURS) + 1 + 2
"""Columns that are forecasts by themselves: the last value, the median of the last hour, the value a day before."""
SEASONS = 7
"""Days back at the same time of day."""
NARROW_HOURS, WIDE_HOURS = 1.0, 3.0
"""Of the centred windows that smooth earlier days."""


class MetricFeatures:
    """Features of one metric, any number of (row, horizon) pairs at once.

    Args:
        values: (n,) float64, finite, on a regular grid.
        day: how many rows a day is.
        scale: unit of all that is given out; the mean distance to the median of the day before by default.
    """

    def __init__(self, values: Floats, day: int, scale: float | None = None) -> None:
        anchor = _rolling(pd.Series(values), day).median().to_numpy()
        self.scale = scale or float(np.mean(np.abs(values - anchor))) or 1.0
        self.values, self.day = values / self.scale, day
        series = pd.Series(self.values)
        self.anchor = _rolling(series, day).median().to_numpy()
        levels = [_rolling(series, self._rows(hours)).mean() for hours in MEAN_HOURS]
        levels += [_rolling(series, self._rows(hours)).median() for hours in MEDIAN_HOURS]
        levels += [_rolling(series, SEASONS * day).median()]
        self.levels = np.stack([self.values, *(level.to_numpy() for level in levels)], axis=1)
        self.spread = _rolling(series, self._rows(SPREAD_HOURS), least=2).std(ddof=0).bfill().fillna(0.0).to_numpy()
        jitter = _rolling(series.diff(), day, least=2).std(ddof=0).bfill().fillna(0.0)
        reach = _rolling(series, day).max() - _rolling(series, day).min()
        changes = [series.diff(self._rows(hours)).fillna(0.0) for hours in CHANGE_HOURS]
        self.around = np.stack([self.spread, *(one.to_numpy() for one in (jitter, reach, *changes))], axis=1)
        self.narrow = _centred(series, self._rows(NARROW_HOURS)).median().to_numpy()
        self.wide = _centred(series, self._rows(WIDE_HOURS)).mean().to_numpy()

    def matrix(self, t: Steps, h: Steps) -> Floats:
        """(n_pairs, n_features) float64, levels relative to the median of the last day; NaN: no such day."""
        yesterday, before = self._at(self.values, t + h - self.day), self._at(self.values, t + h - 2 * self.day)
        earlier = [self._at(self.narrow, t + h - days * self.day) for days in range(3, SEASONS + 1)]
        same_time = np.stack([yesterday, before, *earlier])
        # Smoothing looks ahead by half its window: a day back it must not reach beyond t.
        half_narrow, half_wide = self._half(NARROW_HOURS), self._half(WIDE_HOURS)
        smooth = self._at(self.narrow, np.minimum(t + h - self.day, t - half_narrow))
        smoother = self._at(self.wide, np.minimum(t + h - self.day, t - half_wide))
        shapes = [
            self._at(self.wide, np.minimum(t + h - days * self.day, t - half_wide))
            - self._at(self.wide, np.minimum(t - days * self.day, t - half_wide))
            for days in range(1, SEASONS + 1)
        ]
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "All-NaN slice|Mean of empty slice")
            usual, recent = np.nanmedian(same_time, axis=0), np.nanmean(same_time[:3], axis=0)
            shape = np.nanmedian(np.stack(shapes), axis=0)
        seasonal = np.stack([smooth, smoother, yesterday, before, usual, recent], axis=1)
        anchor = self.anchor[t][:, None]
        phase = 2 * np.pi * ((t + h) % self.day) / self.day
        clock = np.stack([h.astype(float), np.sin(phase), np.cos(phase)], axis=1)
        return np.concatenate(
            [self.levels[t] - anchor, seasonal - anchor, shape[:, None], self.around[t], clock], axis=1
        )

    def target(self, t: Steps, h: Steps) -> Floats:
        """(n_pairs,) what came, as :meth:`matrix` gives levels."""
        return self.values[t + h] - self.anchor[t]

    def unscaled(self, t: Steps, predicted: Floats) -> Floats:
        """Predictions of :meth:`target` in the metric's own unit."""
        return (predicted + self.anchor[t]) * self.scale

    def _rows(self, hours: float) -> int:
        return max(1, round(hours * self.day / 24))

    def _half(self, hours: float) -> int:
        return self._rows(hours) // 2

    @staticmethod
    def _at(values: Floats, rows: Steps) -> Floats:
        return np.where(rows >= 0, values[np.maximum(rows, 0)], np.nan)


def _rolling(series: pd.Series, rows: int, least: int = 1) -> "pd.api.typing.Rolling[pd.Series]":
    return series.rolling(max(rows, least), min_periods=least)


def _centred(series: pd.Series, rows: int) -> "pd.api.typing.Rolling[pd.Series]":
    return series.rolling(2 * (rows // 2) + 1, center=True, min_periods=1)
