"""What rows of a fleet say against their own past: of unequal pods, of new revisions, of what rises."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from aiops_assets.learners.fleet.evidence import (
    clipped,
    in_units_of_group,
    moved_mean,
    of_three,
    share_of_newest,
    shared_by_half,
)
from aiops_assets.learners.fleet.levels import UNSEEN, weekly_habits
from aiops_assets.learners.fleet.pager import Pager
from aiops_assets.learners.fleet.signals import Signal
from aiops_assets.timeseries.series import Floats

DAY, DAYS = 288, 6
ROWS = DAY * DAYS
AT = 5 * DAY + 100
START = pd.Timestamp("2026-01-05", tz="UTC")
CPU, MEMORY = Signal("cpu", least=1.0), Signal("memory", least=0.1, rise=0.05)


def _paged(series: dict[str, Floats], signal: Signal) -> list[tuple[str, int]]:
    """(entity, row) of each page; all entities are of one workload."""
    parts = [
        pd.DataFrame({"row": np.arange(ROWS), "entity": name, "workload": "w", signal.name: values})
        for name, values in series.items()
    ]
    rows = pd.concat(parts).dropna().sort_values("row", kind="stable", ignore_index=True)
    rows["timestamp"] = START + pd.to_timedelta(5 * rows["row"], unit="min")
    found = rows[Pager([signal]).pages(rows).page]
    return list(zip(found["entity"], found["row"], strict=True))


def _noise(seed: int, spread: float) -> Floats:
    return np.asarray(1 + spread * np.random.default_rng(seed).standard_normal(ROWS))


def _three(*rows: float) -> float:
    return float(of_three(np.array(rows).reshape(1, 3, 1), np.array([[1.0]]))[0, 0])


def test_two_rows_count_by_their_geometric_mean_and_one_row_alone_does_not() -> None:
    assert _three(3.0, 9.0, 0.5) == pytest.approx(1 + np.sqrt(2 * 8))
    assert _three(1.0, 900.0, 0.9) == 1.0
    assert _three(1.1, 900.0, 1.0) == pytest.approx(1 + np.sqrt(10 * 0.1 * 0.1))
    assert _three(5.0, -np.inf, -np.inf) == -np.inf


def test_a_mean_soon_forgets_how_it_began_and_keeps_what_was_long() -> None:
    mean = np.array([np.nan])
    for age, value in enumerate([9.0] * 12 + [1.0] * 36):
        mean = moved_mean(mean, np.array([value]), share_of_newest(np.array([float(age)]), 288))
    assert 1.0 < mean[0] < 1.5
    old = moved_mean(np.array([1.0]), np.array([9.0]), share_of_newest(np.array([5000.0]), 288))
    assert old[0] == pytest.approx(1 + 8 / 288, rel=0.01)
    assert moved_mean(mean, np.array([np.nan]), np.array([0.5]))[0] == mean[0]


def test_an_incident_enters_a_mean_as_three_times_the_usual() -> None:
    assert clipped(np.array([100.0, 2.0]), np.array([1.0, 1.0]), np.array([2.0, np.nan])).tolist() == [6.0, 2.0]
    assert clipped(np.array([5.0]), np.array([0.0]), np.array([np.nan])).tolist() == [5.0]


def test_rows_count_in_units_of_their_groups_once_an_entity_is_old_enough() -> None:
    read, mean = np.array([[0.2], [0.2]]), np.array([[0.1], [0.1]])
    scaled, apart = in_units_of_group(read, mean, np.array([[0.4], [0.4]]), np.array([True, False]))
    assert scaled[:, 0] == pytest.approx([0.8, 0.2])
    assert apart[:, 0] == pytest.approx([0.4, 0.1])


def test_what_was_done_in_both_weeks_at_one_time_is_a_habit() -> None:
    hours = np.zeros((14 * 24, 1, 1))
    hours[[30, 100]] = 7.0
    hours[7 * 24 + 31] = 5.0
    habit = weekly_habits(hours)[:, 0, 0]
    assert np.flatnonzero(habit).tolist() == [30, 31, 7 * 24 + 30, 7 * 24 + 31]
    assert habit.max() == 5.0
    assert (weekly_habits(hours[:24]) == UNSEEN).all()


def test_a_large_pod_does_not_hide_a_small_one() -> None:
    leader, follower = 0.5 * _noise(1, 0.05), 0.02 * _noise(2, 0.05)
    for at in range(50, ROWS, 131):  # short jobs, at any time of day
        leader[at : at + 3] += 1.5
    follower[AT : AT + 4] += 1.0
    found = _paged({"leader": leader, "follower": follower}, CPU)
    assert {name for name, row in found if row >= 4 * DAY} == {"follower"}
    assert min(row for name, row in found if name == "follower") <= AT + 2


def test_a_new_revision_with_more_memory_is_no_news_and_its_leak_is() -> None:
    def lives(seed: int, leak: float = 0.0) -> dict[str, Floats]:
        old, new = 0.4 * _noise(seed, 0.01), 0.47 * _noise(seed + 1, 0.01)
        begin = 4 * DAY + 10
        old[begin:] = np.nan
        new *= 1 - 0.5 * np.exp(-(np.arange(ROWS) - begin) / 6)
        new[:begin] = np.nan
        new[AT : AT + 30] += leak * np.linspace(0, 1, 30)
        return {f"old-{seed}": old, f"new-{seed}": new}

    assert _paged(lives(1) | lives(3), MEMORY) == []
    found = _paged(lives(1) | lives(3, leak=0.4), MEMORY)
    assert {name for name, _ in found} == {"new-3"}
    assert min(row for _, row in found) <= AT + 6


def test_a_node_that_fills_is_a_page_within_a_quarter_of_an_hour_and_one_that_comes_back_is_none() -> None:
    memory = 0.5 * _noise(5, 0.01)
    memory[4 * DAY : 4 * DAY + 2] = np.nan
    memory[4 * DAY + 2 :] *= 1 - 0.6 * np.exp(-np.arange(ROWS - 4 * DAY - 2) / 12)
    memory[AT : AT + 12] += 0.04 * np.arange(12)
    rows = [row for _, row in _paged({"node": memory}, MEMORY)]
    assert AT <= min(rows) <= AT + 3


def test_half_of_a_group_shares_what_its_smaller_half_has() -> None:
    excess = np.array([[5.0], [1.0], [7.0], [4.0], [2.0], [9.0], [3.0]])
    group = np.array([2, 0, 1, 0, 0, 2, 0])
    assert shared_by_half(excess, group)[:, 0].tolist() == [5.0, 2.0, 0.0, 2.0, 2.0, 5.0, 2.0]


def _with_jobs(seed: int) -> Floats:
    """Three jobs of a quarter of an hour a day, at any time."""
    values, rng = _noise(seed, 0.05), np.random.default_rng([seed, 1])
    for begin in rng.integers(0, AT - 12, 3 * DAYS).tolist():
        values[begin : begin + 3] += rng.exponential(2.0)
    return values


def test_what_lasts_is_a_page_where_short_jobs_are_as_high() -> None:
    series = {"a": _with_jobs(1), "b": _with_jobs(2)}
    series["a"][AT : AT + 12] += 3.0
    assert [one for one in _paged(series, CPU) if one[1] >= AT] == []
    found = [one for one in _paged(series, replace(CPU, lasts=True)) if one[1] >= AT]
    assert found[0] == ("a", AT + 5)


@pytest.mark.parametrize(("struck", "factor", "called"), [("abcd", 3.0, ""), ("a", 3.0, "a"), ("abcd", 12.0, "abcd")])
def test_load_that_a_workload_shares_is_no_page_unless_it_is_extreme(struck: str, factor: float, called: str) -> None:
    series = {name: _noise(seed, 0.05) for seed, name in enumerate("abcd")}
    for name in struck:
        series[name][AT : AT + 12] *= factor
    assert {name for name, _ in _paged(series, replace(CPU, shared=2.0))} == set(called)
