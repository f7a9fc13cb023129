"""Whole pods in unbroken segments: what the window detectors are trained on and judged by."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from aiops_assets.synthetic.pods import generate
from aiops_assets.timeseries.catalog import ENGINE_METRICS, NODE_CPU, POD_CPU, POD_MEMORY, RESTARTS
from aiops_assets.timeseries.schema import content_digest
from aiops_assets.timeseries.series import PodSeries, from_metric_frames
from aiops_assets.views.catalog import POD_SERIES, VIEWS
from aiops_assets.views.pod_features import VISIBLE_KINDS, holdout_of, holdout_start, labelled_series
from aiops_assets.views.pod_series import (
    COLUMNS,
    STEP,
    VALUES,
    blended_segments,
    generated_pods,
    missing_samples,
    out_of_bounds,
    segment_rows,
    segments,
    validate,
)
from aiops_assets_tests.conftest import END
from aiops_assets_tests.views.refusals import Refusal, assert_refused

DAYS, PODS = 3, 5
START = END - pd.Timedelta(days=DAYS)


@pytest.fixture(scope="module")
def series() -> PodSeries:
    return labelled_series(PODS, DAYS, END, 1, 0.03, VISIBLE_KINDS)


@pytest.fixture(scope="module")
def rows(series: PodSeries) -> pd.DataFrame:
    return segment_rows(series, holdout_start(len(series.times)), "synthetic")


def fetched(healthy: PodSeries, lost: dict[str, slice] | None = None) -> PodSeries:
    """What a server would answer: three nodes, and pods that lack some minutes of all metrics."""
    frames = {}
    for metric in ENGINE_METRICS:
        values = healthy.values[metric.name][:, 0].copy()
        if metric.per == "node":
            values, names = values[:3], [json.dumps({"instance": f"n{i}"}) for i in range(3)]
        else:
            names = [json.dumps({"pod": pod}) for pod in healthy.pods]
            for pod, minutes in (lost or {}).items():
                values[healthy.pods.index(pod), minutes] = np.nan
        frames[metric.name] = pd.DataFrame(values.T, index=healthy.times, columns=names)
    return from_metric_frames(frames, ENGINE_METRICS, START, END, healthy.pods)


def test_a_segment_a_pod_every_five_minutes(rows: pd.DataFrame) -> None:
    validate(rows)
    assert tuple(rows.columns) == COLUMNS
    assert len(rows) == PODS * DAYS * 288
    for _, segment in segments(rows):
        assert (segment["timestamp"].diff().dropna() == STEP).all()
        assert segment["pod"].nunique() == 1
    assert (rows.groupby("pod")["timestamp"].min() == START).all()


def test_values_are_the_disturbed_ones_and_stay_so(rows: pd.DataFrame, series: PodSeries) -> None:
    """A window detector sees the episode; a restart counter stays where a storm left it."""
    minutes = ((rows["timestamp"] - START) / pd.Timedelta(minutes=1)).astype(int).to_numpy()
    pods = rows["pod"].map(series.pods.index).to_numpy()
    for metric in ENGINE_METRICS:
        assert (rows[metric.name].to_numpy() == series.values[metric.name][pods, 0, minutes]).all()
    assert series.before
    before = series.before[RESTARTS.name][pods, 0, minutes]
    after_storms = (rows["kind"] == "normal").to_numpy() & (rows[RESTARTS.name].to_numpy() > before)
    assert after_storms.any()
    spikes = rows[rows["kind"] == "cpu_spike"]
    assert (spikes[NODE_CPU.name] > 0.7).all()


def test_labels_are_the_minutes_own_on_both_sides(rows: pd.DataFrame) -> None:
    assert set(rows["kind"]) == {"normal", *VISIBLE_KINDS}
    assert (rows["label"] == (rows["kind"] != "normal")).all()
    for _, side in rows.groupby("split"):
        assert side["label"].mean() == pytest.approx(0.03, abs=0.002)
    cut = END - pd.Timedelta(days=DAYS) * 0.2
    assert (rows.loc[rows["split"] == "holdout", "timestamp"] >= cut).all()
    assert (rows.loc[rows["split"] == "train", "timestamp"] < cut).all()


def test_the_same_recipe_gives_the_same_digest(rows: pd.DataFrame) -> None:
    series = labelled_series(PODS, DAYS, END, 1, 0.03, VISIBLE_KINDS)
    assert content_digest(segment_rows(series, holdout_start(len(series.times)), "synthetic")) == content_digest(rows)


def test_a_pod_has_its_own_life_and_its_gaps_stay_gaps() -> None:
    healthy = generate(PODS, DAYS, END, seed=4)
    first, second, third = healthy.pods[:3]
    late, early, gap = slice(0, 1000), slice(3000, None), slice(2000, 2100)
    real = fetched(healthy, {first: late, second: early, third: gap})
    rows, missing = blended_segments(real, None, 0.0, 1, holdout_of(real))
    validate(rows)
    by_pod = rows.groupby("pod")["timestamp"]
    assert by_pod.min()[first] == START + pd.Timedelta(minutes=1000)
    assert by_pod.max()[second] == START + pd.Timedelta(minutes=2995)
    assert len(rows[rows["pod"] == third]) == DAYS * 288
    holes = rows.loc[rows["pod"] == third, POD_CPU.name].isna()
    assert holes.sum() == 20
    assert rows[NODE_CPU.name].notna().all()
    assert missing == pytest.approx(3 * 20 / (5 * len(rows)))
    assert missing_samples(rows) == missing


def test_node_metrics_are_means_over_the_nodes_that_answer() -> None:
    healthy = generate(PODS, DAYS, END, seed=4)
    real = fetched(healthy)
    nodes = {name: values.copy() for name, values in real.values.items()}
    nodes[NODE_CPU.name][0, 0, 10] = np.nan
    nodes[NODE_CPU.name][0, :, 20] = np.nan
    rows, _ = blended_segments(replace(real, values=nodes), None, 0.0, 1, holdout_of(real))
    pod = rows[rows["pod"] == healthy.pods[0]][NODE_CPU.name].to_numpy()
    expected = healthy.values[NODE_CPU.name][:3, 0]
    assert pod[1] == pytest.approx(expected[:, 5].mean())
    assert pod[2] == pytest.approx(expected[1:, 10].mean())
    assert np.isnan(pod[4])


def test_a_pod_without_memory_limit_is_no_gap() -> None:
    healthy = generate(PODS, DAYS, END, seed=4)
    real = fetched(healthy)
    values = {name: array.copy() for name, array in real.values.items()}
    values[POD_MEMORY.name][0] = np.nan
    rows, missing = blended_segments(replace(real, values=values), None, 0.02, 1, holdout_of(real))
    assert missing == 0.0
    assert rows.loc[rows["pod"] == healthy.pods[0], POD_MEMORY.name].isna().all()
    assert "memory_leak" not in set(rows.loc[rows["pod"] == healthy.pods[0], "kind"])


@pytest.mark.parametrize(("share", "n_pods"), [(0.2, 1), (0.5, 5), (0.8, 20), (0.01, 1)])
def test_a_blend_takes_whole_generated_pods(share: float, n_pods: int) -> None:
    real = fetched(generate(PODS, DAYS, END, seed=4))
    cut = holdout_of(real)
    assert generated_pods(real, share) == n_pods
    generated = labelled_series(n_pods, DAYS, END, 1, 0.03, VISIBLE_KINDS, cut)
    rows, _ = blended_segments(real, generated, 0.03, 1, cut)
    validate(rows)
    counts = rows["source"].value_counts()
    assert counts["synthetic"] == n_pods * DAYS * 288
    assert counts["prometheus"] == PODS * DAYS * 288
    view = VIEWS[POD_SERIES]
    assert abs(rows["label"].mean() - 0.03) * len(rows) < view.label_tolerance(rows, 0.03) / 5
    for _, side in rows.groupby(["source", "split"]):
        assert side["label"].mean() == pytest.approx(0.03, abs=0.003)


def test_short_lives_count_by_their_length() -> None:
    healthy = generate(PODS, DAYS, END, seed=4)
    halved = fetched(healthy, dict.fromkeys(healthy.pods, slice(0, DAYS * 720)))
    assert generated_pods(halved, 0.5) == round(PODS / 2)


WRONG: list[Refusal] = [
    (lambda f: f.drop(columns="label"), "other_columns", {"missing": ["label"], "unexpected": []}),
    (lambda f: f.iloc[:0], "no_rows", {}),
    (lambda f: f.iloc[::-1], "broken_segment", {}),
    (lambda f: f.drop(index=50), "broken_segment", {"pod": "synthetic-000"}),
    (lambda f: f.sort_values("timestamp"), "scattered_pod", {}),
    (lambda f: pd.concat([f, f.iloc[:1]]), "scattered_pod", {}),
    (lambda f: f.assign(split="train"), "one_sided", {"splits": ["train"]}),
    (lambda f: f.assign(pod_cpu_usage=np.inf), "infinite_values", {"columns": ["pod_cpu_usage"]}),
    (lambda f: f.assign(split=np.where(f["split"] == "train", "holdout", "train")), "holdout_not_newer", {}),
]


def test_validation_names_what_is_wrong(rows: pd.DataFrame) -> None:
    assert_refused(validate, rows, WRONG, "views_pod_series")


def test_a_wrong_unit_is_out_of_bounds(rows: pd.DataFrame) -> None:
    assert out_of_bounds(rows) == {}
    percent = rows.assign(node_cpu_utilization=rows[NODE_CPU.name] * 100)
    assert out_of_bounds(percent) == {NODE_CPU.name: len(rows)}
    assert out_of_bounds(rows.assign(**dict.fromkeys(VALUES, np.nan))) == {}
