from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from aiops_assets.errors import DataError, EmptyDataError, SchemaError
from aiops_assets.synthetic.pods import generate
from aiops_assets.timeseries.catalog import ENGINE_METRICS, NODE_CPU, POD_MEMORY, RESTARTS
from aiops_assets.timeseries.drift import drifted, population_stability
from aiops_assets.timeseries.features import ENGINE_DEFAULT, FEATURES
from aiops_assets.timeseries.schema import content_digest, day_digests, require_columns
from aiops_assets.timeseries.series import PodSeries, from_metric_frames
from aiops_assets.views.pod_features import (
    COLUMNS,
    VISIBLE_KINDS,
    blended_rows,
    holdout_of,
    labelled_series,
    out_of_bounds,
    synthetic_rows,
    validate,
)
from aiops_assets_tests.conftest import END
from aiops_assets_tests.raising import raises
from aiops_assets_tests.views.refusals import Refusal, assert_refused


@pytest.fixture(scope="module")
def labelled() -> PodSeries:
    return labelled_series(20, 4, END, 1, 0.03)


@pytest.fixture(scope="module")
def rows(labelled: PodSeries) -> pd.DataFrame:
    return synthetic_rows(labelled, 1000, 0.03, 1)


@pytest.mark.parametrize("rate", [0.0, 0.03, 0.1])
def test_the_label_rate_is_the_asked_one(rate: float) -> None:
    frame = synthetic_rows(labelled_series(20, 4, END, 1, rate), 1000, rate, 1)
    assert len(frame) == 1000
    assert frame["label"].sum() == round(1000 * rate)
    for split, size in (("train", 800), ("holdout", 200)):
        side = frame[frame["split"] == split]
        assert len(side) == size
        assert side["label"].sum() == round(size * rate)
    assert (frame["label"] == (frame["kind"] != "normal")).all()


def test_all_visible_kinds_are_there_evenly(rows: pd.DataFrame) -> None:
    counts = rows.loc[rows["label"] == 1, "kind"].value_counts()
    assert set(counts.index) == set(VISIBLE_KINDS)
    assert counts.max() - counts.min() <= 2


def test_labels_mark_what_the_features_show(rows: pd.DataFrame) -> None:
    spikes = rows[rows["kind"] == "cpu_spike"]
    assert (spikes["node_cpu_utilization_value"] > 0.7).all()
    assert (rows.loc[rows["kind"] == "normal", "node_cpu_utilization_value"] < 0.75).all()


def test_the_holdout_is_the_newest_fifth(rows: pd.DataFrame) -> None:
    validate(rows)
    cut = END - pd.Timedelta(days=4) * 0.2
    assert (rows.loc[rows["split"] == "holdout", "timestamp"] >= cut).all()
    assert (rows.loc[rows["split"] == "train", "timestamp"] < cut).all()


def test_more_rows_than_there_are_is_an_error(labelled: PodSeries) -> None:
    with raises(DataError, "too_few_rows"):
        synthetic_rows(labelled, 10**6, 0.03, 1)


def _fetched(series: PodSeries) -> dict[str, pd.DataFrame]:
    """What a server would answer: node metrics of three nodes, pod metrics by pod."""
    frames = {}
    for metric in ENGINE_METRICS:
        values = series.values[metric.name][:, 0]
        names = (
            [f'{{"instance": "n{i}"}}' for i in range(3)]
            if metric.per == "node"
            else [f'{{"pod": "{pod}"}}' for pod in series.pods]
        )
        frames[metric.name] = pd.DataFrame(values[: len(names)].T, index=series.times, columns=names)
    return frames


def test_real_rows_keep_all_rows_and_are_injected_at_the_rate() -> None:
    healthy = generate(6, 3, END, seed=4)
    start = END - pd.Timedelta(days=3)
    series = from_metric_frames(_fetched(healthy), ENGINE_METRICS, start, END, healthy.pods)
    frame, missing = blended_rows(series, None, 0.0, 0.03, 1, holdout_of(series))
    assert missing == 0
    validate(frame)
    assert len(frame) == 6 * (3 * 288 - 1)
    assert frame["label"].sum() == pytest.approx(0.03 * len(frame), abs=1)
    assert set(frame["source"]) == {"prometheus"}
    normal = frame[frame["label"] == 0]
    minutes = ((normal["timestamp"] - start) / pd.Timedelta(minutes=1)).astype(int).to_numpy()
    nodes = healthy.values[NODE_CPU.name][:3, 0]
    assert normal["node_cpu_utilization_value"].to_numpy() == pytest.approx(nodes[:, minutes].mean(axis=0), abs=1e-12)
    restarts = dict(zip(healthy.pods, healthy.values[RESTARTS.name][:, 0], strict=True))
    expected = [restarts[pod][minute - 5] for pod, minute in zip(normal["pod"], minutes, strict=True)]
    assert normal["container_restart_count_lag_5"].tolist() == expected


def test_a_pod_without_memory_limit_keeps_its_rows_with_the_default() -> None:
    healthy = generate(6, 3, END, seed=4)
    frames = _fetched(healthy)
    frames[POD_MEMORY.name] = frames[POD_MEMORY.name].iloc[:, 1:]
    series = from_metric_frames(frames, ENGINE_METRICS, END - pd.Timedelta(days=3), END, healthy.pods)
    frame, _ = blended_rows(series, None, 0.0, 0.0, 1, holdout_of(series))
    first = frame[frame["pod"] == healthy.pods[0]]
    columns = [name for name in FEATURES if name.startswith("pod_memory_usage")]
    assert (first[columns].to_numpy() == np.array(ENGINE_DEFAULT)).all()


def test_a_history_too_short_is_an_error() -> None:
    frames = {name: frame.iloc[:4] for name, frame in _fetched(generate(6, 1, END, seed=4)).items()}
    start = END - pd.Timedelta(days=1)
    series = from_metric_frames(frames, ENGINE_METRICS, start, END, generate(6, 1, END, seed=4).pods)
    with raises(EmptyDataError, "no_whole_row"):
        blended_rows(series, None, 0.0, 0.03, 1, holdout_of(series))


def test_two_series_for_one_pod_are_refused() -> None:
    frames = _fetched(generate(6, 1, END, seed=4))
    doubled = frames[POD_MEMORY.name]
    frames[POD_MEMORY.name] = pd.concat([doubled, doubled], axis=1)
    with raises(SchemaError, "two_series_for_a_pod", metric=POD_MEMORY.name):
        from_metric_frames(frames, ENGINE_METRICS, END - pd.Timedelta(days=1), END, ["synthetic-000"])


WRONG: list[Refusal] = [
    (lambda f: f.drop(columns="label"), "other_columns", {"missing": ["label"], "unexpected": []}),
    (lambda f: f[[*COLUMNS[:7], *reversed(FEATURES)]], "column_order", {"position": 7}),
    (lambda f: f.iloc[:0], "no_rows", {}),
    (lambda f: f.iloc[::-1], "not_in_order_of_time", {}),
    (lambda f: f.assign(split="train"), "one_sided", {"splits": ["train"]}),
    (
        lambda f: f.assign(node_cpu_utilization_value=np.inf),
        "not_finite",
        {"columns": ["node_cpu_utilization_value"]},
    ),
    (lambda f: f.assign(split=np.where(f["split"] == "train", "holdout", "train")), "holdout_not_newer", {}),
]


def test_validation_names_what_is_wrong(rows: pd.DataFrame) -> None:
    assert_refused(validate, rows, WRONG, "views_pod_features")


def test_a_wrong_unit_is_out_of_bounds(rows: pd.DataFrame) -> None:
    assert out_of_bounds(rows) == {}
    percent = rows.assign(node_cpu_utilization_value=rows["node_cpu_utilization_value"] * 100)
    assert out_of_bounds(percent) == {"node_cpu_utilization": 1000}


def test_the_digest_is_of_rows_and_nothing_else(rows: pd.DataFrame) -> None:
    digest = content_digest(rows)
    assert len(digest) == 32
    other_form = rows.assign(pod=rows["pod"].astype("category"), timestamp=rows["timestamp"].dt.as_unit("ns"))
    assert content_digest(other_form) == digest
    assert content_digest(rows.iloc[::-1]) != digest
    assert content_digest(rows.rename(columns={"pod": "Pod"})) != digest
    changed = rows.copy()
    column = changed[FEATURES[0]].to_numpy().copy()
    column[5] = np.nextafter(column[5], 1)
    changed[FEATURES[0]] = column
    assert content_digest(changed) != digest
    assert content_digest(rows.assign(pod="a")) != content_digest(rows.assign(pod="b"))


def test_digests_a_day(rows: pd.DataFrame) -> None:
    digests = day_digests(rows)
    assert list(digests) == ["2026-10-28", "2026-10-29", "2026-10-30", "2026-10-31"]
    assert digests["2026-10-29"] == content_digest(rows[rows["timestamp"].dt.day == 29])


def test_what_cannot_be_digested_is_named() -> None:
    with raises(SchemaError, "no_digest", column="a"):
        content_digest(pd.DataFrame({"a": [object()]}))
    require_columns(pd.DataFrame({"a": [1]}), ("a",))


def test_stability_index_grows_with_the_shift() -> None:
    rng = np.random.default_rng(1)
    before, same, moved = (pd.Series(rng.normal(m, 1, 5000)) for m in (0, 0, 1))
    assert population_stability(before, same) < 0.02
    assert population_stability(before, moved) > 0.5
    frames = [pd.DataFrame({"a": s}) for s in (before, same, moved)]
    assert drifted(frames[0], frames[1], ["a"]) == {}
    assert list(drifted(frames[0], frames[2], ["a"])) == ["a"]


def _blend(share: float, real: PodSeries, n_pods: int = 20) -> pd.DataFrame:
    cut = holdout_of(real)
    days = len(real.times) // 1440
    synthetic = labelled_series(n_pods, days, END, 1, 0.03, VISIBLE_KINDS, cut)
    return blended_rows(real, synthetic, share, 0.03, 1, cut)[0]


@pytest.mark.parametrize("share", [0.05, 0.2, 0.5, 0.8])
def test_a_blend_has_its_share_within_one_row_and_stays_chronological(share: float) -> None:
    frame = _blend(share, generate(6, 3, END, seed=4))
    validate(frame)
    assert abs((frame["source"] == "synthetic").sum() - share * len(frame)) <= 1
    assert (frame["source"] == "prometheus").sum() == 6 * (3 * 288 - 1)
    for _, side in frame.groupby(["source", "split"]):
        assert side["label"].mean() == pytest.approx(0.03, abs=1 / len(side))


def test_a_history_that_begins_late_keeps_real_rows_on_both_sides() -> None:
    healthy = generate(6, 3, END, seed=4)
    late = {name: values.copy() for name, values in healthy.values.items()}
    for values in late.values():
        values[..., : 2 * 1440] = np.nan
    frame = _blend(0.5, replace(healthy, values=late))
    validate(frame)
    real = frame[frame["source"] == "prometheus"]
    assert (real["split"] == "holdout").mean() == pytest.approx(0.2, abs=0.01)
    assert real["timestamp"].min() >= END - pd.Timedelta(days=1)


def test_more_generated_rows_than_there_are_is_an_error() -> None:
    with raises(DataError, "too_few_rows") as caught:
        _blend(0.8, generate(20, 3, END, seed=4), n_pods=2)
    assert caught.value.facts["asked"] > caught.value.facts["there"] > 0
