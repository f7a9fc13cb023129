"""Day files: some series of many, how many samples each has, the seal, and files of an earlier release."""

import hashlib
import json
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from aiops_assets.errors import IntegrityError
from aiops_assets.storage import day_file, day_parquet
from aiops_assets.storage.day_file import BLOCK_VALUES, DaySamples
from aiops_assets.storage.lake import Lake
from aiops_assets.storage.storage import LocalStorage
from aiops_assets.timeseries.catalog import POD_CPU
from aiops_assets.timeseries.schema import DIGEST_BYTES
from aiops_assets_tests.raising import raises

DAY = date(2026, 10, 31)
BEGIN = day_file.begin_of(DAY)
N_SERIES = 2 * (BLOCK_VALUES // 1440) + 7
NAMES = [f'{{"pod":"p-{i:04}"}}' for i in range(N_SERIES)]
METADATA = b'{"made": "for a test"}'


def samples() -> DaySamples:
    """More series than two row groups hold, some with holes, one with a single sample."""
    values = np.random.default_rng(1).random((N_SERIES, 1440))
    values[::3, 100:700] = values[5, 1:] = np.nan
    return DaySamples(BEGIN, 60_000_000, NAMES, values)


def earlier(day: DaySamples, metadata: bytes) -> bytes:
    """The file that an earlier release wrote: a single row group, and no seal."""
    series, rows = np.nonzero(~np.isnan(day.values))
    columns = [
        pa.array(day.begin + day.step * rows).cast(day_parquet.TIME),
        pa.DictionaryArray.from_arrays(pa.array(series.astype(np.int32)), pa.array(day.names, pa.string())),
        pa.array(day.values[series, rows]),
    ]
    table, sink = pa.table(columns, names=day_parquet.COLUMNS), pa.BufferOutputStream()
    with pq.ParquetWriter(
        sink, table.schema, compression="zstd", use_dictionary=["timestamp", "series"], write_page_checksum=True
    ) as writer:
        writer.write_table(table, row_group_size=len(table))
        checksum = day_parquet._checksum(metadata)
        writer.add_key_value_metadata({day_parquet.METADATA_KEY: metadata, day_parquet.CHECKSUM_KEY: checksum})
    data: bytes = sink.getvalue().to_pybytes()
    return data


def plain_digest(day: DaySamples) -> str:
    """The digest of a day, sample by sample as its definition has it."""
    there = ~np.isnan(day.values)
    digest = hashlib.blake2b(json.dumps(day.names).encode(), digest_size=DIGEST_BYTES)
    digest.update(there.sum(axis=1).astype("<i8").tobytes())
    digest.update(np.broadcast_to(day.instants, day.values.shape)[there].astype("<i8").tobytes())
    digest.update((day.values[there] + 0.0).astype("<f8").tobytes())
    return digest.hexdigest()


@pytest.mark.parametrize("holes", ["none", "in one block", "in each block"])
def test_blocks_with_and_without_holes_are_one_day(holes: str) -> None:
    values = np.random.default_rng(2).random((N_SERIES, 1440))
    values[4, 7] = -0.0
    values[{"none": [], "in one block": [0], "in each block": [0, N_SERIES // 2, -1]}[holes], 100:700] = np.nan
    day = DaySamples(BEGIN, 60_000_000, NAMES, values)
    assert day.digest == plain_digest(day)
    again = day_parquet.decode(day_parquet.encode(day, METADATA), DAY, 60)
    assert again.names == day.names
    np.testing.assert_array_equal(again.values, day.values)


@pytest.mark.parametrize("write", [day_parquet.encode, earlier])
def test_wanted_series_are_those_of_the_whole_day(write: Callable[[DaySamples, bytes], bytes]) -> None:
    day = samples()
    data = write(day, METADATA)
    assert day_parquet.decode_metadata(data) == METADATA
    whole = day_parquet.decode(data, DAY, 60)
    assert (whole.names, whole.digest) == (day.names, day.digest)
    wanted = {NAMES[0], NAMES[5], NAMES[150], NAMES[-1], "nobody"}
    some = day_parquet.decode(data, DAY, 60, wanted.__contains__)
    assert some.names == sorted(wanted - {"nobody"})
    np.testing.assert_array_equal(some.values, day.values[[0, 5, 150, N_SERIES - 1]])
    assert day_parquet.decode(data, DAY, 60, lambda name: False).names == []
    counts = day_parquet.count_samples(data)
    assert counts == dict(zip(NAMES, (~np.isnan(day.values)).sum(axis=1).tolist(), strict=True))
    assert counts[NAMES[5]] == 1


def test_a_day_of_many_series_has_row_groups_of_some() -> None:
    file = pq.ParquetFile(pa.BufferReader(day_parquet.encode(samples(), METADATA)))
    assert file.num_row_groups == 3
    rows = [file.metadata.row_group(i).num_rows for i in range(3)]
    assert max(rows) <= BLOCK_VALUES
    assert sum(rows) == samples().count


def test_every_changed_byte_breaks_the_seal_or_is_in_it() -> None:
    good = day_parquet.encode(samples(), METADATA)
    assert day_parquet.is_sealed(good)
    for position in [*np.random.default_rng(2).integers(0, len(good), 40).tolist(), len(good) - 30, len(good) - 300]:
        bad = bytearray(good)
        bad[position] ^= 1 << (position % 8)
        with raises(IntegrityError, "broken_seal"):
            day_parquet.is_sealed(bytes(bad))
    assert not day_parquet.is_sealed(earlier(samples(), METADATA))
    for other in (b"", b"PAR1", good[:50]):
        assert not day_parquet.is_sealed(other)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    found = Lake(LocalStorage(tmp_path), "c")
    end = datetime(2026, 11, 1, tzinfo=UTC)
    wide = pd.DataFrame(samples().to_wide())
    found.upsert_day(POD_CPU, DAY, wide, fetched=end, fetched_until=end, closed=True)
    return found


def test_a_file_without_seal_is_read_as_a_whole_and_damage_is_named(lake: Lake) -> None:
    path = lake._path(POD_CPU, DAY)
    metadata = day_parquet.decode_metadata(lake.storage.read(path))
    info = lake.verify_day(POD_CPU, DAY)
    lake.storage.write(path, earlier(samples(), metadata))
    assert lake.verify_day(POD_CPU, DAY) == info
    assert lake.count_samples(POD_CPU, DAY)[0] == day_parquet.count_samples(lake.storage.read(path))
    changed = samples()
    changed.values[0, 0] += 1
    lake.storage.write(path, earlier(changed, metadata))
    for read in (lake.verify_day, lake.count_samples, lambda metric, day: lake.read_series(metric, day, bool)):
        with raises(IntegrityError, "damaged_day", day=DAY):
            read(POD_CPU, DAY)


def test_damage_is_noticed_by_those_that_read_a_part_also_after_the_file_was_whole(lake: Lake) -> None:
    path = lake._path(POD_CPU, DAY)
    wide = lake.read_series(POD_CPU, DAY, lambda name: name == NAMES[3])
    pd.testing.assert_frame_equal(wide, lake.read_day(POD_CPU, DAY)[0][[NAMES[3]]].dropna())
    good = lake.storage.read(path)
    lake.storage.write(path, good[:1000] + bytes([good[1000] ^ 1]) + good[1001:])
    for read in (lake.verify_day, lake.count_samples, lambda metric, day: lake.read_series(metric, day, bool)):
        with raises(IntegrityError, "damaged_day", day=DAY):
            read(POD_CPU, DAY)
    lake.storage.write(path, good)
    assert lake.count_samples(POD_CPU, DAY)[1].samples == samples().count


def test_an_update_by_blocks_is_that_of_the_whole() -> None:
    """What replaces, what stays, what is lost and what is revised, in each block of series."""
    stored, new = samples(), samples()
    new.values[:, 200] = np.nan  # nobody answers: nothing is lost there
    new.values[::2, 300] = np.nan
    new.values[::5, 900] += 1
    keeps, removes = stored.updated(new), stored.updated(new, replace=True)
    had = ~np.isnan(stored.values)
    lost = had[::2, 300].sum()
    changed = had[::5, 900].sum()
    assert keeps.revised == changed
    assert removes.revised == changed + lost
    assert keeps.lost == removes.lost == pytest.approx(lost / had[:, new.covered].sum())
    expected = np.where(np.isnan(new.values), stored.values, new.values)
    np.testing.assert_array_equal(keeps.samples.values, expected)
    expected[::2, 300] = np.nan
    np.testing.assert_array_equal(removes.samples.values, expected)
