"""Medians, means and ranges of the rows up to each row: of all rows, or of the last few of them alone.

pandas slides a window over all rows of a column, and takes a tenth of a millisecond a column for the call alone. Where
few rows are wanted of many columns, their windows are laid side by side, of all columns at once.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pandas as pd
from typing_extensions import override

from aiops_assets.timeseries.series import Floats

MAX_WINDOW_VALUES = 4_000_000
"""So many values of windows are laid side by side at a time: 32 MB."""


class Rolling(Protocol):
    """Of (n_rows, n_columns) values, by column; what is NaN is not known."""

    def medians_before(self, values: Floats, rows: int) -> Floats:
        """(n_rows, n_columns) median of the known values of so many rows before each row."""

    def means(self, values: Floats, rows: int) -> Floats:
        """(n_rows, n_columns) mean of the known values of the last rows, each row's own among them."""

    def range_before(self, values: Floats, rows: int, least: int) -> tuple[Floats, Floats]:
        """Largest and smallest of the rows before each row; NaN where fewer than ``least`` are known."""


class AllRows(Rolling):
    """Of all rows."""

    @override
    def medians_before(self, values: Floats, rows: int) -> Floats:
        return pd.DataFrame(values).rolling(rows, min_periods=1).median().shift(1).to_numpy()

    @override
    def means(self, values: Floats, rows: int) -> Floats:
        return rolling_mean(values, rows)

    @override
    def range_before(self, values: Floats, rows: int, least: int) -> tuple[Floats, Floats]:
        earlier = pd.DataFrame(values).rolling(rows, min_periods=least)
        return earlier.max().shift(1).to_numpy(), earlier.min().shift(1).to_numpy()


@dataclass(frozen=True)
class FewRows(Rolling):
    """Of the rows from ``first`` on; NaN before."""

    first: int

    @override
    def medians_before(self, values: Floats, rows: int) -> Floats:
        found = np.full_like(values, np.nan)
        at_once = max(1, MAX_WINDOW_VALUES // max(1, (len(values) - self.first) * rows))
        for begin in range(0, values.shape[1], at_once):
            columns = slice(begin, begin + at_once)
            windows = _windows(values[:-1, columns], self.first - 1, rows)
            found[self.first :, columns] = _medians(np.ascontiguousarray(windows))
        return found

    @override
    def means(self, values: Floats, rows: int) -> Floats:
        windows = _windows(values, self.first, rows)
        known = np.isfinite(windows)
        count = known.sum(axis=-1)
        found = np.full_like(values, np.nan)
        total = np.where(known, windows, 0.0).sum(axis=-1)
        found[self.first :] = np.where(count > 0, total / np.maximum(count, 1), np.nan)
        return found

    @override
    def range_before(self, values: Floats, rows: int, least: int) -> tuple[Floats, Floats]:
        highest, lowest = np.full_like(values, np.nan), np.full_like(values, np.nan)
        for row in range(max(self.first, 1), len(values)):
            earlier = values[max(0, row - rows) : row]
            enough = np.isfinite(earlier).sum(axis=0) >= least
            highest[row] = np.where(enough, np.fmax.reduce(earlier, axis=0), np.nan)
            lowest[row] = np.where(enough, np.fmin.reduce(earlier, axis=0), np.nan)
        return highest, lowest


def rolling_mean(values: Floats, rows: int) -> Floats:
    """Mean of the known values of the last ``rows`` rows, along the first axis."""
    if rows <= 1 or not len(values):
        return values
    return pd.DataFrame(values).rolling(rows, min_periods=1).mean().to_numpy().reshape(values.shape)


def _windows(values: Floats, first: int, rows: int) -> Floats:
    """(n, n_columns, rows) the rows up to each row from ``first`` on; NaN before the first of all."""
    part = values[max(0, first - rows + 1) :]
    missing = len(values) - first + rows - 1 - len(part)
    if missing:
        part = np.concatenate([np.full((missing, values.shape[1]), np.nan), part])
    return np.lib.stride_tricks.sliding_window_view(part, rows, axis=0)


def _medians(windows: Floats) -> Floats:
    """(n, n_columns) medians of the known values along the last axis; NaN where none is. The argument is reordered."""
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
