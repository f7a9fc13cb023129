"""Pages of a run: who is called, and how a run goes on from the one before."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from aiops_assets.datasets.newest import NewestWindow, generated_window
from aiops_assets.datasets.nodes import NODE_METRICS, NodeHistory
from aiops_assets.registry import paging
from aiops_assets.registry.paging import NOBODY_PAGED, Paged, Paging
from aiops_assets.storage.page_state import PageState, PageStates
from aiops_assets.storage.scores import PAGE_COLUMNS
from aiops_assets.storage.storage import LocalStorage
from aiops_assets.timeseries.catalog import EACH_NODE_DISK, NODE_MEMORY, POD_CPU, POD_MEMORY
from aiops_assets.timeseries.series import Floats
from aiops_assets.views.pod_history import PodHistory
from aiops_assets_tests.conftest import make_settings

NOW = datetime(2026, 11, 1, 10, 0, 30, tzinfo=UTC)
SICK = "synthetic-001"
CPU, MEMORY = POD_CPU.name, POD_MEMORY.name
Change = Callable[[Floats], None]


def window_at(folder: Path, now: datetime = NOW) -> NewestWindow:
    """Five healthy pods."""
    return generated_window(make_settings(folder, TRAINING_PODS="5"), now)


def busy(window: NewestWindow, begin: datetime, minutes: int, metric: str = CPU, amount: float = 3.0) -> NewestWindow:
    """The same with more of a metric in one pod for some minutes."""
    assert isinstance(window.pods, PodHistory)
    series = window.pods.rows
    values = series.values[metric].copy()
    at = (series.times > pd.Timestamp(begin)) & (series.times <= pd.Timestamp(begin + timedelta(minutes=minutes)))
    values[series.pods.index(SICK), 0, at] += amount
    rows = replace(series, values={**series.values, metric: values})
    return replace(window, pods=replace(window.pods, rows=rows))


def with_nodes(window: NewestWindow, change: Change = lambda values: None) -> NewestWindow:
    """The same with two nodes; ``change`` is of the second one's memory."""
    assert isinstance(window.pods, PodHistory)
    times = window.pods.rows.times
    rng = np.random.default_rng(1)
    values = {metric.name: 0.5 + 0.01 * rng.standard_normal((2, len(times))) for metric in NODE_METRICS}
    values[EACH_NODE_DISK.name][0] = np.nan
    change(values[NODE_MEMORY.name][1])
    return replace(window, nodes=NodeHistory(("node-a", "node-b"), times, values))


def who(found: Paged) -> set[tuple[str, str]]:
    """Pod or node, and metric."""
    return set(zip(found.rows["pod"] + found.rows["node"], found.rows["metric"], strict=True))


@pytest.fixture
def states(tmp_path: Path) -> PageStates:
    return PageStates(LocalStorage(tmp_path), "prod")


def test_a_healthy_hour_calls_nobody(tmp_path: Path) -> None:
    found = Paging().pages(with_nodes(window_at(tmp_path)))
    assert found.rows.empty
    assert list(found.rows.columns) == list(PAGE_COLUMNS)
    assert found.until == NOW.replace(second=0)


def test_a_pod_that_is_busy_now_is_a_page_and_others_are_none(tmp_path: Path) -> None:
    found = Paging().pages(busy(window_at(tmp_path), NOW - timedelta(minutes=30), 30))
    assert who(found) == {(SICK, CPU)}
    assert set(found.rows["workload"]) == {"synthetic"}
    # The first row alone may be a blip.
    assert found.rows["timestamp"].min() == pd.Timestamp(NOW).floor("5min") - pd.Timedelta(minutes=20)


def test_what_was_more_than_an_hour_ago_is_no_page_of_this_run(tmp_path: Path) -> None:
    assert Paging().pages(busy(window_at(tmp_path), NOW - timedelta(hours=3), 60)).rows.empty


def test_a_node_is_a_page_by_its_own_memory(tmp_path: Path) -> None:
    def fills(values: Floats) -> None:
        values[-6:] += 0.3

    found = Paging().pages(with_nodes(window_at(tmp_path), fills))
    assert who(found) == {("node-b", NODE_MEMORY.name)}
    assert set(found.rows["pod"]) == {""}


def test_without_pods_nobody_is_called_and_that_is_known() -> None:
    assert Paging().pages(NewestWindow("prometheus")) is NOBODY_PAGED
    assert NOBODY_PAGED.until is None


@pytest.mark.parametrize("metric", [CPU, MEMORY])
def test_runs_that_go_on_decide_as_one_that_reads_everything(tmp_path: Path, states: PageStates, metric: str) -> None:
    begin = NOW - timedelta(minutes=20)
    ends = [NOW + timedelta(minutes=5 * i) for i in range(4)]
    seen: set[pd.Timestamp] = set()
    for now in ends:
        found = Paging(states).pages(busy(window_at(tmp_path, now), begin, 25, metric))
        seen |= set(found.rows["timestamp"])
    alone = Paging().pages(busy(window_at(tmp_path, ends[-1]), begin, 25, metric))
    assert set(found.rows["timestamp"]) == set(alone.rows["timestamp"]) == seen
    assert who(found) == who(alone) == {(SICK, metric)}


def test_a_run_reads_what_is_new_alone(tmp_path: Path, states: PageStates, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []

    def counted(entities: paging.Entities, at: slice, original: Callable[..., pd.DataFrame] = paging._rows) -> object:
        rows = original(entities, at)
        read.append(rows["timestamp"].nunique())
        return rows

    monkeypatch.setattr(paging, "_rows", counted)
    Paging(states).pages(window_at(tmp_path))
    assert sum(read) > 2000
    read.clear()
    Paging(states).pages(window_at(tmp_path, NOW + timedelta(minutes=5)))
    assert sum(read) <= 8


def test_a_state_that_cannot_be_read_is_as_none(tmp_path: Path, states: PageStates) -> None:
    sick = busy(window_at(tmp_path), NOW - timedelta(minutes=30), 30)
    expected = who(Paging(states).pages(sick))
    file = tmp_path / states.folder / "pods.npz"
    whole = file.read_bytes()
    for damage in (whole[: len(whole) // 2], b"", b"PK\x03\x04 nonsense"):
        file.write_bytes(damage)
        assert states.read("pods") is None
        assert who(Paging(states).pages(sick)) == expected
    found = states.read("pods")
    assert found
    states.write("pods", PageState(found.until, b"of another release", found.pages))
    assert who(Paging(states).pages(sick)) == expected


def test_a_state_of_the_future_hides_nothing(tmp_path: Path, states: PageStates) -> None:
    Paging(states).pages(window_at(tmp_path, NOW + timedelta(hours=2)))
    sick = busy(window_at(tmp_path), NOW - timedelta(minutes=30), 30)
    assert who(Paging(states).pages(sick)) == {(SICK, CPU)}


@pytest.mark.parametrize(("minutes", "shown"), [(1, 10), (5, 10), (15, 30), (60, 120)])
def test_a_run_shows_what_the_run_before_could_have_shown(minutes: int, shown: int) -> None:
    assert Paging(run_minutes=minutes).shown_minutes == shown
