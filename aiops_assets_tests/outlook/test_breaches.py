"""Breaches of small forecasts that were made by hand."""

import numpy as np
import pandas as pd
import pytest

from aiops_assets.errors import DataError
from aiops_assets.learners.contracts import Forecast
from aiops_assets.outlook.breaches import DEFAULT_THRESHOLDS, Kind, breaches, outlook, severity_of, trend_of
from aiops_assets.timeseries.catalog import FORECAST_METRICS
from aiops_assets.timeseries.history import History
from aiops_assets.timeseries.series import Floats

NOW = pd.Timestamp("2026-03-02 12:00", tz="UTC")
STEPS = 12


def forecast(**medians: Floats) -> Forecast:
    """Intervals of 0.1 below and 0.2 above."""
    value = np.stack(list(medians.values()), axis=1)
    times = pd.date_range(NOW, periods=len(value) + 1, freq="5min")[1:]
    return Forecast(tuple(medians), times, value, value - 0.1, value + 0.2)


def rising(begin: float, end: float) -> Floats:
    return np.linspace(begin, end, STEPS)


def test_the_first_step_whose_median_reaches_the_threshold_is_predicted() -> None:
    (one,) = breaches(forecast(memory_usage=rising(0.45, 1.0)), {"memory_usage": 0.7}, NOW)
    assert (one.kind, one.metric, one.threshold, one.trend) == ("predicted_breach", "memory_usage", 0.7, "increasing")
    assert one.predicted_value == pytest.approx(0.7)
    assert one.confidence_interval == pytest.approx((0.6, 0.9))
    assert (one.time_to_breach, one.time) == (30, NOW + pd.Timedelta(minutes=30))
    assert isinstance(one.time_to_breach, int)
    # The last median is three times the way to the lower bound above the threshold: Phi(3 * 1.2816).
    assert one.probability == pytest.approx(0.99994, abs=1e-5)
    assert one.severity == "critical"


def test_an_upper_bound_alone_is_a_possible_breach() -> None:
    (one,) = breaches(forecast(disk_usage=np.full(STEPS, 0.75)), {"disk_usage": 0.95}, NOW)
    assert (one.kind, one.severity, one.trend, one.time_to_breach) == ("possible_breach", "medium", "stable", 5)
    assert one.probability == pytest.approx(0.1)
    assert one.predicted_value == 0.75


def test_what_stays_below_is_none_and_the_soonest_is_first() -> None:
    made = forecast(low=np.full(STEPS, 0.1), late=rising(0.5, 1.0), soon=rising(0.8, 1.0))
    found = breaches(made, {"low": 0.9, "late": 0.9, "soon": 0.9}, NOW)
    assert [(one.metric, one.time_to_breach) for one in found] == [("soon", 35), ("late", 50)]


def test_an_interval_without_width_is_sure() -> None:
    flat = np.full((STEPS, 1), 0.5)
    made = Forecast(("m",), forecast(m=flat[:, 0]).times, flat, flat, flat)
    (one,) = breaches(made, {"m": 0.5}, NOW)
    assert (one.kind, one.probability, one.trend) == ("predicted_breach", 1.0, "stable")
    assert breaches(made, {"m": 0.6}, NOW) == []


@pytest.mark.parametrize(
    ("kind", "minutes", "probability", "severity"),
    [
        ("predicted_breach", 60, 0.8, "critical"),
        ("predicted_breach", 60, 0.79, "high"),
        ("predicted_breach", 61, 0.8, "high"),
        ("predicted_breach", 360, 0.5, "medium"),
        ("predicted_breach", 361, 0.8, "medium"),
        ("predicted_breach", 361, 0.5, "low"),
        ("possible_breach", 60, 0.4, "medium"),
        ("possible_breach", 61, 0.4, "low"),
    ],
)
def test_severity_is_how_soon_and_how_sure(kind: Kind, minutes: int, probability: float, severity: str) -> None:
    assert severity_of(kind, minutes, probability) == severity


@pytest.mark.parametrize(
    ("value", "trend"),
    [
        (rising(0.5, 0.7), "increasing"),
        (rising(0.7, 0.5), "decreasing"),
        (rising(0.50, 0.55), "stable"),
        (np.array([0.5]), "stable"),
    ],
)
def test_a_trend_is_more_than_a_quarter_of_the_interval(value: Floats, trend: str) -> None:
    assert trend_of(value, value - 0.1, value + 0.1) == trend


def test_default_thresholds_are_of_the_forecast_metrics_that_are_answered_as_ratios() -> None:
    bytes_per_second = {metric.name for metric in FORECAST_METRICS if metric.unit == "bytes/s"}
    assert set(DEFAULT_THRESHOLDS) == {metric.name for metric in FORECAST_METRICS} - bytes_per_second
    assert all(0 < threshold < 1 for threshold in DEFAULT_THRESHOLDS.values())


@pytest.mark.parametrize(
    ("thresholds", "says"),
    [({"other": 1.0}, "a threshold for 'other', but the forecast is of m"), ({"m": np.inf}, "give a finite number")],
)
def test_a_threshold_that_cannot_be_judged_is_refused(thresholds: dict[str, float], says: str) -> None:
    with pytest.raises(DataError, match=says):
        breaches(forecast(m=rising(0, 1)), thresholds, NOW)


def test_the_trend_answers_where_the_forecast_reaches_no_limit() -> None:
    times = pd.date_range(end=NOW, periods=200, freq="5min", name="timestamp")
    values = np.stack([0.2 + 0.002 * np.arange(200), np.full(200, 0.5)], axis=1)
    history = History(("leaking", "reached"), times, values, np.ones(values.shape, dtype=bool), 300)
    made = forecast(leaking=rising(0.6, 0.62), reached=rising(0.5, 1.0))
    leaking, reached = outlook(history, made, {"leaking": 1.0, "reached": 0.9})
    assert leaking.breach is None
    assert leaking.exhaustion is not None
    assert leaking.exhaustion.hours == pytest.approx((1 - 0.598) / 0.024, rel=0.02)
    assert reached.breach is not None
    assert reached.breach.kind == "predicted_breach"
    assert reached.exhaustion is None
