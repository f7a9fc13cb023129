"""Fill-ins are no data: metrics that pods lack and nodes that were missing, from the lake to the training set."""

from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from aiops_assets.datasets.known import fewer_nodes, known_metrics, notes_on, notes_on_nodes, unknown_metrics
from aiops_assets.datasets.notes import Note
from aiops_assets.datasets.window import Window, read_window
from aiops_assets.storage.lake import Lake
from aiops_assets.storage.records import FewerNodes, KnownMetric, SourceReport
from aiops_assets.timeseries.catalog import (
    NODE_CPU,
    NODE_MEMORY,
    POD_CPU,
    POD_MEMORY,
    RESTARTS,
)
from aiops_assets.timeseries.quality import KnownRows, known_rows
from aiops_assets.timeseries.series import PodSeries
from aiops_assets.views.catalog import POD_FEATURES, POD_SERIES, VIEWS
from aiops_assets_tests.conftest import END
from aiops_assets_tests.datasets.pod_lake import PODS, WINDOW, fill, made_of, pods, store, without_limit


@pytest.fixture(scope="module")
def series() -> PodSeries:
    return pods()


@pytest.mark.parametrize("view", [POD_FEATURES, POD_SERIES])
def test_rows_of_pods_without_a_limit_are_counted(lake: Lake, series: PodSeries, tmp_path: Path, view: str) -> None:
    fill(lake, series, without_limit(*range(2, PODS)))
    rows, record = made_of(lake, view, tmp_path)
    memory, cpu = (record.source.known[metric.name] for metric in (POD_MEMORY, POD_CPU))
    assert memory.share == pytest.approx(2 / 6, abs=1e-3)
    assert (memory.rows, memory.pods, memory.lacking) == ((rows["source"] == "prometheus").sum(), 6, 4)
    assert (memory.window_pods, memory.window_lacking) == (PODS, PODS - 2)
    assert set(memory.names) == set(record.pods) - set(series.pods[:2])
    assert set(series.pods[:2]) < set(record.pods)
    assert cpu.share == pytest.approx(1, abs=1e-3)
    assert (cpu.lacking, cpu.names) == (0, ())
    (note,) = notes_on(record.source.known)
    assert (note.code, note.facts["metric"], note.facts["share"]) == (
        "metric_not_judged",
        POD_MEMORY.name,
        memory.share,
    )
    assert note.text in record.source.warnings
    assert record.source.coverage == 1


def test_a_cluster_with_all_limits_warns_of_nothing(lake: Lake, series: PodSeries, tmp_path: Path) -> None:
    fill(lake, series, {})
    source = made_of(lake, POD_FEATURES, tmp_path)[1].source
    assert source.warnings == ()
    assert {one.share for one in source.known.values()} == {1.0}
    assert (notes_on(source.known), unknown_metrics(source.known)) == ([], [])


def test_pods_that_were_not_drawn_are_counted_too(lake: Lake, series: PodSeries, tmp_path: Path) -> None:
    """Six of twelve pods have a limit and are drawn: every row knows its memory, half of the cluster is not judged."""
    fill(lake, series, without_limit(*range(6, PODS)))
    record = made_of(lake, POD_FEATURES, tmp_path)[1]
    memory = record.source.known[POD_MEMORY.name]
    assert record.pods == series.pods[:6]
    assert (memory.share, memory.lacking, memory.window_lacking) == (1.0, 0, 6)
    assert memory.names == series.pods[6:]
    assert [note.code for note in notes_on(record.source.known)] == ["metric_not_judged"]


def test_a_limit_that_was_set_late_is_no_complete_pod(lake: Lake, series: PodSeries, tmp_path: Path) -> None:
    """Three pods have a limit for the last hours only: the rows before are lost, and others are drawn before them."""
    minutes = len(series.times)
    fill(lake, series, {POD_MEMORY.name: dict.fromkeys(range(3), minutes // 4)})
    assert read_window(lake, WINDOW).lacking(POD_MEMORY.name) == series.pods[:3]
    assert made_of(lake, POD_FEATURES, tmp_path, pods=9)[1].pods == series.pods[3:]
    record = made_of(lake, POD_FEATURES, tmp_path, pods=12)[1]
    memory = record.source.known[POD_MEMORY.name]
    assert (memory.share, memory.lacking, memory.partly, memory.window_lacking) == (1.0, 0, 3, 3)
    assert {note.code for note in notes_on(record.source.known)} == {"metric_not_judged", "metric_part_of_life"}


def test_a_metric_that_no_drawn_pod_has_is_known_by_no_row(lake: Lake, series: PodSeries, tmp_path: Path) -> None:
    """Only a pod of half an hour, which is never drawn, has restart counts: coverage sees them, rows do not."""
    short = np.zeros(PODS, dtype=bool)
    short[0] = True
    for metric in (POD_CPU, POD_MEMORY, RESTARTS):
        values = series.values[metric.name][:, 0].copy()
        values[short, :-30] = np.nan
        if metric is RESTARTS:
            values[~short] = np.nan
        names = [f'{{"pod": "{pod}"}}' for pod in series.pods]
        store(lake, metric, pd.DataFrame(values.T, index=series.times, columns=names).dropna(axis=1, how="all"))
    for metric in (NODE_CPU, NODE_MEMORY):
        values = series.values[metric.name][0, 0]
        store(lake, metric, pd.DataFrame({'{"instance": "node"}': values}, index=series.times))
    source = made_of(lake, POD_FEATURES, tmp_path)[1].source
    assert source.coverage_by_metric[RESTARTS.name] > 0
    (note,) = unknown_metrics(source.known)
    assert (note.code, note.facts) == ("metric_unknown", {"metric": RESTARTS.name, "pods": 6})


def test_restarts_that_a_roll_out_doubles_are_noted(lake: Lake, series: PodSeries, tmp_path: Path) -> None:
    """Two kube-state-metrics are scraped for ten minutes: each pod with restarts has twice as many."""
    fill(lake, series, {})
    counts = np.arange(PODS)[:, np.newaxis] + np.zeros((PODS, len(series.times)))
    counts[:, 1000:1010] *= 2
    names = [f'{{"pod": "{pod}"}}' for pod in series.pods]
    store(lake, RESTARTS, pd.DataFrame(counts.T, index=series.times, columns=names))
    expected = Note("doubled_restarts", doubled=PODS - 1, pods=PODS, first=series.times[1000])
    assert made_of(lake, POD_FEATURES, tmp_path, pods=PODS)[1].source.warnings == (expected.text,)


def test_nodes_that_were_missing_are_counted_and_noted_once(lake: Lake, series: PodSeries, tmp_path: Path) -> None:
    fill(lake, series, {})
    steps = pd.date_range(series.times[0], END, freq="5min", inclusive="left", unit="us", name="timestamp")
    counts = pd.DataFrame({"{}": np.where(np.arange(len(steps)) < 31 * 12, 2.0, 3.0)}, index=steps)
    store(lake, NODE_CPU.members, counts)
    away = np.where(np.arange(len(series.times)) < 31 * 60, np.nan, 0.5)
    others = {'{"instance": "b"}': 0.5, '{"instance": "c"}': away}
    store(lake, NODE_MEMORY, pd.DataFrame(others, index=series.times))
    source = made_of(lake, POD_FEATURES, tmp_path)[1].source
    missing = FewerNodes(least=2, most=3, hours=31.0, share=31 / 48)
    assert source.nodes == {NODE_CPU.name: missing, NODE_MEMORY.name: missing.model_copy(update={"names": ("c",)})}
    (note,) = notes_on_nodes(source.nodes)
    assert note.facts["names"] == ("c",)
    assert note.facts["metrics"] == (NODE_CPU.name, NODE_MEMORY.name)
    assert source.warnings == (note.text,)


def test_a_second_scrape_job_is_no_second_node(lake: Lake, series: PodSeries) -> None:
    """For the first half of the window, each of two nodes is scraped by a second job, on another port."""
    half = np.where(np.arange(len(series.times)) < len(series.times) // 2, 0.5, np.nan)
    for labels in ('{{"instance": "{0}", "job": "{1}"}}', '{{"instance": "{0}:{1}", "node": "{0}"}}'):
        frame = {labels.format(node, job): half if job else 0.5 for node in ("a", "b") for job in (0, 1)}
        store(lake, NODE_MEMORY, pd.DataFrame(frame, index=series.times))
        assert fewer_nodes(lake, WINDOW) == {}
    assert lake.read_day(NODE_MEMORY, WINDOW[0])[0].shape[1] == 8


def test_a_node_that_is_replaced_is_none_that_was_missing(lake: Lake) -> None:
    """Four nodes of three for an hour of two days, while one is replaced."""
    steps = pd.date_range(END - timedelta(days=2), END, freq="5min", inclusive="left", unit="us", name="timestamp")
    counts = pd.DataFrame({"{}": np.where(np.arange(len(steps)) < 12, 4.0, 3.0)}, index=steps)
    store(lake, NODE_CPU.members, counts)
    assert fewer_nodes(lake, WINDOW) == {}
    assert fewer_nodes(lake, []) == {}


def test_rows_that_know_a_metric_are_counted_by_metric_and_pod() -> None:
    known = pd.DataFrame({"a": [True, False, True, False], "b": [True, True, True, True]})
    owners = pd.Series(["x", "y", "x", "z"], index=[4, 5, 6, 7])
    assert known_rows(known, owners) == {
        "a": KnownRows(rows=4, known=2, pods=3, lacking=("y", "z")),
        "b": KnownRows(rows=4, known=4, pods=3, lacking=()),
    }


def test_generated_rows_are_not_counted(series: PodSeries) -> None:
    rows = pd.DataFrame({"source": ["synthetic"], "pod": ["a"]})
    assert known_metrics(VIEWS[POD_SERIES], rows) == {}


def test_records_of_older_code_were_not_counted() -> None:
    older = SourceReport.model_validate({"asked": "prometheus", "coverage": 1.0, "warnings": []})
    assert (older.known, older.nodes) == ({}, {})
    assert (notes_on(older.known), unknown_metrics(older.known), notes_on_nodes(older.nodes)) == ([], [], [])


def test_names_of_a_record_are_few(series: PodSeries) -> None:
    names = [f"pod-{i:04d}" for i in range(500)]
    rows = pd.DataFrame({"source": "prometheus", "pod": names, **dict.fromkeys(VIEWS[POD_SERIES].values, np.nan)})
    memory = known_metrics(VIEWS[POD_SERIES], rows)[POD_MEMORY.name]
    assert isinstance(memory, KnownMetric)
    assert (memory.lacking, memory.names) == (500, tuple(names[:10]))


def test_pods_of_a_window_without_pods_are_none(lake: Lake) -> None:
    window = read_window(lake, WINDOW)
    assert isinstance(window, Window)
    assert (window.lasting, window.complete, window.lacking(POD_MEMORY.name)) == ((), frozenset(), ())
