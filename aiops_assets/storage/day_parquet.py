"""A day of a metric's samples as a Parquet file: rows (timestamp, series, value), ordered by series and time.

Rows never become Python objects, and never are there all at once: a row group holds a block of series, so that a few
series of ten thousand are read without the others. Files of earlier releases have a single row group, and are read too.

What is checked, and when:

- A whole day that is read: the checksum of each page, and the digest of its rows (the caller).
- Some series, or how many samples each has: the *seal*, a digest of the whole file that stands in its footer, and the
  checksums of the pages that are read. Files of earlier releases have no seal; of them the whole day is read.
- The metadata alone: their own checksum.
"""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from aiops_assets.errors import IntegrityError
from aiops_assets.storage.day_file import MICROSECONDS, TIMESTAMP, DaySamples, begin_of, row_blocks
from aiops_assets.timeseries.schema import DIGEST_BYTES
from aiops_assets.timeseries.series import DAY_SECONDS

METADATA_KEY, CHECKSUM_KEY, SEAL_KEY = b"aiops", b"aiops_checksum", b"aiops_seal_of_the_file"
NO_SEAL = b"0" * 2 * DIGEST_BYTES
"""Stands in the place of the seal while the seal is computed."""
COLUMNS = [TIMESTAMP, "series", "value"]
TIME = pa.timestamp("us", "UTC")
# No row lacks anything. Where that is said, the writer need not look for it.
SCHEMA = pa.schema(
    [
        pa.field(COLUMNS[0], TIME, nullable=False),
        pa.field(COLUMNS[1], pa.dictionary(pa.int32(), pa.string()), nullable=False),
        pa.field(COLUMNS[2], pa.float64(), nullable=False),
    ]
)


def encode(day: DaySamples, metadata: bytes) -> bytes:
    """The file of a day, with metadata of the caller, sealed."""
    sink = pa.BufferOutputStream()
    # Values hardly repeat: a dictionary of them costs time and gains nothing.
    with pq.ParquetWriter(
        sink,
        SCHEMA,
        compression="zstd",
        use_dictionary=COLUMNS[:2],
        # Names of series ascend; their least and greatest would take a fifth of the writer's time.
        write_statistics=[TIMESTAMP, "value"],
        store_schema=False,
        write_page_checksum=True,
    ) as writer:
        for rows in row_blocks(day.values):
            block = _block(day, rows)
            writer.write_table(block, row_group_size=max(1, len(block)))
        writer.add_key_value_metadata({METADATA_KEY: metadata, CHECKSUM_KEY: _checksum(metadata), SEAL_KEY: NO_SEAL})
    return _sealed(sink.getvalue())


def decode(data: bytes, day: date, step_seconds: int, wanted: Callable[[str], bool] | None = None) -> DaySamples:
    """The samples of a file that :func:`encode` wrote, of all series or only of those whose names are wanted.

    Raises:
        IntegrityError: the file is damaged. The message says how; the caller adds which file.
    """
    with _damage():
        file = _open(data)
        groups = [[name for name in names if wanted is None or wanted(name)] for names, _ in _series(file)]
        names = [name for group in groups for name in group]
        begin, step = begin_of(day), step_seconds * MICROSECONDS
        samples = DaySamples(begin, step, names, np.full((len(names), DAY_SECONDS // step_seconds), np.nan))
        first = 0
        for i, group in enumerate(groups):
            if group:
                _fill(samples, file.read_row_group(i, use_threads=False), first, group)
            first += len(group)
        return samples


def decode_blocks(data: bytes, day: date, step_seconds: int, wanted: Callable[[str], bool]) -> Iterator[DaySamples]:
    """The same as :func:`decode`, some series at a time, in order of name: a day of thousands is never there at once.

    Raises:
        IntegrityError: see :func:`decode`; before the block that is damaged, others may have been given.
    """
    with _damage():
        file = _open(data)
        last = ""
        for i in range(file.num_row_groups):
            table = file.read_row_group(i, use_threads=False)
            if table.column_names != COLUMNS:
                raise ValueError("other columns")
            names, _ = _names(table.column(1))
            if names != sorted(set(names)) or (names and last and names[0] <= last):
                raise ValueError("series out of order")
            last = names[-1] if names else last
            if group := [name for name in names if wanted(name)]:
                values = np.full((len(group), DAY_SECONDS // step_seconds), np.nan)
                samples = DaySamples(begin_of(day), step_seconds * MICROSECONDS, group, values)
                _fill(samples, table, 0, group)
                yield samples


def count_samples(data: bytes) -> dict[str, int]:
    """Name of each series of a file -> number of its samples; values and times are not read.

    Raises:
        IntegrityError: see :func:`decode`.
    """
    with _damage():
        found: dict[str, int] = {}
        for names, indices in _series(_open(data)):
            found |= zip(names, np.bincount(indices, minlength=len(names)).tolist(), strict=True)
        return found


def decode_metadata(data: bytes) -> bytes:
    """The metadata that :func:`encode` was given, without reading the samples. Raises IntegrityError if damaged."""
    with _damage():
        return _metadata(_open(data))


def is_sealed(data: bytes) -> bool:
    """Whether a file has a seal, which then is right; files of earlier releases have none.

    Raises:
        IntegrityError: a byte of the file differs from what was written.
    """
    at = _place_of_seal(memoryview(data))
    seal = bytes(data[at : at + len(NO_SEAL)])
    if at < 0 or seal == NO_SEAL:
        return False
    if _seal(memoryview(data), at) != seal:
        raise IntegrityError("its bytes differ from what was written", code="broken_seal")
    return True


def seal_of(data: bytes) -> str:
    """The digest of a file that stands in it as its seal, or else is computed; whether it is right is not checked."""
    at = _place_of_seal(memoryview(data))
    seal = bytes(data[at : at + len(NO_SEAL)])
    if at < 0 or seal == NO_SEAL:
        return hashlib.blake2b(data, digest_size=DIGEST_BYTES).hexdigest()
    return seal.decode("ascii", "replace")


def _sealed(buffer: pa.Buffer) -> bytes:
    """The content of a file with its seal; without one where it has no place for it."""
    data = memoryview(buffer)
    at = _place_of_seal(data)
    if at < 0 or data[at : at + len(NO_SEAL)] != NO_SEAL:
        return bytes(data)
    return b"".join([data[:at], _seal(data, at), data[at + len(NO_SEAL) :]])


def _place_of_seal(data: memoryview) -> int:
    """Position of the seal; -1: there is none. It is found in the footer, whose length stands at the file's end."""
    footer = max(0, len(data) - 8 - int.from_bytes(data[-8:-4], "little"))
    found = bytes(data[footer:]).rfind(SEAL_KEY)
    # In between are the type and the length of the value (Thrift's compact protocol), a byte each.
    return footer + found + len(SEAL_KEY) + 2 if found >= 0 else -1


def _seal(data: memoryview, at: int) -> bytes:
    """A digest of a file, as if it had no seal yet."""
    digest = hashlib.blake2b(data[:at], digest_size=DIGEST_BYTES)
    digest.update(NO_SEAL)
    digest.update(data[at + len(NO_SEAL) :])
    return digest.hexdigest().encode()


def _block(day: DaySamples, rows: slice) -> pa.Table:
    """The rows of some series."""
    names, values = day.names[rows], day.values[rows]
    there = ~np.isnan(values)
    place = np.arange(len(names), dtype=np.int32)
    if there.all():
        series, times, found = np.repeat(place, values.shape[1]), np.tile(day.instants, len(names)), values.ravel()
    else:
        series = np.repeat(place, np.count_nonzero(there, axis=1))
        times, found = np.broadcast_to(day.instants, values.shape)[there], values[there]
    return pa.table(
        [
            pa.array(times).view(TIME),
            pa.DictionaryArray.from_arrays(pa.array(series), pa.array(names, pa.string())),
            pa.array(found),
        ],
        schema=SCHEMA,
    )


@contextmanager
def _damage() -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
        raise IntegrityError(f"{type(error).__name__} while reading") from None


def _open(data: bytes) -> pq.ParquetFile:
    return pq.ParquetFile(pa.BufferReader(data), read_dictionary=COLUMNS[1:2], page_checksum_verification=True)


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


def _series(file: pq.ParquetFile) -> list[tuple[list[str], "np.ndarray[tuple[int], np.dtype[np.int32]]"]]:
    """Names of each row group's series, and the series of each of its rows; names must ascend."""
    if file.schema_arrow.names != COLUMNS:
        raise ValueError("other columns")
    found = []
    last: str | None = None
    for i in range(file.num_row_groups):
        names, indices = _names(file.read_row_group(i, columns=COLUMNS[1:2], use_threads=False).column(0))
        if names != sorted(set(names)) or (names and last is not None and names[0] <= last):
            raise ValueError("series out of order")
        last = names[-1] if names else last
        found.append((names, indices))
    return found


def _names(column: pa.ChunkedArray) -> tuple[list[str], "np.ndarray[tuple[int], np.dtype[np.int32]]"]:
    """Names of series, and for each row the position of its name. A long dictionary comes in several parts."""
    if column.null_count:
        raise ValueError("rows without a series")
    encoded = column.unify_dictionaries().combine_chunks()
    return encoded.dictionary.to_pylist(), encoded.indices.to_numpy()


def _fill(day: DaySamples, table: pa.Table, first: int, names: list[str]) -> None:
    """Put the rows of a row group into a day's matrix; raises ValueError for rows that are not on the day's grid.

    Args:
        day: is filled.
        table: the rows.
        first: the row of the matrix of the first name.
        names: series that are wanted of these rows.
    """
    times, series, value = table.columns
    if times.null_count or value.null_count:
        raise ValueError("rows without a value")
    known, indices = _names(series)
    instants = times.combine_chunks().cast(TIME).cast(pa.int64()).to_numpy()
    columns, rest = np.divmod(instants - day.begin, day.step)
    n_instants = day.values.shape[1]
    if rest.any() or (len(columns) and not 0 <= columns.min() <= columns.max() < n_instants):
        raise ValueError("rows off the grid")
    values = value.to_numpy()
    if len(names) < len(known):
        place = {name: first + i for i, name in enumerate(names)}
        rows = np.array([place.get(name, -1) for name in known])[indices]
        kept = rows >= 0
        day.values[rows[kept], columns[kept]] = values[kept]
    else:
        day.values[first + indices, columns] = values
