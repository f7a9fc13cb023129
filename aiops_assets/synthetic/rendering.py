"""Series of planned pods and nodes. Each workload and node has a generator of its own: a batch does not change it."""

from collections.abc import Mapping
from itertools import accumulate

import numpy as np

from aiops_assets.synthetic.lives import Grid, Minutes, Node, Pod, Workload
from aiops_assets.synthetic.profiles import throttled
from aiops_assets.synthetic.seasons import season
from aiops_assets.timeseries.catalog import (
    EACH_NODE_CPU,
    EACH_NODE_DISK,
    NETWORK_RECEIVE,
    NODE_MEMORY,
    POD_CPU,
    POD_MEMORY,
    RESTARTS,
    THROTTLING,
)
from aiops_assets.timeseries.series import Floats

POD_METRICS = (POD_CPU.name, POD_MEMORY.name, RESTARTS.name, NETWORK_RECEIVE.name, THROTTLING.name)
NODE_METRICS = (EACH_NODE_CPU.name, NODE_MEMORY.name, EACH_NODE_DISK.name)
DECIMALS = dict.fromkeys((*POD_METRICS, *NODE_METRICS), 6) | {NETWORK_RECEIVE.name: 3}
"""Values are rounded: functions such as exp differ in the last bit between machines, and so would digests."""

KNOT = 5
"""Minutes between the points of what wanders; in between are straight lines."""


def wandering(rng: np.random.Generator, n: int, hours: float, spread: float) -> Floats:
    """(n,) AR(1) noise of that standard deviation every minute, which forgets two thirds within ``hours``."""
    points = n // KNOT + 2
    kept = float(np.exp(-KNOT / 60 / hours))
    shocks = spread * rng.standard_normal(points)
    shocks[1:] *= (1.0 - kept * kept) ** 0.5
    knots = np.array(list(accumulate(shocks.tolist(), lambda before, shock: kept * before + shock)))
    return np.interp(np.arange(n) / KNOT, np.arange(points), knots)


def load_of_each_pod(rng: np.random.Generator, workload: Workload, grid: Grid) -> Floats:
    """(n,) about 1: the demand of a workload, divided among the pods that are there."""
    profile = workload.profile
    demand = season(grid.week, profile.peak, profile.day, profile.weekend)
    demand *= np.maximum(1.0 + wandering(rng, grid.n, profile.memory_hours, profile.wander), 0.2)
    for begin, factors in workload.demand:
        there = demand[max(begin, 0) : begin + len(factors)]
        there *= factors[max(-begin, 0) :][: len(there)]
    # A pod takes requests from its second minute on.
    changes = np.zeros(grid.n + 1)
    for pod in workload.pods:
        changes[min(max(pod.begin + 1, 0), grid.n)] += 1
        changes[min(max(pod.end, 0), grid.n)] -= 1
    return demand * workload.replicas / np.maximum(changes.cumsum()[:-1], 1.0)


def pod_minutes(rng: np.random.Generator, workload: Workload, pod: Pod, load: Floats, grid: Grid) -> Minutes:
    """The series of a pod's life, rounded, NaN in its gaps; metrics without a limit are NaN throughout."""
    begin, end = max(pod.begin, 0), min(pod.end, grid.n)
    profile, n = workload.profile, end - begin
    load = load[begin:end]
    own = float(np.exp(rng.normal(0.0, 0.08)))

    cpu = profile.busy * own * load
    cpu *= np.maximum(1.0 + profile.noise * rng.standard_normal(n), 0.1)
    cpu += profile.idle
    cpu += profile.busy * _bursts(rng, n, profile.bursts)
    network = profile.network * own * load * np.maximum(1.0 + 1.5 * profile.noise * rng.standard_normal(n), 0.05)
    busy_minutes = rng.random(n) < 0.005
    network[busy_minutes] *= 1.0 + rng.exponential(1.0, int(busy_minutes.sum()))
    minutes = Minutes(
        begin,
        {
            POD_CPU.name: cpu,
            POD_MEMORY.name: _memory(rng, workload, pod, load, begin),
            RESTARTS.name: _restarts(pod, begin, n),
            NETWORK_RECEIVE.name: network,
        },
    )
    for start in pod.starts:
        curve = profile.start_curve(rng)
        there = minutes.between(POD_CPU.name, start, start + len(curve))
        there += curve[max(begin - start, 0) :][: len(there)]
    for change in workload.changes:
        change(rng, minutes)
    cpu[:] = np.fmin(cpu, profile.cpu_limit)
    minutes.values[THROTTLING.name] = throttled(rng, cpu, profile.cpu_limit)
    for change in pod.changes:
        change(rng, minutes)
    for off, back in pod.gaps:
        for metric in POD_METRICS:
            minutes.between(metric, off, back)[:] = np.nan
    return _rounded(minutes)


def node_minutes(rng: np.random.Generator, node: Node, grid: Grid) -> Minutes:
    """The series of a node, rounded, NaN while it reboots."""
    n = grid.n
    cpu_level, memory_level, noise = rng.uniform(0.15, 0.55), rng.uniform(0.35, 0.7), rng.uniform(0.01, 0.08)
    demand = season(grid.week, int(rng.normal(14 * 60, 60)) % 1440, rng.uniform(0.05, 0.25), rng.uniform(0.6, 1.0))
    cpu = cpu_level * demand * (1.0 + wandering(rng, n, 1.5, 0.06) + noise * rng.standard_normal(n))
    memory = memory_level * (1.0 + 0.15 * (demand - 1.0) + wandering(rng, n, 6.0, 0.02))
    memory *= 1.0 + 0.2 * noise * rng.standard_normal(n)
    disk = _node_disk(rng, n)
    for _, end in node.drained:
        # Pods come back over hours: until then there is room.
        since = np.arange(n - min(end, n))
        back = 1.0 - 0.6 * np.exp(-since / rng.uniform(120, 900))
        cpu[end:] *= back
        memory[end:] *= back
    minutes = Minutes(0, {EACH_NODE_CPU.name: cpu, NODE_MEMORY.name: memory, EACH_NODE_DISK.name: disk})
    for change in node.changes:
        change(rng, minutes)
    for values in minutes.values.values():
        np.clip(values, 0.0, 1.0, out=values)
        for begin, end in node.drained:
            values[begin:end] = np.nan
    return _rounded(minutes)


def _rounded(minutes: Minutes) -> Minutes:
    values: Mapping[str, Floats] = minutes.values
    return Minutes(minutes.begin, {name: np.maximum(a, 0.0).round(DECIMALS[name]) for name, a in values.items()})


def _bursts(rng: np.random.Generator, n: int, a_day: float) -> Floats:
    """(n,) short jobs of 1 to 15 minutes, of about the size 1."""
    total = np.zeros(n)
    begins = np.flatnonzero(rng.random(n) < a_day / 1440)
    lengths, heights = rng.integers(1, 16, len(begins)), rng.exponential(1.0, len(begins))
    for begin, length, height in zip(begins, lengths, heights, strict=True):
        total[begin : begin + length] += height
    return total


def _memory(rng: np.random.Generator, workload: Workload, pod: Pod, load: Floats, begin: int) -> Floats:
    """(n,) share of the limit: low after a start, then its level, caches that follow the load, a little growth."""
    profile, n = workload.profile, len(load)
    smooth = np.repeat(np.add.reduceat(load, np.arange(0, n, 30)) / np.minimum(30, n - np.arange(0, n, 30)), 30)[:n]
    caches = np.interp(np.arange(n), np.arange(0, n, 30), smooth[::30])
    shape = 1.0 + profile.caches * (caches - 1.0) + wandering(rng, n, 2.0, 0.006) + 0.002 * rng.standard_normal(n)
    last, low = np.full(n, pod.begin), np.full(n, rng.uniform(0.35, 0.65))
    for start in sorted(pod.starts):
        last[max(start - begin, 0) :] = start
    age = np.arange(begin, begin + n) - last
    shape *= 1.0 - (1.0 - low) * np.exp(-age / profile.warm)
    shape += np.minimum(profile.growth * age / 1440, 0.15)
    if profile.sawtooth > 0:
        shape += profile.sawtooth * ((age / profile.period) % 1.0 - 0.5)
    return np.asarray(np.minimum(profile.memory * pod.memory * shape, 0.98), dtype=np.float64)


def _restarts(pod: Pod, begin: int, n: int) -> Floats:
    counts = np.full(n, float(pod.counted))
    for at in pod.restarts:
        counts[max(at - begin, 0) :] += 1
    for _, back in pod.gaps:
        counts[back - begin :] -= counts[back - begin] if back - begin < n else 0.0
    return counts


def _node_disk(rng: np.random.Generator, n: int) -> Floats:
    """(n,) used share: it grows some points a day, until images are collected."""
    grows, low, high = rng.uniform(0.001, 0.02) / 1440, rng.uniform(0.3, 0.55), rng.uniform(0.65, 0.8)
    begin = rng.uniform(low, high)
    level = (begin - low + grows * np.arange(n)) % (high - low) + low
    return level + wandering(rng, n, 0.5, 0.002)
