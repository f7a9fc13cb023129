"""Features of a metric at a forecast origin, for a step ahead: levels, the same time on other days, spread.

All features of (t, h) use values up to and including row t only, in a unit that is one for the whole history; h is how
many steps ahead. In a gap stands what lies between its ends: no origin may lie there.
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
SIX_HOUR_MEDIAN = 1 + len(MEAN_HOURS) + MEDIAN_HOURS.index(6.0)
"""Columns that are forecasts by themselves: the last value, the medians of the last hour and of six, the value a day
before."""
SHAPE = DAY_BEFORE + 4
"""The column of the change from now to then on earlier days, their median."""
AHEAD = -3
"""The column of steps ahead, before the two of the clock."""
SEASONS = 7
"""So many days back the same time of day is a feature."""
REACH_DAYS = SEASONS + 1
"""Features of the newest row are made of so many days; smoothing reaches a little beyond the seventh."""
UNIT_DAYS, MIN_UNIT = 2, 1e-2
"""A unit of its own needs a memory of so many days, and is at least so many scales: after an hour without change the
next sample is not a giant."""
NARROW_HOURS, WIDE_HOURS = 1.0, 3.0
"""Centred windows of these widths smooth earlier days."""


class MetricFeatures:
    """Features of one metric, any number of (row, horizon) pairs at once.

    Args:
        values: (n,) float64, finite, on a regular grid.
        day: how many rows a day is.
        scale: unit of all that is given out; the mean distance to the median of the day before by default.
        memory: rows that are known at an origin, it and those before it; all there are by default.
        begin: position of the first row in its day, from 0.
    """

    def __init__(
        self, values: Floats, day: int, scale: float | None = None, memory: int | None = None, begin: int = 0
    ) -> None:
        self.day, self.memory, self.begin = day, memory or len(values), begin
        self.has_own_unit = memory is not None and memory >= UNIT_DAYS * day
        self.scale = scale or own_scale(values, day) or 1.0
        self.values = values / self.scale
        series = pd.Series(self.values)
        self.anchor = self._rolling(series, day).median().to_numpy()
        levels = [self._rolling(series, self._rows(hours)).mean() for hours in MEAN_HOURS]
        levels += [self._rolling(series, self._rows(hours)).median() for hours in MEDIAN_HOURS]
        levels += [self._rolling(series, SEASONS * day).median()]
        self.levels = np.stack([self.values, *(level.to_numpy() for level in levels)], axis=1)
        self.spread = self._deviation(series, self._rows(SPREAD_HOURS)).to_numpy()
        jitter = self._deviation(self._change(series, 1), day)
        reach = self._rolling(series, day).max() - self._rolling(series, day).min()
        changes = [self._change(series, self._rows(hours)).fillna(0.0) for hours in CHANGE_HOURS]
        self.around = np.stack([self.spread, *(one.to_numpy() for one in (jitter, reach, *changes))], axis=1)
        self.unit = self._units()
        self.spread = self.spread / self.unit
        self.narrow = _centred(series, self._rows(NARROW_HOURS)).median().to_numpy()
        self.wide = _centred(series, self._rows(WIDE_HOURS)).mean().to_numpy()

    def matrix(self, t: Steps, h: Steps) -> Floats:
        """(n_pairs, n_features) float64, levels relative to the median of the last day; NaN: no such day."""
        yesterday, before = (self._at(self.values, t + h - days * self.day, t) for days in (1, 2))
        earlier = [self._at(self.narrow, t + h - days * self.day, t) for days in range(3, SEASONS + 1)]
        same_time = np.stack([yesterday, before, *earlier])
        # Smoothing looks ahead by half its window: a day back it must not reach rows after t.
        half_narrow, half_wide = self._half(NARROW_HOURS), self._half(WIDE_HOURS)
        smooth = self._at(self.narrow, np.minimum(t + h - self.day, t - half_narrow), t)
        smoother = self._at(self.wide, np.minimum(t + h - self.day, t - half_wide), t)
        shapes = [
            self._at(self.wide, np.minimum(t + h - days * self.day, t - half_wide), t)
            - self._at(self.wide, np.minimum(t - days * self.day, t - half_wide), t)
            for days in range(1, SEASONS + 1)
        ]
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "All-NaN slice|Mean of empty slice")
            median, recent = np.nanmedian(same_time, axis=0), np.nanmean(same_time[:3], axis=0)
            shape = np.nanmedian(np.stack(shapes), axis=0)
        seasonal = np.stack([smooth, smoother, yesterday, before, median, recent], axis=1)
        anchor = self.anchor[t][:, None]
        phase = 2 * np.pi * ((self.begin + t + h) % self.day) / self.day
        clock = np.stack([h.astype(float), np.sin(phase), np.cos(phase)], axis=1)
        levels = [self.levels[t] - anchor, seasonal - anchor, shape[:, None], self.around[t]]
        return np.concatenate([*(level / self.unit[t][:, None] for level in levels), clock], axis=1)

    def target(self, t: Steps, h: Steps) -> Floats:
        """(n_pairs,) values at the steps, as :meth:`matrix` gives levels."""
        return (self.values[t + h] - self.anchor[t]) / self.unit[t]

    def unscaled(self, t: Steps, predicted: Floats) -> Floats:
        """Predictions of :meth:`target` in the metric's own unit."""
        return (predicted * self.unit[t] + self.anchor[t]) * self.scale

    def _units(self) -> Floats:
        """(n,) the unit of levels at each origin, in scales.

        Where two days are known at an origin and no more, it is the mean distance to the median of the day before over
        the last day: another entity's metric, of another size, then looks like those that were learnt from.
        """
        if not self.has_own_unit:
            return np.ones(len(self.values))
        distance = pd.Series(np.abs(self.values - self.anchor))
        return self._rolling(distance, self.day).mean().to_numpy() + MIN_UNIT

    def _rows(self, hours: float) -> int:
        return max(1, round(hours * self.day / 24))

    def _half(self, hours: float) -> int:
        return self._rows(hours) // 2

    def _at(self, values: Floats, rows: Steps, t: Steps) -> Floats:
        """Values at rows; NaN before the first row, and where a row is older than the memory at t."""
        return np.where((rows >= 0) & (rows > t - self.memory), values[np.maximum(rows, 0)], np.nan)

    def _rolling(self, series: pd.Series, rows: int, least: int = 1) -> "pd.api.typing.Rolling[pd.Series]":
        return series.rolling(max(min(rows, self.memory), least), min_periods=least)

    def _deviation(self, series: pd.Series, rows: int) -> pd.Series:
        """Rolling standard deviation; 0 where there is no row before."""
        if self.memory < 2:
            return pd.Series(np.zeros(len(series)))
        return self._rolling(series, rows, least=2).std(ddof=0).bfill().fillna(0.0)

    def _change(self, series: pd.Series, rows: int) -> pd.Series:
        return series.diff(rows) if rows < self.memory else pd.Series(np.full(len(series), np.nan))


def own_scale(values: Floats, day: int) -> float:
    """The mean distance to the median of the day before; 0 where nothing moves."""
    anchor = pd.Series(values).rolling(day, min_periods=1).median().to_numpy()
    return float(np.mean(np.abs(values - anchor)))


def _centred(series: pd.Series, rows: int) -> "pd.api.typing.Rolling[pd.Series]":
    return series.rolling(2 * (rows // 2) + 1, center=True, min_periods=1)
