import numpy as np
import pandas as pd
import pytest

from aiops_assets.errors import DataError, SchemaError
from aiops_assets.timeseries.frames import cadence, fits, numeric_columns, on_grid
from aiops_assets_tests.raising import raises


def frame_at(minutes: list[int], values: list[float] | None = None) -> pd.DataFrame:
    times = pd.Timestamp("2026-01-01", tz="UTC") + pd.to_timedelta(minutes, unit="min")
    return pd.DataFrame({"timestamp": times, "a": np.arange(len(minutes), dtype=float) if values is None else values})


def test_gaps_become_empty_rows() -> None:
    grid = on_grid(frame_at([0, 5, 20]), ("a",), 300)
    assert grid.position.tolist() == [0, 1, 4]
    assert np.isnan(grid.values[2:4]).all()
    assert grid.values[grid.position, 0].tolist() == [0, 1, 2]


def test_of_rows_at_one_instant_the_last_counts_and_both_have_its_place() -> None:
    grid = on_grid(frame_at([0, 5, 5, 10]), ("a",), 300)
    assert grid.position.tolist() == [0, 1, 1, 2]
    assert grid.values[:, 0].tolist() == [0, 2, 3]


def test_a_long_gap_and_an_older_stretch_keep_the_time_of_day() -> None:
    day = 24 * 60
    later = on_grid(frame_at([0, 5, 10 * day + 60]), ("a",), 300)
    assert later.position[-1] % 288 == 12
    assert len(later.values) < 3 * 288
    older = on_grid(frame_at([10 * day, 10 * day + 5, 60, 65]), ("a",), 300)
    assert older.position[2:].tolist() == [12, 13]


def test_many_gaps_do_not_fill_the_memory_and_the_future_changes_no_place() -> None:
    minutes = [day * 1440 + 700 * (day % 2) for day in range(4000)]
    whole = on_grid(frame_at(minutes), ("a",), 60)
    assert len(whole.values) < 4 * len(minutes) + 1440
    half = on_grid(frame_at(minutes[:2000]), ("a",), 60)
    assert (whole.position[:2000] == half.position).all()


@pytest.mark.parametrize(("distance", "expected"), [(1, 60), (5, 300), (60, 3600)])
def test_the_cadence_is_the_usual_distance(distance: int, expected: int) -> None:
    minutes = [i * distance for i in range(50) if i % 7]
    assert cadence(frame_at(minutes)["timestamp"]) == expected


def test_a_cadence_out_of_bounds_and_none_at_all_are_named() -> None:
    with raises(DataError, "bad_cadence", step=7200):
        cadence(frame_at([0, 120, 240])["timestamp"])
    with pytest.raises(DataError, match="two distinct"):
        cadence(frame_at([5, 5])["timestamp"])


def seconds(values: list[float]) -> pd.Series:
    return pd.Series(pd.Timestamp("2026-01-01", tz="UTC") + pd.to_timedelta(values, unit="s"))


def test_scrapes_jitter() -> None:
    rng = np.random.default_rng(3)
    for step in (10, 60, 3600):
        times = seconds((np.arange(200) * step + rng.uniform(-0.009, 0.009, 200) * step).tolist())
        assert cadence(times) == step
    jittered = seconds((np.arange(300) * 60 + rng.uniform(-25, 25, 300)).tolist())
    frame = pd.DataFrame({"timestamp": jittered, "a": np.arange(300.0)})
    grid = on_grid(frame, ("a",), 60)
    assert np.abs(grid.position - np.arange(300)).max() <= 1
    assert (grid.values[grid.position, 0] == frame["a"]).all(), "each row keeps its own value"


def test_rows_nearer_than_the_cadence_take_the_next_places() -> None:
    frame = pd.DataFrame({"timestamp": seconds([0, 60, 70, 80, 120, 300]), "a": np.arange(6.0)})
    grid = on_grid(frame, ("a",), 60)
    assert grid.position.tolist() == [0, 1, 2, 3, 4, 5]
    whole = on_grid(frame, ("a",), 60)
    assert (on_grid(frame.iloc[:3], ("a",), 60).position == whole.position[:3]).all()


def test_which_samples_fit_a_cadence() -> None:
    assert fits(seconds([0, 300, 600]), 300)
    assert fits(seconds([0, 300, 3000, 3300]), 300), "gaps are no other cadence"
    assert fits(seconds([5]), 300)
    assert not fits(seconds([0, 60, 120]), 300)
    assert not fits(seconds([0, 3600, 7200]), 300)


def test_values_are_numbers_and_infinities_are_missing() -> None:
    frame = frame_at([0, 5, 10], [1.0, np.inf, -np.inf]).assign(flag=[True, False, True], text="x")
    values = numeric_columns(frame, ("a", "flag"))
    assert values[0].tolist() == [1.0, 1.0]
    assert np.isnan(values[1:, 0]).all()
    with pytest.raises(SchemaError, match="column text holds"):
        numeric_columns(frame, ("text",))
    with pytest.raises(SchemaError, match="b is missing"):
        numeric_columns(frame, ("a", "b"))
