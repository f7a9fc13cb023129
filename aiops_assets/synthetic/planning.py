"""Plans a fleet: workloads, their pods and nodes, and the harmless changes that come to them."""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from aiops_assets.synthetic.harmless import (
    Autoscale,
    Drained,
    Happening,
    OneMore,
    RollOut,
    Run,
    blip,
    habits_of,
    restart,
)
from aiops_assets.synthetic.lives import Episode, Grid, Node, StatefulWorkload, Workload
from aiops_assets.synthetic.profiles import JOB, draw_family

PODS_A_NODE = 25
NAMESPACES = ("shop", "payments", "search", "platform", "monitoring", "data", "ml", "web")
NOUNS = ("cart", "checkout", "api", "index", "feed", "auth", "mail", "report", "sync", "proxy", "store", "queue")
BLIPS_A_DAY = 0.05
RESTARTS_A_DAY, FLAKY_A_DAY, FLAKY_SHARE = 0.01, 0.25, 0.03
"""Single restarts of a pod, and of one of a flaky workload; the share of those."""
DRAINS_A_DAY = 1 / 20
MONDAY = "monday_morning"


@dataclass(frozen=True)
class Plan:
    """What lives on a grid of minutes, and what harmless changes there are, by begin."""

    grid: Grid
    workloads: list[Workload]
    nodes: list[Node]
    episodes: list[Episode]


def plan_fleet(rng: np.random.Generator, n_pods: int, grid: Grid) -> Plan:
    """Workloads that have ``n_pods`` pods at the first minute, CronJobs beside them, and nodes for all."""
    nodes = [Node(f"node-{i:02d}") for i in range(max(-(-n_pods // PODS_A_NODE), 3))]
    drains = list(_drains(rng, nodes, grid))
    workloads: list[Workload] = []
    episodes = [Episode("node_drain", nodes[d.node].name, at, at + d.minutes, harmless=True) for at, d in drains]
    remaining = n_pods
    while remaining > 0:
        replicas = min(int(rng.choice([1, 2, 3, 3, 4, 6, 8])), remaining)
        workload = _workload(rng, len(workloads), replicas, len(nodes), grid)
        late = int(rng.integers(grid.n)) if rng.random() < 0.04 else None
        if late is None:
            remaining -= replicas
            _populate(rng, workload)
        episodes += _live(rng, workload, grid, drains, late)
        workloads.append(workload)
    for _ in range(n_pods // 60):
        workload = _workload(rng, len(workloads), 1, len(nodes), grid, cron=True)
        episodes += _runs(rng, workload, grid)
        workloads.append(workload)
    return Plan(grid, workloads, nodes, sorted(episodes, key=lambda e: (e.begin, e.kind, e.subject)))


def _workload(
    rng: np.random.Generator, position: int, replicas: int, n_nodes: int, grid: Grid, *, cron: bool = False
) -> Workload:
    family = JOB if cron else draw_family(rng)
    kind = StatefulWorkload if family.stateful else Workload
    workload = kind(
        name=f"{rng.choice(NAMESPACES)}/{rng.choice(NOUNS)}-{family.name}-{position}",
        position=position,
        profile=family.draw(rng),
        replicas=replicas,
        n_nodes=n_nodes,
        until=grid.n,
    )
    workload.renew(rng)
    return workload


def _populate(rng: np.random.Generator, workload: Workload) -> None:
    """The pods that live at the first minute, some days or weeks old."""
    age = int(rng.integers(1440, 60 * 1440))
    for _ in range(workload.replicas):
        pod = workload.add(rng, -age - int(rng.integers(0, 30)))
        pod.counted = int(rng.poisson(age / 1440 * RESTARTS_A_DAY))


def _live(
    rng: np.random.Generator, workload: Workload, grid: Grid, drains: list[tuple[int, Drained]], late: int | None
) -> Iterator[Episode]:
    """Everything that comes to a lasting workload: in order of time what changes its pods, then the rest."""
    queue: list[tuple[int, int, Happening]] = []

    def expect(at: int, happening: Happening) -> None:
        if (late or 0) < at < grid.n:
            heapq.heappush(queue, (at, len(queue), happening))

    if late is not None:
        for _ in range(workload.replicas):
            pod = workload.add(rng, min(late + int(rng.integers(0, 3)), grid.n - 1))
            yield Episode("new_pod", pod.name, pod.begin, pod.begin + 30, harmless=True, pods=(pod.name,))
    for at, drained in drains:
        expect(at, drained)
    days = grid.n / 1440
    for at in _times(rng, float(rng.choice([0.0, 0.03, 0.1, 0.3], p=[0.3, 0.35, 0.25, 0.1])) * days, grid):
        expect(at, RollOut())
    if workload.profile.scales:
        for at in _times(rng, 0.004 * days, grid):
            expect(at, OneMore())
        for at, autoscale in _autoscaling(rng, grid):
            expect(at, autoscale)
    while queue:
        at, _, happening = heapq.heappop(queue)
        yield from happening.happen(rng, workload, at)
    for habit in habits_of(rng, workload):
        yield from habit.begin(rng, workload, grid)
    yield from _weeks(workload, grid)
    yield from _of_single_pods(rng, workload, grid)


def _autoscaling(rng: np.random.Generator, grid: Grid) -> Iterator[tuple[int, Autoscale]]:
    """Some workloads scale by the clock of a working day, some at a surge of demand."""
    if rng.random() < 0.08:
        share, minute = float(rng.uniform(0.5, 1.0)), int(rng.normal(8.5 * 60, 30))
        for at in grid.each(minute, range(5)):
            yield max(at + round(rng.normal(0, 12)), 1), Autoscale(share, int(rng.normal(560, 30)))
    if rng.random() < 0.25:
        for at in _times(rng, 0.15 * grid.n / 1440, grid):
            share = float(rng.uniform(0.5, 1.0))
            yield at, Autoscale(share, int(rng.integers(60, 300)), surge=1 + share * float(rng.uniform(0.7, 1.1)))


def _weeks(workload: Workload, grid: Grid) -> Iterator[Episode]:
    """Monday mornings, of workloads that do little at weekends."""
    if workload.profile.weekend < 0.75:
        for at in grid.each(5 * 60, (0,)):
            pods = tuple(pod.name for pod in workload.alive(at))
            yield Episode(MONDAY, workload.name, at, at + 4 * 60, harmless=True, pods=pods)


def _of_single_pods(rng: np.random.Generator, workload: Workload, grid: Grid) -> Iterator[Episode]:
    """Blips and single restarts, at any time of a pod's life."""
    restarts = FLAKY_A_DAY if rng.random() < FLAKY_SHARE else RESTARTS_A_DAY
    for pod in workload.pods:
        begin, end = max(pod.begin, 0), pod.end
        if end - begin < 60:
            continue
        for at in _times(rng, BLIPS_A_DAY * (end - begin) / 1440, grid, begin + 1, end - 1):
            yield blip(rng, workload, pod, at)
        for at in _times(rng, restarts * (end - begin) / 1440, grid, begin + 10, end - 10):
            if pod.lives(at - 1, at + 1):
                yield restart(pod, at)


def _runs(rng: np.random.Generator, workload: Workload, grid: Grid) -> Iterator[Episode]:
    """A CronJob's pods, once a day or several times."""
    length, every = int(rng.integers(10, 90)), int(rng.choice([360, 720, 1440, 1440]))
    for minute in range(int(rng.integers(every)), 1440, every):
        for at in grid.each(minute):
            yield from Run(round(length * float(np.exp(rng.normal(0.0, 0.15))))).happen(rng, workload, at)


def _drains(rng: np.random.Generator, nodes: list[Node], grid: Grid) -> Iterator[tuple[int, Drained]]:
    """Reboots of nodes: the pods go within minutes, then the node is away for some."""
    for i, node in enumerate(nodes):
        for at in _times(rng, DRAINS_A_DAY * grid.n / 1440, grid):
            drained = Drained(i, int(rng.integers(3, 12)))
            away = at + drained.minutes
            node.drained.append((away, min(away + int(rng.integers(3, 10)), grid.n)))
            yield at, drained


def _times(rng: np.random.Generator, expected: float, grid: Grid, begin: int = 1, end: int | None = None) -> list[int]:
    """Minutes of a Poisson process, in order."""
    end = grid.n if end is None else end
    return sorted(int(at) for at in rng.integers(begin, max(end, begin + 1), int(rng.poisson(expected))))
