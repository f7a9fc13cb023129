from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from aiops_assets.engine.detection.anomalies import _newest
from aiops_assets.engine.detection.sent_row import SentRow, sent_row
from aiops_assets.engine.samples import Sample
from aiops_assets.timeseries.features import ENGINE_DEFAULT, FEATURES, LIMIT, nine_statistics
from aiops_assets_tests.engine.situations import NOW, samples_of, timed


def _row(*samples: Sample) -> SentRow:
    newest, series = _newest(samples, NOW)
    return sent_row(newest, series, NOW)


def _nine(row: SentRow, metric: str) -> list[float]:
    first = FEATURES.index(f"{metric}_value")
    return row.values[first : first + 9]


def test_features_go_to_their_column() -> None:
    values = np.random.default_rng(1).random(45)
    row = _row(*(Sample(name, float(value)) for name, value in zip(FEATURES, values, strict=True)))
    assert row.values == values.tolist()


def test_a_bare_metric_tells_its_level_and_others_stay_unknown() -> None:
    row = _row(Sample("pod_cpu_usage", 0.7))
    assert _nine(row, "pod_cpu_usage") == [0.7, 0.7, 0.0, 0.7, 0.7, 0.7, 0.7, 0.0, 0.0]
    assert _nine(row, "node_cpu_utilization") == list(ENGINE_DEFAULT)


@pytest.mark.parametrize(
    ("name", "metric"),
    [
        ("cpu_usage", "node_cpu_utilization"),
        ("memory_usage", "pod_memory_usage"),
        ("container_restarts", "container_restart_count"),
    ],
)
def test_short_names_are_aliases(name: str, metric: str) -> None:
    assert _row(Sample(name, 0.25)).values == _row(Sample(metric, 0.25)).values


def test_a_full_name_counts_before_a_short_one_and_a_feature_before_both() -> None:
    samples = [Sample("cpu_usage", 0.1), Sample("node_cpu_utilization", 0.2)]
    assert _nine(_row(*samples), "node_cpu_utilization")[0] == 0.2
    nine = _nine(_row(*samples, Sample("node_cpu_utilization_value", 0.3)), "node_cpu_utilization")
    assert nine == [0.3, 0.3, 0.0, 0.3, 0.3, 0.3, 0.3, 0.0, 0.0]


def test_all_features_of_a_metric_are_in_one_unit() -> None:
    row = _row(
        Sample("pod_memory_usage_value", 85.0),
        Sample("pod_memory_usage_min_5m", 1.5),
        Sample("pod_memory_usage_diff", 0.5),
        Sample("pod_memory_usage_pct_change", 0.25),
    )
    nine = _nine(row, "pod_memory_usage")
    assert (nine[0], nine[3], nine[7], nine[8]) == (0.85, 0.015, 0.005, 0.25)


def test_a_trend_tells_where_the_cpu_was() -> None:
    row = _row(Sample("cpu_usage", 60.0), Sample("cpu_trend_5m", 1.5))
    assert _nine(row, "node_cpu_utilization")[6] == pytest.approx(0.585)


def test_samples_a_minute_apart_give_the_nine_statistics() -> None:
    values = np.array([0.9, 0.2, 0.3, 0.25, 0.4, 0.5, 0.35])
    row = _row(*samples_of(timed("pod_memory_usage", values, 60)))
    assert _nine(row, "pod_memory_usage") == pytest.approx(nine_statistics(values[np.newaxis, 1:]).tolist())


@pytest.mark.parametrize("with_times", [True, False])
def test_samples_five_minutes_apart_tell_the_lag_and_no_changes(with_times: bool) -> None:
    body = timed("container_restarts", np.array([3.0, 3.0, 8.0]), 300)
    samples = [one if with_times else Sample(one.name, one.value) for one in samples_of(body)]
    assert _nine(_row(*samples), "container_restart_count") == [8.0, 8.0, 0.0, 8.0, 8.0, 8.0, 3.0, 0.0, 0.0]


def test_huge_values_stay_within_what_trees_can_read() -> None:
    assert max(_row(Sample("pod_cpu_usage", 1e300), Sample("pod_memory_usage_diff", 1e300)).values) == LIMIT


def test_the_newest_sample_counts_whatever_the_order() -> None:
    earlier = datetime(2026, 11, 1, 11, tzinfo=UTC)
    old, new = Sample("pod_cpu_usage", 0.1, earlier), Sample("pod_cpu_usage", 0.2, earlier + timedelta(minutes=9))
    row = _row(new, old)
    level = row.level(2)
    assert level is not None
    assert (level.value, level.time) == (0.2, new.time)


@pytest.mark.parametrize("minutes_ago", [(1,), (2, 3, 5)])
def test_changes_are_known_only_from_enough_minutes(minutes_ago: tuple[int, ...]) -> None:
    times = [NOW - timedelta(minutes=i) for i in (*minutes_ago, 0)]
    nine = _nine(_row(*(Sample("pod_cpu_usage", 0.1 + i / 10, time) for i, time in enumerate(times))), "pod_cpu_usage")
    assert (nine[2], nine[7], nine[8]) == (0.0, 0.0, 0.0)
    assert nine[0] == pytest.approx(0.1 + len(minutes_ago) / 10)
