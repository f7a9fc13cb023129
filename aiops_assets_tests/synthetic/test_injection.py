import numpy as np
import pytest

from aiops_assets.errors import DataError
from aiops_assets.synthetic.anomalies import ANOMALIES, inject, kinds_visible_in
from aiops_assets.synthetic.pods import generate
from aiops_assets.timeseries.catalog import (
    ENGINE_METRICS,
    NETWORK_RECEIVE,
    NODE_CPU,
    NODE_MEMORY,
    POD_CPU,
    POD_MEMORY,
    RESTARTS,
    SYNTHETIC_METRICS,
)
from aiops_assets.timeseries.features import row_mask
from aiops_assets.timeseries.series import KINDS, Floats, PodSeries
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
    found = inject(healthy, rows, 0.1, 1).kind[rows]
    counts = np.array([(found == KINDS.index(kind)).sum() for kind in ANOMALIES])
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
    ramp = minutes("node_memory_ramp", NODE_MEMORY.name, injected)
    assert np.quantile(ramp, 0.9) > 0.85
    assert minutes("noisy_neighbour", NODE_CPU.name, injected).mean() == pytest.approx(0.945, abs=0.02)
    starved = minutes("noisy_neighbour", POD_CPU.name, injected) / minutes("noisy_neighbour", POD_CPU.name, healthy)
    assert 0.39 < starved.min() < starved.max() < 0.81
    restarts = np.diff(injected.per_pod(RESTARTS.name)[:, 0], axis=1, prepend=0)
    loop = restarts[injected.kind == KINDS.index("crash_loop")]
    assert 0.2 <= loop.mean() < 0.26  # an episode begins with a restart, and some are cut short
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


def test_a_ramp_of_one_node_is_not_injected_into_the_mean_over_many(healthy: PodSeries) -> None:
    many = np.repeat(healthy.values[NODE_MEMORY.name][:1], 3, axis=1)
    series = healthy.with_anomalies({NODE_MEMORY.name: many}, healthy.kind)
    injected = inject(series, row_mask(series), 0.1, 1)
    assert KINDS.index("node_memory_ramp") not in injected.kind
    assert injected.values[NODE_MEMORY.name] is many


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
    seen = kinds_visible_in([metric.name for metric in ENGINE_METRICS])
    assert set(ANOMALIES) - set(seen) == {"network_burst"}


# As clusters show them: a level each, which the pods and nodes take in turn.
REAL_LEVELS = {
    NODE_CPU.name: (0.02, 0.99, 0.5, 1.0, 0.0),
    NODE_MEMORY.name: (0.3, 0.98, 0.6),
    POD_CPU.name: (12.0, 0.0, 0.3, 1e-4),
    POD_MEMORY.name: (1.3, 0.01, 0.98, 0.5, 0.0),
    NETWORK_RECEIVE.name: (1e9, 0.0, 40.0, 3e5),
}
REAL_PODS, REAL_NODES, REAL_MINUTES = 8, 3, 2 * 1440


def real_scale(seed: int) -> PodSeries:
    """Pods of very different sizes on three shared nodes: NaN gaps, counters that begin again at 0."""
    rng = np.random.default_rng(seed)
    values = {}
    for metric in SYNTHETIC_METRICS:
        shape = (1, REAL_NODES, REAL_MINUTES) if metric.per == "node" else (REAL_PODS, 1, REAL_MINUTES)
        n = shape[0] * shape[1]
        if metric is RESTARTS:
            array = _restarts(rng, n)
        else:
            level = np.resize(np.roll(REAL_LEVELS[metric.name], seed), n)[:, np.newaxis]
            array = np.clip(level * rng.normal(1, 0.02, (n, REAL_MINUTES)), metric.lower, metric.upper)
        array[rng.random(array.shape) < 0.003] = np.nan
        array[n // 2, 300:420] = np.nan
        values[metric.name] = array.reshape(shape)
    values[POD_MEMORY.name][1] = np.nan  # a pod without memory limit
    times = generate(1, 2, END, seed=1).times
    pods = tuple(f"pod-{i}" for i in range(REAL_PODS))
    return PodSeries(times, pods, values, np.zeros((REAL_PODS, REAL_MINUTES), dtype=np.int8))


def _restarts(rng: np.random.Generator, n: int) -> Floats:
    counts = np.resize((5000, 0, 17), n)[:, np.newaxis] + rng.poisson(0.01, (n, REAL_MINUTES)).cumsum(axis=1)
    for row, reset in zip(counts[::2], rng.integers(200, REAL_MINUTES, size=n), strict=False):
        row[reset:] -= row[reset]
    return np.asarray(counts, dtype=np.float64)


@pytest.fixture(scope="module", params=[(seed, rate) for seed in range(4) for rate in (0.03, 0.3)], ids=str)
def real(request: pytest.FixtureRequest) -> tuple[PodSeries, PodSeries]:
    """Series of real scale before and after injection of all kinds."""
    seed, rate = request.param
    before = real_scale(seed)
    return before, inject(before, row_mask(before), rate, seed, cut=2000)


def test_no_anomaly_leaves_the_bounds_of_its_metric(real: tuple[PodSeries, PodSeries]) -> None:
    before, after = real
    for metric in SYNTHETIC_METRICS:
        values = after.per_pod(metric.name)
        changed = values[(values != before.per_pod(metric.name)) & np.isfinite(values)]
        assert len(changed) or metric is NODE_MEMORY
        assert metric.lower is None or (changed >= metric.lower).all()
        assert metric.upper is None or (changed <= metric.upper).all()


def test_missing_stays_missing_at_any_scale(real: tuple[PodSeries, PodSeries]) -> None:
    before, after = real
    for name in before.values:
        assert (np.isnan(after.per_pod(name)) == np.isnan(before.per_pod(name))).all()
        assert not np.isinf(after.per_pod(name)).any()


def test_restarts_stay_counts_and_fall_only_where_they_fell(real: tuple[PodSeries, PodSeries]) -> None:
    before, after = (series.per_pod(RESTARTS.name)[:, 0] for series in real)
    there = np.isfinite(after)
    assert (after[there] == after[there].round()).all()
    assert (after[there] >= before[there]).all()
    fell = 0
    for pod in range(REAL_PODS):
        was, now = (np.diff(counts[pod][there[pod]]) for counts in (before, after))
        assert (now[was >= 0] >= 0).all()
        fell += int((now < 0).sum())
    assert fell >= 1, "a counter that began again at 0 still does"


def test_what_has_no_anomaly_is_unchanged(real: tuple[PodSeries, PodSeries]) -> None:
    before, after = real
    for metric in SYNTHETIC_METRICS:
        kinds = [KINDS.index(kind) for kind, anomaly in ANOMALIES.items() if metric.name in anomaly.shapes]
        quiet = ~np.isin(after.kind, kinds)
        if metric is RESTARTS:  # a counter keeps what a storm added
            quiet &= np.cumsum(~quiet, axis=1) == 0
        was, now = (np.moveaxis(series.per_pod(metric.name), 1, -1)[quiet] for series in (before, after))
        np.testing.assert_array_equal(now, was)
        assert len(was)
