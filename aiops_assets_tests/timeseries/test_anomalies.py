import numpy as np
import pytest

from aiops_assets.errors import DataError
from aiops_assets.timeseries.anomalies import ANOMALIES, inject, kinds_visible_in
from aiops_assets.timeseries.catalog import NETWORK_RECEIVE, NODE_CPU, POD_MEMORY, RESTARTS
from aiops_assets.timeseries.features import row_mask
from aiops_assets.timeseries.series import KINDS, PodSeries
from aiops_assets.timeseries.synthetic import generate
from aiops_assets_tests.conftest import END


@pytest.fixture(scope="module")
def healthy() -> PodSeries:
    return generate(10, 3, END, seed=3)


@pytest.mark.parametrize("rate", [0.0, 0.001, 0.03, 0.2, 0.5])
@pytest.mark.parametrize("seed", [0, 1])
def test_exactly_the_asked_share_of_rows_is_anomalous(healthy: PodSeries, rate: float, seed: int) -> None:
    rows = row_mask(healthy)
    kind = inject(healthy, rows, rate, seed).kind
    assert (kind[rows] > 0).sum() == round(rate * rows.sum())


def test_the_rate_holds_on_both_sides_of_the_cut_and_no_episode_crosses(healthy: PodSeries) -> None:
    rows, cut = row_mask(healthy), 3000
    kind = inject(healthy, rows, 0.3, 1, cut=cut).kind
    for side in (slice(0, cut), slice(cut, None)):
        assert (kind[:, side][rows[:, side]] > 0).sum() == round(0.3 * rows[:, side].sum())
    changed_at_cut = kind[:, cut - 1] * (kind[:, cut - 1] == kind[:, cut])
    free = inject(healthy, rows, 0.3, 1).kind
    crossing = (free[:, cut - 1] > 0) & (free[:, cut - 1] == free[:, cut])
    assert crossing.any(), "without a cut an episode crosses here: the test looks at something"
    assert (changed_at_cut > 0).sum() < crossing.sum()


def test_kinds_share_the_rows_about_evenly(healthy: PodSeries) -> None:
    rows = row_mask(healthy)
    counts = np.bincount(inject(healthy, rows, 0.1, 1).kind[rows], minlength=len(KINDS))[1:]
    assert counts.min() > 0.6 * counts.max()


def test_normal_minutes_keep_their_values(healthy: PodSeries) -> None:
    injected = inject(healthy, row_mask(healthy), 0.05, 1)
    for metric in (NODE_CPU.name, POD_MEMORY.name, NETWORK_RECEIVE.name):
        before, after = healthy.per_pod(metric)[:, 0], injected.per_pod(metric)[:, 0]
        assert (before[injected.kind == 0] == after[injected.kind == 0]).all()
        assert (before != after).any()


def test_each_kind_looks_as_it_is_known(healthy: PodSeries) -> None:
    injected = inject(healthy, row_mask(healthy), 0.1, 1)

    def minutes(kind: str, metric: str, series: PodSeries) -> np.ndarray:
        return np.asarray(series.per_pod(metric)[:, 0][injected.kind == KINDS.index(kind)])

    assert minutes("cpu_spike", NODE_CPU.name, injected).mean() == pytest.approx(0.9, abs=0.02)
    leak = minutes("memory_leak", POD_MEMORY.name, injected) - minutes("memory_leak", POD_MEMORY.name, healthy)
    assert leak.min() > 0
    burst = minutes("network_burst", NETWORK_RECEIVE.name, injected)
    assert burst.mean() > 5 * minutes("network_burst", NETWORK_RECEIVE.name, healthy).mean()
    restarts = np.diff(injected.per_pod(RESTARTS.name)[:, 0], axis=1, prepend=0)
    assert restarts[injected.kind == KINDS.index("restart_storm")].mean() == pytest.approx(1.0, rel=0.3)


def test_a_restart_counter_does_not_fall_when_the_storm_is_over(healthy: PodSeries) -> None:
    injected = inject(healthy, row_mask(healthy), 0.05, 1, kinds=["restart_storm"])
    assert (np.diff(injected.per_pod(RESTARTS.name)[:, 0], axis=1) >= 0).all()


def test_shared_node_series_get_a_row_a_pod(healthy: PodSeries) -> None:
    shared = healthy.with_anomalies({NODE_CPU.name: healthy.values[NODE_CPU.name][:1]}, healthy.kind)
    injected = inject(shared, row_mask(shared), 0.05, 1, kinds=["cpu_spike"])
    assert len(injected.values[NODE_CPU.name]) == len(healthy.pods)
    quiet = injected.kind == 0
    assert (injected.per_pod(NODE_CPU.name)[:, 0][quiet] == shared.per_pod(NODE_CPU.name)[:, 0][quiet]).all()


def test_a_pod_gets_no_anomaly_that_it_cannot_show(healthy: PodSeries) -> None:
    memory = healthy.values[POD_MEMORY.name].copy()
    memory[:4] = np.nan
    blind = healthy.with_anomalies({POD_MEMORY.name: memory}, healthy.kind)
    rows = row_mask(blind)
    kind = inject(blind, rows, 0.1, 1).kind
    assert KINDS.index("memory_leak") not in kind[:4]
    assert KINDS.index("memory_leak") in kind[4:]
    assert (kind[rows] > 0).sum() == round(0.1 * rows.sum())
    nobody = healthy.with_anomalies({POD_MEMORY.name: memory * np.nan}, healthy.kind)
    with pytest.raises(DataError, match="lower ANOMALY_RATE"):
        inject(nobody, rows, 0.1, 1, kinds=["memory_leak"])


def test_missing_samples_stay_missing_and_no_label_is_put_on_them(healthy: PodSeries) -> None:
    rng = np.random.default_rng(1)
    gappy = {name: np.where(rng.random(values.shape) < 0.01, np.nan, values) for name, values in healthy.values.items()}
    series = healthy.with_anomalies(gappy, healthy.kind)
    injected = inject(series, row_mask(series), 0.1, 1)
    for name, values in gappy.items():
        assert (np.isfinite(injected.values[name]) == np.isfinite(values)).all()
    for kind, anomaly in ANOMALIES.items():
        for metric in anomaly.shapes:
            assert np.isfinite(injected.per_pod(metric)[:, 0][injected.kind == KINDS.index(kind)]).all()


def test_input_is_left_alone(healthy: PodSeries) -> None:
    before = {name: values.copy() for name, values in healthy.values.items()}
    inject(healthy, row_mask(healthy), 0.2, 1)
    assert all((healthy.values[name] == values).all() for name, values in before.items())


@pytest.mark.parametrize("rate", [-1, 0.9, float("nan")])
def test_a_rate_out_of_range_is_refused(healthy: PodSeries, rate: float) -> None:
    with pytest.raises(DataError, match=r"between 0 and 0\.5"):
        inject(healthy, row_mask(healthy), rate, 1)


def test_an_unknown_kind_is_named(healthy: PodSeries) -> None:
    with pytest.raises(DataError, match=r"unknown anomaly kinds \['flood'\]"):
        inject(healthy, row_mask(healthy), 0.1, 1, kinds=["flood"])


def test_a_network_burst_cannot_be_seen_without_network() -> None:
    assert set(ANOMALIES) - set(kinds_visible_in([NODE_CPU.name, POD_MEMORY.name, RESTARTS.name])) == {"network_burst"}
