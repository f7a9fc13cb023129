"""Any numeric series on a regular grid: gaps become empty rows, repeated and unsorted time stamps find their place."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from aiops_assets.errors import DataError, SchemaError
from aiops_assets.timeseries.series import DAY_SECONDS, Floats

LEAST_STEP_SECONDS, MOST_STEP_SECONDS = 10, 3600
MOST_COLUMNS = 1000
LIMIT = 1e30
"""Far beyond any unit; its square is still a number."""
MOST_EMPTY_SHARE = 2.0
"""Empty rows that gaps may bring in, as a multiple of the rows so far; beyond that a gap counts as one step."""


@dataclass(frozen=True)
class Grid:
    """A series on the grid of its cadence.

    Attributes:
        values: (n_grid, n_columns) float64; NaN where no sample is.
        position: (n_rows,) the grid row of each row of the frame that the grid was made of.
        step_seconds: distance of grid rows.
    """

    values: Floats
    position: npt.NDArray[np.int64]
    step_seconds: int

    def rows(self, hours: float, least: int = 1) -> int:
        """How many grid rows a time span is."""
        return max(least, round(hours * 3600 / self.step_seconds))


def numeric_columns(frame: pd.DataFrame, columns: tuple[str, ...]) -> Floats:
    """The columns as (n_rows, n_columns) float64, infinities as NaN, bounded by :data:`LIMIT`.

    Raises:
        SchemaError: a column is missing, or holds no numbers.
    """
    missing = [name for name in columns if name not in frame.columns]
    if missing:
        raise SchemaError(f"column {missing[0]} is missing: the detector was fitted on {len(columns)} columns")
    for name in columns:
        if not (pd.api.types.is_numeric_dtype(frame[name]) or pd.api.types.is_bool_dtype(frame[name])):
            raise SchemaError(f"column {name} holds {frame[name].dtype}, not numbers: drop it or convert it")
    values: Floats = frame[list(columns)].to_numpy(dtype=np.float64, na_value=np.nan, copy=True)
    values[~np.isfinite(values)] = np.nan
    return np.clip(values, -LIMIT, LIMIT)


def cadence(times: pd.Series, default: int | None = None) -> int:
    """The usual distance of samples in whole seconds.

    Raises:
        DataError: fewer than two distinct times and no default, or a cadence outside 10 s to 1 h.
    """
    steps = np.diff(np.unique(_seconds(times)))
    if not len(steps):
        if default is not None:
            return default
        raise DataError("fewer than two distinct time stamps: a series needs a cadence")
    step = round(float(np.median(steps)))
    if not LEAST_STEP_SECONDS <= step <= MOST_STEP_SECONDS:
        raise DataError(f"the samples are {step} s apart: from {LEAST_STEP_SECONDS} s to 1 h is supported, resample it")
    return step


def on_grid(frame: pd.DataFrame, columns: tuple[str, ...], step_seconds: int) -> Grid:
    """Put the rows of a frame on a regular grid, in frame order.

    Rows are expected in order of time; where time goes back (a second stretch that is older, say) or jumps by
    more than a day, the stretches are joined so that the time of day fits. Of rows at one instant the last counts.

    Raises:
        SchemaError: a column is missing, or holds no numbers.
    """
    values = numeric_columns(frame, columns)
    seconds = _seconds(frame["timestamp"])
    day = DAY_SECONDS // step_seconds
    steps = np.rint(np.diff(seconds) / step_seconds).astype(np.int64)
    far = (steps < 0) | (steps > day)
    steps = np.where(far, np.maximum(steps % day, 1), steps)
    left = float(day)
    for i in np.flatnonzero(steps > 1):  # row by row, so that what comes later changes nothing before
        if steps[i] - 1 > left + MOST_EMPTY_SHARE * i:
            steps[i] = 1
        left -= steps[i] - 1
    position = np.concatenate([np.zeros(min(1, len(frame)), dtype=np.int64), np.cumsum(steps)])
    grid = np.full((int(position[-1]) + 1 if len(position) else 0, len(columns)), np.nan)
    grid[position] = values  # of repeated positions the last one is kept
    return Grid(grid, position, step_seconds)


def _seconds(times: pd.Series) -> Floats:
    return times.to_numpy(dtype="datetime64[us]").astype(np.int64) / 1e6
