"""Taking days and series out of the lake, and what `aiops doctor` says of it."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from aiops_assets.commands.cli import main
from aiops_assets.registry.lake_care import Drop, Selection, contents, dependents, lake_findings, select, take_out
from aiops_assets.storage.lake import Lake
from aiops_assets.storage.storage import LocalStorage
from aiops_assets.timeseries.catalog import NODE_MEMORY, POD_CPU
from aiops_assets_tests.signed import served_in

DAYS = [date(2026, 10, day) for day in (29, 30, 31)]
A, B, FOREIGN = '{"pod":"a"}', '{"pod":"b"}', '{"pod":"a","replica":"1"}'


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """Two pods on three days, on the second of them with a series of a replica, as an older release stored it."""
    found = Lake(LocalStorage(tmp_path), "default")
    for day in DAYS:
        put(found, day, [A, B, FOREIGN] if day == DAYS[1] else [A, B], cluster_id="one")
    return found


def put(lake: Lake, day: date, names: list[str], **more: object) -> None:
    begin = datetime(day.year, day.month, day.day, tzinfo=UTC)
    grid = pd.date_range(begin, periods=1440, freq="60s", unit="us", name="timestamp")
    wide = pd.DataFrame(0.5, index=grid, columns=names)
    end = begin + timedelta(days=1)
    lake.upsert_day(POD_CPU, day, wide, fetched=end, fetched_until=end, closed=True, **more)  # type: ignore[arg-type]


def chosen(lake: Lake, **selection: object) -> list[tuple[date, frozenset[str]]]:
    drops = select(lake, [POD_CPU, NODE_MEMORY], Selection(**selection))  # type: ignore[arg-type]
    return [(drop.day, drop.names) for drop in drops]


def test_what_is_selected(lake: Lake) -> None:
    assert chosen(lake) == [(day, frozenset()) for day in DAYS]
    assert chosen(lake, first=DAYS[1], last=DAYS[1]) == [(DAYS[1], frozenset())]
    assert chosen(lake, wrong=True) == [(DAYS[1], frozenset({FOREIGN}))]
    assert chosen(lake, labels={"pod": "a"}, last=DAYS[1]) == [
        (DAYS[0], frozenset({A})),
        (DAYS[1], frozenset({A, FOREIGN})),
    ]
    assert chosen(lake, labels={"pod": "nobody"}) == []
    assert chosen(lake, cluster_id="one", first=DAYS[2]) == [(DAYS[2], frozenset())]
    assert chosen(lake, cluster_id="") == []


def test_wrong_series_are_taken_out_and_their_day_is_open_again(lake: Lake) -> None:
    take_out(lake, [Drop(POD_CPU, DAYS[1], frozenset({FOREIGN}))])
    wide, info = lake.read_day(POD_CPU, DAYS[1])
    assert list(wide.columns) == [A, B]
    assert (info.closed, info.series, info.samples, info.revised, info.cluster_id) == (False, 2, 2880, 1440, "one")
    assert [finding.code for finding in lake_findings(lake, [POD_CPU])] == ["ok"]


def test_a_whole_day_and_the_last_series_of_one_count_as_never_fetched(lake: Lake) -> None:
    take_out(lake, [Drop(POD_CPU, DAYS[0], frozenset()), Drop(POD_CPU, DAYS[2], frozenset({A, B}))])
    assert lake.days(POD_CPU) == [DAYS[1]]
    assert lake.info(POD_CPU, DAYS[0]) is None


def test_values_that_an_older_release_stored_are_wrong_series_too(lake: Lake) -> None:
    begin = datetime(2026, 11, 1, tzinfo=UTC)
    grid = pd.date_range(begin, periods=1440, freq="60s", unit="us", name="timestamp")
    wide = pd.DataFrame({A: np.full(1440, 0.1), B: np.full(1440, -3.0)}, index=grid)
    lake.upsert_day(POD_CPU, begin.date(), wide, fetched=begin, fetched_until=begin + timedelta(days=1), closed=True)
    assert chosen(lake, wrong=True, first=begin.date()) == [(begin.date(), frozenset({B}))]


def test_doctor_names_what_is_wrong_with_the_lake(lake: Lake) -> None:
    put(lake, DAYS[2], [A], cluster_id="another")
    lake.storage.write(next(iter(_paths(lake, DAYS[0]))), b"PAR1")
    codes = [finding.code for finding in lake_findings(lake, [POD_CPU])]
    assert codes == ["mixed_clusters", "damaged_days", "wrong_series"]
    (stored,) = contents(lake, [POD_CPU])
    assert (stored.days, stored.damaged, stored.cluster_ids) == (tuple(DAYS), (DAYS[0],), ("another", "one"))
    empty = Lake(LocalStorage(Path(lake.storage.locate("empty"))), "default")
    assert [finding.code for finding in lake_findings(empty, [POD_CPU])] == ["nothing_stored"]


def test_the_command_changes_nothing_without_yes(lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIOPS_HOME", str(tmp_path))

    def aiops(*arguments: str) -> int:
        return CliRunner().invoke(main, ["lake", *arguments]).exit_code

    assert aiops("drop") == 2
    assert aiops("drop", "--metric", "nothing_of_this_name", "--yes") == 2
    assert aiops("drop", "--series", "pod", "--yes") == 2
    assert aiops("drop", "--wrong") == 1
    assert chosen(lake, wrong=True) == [(DAYS[1], frozenset({FOREIGN}))]
    assert aiops("drop", "--wrong", "--yes") == 0
    assert chosen(lake, wrong=True) == []
    assert aiops("drop", "--metric", POD_CPU.name, "--from", "2026-10-30", "--to", "2026-10-30", "--yes") == 0
    assert lake.days(POD_CPU) == [DAYS[0], DAYS[2]]
    assert aiops("drop", "--from", "2027-01-01", "--yes") == 0
    assert aiops("list") == 0


def test_nothing_depends_on_days_that_no_model_saw(lake: Lake, tmp_path: Path) -> None:
    from aiops_assets.storage.training_sets import TrainingSets

    drops = list(select(lake, [POD_CPU], Selection()))
    storage = LocalStorage(tmp_path)
    assert dependents(drops, served_in(storage), TrainingSets(storage, "default"), ["anomaly-detector"]) == []


def _paths(lake: Lake, day: date) -> list[str]:
    return [
        str(path.relative_to(lake.storage.locate("")))
        for path in Path(lake.storage.locate("lake")).rglob(f"day={day.isoformat()}.parquet")
    ]
