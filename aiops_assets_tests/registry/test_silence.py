"""Rows of what has stopped, and when there are none."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from aiops_assets.datasets.newest import CACHED, FETCHED, NewestWindow
from aiops_assets.datasets.nodes import NodeHistory
from aiops_assets.datasets.own_rows import Entity
from aiops_assets.learners.bands.state import BandState
from aiops_assets.learners.silence.entities import Present
from aiops_assets.registry.silence import Watched, with_silence
from aiops_assets.storage.metric_state import SHOWN, MetricState
from aiops_assets.storage.scores import FORECAST_COLUMNS, SCORE_COLUMNS, ScoresRecord, ScoresRun, no_rows
from aiops_assets.timeseries.catalog import EACH_NODE_CPU, POD_CPU, MetricSpec
from aiops_assets.timeseries.series import PodSeries
from aiops_assets.timeseries.watch import OwnMetric, Watch, parse_window
from aiops_assets.views.pod_history import PodHistory

NOW = datetime(2026, 11, 2, 12, 0, tzinfo=UTC)
"""A Monday."""
AT = NOW.timestamp()
SPEC = MetricSpec("depth", "depth", "messages", "labels", "", step_seconds=60, labels=("queue",))
LOUD = OwnMetric(SPEC, watch=Watch(silence=True, severity="info"))
PODS = ("shop/cart-0", "shop/cart-1")


def watched(*seen_minutes_ago: float, own: OwnMetric = LOUD, names: tuple[str, ...] = ("a", "b", "c")) -> Watched:
    n = len(seen_minutes_ago)
    none = np.zeros((n, 0))
    state = MetricState(
        identity="",
        since="",
        until=int(AT) - 180,
        series=names[:n],
        looks_like_counter=False,
        band=BandState.new(n),
        seen=AT - 60 * np.array(seen_minutes_ago),
        raw=np.full(n, 5.0),
        stillness=np.tile([1.0, 2.0, 900.0], (n, 1)),
        seconds=np.zeros(0, dtype=np.int64),
        shown=dict.fromkeys(SHOWN, none),
        history=none,
    )
    return Watched(own, [Entity(name, {"queue": name}) for name in names[:n]], state)


def window(
    source: str = FETCHED, silent_pod: bool = False, silent_node: bool = False, nodes: tuple[str, ...] = ("n0", "n1")
) -> NewestWindow:
    times = pd.date_range(NOW - timedelta(minutes=60), NOW - timedelta(minutes=6), freq="60s", unit="us")
    cpu = np.full((2, 1, len(times)), 0.1)
    cpu[1, 0, -10:] = np.nan if silent_pod else 0.1
    series = PodSeries(times, PODS, {POD_CPU.name: cpu}, np.zeros((2, len(times)), dtype=np.int8))
    rows = times[::5]
    of_nodes = np.full((len(nodes), len(rows)), 0.3)
    of_nodes[1, -3:] = np.nan if silent_node else 0.3
    return NewestWindow(source, PodHistory(series, series), NodeHistory(nodes, rows, {EACH_NODE_CPU.name: of_nodes}))


def found(seen: NewestWindow, *metrics: Watched, present: Present | None = None) -> set[tuple[str, str, str]]:
    record = ScoresRecord(cluster="prod", made_at=NOW, source="prometheus", code_version="0")
    run = ScoresRun(record, no_rows(SCORE_COLUMNS), no_rows(FORECAST_COLUMNS))
    everything = Present(frozenset(PODS), dict.fromkeys(PODS, "StatefulSet/cart"), {"shop/StatefulSet/cart": 2.0})
    result = with_silence(run, seen, metrics, everything if present is None else present, NOW)
    assert (result.record.silence_until is None) is (seen.source == CACHED)
    rows = result.silence
    return set(zip(rows["reason"], rows["entity"], rows["severity"], strict=True))


@pytest.mark.parametrize(("minutes", "silent"), [(4, False), (5, True), (60, True), (25 * 60, False)])
def test_a_series_without_its_two_newest_samples_has_stopped(minutes: float, silent: bool) -> None:
    # Samples settle for 150 s: the newest one that can be there is of three minutes ago.
    expected = {("metric_stopped", "b", "info")} if silent else set()
    assert found(window(), watched(3, minutes, 3)) == expected


def test_a_metric_that_stopped_as_a_whole_is_one_row() -> None:
    assert found(window(), watched(30, 31, 32)) == {("metric_stopped", "", "info")}


def test_a_metric_that_does_not_want_it_is_not_reported() -> None:
    assert found(window(), watched(3, 30, own=OwnMetric(SPEC))) == set()


@pytest.mark.parametrize(("maintenance", "silent"), [("Mon 11:00-13:00", False), ("Tue 11:00-13:00", True)])
def test_during_maintenance_nothing_is_reported(maintenance: str, silent: bool) -> None:
    own = replace(LOUD, watch=replace(LOUD.watch, maintenance=(parse_window(maintenance),)))
    assert bool(found(window(), watched(3, 30, own=own))) is silent


def test_a_frozen_value_is_reported_while_it_arrives() -> None:
    still = watched(3, 3)
    still.state.stillness[1] = [7.0, 2.0, 900.0]
    assert found(window(), still) == {("metric_frozen", "b", "info")}


@pytest.mark.parametrize(("silent_pod", "expected"), [(True, set()), (False, {("metric_stopped", PODS[1], "info")})])
def test_a_series_of_a_pod_is_missed_while_the_pod_lives(silent_pod: bool, expected: set[object]) -> None:
    own = replace(LOUD, spec=replace(SPEC, per="pod", labels=()))
    metrics = watched(3, 30, own=own, names=PODS)
    assert found(window(silent_pod=silent_pod), metrics, present=Present()) == expected


def test_a_node_and_a_pod_are_reported_with_what_is_known_of_them() -> None:
    assert found(window(silent_pod=True, silent_node=True)) == {
        ("node_gone", "n1", "critical"),
        ("pod_vanished", PODS[1], "critical"),
    }
    assert found(window(silent_pod=True), present=Present()) == set()
    assert found(window()) == set()


def test_while_the_server_is_away_nothing_is_known() -> None:
    assert found(window(CACHED, silent_pod=True, silent_node=True), watched(3, 30)) == set()
