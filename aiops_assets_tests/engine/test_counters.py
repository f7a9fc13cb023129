"""What an analysis says of counters: only how they grow."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from aiops_assets.engine.pattern_analysis.counters import is_counter, is_redundant, without_resets
from aiops_assets.engine.pattern_analysis.patterns import PatternAnalysis, analyze
from aiops_assets.engine.samples import Sample, by_name
from aiops_assets.synthetic.pods import generate
from aiops_assets.timeseries.catalog import RESTARTS
from aiops_assets.timeseries.series import Floats

NOW = datetime(2026, 1, 8, tzinfo=UTC)


def asked(name: str, values: Sequence[float] | Floats, step: float = 300, **labels: str) -> PatternAnalysis:
    last = len(values) - 1
    samples = [
        Sample(name, float(value), NOW - timedelta(seconds=step * (last - position)), labels)
        for position, value in enumerate(values)
    ]
    return analyze(samples, start=None, end=None, now=NOW)


def ids(analysis: PatternAnalysis) -> list[str]:
    return sorted(pattern.pattern for pattern in analysis.patterns)


@pytest.mark.parametrize("name", ["container_restart_count", "container_restarts", "pod_restarts_total", "job_count"])
def test_one_restart_is_nothing(name: str) -> None:
    once = [100.0] * 8 + [101.0] * 8
    assert ids(asked(name, once, pod="web-1")) == []
    assert ids(asked(name, np.repeat(once, 10), pod="web-1")) == []
    # A pod that was made anew counts from zero.
    assert ids(asked(name, [100.0] * 8 + [0.0] * 8, pod="web-1")) == []


def test_statistics_of_one_restart_are_nothing() -> None:
    restarted = np.where(np.arange(60) == 40, 1.0, 0.0)
    assert ids(asked("container_restart_count_diff", restarted)) == []
    assert ids(asked("container_restart_count_mean_5m", 3 + np.clip((np.arange(60) - 40) / 5, 0, 1))) == []


def test_four_hours_of_healthy_pods_are_quiet() -> None:
    restarts = generate(8, 1, pd.Timestamp("2026-01-08", tz="UTC"), 99).values[RESTARTS.name][:, 0]
    windows = [(pod, first) for pod in range(8) for first in range(0, 1201, 120)]
    assert len(windows) == 88
    found = [asked(RESTARTS.name, restarts[pod, first : first + 240], 60, pod="web-1") for pod, first in windows]
    assert sum(len(one.patterns) for one in found) == 0
    assert int(np.diff(restarts[:, :240]).sum()) > 0


@pytest.mark.parametrize(
    ("values", "count"),
    [
        ([100.0] * 8 + [100.0 + k for k in range(1, 9)], 8),
        # A loop that fills the window.
        ([float(k) for k in range(16)], 15),
        # At once.
        ([3.0] * 100 + [9.0] * 44, 6),
        # Counted from zero on again in the middle of it.
        ([100.0] * 8 + [101.0, 102.0, 103.0, 1.0, 2.0, 3.0, 4.0, 5.0], 8),
    ],
)
def test_a_storm_of_restarts_is_told_and_troubles_the_application(values: list[float], count: int) -> None:
    analysis = asked("container_restart_count", values, pod="web-1")
    assert ids(analysis) == ["application_layer", "counter_storm"]
    storm = next(one for one in analysis.patterns if one.pattern == "counter_storm")
    assert storm.type == "spike"
    facts = storm.description.facts
    assert (facts["name"], facts["count"]) == ("container_restart_count (web-1)", count)
    assert facts["span"] == (storm.end_time - storm.start_time).total_seconds()
    assert storm.end_time <= NOW
    assert storm.confidence > 0.75
    layer = next(one for one in analysis.patterns if one.pattern == "application_layer")
    assert 0.6 < layer.confidence < storm.confidence


def test_a_storm_is_told_where_it_happens() -> None:
    values = 5 + np.clip(np.arange(288.0) - 200, 0, 12)
    (storm,) = [one for one in asked("container_restart_count", values).patterns if one.pattern == "counter_storm"]
    first = NOW - timedelta(seconds=300 * (287 - 200))
    assert abs(storm.start_time - first) <= timedelta(minutes=15)
    assert abs(storm.end_time - first - timedelta(hours=1)) <= timedelta(minutes=15)


@pytest.mark.parametrize("rate", [0.1, 3.0, 400.0])
def test_a_counter_that_rises_steadily_has_no_pattern(rate: float) -> None:
    for seed in range(20):
        growth = np.random.default_rng(seed).poisson(rate, 288)
        assert ids(asked("http_requests_total", 1e6 + growth.cumsum())) == []
    assert ids(asked("http_requests_total", np.round(1e6 + rate * np.arange(288)))) == []


def test_a_busy_counter_is_judged_by_its_growth() -> None:
    growth = np.random.default_rng(1).poisson(np.where(np.arange(288) < 150, 400, 900))
    values = 1e6 + growth.cumsum()
    analysis = asked("http_requests_total", np.where(np.arange(288) < 60, values, values - values[60]))
    assert ids(analysis) == ["application_layer", "change_point"]
    pattern = next(one for one in analysis.patterns if one.pattern == "change_point")
    assert pattern.metrics == ("http_requests_total",)
    assert pattern.description.facts == {
        "name": "http_requests_total per 5 minutes",
        "before": pytest.approx(394, abs=0.5),
        "after": pytest.approx(890, abs=0.5),
        "time": datetime(2026, 1, 7, 12, 35, tzinfo=UTC),
    }


@pytest.mark.parametrize(
    ("name", "values", "counts"),
    [
        ("container_restart_count", [1, 1, 2], True),
        ("container_restart_count_max_5m", [1, 1, 2], True),
        ("container_restart_count_std_5m", [0, 0, 1], False),
        ("kube_pod_container_status_restarts_total", [4, 0, 1], True),
        ("process_cpu_seconds_total", [1.5, 1.7, 1.9], True),
        ("replica_count", [1.5, 1.7, 1.9], False),
        ("replica_count", [5, 4, 5], False),
        ("replica_count", [1, 0, 1, 0], False),
        ("node_cpu_utilization", [0, 1, 1], False),
        ("queue_total_depth", [1, 1, 2], False),
        ("job_count", [-1, 0, 1], False),
    ],
)
def test_a_counter_is_told_by_its_name_and_values(name: str, values: list[float], counts: bool) -> None:
    series = by_name([Sample(name, float(value)) for value in values], NOW)[name]
    assert is_counter(series) is counts
    assert is_redundant(name) is (name == "container_restart_count_std_5m")


def test_what_was_counted_since_a_reset_is_growth() -> None:
    series = by_name([Sample("a_total", float(value)) for value in (7, 9, 2, 2, 5)], NOW)["a_total"]
    assert without_resets(series).values.tolist() == [0, 2, 4, 4, 7]
    # What was counted between the last sample and the reset is not known.
    series = by_name([Sample("a_total", float(value)) for value in (70, 90, 110, 0, 20)], NOW)["a_total"]
    assert without_resets(series).values.tolist() == [0, 20, 40, 60, 80]
