"""Shadow scores and model cards in a folder and in a bucket."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest

from aiops_assets.errors import IntegrityError, NotFoundError
from aiops_assets.storage.cards import Cards
from aiops_assets.storage.shadow import MAX_FILES, ShadowRecord, ShadowScores
from aiops_assets.storage.storage import LocalStorage, ObjectStorage, Storage
from aiops_assets_tests.raising import raises
from aiops_assets_tests.signed import served_in

END = datetime(2026, 11, 1, tzinfo=UTC)
SCORES = pd.DataFrame(
    {
        "timestamp": pd.date_range(END, periods=3, freq="5min", unit="us"),
        "pod": pd.array(["a", "a", "b"], dtype="str"),
        "challenger_score": [0.1, 0.2, 0.3],
        "champion_score": [float("nan")] * 3,
        "champion_alert": pd.array([pd.NA] * 3, dtype="boolean"),
    }
)


@pytest.fixture(params=["folder", "bucket"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    if request.param == "folder":
        return LocalStorage(tmp_path)
    from obstore.store import MemoryStore

    return ObjectStorage(MemoryStore(), "memory://")


def record(challenger: int, champion: int = 0, end: datetime = END, **changes: object) -> ShadowRecord:
    plain = ShadowRecord(
        name="m",
        challenger=challenger,
        challenger_sha256=f"c{challenger}",
        champion=champion,
        champion_sha256=f"c{champion}" if champion else "",
        data_version="d",
        effective_source="synthetic",
        window_start=end - timedelta(days=7),
        window_end=end,
        code_version="0",
        metrics=("cpu", "memory"),
    )
    return plain.model_copy(update=changes)


def test_scores_come_back_as_they_were_with_what_they_are_of(storage: Storage) -> None:
    kept = ShadowScores(storage, "prod")
    assert kept.put(record(2, 1), SCORES) == []
    assert kept.files("m") == ["2026-11-01__v2__v1.parquet"]
    assert storage.names("shadow/cluster=prod/m") == kept.files("m")
    found, scores = kept.read("m", "2026-11-01__v2__v1.parquet")
    assert found == record(2, 1)
    pd.testing.assert_frame_equal(scores, SCORES)
    assert kept.locate("m", "x.parquet").endswith("/shadow/cluster=prod/m/x.parquet")
    assert ShadowScores(storage, "other").files("m") == []


def test_scores_of_the_same_thing_are_known_and_others_are_not(storage: Storage) -> None:
    kept = ShadowScores(storage, "prod")
    assert kept.kept(record(2, 1)) is None
    kept.put(record(2, 1), SCORES)
    assert kept.kept(record(2, 1)) is not None
    for other in (record(2, 1, note="gone"), record(2, 1, code_version="1"), record(2, 1, data_version="e")):
        assert kept.kept(other) is None


@pytest.mark.parametrize(("challenger", "champion", "pair"), [(2, 1, True), (2, 2, False), (1, 0, False)])
def test_two_versions_side_by_side_are_a_pair(challenger: int, champion: int, pair: bool) -> None:
    assert record(challenger, champion).is_pair == pair


def test_windows_are_in_order_of_time_then_version(storage: Storage) -> None:
    kept = ShadowScores(storage, "prod")
    for one in (record(10, 9), record(9, 2), record(1, 0, END - timedelta(days=7)), record(9, 10)):
        kept.put(one, SCORES)
    assert kept.files("m") == [
        "2026-10-25__v1__v0.parquet",
        "2026-11-01__v9__v2.parquet",
        "2026-11-01__v9__v10.parquet",
        "2026-11-01__v10__v9.parquet",
    ]


def test_the_oldest_windows_go_and_the_one_just_written_stays(storage: Storage) -> None:
    kept = ShadowScores(storage, "prod")
    for week in range(MAX_FILES):
        assert kept.put(record(week + 1, week, END + timedelta(weeks=week)), SCORES) == []
    assert kept.put(record(90, 89, END + timedelta(weeks=60)), SCORES) == ["2026-11-01__v1__v0.parquet"]
    # A window of long ago, for example of another SYNTHETIC_END.
    old = record(91, 90, END - timedelta(weeks=60))
    assert kept.put(old, SCORES) == ["2026-11-08__v2__v1.parquet"]
    assert len(kept.files("m")) == MAX_FILES
    assert old.file_name in kept.files("m")


@pytest.mark.parametrize("damage", [b"", b"no parquet", None])
def test_a_damaged_file_is_named(tmp_path: Path, damage: bytes | None) -> None:
    kept = ShadowScores(LocalStorage(tmp_path), "prod")
    kept.put(record(2, 1), SCORES)
    path = tmp_path / "shadow" / "cluster=prod" / "m" / "2026-11-01__v2__v1.parquet"
    path.write_bytes(path.read_bytes()[:-20] if damage is None else damage)
    with raises(IntegrityError, "unreadable_window") as raised:
        kept.read("m", path.name)
    assert path.name in str(raised.value)
    assert kept.kept(record(2, 1)) is None
    kept.put(record(2, 1), SCORES)
    assert kept.kept(record(2, 1)) is not None


def test_a_file_under_another_name_is_named(tmp_path: Path) -> None:
    kept = ShadowScores(LocalStorage(tmp_path), "prod")
    kept.put(record(2, 1), SCORES)
    folder = tmp_path / "shadow" / "cluster=prod" / "m"
    (folder / "2026-11-01__v2__v1.parquet").rename(folder / "2026-11-08__v2__v1.parquet")
    (folder / "notes.txt").touch()
    assert kept.files("m") == ["2026-11-08__v2__v1.parquet"]
    with pytest.raises(IntegrityError, match=r"holds m/2026-11-01__v2__v1.parquet"):
        kept.read("m", "2026-11-08__v2__v1.parquet")
    with pytest.raises(NotFoundError):
        kept.read("m", "2026-11-15__v2__v1.parquet")


def test_a_card_is_rewritten_and_loses_pictures_that_it_has_no_more(storage: Storage) -> None:
    cards = Cards(storage)
    cards.put("m", 10, {"card.md": b"first", "a.png": b"a", "b.png": b"b"})
    cards.put("m", 9, {"card.md": b"nine"})
    cards.put("m", 10, {"card.md": "zweite \u2713".encode(), "b.png": b"c"})
    assert cards.text("m", 10) == "zweite \u2713"
    assert storage.names("m/cards/10") == ["b.png", "card.md"]
    assert cards.versions("m") == [9, 10]
    assert cards.locate("m", 10).endswith("/m/cards/10/card.md")


def test_a_card_that_is_not_there_says_which_are(storage: Storage) -> None:
    cards = Cards(storage)
    with raises(NotFoundError, "no_card", version=1, there=[]):
        cards.text("m", 1)
    cards.put("m", 2, {"card.md": b"x"})
    # Pictures alone: its writer was killed.
    storage.write("m/cards/3/a.png", b"a")
    with raises(NotFoundError, "no_card", there=[2]):
        cards.text("m", 3)


def test_cards_are_no_versions(storage: Storage) -> None:
    Cards(storage).put("m", 7, {"card.md": b"x"})
    served = served_in(storage)
    assert (served.versions("m"), served.incomplete_versions("m"), served.champion("m")) == ([], [], None)


def test_a_file_is_removed_once_and_its_neighbours_stay(storage: Storage) -> None:
    storage.write("a/x", b"1")
    storage.write("a/y", b"2")
    storage.remove("a/x")
    storage.remove("a/x")
    assert storage.names("a") == ["y"]
