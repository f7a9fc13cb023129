"""The fleet: what it holds, what changes what, and that batches and incidents change nothing else."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest

from aiops_assets.errors import DataError
from aiops_assets.synthetic.fleet import Fleet, Wish, fleet
from aiops_assets.synthetic.incidents import INCIDENTS
from aiops_assets.synthetic.rendering import POD_METRICS
from aiops_assets.timeseries.catalog import (
    EACH_NODE_CPU,
    EACH_NODE_DISK,
    NODE_CPU,
    NODE_MEMORY,
    POD_CPU,
    POD_MEMORY,
    RESTARTS,
    THROTTLING,
)
from aiops_assets.timeseries.pod_identity import split_pod
from aiops_assets.timeseries.schema import content_digest
from aiops_assets.timeseries.series import KINDS, Floats, PodSeries
from aiops_assets_tests.conftest import END
from aiops_assets_tests.raising import raises

HARMLESS = {
    "roll_out",
    "new_pod",
    "autoscale",
    "cron_job",
    "nightly_batch",
    "sunday_job",
    "backup",
    "blip",
    "restart",
    "node_drain",
    "monday_morning",
}
PODS, DAYS, SEED = 60, 8, 2


def _with(*incidents: Wish) -> Fleet:
    return fleet(PODS, DAYS, END, SEED, incidents)


@pytest.fixture(scope="module")
def quiet() -> Fleet:
    return _with()


@pytest.fixture(scope="module")
def calm(quiet: Fleet) -> PodSeries:
    return quiet.series()


def _row(series: PodSeries, metric: str, pod: str) -> Floats:
    return np.asarray(series.values[metric][series.pods.index(pod), 0])


def test_same_arguments_give_the_bytes_that_every_machine_gives() -> None:
    small = fleet(6, 1, END, 42, [Wish("crash_loop")])
    assert content_digest(small.series().to_frame()) == "35348f047b2286bb6af702cffb8d7150"


def test_batches_hold_the_same_series_as_one(quiet: Fleet, calm: PodSeries) -> None:
    batches = list(quiet.batches(30))
    assert len(batches) > 2
    assert tuple(pod for batch in batches for pod in batch.pods) == quiet.pods == calm.pods
    for metric in POD_METRICS:
        whole = np.concatenate([batch.values[metric] for batch in batches])
        np.testing.assert_array_equal(whole, calm.values[metric])


def test_everything_harmless_happens_within_two_weeks() -> None:
    found = fleet(200, 14, END, 1)
    assert {episode.kind for episode in found.harmless} == HARMLESS
    assert not found.incidents


def test_pods_live_at_the_first_minute_as_many_as_requested(calm: PodSeries) -> None:
    assert np.isfinite(calm.values[POD_CPU.name][:, 0, 0]).sum() == PODS
    assert len(set(calm.pods)) == len(calm.pods) > PODS
    assert all(split_pod(pod)[0] for pod in calm.pods)


def test_counters_of_a_life_never_fall_and_ratios_stay_in_bounds(calm: PodSeries) -> None:
    counts = calm.values[RESTARTS.name][:, 0]
    falls = np.diff(counts, axis=1) < 0
    assert not falls.any()
    for metric in (POD_MEMORY.name, THROTTLING.name, NODE_CPU.name, NODE_MEMORY.name):
        assert np.nanmin(calm.values[metric]) >= 0.0
        assert np.nanmax(calm.values[metric]) <= 1.0


def test_a_pod_of_a_roll_out_starts_with_more_cpu_and_less_memory(quiet: Fleet, calm: PodSeries) -> None:
    found = []
    for episode in quiet.harmless:
        if episode.kind != "roll_out":
            continue
        for pod in episode.pods:
            cpu, memory = _row(calm, POD_CPU.name, pod), _row(calm, POD_MEMORY.name, pod)
            lives = np.flatnonzero(np.isfinite(cpu))
            if len(lives) > 1000 and episode.begin <= lives[0] < episode.end and np.isfinite(memory[lives[0]]):
                later = lives[900:]
                found.append((cpu[lives[0]] / np.median(cpu[later]), memory[lives[0]] / np.median(memory[later])))
    assert len(found) > 5
    assert np.median([cpu for cpu, _ in found]) > 1.5
    assert max(memory for _, memory in found) < 0.9


def test_weekends_are_quieter_and_nights_too(calm: PodSeries) -> None:
    cpu = np.nanmean(calm.values[POD_CPU.name][:, 0], axis=0)
    weekend, hour = calm.times.day_of_week >= 5, calm.times.hour
    working = ~weekend
    assert cpu[weekend].mean() < 0.9 * cpu[working].mean()
    assert cpu[working & (hour // 2 == 1)].mean() < 0.9 * cpu[working & (hour // 2 == 6)].mean()


@pytest.mark.parametrize("kind", INCIDENTS)
def test_an_incident_changes_its_pods_or_node_and_nothing_else(kind: str, quiet: Fleet, calm: PodSeries) -> None:
    struck = _with(Wish(kind, first=3 * 1440))
    (episode,) = struck.incidents
    assert episode.kind == kind
    assert episode.begin >= 3 * 1440
    assert struck.harmless == quiet.harmless
    series, nodes, before = struck.series(), struck.nodes(), quiet.nodes()
    changed = {pod for i, pod in enumerate(series.pods) for m in POD_METRICS if _differ(series, calm, m, i)}
    assert changed == set(episode.pods)
    of_node = {
        node
        for i, node in enumerate(nodes.nodes)
        if any(not np.array_equal(v[i], before.values[m][i], equal_nan=True) for m, v in nodes.values.items())
    }
    assert of_node == ({episode.subject} if not episode.pods else _neighbours(struck, episode.pods, kind))
    labelled = {name for name, kinds in zip(series.pods, series.kind, strict=True) if kinds.any()}
    assert labelled == set(episode.pods)
    kinds = series.kind if episode.pods else nodes.kind
    minutes = np.flatnonzero((kinds == KINDS.index(kind)).any(axis=0))
    assert (minutes[0], minutes[-1] + 1) == (episode.begin, episode.end)


def _differ(series: PodSeries, other: PodSeries, metric: str, row: int) -> bool:
    return not np.array_equal(series.values[metric][row], other.values[metric][row], equal_nan=True)


def _neighbours(struck: Fleet, pods: Sequence[str], kind: str) -> set[str]:
    return {struck.node_of[pod] for pod in pods} if kind == "noisy_neighbour" else set()


def test_a_crash_loop_restarts_each_five_minutes(quiet: Fleet) -> None:
    struck = _with(Wish("crash_loop"))
    (episode,) = struck.incidents
    counter = _row(struck.series(), RESTARTS.name, episode.subject)
    assert counter[episode.end - 1] - counter[episode.begin - 1] == -(-(episode.end - episode.begin) // 5) >= 24


def test_a_cpu_spike_climbs_for_an_hour_to_most_of_what_the_pod_may_use(calm: PodSeries) -> None:
    struck = _with(Wish("cpu_spike", 5))
    series = struck.series()
    for episode in struck.incidents:
        cpu, before = (_row(one, POD_CPU.name, episode.subject) for one in (series, calm))
        climb, peak = cpu[episode.begin - 60 : episode.begin], cpu[episode.begin : episode.end]
        assert np.array_equal(cpu[: episode.begin - 60], before[: episode.begin - 60], equal_nan=True)
        assert climb[45:].mean() > climb[15:30].mean() > before[episode.begin - 60 : episode.begin].mean()
        assert peak.mean() > 2 * before[episode.begin : episode.end].mean()
        throttled = _row(series, THROTTLING.name, episode.subject)
        assert np.isnan(throttled).all() or throttled[episode.begin : episode.end].mean() > 0.35


def test_a_node_ramp_grows_by_point_008_a_minute() -> None:
    struck = _with(Wish("node_memory_ramp"), Wish("disk_fills"))
    nodes = struck.nodes()
    for kind, metric, top in (("node_memory_ramp", NODE_MEMORY, 0.85), ("disk_fills", EACH_NODE_DISK, 0.93)):
        (episode,) = (episode for episode in struck.incidents if episode.kind == kind)
        values = nodes.values[metric.name][nodes.nodes.index(episode.subject), episode.begin : episode.end]
        assert values.max() > top
    ramp = next(episode for episode in struck.incidents if episode.kind == "node_memory_ramp")
    minutes = slice(ramp.begin, ramp.begin + 20)
    gained = nodes.values[NODE_MEMORY.name] - _with().nodes().values[NODE_MEMORY.name]
    assert np.diff(gained[nodes.nodes.index(ramp.subject), minutes]).mean() == pytest.approx(0.008, rel=0.05)


def test_a_noisy_neighbour_takes_the_node(quiet: Fleet, calm: PodSeries) -> None:
    struck = _with(Wish("noisy_neighbour"))
    (episode,) = struck.incidents
    series, inside = struck.series(), slice(episode.begin + 5, episode.end)
    node = struck.nodes().nodes.index(struck.node_of[episode.subject])
    assert struck.nodes().values[EACH_NODE_CPU.name][node, inside].mean() > 0.85
    ratio = [
        _row(series, POD_CPU.name, pod)[inside].mean() / _row(calm, POD_CPU.name, pod)[inside].mean()
        for pod in episode.pods
    ]
    assert ratio[0] > 2.0
    assert len(ratio) > 5
    assert max(ratio[1:]) < 0.81


def test_an_incident_is_placed_where_it_is_wanted(quiet: Fleet) -> None:
    pod = quiet.pods[0]
    two = _with(
        Wish("cpu_spike", first=5000, last=5000, subject=pod), Wish("cpu_spike", first=5090, last=5090, subject=pod)
    )
    assert [(e.subject, e.begin) for e in two.incidents] == [(pod, 5000), (pod, 5090)]


def test_what_cannot_be_is_a_typed_error() -> None:
    with raises(DataError, "no_fleet"):
        fleet(0, 1, END, 1)
    with raises(DataError, "unknown_incident"):
        _with(Wish("meteor"))
    with raises(DataError, "no_place"):
        _with(Wish("cpu_spike", first=DAYS * 1440 - 5))


def test_a_pod_that_never_has_a_minute_has_no_series() -> None:
    made = fleet(20, 2, pd.Timestamp("2026-03-02", tz="UTC"), 41).series()
    there = np.isfinite(made.values[POD_CPU.name]).any(axis=(1, 2))
    assert 0 < (~there).sum() < there.sum()
