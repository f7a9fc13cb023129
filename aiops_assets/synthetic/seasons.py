"""What repeats each day and week."""

import numpy as np

from aiops_assets.timeseries.series import Floats

DAY_MINUTES = 1440
WEEK_MINUTES = 7 * DAY_MINUTES
WEEKEND_HOURS = (-6, 8, 53, 57)
"""From Saturday's begin: demand falls from Friday 18:00 to Saturday 8:00, and rises on Monday from 5:00 to 9:00."""


def sine_table(period: int) -> Floats:
    """One period of a sine, (period,) float64, rounded to nine decimals.

    Sine differs between machines in the last bit, and so would every digest made of it. A test holds the
    entries away from the edges where rounding could fall either way.
    """
    return np.asarray(np.sin(2 * np.pi * np.arange(period) / period).round(9), dtype=np.float64)


def season(week: np.ndarray, peak: int, day: float, weekend: float) -> Floats:
    """(n,) about 1 on working days: a daily season that peaks at a minute of the day, and a share of it at weekends."""
    shifted = (week - peak + DAY_MINUTES // 4) % DAY_MINUTES
    half = DAY_MINUTES // 2
    shape = 1.0 + day * (sine_table(DAY_MINUTES)[shifted] + 0.2 * sine_table(half)[shifted % half])
    return np.asarray(shape * weekend_share(week, weekend), dtype=np.float64)


def weekend_share(week: np.ndarray, weekend: float) -> Floats:
    """(n,) 1 on working days, ``weekend`` from Saturday to Monday morning, and in between a slope."""
    saturday = 5 * DAY_MINUTES
    edges = [saturday + hour * 60 for hour in WEEKEND_HOURS]
    since_friday = (week - edges[0]) % WEEK_MINUTES + edges[0]
    return np.interp(since_friday, edges, [1.0, weekend, weekend, 1.0])
