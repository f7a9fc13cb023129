"""Labelled rows of a generated host, a row a minute: the fixture of tests, and training data where there are no others.

A seed gives the same rows everywhere: values are rounded to the digits that a measurement has, and dates are the
caller's.
"""

from datetime import UTC, date, datetime

import numpy as np
import pandas as pd

from aiops_assets.errors import DataError
from aiops_assets.hosts.metrics import (
    CPU,
    DISK,
    DISK_READ,
    DISK_WRITE,
    ERRORS,
    HOST_COLUMNS,
    HOST_METRICS,
    LABEL,
    MEMORY,
    MEMORY_MB,
    NORMAL,
    P50,
    P95,
    P99,
    REQUESTS,
)
from aiops_assets.hosts.scenarios import SCENARIOS, Columns, occurrences
from aiops_assets.timeseries.series import Floats

MINUTES_A_DAY = 1440
MAX_DAYS = 3660
END = date(2026, 1, 1)
"""The day before which generated rows end, where none is given: a seed has the same bytes on any day."""
MEMORY_TOTAL_MB = 8000.0
"""Memory of the generated host, MB: the guide's threshold of 7,000 MB is for such a machine."""
NOISE, MOST_NOISE = 0.05, 0.1
"""Standard deviation and largest size of noise, relative to a value."""
BUSY_BEGIN, BUSY_END, EDGE_MINUTES = 8 * 60, 18 * 60, 60.0
"""Minutes of a day between which people work, and how long they take to come and go."""
WEEKEND = 0.3
"""How busy a day of the weekend is beside a working day."""
DISK_STEP = 0.4
"""Percent by which a disk fills in a day, until files are removed at ``DISK_FULL``."""
DISK_EMPTY, DISK_FULL = 40.0, 60.0
LABELS = (NORMAL, *(scenario.label for scenario in SCENARIOS))


def generate_full_training_set(days: int, seed: int = 42, end: date | datetime = END) -> pd.DataFrame:
    """Rows of some days with all scenarios.

    85 % are normal, 7.5 % belong to CPU spikes, 4 % to memory leaks and 3.5 % to error storms, within half a point from
    seven days on; in a shorter history scenarios are shortened in proportion.

    Args:
        days: 1 to 3660; otherwise DataError.
        seed: of everything that is drawn.
        end: the rows end a minute before this time (UTC).

    Returns:
        ``days * 1440`` rows with a UTC index ``timestamp``, the 14 columns of ``HOST_COLUMNS`` (float64), and
        ``label`` (categorical).
    """
    if not 1 <= days <= MAX_DAYS:
        raise DataError(f"{days} days: give 1 to {MAX_DAYS}", code="out_of_range", days=days, most=MAX_DAYS)
    rows = days * MINUTES_A_DAY
    if not isinstance(end, datetime):
        end = datetime(end.year, end.month, end.day)
    end = end.replace(tzinfo=UTC) if end.tzinfo is None else end.astimezone(UTC)
    times = pd.date_range(end=pd.Timestamp(end) - pd.Timedelta(minutes=1), periods=rows, freq="1min", name="timestamp")
    rng = np.random.default_rng(seed)
    columns = _healthy(rng, times)
    labels = np.zeros(rows, dtype=np.int8)
    for found in occurrences(rng, rows):
        part = slice(found.begin, found.end)
        found.scenario.change(rng, {name: values[part] for name, values in columns.items()})
        labels[part] = LABELS.index(found.scenario.label)
    columns[MEMORY_MB.name] = columns[MEMORY.name] * (MEMORY_TOTAL_MB / 100)
    for metric in HOST_METRICS:
        if metric.minute_change_of:
            of = columns[metric.minute_change_of]
            columns[metric.name] = np.diff(of, prepend=of[0])
        else:
            np.clip(columns[metric.name], metric.low, metric.high, out=columns[metric.name])
        np.round(columns[metric.name], metric.decimals, out=columns[metric.name])
    frame = pd.DataFrame({name: columns[name] for name in HOST_COLUMNS}, index=times, copy=False)
    frame[LABEL] = pd.Categorical.from_codes(labels, dtype=pd.CategoricalDtype(list(LABELS)))
    return frame


def _healthy(rng: np.random.Generator, times: pd.DatetimeIndex) -> Columns:
    """Columns that are measured, without any incident."""
    activity = _activity(times)

    def noisy(expected: Floats) -> Floats:
        noise = rng.standard_normal(len(times))
        noise *= NOISE
        np.clip(noise, -MOST_NOISE, MOST_NOISE, out=noise)
        noise += 1.0
        noise *= expected
        return noise

    days = np.arange(len(times)) / MINUTES_A_DAY
    columns = {
        CPU.name: noisy(18 + 22 * activity),
        MEMORY.name: noisy(32 + 8 * activity),
        DISK.name: DISK_EMPTY + (DISK_STEP * days + rng.uniform(0, DISK_FULL - DISK_EMPTY)) % (DISK_FULL - DISK_EMPTY),
        DISK_READ.name: noisy(30 + 60 * activity),
        DISK_WRITE.name: noisy(20 + 50 * activity),
        REQUESTS.name: noisy(10 + 70 * activity),
        ERRORS.name: noisy(np.full(len(times), 0.01)),
        P50.name: noisy(60 + 30 * activity),
    }
    columns[P95.name] = noisy(3.0 * columns[P50.name])
    columns[P99.name] = columns[P95.name] * (1.3 + 0.4 * rng.random(len(times)))
    return columns


def _activity(times: pd.DatetimeIndex) -> Floats:
    """(n,) how busy people are, 0 to 1: in the hours of work, and less at the weekend."""
    # A week is made once and looked up.
    minute = np.arange(MINUTES_A_DAY)
    rise = np.clip((minute - BUSY_BEGIN) / EDGE_MINUTES, 0, 1)
    fall = np.clip((BUSY_END - minute) / EDGE_MINUTES, 0, 1)
    day = 0.1 + 0.9 * np.minimum(rise, fall)
    week = np.concatenate([day * (1.0 if weekday < 5 else WEEKEND) for weekday in range(7)])
    first = times[0].weekday() * MINUTES_A_DAY + times[0].hour * 60 + times[0].minute
    return np.asarray(week[(first + np.arange(len(times))) % len(week)], dtype=np.float64)
