"""Labelled anomalies, injected into healthy series: ADR-052's four kinds and three more, each as people know it."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from aiops_assets.errors import DataError
from aiops_assets.timeseries.catalog import (
    NETWORK_RECEIVE,
    NODE_CPU,
    NODE_MEMORY,
    POD_CPU,
    POD_MEMORY,
    RESTARTS,
)
from aiops_assets.timeseries.series import KINDS, Floats, PodSeries

Shape = Callable[[np.random.Generator, Floats], Floats]
"""(generator, healthy minutes of an episode) -> the minutes as the anomaly makes them."""

SPIKE_MEAN, SPIKE_STD = 0.9, 0.04
STORM_RESTARTS_PER_MINUTE = 5 / 5
"""Restarts a minute, the mean of a Poisson distribution: ADR-052's 5 belongs to its samples of five minutes."""
BURST_SCALE = 10.0
BACK_OFF_MINUTES = 5
"""Minutes between two starts of a container that ends at once, at the cap of the kubelet's back-off."""
RAMP_PER_MINUTE = 0.008
"""Share of a node's memory that a ramp takes each minute."""


def _node_cpu_spike(rng: np.random.Generator, healthy: Floats) -> Floats:
    # A node that is busier already does not calm down in a spike.
    return np.clip(np.maximum(rng.normal(SPIKE_MEAN, SPIKE_STD, healthy.shape), healthy), 0.0, 1.0)


def _pod_cpu_spike(rng: np.random.Generator, healthy: Floats) -> Floats:
    # Cores have no upper bound: a pod that needs two cores does not spike at 0.9 of one.
    return healthy + rng.normal(SPIKE_MEAN, SPIKE_STD, healthy.shape) * np.maximum(1.0, healthy.mean())


def _memory_leak(rng: np.random.Generator, healthy: Floats) -> Floats:
    grown = np.maximum(rng.uniform(0.9, 1.05) - healthy[0], 0.2)
    return healthy + grown * np.arange(1, len(healthy) + 1) / len(healthy)


def _restart_storm(rng: np.random.Generator, healthy: Floats) -> Floats:
    return healthy + rng.poisson(STORM_RESTARTS_PER_MINUTE, healthy.shape).cumsum()


def _network_burst(rng: np.random.Generator, healthy: Floats) -> Floats:
    return healthy + healthy.mean() * rng.exponential(BURST_SCALE, healthy.shape)


def _crash_loop_restarts(rng: np.random.Generator, healthy: Floats) -> Floats:
    return healthy + 1 + np.arange(len(healthy)) // BACK_OFF_MINUTES


def _crash_loop_use(rng: np.random.Generator, healthy: Floats) -> Floats:
    # A container that ends at once uses next to nothing; another one works for minutes before it ends.
    if rng.random() < 0.5:
        return healthy.copy()
    starting = np.arange(len(healthy)) % BACK_OFF_MINUTES == 0
    return healthy * np.where(starting, 0.5, rng.uniform(0.02, 0.1))


def _node_memory_ramp(rng: np.random.Generator, healthy: Floats) -> Floats:
    grown = np.maximum(rng.uniform(0.88, 0.96) - healthy[0], 0.0)
    return np.minimum(healthy + np.minimum(RAMP_PER_MINUTE * np.arange(1, len(healthy) + 1), grown), 1.0)


def _taken_node_cpu(rng: np.random.Generator, healthy: Floats) -> Floats:
    return np.clip(np.maximum(rng.uniform(0.92, 0.97) + rng.normal(0, 0.01, healthy.shape), healthy), 0.0, 1.0)


def _starved(rng: np.random.Generator, healthy: Floats) -> Floats:
    return healthy * rng.uniform(0.4, 0.8)


@dataclass(frozen=True)
class Anomaly:
    """One kind: what it does to which metric, and how many minutes it lasts (least, most)."""

    kind: str
    minutes: tuple[int, int]
    shapes: dict[str, Shape]
    lasting: frozenset[str] = frozenset()
    """Metrics whose change of the last minute stays: a counter does not fall when the storm is over."""
    of_one_node: bool = False
    """It happens to one node, and is injected where no other node is in the mean that surrounds a pod."""


ANOMALIES = {
    anomaly.kind: anomaly
    for anomaly in (
        Anomaly("cpu_spike", (10, 30), {NODE_CPU.name: _node_cpu_spike, POD_CPU.name: _pod_cpu_spike}),
        Anomaly("memory_leak", (60, 360), {POD_MEMORY.name: _memory_leak}),
        Anomaly("restart_storm", (15, 60), {RESTARTS.name: _restart_storm}, lasting=frozenset({RESTARTS.name})),
        Anomaly("network_burst", (10, 30), {NETWORK_RECEIVE.name: _network_burst}),
        Anomaly(
            "crash_loop",
            (90, 150),
            {
                RESTARTS.name: _crash_loop_restarts,
                POD_CPU.name: _crash_loop_use,
                POD_MEMORY.name: _crash_loop_use,
            },
            lasting=frozenset({RESTARTS.name}),
        ),
        Anomaly("node_memory_ramp", (40, 90), {NODE_MEMORY.name: _node_memory_ramp}, of_one_node=True),
        Anomaly("noisy_neighbour", (20, 60), {NODE_CPU.name: _taken_node_cpu, POD_CPU.name: _starved}),
    )
}


def kinds_visible_in(metrics: Sequence[str]) -> tuple[str, ...]:
    """The kinds that change at least one of these metrics."""
    return tuple(kind for kind, anomaly in ANOMALIES.items() if set(anomaly.shapes) & set(metrics))


def inject(
    series: PodSeries,
    rows: npt.NDArray[np.bool_],
    rate: float,
    seed: int,
    kinds: Sequence[str] = tuple(ANOMALIES),
    cut: int | None = None,
) -> PodSeries:
    """Inject episodes until exactly the requested share of rows is anomalous.

    A row is anomalous when its own minute is. The kinds get about the same number of rows each.

    Args:
        series: healthy series.
        rows: (n_pods, n_minutes) True where a training row will be taken.
        rate: share of those rows to make anomalous, 0 to 0.5; rounded to whole rows.
        seed: makes the injection reproducible.
        kinds: the kinds to inject.
        cut: minute at which the hold-out begins. The rate then holds on both sides, and no episode
            crosses: no fit has seen a part of an episode that is judged.

    Returns:
        the changed series with ``kind`` set; metrics an episode touches have a row a pod.

    Raises:
        DataError: a rate out of range, an unknown kind, or pods that lack what the kinds change.
    """
    if not 0.0 <= rate <= 0.5:
        raise DataError(f"anomaly rate {rate}: must be between 0 and 0.5 of the training rows")
    unknown = sorted(set(kinds) - set(ANOMALIES))
    if unknown:
        raise DataError(f"unknown anomaly kinds {unknown}: known are {sorted(ANOMALIES)}")
    rng = np.random.default_rng([seed, 1])
    kind = np.zeros(rows.shape, dtype=np.int8)
    n_minutes = rows.shape[1]
    # Where a sample is missing, or a pod has no memory limit, an anomaly would be a label that nothing shows.
    possible = {name: _minutes_that_show(series, ANOMALIES[name]) for name in kinds}
    edges = [0, n_minutes] if cut is None else [0, cut, n_minutes]
    episodes: list[tuple[str, int, int, int]] = []
    for low, high in itertools.pairwise(edges):
        episodes += _place(rng, rows, kind, rate, possible, low, high)

    touched = {metric for name, *_ in episodes for metric in ANOMALIES[name].shapes}
    changed = {metric: series.per_pod(metric).copy() for metric in touched if metric in series.values}
    for name, pod, begin, end in episodes:
        for metric, shape in ANOMALIES[name].shapes.items():
            if metric not in changed:
                continue
            for member in changed[metric][pod]:
                # Rounded as the generator's own values are, for the same bytes on every machine.
                anomalous = shape(rng, member[begin:end]).round(6)
                if metric in ANOMALIES[name].lasting:
                    member[end:] += anomalous[-1] - member[end - 1]
                member[begin:end] = anomalous
    return series.with_anomalies(changed, kind)


def _place(
    rng: np.random.Generator,
    rows: npt.NDArray[np.bool_],
    kind: npt.NDArray[np.int8],
    rate: float,
    possible: dict[str, npt.NDArray[np.bool_]],
    low: int,
    high: int,
) -> list[tuple[str, int, int, int]]:
    """Choose episodes (kind, pod, begin, end) in minutes [low, high) and mark them in ``kind``."""
    pods, minutes = np.nonzero(rows[:, low:high])
    remaining = round(rate * len(pods))
    # In a short window of few pods one episode of hours would leave no row to the other kinds.
    fair = -(-remaining // len(possible)) if possible else 0
    counts = dict.fromkeys(possible, 0)
    episodes = []
    for i in rng.permutation(len(pods)):
        if remaining == 0:
            break
        pod, minute = int(pods[i]), low + int(minutes[i])
        names = [name for name in counts if possible[name][pod, minute]]
        if kind[pod, minute] or not names:
            continue
        name = min(names, key=counts.__getitem__)
        length = int(rng.integers(ANOMALIES[name].minutes[0], ANOMALIES[name].minutes[1] + 1))
        begin = max(minute - int(rng.integers(length)), low)
        end = min(begin + length, high)
        # Keep to the free minutes around this row, and to no more rows than are still wanted.
        taken = np.flatnonzero((kind[pod, begin:end] != 0) | ~possible[name][pod, begin:end]) + begin
        begin = max([begin, *(taken[taken < minute] + 1)])
        end = min([end, *taken[taken > minute]])
        covered = np.flatnonzero(rows[pod, begin:end]) + begin
        most = min(remaining, fair)
        if len(covered) > most:
            first = max(int(np.searchsorted(covered, minute)) - most + 1, 0)
            begin = int(covered[first])
            end = int(covered[first + most - 1]) + 1
            covered = covered[first : first + most]
        kind[pod, begin:end] = KINDS.index(name)
        counts[name] += len(covered)
        remaining -= len(covered)
        episodes.append((name, pod, begin, end))
    if remaining:
        raise DataError(f"{remaining} rows too few have the metrics that {list(possible)} change: lower ANOMALY_RATE")
    return episodes


def _minutes_that_show(series: PodSeries, anomaly: Anomaly) -> npt.NDArray[np.bool_]:
    """(n_pods, n_minutes) true where samples are there of each metric that the anomaly changes and the pod has."""
    metrics = [metric for metric in anomaly.shapes if metric in series.values]
    shape = (len(metrics), len(series.pods), len(series.times))
    there = np.zeros(shape, dtype=bool)
    for i, metric in enumerate(metrics):
        there[i] = np.isfinite(series.per_pod(metric)).all(axis=1)
    has = there.any(axis=2, keepdims=True)
    shows = np.asarray((there | ~has).all(axis=0) & has.any(axis=0), dtype=bool)
    if anomaly.of_one_node and any(series.values[metric].shape[1] > 1 for metric in metrics):
        shows[:] = False
    return shows
