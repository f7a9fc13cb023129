"""Answers to the engine's rows: forecasts by width, -1 and 1, and what is refused."""

import json
import math
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest

from aiops_assets.engine.prediction.predictions import predict
from aiops_assets.engine.samples import Sample
from aiops_assets.engine.served_rows import RATIOS, answer, confidence, notes_of_rows
from aiops_assets.errors import DataError, ModelError, SchemaError
from aiops_assets.families.backtests import FORECASTERS
from aiops_assets.learners.contracts import Forecast
from aiops_assets.learners.forecasters.hourly_baseline import HourlyBaseline, hourly_baseline_of
from aiops_assets.timeseries.engine_layouts import (
    METRICS,
    SILENT_ROW,
    engine_vectors,
    history_of_row,
    history_of_vector,
)
from aiops_assets.timeseries.history import History
from aiops_assets.timeseries.series import Floats
from aiops_assets_tests.conftest import SHARED
from aiops_assets_tests.raising import raises

NOW = pd.Timestamp("2026-11-21T17:10Z")
NOBODY_KNOWS = HourlyBaseline()


class Drift:
    """A forecast one can compute by heart: the last value, a little more at each step, an interval that widens."""

    def __init__(self, step: float = 0.01, width: float = 0.05) -> None:
        self.step, self.width = step, width

    def forecast(self, history: History, horizon: int) -> Forecast:
        h = np.arange(1, horizon + 1)[:, np.newaxis]
        value = history.values[-1] + self.step * h
        half = self.width / 2 * np.sqrt(h)
        return Forecast(history.metrics, history.after(horizon), value, value - half, value + half)


def hours_of(n: int, seed: int = 1) -> pd.DataFrame:
    index = pd.date_range(end=pd.Timestamp("2026-11-21T17:00Z"), periods=n, freq="1h")
    swing = 0.4 + 0.2 * np.sin(2 * np.pi * np.asarray(index.hour, dtype=float) / 24)
    noise = np.random.default_rng(seed).normal(0, 0.03, (n, 5))
    return pd.DataFrame((swing[:, None] + noise) * [1, 1, 1, 1e5, 1e5], columns=list(METRICS), index=index)


def history_of_hours(hourly: pd.DataFrame) -> History:
    times = pd.DatetimeIndex(hourly.index, freq="3600s")
    return History(METRICS, times, hourly.to_numpy(), np.ones(hourly.shape, dtype=bool), 3600)


def forecasts(*args: Any, **kwargs: Any) -> dict[str, dict[str, Any]]:
    return cast("dict[str, dict[str, Any]]", answer(*args, **kwargs))


def assert_decodable(predictions: object) -> None:
    """What a Go decoder takes: finite numbers, integers that are integers, every value an object of lists."""
    again = json.loads(json.dumps(predictions, allow_nan=False))
    assert again == predictions
    if isinstance(predictions, list):
        assert all(type(one) is int and one in (-1, 1) for one in predictions)
        return
    assert isinstance(predictions, dict)
    assert list(predictions) == ["cpu_usage", "memory_usage"]
    for one in predictions.values():
        for name in ("forecast_horizon", "step_seconds", "instance"):
            assert type(one[name]) is int
        assert len(one["forecast"]) == len(one["confidence"]) == one["forecast_horizon"]
        assert all(type(value) is float and 0 <= value <= 1 for value in one["forecast"] + one["confidence"])
        assert min(one["confidence"]) > 0  # a missing key decodes to zero: an answer is never that
        assert one["confidence"] == sorted(one["confidence"], reverse=True)


def test_a_vector_is_answered_in_hours() -> None:
    vector = engine_vectors(hours_of(60))[-1]
    said = forecasts(Drift(), [vector.tolist()], 12, NOBODY_KNOWS, now=NOW)
    assert_decodable(said)
    expected = history_of_vector(vector, NOW).values[-1, :2] + 0.01 * np.arange(1, 13)[:, None]
    for m, name in enumerate(("cpu_usage", "memory_usage")):
        assert said[name]["forecast"] == pytest.approx(expected[:, m])
        assert said[name]["step_seconds"] == 3600


def test_five_values_are_answered_as_the_forecaster_itself_does() -> None:
    row = [0.31, 0.72, 0.4, 1e5, 2e5]
    native = Drift().forecast(history_of_row(row, now=NOW), 24)
    said = forecasts(Drift(), [row], 24, NOBODY_KNOWS, now=NOW)
    assert_decodable(said)
    assert said["cpu_usage"]["forecast"] == native.value[:, 0].tolist()
    assert said["memory_usage"]["forecast"] == native.value[:, 1].tolist()
    assert said["cpu_usage"]["step_seconds"] == 300


def test_fitted_forecasters_answer() -> None:
    hourly = hours_of(24 * 10)
    coarse, fine = FORECASTERS["seasonal-naive"](42), FORECASTERS["last-value"](42)
    coarse.fit(history_of_hours(hourly.iloc[:-60]))
    said = forecasts(coarse, engine_vectors(hourly)[-1:], 24, NOBODY_KNOWS, now=NOW)
    assert_decodable(said)
    coming = 0.4 + 0.2 * np.sin(2 * np.pi * np.arange(18, 42) / 24)
    assert np.abs(np.array(said["cpu_usage"]["forecast"]) - coming).mean() < 0.06
    five_minutes = pd.date_range("2026-01-01", periods=600, freq="300s", tz="UTC")
    values = np.repeat(hourly.to_numpy(), 3, axis=0)[:600]
    fine.fit(History(METRICS, five_minutes, values, np.ones(values.shape, dtype=bool), 300))
    row = [0.5, 0.6, 0.4, 1e5, 1e5]
    said = forecasts(fine, [row], 12, NOBODY_KNOWS, now=NOW)
    assert_decodable(said)
    assert said["memory_usage"]["forecast"] == fine.forecast(history_of_row(row, now=NOW), 12).value[:, 1].tolist()


def test_forecasts_are_clipped() -> None:
    said = forecasts(Drift(step=0.0), [[1.5, 0.0, 0.4, 1.0, 1.0]], 3, NOBODY_KNOWS, now=NOW)
    assert_decodable(said)
    assert said["cpu_usage"]["forecast"] == [1.0] * 3
    assert said["memory_usage"]["forecast"] == [0.0] * 3
    assert said["cpu_usage"]["confidence"] == [pytest.approx(1 / 3)] * 3


@pytest.mark.parametrize("row", [[50.0, 0.6, 0.7, 1e5, 2e5], [1e308, -5.0, 0.4, 1e5, 2e5], [2.1, -0.2, 0.4, 1.0, 1.0]])
def test_what_is_no_ratio_is_answered_without_confidence(row: list[float]) -> None:
    """Many cores, and values that nobody should send: what they clip to is no forecast, and a note says so."""
    said = forecasts(Drift(step=0.0), [row], 3, NOBODY_KNOWS, now=NOW)
    assert_decodable(said)
    assert said["cpu_usage"]["confidence"] == [0.01] * 3
    assert [(note.code, note.facts["metric"]) for note in notes_of_rows([row])] == [("clipped_ratio", "cpu_usage")]
    assert notes_of_rows([[1.9, 0.5, 0.4, 1e5, 2e5]]) == notes_of_rows([[3, 0, 0.5, 0.6]]) == []


@pytest.mark.parametrize(
    ("row", "metric", "value"),
    [
        ([50.0, 60.0, 70.0, 1e5, 2e5], "memory", 60.0),
        ([0.3, 0.4, 41.0, 1e5, 2e5], "disk", 41.0),
        ([0.3, 1e9, 0.4, 1e5, 2e5], "memory", 1e9),
        ([12, 3, 55.0, 0.6], "cpu", 55.0),
        ([12, 3, 0.5, 60.0], "memory", 60.0),
    ],
)
def test_percent_is_refused_where_a_ratio_belongs(row: list[float], metric: str, value: float) -> None:
    with raises(DataError, "not_a_ratio", position=0, metric=metric, value=value):
        answer(Drift(), [row], 3, NOBODY_KNOWS)


def test_hours_that_are_no_ratios_are_answered_without_confidence() -> None:
    hourly = hours_of(60) * [100, 1, 1, 1, 1]
    said = forecasts(Drift(step=0.0), engine_vectors(hourly)[-1:], 3, NOBODY_KNOWS, now=NOW)
    assert said["cpu_usage"]["confidence"] == [0.01] * 3
    assert said["memory_usage"]["confidence"][0] > 0.9


def test_one_sample_tells_a_third() -> None:
    """One of three: two samples tell half, as of the samples of a request."""
    row = [0.31, 0.52, 0.4, 1e5, 2e5]
    said = forecasts(Drift(step=0.0, width=0.001), [row], 3, NOBODY_KNOWS, now=NOW)
    assert said["cpu_usage"]["confidence"] == said["memory_usage"]["confidence"] == [pytest.approx(1 / 3)] * 3
    asked = predict([Sample("cpu_usage", 0.31, NOW.to_pydatetime())], "5m", Drift(0.0, 0.001), now=NOW.to_pydatetime())
    assert asked.predictions[0].confidence == pytest.approx(said["cpu_usage"]["confidence"][0])


def test_what_is_sent_for_a_silent_prometheus_has_the_least_confidence() -> None:
    silent = forecasts(Drift(), [list(SILENT_ROW)], 3, NOBODY_KNOWS, now=NOW)
    assert [silent[name]["confidence"] for name in silent] == [[0.01] * 3] * 2
    of_memory = forecasts(Drift(), [[0.31, *SILENT_ROW[1:]]], 3, NOBODY_KNOWS, now=NOW)
    assert of_memory["cpu_usage"]["confidence"][0] > 0.3
    assert of_memory["memory_usage"]["confidence"] == [0.01] * 3


def test_confidence_is_the_chance_of_ten_points() -> None:
    sigma = np.array([0.02, 0.05, 0.1, 0.2])
    half = 1.2815515655446004 * sigma
    errors = np.random.default_rng(4).normal(0, sigma, (200_000, 4))
    expected = (np.abs(errors) < 0.1).mean(axis=0)
    assert confidence(0.5 - half, 0.5 + half, 1.0) == pytest.approx(expected, abs=0.005)
    assert confidence(0.5 - half, 0.5 + half, 0.5) == pytest.approx(expected / 2, abs=0.005)
    narrowing = confidence(0.5 - half[::-1], 0.5 + half[::-1], 1.0)
    assert narrowing == [narrowing[0]] * 4


@pytest.mark.parametrize("rows", [[[0.9, 0.9, 0.4, 1e5, 2e5], [0.2, 0.3, 0.4, 1e5, 2e5]], engine_vectors(hours_of(49))])
def test_of_several_instances_the_last_is_answered(rows: Any) -> None:
    both, last = (forecasts(Drift(), part, 6, NOBODY_KNOWS, now=NOW) for part in (rows, rows[1:]))
    assert both["cpu_usage"]["forecast"] == last["cpu_usage"]["forecast"]
    assert (both["cpu_usage"]["instance"], last["cpu_usage"]["instance"]) == (1, 0)


def silent_vector() -> Floats:
    vectors = engine_vectors(hours_of(48) * np.nan)
    return vectors.reshape(-1)


def test_of_a_silent_metric_what_is_usual_is_said_without_confidence() -> None:
    frame = hours_of(24 * 20).rename_axis("timestamp").reset_index()
    usual = hourly_baseline_of(frame)
    said = forecasts(Drift(), [silent_vector().tolist()], 24, usual, now=NOW)
    assert_decodable(said)
    coming = 0.4 + 0.2 * np.sin(2 * np.pi * np.arange(18, 42) / 24)
    assert said["cpu_usage"]["forecast"] == pytest.approx(coming, abs=0.05)
    assert said["cpu_usage"]["confidence"] == [0.01] * 24
    unknown = forecasts(Drift(step=0.0), [silent_vector().tolist()], 3, NOBODY_KNOWS, now=NOW)
    assert unknown["memory_usage"]["forecast"] == [0.5] * 3


def test_a_metric_that_is_told_is_not_replaced_by_what_is_usual() -> None:
    hourly = hours_of(60)
    hourly["memory_usage"] = np.nan
    usual = HourlyBaseline(middle=dict.fromkeys(("cpu_usage", "memory_usage"), (0.77,) * 24))
    said = forecasts(Drift(step=0.0), engine_vectors(hourly)[-1:], 2, usual, now=NOW)
    assert said["cpu_usage"]["forecast"] == [pytest.approx(hourly["cpu_usage"].iloc[-1])] * 2
    assert said["memory_usage"]["forecast"] == [0.77] * 2
    assert said["cpu_usage"]["confidence"][0] > 0.9 > 0.01 == said["memory_usage"]["confidence"][0]


@pytest.mark.parametrize("seed", range(4))
def test_any_finite_rows_have_a_decodable_answer(seed: int) -> None:
    rng = np.random.default_rng(seed)
    usual = hourly_baseline_of(hours_of(100, seed).rename_axis("timestamp").reset_index())
    for width in (3264, 5, 4, 3):
        rows = rng.normal(0, 1, (3, width)) * 10.0 ** rng.integers(-300, 300, (3, width))
        for column in RATIOS.get(width, {}).values():
            rows[:, column] = np.minimum(rows[:, column], 2.0)
        said = answer(Drift(), rows.tolist(), 5, usual, now=NOW)
        assert_decodable(said)
        assert isinstance(said, list) is (width < 5)


USUAL = HourlyBaseline(upper={"cpu_usage": (*(0.3,) * 12, *(0.7,) * 12), "memory_usage": (0.8,) * 24})


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ([3, 0, 0.49, 0.5], 1),  # healthy at any hour
        ([3, 0, 0.51, 0.5], -1),  # unusual at night
        ([15, 6, 0.51, 0.5], 1),  # but not in the afternoon
        ([15, 6, 0.71, 0.5], -1),
        ([15, 6, 0.1, 0.81], -1),
        ([24, 6, 0.51, 0.5], 1),  # no such hour: against the highest of all
        ([-1.5, 6, 0.72, 0.5], -1),
        ([3, 0, 0.65, 0.72], 1),  # what the engine sends when Prometheus is silent,
        ([3, 0, 0.65 * 1.15, 0.72 * 1.15], 1),  # and its scenario of 15 % more
        ([3, 0, 0.65, 0.96], -1),
    ],
)
def test_rows_of_four_are_judged_by_what_the_cluster_does_at_the_hour(row: list[float], expected: int) -> None:
    assert answer(Drift(), [row], 12, NOBODY_KNOWS, cluster=lambda: USUAL) == [expected]


@pytest.mark.parametrize(
    "cores", [NOBODY_KNOWS, HourlyBaseline({"cpu_usage": (0.2,) * 24, "memory_usage": (0.3,) * 24})]
)
def test_rows_of_four_are_never_judged_by_cores_of_a_container(cores: HourlyBaseline) -> None:
    rows = [[hour, 2, 0.5, 0.6] for hour in range(24)]
    assert answer(Drift(), rows, 12, cores) == [1] * 24
    assert answer(Drift(), [[3, 0, 0.84, 0.89], [3, 0, 0.85, 0.5], [3, 0, 0.1, 0.9]], 12, cores) == [1, -1, -1]


def test_rows_of_three_are_no_evidence() -> None:
    assert answer(Drift(), [[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 0]], 12, USUAL) == [1] * 4


def test_usual_is_learnt_by_the_hour_and_not_from_rare_peaks() -> None:
    index = pd.date_range("2026-01-01", periods=30 * 288, freq="300s", tz="UTC")
    rng = np.random.default_rng(5)
    busy = np.isin(index.hour, range(9, 17))
    cpu = np.where(busy, 0.6, 0.2) + rng.normal(0, 0.02, len(index))
    peaks = cpu.copy()
    peaks[rng.random(len(index)) < 0.01] = 0.99
    frame = pd.DataFrame({"timestamp": index, "cpu_usage": peaks, "memory_usage": np.nan})
    usual = hourly_baseline_of(frame)
    assert set(usual.upper) == {"cpu_usage"}  # of memory nothing is known
    night, day = usual.upper["cpu_usage"][3], usual.upper["cpu_usage"][12]
    assert 0.24 < night < 0.32 < 0.7 < day < 0.8
    assert (usual.middle["cpu_usage"][3], usual.middle["cpu_usage"][12]) == pytest.approx((0.2, 0.6), abs=0.01)
    assert night == pytest.approx(hourly_baseline_of(frame.assign(cpu_usage=cpu)).upper["cpu_usage"][3], abs=0.02)
    rows = [[hour, 1, 1.15 * float(np.median(cpu[index.hour == hour])), 0.1] for hour in range(24)]
    assert answer(Drift(), rows, 1, usual, cluster=lambda: usual) == [1] * 24
    # Beside the busy hours what is usual in them is forgiven.
    expected = [1 if hour in range(8, 18) else -1 for hour in range(24)]
    assert answer(Drift(), [[h, d, 0.55, m] for h, d, _, m in rows], 1, usual, cluster=lambda: usual) == expected


def test_an_hour_without_rows_is_judged_by_the_whole() -> None:
    index = pd.date_range("2026-01-01T12:00Z", periods=12, freq="300s")
    usual = hourly_baseline_of(pd.DataFrame({"timestamp": index, "cpu_usage": 0.5}))
    assert list(usual.upper["cpu_usage"]) == pytest.approx([0.6] * 24)


def test_usual_survives_json() -> None:
    usual = hourly_baseline_of(hours_of(100).rename_axis("timestamp").reset_index())
    assert HourlyBaseline.from_dict(json.loads(json.dumps(usual.to_dict(), allow_nan=False))) == usual


@pytest.mark.parametrize(
    "data", [{}, {"upper": {}}, {"upper": {"cpu_usage": [1.0]}, "middle": {}}, {"upper": [], "middle": {}},
             {"upper": {"cpu_usage": [math.nan] * 24}, "middle": {}}, {"upper": {}, "middle": {"cpu_usage": None}}],
)  # fmt: skip
def test_unreadable_usual_values_are_refused(data: Any) -> None:
    with pytest.raises(SchemaError, match="hourly baseline"):
        HourlyBaseline.from_dict(data)


@pytest.mark.parametrize("width", [1, 2, 6, 45, 136, 3200, 3265])
def test_other_widths_are_refused_by_name(width: int) -> None:
    with raises(SchemaError, "other_width", widths=(3264, 5, 4, 3), received=width):
        answer(Drift(), [[0.5] * width], 12, NOBODY_KNOWS)


@pytest.mark.parametrize(
    "instances", [None, [], "x", [None], [[None] * 5], [["1"] * 5], [[math.nan] * 4], [[1] * 5, [1] * 3]]
)
def test_what_is_no_row_is_refused(instances: object) -> None:
    with pytest.raises(DataError, match=r"row|empty"):
        answer(Drift(), instances, 12, NOBODY_KNOWS)


def test_a_forecast_that_cannot_be_used_is_an_error() -> None:
    with pytest.raises(ModelError, match="not finite"):
        answer(Drift(width=math.nan), [[0.5] * 5], 12, NOBODY_KNOWS)

    class OfDisk:
        def forecast(self, history: History, horizon: int) -> Forecast:
            said = Drift().forecast(history, horizon)
            return Forecast(("disk_usage",), said.times, said.value[:, :1], said.lower[:, :1], said.upper[:, :1])

    with pytest.raises(ModelError, match="not cpu_usage"):
        answer(OfDisk(), [[0.5] * 5], 12, NOBODY_KNOWS)


@pytest.mark.skipif(not (SHARED / "data").exists(), reason="needs the real series beside the checkout")
def test_on_real_series_vectors_are_answered_better_than_by_the_last_value() -> None:
    frame = pd.read_parquet(SHARED / "data" / "series" / "smd__machine-3-4.parquet").set_index("timestamp")
    hourly = frame[["m00", "m01", "m02", "m03", "m04"]].astype(float).resample("1h").mean().interpolate()
    hourly = hourly.tz_convert("UTC").set_axis(list(METRICS), axis=1)
    train = len(hourly) * 6 // 10
    forecaster = FORECASTERS["predictive-analytics"](42)
    forecaster.fit(history_of_hours(hourly.iloc[:train]))
    vectors = engine_vectors(hourly)
    wrong: dict[str, list[float]] = {"answer": [], "last": []}
    for origin in range(train, len(hourly) - 24, 25):
        said = forecasts(forecaster, vectors[origin - 47 : origin - 46], 24, NOBODY_KNOWS, now=hourly.index[origin])
        for name in ("cpu_usage", "memory_usage"):
            came = hourly[name].to_numpy()[origin + 1 : origin + 25]
            wrong["answer"].append(float(np.abs(np.array(said[name]["forecast"]) - came).mean()))
            wrong["last"].append(float(np.abs(hourly[name].iloc[origin] - came).mean()))
    assert len(wrong["answer"]) >= 20
    assert np.mean(wrong["answer"]) < 0.9 * np.mean(wrong["last"])
