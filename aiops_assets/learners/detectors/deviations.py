"""Kinds of deviation: how far each metric is from its expected value, by its own past, without a threshold.

Each kind is (n_rows, n_metrics) float64, not negative, in the unit of its metric (``forecast_error``: in standard
deviations), NaN where the sample or its past is missing. All are causal: row t reads rows up to t.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pandas as pd

from aiops_assets.learners.detectors.deviation_scores import NOTHING
from aiops_assets.learners.detectors.rolling import AllRows, Rolling
from aiops_assets.timeseries.frames import Grid
from aiops_assets.timeseries.series import Floats

SEASONAL_DAYS = 7
LEVEL_HOURS = 6.0
NOW_HOURS = 3.0
"""What has lasted for half of this is no news any more: the median has followed."""
SMOOTH_HOURS = 0.25
VOLATILITY_HOURS = 0.5
HABIT_HOURS = 0.5
"""What repeats does so within half an hour of the same time."""
MIN_RANGE_ROWS = 12
"""Fewer rows have no range that a value could be outside of."""
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

    reach = FORECAST_LAGS
    """So many rows before a row are read."""

    def errors(self, values: Floats) -> Floats:
        """(n_rows, n_metrics) absolute errors in standard deviations."""
        standard = _standardised(values, self.mean, self.scale)
        change, past = _change_and_past(standard, self.components)
        errors: Floats = np.abs(change - past @ self.coefficients)
        return np.where(np.isfinite(values), errors, np.nan)

    def errors_of(self, lagged: Sequence[Floats]) -> Floats:
        """(..., n_metrics) the same of single rows: each row, the one before it, and so on to ``reach`` before."""
        standard = [_standardised(values, self.mean, self.scale) for values in lagged]
        past = np.concatenate(
            [*(one @ self.components for one in standard[1:]), np.ones((*standard[0].shape[:-1], 1))], axis=-1
        )
        errors: Floats = np.abs(standard[0] - standard[1] - past @ self.coefficients)
        return np.where(np.isfinite(lagged[0]), errors, np.nan)


def fit_forecast(stretches: list[Floats]) -> Forecast:
    """Fit on stretches of consecutive rows, each (n_rows, n_metrics)."""
    together = np.concatenate(stretches)
    known = np.isfinite(together)
    count = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, together, 0.0).sum(axis=0) / count
    variance = np.where(known, (together - mean) ** 2, 0.0).sum(axis=0) / count
    scale = np.sqrt(variance) + 1e-3 * np.abs(mean) + NOTHING
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


NOW = ("new_away", "new_distance")
"""Kinds that are 0 where a metric stands where it stood in the hours before: what they do not show is over."""


def deviations(
    grid: Grid,
    forecast: Forecast | None,
    kinds: Collection[str],
    begins: npt.NDArray[np.int64] | None = None,
    rolling: Rolling | None = None,
) -> Mapping[str, Floats]:
    """Kind -> (n_rows, n_metrics), of those that are asked for.

    ``change``, ``change_1h``, ``change_1d``: to the row before, to an hour before, to a day before. ``new_...``:
    by how much the kind is larger than its habit, see :func:`beyond_habit`. ``away``: a change that leads away from
    the median of the last three hours; ``distance``: from that median. ``level``: the distance of the mean of the last
    quarter of an hour from the median of six hours. ``volatility``: mean absolute change of half an hour.
    ``seasonal``: to the median of the last seven days at this time. ``extreme``: by how much a value is outside the
    range of the day before. ``forecast_error``: to :class:`Forecast`, which only this kind needs.

    ``begins`` (n_metrics,) are the rows at which columns begin that are NaN before: the first row by default.
    ``rolling`` has which rows are wanted: all by default. Of few rows, kinds that are ``new_...`` cannot be had.
    """
    parts = _Parts(grid, forecast, begins, rolling or AllRows())
    return {kind: getattr(parts, kind) for kind in kinds}


class _Parts:
    """Each kind as a property, computed once: several are made of the same parts."""

    def __init__(
        self, grid: Grid, forecast: Forecast | None, begins: npt.NDArray[np.int64] | None, rolling: Rolling
    ) -> None:
        self._grid, self._forecast, self._begins, self._rolling = grid, forecast, begins, rolling
        self._medians_before: dict[float, Floats] = {}

    @property
    def _values(self) -> Floats:
        return self._grid.values

    @cached_property
    def change(self) -> Floats:
        return _absolute_change(self._values, 1)

    @cached_property
    def change_1h(self) -> Floats:
        return _absolute_change(self._values, self._grid.rows(1))

    @cached_property
    def change_1d(self) -> Floats:
        return _absolute_change(self._values, self._grid.rows(24))

    @cached_property
    def new_change(self) -> Floats:
        return beyond_habit(self.change, self._grid, self._begins)

    @cached_property
    def new_level(self) -> Floats:
        return beyond_habit(self.level, self._grid, self._begins)

    @cached_property
    def new_away(self) -> Floats:
        return beyond_habit(self.away, self._grid, self._begins)

    @cached_property
    def new_distance(self) -> Floats:
        return beyond_habit(self.distance, self._grid, self._begins)

    @cached_property
    def away(self) -> Floats:
        before = np.concatenate([np.full_like(self._values[:1], np.nan), self._values[:-1]])
        leads_away = self.distance > np.abs(before - self._median_before(NOW_HOURS))
        return np.where(np.isfinite(self._values), np.where(leads_away, self.change, 0.0 * self.change), np.nan)

    @cached_property
    def distance(self) -> Floats:
        return np.abs(self._values - self._median_before(NOW_HOURS))

    @cached_property
    def level(self) -> Floats:
        now = self._rolling.means(self._values, self._grid.rows(SMOOTH_HOURS, least=2))
        return np.where(np.isfinite(self._values), np.abs(now - self._median_before(LEVEL_HOURS)), np.nan)

    @cached_property
    def volatility(self) -> Floats:
        return self._rolling.means(self.change, self._grid.rows(VOLATILITY_HOURS, least=4))

    @cached_property
    def seasonal(self) -> Floats:
        lower, upper = self._medians
        return np.abs(self._values - (lower + upper) / 2)

    @cached_property
    def extreme(self) -> Floats:
        day = self._grid.rows(24)
        highest, lowest = self._rolling.range_before(self._values, day, min(day, MIN_RANGE_ROWS))
        return np.maximum(np.maximum(self._values - highest, lowest - self._values), 0.0)

    @cached_property
    def forecast_error(self) -> Floats:
        assert self._forecast is not None
        return self._forecast.errors(self._values)

    @cached_property
    def _medians(self) -> tuple[Floats, Floats]:
        return _same_time_medians(self._values, self._grid.rows(24))

    def _median_before(self, hours: float) -> Floats:
        """(n_rows, n_metrics) median of so many hours before a row, at least eight rows."""
        if hours not in self._medians_before:
            rows = self._grid.rows(hours, least=8)
            self._medians_before[hours] = self._rolling.medians_before(self._values, rows)
        return self._medians_before[hours]


def beyond_habit(found: Floats, grid: Grid, begins: npt.NDArray[np.int64] | None = None) -> Floats:
    """By how much deviations are larger than what is usual at their time, at least 0.

    Usual is what was seen within half an hour of this time both yesterday and the day before, or a week ago.
    """
    around = 2 * grid.rows(HABIT_HOURS) + 1
    largest = pd.DataFrame(found).rolling(around, min_periods=1, center=True).max().to_numpy()
    if begins is not None:
        largest = np.where(np.arange(len(found))[:, np.newaxis] < begins, np.nan, largest)
    day = max(grid.rows(24), around)  # so far back, the half hour after is past as well
    yesterday, before, last_week = (np.nan_to_num(_earlier(largest, days * day), nan=0.0) for days in (1, 2, 7))
    return np.maximum(found - np.maximum(np.minimum(yesterday, before), last_week), 0.0)


def _absolute_change(values: Floats, lag: int) -> Floats:
    return np.abs(values - _earlier(values, lag))


def _same_time_medians(values: Floats, day: int) -> tuple[Floats, Floats]:
    """Lower and upper median over the last days at the same time; NaN on the first day."""
    lower, upper = np.empty_like(values), np.empty_like(values)
    for first in range(0, values.shape[1], BLOCK):
        block = values[:, first : first + BLOCK]
        earlier = np.full((SEASONAL_DAYS, *block.shape), np.nan)
        for days in range(1, SEASONAL_DAYS + 1):
            earlier[days - 1, days * day :] = block[: -days * day]
        lower[:, first : first + BLOCK], upper[:, first : first + BLOCK] = same_time_medians_of(earlier)
    return lower, upper


def same_time_medians_of(earlier: Floats) -> tuple[Floats, Floats]:
    """Lower and upper median over the first axis, the days; NaN where nothing is known. The argument is sorted."""
    earlier.sort(axis=0)  # NaN last
    last = np.isfinite(earlier).sum(axis=0)[np.newaxis] - 1  # -1: nothing is known, and NaN is taken
    return (
        np.take_along_axis(earlier, last // 2, axis=0)[0],
        np.take_along_axis(earlier, (last + 1) // 2, axis=0)[0],
    )


def _earlier(values: Floats, rows: int) -> Floats:
    """The values so many rows before; NaN where there is none."""
    earlier = np.full_like(values, np.nan)
    earlier[rows:] = values[: max(len(values) - rows, 0)]
    return earlier


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
