import math
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest

from aiops_assets.engine.detection.anomalies import Detection, detect
from aiops_assets.engine.detection.findings import confidence_of, score_of, severity_of
from aiops_assets.engine.detection.jumps import find_jumps
from aiops_assets.engine.detection.limits import above_limits
from aiops_assets.engine.detection.sent_row import sent_row
from aiops_assets.engine.samples import Sample
from aiops_assets.errors import DataError
from aiops_assets.learners.detectors.ensemble import EnsemblePredictor
from aiops_assets.synthetic.healthy import healthy_rows
from aiops_assets.synthetic.pods import generate
from aiops_assets.timeseries.catalog import ENGINE_METRICS
from aiops_assets.timeseries.features import FEATURES
from aiops_assets.timeseries.series import Floats
from aiops_assets_tests.conftest import END
from aiops_assets_tests.engine.row_forest import row_forest
from aiops_assets_tests.engine.situations import HEALTHY, NOW, SITUATIONS, WRONG, Situation, samples_of, timed

NAMES = [metric.name for metric in ENGINE_METRICS]


@dataclass(frozen=True)
class Told:
    """A row detector that says what it is told to."""

    says: float = -0.1
    shares: tuple[float, ...] = (0.2, 0.2, 0.2, 0.2, 0.2)
    expected: Floats = field(default_factory=lambda: np.full(45, 0.4))
    spread: Floats = field(default_factory=lambda: np.full(45, 0.1))

    def score(self, rows: Floats) -> Floats:
        return np.full(len(rows), self.says)

    def contributions(self, row: Floats) -> Floats:
        return np.array(self.shares)


def _detect(*samples: Sample, detector: Told | None = None, **options: Any) -> Detection:
    return detect(samples, detector or Told(), now=NOW, **options)


@pytest.mark.parametrize("situation", WRONG, ids=lambda one: one.name)
@pytest.mark.parametrize("seed", range(5))
def test_what_is_wrong_is_found_named_and_answered(situation: Situation, seed: int) -> None:
    said = detect(samples_of(situation.body(seed)), row_forest(), now=NOW)
    (anomaly,) = said.anomalies
    assert anomaly.kind == situation.expected_kind
    assert anomaly.metric_name.startswith(situation.expected_metric)
    assert any(situation.expected_recommendation in advice.text for advice in said.recommendations)
    assert said.anomaly_detected
    assert said.anomaly_score >= 0.5


@pytest.mark.parametrize("situation", HEALTHY, ids=lambda one: one.name)
@pytest.mark.parametrize("seed", range(5))
def test_what_is_healthy_raises_nothing(situation: Situation, seed: int) -> None:
    said = detect(samples_of(situation.body(seed)), row_forest(), now=NOW)
    assert (said.anomalies, said.recommendations, said.anomaly_detected) == ([], [], False)
    assert said.anomaly_score < 3


@pytest.mark.parametrize("situation", SITUATIONS, ids=lambda one: one.name)
def test_every_answer_keeps_the_contract(situation: Situation) -> None:
    body = situation.body(3)
    said = detect(samples_of(body), row_forest(), now=NOW)
    sent = {(one["name"], one["value"]) for one in body}
    assert said.total == len(body)
    assert said.anomalies_found == len(said.anomalies)
    assert said.high_severity == sum(one.severity in ("high", "critical") for one in said.anomalies)
    assert type(said.anomaly_detected) is bool
    assert 0 <= said.confidence <= 1
    assert 0 <= said.anomaly_score <= 100
    assert (said.anomaly_score >= 3) == said.anomaly_detected
    for one in said.anomalies:
        assert (one.metric_name, one.value) in sent
        assert one.deviation == one.value - one.expected
        assert all(type(number) is float for number in (one.value, one.expected, one.deviation, one.confidence))
        assert one.timestamp == NOW
        assert one.reason.startswith(one.metric_name)
        if one.limit is not None:
            assert (one.value >= one.limit) == (one.deviation >= 0) or one.kind in ("memory_leak", "disk_full")


def test_limits_and_jumps_add_no_alarm_to_healthy_rows() -> None:
    found = []
    for values in healthy_rows(3000, seed=11):
        row = sent_row([Sample(name, float(value)) for name, value in zip(FEATURES, values, strict=True)], {}, NOW)
        found += above_limits(row, [0.4] * 45) + find_jumps(row)
        bare = [Sample(name, float(value)) for name, value in zip(NAMES, values[::9], strict=True)]
        found += above_limits(sent_row(bare, {}, NOW), [0.4] * 45)
    assert found == []


def test_healthy_rows_raise_few_alarms() -> None:
    detector = row_forest()
    alarms = [
        detect([Sample(n, float(v)) for n, v in zip(FEATURES, values, strict=True)], detector, now=NOW).anomaly_detected
        for values in healthy_rows(1000, seed=12)
    ]
    assert np.mean(alarms) <= 0.03


def test_an_empty_request_and_an_unknown_name() -> None:
    said = _detect()
    assert (said.total, said.anomalies_found, said.confidence, said.judged_by) == (0, 0, 0.0, ())
    said = _detect(Sample("nobody_knows", 1e9), detector=Told(says=0.1))
    assert (said.total, said.anomalies_found, said.judged_by) == (1, 0, ())


def test_deviation_is_in_the_unit_as_sent() -> None:
    expected = np.full(45, 0.6)
    (found,) = _detect(Sample("cpu_usage", 92.0), detector=Told(0.05, (1, 0, 0, 0, 0), expected)).anomalies
    assert (found.metric_name, found.value, found.expected, found.deviation) == ("cpu_usage", 92.0, 60.0, 32.0)
    assert "percent" in found.reason
    assert found.severity == "high"


def test_contributions_pick_the_metrics_and_spreads_the_feature() -> None:
    samples = [Sample("pod_cpu_usage_value", 0.5), Sample("pod_cpu_usage_max_5m", 0.9), Sample("cpu_usage", 0.3)]
    found = _detect(*samples, detector=Told(0.05, (0.1, 0, 0.9, 0, 0))).anomalies
    assert [one.metric_name for one in found] == ["pod_cpu_usage_max_5m"]
    found = _detect(*samples, detector=Told(0.05, (0.4, 0, 0.6, 0, 0))).anomalies
    assert [(one.metric_name, one.kind) for one in found] == [
        ("pod_cpu_usage_max_5m", "cpu_spike"),
        ("cpu_usage", "drop"),
    ]
    assert found[0].confidence > found[1].confidence


def test_how_often_a_pod_was_restarted_says_nothing() -> None:
    samples = [Sample("container_restart_count_value", 900.0), Sample("container_restart_count_diff", 1.0)]
    (found,) = _detect(*samples, detector=Told(0.05, (0, 0, 0, 0, 1))).anomalies
    assert (found.metric_name, found.kind) == ("container_restart_count_diff", "restart")


@pytest.mark.parametrize(
    ("metric", "value", "kind", "severity"),
    [
        ("pod_memory_usage", 0.89, None, None),
        ("pod_memory_usage", 0.90, "memory_saturation", "medium"),
        ("memory_usage", 96.0, "memory_saturation", "high"),
        ("pod_memory_usage", 1.4, "memory_saturation", "critical"),
        ("node_memory_utilization", 0.91, "node_pressure", "high"),
        ("node_cpu_utilization", 0.94, None, None),
        ("node_cpu_utilization", 0.99, "cpu_saturation", "critical"),
        ("container_restart_count_diff", 3.0, "restart_storm", "high"),
        ("container_restart_count", 500.0, None, None),
        ("disk_usage", 0.89, None, None),
        ("disk_usage", 98.0, "disk_full", "critical"),
        ("memory_trend_1h", 0.9, None, None),
        ("error_rate", 0.09, None, None),
        ("error_rate", 0.1, "burst", "high"),
        ("error_rate", 0.6, "burst", "critical"),
        ("error_rate", 25.0, "burst", "critical"),
        ("response_time_p95", 1900.0, None, None),
        ("response_time_p95", 9000.0, "burst", "critical"),
        ("cpu_usage_percent", 94.0, None, None),
        ("cpu_usage_percent", 99.5, "cpu_saturation", "critical"),
        ("memory_usage_percent", 0.95, None, None),
        ("memory_usage_percent", 99.0, "memory_saturation", "critical"),
        ("disk_usage_percent", 91.0, "disk_full", "high"),
    ],
)
def test_limits(metric: str, value: float, kind: str | None, severity: str | None) -> None:
    found = [(one.kind, one.severity) for one in _detect(Sample(metric, value)).anomalies]
    assert found == ([] if kind is None else [(kind, severity)])


@pytest.mark.parametrize(
    ("full", "calm", "kind"),
    [
        (("memory_usage", 0.97), ("pod_memory_usage", 0.3), "memory_saturation"),
        (("memory_usage", 97.0), ("pod_memory_usage_value", 0.3), "memory_saturation"),
        (("pod_memory_usage", 0.97), ("memory_usage", 0.3), "memory_saturation"),
        (("cpu_usage", 0.99), ("node_cpu_utilization", 0.2), "cpu_saturation"),
    ],
)
def test_a_calm_name_of_a_metric_hides_no_full_one(full: tuple[str, float], calm: tuple[str, float], kind: str) -> None:
    for order in ((full, calm), (calm, full)):
        (found,) = _detect(*(Sample(*one) for one in order)).anomalies
        assert (found.metric_name, found.value, found.kind) == (*full, kind)


@pytest.mark.parametrize(
    ("sent", "kinds"),
    [
        ({"cpu_usage": 1.5, "memory_usage": 45.0}, []),
        ({"cpu_usage": 1.5, "disk_usage": 45.0}, []),
        ({"memory_usage": 1.5, "cpu_usage": 45.0}, []),
        ({"disk_usage": 1.5, "cpu_usage": 45.0}, []),
        ({"node_memory_utilization": 1.5, "cpu_usage": 45.0}, []),
        ({"pod_memory_usage": 1.5, "cpu_usage": 45.0}, ["memory_saturation"]),
        ({"cpu_usage": 0.99, "memory_usage": 45.0}, ["cpu_saturation"]),
        ({"cpu_usage": 1.5}, []),
        ({"disk_usage": 2.0}, []),
        ({"error_rate": 1.5}, []),
        ({"cpu_usage": 1.5, "memory_usage": 0.97}, ["memory_saturation"]),
        ({"memory_usage": 1.5}, ["memory_saturation"]),
        ({"cpu_usage": 1.0}, ["cpu_saturation"]),
        ({"disk_usage": 1.0}, ["disk_full"]),
    ],
)
def test_a_share_above_1_is_a_percent_where_another_is_and_else_unclear(
    sent: dict[str, float], kinds: list[str]
) -> None:
    for names in (list(sent), list(sent)[::-1]):
        found = detect([Sample(name, sent[name]) for name in names], row_forest(), now=NOW).anomalies
        assert [one.kind for one in found if "limit" in one.reason] == kinds
        assert kinds or found == []


def test_a_short_peak_of_another_name_is_no_saturation() -> None:
    peak = timed("cpu_usage", np.array([0.3, 0.3, 0.3, 0.3, 0.4, 0.97]), 60)
    assert _detect(Sample("node_cpu_utilization", 0.4, NOW), *samples_of(peak)).anomalies == []


@pytest.mark.parametrize(
    ("metric", "before", "now", "kind"),
    [
        ("pod_cpu_usage", 0.2, 1.2, "cpu_spike"),
        ("pod_cpu_usage", 1.0, 1.9, None),
        ("pod_memory_usage", 0.6, 0.1, "drop"),
        ("pod_memory_usage", 0.2, 0.55, "burst"),
        ("node_memory_utilization", 0.4, 0.85, "node_pressure"),
        ("node_cpu_utilization", 0.5, 0.2, None),
    ],
)
def test_jumps_within_five_minutes(metric: str, before: float, now: float, kind: str | None) -> None:
    samples = samples_of(timed(metric, np.array([before, now])))
    found = [(one.metric_name, one.kind, one.expected) for one in _detect(*samples).anomalies]
    assert found == ([] if kind is None else [(metric, kind, before)])


def test_bursts_that_come_again_and_again_are_no_jump() -> None:
    values = np.tile([0.1, 0.1, 0.9], 8)
    assert _detect(*samples_of(timed("pod_cpu_usage", values))).anomalies == []


def test_a_threshold_holds_back_what_is_less_sure() -> None:
    sample, detector = Sample("cpu_usage", 0.8), Told(0.025, (1, 0, 0, 0, 0))
    sure = confidence_of(1.0)
    said = _detect(sample, detector=detector, threshold=sure - 0.01)
    assert (said.anomalies_found, said.confidence, said.anomaly_score) == (1, sure, score_of(1.0))
    said = _detect(sample, detector=detector, threshold=sure + 0.01)
    assert (said.anomaly_detected, said.recommendations, said.anomaly_score) == (False, [], score_of(1.0))
    assert said.confidence == pytest.approx((1 - sure) / 5)
    with pytest.raises(DataError, match="from 0 to 1"):
        _detect(sample, threshold=1.5)


def test_confidence_and_severity_grow_with_the_excess() -> None:
    excesses = [-30.0, -1.0, 0.0, 0.5, 1.0, 2.0, 4.0, 50.0]
    confidences = [confidence_of(one) for one in excesses]
    assert confidences == sorted(confidences)
    assert confidences[2] == 0.5
    assert confidences[4] == pytest.approx(0.816, abs=1e-3)
    assert [severity_of(one) for one in excesses[2:]] == ["low", "low", "medium", "high", "critical", "critical"]


def test_huge_values_give_finite_answers() -> None:
    for name in ("pod_cpu_usage", "pod_memory_usage", "container_restart_count_diff", "disk_usage"):
        said = detect([Sample(name, 1.7e308)], row_forest(), now=NOW)
        assert all(math.isfinite(x) for one in said.anomalies for x in (one.expected, one.deviation))
    assert detect([Sample("container_restart_count_diff", -1.7e308)], row_forest(), now=NOW).anomalies_found <= 1
    wild = np.append(np.full(30, -1.7e308), 1.7e308)
    said = _detect(*samples_of(timed("anything", wild)))
    assert all(math.isfinite(one.deviation) for one in said.anomalies)


def test_samples_with_and_without_time_are_refused() -> None:
    with pytest.raises(DataError, match="timestamp"):
        _detect(Sample("x", 1.0), Sample("x", 2.0, NOW))


@pytest.fixture(scope="module")
def pod() -> pd.DataFrame:
    """Eight days of one pod, a row every five minutes, that end now."""
    series = generate(1, 8, END, 7)
    rows = pd.DataFrame({name: series.values[name][0, 0, ::5] for name in NAMES})
    rows.insert(0, "timestamp", pd.date_range(end=NOW, periods=len(rows), freq="5min"))
    return rows


@pytest.fixture(scope="module")
def served(pod: pd.DataFrame) -> EnsemblePredictor:
    detector = EnsemblePredictor(NAMES)
    detector.fit([pod.iloc[:-288]])
    return detector


def test_a_pod_that_left_its_own_history_is_found(pod: pd.DataFrame, served: EnsemblePredictor) -> None:
    wrong = pod.iloc[-576:].copy()
    wrong.loc[wrong.index[-1], "pod_memory_usage"] += 0.25
    value = float(wrong["pod_memory_usage"].iloc[-1])
    said = _detect(Sample("memory_usage", 100 * value), window=served, history=wrong)
    (found,) = said.anomalies
    assert found.metric_name == "memory_usage"
    assert found.expected == pytest.approx(100 * float(wrong["pod_memory_usage"].median()))
    assert "ensemble-predictor" in found.reason
    assert said.judged_by == ("anomaly-detector", "limits", "ensemble-predictor")


def test_a_pods_history_is_judged_for_what_was_sent_and_while_it_is_new(
    pod: pd.DataFrame, served: EnsemblePredictor
) -> None:
    wrong = pod.iloc[-576:].copy()
    wrong.loc[wrong.index[-1], "pod_memory_usage"] += 0.25
    quiet = _detect(Sample("memory_usage", 0.5), window=served, history=pod.iloc[-576:])
    assert (quiet.anomalies, quiet.judged_by[-1]) == ([], "ensemble-predictor")
    assert _detect(Sample("cpu_usage", 0.3), window=served, history=wrong).anomalies == []
    old = wrong.assign(timestamp=wrong["timestamp"] - timedelta(hours=2))
    assert "ensemble-predictor" not in _detect(Sample("memory_usage", 0.5), window=served, history=old).judged_by
    other = wrong.drop(columns="pod_cpu_usage")
    assert "ensemble-predictor" not in _detect(Sample("memory_usage", 0.5), window=served, history=other).judged_by


def test_one_anomaly_of_a_metric_and_its_limit_is_the_reason() -> None:
    (found,) = _detect(
        Sample("cpu_usage", 98.0), Sample("node_cpu_utilization", 0.98), detector=Told(0.2, (1, 0, 0, 0, 0))
    ).anomalies
    assert found.kind == "cpu_saturation"
    assert "limit" in found.reason
    assert found.severity == "critical"


def test_a_leak_needs_a_rise_that_is_sure() -> None:
    alarms = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        values = 0.7 * (1 + 0.05 * rng.standard_normal(int(rng.integers(10, 60))))
        alarms += any(
            one.kind == "memory_leak" for one in _detect(*samples_of(timed("memory_usage", values))).anomalies
        )
    assert alarms == 0


def test_the_engines_own_example() -> None:
    detector = Told(0.05, (1, 0, 0, 0, 0), np.full(45, 0.6))
    (found,) = _detect(Sample("cpu_usage", 95.0), detector=detector).anomalies
    assert (found.expected, found.deviation) == (60.0, 35.0)


@pytest.mark.parametrize(("last", "kind"), [(40.0, "restart_storm"), (0.0, None)])
def test_restarts_far_apart_are_judged_by_their_history(last: float, kind: str | None) -> None:
    counts = np.append(np.full(12, 20.0), last)
    body = timed("container_restarts", counts, step_seconds=900)
    assert [one.kind for one in _detect(*samples_of(body)).anomalies] == ([] if kind is None else [kind])


def test_a_rise_that_leaves_hours_is_no_leak_yet() -> None:
    assert _detect(*samples_of(timed("pod_memory_usage", np.linspace(0.3, 0.5, 25)))).anomalies == []
