import subprocess
import sys
import threading
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from obstore.store import MemoryStore

from aiops_assets.errors import ConflictError, IntegrityError, NotFoundError, SchemaError
from aiops_assets.settings import PROJECT_ROOT
from aiops_assets.storage.day_file import wide_digest
from aiops_assets.storage.day_info import DayInfo, StoredQuery
from aiops_assets.storage.day_state import DayState
from aiops_assets.storage.lake import FetchOutcome, Lake
from aiops_assets.storage.storage import LocalStorage, ObjectStorage, Storage
from aiops_assets.timeseries.catalog import CLUSTER_METRICS, POD_CPU
from aiops_assets.timeseries.queries import queried
from aiops_assets.timeseries.series import minute_grid
from aiops_assets_tests.raising import raises
from aiops_assets_tests.snapshot import assert_snapshot

DAY = date(2026, 10, 31)
BEGIN = datetime(2026, 10, 31, tzinfo=UTC)
END = BEGIN + timedelta(days=1)
LATER = datetime(2026, 11, 2, tzinfo=UTC)
A, B = '{"pod": "a"}', '{"pod": "b"}'


@pytest.fixture(params=["local", "bucket"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    return LocalStorage(tmp_path) if request.param == "local" else ObjectStorage(MemoryStore(), "memory://")


@pytest.fixture
def lake(storage: Storage) -> Lake:
    return Lake(storage, "prod-1")


def _wide(columns: tuple[str, ...] = (A, B)) -> pd.DataFrame:
    """A day of minutes, with a hole of one series and one of all."""
    values = np.random.default_rng(3).random((1440, len(columns)))
    values[3, 0] = values[10] = np.nan
    return pd.DataFrame(values, index=minute_grid(pd.Timestamp(BEGIN), pd.Timestamp(END)), columns=list(columns))


def _put(
    lake: Lake, wide: pd.DataFrame, until: datetime = END, closed: bool = True, source: str = "prometheus"
) -> tuple[DayInfo, int]:
    info, revised = lake.upsert_day(
        POD_CPU, DAY, wide, fetched=LATER, fetched_until=until, closed=closed, source=source
    )
    assert info
    return info, revised


def test_a_day_comes_back_wide(lake: Lake) -> None:
    info, revised = _put(lake, _wide())
    wide, again = lake.read_day(POD_CPU, DAY)
    assert again == info == lake.info(POD_CPU, DAY)
    assert (info.series, info.samples, info.got, info.expected, revised) == (2, 2877, 1439, 1440, 0)
    assert info.wanted == 2880
    assert info.coverage == pytest.approx(2877 / 2880)
    assert (info.expected - info.got, info.closed) == (1, True)
    assert info.reason == DayState(is_over=True, is_closed=True, missing=1).text
    assert info.digest == wide_digest(wide) == wide_digest(_wide())
    assert len(info.digest) == 32
    assert str(wide.index.dtype) == "datetime64[us, UTC]"
    assert wide.index.name == "timestamp"
    expected = _wide().dropna(how="all")
    pd.testing.assert_frame_equal(wide, expected, check_names=False, check_freq=False, check_column_type=False)
    assert lake.days(POD_CPU) == [DAY]


def test_what_is_not_there(lake: Lake) -> None:
    assert lake.days(POD_CPU) == []
    assert lake.info(POD_CPU, DAY) is None
    with pytest.raises(NotFoundError, match="materialize raw_metrics"):
        lake.read_day(POD_CPU, DAY)
    _put(lake, _wide())
    assert lake.info(replace(POD_CPU, promql="sum(up)"), DAY) is None
    assert Lake(lake.storage, "other").days(POD_CPU) == []


def test_a_new_value_wins_and_a_missing_one_erases_nothing(lake: Lake) -> None:
    first = _wide()
    _put(lake, first, BEGIN + timedelta(hours=12), closed=False)
    second = _wide()[[B]].iloc[5:12].copy()
    second.iloc[0] += 1
    second.iloc[1] = np.nan
    second.iloc[5] = 7.0  # minute 10: there was none
    second['{"pod": "c"}'] = 1.0
    info, revised = _put(lake, second)
    wide, _ = lake.read_day(POD_CPU, DAY)
    assert revised == info.revised == 1
    assert wide.shape == (1440, 3)
    assert wide[B].iloc[5] == first[B].iloc[5] + 1
    assert wide[B].iloc[6] == first[B].iloc[6]
    assert wide[B].iloc[10] == 7.0
    assert np.isnan(wide[A].iloc[10])
    assert int(wide['{"pod": "c"}'].count()) == 7
    assert (info.reason, info.closed) == ("complete", True)
    assert _put(lake, second)[1] == 0
    assert _put(lake, second + 1)[0].revised == 1 + 13


def test_an_empty_answer_does_not_make_a_day_younger(lake: Lake) -> None:
    before = _put(lake, _wide())[0]
    empty = _wide().iloc[:, :0]
    again, _ = lake.upsert_day(
        POD_CPU, DAY, empty, fetched=LATER + timedelta(days=30), fetched_until=LATER, closed=True
    )
    assert again
    assert again.fetched == before.fetched


def test_a_last_bit_is_no_revision(lake: Lake) -> None:
    first, before = _wide(), _put(lake, _wide())[0]
    info, revised = _put(lake, first * (1 + 4e-16))
    assert (revised, info.digest) == (0, before.digest)
    assert _put(lake, first * (1 + 1e-9))[1] == int(np.count_nonzero(first.fillna(0)))


def test_the_end_of_what_was_asked_only_moves_on(lake: Lake) -> None:
    info, _ = _put(lake, _wide().iloc[:600], BEGIN + timedelta(hours=10), closed=False)
    assert (info.expected, info.expected - info.got, info.closed) == (600, 1, False)
    assert info.reason == DayState(is_over=False, is_closed=False, missing=1).text
    info, _ = _put(lake, _wide().iloc[:1], BEGIN + timedelta(minutes=1), closed=False)
    assert info.fetched_until == "2026-10-31T10:00:00+00:00"
    info, _ = _put(lake, _wide().iloc[600:], LATER, closed=False)
    assert info.requested_until == END
    assert info.reason == DayState(is_over=True, is_closed=False, missing=info.expected - info.got).text


def test_the_reason_tells_a_late_begin_from_gaps(lake: Lake) -> None:
    wide = _wide().iloc[785:]
    wide.iloc[[5, 9]] = np.nan
    info, _ = _put(lake, wide)
    assert info.reason == DayState(is_over=True, is_closed=True, first="13:05", missing=2).text
    assert (info.got, info.expected) == (653, 1440)


def test_the_wordings_of_a_days_state_are_those_that_were_agreed() -> None:
    states = [
        DayState(is_over=True, is_closed=True),
        DayState(is_over=False, is_closed=False),
        DayState(is_over=True, is_closed=False, first="08:20"),
        DayState(is_over=True, is_closed=True, missing=1),
        DayState(is_over=True, is_closed=True, first="13:05", missing=2),
    ]
    assert_snapshot("stored_days", "".join(f"{state.text}\n" for state in states))


def test_nothing_is_written_for_a_day_without_samples(lake: Lake) -> None:
    nothing = {"fetched": LATER, "fetched_until": END, "closed": True}
    empty = pd.DataFrame(index=_wide().index)
    for wide in (_wide() * np.nan, empty, empty.iloc[:0]):
        assert lake.upsert_day(POD_CPU, DAY, wide, **nothing) == (None, 0)  # type: ignore[arg-type]
    assert lake.days(POD_CPU) == []
    _put(lake, _wide(), closed=False, source="thanos")
    info, revised = _put(lake, empty)
    assert (info.samples, info.closed, info.source, revised) == (2877, True, "thanos", 0)


def test_the_digest_is_of_samples_only() -> None:
    wide = _wide()
    wide.iloc[0, 0] = 0.0
    other = wide[[B, A]].sort_index(ascending=False)
    other["nothing"] = np.nan
    other.loc[wide.index[0], A] = -0.0
    assert wide_digest(other) == wide_digest(wide) == wide_digest(wide.dropna(how="all"))
    for change in (
        wide.rename(columns={A: "x"}),
        wide.shift(1),
        wide + 1e-15,
        wide.iloc[1:],
        wide.set_axis([B, A], axis=1),
        wide.shift(1, freq="1min"),
    ):
        assert wide_digest(change) != wide_digest(wide)


def test_the_digest_does_not_depend_on_how_a_day_was_put_together(storage: Storage) -> None:
    whole, parts = Lake(storage, "whole"), Lake(storage, "parts")
    wide = _wide()
    _put(whole, wide)
    for part in (wide[[B]].iloc[700:], wide[[A]], wide[[B, A]].iloc[:900]):
        _put(parts, part)
    assert _put(parts, wide.iloc[:0])[0].digest == _put(whole, wide.iloc[:0])[0].digest


def test_off_the_grid_is_refused(lake: Lake) -> None:
    wide = _wide()
    shifted = wide.set_axis(wide.index + pd.Timedelta(seconds=1))
    naive = wide.set_axis(wide.index.tz_localize(None))  # type: ignore[attr-defined]
    for bad in (shifted, naive, wide.shift(1, freq="1D"), pd.concat([wide, wide.iloc[:1]]), wide[[A, A]]):
        with pytest.raises(SchemaError, match="2026-10-31"):
            _put(lake, bad)
    with pytest.raises(SchemaError, match="300 s"):
        lake.upsert_day(CLUSTER_METRICS[0], DAY, wide, fetched=LATER, fetched_until=END, closed=True)


def test_names_and_values_of_any_kind_come_back(lake: Lake) -> None:
    names = ("", "ä\n\x00", '{"pod": "a,b"}', "x" * 5000)
    wide = _wide(names)
    wide.iloc[20] = [np.inf, -np.inf, 5e-324, 1.7976931348623157e308]
    _put(lake, wide)
    again, info = lake.read_day(POD_CPU, DAY)
    assert list(again.columns) == sorted(names)
    assert wide_digest(again) == wide_digest(wide) == info.digest


def test_many_long_names_do_not_fit_one_dictionary_page(lake: Lake) -> None:
    wide = _wide(tuple(f"{i:05}" + "x" * 2000 for i in range(1500)))
    info, _ = _put(lake, wide)
    assert wide_digest(lake.read_day(POD_CPU, DAY)[0]) == info.digest


@pytest.mark.parametrize("damage", ["cut", "empty", "other", "old"])
def test_a_damaged_day_is_named_and_replaced(lake: Lake, damage: str) -> None:
    _put(lake, _wide())
    path = lake._path(POD_CPU, DAY)
    good = lake.storage.read(path)
    # "old": a file whose metadata are of another kind.
    bad = {"cut": good[:-100], "empty": b"", "other": b"x" * 5000, "old": good.replace(b'"unit"', b'"uxit"')}
    lake.storage.write(path, bad[damage])
    for read in (lake.read_day, lake.info):
        with raises(IntegrityError, "damaged_day", day=DAY):
            read(POD_CPU, DAY)
    assert _put(lake, _wide())[0].revised == 0
    assert lake.read_day(POD_CPU, DAY)[1].samples == 2877


def test_a_flipped_byte_is_named_or_changes_nothing(lake: Lake) -> None:
    info, _ = _put(lake, _wide())
    path = lake._path(POD_CPU, DAY)
    good = lake.storage.read(path)
    named = 0
    positions = np.random.default_rng(1).integers(0, len(good), 300)
    for position in [*positions.tolist(), *range(len(good) - 400, len(good))]:
        bad = bytearray(good)
        bad[position] ^= 1 << (position % 8)
        lake.storage.write(path, bytes(bad))
        try:
            wide, found = lake.read_day(POD_CPU, DAY)
        except IntegrityError:
            named += 1
        else:
            assert found == info
            assert wide_digest(wide) == info.digest
    assert named > 350


def test_a_day_is_found_by_the_query_it_was_fetched_with(lake: Lake) -> None:
    info, _ = _put(lake, _wide())
    query = StoredQuery(POD_CPU.name, POD_CPU.promql)
    assert lake.read_day(query, DAY)[1] == lake.info(query, DAY) == info
    assert lake.days(query) == [DAY]


def test_a_day_of_another_step_is_named_and_replaced(lake: Lake) -> None:
    _put(lake, _wide())
    coarse = replace(POD_CPU, step_seconds=300)
    with raises(IntegrityError, "damaged_day", day=DAY) as raised:
        lake.read_day(coarse, DAY)
    assert "60 s, not 300 s" in str(raised.value)
    wide = _wide().iloc[::5]
    info, revised = lake.upsert_day(coarse, DAY, wide, fetched=LATER, fetched_until=END, closed=True)
    assert info
    assert (info.got, info.step_seconds, revised) == (287, 300, 0)
    assert lake.read_day(coarse, DAY)[1].digest == wide_digest(wide)


def _hour(writer: int, turn: int) -> pd.DataFrame:
    return pd.DataFrame({f"w{writer}": 1.0}, index=_wide().index[turn * 60 : turn * 60 + 60])


def test_both_of_two_writers_are_in_the_file(lake: Lake) -> None:
    barrier = threading.Barrier(2)
    failed: list[Exception] = []

    def write(writer: int) -> None:
        for turn in range(6):
            barrier.wait()
            try:
                _put(lake, _hour(writer, turn))
            except Exception as error:  # noqa: BLE001
                failed.append(error)

    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    wide, _ = lake.read_day(POD_CPU, DAY)
    assert wide.count().to_dict() == {"w0": 360, "w1": 360}


def test_both_of_two_processes_are_in_the_file(tmp_path: Path) -> None:
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from aiops_assets_tests.storage.test_lake import Lake, LocalStorage, _hour, _put\n"
        "lake = Lake(LocalStorage(Path(sys.argv[1])), 'c')\n"
        "for turn in range(12):\n"
        "    _put(lake, _hour(int(sys.argv[2]), turn))\n"
    )
    commands = [[sys.executable, "-c", script, str(tmp_path), str(writer)] for writer in range(2)]
    writers = [subprocess.Popen(command, cwd=PROJECT_ROOT) for command in commands]
    assert [writer.wait() for writer in writers] == [0, 0]
    wide, _ = Lake(LocalStorage(tmp_path), "c").read_day(POD_CPU, DAY)
    assert wide.count().to_dict() == {"w0": 720, "w1": 720}


def test_a_day_that_others_write_all_the_time_is_given_up(tmp_path: Path) -> None:
    class Busy(LocalStorage):
        swaps = 0

        def compare_and_swap(self, path: str, expected: bytes | None, new: bytes) -> str:
            self.swaps += 1
            raise ConflictError("somebody else")

    storage = Busy(tmp_path)
    with raises(ConflictError, "changed_all_the_time", attempts=10):
        _put(Lake(storage, "c"), _wide())
    assert storage.swaps == 10


def test_how_the_last_fetch_ended(lake: Lake) -> None:
    assert lake.last_fetch() is None
    outcome = FetchOutcome(
        when=LATER.isoformat(),
        reached=False,
        problem="no connection",
        run_id="r",
        server="p:9090",
        first_day="2026-10-25",
        last_day="2026-10-31",
    )
    lake.note_fetch(outcome.model_copy(update={"run_id": "earlier"}))
    lake.note_fetch(outcome)
    assert lake.last_fetch() == outcome
    lake.storage.write("lake/cluster=prod-1/last_fetch.json", b"{")
    with raises(IntegrityError, "invalid_outcome") as raised:
        lake.last_fetch()
    assert "last_fetch.json" in str(raised.value)


def test_days_of_another_matcher_are_another_series(storage: Storage) -> None:
    plain, one, two = (Lake(storage, "prod-1", matchers) for matchers in ("", 'cluster="1"', 'cluster="2"'))
    for lake, columns in ((plain, (A, B)), (one, (A,))):
        info, _ = _put(lake, _wide(columns))
        assert info.series == len(columns)
    assert [plain.read_day(POD_CPU, DAY)[1].series, one.read_day(POD_CPU, DAY)[1].series] == [2, 1]
    assert two.days(POD_CPU) == []
    # The query as it was sent is on record, and finds the day whatever the matcher is by now.
    sent = one.read_day(POD_CPU, DAY)[1].query
    assert sent == queried(POD_CPU, 'cluster="1"', 60).promql
    assert one.days(queried(POD_CPU, 'cluster="1"', 60)) == two.days(StoredQuery(POD_CPU.name, sent)) == [DAY]
