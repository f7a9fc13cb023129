"""The cluster in unbroken segments: what the forecasters are trained on and judged by."""

import numpy as np
import pandas as pd
import pytest

from aiops_assets.errors import DataError, EmptyDataError, SchemaError
from aiops_assets.synthetic.cluster import STEPS_A_DAY, generate_cluster
from aiops_assets.synthetic.seasons import sine_table
from aiops_assets.timeseries.catalog import FORECAST_METRICS
from aiops_assets.timeseries.schema import content_digest
from aiops_assets.views.catalog import CLUSTER_METRICS_VIEW, VIEWS
from aiops_assets.views.cluster_metrics import (
    COLUMNS,
    VALUES,
    blended_segments,
    holdout_of,
    missing_samples,
    out_of_bounds,
    segment_of,
    segment_rows,
    validate,
)
from aiops_assets.views.pod_series import STEP
from aiops_assets_tests.conftest import END
from aiops_assets_tests.raising import raises
from aiops_assets_tests.views.refusals import Refusal, assert_refused

DAYS = 14
CUT = END - pd.Timedelta(minutes=5 * 806)
"""A fifth of 4032 rows."""


@pytest.fixture(scope="module")
def cluster() -> pd.DataFrame:
    return generate_cluster(DAYS, END, seed=42)


@pytest.fixture(scope="module")
def rows(cluster: pd.DataFrame) -> pd.DataFrame:
    return segment_rows(cluster, holdout_of(cluster), "synthetic")


def fetched(lost: dict[str, slice] | None = None) -> pd.DataFrame:
    """What a server would answer: another cluster, without some of its samples."""
    values = generate_cluster(DAYS, END, seed=7)
    for name, instants in (lost or {}).items():
        values.loc[values.index[instants], name] = np.nan
    return values


def test_same_seed_days_and_end_give_the_bytes_that_every_machine_gives(cluster: pd.DataFrame) -> None:
    assert content_digest(cluster) == "f83d64c777862ef75e64b5837e4083ec"


@pytest.mark.parametrize(("days", "end", "seed"), [(14, END, 43), (14, END + pd.Timedelta(days=1), 42), (13, END, 42)])
def test_another_seed_end_or_length_gives_other_rows(
    cluster: pd.DataFrame, days: int, end: pd.Timestamp, seed: int
) -> None:
    other = generate_cluster(days, end, seed).merge(cluster, on="timestamp", suffixes=("", "_first"))
    for name in VALUES:
        assert (other[name] != other[f"{name}_first"]).mean() > 0.99


@pytest.mark.parametrize("period", [STEPS_A_DAY, STEPS_A_DAY // 2])
def test_rounding_of_the_sine_table_cannot_differ_between_machines(period: int) -> None:
    exact = np.sin(2 * np.pi * np.arange(period) / period) * 1e9
    assert np.abs(exact - np.floor(exact) - 0.5).min() > 1e-6  # a last bit is about 1e-7 in these units
    assert np.abs(sine_table(period) - exact / 1e9).max() < 1e-9


def test_the_grid_is_every_five_minutes_of_the_days_before_the_end(cluster: pd.DataFrame) -> None:
    assert tuple(cluster.columns) == ("timestamp", *VALUES)
    assert len(cluster) == DAYS * 288
    assert cluster["timestamp"].iloc[0] == END - pd.Timedelta(days=DAYS)
    assert cluster["timestamp"].iloc[-1] == END - STEP
    assert (cluster["timestamp"].diff().dropna() == STEP).all()
    with raises(DataError, "no_day", days=0):
        generate_cluster(0, END, seed=1)


@pytest.mark.parametrize("seed", range(12))
def test_values_are_those_of_a_healthy_cluster(seed: int) -> None:
    values = generate_cluster(DAYS, END, seed).set_index("timestamp")
    assert values.notna().all(axis=None)
    assert values["cpu_usage"].mean() > 0.05
    assert values["cpu_usage"].mean() < 0.4
    for name in ("memory_usage", "disk_usage"):
        assert 0.0 < values[name].min() < values[name].max() < 0.8, name
    assert (values[["network_in", "network_out"]] > 0).all(axis=None)


@pytest.mark.parametrize("seed", [3, 42])
def test_disks_grow_their_logs_are_rotated_and_somebody_cleans_up(seed: int) -> None:
    disk = generate_cluster(120, END, seed).set_index("timestamp")["disk_usage"]
    assert disk.max() < 0.9
    hourly = disk.resample("1h").median().diff()
    rotated = hourly.groupby(pd.DatetimeIndex(hourly.index).date).idxmin().dt.hour
    assert (rotated == rotated.mode()[0]).mean() > 0.8
    daily = disk.resample("1D").median().diff()
    assert (daily > 0).mean() > 0.6
    assert 5 < (daily < -0.008).sum() < 40


@pytest.mark.parametrize("seed", [0, 1, 42])
def test_days_and_weeks_have_a_season(seed: int) -> None:
    values = generate_cluster(28, END, seed).set_index("timestamp")
    for name in ("cpu_usage", "network_in", "network_out"):
        hourly = values[name].resample("1h").mean()
        times = pd.DatetimeIndex(hourly.index)
        usual = hourly.groupby(times.hour).transform("median")
        assert hourly.corr(usual) > 0.6, name
        working = times.day_of_week < 5
        assert hourly[~working].mean() < 0.9 * hourly[working].mean(), name


@pytest.mark.parametrize("seed", [0, 1, 42])
def test_traffic_drives_cpu_time(seed: int) -> None:
    """Also within the day: without the season, and stronger at once than a day later."""
    values = generate_cluster(28, END, seed).set_index("timestamp")
    times = pd.DatetimeIndex(values.index)
    around = values - values.groupby([times.day_of_week, times.hour]).transform("mean")
    together = around["cpu_usage"].corr(around["network_in"])
    assert together > 0.4
    assert together > 3 * abs(around["cpu_usage"].corr(around["network_in"].shift(288)))
    assert around["network_out"].corr(around["network_in"]) > 0.5


@pytest.mark.parametrize("seed", [0, 42])
@pytest.mark.parametrize("name", ["network_in", "cpu_usage", "memory_usage"])
def test_what_is_learnt_beats_every_trivial_forecast(name: str, seed: int) -> None:
    """The last value, the same time yesterday and the median of a day, half an hour, six hours and a day ahead."""
    values = generate_cluster(28, END, seed)[name].to_numpy()
    for ahead in (6, 72, 288):
        t = np.arange(8 * 288, len(values) - ahead)
        came = values[t + ahead]
        medians = np.median(np.lib.stride_tricks.sliding_window_view(values, 288)[t - 287], axis=1)
        trivial = (values[t], values[t + ahead - 288], medians)
        now = np.mean([values[t - k] for k in range(6)], axis=0)
        usual = np.mean([values[t + ahead - 288 * days] for days in range(1, 8)], axis=0)
        usual_now = np.mean([values[t - 288 * days - k] for days in range(1, 8) for k in range(6)], axis=0)
        known = np.stack([now, usual, usual_now, trivial[1], np.ones(len(t))], axis=1)
        half = len(t) // 2
        learnt = np.linalg.lstsq(known[:half], came[:half], rcond=None)[0]
        error = np.abs(known[half:] @ learnt - came[half:]).mean()
        for forecast in trivial:
            assert error < 0.95 * np.abs(came - forecast)[half:].mean()


def test_a_generated_segment(rows: pd.DataFrame) -> None:
    validate(rows)
    assert tuple(rows.columns) == COLUMNS
    assert set(rows["pod"]) == {"synthetic-000"}
    assert not rows["label"].any()
    assert set(rows["kind"]) == {"normal"}
    assert rows.loc[rows["split"] == "holdout", "timestamp"].min() == CUT
    assert rows.loc[rows["split"] == "train", "timestamp"].max() == CUT - STEP


@pytest.mark.parametrize(("share", "generated"), [(0.2, 1008), (0.5, 4032), (0.8, 4032), (0.0, 0)])
def test_a_blend_takes_the_newest_of_a_generated_cluster(
    cluster: pd.DataFrame, rows: pd.DataFrame, share: float, generated: int
) -> None:
    """At most a whole one: 0.8 would be four of them."""
    blended, missing = blended_segments(segment_of(fetched()), cluster, share)
    validate(blended)
    assert missing == 0.0
    counts = blended["source"].value_counts().to_dict()
    assert counts == {"prometheus": 4032, **({"synthetic": generated} if generated else {})}
    assert set(blended.loc[blended["source"] == "prometheus", "pod"]) == {"cluster"}
    for _, segment in blended.groupby("source"):
        assert segment.loc[segment["split"] == "holdout", "timestamp"].min() == CUT
    if generated:
        newest = blended[blended["source"] == "synthetic"].reset_index(drop=True)
        pd.testing.assert_frame_equal(newest, rows.iloc[-generated:].reset_index(drop=True))


def test_without_a_generated_cluster_there_is_one_segment() -> None:
    blended, _ = blended_segments(segment_of(fetched()), None, 0.2)
    assert set(blended["source"]) == {"prometheus"}


def test_gaps_stay_gaps_and_are_counted() -> None:
    late = dict.fromkeys(VALUES, slice(0, 288))
    values = fetched(late)
    values.loc[values.index[1000:1100], list(VALUES)] = np.nan
    values.loc[values.index[2000:2050], "disk_usage"] = np.nan
    values["network_out"] = np.nan
    values.loc[values.index[-10:], list(VALUES)] = np.nan
    rows, missing = blended_segments(segment_of(values), None, 0.0)
    validate(rows)
    assert rows["timestamp"].iloc[0] == END - pd.Timedelta(days=13)
    assert rows["timestamp"].iloc[-1] == END - 11 * STEP
    assert len(rows) == 13 * 288 - 10
    assert rows["cpu_usage"].isna().sum() == 100
    assert rows["disk_usage"].isna().sum() == 150
    # A metric that nobody has is named by the coverage; here it would hide the gaps of the others.
    assert missing == pytest.approx((4 * 100 + 50) / (4 * len(rows)))
    assert missing_samples(rows.assign(**dict.fromkeys(VALUES, np.nan))) == 0.0


def test_a_late_history_has_both_sides_and_the_generated_segment_the_same_instant(cluster: pd.DataFrame) -> None:
    real = segment_of(fetched(dict.fromkeys(VALUES, slice(0, 4 * 288))))
    blended, _ = blended_segments(real, cluster, 0.2)
    validate(blended)
    cut = END - pd.Timedelta(days=2)
    for _, segment in blended.groupby("source"):
        assert segment.loc[segment["split"] == "holdout", "timestamp"].min() == cut
    assert (blended["source"] == "synthetic").sum() == 10 * 288 / 4


def test_a_generated_segment_that_begins_in_the_hold_out_is_hold_out(cluster: pd.DataFrame) -> None:
    blended, _ = blended_segments(segment_of(fetched()), cluster, 0.1)
    validate(blended)
    assert set(blended.loc[blended["source"] == "synthetic", "split"]) == {"holdout"}


def test_a_window_without_any_sample_is_an_error() -> None:
    with raises(EmptyDataError, "no_sample"):
        segment_of(fetched(dict.fromkeys(VALUES, slice(None))))


WRONG: list[Refusal] = [
    (lambda f: f.drop(columns="label"), "other_columns", {"missing": ["label"], "unexpected": []}),
    (lambda f: f[[*COLUMNS[:-2], *COLUMNS[:-3:-1]]], "column_order", {"position": len(COLUMNS) - 2}),
    (lambda f: f.iloc[:0], "no_rows", {}),
    (lambda f: f.iloc[::-1], "broken_segment", {"pod": "synthetic-000"}),
    (
        lambda f: f.drop(index=50),
        "broken_segment",
        {"pod": "synthetic-000", "at": pd.Timestamp("2026-10-18 04:15", tz="UTC")},
    ),
    (lambda f: f.assign(pod=np.where(f.index < 1000, "cluster", "synthetic-000")), "more_than_one_segment", {}),
    (lambda f: f.assign(split="train"), "one_sided", {"splits": ["train"]}),
    (lambda f: f.assign(disk_usage=np.inf), "infinite_values", {"columns": ["disk_usage"]}),
    (lambda f: f.assign(label=(f.index == 7).astype(int)), "labelled_rows", {}),
    (lambda f: f.assign(kind=np.where(f.index == 7, "cpu_spike", "normal")), "labelled_rows", {}),
    (lambda f: f.assign(split=np.where(f["split"] == "train", "holdout", "train")), "holdout_not_newer", {}),
]


def test_validation_names_what_is_wrong(rows: pd.DataFrame) -> None:
    assert_refused(validate, rows, WRONG, "views_cluster_metrics")


def test_rows_of_two_segments_must_not_be_mixed(cluster: pd.DataFrame) -> None:
    blended, _ = blended_segments(segment_of(fetched()), cluster, 0.5)
    with raises(SchemaError, "scattered_pod"):
        validate(blended.sort_values("timestamp", kind="stable", ignore_index=True))


def test_a_wrong_unit_is_out_of_bounds(rows: pd.DataFrame) -> None:
    assert out_of_bounds(rows) == {}
    assert out_of_bounds(rows.assign(memory_usage=rows["memory_usage"] * 100)) == {"memory_usage": len(rows)}
    assert out_of_bounds(rows.assign(network_in=-rows["network_in"])) == {"network_in": len(rows)}
    assert out_of_bounds(rows.assign(**dict.fromkeys(VALUES, np.nan))) == {}


def test_the_view_says_what_its_columns_are(rows: pd.DataFrame) -> None:
    view = VIEWS[CLUSTER_METRICS_VIEW]
    assert view.metrics == FORECAST_METRICS
    assert tuple(view.columns) == view.values == VALUES
    assert view.label_tolerance(rows, 0.0) == 0.0
    for other in VIEWS.values():
        assert len(other.values) == len(other.metrics)
