"""Rows of what has stopped, and when there are none."""

import json
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
    return Watched(own, [Entity(f"queue={name}", {"queue": name}) for name in names[:n]], state)


def window(source: str = FETCHED) -> NewestWindow:
    times = pd.date_range(NOW - timedelta(minutes=60), NOW - timedelta(minutes=6), freq="60s", unit="us")
    series = PodSeries(
        times, PODS, {POD_CPU.name: np.full((2, 1, len(times)), 0.1)}, np.zeros((2, len(times)), dtype=np.int8)
    )
    nodes = NodeHistory(("n0", "n1"), times[::5], {EACH_NODE_CPU.name: np.full((2, len(times[::5])), 0.3)})
    return NewestWindow(source, PodHistory(series, series), nodes)


def heard(*queues: str, pods: tuple[str, ...] = PODS, nodes: tuple[str, ...] = ("n0", "n1")) -> Present:
    """Everything is there; the metric has a value of these queues, or of these pods."""
    series = [json.dumps({"queue": queue}) for queue in queues]
    return Present(
        lasting=frozenset(PODS),
        pods=dict.fromkeys(PODS, "StatefulSet/cart"),
        desired={"shop/StatefulSet/cart": 2.0},
        heard=frozenset(pods),
        nodes=frozenset(nodes),
        series={SPEC.name: frozenset(series)},
    )


def found(present: Present, *metrics: Watched, source: str = FETCHED) -> set[tuple[str, str, str]]:
    record = ScoresRecord(cluster="prod", made_at=NOW, source="prometheus", code_version="0")
    run = ScoresRun(record, no_rows(SCORE_COLUMNS), no_rows(FORECAST_COLUMNS))
    result = with_silence(run, window(source), metrics, present, NOW)
    assert (result.record.silence_until is None) is (source == CACHED)
    rows = result.silence
    return set(zip(rows["reason"], rows["entity"], rows["severity"], strict=True))


@pytest.mark.parametrize(("minutes", "silent"), [(3, True), (60, True), (25 * 60, False)])
def test_a_series_that_the_query_no_longer_has_is_reported_for_a_day(minutes: float, silent: bool) -> None:
    expected = {("metric_stopped", "queue=b", "info")} if silent else set()
    assert found(heard("a", "c"), watched(3, minutes, 3)) == expected
    assert found(heard("a", "b", "c"), watched(3, minutes, 3)) == set()


def test_a_metric_that_stopped_as_a_whole_is_one_row() -> None:
    assert found(heard(), watched(30, 31, 32)) == {("metric_stopped", "", "info")}


def test_series_that_others_replace_are_not_the_whole_metric() -> None:
    assert found(heard("d"), watched(3, 3)) == {
        ("metric_stopped", "queue=a", "info"),
        ("metric_stopped", "queue=b", "info"),
    }


def test_a_metric_that_does_not_want_it_or_was_not_asked_for_is_not_reported() -> None:
    assert found(heard(), watched(3, 30, own=OwnMetric(SPEC))) == set()
    assert found(replace(heard(), series={}), watched(3, 30)) == set()


@pytest.mark.parametrize(("maintenance", "silent"), [("Mon 11:00-13:00", False), ("Tue 11:00-13:00", True)])
def test_during_maintenance_nothing_is_reported(maintenance: str, silent: bool) -> None:
    own = replace(LOUD, watch=replace(LOUD.watch, maintenance=(parse_window(maintenance),)))
    assert bool(found(heard("a"), watched(3, 30, own=own))) is silent


def test_a_frozen_value_is_reported_while_it_arrives() -> None:
    still = watched(3, 3)
    still.state.stillness[1] = [7.0, 2.0, 900.0]
    assert found(heard("a", "b"), still) == {("metric_frozen", "queue=b", "info")}
    assert found(heard("a"), still) == {("metric_stopped", "queue=b", "info")}


@pytest.mark.parametrize("lives", [True, False])
def test_a_series_of_a_pod_is_missed_while_the_pod_lives(lives: bool) -> None:
    own = replace(LOUD, spec=replace(SPEC, per="pod", labels=()))
    one = watched(3, 30, own=own)
    one = replace(one, entities=[Entity(pod, {}) for pod in PODS])
    shown = json.dumps({"namespace": "shop", "pod": "cart-0"})
    present = replace(heard(pods=PODS if lives else PODS[:1]), series={SPEC.name: frozenset({shown})}, pods={})
    assert found(present, one) == ({("metric_stopped", PODS[1], "info")} if lives else set())


def test_a_node_and_a_pod_are_reported_with_what_is_known_of_them() -> None:
    gone = heard(pods=PODS[:1], nodes=("n0",))
    assert found(gone) == {("node_gone", "n1", "critical"), ("pod_vanished", PODS[1], "critical")}
    assert found(replace(gone, pods={}, nodes=frozenset())) == set()
    assert found(heard()) == set()


def test_while_the_server_is_away_nothing_is_known() -> None:
    assert found(heard(pods=PODS[:1], nodes=("n0",)), watched(3, 30), source=CACHED) == set()
