"""Which trends of memory and disk are leaks, and how far they are drawn on."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from aiops_assets.engine.prediction import leaks
from aiops_assets.engine.prediction.issues import predicted_issues
from aiops_assets.engine.prediction.predictions import Prediction, predict
from aiops_assets.engine.samples import Sample
from aiops_assets.outlook.exhaustion import Exhaustion, time_to_exhaustion
from aiops_assets.synthetic.cluster import generate_cluster
from aiops_assets.synthetic.pods import generate
from aiops_assets.timeseries.series import Floats
from aiops_assets_tests.engine.forecasting import NOW, LastValue, sent

DAY_ROWS = 288
END = pd.Timestamp("2026-11-21", tz="UTC")


def only(samples: list[Sample], ahead: str = "24h") -> Prediction:
    (found,) = predict(samples, ahead, LastValue(), now=NOW).predictions
    return found


def named(samples: list[Sample]) -> list[str]:
    return [one.issue for one in predicted_issues(samples, [], None, LastValue(), now=NOW).predicted_issues]


def rising(rows: int, hours_left: float, seed: int = 1) -> Floats:
    """Memory at .7 now, full in so many hours."""
    ages = np.arange(rows - 1, -1, -1) / 12
    noise = 0.004 * np.random.default_rng(seed).standard_normal(rows)
    line: Floats = 0.7 - 0.3 / hours_left * ages + noise
    return line


@pytest.mark.parametrize("rows", [12, 48, DAY_ROWS])
def test_the_memory_of_healthy_clusters_is_no_leak(rows: int) -> None:
    judged, wrong = [], []
    for seed in (901, 902):
        memory = generate_cluster(5, END, seed)["memory_usage"].to_numpy()
        for now in range(600, len(memory) - DAY_ROWS, 61):
            one = only(sent("memory_usage", memory[now + 1 - rows : now + 1]))
            judged.append(one.judged_by)
            wrong.append(abs(one.predicted_value - memory[now + DAY_ROWS]))
    assert judged.count("trend") <= 1
    assert max(wrong) < 0.1


def test_healthy_hours_of_pods_and_nodes_name_no_leak() -> None:
    healthy = generate(4, 1, END, 99)
    for name in ("node_memory_utilization", "pod_memory_usage"):
        for pod in range(4):
            values = healthy.values[name]
            minutes = values[pod if len(values) > 1 else 0].mean(axis=0)
            for now in range(300, 1440, 110):
                assert named(sent(name, minutes[now - 240 : now], 60)) == []


def test_what_would_be_full_much_later_than_the_samples_are_long_is_no_leak() -> None:
    """Four hours of .3 in twelve hours are enough, of .3 in a day they are not."""
    leak, rhythm = sent("memory_usage", rising(48, 12)), sent("memory_usage", rising(48, 24))
    assert (only(leak).judged_by, only(leak).risk, named(leak)) == ("trend", "high", ["pod_oom"])
    assert (only(rhythm).judged_by, only(rhythm).risk, named(rhythm)) == ("predictive-analytics", "low", [])


def test_a_slow_trend_is_a_leak_only_where_it_goes_beyond_the_day_before() -> None:
    hours = np.arange(DAY_ROWS) / 12
    noise = 0.003 * np.random.default_rng(4).standard_normal(DAY_ROWS)
    rhythm = 0.5 - 0.1 * np.cos(2 * np.pi * (hours - 19) / 24) + noise  # lowest five hours ago
    assert only(sent("memory_usage", rhythm)).judged_by == "predictive-analytics"
    assert named(sent("memory_usage", rhythm)) == []
    leak = sent("memory_usage", rising(DAY_ROWS, 72))
    assert only(leak, "6h").predicted_value == pytest.approx(0.7 + 0.3 / 12, abs=0.01)
    assert named(leak) == ["pod_oom"]


def test_without_two_days_a_trend_is_drawn_on_for_six_hours_and_no_longer_than_it_is() -> None:
    twelve = sent("memory_usage", rising(144, 12))
    assert only(twelve, "3h").predicted_value == pytest.approx(0.775, abs=0.01)
    assert only(twelve, "24h").predicted_value == pytest.approx(0.85, abs=0.01)
    three = sent("memory_usage", rising(36, 6))
    assert only(three, "24h").predicted_value == pytest.approx(0.85, abs=0.015)
    days = sent("memory_usage", rising(2 * DAY_ROWS, 30))
    assert only(days, "24h").predicted_value == pytest.approx(0.94, abs=0.01)


def test_beyond_what_is_drawn_on_the_answer_is_unsure() -> None:
    twelve = sent("memory_usage", rising(144, 12))
    assert only(twelve, "1h").confidence > 0.9
    assert only(twelve, "24h").confidence < 0.6


def test_a_leak_has_the_name_that_was_sent() -> None:
    (issue,) = predicted_issues(
        sent("node_memory_utilization", rising(36, 3)), [], None, LastValue(), now=NOW
    ).predicted_issues
    reason = issue.reasons[0]
    assert reason.code == "leak"
    assert reason.facts == {"metric": "node_memory_utilization", "limit": 1.0, "hours": pytest.approx(3, abs=0.1)}


def test_a_prediction_and_its_issues_are_of_one_estimate(monkeypatch: pytest.MonkeyPatch) -> None:
    estimated: list[Any] = []

    def counted(*args: Any, **more: Any) -> Exhaustion:
        estimated.append(args)
        return time_to_exhaustion(*args, **more)

    monkeypatch.setattr(leaks, "time_to_exhaustion", counted)
    samples = sent("memory_usage", rising(36, 3.21))
    assert only(samples).judged_by == "trend"
    assert named(samples) == ["pod_oom"]
    assert len(estimated) == 1
