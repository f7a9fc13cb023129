"""Kinds of deviation of the last few of some rows: what :class:`deviations.Parts` has there, without the other rows.

Windows that end at each wanted row are laid side by side, of all columns at once. pandas slides a window over all rows
of a column, and takes a tenth of a millisecond a column for the call alone.
"""

from functools import cached_property

import numpy as np
from typing_extensions import override

from aiops_assets.learners.detectors.deviations import (
    MEDIAN_HOURS,
    MIN_RANGE_ROWS,
    SMOOTH_HOURS,
    VOLATILITY_HOURS,
    Parts,
)
from aiops_assets.timeseries.frames import Grid
from aiops_assets.timeseries.series import Floats

MAX_WINDOW_VALUES = 4_000_000
"""So many values of windows are laid side by side at a time: 32 MB."""


class FewRows(Parts):
    """Each kind is right from row ``first`` on, and NaN or something else before."""

    def __init__(self, grid: Grid, first: int) -> None:
        super().__init__(grid, None)
        self._first = first

    @cached_property
    @override
    def level(self) -> Floats:
        now = self._means(self._values, self._grid.rows(SMOOTH_HOURS, least=2))
        return np.where(np.isfinite(self._values), np.abs(now - self._median), np.nan)

    @cached_property
    @override
    def volatility(self) -> Floats:
        return self._means(self.change, self._grid.rows(VOLATILITY_HOURS, least=4))

    @cached_property
    @override
    def extreme(self) -> Floats:
        day = self._grid.rows(24)
        found = np.full_like(self._values, np.nan)
        for row in range(self._first, len(self._values)):
            earlier = self._values[max(0, row - day) : row]
            enough = np.isfinite(earlier).sum(axis=0) >= min(day, MIN_RANGE_ROWS)
            highest, lowest = (of.reduce(earlier, axis=0, initial=np.nan) for of in (np.fmax, np.fmin))
            value = self._values[row]
            outside = np.maximum(np.maximum(value - highest, lowest - value), 0.0)
            found[row] = np.where(enough, outside, np.nan)
        return found

    @cached_property
    @override
    def _median(self) -> Floats:
        rows = self._grid.rows(MEDIAN_HOURS, least=8)
        found = np.full_like(self._values, np.nan)
        n = len(self._values) - self._first
        at_once = max(1, MAX_WINDOW_VALUES // max(1, n * rows))
        for begin in range(0, self._values.shape[1], at_once):
            columns = slice(begin, begin + at_once)
            # Of each row the rows before it, and not itself.
            windows = self._windows(self._values[:-1, columns], self._first - 1, rows)
            found[self._first :, columns] = _medians(np.ascontiguousarray(windows))
        return found

    def _means(self, values: Floats, rows: int) -> Floats:
        """Means of the known values of the last rows."""
        windows = self._windows(values, self._first, rows)
        known = np.isfinite(windows)
        count = known.sum(axis=-1)
        found = np.full_like(values, np.nan)
        total = np.where(known, windows, 0.0).sum(axis=-1)
        found[self._first :] = np.where(count > 0, total / np.maximum(count, 1), np.nan)
        return found

    def _windows(self, values: Floats, first: int, rows: int) -> Floats:
        """(n, n_columns, rows) the rows up to each row from ``first`` on; NaN before the first of all."""
        part = values[max(0, first - rows + 1) :]
        missing = len(values) - first + rows - 1 - len(part)
        if missing:
            part = np.concatenate([np.full((missing, values.shape[1]), np.nan), part])
        return np.lib.stride_tricks.sliding_window_view(part, rows, axis=0)


def _medians(windows: Floats) -> Floats:
    """(n, n_columns) medians of the known values along the last axis; NaN where none is known. Windows are reordered."""
    size = windows.shape[-1]
    if np.isfinite(windows).all():
        middle = size // 2
        windows.partition(middle, axis=-1)
        upper = windows[..., middle]
        return upper if size % 2 else (windows[..., :middle].max(axis=-1) + upper) / 2
    windows.sort(axis=-1)  # NaN last
    last = np.isfinite(windows).sum(axis=-1)[..., np.newaxis] - 1  # -1: nothing is known, and NaN is taken
    pair = [np.take_along_axis(windows, at, axis=-1)[..., 0] for at in (last // 2, (last + 1) // 2)]
    return (pair[0] + pair[1]) / 2
