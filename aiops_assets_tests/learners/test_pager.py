"""Pages: what a person is called for, and what not."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from aiops_assets.errors import ModelError
from aiops_assets.learners.fleet.levels import UNSEEN, Margins, habits, return_levels
from aiops_assets.learners.fleet.pager import Pager
from aiops_assets.learners.fleet.signals import NODE_SIGNALS, POD_SIGNALS, Signal
from aiops_assets.timeseries import catalog
from aiops_assets.timeseries.series import Floats
from aiops_assets_tests.raising import raises

DAY = 288
DAYS = 9
SIGNALS = (Signal("cpu", least=1.0), Signal("memory", least=0.1), Signal("restarts", counter=True))
START = pd.Timestamp("2026-01-05", tz="UTC")
AT = 8 * DAY + 150
"""A row at noon of the last day."""

Change = Callable[[dict[str, Floats]], None]


def _rows(change: Change | None = None, scale: float = 1.0, pods: int = 6) -> pd.DataFrame:
    """Pods of two workloads, with a daily season; ``change`` is of pod-1."""
    rng = np.random.default_rng(3)
    n = DAYS * DAY
    parts = []
    for pod in range(pods):
        day = 1 + 0.3 * np.sin(2 * np.pi * np.arange(n) / DAY)
        values = {
            "cpu": 0.2 * day * (1 + 0.05 * rng.standard_normal(n)),
            "memory": 0.5 + 0.01 * rng.standard_normal(n),
            "restarts": np.full(n, 3.0),
        }
        if pod == 1 and change:
            change(values)
        frame = pd.DataFrame(values) * [scale, scale, 1.0]
        frame["timestamp"] = START + pd.to_timedelta(5 * np.arange(n), unit="min")
        parts.append(frame.assign(entity=f"pod-{pod}", workload=f"shop-{pod // 3}"))
    return pd.concat(parts).sort_values("timestamp", kind="stable", ignore_index=True)


def _paged(rows: pd.DataFrame, alerts_per_day: float = 1.0) -> pd.DataFrame:
    found = Pager(SIGNALS, alerts_per_day).pages(rows)
    return rows.assign(signal=found.signal)[found.page]


def _add(name: str, first: int, last: int, amount: float) -> Change:
    def change(values: dict[str, Floats]) -> None:
        values[name][first:last] += amount

    return change


def _every_day(values: dict[str, Floats]) -> None:
    for day in range(DAYS):
        values["cpu"][day * DAY + 30 : day * DAY + 38] += 1.0


def _crash_loop(values: dict[str, Floats]) -> None:
    values["restarts"][AT:] += np.minimum(np.arange(DAYS * DAY - AT) + 1, 20)


def _leak(values: dict[str, Floats]) -> None:
    values["memory"][AT : AT + 40] += np.linspace(0, 0.45, 40)


@pytest.mark.parametrize(
    ("change", "signal", "rows_until"),
    [
        (_add("cpu", AT, AT + 4, 1.0), "cpu", 3),
        (_crash_loop, "restarts", 3),
        (_leak, "memory", 26),
    ],
)
def test_an_incident_pages_its_pod_in_time_and_no_other(change: Change, signal: str, rows_until: int) -> None:
    found = _paged(_rows(change))
    assert set(found["entity"]) == {"pod-1"}
    assert set(found["signal"]) == {signal}
    assert (found["timestamp"].iloc[0] - START) / pd.Timedelta(minutes=5) < AT + rows_until


@pytest.mark.parametrize(
    "change",
    [
        None,
        _add("cpu", AT, AT + 1, 3.0),  # a blip
        _add("cpu", AT, DAYS * DAY, 0.1),  # more load
        _add("cpu", AT, AT + 20, -0.15),  # scaled down
        _add("restarts", AT, DAYS * DAY, 1.0),  # one restart
        _add("restarts", AT, DAYS * DAY, -3.0),  # a counter begins anew
    ],
)
def test_what_is_harmless_does_not_page(change: Change | None) -> None:
    assert _paged(_rows(change)).empty


def test_work_of_each_night_pages_at_most_while_it_is_new() -> None:
    found = _paged(_rows(_every_day))
    assert (found["timestamp"] < START + pd.Timedelta(days=4)).all()


def test_a_pod_that_starts_is_measured_by_its_predecessors_and_not_in_its_first_hour() -> None:
    rows = _rows()
    renamed = rows["timestamp"] >= START + pd.Timedelta(minutes=5 * AT)
    rows.loc[renamed, "entity"] = rows["entity"] + "-new"
    starts = renamed & (rows["timestamp"] < START + pd.Timedelta(minutes=5 * (AT + 3)))
    rows.loc[starts, "cpu"] += 2.0
    assert _paged(rows).empty
    later = START + pd.Timedelta(minutes=5 * (AT + 20))
    struck = (rows["entity"] == "pod-1-new") & rows["timestamp"].between(later, later + pd.Timedelta(minutes=20))
    rows.loc[struck, "cpu"] += 1.0
    assert set(_paged(rows)["entity"]) == {"pod-1-new"}


def test_the_unit_does_not_matter() -> None:
    change = _add("cpu", AT, AT + 4, 1.0)
    found = [_paged(_rows(change, scale))["timestamp"].tolist() for scale in (1.0, 1e-9, 1e9)]
    assert found[0]
    assert found[0] == found[1] == found[2]


def test_a_second_incident_is_paged_like_the_first() -> None:
    def twice(values: dict[str, Floats]) -> None:
        values["cpu"][AT : AT + 4] += 1.0
        values["cpu"][AT + 24 : AT + 28] += 1.0

    rows = (_paged(_rows(twice))["timestamp"] - START) / pd.Timedelta(minutes=5)
    assert (rows < AT + 6).any()
    assert (rows >= AT + 24).any()


def test_levels_rise_as_the_budget_falls_and_are_exceeded_no_more_often_than_asked() -> None:
    rng = np.random.default_rng(0)
    hours, least = rng.exponential(2.0, (14 * 24, 2000, 1)), np.zeros((2000, 1))
    levels = [return_levels(hours, least, p, Margins(record=0.0)) for p in (1e-1, 1e-2, 1e-3)]
    assert (levels[0] < levels[1]).all()
    assert (levels[1] < levels[2]).all()
    days = rng.exponential(2.0, (24, 2000, 1)).max(axis=0)
    exceeded = [float((days > level).mean()) for level in levels]
    assert 0.05 < exceeded[0] < 0.12
    assert 0.003 < exceeded[1] < 0.015
    assert exceeded[2] < 0.003


def test_what_is_rare_is_not_taken_for_the_end_of_what_is_common() -> None:
    hours = np.random.default_rng(0).exponential(0.01, (14 * 24, 1, 1))
    hours[[50, 150, 250]] = [[[1.0]], [[2.0]], [[3.0]]]
    assert return_levels(hours, np.zeros((1, 1)), 1e-3)[0, 0] > 5.0


def test_a_group_that_was_never_seen_has_no_level() -> None:
    assert np.isinf(return_levels(np.full((14, 1, 1), UNSEEN), np.zeros((1, 1)), 0.01)).all()


def test_a_habit_needs_three_days() -> None:
    hours = np.zeros((14 * 24, 1, 1))
    hours[[5 * 24 + 2, 6 * 24 + 2]] = 7.0
    assert habits(hours).max() == 0.0
    hours[2::24] = 7.0
    assert habits(hours)[[1, 2, 3, 4], 0, 0].tolist() == [7.0, 7.0, 7.0, 0.0]


def test_without_a_day_of_history_only_counters_page() -> None:
    rows = _rows(_crash_loop)
    fresh = rows[rows["timestamp"] >= START + pd.Timedelta(days=8)].copy()
    fresh.loc[(fresh["entity"] == "pod-4") & (fresh["timestamp"] > START + pd.Timedelta(minutes=5 * AT)), "cpu"] += 5.0
    assert set(_paged(fresh)["entity"]) == {"pod-1"}


@pytest.mark.parametrize("size", [5, 313])
def test_pages_do_not_depend_on_how_rows_come_nor_on_restarts(size: int) -> None:
    rows = _rows(_add("cpu", AT, AT + 4, 1.0))
    rows = rows[rows["timestamp"] >= START + pd.Timedelta(days=4)].reset_index(drop=True)
    whole = Pager(SIGNALS).pages(rows)
    assert whole.page.any()
    head = len(rows) - 900
    pager = Pager(SIGNALS)
    parts = [pager.pages(rows[:head]).page]
    for first in range(head, len(rows), size):
        if size > 5:
            pager = Pager(SIGNALS).restore(pager.to_bytes())
        parts.append(pager.pages(rows[first : first + size]).page)
    assert (np.concatenate(parts) == whole.page).all()


def test_rows_that_were_judged_are_not_judged_again() -> None:
    rows = _rows(_add("cpu", AT, AT + 4, 1.0))
    pager = Pager(SIGNALS)
    assert pager.pages(rows).page.any()
    state = pager.to_bytes()
    assert not pager.pages(rows).page.any()
    assert pager.to_bytes() == state


def test_a_state_of_other_signals_or_none_is_refused() -> None:
    with raises(ModelError, "other_signals"):
        Pager(SIGNALS).restore(Pager(SIGNALS[:1]).to_bytes())
    with raises(ModelError, "no_page_state"):
        Pager(SIGNALS).restore(b"nothing")


def test_signals_are_columns_of_the_catalogue() -> None:
    pods = (catalog.POD_CPU, catalog.POD_MEMORY, catalog.RESTARTS, catalog.NETWORK_RECEIVE)
    nodes = (catalog.EACH_NODE_CPU, catalog.NODE_MEMORY, catalog.EACH_NODE_DISK)
    assert [one.name for one in POD_SIGNALS] == [metric.name for metric in pods]
    assert [one.name for one in NODE_SIGNALS] == [metric.name for metric in nodes]
