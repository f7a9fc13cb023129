"""A day of a metric's samples: as a matrix in memory, as rows in a Parquet file, and the digest of its rows.

Rows never become Python objects: 1,000 series of 288 samples are encoded or decoded in some 20 ms.
"""

import hashlib
import json
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from aiops_assets.errors import IntegrityError, SchemaError
from aiops_assets.timeseries.completeness import lost_since
from aiops_assets.timeseries.schema import DIGEST_BYTES
from aiops_assets.timeseries.series import DAY_SECONDS, EPOCH, Floats

METADATA_KEY, CHECKSUM_KEY = b"aiops", b"aiops_checksum"
LONG_COLUMNS = ["timestamp", "series", "value"]
TIME = pa.timestamp("us", "UTC")
MICROSECONDS = 1_000_000
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
        names = sorted({*self.names, *new.names})
        stored, answer = self._rows(names), new._rows(names)
        same = np.isnan(answer) | np.isclose(stored, answer, rtol=SAME, atol=0.0)
        values = np.where(same, stored, answer)
        if replace:
            values[:, new.covered] = np.where(np.isnan(answer), np.nan, values)[:, new.covered]
        changed = ~np.isnan(stored) & (np.isnan(values) | ~same)
        merged = DaySamples(self.begin, self.step, names, values).without_empty()
        return Update(merged, int(np.count_nonzero(changed)), lost_since(stored, answer))

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
        index = pd.DatetimeIndex(self.instants[self.covered].view("M8[us]"), name=LONG_COLUMNS[0]).tz_localize("UTC")
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
    columns = [str(name) for name in wide.columns]
    begin, step = begin_of(day), step_seconds * MICROSECONDS
    rows, rest = np.divmod(wide.index.as_unit("us").asi8 - begin, step)
    n_instants = DAY_SECONDS // step_seconds
    if rest.any() or (rows < 0).any() or (rows >= n_instants).any() or len(np.unique(rows)) < len(rows):
        raise SchemaError(f"{day}: instants are not on the day's grid of {step_seconds} s, each once")
    if len(set(columns)) < len(columns):
        raise SchemaError(f"{day}: two series have one name")
    found = wide.to_numpy(dtype=np.float64).T
    there = (~np.isnan(found)).any(axis=1)
    kept = sorted(np.flatnonzero(there).tolist(), key=columns.__getitem__)
    values = np.full((len(kept), n_instants), np.nan)
    values[:, rows] = found[kept]
    return DaySamples(begin, step, [columns[i] for i in kept], values)


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


def encode(day: DaySamples, metadata: bytes) -> bytes:
    """A Parquet file of rows (timestamp, series, value), ordered by series and time, with metadata of the caller."""
    series, rows = np.nonzero(~np.isnan(day.values))
    columns = [
        pa.array(day.begin + day.step * rows).cast(TIME),
        pa.DictionaryArray.from_arrays(pa.array(series.astype(np.int32)), pa.array(day.names, pa.string())),
        pa.array(day.values[series, rows]),
    ]
    table = pa.table(columns, names=LONG_COLUMNS)
    sink = pa.BufferOutputStream()
    # Values hardly repeat: a dictionary of them costs time and gains nothing.
    with pq.ParquetWriter(
        sink,
        table.schema,
        compression="zstd",
        use_dictionary=LONG_COLUMNS[:2],
        store_schema=False,
        write_page_checksum=True,
    ) as writer:
        writer.write_table(table, row_group_size=max(1, len(table)))
        writer.add_key_value_metadata({METADATA_KEY: metadata, CHECKSUM_KEY: _checksum(metadata)})
    data: bytes = sink.getvalue().to_pybytes()
    return data


def decode(data: bytes, day: date, step_seconds: int) -> DaySamples:
    """The samples of a file that :func:`encode` wrote.

    Raises:
        IntegrityError: the file is damaged. The message says how; the caller adds which file.
    """
    with _damage():
        return _from_long(_open(data).read(), day, step_seconds)


def decode_metadata(data: bytes) -> bytes:
    """The metadata that :func:`encode` was given, without reading the samples. Raises IntegrityError if damaged."""
    with _damage():
        return _metadata(_open(data))


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


@contextmanager
def _damage() -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
        raise IntegrityError(f"{type(error).__name__} while reading") from None


def _open(data: bytes) -> pq.ParquetFile:
    return pq.ParquetFile(pa.BufferReader(data), read_dictionary=LONG_COLUMNS[1:2], page_checksum_verification=True)


def _metadata(file: pq.ParquetFile) -> bytes:
    """The caller's metadata; raises KeyError or ValueError where it is missing or its checksum differs."""
    stored = file.metadata.metadata or {}
    metadata: bytes = stored[METADATA_KEY]
    if _checksum(metadata).encode() != stored[CHECKSUM_KEY]:
        raise ValueError("changed metadata")
    return metadata


def _checksum(metadata: bytes) -> str:
    """A checksum of metadata: Parquet has checksums of pages only."""
    return hashlib.blake2b(metadata, digest_size=DIGEST_BYTES).hexdigest()


def _from_long(table: pa.Table, day: date, step_seconds: int) -> DaySamples:
    """The matrix of the rows of a file; raises ValueError for rows that are not on the day's grid."""
    if table.column_names != LONG_COLUMNS or any(column.null_count for column in table.columns):
        raise ValueError("other columns")
    times, series, value = (column.combine_chunks() for column in table.unify_dictionaries().columns)
    names: list[str] = series.dictionary.to_pylist()
    begin, step = begin_of(day), step_seconds * MICROSECONDS
    rows, rest = np.divmod(times.cast(TIME).cast(pa.int64()).to_numpy() - begin, step)
    n_instants = DAY_SECONDS // step_seconds
    if rest.any() or (len(rows) and not 0 <= rows.min() <= rows.max() < n_instants) or names != sorted(set(names)):
        raise ValueError("rows off the grid or out of order")
    values = np.full((len(names), n_instants), np.nan)
    values[series.indices.to_numpy(), rows] = value.to_numpy()
    return DaySamples(begin, step, names, values)


def _digest(names: list[str], instants: npt.NDArray[np.int64], values: Floats) -> str:
    """Digest of (n_series, n_instants) values: series sorted by name, each with a sample; ascending instants in us."""
    there = ~np.isnan(values)
    digest = hashlib.blake2b(json.dumps(names).encode(), digest_size=DIGEST_BYTES)
    digest.update(there.sum(axis=1).astype("<i8").tobytes())
    digest.update(np.broadcast_to(instants.astype("<i8"), values.shape)[there].tobytes())
    # Adding zero makes -0.0 and 0.0 the same bytes, as they are the same number.
    digest.update((values[there] + 0.0).astype("<f8", copy=False).tobytes())
    return digest.hexdigest()
