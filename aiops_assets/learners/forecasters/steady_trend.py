"""The steady trend of a metric: a disk that fills, a counter that counts.

A series with a trend is modelled as a straight line and what remains. The line is taken only where it is plain: most
series wander, and a line through a wandering series forecasts worse than none.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd

from aiops_assets.learners.contracts import Flags
from aiops_assets.timeseries.series import DAY_SECONDS, Floats

WINDOW_DAYS = (14, 10, 7, 5, 3.5, 2.5)
"""The trend is that of the longest of these newest spans that has one, or of a whole history that is shorter than the
first. In two days a ramp is not told from a shift."""
SMOOTH_HOURS = 6
STEADY = 0.25
"""A trend is steady where differences from day to day lie around their median with this share of their size."""
STRAIGHT = 1e-9
"""What remains of a straight line, as a share of its rise, is rounding."""
NO_WIDTH = 1e-6
"""An interval around a trend is as wide as this share of a day's rise, at least, to each side."""


@dataclass(frozen=True)
class SteadyTrend:
    """A straight line.

    Attributes:
        a_day: how much it rises a day, in the metric's unit; 0: there is no trend.
        since: Unix seconds up to which it is 0.
    """

    a_day: float = 0.0
    since: float = 0.0

    @classmethod
    def of(cls, times: pd.DatetimeIndex, values: Floats, known: Flags, day: int) -> Self:
        """The trend of a metric: the median difference from day to day, in which neither season nor shift counts.

        Args:
            times: (n,) begins of steps, regular.
            values: (n,) finite.
            known: (n,) whether there was a sample.
            day: rows of a day.
        """
        change = _day_to_day(values, known, day)
        for rows in sorted({min(round(days * day), len(values)) for days in WINDOW_DAYS}, reverse=True):
            newest = change[-(rows - day) :]
            if rows < WINDOW_DAYS[-1] * day or len(newest) < rows - day:
                continue
            rise = float(np.median(newest))
            if rise and _is_steady(newest, rise):
                return cls(rise, times[-rows].timestamp())
        return cls()

    def goes_on(self, values: Floats, known: Flags, day: int) -> bool:
        """Whether the newest days of a later history still rise so; also where there is no trend, or too few rows."""
        if not self.a_day:
            return True
        rows = round(WINDOW_DAYS[-1] * day)
        newest = _day_to_day(values[-rows:], known[-rows:], day)
        return len(newest) < rows - day or _is_steady(newest, self.a_day)

    @property
    def least_width(self) -> float:
        """How wide an interval around it is at least, to each side: more than rounding does to a straight line."""
        return NO_WIDTH * abs(self.a_day)

    def line(self, times: pd.DatetimeIndex) -> Floats:
        """(n,) the line at these times."""
        seconds = (times - pd.Timestamp(self.since, unit="s", tz="UTC")).total_seconds().to_numpy(dtype=np.float64)
        line: Floats = np.maximum(seconds, 0.0) / DAY_SECONDS * self.a_day
        return line

    def less(self, times: pd.DatetimeIndex, values: Floats) -> Floats:
        """(n,) values less the line; all alike where they are the line itself."""
        if not self.a_day:
            return values
        left = values - self.line(times)
        return np.full_like(left, left[-1]) if np.ptp(left) <= STRAIGHT * np.ptp(values) else left


def _day_to_day(values: Floats, known: Flags, day: int) -> Floats:
    """Differences of smoothed values from day to day, between rows with samples, (at most n - day,)."""
    smooth = pd.Series(values).rolling(max(1, round(SMOOTH_HOURS * day / 24)), min_periods=1).median().to_numpy()
    change: Floats = (smooth[day:] - smooth[:-day])[known[day:] & known[:-day]]
    return change


def _is_steady(change: Floats, rise: float) -> bool:
    return bool(np.abs(change - rise).mean() <= STEADY * np.abs(change).mean())
