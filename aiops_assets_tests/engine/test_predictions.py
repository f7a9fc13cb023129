"""What each metric will be, as the prediction path answers it."""

from dataclasses import asdict
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from aiops_assets.durations import duration_text
from aiops_assets.engine.prediction.issues import predicted_issues
from aiops_assets.engine.prediction.predictions import Prediction, ahead_seconds, predict
from aiops_assets.engine.samples import FORECASTED, Sample
from aiops_assets.errors import DataError, ModelError
from aiops_assets.families.forecasters import METRICS
from aiops_assets.families.predictive_analytics import PredictiveFamily
from aiops_assets.learners.contracts import Forecast
from aiops_assets.learners.forecasters.predictive_analytics import PredictiveAnalytics
from aiops_assets.timeseries.history import History
from aiops_assets_tests.engine.forecasting import NOW, LastValue, sent
from aiops_assets_tests.raising import raises
from aiops_assets_tests.views.cluster_rows import cluster_rows


def only(samples: list[Sample], ahead: str = "1h", forecaster: object = "last") -> Prediction:
    """The prediction of the only name."""
    (found,) = predict(samples, ahead, LastValue() if forecaster == "last" else None, now=NOW).predictions
    return found


def told(one: Prediction, *fields: str) -> tuple[object, ...]:
    """Some fields of a prediction."""
    return tuple(getattr(one, field) for field in fields)


@pytest.fixture(scope="module")
def served() -> PredictiveAnalytics:
    rows = cluster_rows(3)
    model: PredictiveAnalytics = PredictiveFamily().fit(rows, {"trees": "boosting", "lookback_window": 24}, 42)
    return model


def test_percent_goes_in_and_percent_comes_out() -> None:
    forecaster = LastValue()
    found = predict(sent("cpu_usage", [60.0, 65.0], 3600), "1h", forecaster, now=NOW)
    (one,) = found.predictions
    assert told(one, "metric_name", "predicted_value", "trend", "risk") == (
        "cpu_usage",
        pytest.approx(65.0),
        "stable",
        "low",
    )
    assert one.timestamp == NOW + timedelta(hours=1)
    assert one.judged_by == "predictive-analytics"
    assert (found.summary.time_range, found.summary.metrics_count) == ("1h", 1)
    assert found.summary.overall_confidence == one.confidence
    ((history, horizon),) = forecaster.asked
    assert (history.step_seconds, horizon) == (3600, 1)
    assert history.values[:, 0].tolist() == [0.60, 0.65]
    assert history.known.sum(axis=0).tolist() == [2, 0, 0, 0, 0]


@pytest.mark.parametrize(("ahead", "steps"), [("5m", 1), ("7m", 2), ("1h", 12), ("24h", 288), ("1h0m1s", 13)])
def test_between_steps_the_later_one_is_asked_for(ahead: str, steps: int) -> None:
    forecaster = LastValue()
    found = predict(sent("memory_usage", [0.4, 0.4, 0.4]), ahead, forecaster, now=NOW)
    assert forecaster.asked[0][1] == steps
    assert found.predictions[0].timestamp == NOW + timedelta(seconds=ahead_seconds(ahead))


def test_the_time_is_that_of_the_newest_sample_with_an_offset() -> None:
    old = NOW - timedelta(days=400)
    assert only([Sample("memory_usage", 0.4, old)], "5m").timestamp == old + timedelta(minutes=5)
    assert only([Sample("foo", 1.0)], "5m").timestamp == NOW + timedelta(minutes=5)
    assert only([Sample("foo", 1.0, NOW)]).timestamp.tzinfo is UTC


@pytest.mark.parametrize("ahead", ["0s", "-5m", "25h", "2d", "1 hour", "", "soon", "5", None, 3600])
def test_what_cannot_be_predicted_is_refused_with_what_can(ahead: str) -> None:
    with pytest.raises(DataError, match='at most "24h"'):
        predict([], ahead, None, now=NOW)


def test_nothing_is_an_empty_answer() -> None:
    found = predict([], "24h", None, now=NOW)
    assert found.predictions == ()
    assert asdict(found.summary) == {"time_range": "24h", "metrics_count": 0, "overall_confidence": 0.0}
    assert found.notes == ()


def test_metrics_of_one_span_are_forecast_at_once_and_namesakes_apart() -> None:
    forecaster = LastValue()
    rising = np.linspace(0.2, 0.3, 10)
    samples = [
        *sent("cpu_usage", rising),
        *sent("memory_usage", rising + 0.1),
        *sent("pod_cpu_usage", rising * 0.1),
        *sent("network_in", [2e6]),
    ]
    found = predict(samples, "10m", forecaster, now=NOW).predictions
    # Memory goes on as its samples do, two steps of a ninth of a tenth.
    assert [one.predicted_value for one in found] == pytest.approx([0.3, 0.4 + 0.2 / 9, 0.03, 2e6])
    assert [len(history.times) for history, _ in forecaster.asked] == [10, 10, 1]


def test_a_gap_is_filled_and_not_known() -> None:
    forecaster = LastValue()
    samples = [
        Sample("disk_usage", 0.2, NOW - timedelta(minutes=15)),
        Sample("disk_usage", 0.4, NOW - timedelta(minutes=5)),
        Sample("disk_usage", 0.6, NOW - timedelta(minutes=4)),
    ]
    predict(samples, "5m", forecaster, now=NOW)
    history = forecaster.asked[0][0]
    m = history.metrics.index("disk_usage")
    assert history.values[:, m] == pytest.approx([0.2, 0.35, 0.5])  # two samples of one step count as their mean
    assert history.known[:, m].tolist() == [True, False, True]
    assert str(history.times[-1]) == "2026-11-21 11:55:00+00:00"


def test_a_leak_is_followed_to_its_limit_and_no_farther() -> None:
    """.1 an hour from .8 on: the forecaster stays, the trend does not, and the answer must be of one piece."""
    noise = 0.003 * np.random.default_rng(3).standard_normal(36)
    leak = sent("memory_usage", np.linspace(0.45, 0.8, 36) + noise)
    soon, later = only(leak), only(leak, "24h")
    assert soon.predicted_value == pytest.approx(0.92, abs=0.02)
    assert later.predicted_value == 1.0
    assert all(told(one, "trend", "risk", "judged_by") == ("increasing", "high", "trend") for one in (soon, later))
    assert soon.confidence > later.confidence


def test_a_leak_in_percent_is_followed_in_percent() -> None:
    assert only(sent("memory_usage", np.linspace(45, 80, 36))).predicted_value == pytest.approx(92.0, abs=0.5)


def test_a_leak_that_takes_days_is_a_medium_risk() -> None:
    """.2 in two days: .4 are left for four."""
    one = only(sent("disk_usage", np.linspace(0.4, 0.6, 48), 3600))
    assert told(one, "trend", "risk") == ("increasing", "medium")
    assert one.predicted_value == pytest.approx(0.604, abs=0.002)


def test_rising_cpu_is_no_leak() -> None:
    one = only(sent("cpu_usage", np.linspace(0.2, 0.5, 36)), "24h")
    assert told(one, "predicted_value", "judged_by") == (pytest.approx(0.5), "predictive-analytics")
    assert one.trend == "increasing"


def test_few_hourly_samples_that_surely_rise_are_drawn_on_a_little() -> None:
    """2.5 an hour over eleven hours: drawn on for a quarter of them."""
    hourly = sent("cpu_usage", np.linspace(40.0, 67.5, 12), 3600)
    assert only(hourly).predicted_value == pytest.approx(70.0)
    assert only(hourly, "24h").predicted_value == pytest.approx(67.5 + 2.5 * 11 / 4)
    assert only(hourly).trend == "increasing"


def test_one_sample_stays_and_is_told_with_little_confidence() -> None:
    one = only([Sample("memory_usage", 0.7)])
    assert told(one, "predicted_value", "trend", "risk") == (pytest.approx(0.7), "stable", "low")
    assert one.confidence == pytest.approx(1 / 3, abs=0.01)  # one of three: two samples tell half
    more = only(sent("memory_usage", [0.7] * 30))
    assert more.confidence == pytest.approx(30 / 32, abs=0.01)


@pytest.mark.parametrize(("value", "risk"), [(0.5, "low"), (0.79, "medium"), (0.81, "high"), (81.0, "high")])
def test_the_risk_of_cpu_is_that_of_reaching_80_percent(value: float, risk: str) -> None:
    """The forecaster of these tests gives an 80 % interval of two percent to each side."""
    assert only([Sample("cpu_usage", value)]).risk == risk


def test_cores_are_no_ratio() -> None:
    one = only(sent("pod_cpu_usage", [3.0] * 5))
    assert told(one, "predicted_value", "risk") == (pytest.approx(3.0), "low")


def test_a_name_nobody_knows_is_told_from_its_own_samples() -> None:
    """5 an interval over 24 of them, 12 more to come."""
    one = only(sent("queue_length", np.arange(25) * 5.0))
    assert told(one, "predicted_value", "trend", "judged_by") == (pytest.approx(180.0), "increasing", "robust-line")
    assert one.risk == "medium"  # three times its median
    still = only(sent("queue_length", 100 + np.random.default_rng(1).standard_normal(60)), "24h")
    assert told(still, "predicted_value", "trend", "risk") == (pytest.approx(100, abs=1.5), "stable", "low")
    falling = only(sent("queue_length", 200 - np.arange(25) * 4.0))
    assert told(falling, "predicted_value", "trend") == (pytest.approx(56.0), "decreasing")


def test_a_line_is_drawn_on_only_for_as_long_as_it_was_seen() -> None:
    assert only(sent("queue_length", np.arange(13) * 5.0), "24h").predicted_value == pytest.approx(60.0 + 60.0)


def test_what_was_never_negative_does_not_become_so() -> None:
    assert only(sent("queue_length", 60 - np.arange(12) * 5.0)).predicted_value == 0.0


def test_one_wild_sample_does_not_move_a_line() -> None:
    values = 10 + 0.1 * np.random.default_rng(2).standard_normal(40)
    values[20] = 1e6
    assert only(sent("queue_length", values)).predicted_value == pytest.approx(10, abs=0.3)


def test_a_random_walk_mostly_has_no_trend() -> None:
    rng = np.random.default_rng(5)
    trends = [only(sent("x", 100 + np.cumsum(rng.standard_normal(80)))).trend for _ in range(40)]
    assert trends.count("stable") >= 26


def test_few_samples_of_an_unknown_name_give_the_last_one_and_little_confidence() -> None:
    one = only(sent("queue_length", [5.0, 9.0, 7.0]))
    assert told(one, "predicted_value", "trend", "judged_by") == (7.0, "stable", "last-value")
    assert 0.01 <= one.confidence < 0.2


def test_host_metrics_have_the_thresholds_of_their_alerts() -> None:
    assert only([Sample("error_rate", 0.11)]).risk == "high"
    assert only([Sample("cpu_usage_percent", 50.0)] * 2).risk == "low"


def test_without_a_forecaster_the_answer_says_who_judged() -> None:
    found = predict(sent("memory_usage", np.linspace(0.4, 0.7, 31)), "1h", None, now=NOW)
    assert found.predictions[0].predicted_value == pytest.approx(0.82)
    assert found.predictions[0].judged_by == "robust-line"
    assert [one.code for one in found.notes] == ["no_forecaster"]


def test_a_forecast_that_is_not_finite_is_an_error_of_the_model() -> None:
    class Broken(LastValue):
        def forecast(self, history: History, horizon: int) -> Forecast:
            said = super().forecast(history, horizon)
            return Forecast(said.metrics, said.times, said.value * np.nan, said.lower, said.upper)

    with pytest.raises(ModelError, match="cpu_usage is not finite"):
        predict([Sample("cpu_usage", 0.5)], "1h", Broken(), now=NOW)


@pytest.mark.long
def test_ten_thousand_names_are_all_answered_and_the_answer_says_how() -> None:
    few = [one for i in range(500) for one in sent(f"few_{i}", [5.0, 6.0])]
    enough = [
        one for i in range(9_500) for one in sent(f"metric_{i}", [1.0, 2.0, 3.0, 4.0, 5.0, 6.0] * (2 if i < 500 else 1))
    ]
    samples = [*few, *enough]
    found = predict(samples, "1h", None, now=NOW)
    assert found.summary.metrics_count == len(found.predictions) == 10_000
    assert [(one.code, one.facts) for one in found.notes] == [("lines_left_out", {"most": 500})]
    assert {one.judged_by for one in found.predictions[500:1000]} == {"robust-line"}
    others = [*found.predictions[:500], *found.predictions[1000:]]
    assert {(one.judged_by, one.predicted_value) for one in others} == {("last-value", 6.0)}


@pytest.mark.parametrize(
    ("ahead", "steps"),
    [
        ("5m", (1, 3600, 86_400)),
        pytest.param("5m", (60, 300), marks=pytest.mark.long),
        pytest.param("24h", (1, 60, 300, 3600, 86_400), marks=pytest.mark.long),
    ],
)
def test_everything_is_finite_and_plain_whatever_is_sent(
    served: PredictiveAnalytics, ahead: str, steps: tuple[int, ...]
) -> None:
    """The forecaster as it is served, of all names that it knows and of values that nobody should send."""
    rng = np.random.default_rng(7)
    odd = ([0.0], [1e308, -1e308] * 8, [5e-324] * 20, [-3.0, 2.0], rng.standard_normal(60), [7] * 30)
    names = [*FORECASTED, "unknown", "container_restart_count"]
    for values in odd:
        for step in steps:
            samples = [sample for name in names for sample in sent(name, values, step)]
            for one in predict(samples, ahead, served, now=NOW).predictions:
                assert [type(value) for value in (one.predicted_value, one.confidence)] == [float, float]
                assert np.isfinite(one.predicted_value)
                assert 0.01 <= one.confidence <= 1
                assert type(one.timestamp) is datetime
                assert one.trend in ("increasing", "decreasing", "stable")
                assert one.risk in ("low", "medium", "high")


def test_the_served_forecaster_answers_what_go_sends(served: PredictiveAnalytics) -> None:
    samples = sent("cpu_usage", [60.0, 65.0], 3600) + sent("memory_usage", [70.0, 72.0], 3600)
    cpu, memory = predict(samples, "1h", served, now=NOW).predictions
    assert cpu.predicted_value == pytest.approx(63, abs=8)
    assert memory.predicted_value == pytest.approx(71, abs=5)
    assert cpu.judged_by == memory.judged_by == "predictive-analytics"
    assert METRICS[:2] == ("cpu_usage", "memory_usage")


@pytest.mark.parametrize(
    ("minutes", "text"),
    [
        (0, "1m"),
        (4.6, "5m"),
        (59.4, "59m"),
        (60, "1h"),
        (85, "1h30m"),
        (359, "6h"),
        (400, "7h"),
        (2879, "48h"),
        (2880, "2d"),
        (72 * 60 - 100, "3d"),
        (14 * 1440, "14d"),
    ],
)
def test_times_are_told_as_people_write_them(minutes: float, text: str) -> None:
    assert duration_text(minutes) == text


def test_the_newest_week_of_a_series_is_looked_at() -> None:
    values = np.append(np.full(500, 0.9), np.full(2016, 0.3))
    forecaster = LastValue()
    one = predict(sent("cpu_usage", values), "1h", forecaster, now=NOW).predictions[0]
    assert one.predicted_value == pytest.approx(0.3)
    assert forecaster.asked[0][0].values[:, 0].tolist() == [0.3] * 2016


@pytest.mark.long
def test_more_than_can_be_answered_in_time_is_refused_with_how_much_may_be_sent() -> None:
    names = [Sample(f"metric_{i}", 1.0) for i in range(20_001)]
    for ask in (
        lambda samples: predict(samples, "1h", None, now=NOW),
        lambda samples: predicted_issues(samples, [], None, None, now=NOW),
    ):
        with raises(DataError, "too_many_names", sent=20_001):
            ask(names)
        with raises(DataError, "too_many_samples", sent=100_001):
            ask([Sample("cpu_usage", 0.5)] * 100_001)
    assert predict(names[:-1], "1h", None, now=NOW).summary.metrics_count == 20_000
