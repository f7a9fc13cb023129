"""The engine's 3264 columns against a plain reading of its contract, and what is read back from them."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest

from aiops_assets.errors import DataError, SchemaError
from aiops_assets.timeseries.engine_layouts import (
    ENGINE_VECTOR,
    METRICS,
    WIDTHS,
    engine_vectors,
    history_of_row,
    history_of_vector,
    rows_of,
)
from aiops_assets.timeseries.series import Floats
from aiops_assets_tests.raising import raises

NOW = pd.Timestamp("2026-11-21T17:10Z")
SCALES = np.array([0.3, 0.5, 0.7, 40_000.0, 9_000.0])
SILENT = [0.5] * 7 + [0.5, 0.1, 0.6, 0.4] * 4 + [0.0, 0.0]


def hours_of(n: int, seed: int = 1, end: str = "2026-11-21T17:00Z") -> pd.DataFrame:
    values = np.random.default_rng(seed).lognormal(0, 0.4, (n, 5)) * SCALES
    return pd.DataFrame(values, columns=list(METRICS), index=pd.date_range(end=pd.Timestamp(end), periods=n, freq="1h"))


def naive_vector(hourly: pd.DataFrame, newest: int) -> list[float]:
    """Section 1.2 of the contract, line by line: 24 blocks of 136, by position."""
    columns = [
        hourly[name].tolist() for name in ("cpu_usage", "memory_usage", "disk_usage", "network_in", "network_out")
    ]
    vector = [math.nan] * (24 * 136)
    for block in range(24):
        t = newest - block
        time = hourly.index[t].to_pydatetime()
        weekend = time.weekday() in (5, 6)
        at = 136 * block
        vector[at : at + 5] = [column[t] for column in columns]
        vector[at + 5 : at + 11] = [
            time.hour, time.weekday(), time.day, time.month, int(weekend), int(9 <= time.hour < 17 and not weekend),
        ]  # fmt: skip
        for m, column in enumerate(columns):
            features = [column[t]] + [column[t - lag] for lag in (1, 2, 3, 6, 12, 24)]
            for hours in (3, 6, 12, 24):
                window = [column[t - back] for back in range(hours)]
                mean = math.fsum(window) / hours
                std = math.sqrt(math.fsum((value - mean) ** 2 for value in window) / hours)
                features += [mean, std, max(window), min(window)]
            diff = column[t] - column[t - 1]
            features += [diff, min(max(diff / column[t - 1], -10), 10) if column[t - 1] else 0]
            vector[at + 11 + 25 * m : at + 36 + 25 * m] = features
    return vector


def test_the_columns_are_3264_of_24_blocks_with_unique_names() -> None:
    assert len(ENGINE_VECTOR) == len(set(ENGINE_VECTOR)) == 3264 == 24 * 136 == WIDTHS[0]
    expected = {
        0: "h00_cpu_usage", 4: "h00_network_out", 5: "h00_hour", 6: "h00_day_of_week", 11: "h00_cpu_usage_value",
        17: "h00_cpu_usage_lag_24h", 18: "h00_cpu_usage_mean_3h", 21: "h00_cpu_usage_min_3h",
        35: "h00_cpu_usage_pct_change",
        36: "h00_memory_usage_value", 136: "h01_cpu_usage", 3263: "h23_network_out_pct_change",
    }  # fmt: skip
    assert {place: ENGINE_VECTOR[place] for place in expected} == expected


@pytest.mark.parametrize("seed", range(3))
def test_vectors_are_the_contracts(seed: int) -> None:
    hourly = hours_of(48 + 20, seed)
    hourly.iloc[50, 0], hourly.iloc[60, 1] = 0.0, 1e-6  # no change from zero; a rise beyond the clamp
    vectors = engine_vectors(hourly)
    expected = [naive_vector(hourly, newest) for newest in range(47, len(hourly))]
    np.testing.assert_allclose(vectors, expected, rtol=1e-9, atol=1e-9)
    changes = vectors[:, [name.endswith("pct_change") for name in ENGINE_VECTOR]]
    assert (changes.max(), changes.min()) == (10.0, -1.0)


@pytest.mark.parametrize("seed", range(5))
def test_a_vector_tells_its_48_hours(seed: int) -> None:
    end = pd.Timestamp("2025-01-01T05:00Z") + pd.Timedelta(hours=1234 * seed)
    hourly = hours_of(60, seed, end.isoformat())
    told = history_of_vector(engine_vectors(hourly)[-1], NOW)
    assert (told.metrics, told.step_seconds) == (METRICS, 3600)
    assert np.array_equal(told.values, hourly.to_numpy()[-48:])
    assert told.known.all()
    assert (told.times == hourly.index[-48:]).all()
    assert told.after(1)[0] == end + pd.Timedelta(hours=1)


def test_a_vector_of_a_plain_list_is_read_too() -> None:
    hourly = hours_of(48)
    assert np.array_equal(history_of_vector(naive_vector(hourly, 47), NOW).values, hourly.to_numpy())


def default_vector() -> Floats:
    vector = np.array(naive_vector(hours_of(48), 47)).reshape(24, 136)
    vector[:, :5] = 0.5
    vector[:, 11:] = SILENT * 5
    return vector.reshape(-1)


def test_a_vector_of_defaults_tells_nothing() -> None:
    told = history_of_vector(default_vector(), NOW)
    assert not told.known.any()
    assert (told.values == 0.5).all()
    assert engine_vectors(hours_of(48) * np.nan)[0] == pytest.approx(default_vector())


def test_a_metric_that_is_really_one_half_is_known() -> None:
    hourly = hours_of(48)
    hourly["disk_usage"] = 0.5
    told = history_of_vector(engine_vectors(hourly)[0], NOW)
    assert told.known.all()
    assert (told.values[:, METRICS.index("disk_usage")] == 0.5).all()


def test_only_the_silent_metrics_are_unknown() -> None:
    hourly = hours_of(48)
    hourly["memory_usage"] = np.nan
    hourly[["network_in", "network_out"]] = 0.10, 0.08
    told = history_of_vector(engine_vectors(hourly)[0], NOW)
    assert told.known.all(axis=0).tolist() == [True, False, True, False, False]
    assert told.known.any(axis=0).tolist() == [True, False, True, False, False]
    assert (told.values[:, 3:] == [0.10, 0.08]).all()


def test_hours_that_were_missed_are_filled() -> None:
    hourly = hours_of(48)
    whole = hourly.copy()
    gaps = [20, 21, 22, 40]  # 27, 26, 25 and 7 hours back
    hourly.iloc[gaps, 0] = np.nan
    told = history_of_vector(engine_vectors(hourly)[0], NOW)
    assert np.flatnonzero(~told.known[:, 0]).tolist() == gaps
    assert told.known[:, 1:].all()
    between = np.interp(range(48), np.delete(range(48), gaps), np.delete(whole["cpu_usage"].to_numpy(), gaps))
    assert told.values[:, 0] == pytest.approx(between)


def test_a_block_that_failed_is_told_by_the_lags_of_later_ones() -> None:
    hourly = hours_of(48)
    vector = engine_vectors(hourly)[0].reshape(24, 136)
    vector[5, 0], vector[5, 11:36] = 0.5, SILENT
    told = history_of_vector(vector.reshape(-1), NOW)
    assert told.known.all()
    assert np.array_equal(told.values, hourly.to_numpy())


@pytest.mark.parametrize("end", ["2024-02-29T23:00Z", "2026-12-31T00:00Z", "2027-01-01T00:00Z", "2027-07-07T12:00Z"])
def test_times_are_those_of_the_vector(end: str) -> None:
    vector = engine_vectors(hours_of(48, end=end))[0]
    assert history_of_vector(vector, NOW).times[-1] == pd.Timestamp(end)


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"day_of_month": 30, "month": 2}, "2026-11-21T17:00Z"),  # no such day: the last Saturday, 17 h
        ({"day_of_month": 31, "month": 99, "day_of_week": 6, "hour": 3}, "2026-11-15T03:00Z"),
        ({"day_of_month": 0.5, "hour": 20}, "2026-11-14T20:00Z"),  # today it is not yet 20 h
        ({"day_of_month": 1e300, "day_of_week": -4.0, "hour": 0.5}, "2026-11-21T17:00Z"),
    ],
)
def test_contradicting_times_are_near_now(columns: dict[str, float], expected: str) -> None:
    vector = engine_vectors(hours_of(48))[0]
    for name, value in columns.items():
        vector[ENGINE_VECTOR.index(f"h00_{name}")] = value
    assert history_of_vector(vector, NOW).times[-1] == pd.Timestamp(expected)


@pytest.mark.parametrize("seed", range(5))
def test_any_finite_vector_is_read(seed: int) -> None:
    rng = np.random.default_rng(seed)
    vector = rng.normal(0, 1, 3264) * 10.0 ** rng.integers(-300, 300, 3264)
    told = history_of_vector(vector, NOW)
    assert told.values.shape == told.known.shape == (48, 5)
    assert np.isfinite(told.values).all()
    assert (told.times.tz_convert("UTC") - NOW < pd.Timedelta(days=1)).all()


def test_a_row_is_a_history_of_one_step() -> None:
    told = history_of_row([0.2, 0.3, 0.4, 1e5, 2e5], now=NOW)
    assert (told.metrics, told.step_seconds) == (METRICS, 300)
    assert told.values.tolist() == [[0.2, 0.3, 0.4, 1e5, 2e5]]
    assert told.known.all()
    assert told.after(2).tolist() == [NOW + pd.Timedelta(minutes=5), NOW + pd.Timedelta(minutes=10)]
    assert history_of_row([0.2] * 5, step_seconds=3600, now=NOW).times[0] == pd.Timestamp("2026-11-21T17:00Z")


def test_what_stands_for_silence_in_a_row_is_not_known() -> None:
    assert history_of_row([0.65, 0.3, 0.4, 0.10, 0.08], now=NOW).known.tolist() == [[False, True, True, False, False]]
    assert not history_of_row([0.65, 0.72, 0.45, 0.10, 0.08], now=NOW).known.any()


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("n", [1, 2])
def test_rows_of_the_four_widths_are_taken(width: int, n: int) -> None:
    assert rows_of([[1] * width] * n).shape == (n, width)
    assert rows_of(np.ones((n, width))).dtype == np.float64


ROW_0, ROW_1 = {"where": "row 0"}, {"where": "row 1"}
BAD: list[tuple[object, type[DataError], str, dict[str, object], str]] = [
    ([[0.5] * 3200], SchemaError, "other_width", {**ROW_0, "widths": (3264, 5, 4, 3)}, "received 3200"),
    ([[]], SchemaError, "other_width", {**ROW_0, "widths": (3264, 5, 4, 3)}, "received 0"),
    ([[0.5] * 5, [0.5] * 4], SchemaError, "other_width", {**ROW_1, "widths": (5,)}, "received 4"),
    ([0.5] * 5, SchemaError, "no_numbers", {**ROW_0}, "received a float"),
    (None, SchemaError, "no_list", {}, "received null"),
    ({"a": 1}, SchemaError, "no_list", {}, "received an object"),
    ("rows", SchemaError, "no_list", {}, "received text"),
    ([None], SchemaError, "no_numbers", {**ROW_0}, "received null"),
    ([["a"] * 5], DataError, "not_a_number", {**ROW_0, "position": 0}, "is text"),
    ([[1, 2, 3, 4, None]], DataError, "not_a_number", {**ROW_0, "position": 4}, "is null"),
    ([[1, 2, True, 4, 5]], DataError, "not_a_number", {**ROW_0, "position": 2}, "true or false"),
    ([[1, 2, [3], 4, 5]], DataError, "not_a_number", {**ROW_0, "position": 2}, "a list"),
    ([[0.1] * 4, [0.1, math.nan, 0.1, 0.1]], DataError, "not_finite", {**ROW_1, "position": 1}, ""),
    ([[math.inf] * 3], DataError, "not_finite", {**ROW_0, "position": 0}, ""),
    ([[10**400] * 3], DataError, "not_finite", {**ROW_0, "position": 0}, ""),
    ([], DataError, "no_rows", {}, ""),
]


@pytest.mark.parametrize(("instances", "error", "code", "facts", "shown"), BAD)
def test_other_rows_are_refused_with_a_reason(
    instances: object, error: type[DataError], code: str, facts: dict[str, object], shown: str
) -> None:
    with raises(error, code, **facts) as raised:
        rows_of(instances)
    assert shown in str(raised.value)


def test_a_row_of_another_width_is_no_vector_and_no_sample() -> None:
    with raises(SchemaError, "other_width", where="vector", widths=(3264,)):
        history_of_vector([0.5] * 5, NOW)
    with raises(SchemaError, "other_width", where="row", widths=(5,)):
        history_of_row([0.5] * 3264, now=NOW)


def test_frames_that_are_no_hours_are_refused() -> None:
    hourly = hours_of(60)
    for frame, message in [
        (hourly.drop(columns="disk_usage"), "disk_usage is missing"),
        (hourly.iloc[::2], "resample"),
        (hourly.iloc[:47], "47 hours"),
        (hourly.tz_localize(None), "UTC"),
        (hourly.reset_index(drop=True), "UTC"),
    ]:
        with pytest.raises(DataError, match=message):
            engine_vectors(frame)


def test_blocks_of_one_moment_are_the_same_in_each_vector_that_holds_them() -> None:
    vectors = engine_vectors(hours_of(80)).reshape(-1, 24, 136)
    for newer, older in itertools.pairwise(range(len(vectors) - 1, -1, -1)):
        assert np.array_equal(vectors[newer, 1:], vectors[older, :-1])
