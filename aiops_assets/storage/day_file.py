"""A day of a metric's samples as a matrix in memory, and the digest of its rows.

A day of 10,000 pods is 115 MB at a sample a minute. So nothing here holds more copies of it than the stored day, the
answer and their merger; what is computed beside goes by blocks of series.
"""

import hashlib
import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import numpy as np
import numpy.typing as npt
import pandas as pd

from aiops_assets.errors import SchemaError
from aiops_assets.timeseries.schema import DIGEST_BYTES
from aiops_assets.timeseries.series import DAY_SECONDS, EPOCH, Floats

TIMESTAMP = "timestamp"
MICROSECONDS = 1_000_000
BLOCK_VALUES = 131_072
SAME = 1e-12
"""Relative difference of values that count as equal: Prometheus' avg() of the same samples differs by a last bit from
one answer to the next."""


@dataclass(frozen=True)
class DaySamples:
    """The samples of a UTC day: series by name, each with a sample, at all instants of the day's grid.

    Attributes:
        begin: first instant of the grid, Unix microseconds.
        step: distance of two instants, microseconds.
        names: (n_series,) names of the series, sorted.
        values: (n_series, n_instants) float64; NaN where there is no sample.
    """

    begin: int
    step: int
    names: list[str]
    values: Floats

    @property
    def end(self) -> int:
        """The next midnight, Unix microseconds."""
        return self.begin + DAY_SECONDS * MICROSECONDS

    @property
    def instants(self) -> npt.NDArray[np.int64]:
        """(n_instants,) int64, the instants of the grid in Unix microseconds."""
        return self.begin + self.step * np.arange(self.values.shape[1])

    @property
    def covered(self) -> npt.NDArray[np.bool_]:
        """(n_instants,) bool, whether any series has a sample."""
        return np.asarray((~np.isnan(self.values)).any(axis=0))

    @property
    def digest(self) -> str:
        """Digest of the samples, 32 hex digits, as :func:`wide_digest` computes it."""
        return _digest(self.names, self.instants, self.values)

    @property
    def count(self) -> int:
        """Number of samples of all series."""
        return int(np.count_nonzero(~np.isnan(self.values)))

    def points_until(self, end: int) -> int:
        """Number of instants of the day before ``end`` (Unix microseconds)."""
        return max(0, (end - self.begin) // self.step)

    def updated(self, new: "DaySamples", *, replace: bool = False) -> "Update":
        """Both days' samples, where new ones replace stored ones.

        A value that differs by :data:`SAME` or less stays as stored: a server adds up series in any order.

        Args:
            new: samples of an answer, on the same grid.
            replace: at each instant at which the answer has any series it is the whole truth: stored samples that it
                lacks are removed there. Without it they stay.
        """
        if not self.names:
            return Update(new, 0, 0.0)
        names = sorted({*self.names, *new.names})
        values, answer = self._rows(names), new.values if new.names == names else new._rows(names)
        at = new.covered
        revised = before = lost = 0
        for rows in row_blocks(values):
            stored, found = values[rows], answer[rows]
            had, silent = ~np.isnan(stored), np.isnan(found)
            before += int(np.count_nonzero(had[:, at]))
            lost += int(np.count_nonzero((had & silent)[:, at]))
            same = silent | np.isclose(stored, found, rtol=SAME, atol=0.0)
            removed = had & silent & at if replace else np.zeros_like(had)
            revised += int(np.count_nonzero(had & ~same | removed))
            values[rows] = np.where(removed, np.nan, np.where(same, stored, found))
        merged = DaySamples(self.begin, self.step, names, values).without_empty()
        return Update(merged, revised, lost / before if before else 0.0)

    @classmethod
    def empty(cls, like: "DaySamples") -> "DaySamples":
        """The same grid without any series."""
        return cls(like.begin, like.step, [], np.empty((0, like.values.shape[1])))

    def without(self, names: Collection[str]) -> "DaySamples":
        """The samples of all series but these."""
        kept = [i for i, name in enumerate(self.names) if name not in names]
        return DaySamples(self.begin, self.step, [self.names[i] for i in kept], self.values[kept])

    def without_empty(self) -> "DaySamples":
        """The series that have a sample."""
        there = (~np.isnan(self.values)).any(axis=1)
        return self if there.all() else self.without({self.names[i] for i in np.flatnonzero(~there)})

    def _rows(self, names: list[str]) -> Floats:
        """(len(names), n_instants) of values, a row a name; NaN for a series that the day does not have."""
        place = {name: i for i, name in enumerate(names)}
        values = np.full((len(names), self.values.shape[1]), np.nan)
        values[[place[name] for name in self.names]] = self.values
        return values

    def to_wide(self) -> pd.DataFrame:
        """(instants, series): the index ``timestamp`` has the instants covered (UTC, us), the columns are the names."""
        index = pd.DatetimeIndex(self.instants[self.covered].view("M8[us]"), name=TIMESTAMP).tz_localize("UTC")
        return pd.DataFrame(self.values[:, self.covered].T, index=index, columns=pd.Index(self.names, dtype=str))


@dataclass(frozen=True)
class Update:
    """A day after new samples.

    Attributes:
        samples: the day's samples.
        revised: number of stored values that changed or were removed.
        lost: share (0 to 1) of stored samples that the answer lacks, at the instants at which it has any series.
    """

    samples: DaySamples
    revised: int
    lost: float


def from_wide(wide: pd.DataFrame, day: date, step_seconds: int) -> DaySamples:
    """The samples of a frame: an index of instants of the day's grid, one column per series, NaN for no sample.

    Raises:
        SchemaError: an instant is off the grid or occurs twice, or two series have the same name.
    """
    if not isinstance(wide.index, pd.DatetimeIndex) or wide.index.tz is None:
        raise SchemaError(f"{day}: a day's index must be times with a time zone, not {wide.index.dtype}")
    columns = names_of(wide)
    begin, step = begin_of(day), step_seconds * MICROSECONDS
    rows, rest = np.divmod(wide.index.as_unit("us").asi8 - begin, step)
    n_instants = DAY_SECONDS // step_seconds
    if rest.any() or (rows < 0).any() or (rows >= n_instants).any() or len(np.unique(rows)) < len(rows):
        raise SchemaError(f"{day}: instants are not on the day's grid of {step_seconds} s, each once")
    if len(set(columns)) < len(columns):
        raise SchemaError(f"{day}: two series have one name")
    found = wide.to_numpy(dtype=np.float64).T
    there = (~np.isnan(found)).any(axis=1)
    names = columns
    if not there.all() or columns != sorted(columns):
        kept = sorted(np.flatnonzero(there).tolist(), key=columns.__getitem__)
        found, names = found[kept], [columns[i] for i in kept]
    values = np.full((len(names), n_instants), np.nan)
    if len(rows) and rows[-1] - rows[0] == len(rows) - 1 and (rows[1:] > rows[:-1]).all():
        values[:, rows[0] : rows[-1] + 1] = found
    else:
        values[:, rows] = found
    return DaySamples(begin, step, names, values)


def names_of(wide: pd.DataFrame) -> list[str]:
    """Names of a frame's series. Taken at once: pandas makes Python objects of them one by one, which is slow."""
    return list(map(str, wide.columns.to_numpy(dtype=object)))


def wide_digest(wide: pd.DataFrame) -> str:
    """A digest of a wide frame's samples, not of file bytes: 32 hex digits.

    Args:
        wide: (instants, series) float64 with a UTC index; NaN: no sample.

    The order of columns and rows, instants and series without any sample, and the sign of zero do not change it.
    """
    order = np.argsort(wide.index.as_unit("us").asi8)  # type: ignore[attr-defined]
    names = sorted(map(str, wide.columns))
    values = wide.set_axis(wide.columns.map(str), axis=1)[names].to_numpy(dtype=np.float64).T[:, order]
    kept = ~np.isnan(values).all(axis=1)
    names = [name for name, keep in zip(names, kept, strict=True) if keep]
    return _digest(names, wide.index.as_unit("us").asi8[order], values[kept])  # type: ignore[attr-defined]


def row_blocks(values: Floats) -> Iterator[slice]:
    """Slices of series of some 100,000 values each: what is computed of a block is small beside the day itself."""
    size = max(1, BLOCK_VALUES // max(1, values.shape[1]))
    for first in range(0, len(values), size):
        yield slice(first, first + size)


def begin_of(day: date) -> int:
    """The day's first instant, Unix microseconds."""
    return microseconds(datetime(day.year, day.month, day.day, tzinfo=UTC))


def microseconds(time: datetime) -> int:
    """Unix microseconds. Raises ValueError for a time without a time zone."""
    if time.tzinfo is None:
        raise ValueError(f"{time}: give a time with a time zone")
    return (time - EPOCH) // timedelta(microseconds=1)


def time_at(unix_microseconds: int) -> datetime:
    """The UTC time of a number of Unix microseconds."""
    return EPOCH + timedelta(microseconds=unix_microseconds)


def _digest(names: list[str], instants: npt.NDArray[np.int64], values: Floats) -> str:
    """Digest of (n_series, n_instants) values: series sorted by name, each with a sample; ascending instants in us."""
    there = ~np.isnan(values)
    counts = np.count_nonzero(there, axis=1)
    digest = hashlib.blake2b(json.dumps(names).encode(), digest_size=DIGEST_BYTES)
    digest.update(counts.astype("<i8").tobytes())
    times = instants.astype("<i8")
    for rows in row_blocks(values):
        shape = values[rows].shape
        gapless = (counts[rows] == len(times)).all()
        found = np.tile(times, shape[0]) if gapless else np.broadcast_to(times, shape)[there[rows]]
        digest.update(found.data)
    for rows in row_blocks(values):
        gapless = (counts[rows] == len(times)).all()
        # Adding zero makes -0.0 and 0.0 the same bytes, as they are the same number.
        numbers = (values[rows].ravel() if gapless else values[rows][there[rows]]) + 0.0
        digest.update(numbers.astype("<f8", copy=False).data)
    return digest.hexdigest()
