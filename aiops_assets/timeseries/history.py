"""The history that a forecast is made from: metrics on a regular grid, the mean of each step, gaps filled and noted."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from aiops_assets.errors import DataError
from aiops_assets.timeseries.frames import cadence, numeric_columns
from aiops_assets.timeseries.series import DAY_SECONDS, Floats

STEP_SECONDS = 300
"""ADR-052 forecasts in steps of five minutes; finer samples are averaged."""
MIN_ROWS = 10
"""An hour of five-minute steps, whose first and last one may be incomplete."""
MAX_DAYS = 60
"""Older days are left out: they say little of the next one."""


@dataclass(frozen=True)
class History:
    """Metrics up to a forecast origin.

    Attributes:
        metrics: names, in the order of the columns.
        times: (n,) begin of each step, UTC, regular.
        values: (n, n_metrics) float64, finite; where no sample was, what lies between the neighbours.
        known: (n, n_metrics) whether there was a sample.
        step_seconds: distance of the rows.
    """

    metrics: tuple[str, ...]
    times: pd.DatetimeIndex
    values: Floats
    known: npt.NDArray[np.bool_]
    step_seconds: int

    def steps(self, hours: float) -> int:
        """How many rows a time span is; at least one."""
        return max(1, round(hours * 3600 / self.step_seconds))

    @property
    def begin(self) -> int:
        """Position of the first row in its UTC day, from 0."""
        return int(self.times[0].timestamp()) % DAY_SECONDS // self.step_seconds

    def until(self, rows: int) -> "History":
        """The first rows alone: what was known then, with gaps at the end filled by what was last known."""
        known = self.known[:rows]
        values = pd.DataFrame(self.values[:rows]).where(known).interpolate(limit_direction="both").fillna(0.0)
        return History(self.metrics, self.times[:rows], values.to_numpy(), known, self.step_seconds)

    def newest(self, rows: int) -> "History":
        """The last rows alone."""
        return History(self.metrics, self.times[-rows:], self.values[-rows:], self.known[-rows:], self.step_seconds)

    def sampled(self, step_seconds: int, phase: int = 0) -> "History":
        """One row of each longer step as it is, the newest of them ``phase`` rows before the last one."""
        every = step_seconds // self.step_seconds
        rows = slice((len(self.times) - 1 - phase) % every, len(self.times) - phase, every)
        times = pd.date_range(
            self.times[rows][0], periods=len(self.times[rows]), freq=f"{step_seconds}s", name="timestamp"
        )
        return History(self.metrics, times, self.values[rows], self.known[rows], step_seconds)

    def after(self, horizon: int) -> pd.DatetimeIndex:
        """The begins of the next ``horizon`` steps."""
        return pd.date_range(self.times[-1], periods=horizon + 1, freq=self.times.freq, name="timestamp")[1:]


def history_of(frame: pd.DataFrame, step_seconds: int | None = None) -> History:
    """Put a frame on the grid of a forecast.

    Args:
        frame: ``timestamp`` (UTC) and numeric columns, in any order of rows; repeated times are averaged.
        step_seconds: step of the grid; five minutes by default, or the frame's own cadence where that is longer.

    Returns:
        the newest :data:`MAX_DAYS` at most; metrics without a single sample are left out.

    Raises:
        DataError: fewer than :data:`MIN_ROWS` steps with a sample, or no metric at all.
        SchemaError: a column holds no numbers.
    """
    columns = tuple(name for name in frame.columns if name != "timestamp")
    times = frame["timestamp"].sort_values()
    step = step_seconds or max(STEP_SECONDS, cadence(times))
    values = pd.DataFrame(numeric_columns(frame, columns), columns=list(columns))
    begins = pd.DatetimeIndex(frame["timestamp"]).floor(f"{step}s").rename("timestamp")
    newest = begins.max() - pd.Timedelta(days=MAX_DAYS)
    values = values[begins > newest].groupby(begins[begins > newest]).mean()
    values = values.dropna(axis="columns", how="all").asfreq(f"{step}s")
    if values.empty:
        raise DataError("no metric has a sample: there is nothing to forecast", code="no_sample")
    known = values.notna()
    short = known.sum().idxmin()
    if known[short].sum() < MIN_ROWS:
        raise DataError(
            f"column {short!r} has {int(known[short].sum())} steps of {step} s with a sample: a forecast needs "
            f"{MIN_ROWS}, bring a longer history or drop the column",
            code="too_few_steps",
            column=short,
            steps=int(known[short].sum()),
            least=MIN_ROWS,
        )
    filled = values.interpolate(limit_direction="both")
    return History(tuple(values.columns), pd.DatetimeIndex(values.index), filled.to_numpy(), known.to_numpy(), step)


def steps_a_day(step_seconds: int) -> int:
    """How many rows a day is."""
    return max(1, DAY_SECONDS // step_seconds)
