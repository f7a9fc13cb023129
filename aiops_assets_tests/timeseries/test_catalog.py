import re

import pytest

from aiops_assets.timeseries.catalog import (
    CAPACITY_METRICS,
    CLUSTER_METRICS,
    ENGINE_METRICS,
    FORECAST_METRICS,
    INCIDENT_METRICS,
    METRICS,
    NODE_CPU,
    NODE_MEMORY,
    SYNTHETIC_METRICS,
    MetricSpec,
)
from aiops_assets.timeseries.queries import settle_seconds

ALL = tuple(dict.fromkeys((*METRICS, *SYNTHETIC_METRICS)))
each_metric = pytest.mark.parametrize("metric", ALL, ids=lambda metric: metric.name)


def test_the_metrics_are_the_five_of_the_engine_of_adr_052_of_the_forecaster_and_of_incidents() -> None:
    assert (*ENGINE_METRICS, *CLUSTER_METRICS, *FORECAST_METRICS, *INCIDENT_METRICS, *CAPACITY_METRICS) == METRICS
    assert [metric.name for metric in METRICS] == [
        "node_cpu_utilization",
        "node_memory_utilization",
        "pod_cpu_usage",
        "pod_memory_usage",
        "container_restart_count",
        "cluster_cpu_usage",
        "cluster_memory_usage",
        "cluster_restarts",
        "cluster_network_in",
        "cluster_network_out",
        "cpu_usage",
        "memory_usage",
        "disk_usage",
        "network_in",
        "network_out",
        "pod_network_receive",
        "pod_cpu_throttling",
        "node_cpu_busy",
        "node_disk_usage",
        "volume_usage",
        "quota_usage",
    ]


def test_names_are_unique_also_those_of_the_companions() -> None:
    names = [name for metric in ALL for name in (metric.name, metric.members.name)]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z][a-z0-9_]*", name) for name in names)


@each_metric
def test_steps_divide_a_day(metric: MetricSpec) -> None:
    assert 86_400 % metric.step_seconds == 0
    assert 86_400 % metric.members.step_seconds == 0


@each_metric
def test_bounds_are_in_order_and_a_ratio_of_a_whole_is_at_most_one(metric: MetricSpec) -> None:
    assert metric.lower == 0.0
    assert metric.upper is None or metric.upper > metric.lower
    # A pod's memory may pass its limit, and a quota be lowered; every other ratio is a share of a whole.
    may_pass = metric.name in ("pod_memory_usage", "quota_usage")
    assert (metric.upper == 1.0) == (metric.unit == "ratio" and not may_pass)


@each_metric
def test_a_point_is_settled_when_its_longest_range_is_over(metric: MetricSpec) -> None:
    ranges = [int(minutes) * 60 for minutes in re.findall(r"\[(\d+)m\]", metric.promql)]
    assert len(ranges) == metric.promql.count("["), "this test reads all ranges of the query"
    assert settle_seconds(metric) == max([150, *ranges])


@pytest.mark.parametrize(
    ("promql", "seconds"),
    [
        ("up", 150),
        ("rate(a[1m])", 150),
        ("rate(a[5m]) / rate(b[1h])", 3600),
        ("max_over_time(rate(a[5m])[2d:5m])", 2 * 86_400),
        ("rate(a[600s])", 600),
    ],
)
def test_the_longest_range_counts(promql: str, seconds: int) -> None:
    spec = MetricSpec(name="a", promql=promql, count="count(a)", unit="count", per="cluster", description="a")
    assert settle_seconds(spec) == seconds


@each_metric
def test_the_companion_counts_what_stands_behind_the_metric(metric: MetricSpec) -> None:
    companion = metric.members
    assert companion.name == f"{metric.name}_members"
    assert companion.promql == (metric.count or f"count({metric.promql})")
    assert companion.promql.startswith("count(")
    assert companion.promql.endswith(")")
    assert not companion.counts_series
    assert (companion.unit, companion.per, companion.lower, companion.upper) == ("count", "cluster", 0.0, None)
    assert companion.step_seconds == 300
    # It counts a metric that the query reads.
    assert set(re.findall(r"[a-z]\w*_(?:total|bytes|limits)", companion.promql)) <= set(
        re.findall(r"\w+", metric.promql)
    )


@each_metric
def test_every_metric_has_one_line_for_people(metric: MetricSpec) -> None:
    assert metric.description
    assert len(metric.description) < 80
    assert "\n" not in metric.description + metric.promql + metric.count


def test_no_query_averages_over_cpu_modes_or_reads_a_rate_per_second_as_a_count() -> None:
    by_name = {metric.name: metric for metric in METRICS}
    assert not by_name["cluster_cpu_usage"].promql.startswith("avg(")
    assert "increase(" in by_name["cluster_restarts"].promql
    assert {NODE_CPU.per, NODE_MEMORY.per} == {"node"}
