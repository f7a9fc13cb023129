import math
import statistics

import numpy as np
import pytest

from aiops_assets.errors import SchemaError
from aiops_assets.synthetic.pods import generate
from aiops_assets.timeseries.catalog import ENGINE_METRICS, NODE_CPU, NODE_MEMORY, POD_MEMORY
from aiops_assets.timeseries.features import (
    ENGINE_DEFAULT,
    FEATURES,
    HISTORY,
    STATISTICS,
    feature_matrix,
    feature_row,
    nine_statistics,
    row_mask,
)
from aiops_assets_tests.conftest import END
from aiops_assets_tests.raising import raises

NAN, INF = math.nan, math.inf


def test_columns_are_the_engines_in_its_order() -> None:
    assert len(FEATURES) == 45
    assert FEATURES[:9] == (
        "node_cpu_utilization_value",
        "node_cpu_utilization_mean_5m",
        "node_cpu_utilization_std_5m",
        "node_cpu_utilization_min_5m",
        "node_cpu_utilization_max_5m",
        "node_cpu_utilization_lag_1",
        "node_cpu_utilization_lag_5",
        "node_cpu_utilization_diff",
        "node_cpu_utilization_pct_change",
    )
    order = ["node_cpu_utilization", "node_memory_utilization", "pod_cpu_usage", "pod_memory_usage"]
    assert [FEATURES[9 * i] for i in range(5)] == [f"{m}_value" for m in [*order, "container_restart_count"]]


def test_nine_statistics_as_the_contract_writes_them() -> None:
    samples = [0.50, 0.40, 0.41, 0.47, 0.44, 0.55]  # t - 5 min ... t
    window = samples[1:]
    expected = [
        0.55,
        statistics.fmean(window),
        statistics.pstdev(window),
        0.40,
        0.55,
        0.44,
        0.50,
        0.55 - 0.44,
        (0.55 - 0.44) / 0.44,
    ]
    assert nine_statistics(np.array([samples])) == pytest.approx(expected, abs=1e-12)


def test_pct_change_is_zero_where_the_lag_is_zero() -> None:
    values = dict(zip(STATISTICS, nine_statistics(np.array([[0, 0, 0, 0, 0, 3.0]])), strict=True))
    assert values["pct_change"] == 0
    assert values["diff"] == 3


def test_a_node_column_is_the_mean_over_nodes() -> None:
    nodes = np.array([[0.2, 0.2, 0.2, 0.3, 0.2, 0.4], [0.6, 0.5, 0.6, 0.6, 0.6, 0.6]])
    both = nine_statistics(nodes)
    each = np.array([nine_statistics(node[np.newaxis]) for node in nodes])
    assert both[:8] == pytest.approx(each.mean(axis=0)[:8], abs=1e-12)
    assert both[8] == pytest.approx(both[7] / both[5], abs=1e-12)


def test_a_node_without_samples_does_not_count() -> None:
    node = np.array([[0.2, 0.2, 0.2, 0.3, 0.2, 0.4]])
    assert (nine_statistics(np.concatenate([node, np.full((1, 6), NAN)])) == nine_statistics(node)).all()


@pytest.mark.parametrize(
    "samples",
    [
        [NAN] * 5 + [0.4],
        [0.4] + [NAN] * 5,
        [INF, -INF, 1, 2, 3, NAN],
        [1e308, -1e308, 1e308, -1e308, 1e308, -1e308],
        [5e-324, 0, 5e-324, 0, 5e-324, 1],
        [-0.0] * 6,
    ],
)
def test_features_are_finite_for_any_input(samples: list[float]) -> None:
    row = nine_statistics(np.array([samples]))
    assert np.isfinite(row).all()
    assert np.isfinite(row.astype(np.float32)).all()


def test_missing_samples_take_their_neighbours_value() -> None:
    filled = nine_statistics(np.array([[NAN, 0.4, NAN, 0.6, NAN, NAN]]))
    assert (filled == nine_statistics(np.array([[0.4, 0.4, 0.4, 0.6, 0.6, 0.6]]))).all()


def test_a_metric_nobody_knows_gets_the_engines_default() -> None:
    assert nine_statistics(np.full((1, 6), NAN)).tolist() == list(ENGINE_DEFAULT)
    assert feature_row({}).tolist() == list(ENGINE_DEFAULT) * 5


def test_frames_and_one_row_agree_to_the_last_bit() -> None:
    series = generate(4, 1, END, seed=2)
    pods, minutes = np.array([0, 3, 2]), np.array([5, 700, 1439])
    batch = feature_matrix(series, pods, minutes)
    for row, pod, minute in zip(batch, pods, minutes, strict=True):
        history = {m.name: series.values[m.name][pod, :, minute - 5 : minute + 1] for m in ENGINE_METRICS}
        assert (feature_row(history) == row).all()


def test_one_row_names_what_is_wrong() -> None:
    with pytest.raises(SchemaError, match=r"unknown metrics \['cpu'\]"):
        feature_row({"cpu": [1.0] * 6})
    with raises(SchemaError, "other_length", samples=5):
        feature_row({NODE_CPU.name: [1.0] * 5})


def test_rows_are_taken_every_five_minutes_where_the_history_is_whole() -> None:
    series = generate(3, 1, END, seed=2)
    memory = series.values[POD_MEMORY.name].copy()
    memory[0, :, 100] = NAN  # one sample is missing
    memory[1] = NAN  # a pod without a memory limit
    node = series.values[NODE_MEMORY.name][:1].copy()
    node[:, :, 700] = NAN  # missing for all pods
    mask = row_mask(series.with_anomalies({POD_MEMORY.name: memory, NODE_MEMORY.name: node}, series.kind))
    complete = np.zeros_like(mask)
    complete[:, 5::5] = True
    lost = np.argwhere(complete & ~mask).tolist()
    assert lost == [[0, 100], [0, 105], [0, 700], [0, 705], [1, 700], [1, 705], [2, 700], [2, 705]]
    assert not (mask & ~complete).any()
    assert HISTORY == 6


def test_a_node_that_comes_and_goes_costs_no_row() -> None:
    series = generate(3, 1, END, seed=2)
    nodes = np.concatenate([series.values[NODE_MEMORY.name][:1], series.values[NODE_MEMORY.name][1:2]], axis=1)
    nodes[0, 1, :702] = NAN
    nodes[0, 0, ::7] = NAN
    nodes[0, 1, 7 * 110 :: 7] = 0.5
    flapping = series.with_anomalies({NODE_MEMORY.name: nodes}, series.kind)
    nobody = np.flatnonzero(np.isnan(nodes[0]).all(axis=0))
    lost = np.flatnonzero((row_mask(series) & ~row_mask(flapping))[0])
    assert nobody.max() == 700
    assert set(lost) <= {minute + i for minute in nobody for i in range(6)}


def test_each_statistic_is_over_the_members_that_have_what_it_needs() -> None:
    nodes = np.array([[0.1, 0.2, 0.3, NAN, 0.5, NAN], [0.5, 0.5, NAN, 0.7, NAN, 0.9], [0.3, NAN, NAN, NAN, NAN, NAN]])
    found = dict(zip(STATISTICS, nine_statistics(nodes), strict=True))
    windows = [np.array([0.2, 0.3, 0.5]), np.array([0.5, 0.7, 0.9])]
    assert found["value"] == pytest.approx(0.9)
    assert found["lag_1"] == pytest.approx(0.5)
    assert found["lag_5"] == pytest.approx(0.3)
    for name, statistic in (("mean_5m", np.mean), ("std_5m", np.std), ("min_5m", np.min), ("max_5m", np.max)):
        assert found[name] == pytest.approx(np.mean([statistic(window) for window in windows])), name
