"""Any numeric series on a regular grid: gaps become empty rows, repeated and unsorted time stamps find their place."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from aiops_assets.errors import DataError, SchemaError
from aiops_assets.timeseries.series import DAY_SECONDS, Floats

MIN_STEP_SECONDS, MAX_STEP_SECONDS = 10, 3600
COMMON_STEPS_SECONDS = (10, 15, 20, 30, 60, 120, 180, 300, 600, 900, 1200, 1800, 3600)
SNAP_SHARE, STEP_TOLERANCE = 0.02, 0.05
LIMIT = 1e30
"""Values are cut here, far above those of any unit: the square of a larger one might not be finite."""
MAX_EMPTY_SHARE = 2.0
"""Empty rows that gaps may bring in, as a multiple of the rows so far; above that a gap counts as one step."""


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


def cadence(times: pd.Series) -> int:
    """The median distance of samples in seconds, in the order given; steps back and repeated times do not count.

    Scrapes jitter: a median within two percent of one of :data:`COMMON_STEPS_SECONDS` is taken for that one.

    Raises:
        DataError: fewer than two distinct times, or a cadence outside 10 s to 1 h.
    """
    steps = _steps(times)
    if not len(steps):
        raise DataError("fewer than two distinct time stamps: a series needs a cadence, export a longer range")
    median = float(np.median(steps))
    common = min(COMMON_STEPS_SECONDS, key=lambda step: abs(step - median))
    step = common if abs(common - median) <= SNAP_SHARE * common else round(median)
    if not supported(step):
        raise DataError(
            f"the samples are {step} s apart: from {MIN_STEP_SECONDS} s to 1 h is supported, resample it",
            code="bad_cadence",
            step=step,
        )
    return step


def supported(step_seconds: float) -> bool:
    """Whether a cadence is one that detectors take; scrapes jitter: a median of 9.9 s is a cadence of 10 s."""
    lowest, highest = MIN_STEP_SECONDS * (1 - STEP_TOLERANCE), MAX_STEP_SECONDS * (1 + STEP_TOLERANCE)
    return lowest <= step_seconds <= highest


def fits(times: pd.Series, step_seconds: int) -> bool:
    """Whether samples can be of that cadence: not all nearer, and not all farther apart."""
    steps = _steps(times)
    if not len(steps):
        return True
    near, far = np.quantile(steps, [0.1, 0.9])
    return bool(near <= 1.25 * step_seconds and far >= 0.8 * step_seconds)


def on_grid(frame: pd.DataFrame, columns: tuple[str, ...], step_seconds: int) -> Grid:
    """Put the rows of a frame on a regular grid, in frame order.

    Rows are expected in order of time; where time goes back (a second stretch that is older, say) or jumps by
    more than a day, the stretches are joined so that the time of day fits. Of rows at one instant the last
    value of each column counts (exports of two metrics below each other, say); rows that are nearer than the cadence
    take the next places, so that none speaks for an earlier one.

    Raises:
        SchemaError: a column is missing, or holds no numbers.
    """
    values = numeric_columns(frame, columns)
    position = _positions(_seconds(frame["timestamp"]), step_seconds)
    grid = np.full((int(position[-1]) + 1 if len(position) else 0, len(columns)), np.nan)
    places = np.unique(position)
    if len(places) < len(position):
        values = pd.DataFrame(values).groupby(position).last().to_numpy(dtype=np.float64)  # the last that is not NaN
    grid[places] = values
    return Grid(grid, position, step_seconds)


def _positions(seconds: Floats, step: int) -> npt.NDArray[np.int64]:
    """The grid row of each row; what comes later changes nothing before."""
    day = DAY_SECONDS // step
    position = np.zeros(len(seconds), dtype=np.int64)
    place, origin, begin = 0, 0, 0.0  # the last place taken; where the stretch begins, as a place and in seconds
    spare = float(day)  # empty rows that gaps may still bring in
    for i, now in enumerate(seconds):
        if i == 0:
            begin = now
        elif now != seconds[i - 1]:
            natural = origin + round((now - begin) / step)
            far = now < seconds[i - 1] or now - seconds[i - 1] > DAY_SECONDS
            if far:
                natural = place + max(round((now - seconds[i - 1]) / step) % day, 1)
            following = max(natural, place + 1)
            if following - place - 1 > spare + MAX_EMPTY_SHARE * i:
                following, far = place + 1, True
            spare -= following - place - 1
            if far:
                origin, begin = following, now
            place = following
        position[i] = place
    return position


def _steps(times: pd.Series) -> Floats:
    steps = np.diff(_seconds(times))
    return steps[steps > 0]


def _seconds(times: pd.Series) -> Floats:
    return times.to_numpy(dtype="datetime64[us]").astype(np.int64) / 1e6
