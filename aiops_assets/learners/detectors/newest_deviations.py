"""The kinds of deviation of :mod:`deviations`, for the newest rows only, and for many entities at once.

Every kind of a row depends on few others: the six hours before it, the same times of seven days, and by
:func:`~aiops_assets.learners.detectors.deviations.beyond_habit` the same of a day, two days and a week before. So three
new rows need some 400 of the 2,500 of eight days, and no state. Other rows are not even read.
"""

from collections.abc import Collection, Mapping

import numpy as np
import numpy.typing as npt

from aiops_assets.learners.detectors.deviations import (
    HABIT_HOURS,
    LEVEL_HOURS,
    SEASONAL_DAYS,
    VOLATILITY_HOURS,
    Forecast,
    deviations,
    same_time_medians_of,
)
from aiops_assets.learners.detectors.raw_rows import Read
from aiops_assets.learners.detectors.rolling import FewRows
from aiops_assets.timeseries.frames import Grid
from aiops_assets.timeseries.series import Floats

Positions = npt.NDArray[np.int64]
FORECAST_ERROR = "forecast_error"
OF_HABIT = {"new_change": "change", "new_level": "level", "new_away": "away", "new_distance": "distance"}
"""Kind that is compared with its habit -> the kind it is made of."""
MOST_NEW_SHARE = 0.25
"""Of more new rows than this share of all, all rows are computed at once."""


def newest_deviations(
    rows: Read,
    first: int,
    step_seconds: int,
    forecast: Forecast | None,
    kinds: Collection[str],
) -> Mapping[str, Floats]:
    """Kind -> (n_rows - first, n_entities, n_columns) deviations of the rows from ``first`` on.

    Args:
        rows: n_rows of the entities.
        first: the first row that is wanted.
        step_seconds: distance of rows.
        forecast: for the kind ``forecast_error``.
        kinds: those of :func:`~aiops_assets.learners.detectors.deviations.deviations`.
    """
    n_rows, n_entities, n_columns = rows.shape
    of_columns = [kind for kind in kinds if kind != FORECAST_ERROR]
    of_flat = np.repeat(rows.begins, n_columns)
    if n_rows - first > MOST_NEW_SHARE * n_rows:
        flat = rows.part(0, n_rows).reshape(n_rows, n_entities * n_columns)
        whole = deviations(Grid(flat, np.arange(n_rows), step_seconds), None, of_columns, of_flat)
        found = {kind: array[first:] for kind, array in whole.items()}
    else:
        found = _Newest(rows, of_flat, first, step_seconds).of(of_columns)
    shaped = {kind: array.reshape(-1, n_entities, n_columns) for kind, array in found.items()}
    if FORECAST_ERROR in kinds:
        assert forecast is not None
        shaped[FORECAST_ERROR] = forecast_errors(forecast, rows, first)
    return shaped


def forecast_errors(forecast: Forecast, rows: Read, first: int) -> Floats:
    """Errors of a forecast of the rows from ``first`` on, each entity alone: its first row stands for those before."""
    n_rows, n_entities, _ = rows.shape
    least = max(0, first - forecast.reach)
    part = rows.part(least, n_rows)
    at = np.arange(first - least, n_rows - least)[:, np.newaxis]
    begins = rows.begins - least
    from_begin = np.clip(begins, 0, len(part) - 1)
    entities = np.arange(n_entities)
    lagged = [part[np.maximum(at - lag, from_begin), entities] for lag in range(forecast.reach + 1)]
    return np.where((at >= begins)[..., np.newaxis], forecast.errors_of(lagged), np.nan)


class _Newest:
    """Kinds of the rows from ``first`` on; n columns of numbers, those of an entity side by side."""

    def __init__(self, rows: Read, begins: Positions, first: int, step_seconds: int) -> None:
        """``begins`` (n,) are those of columns."""
        self._read, self._begins, self._first, self._step = rows, begins, first, step_seconds
        self._end = rows.shape[0]
        self._newest = self._rows(first, self._end)
        grid = Grid(self._newest[:0], np.arange(0), step_seconds)
        self._day = grid.rows(24)
        self._around = grid.rows(HABIT_HOURS)
        self._back = max(grid.rows(LEVEL_HOURS, least=8), grid.rows(VOLATILITY_HOURS, least=4)) + 2

    def of(self, kinds: Collection[str]) -> dict[str, Floats]:
        """Kind -> (n_new, n)."""
        own = [kind for kind in kinds if kind not in OF_HABIT and kind not in ("change_1d", "seasonal")]
        of_habit = {kind: OF_HABIT[kind] for kind in kinds if kind in OF_HABIT}
        back = max(self._back, self._day + 1 if "extreme" in own else 0)
        found = self._at(self._first, self._end, list(dict.fromkeys([*own, *of_habit.values()])), back)
        newest = self._newest
        if "change_1d" in kinds:
            found["change_1d"] = np.abs(newest - self._rows(self._first - self._day, self._end - self._day))
        if "seasonal" in kinds:
            lower, upper = self._medians(self._first, self._end)
            found["seasonal"] = np.abs(newest - (lower + upper) / 2)
        habits = self._habits(list(of_habit.values()))
        for kind, base in of_habit.items():
            found[kind] = np.maximum(found[base] - habits[base], 0.0)
        return {kind: found[kind] for kind in kinds}

    def _habits(self, bases: list[str]) -> dict[str, Floats]:
        """Kind -> (n_new, n) what is usual at these times."""
        n = self._end - self._first
        day = max(self._day, 2 * self._around + 1)
        usual: dict[str, list[Floats]] = {}
        for days in (1, 2, 7):
            begin = self._first - days * day
            # The half hour after a row is known of yesterday; of the newest rows it may not be.
            start, end = begin - self._around, min(begin + n + self._around, self._end)
            there = self._at(start, end, bases, self._back)
            begun = np.arange(begin, begin + n)[:, np.newaxis] >= self._begins
            for kind, array in there.items():
                usual.setdefault(kind, []).append(np.where(begun, _largest_around(array, n, self._around), 0.0))
        return {kind: np.maximum(np.minimum(one, two), week) for kind, (one, two, week) in usual.items()}

    def _at(self, start: int, end: int, kinds: list[str], back: int) -> dict[str, Floats]:
        """Kinds of the rows [start, end), from so many rows before; NaN before the first row."""
        begin = max(0, start - back)
        if end <= 0 or not kinds:
            return {kind: np.full((end - start, len(self._begins)), np.nan) for kind in kinds}
        part = self._rows(begin, end)
        cut = max(start, 0) - begin
        found = deviations(Grid(part, np.arange(len(part)), self._step), None, kinds, rolling=FewRows(cut))
        return {kind: _after_nothing(array[cut:], end - start) for kind, array in found.items()}

    def _medians(self, start: int, end: int) -> tuple[Floats, Floats]:
        days = range(1, SEASONAL_DAYS + 1)
        return same_time_medians_of(np.stack([self._rows(start - n * self._day, end - n * self._day) for n in days]))

    def _rows(self, start: int, end: int) -> Floats:
        """(end - start, n) rows; NaN before the first one."""
        return self._read.part(start, end).reshape(end - start, len(self._begins))


def _after_nothing(rows: Floats, n: int) -> Floats:
    """Rows with so many NaN rows before that they are ``n``."""
    if len(rows) == n:
        return rows
    return np.concatenate([np.full((n - len(rows), rows.shape[1]), np.nan), rows])


def _largest_around(found: Floats, n: int, around: int) -> Floats:
    """(n, n_columns) largest known value of the rows around each; 0 where none is known."""
    known = np.nan_to_num(found, nan=0.0)  # deviations are not negative
    return np.stack([known[i : i + 2 * around + 1].max(axis=0) for i in range(n)])
