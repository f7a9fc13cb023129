"""A seeded fleet of pods on nodes, with everything harmless that happens to one, and incidents where they are wanted.

The same arguments give the same plan and the same values, whatever the order and the size of the batches in which
series are made. An incident changes the series of its pods or node from its begin on, and no others.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from aiops_assets.errors import DataError
from aiops_assets.synthetic.incidents import INCIDENTS, Place
from aiops_assets.synthetic.lives import Episode, Grid
from aiops_assets.synthetic.planning import Plan, plan_fleet
from aiops_assets.synthetic.rendering import NODE_METRICS, POD_METRICS, load_of_each_pod, node_minutes, pod_minutes
from aiops_assets.timeseries.catalog import EACH_NODE_CPU, NODE_CPU, NODE_MEMORY
from aiops_assets.timeseries.series import KINDS, Floats, PodSeries

CALM = 360
"""Minutes that a pod lives before an incident is placed on it."""
APART = 180
"""Minutes between two incidents of one pod or node that are placed anywhere."""
MAX_TRIES = 2_000


@dataclass(frozen=True)
class Wish:
    """Incidents that a fleet shall have.

    Attributes:
        kind: one of ``INCIDENTS``.
        count: how many.
        first, last: minutes of the grid between which they begin; the whole grid by default.
        subject: the pod or node; drawn where it is empty.
    """

    kind: str
    count: int = 1
    first: int = 0
    last: int | None = None
    subject: str = ""


@dataclass(frozen=True)
class NodeSeries:
    """Per-minute series of nodes: metric -> (n_nodes, n_minutes), NaN while a node reboots."""

    times: pd.DatetimeIndex
    nodes: tuple[str, ...]
    values: dict[str, Floats]
    kind: npt.NDArray[np.int8]


class Fleet:
    """See :func:`fleet`.

    Attributes:
        times: (n_minutes,) UTC.
        episodes: everything that happens, harmless changes and incidents, by begin.
        pods: names of all pods that ever live.
        node_of: pod -> name of its node.
        workload_of: pod -> its workload, ``namespace/name``.
    """

    def __init__(self, plan: Plan, incidents: list[Episode], seed: int) -> None:
        """Make it of a plan into which the incidents are written already."""
        self._plan = plan
        self._seed = seed
        self._nodes: NodeSeries | None = None
        self.times = plan.grid.times
        self.episodes = sorted([*plan.episodes, *incidents], key=lambda e: (e.begin, e.kind, e.subject))
        owners = {pod.name: workload for workload in plan.workloads for pod in workload.pods}
        self.pods = tuple(owners)
        self.workload_of = {name: workload.name for name, workload in owners.items()}
        self.node_of = {pod.name: plan.nodes[pod.node].name for w in plan.workloads for pod in w.pods}

    @property
    def incidents(self) -> list[Episode]:
        """The episodes that somebody wants to be called for."""
        return [episode for episode in self.episodes if not episode.harmless]

    @property
    def harmless(self) -> list[Episode]:
        """The episodes that nobody wants to be called for."""
        return [episode for episode in self.episodes if episode.harmless]

    def nodes(self) -> NodeSeries:
        """Series of each node, made once."""
        if self._nodes is None:
            plan = self._plan
            made = [
                node_minutes(np.random.default_rng([self._seed, 11, i]), node, plan.grid)
                for i, node in enumerate(plan.nodes)
            ]
            values = {metric: np.stack([minutes.values[metric] for minutes in made]) for metric in NODE_METRICS}
            names = tuple(node.name for node in plan.nodes)
            self._nodes = NodeSeries(plan.grid.times, names, values, self._kinds(names))
        return self._nodes

    def batches(self, pods_at_once: int = 100) -> Iterator[PodSeries]:
        """Series of all pods, whole workloads at a time: one batch is of about so many pods (a workload has at most
        some hundreds).

        Yields:
            the metrics of ``POD_METRICS`` with (n_pods, 1, n_minutes), NaN where a pod does not live, and of nodes
            ``NODE_CPU`` and ``NODE_MEMORY`` with (1, n_nodes, n_minutes), which all batches share.
        """
        waiting: list[int] = []
        size = 0
        for i, workload in enumerate(self._plan.workloads):
            if waiting and size + len(workload.pods) > pods_at_once:
                yield self._render(waiting)
                waiting, size = [], 0
            waiting.append(i)
            size += len(workload.pods)
        if waiting:
            yield self._render(waiting)

    def series(self) -> PodSeries:
        """Series of all pods at once; large fleets take gigabytes: see :meth:`batches`."""
        return self._render(list(range(len(self._plan.workloads))))

    def _render(self, positions: Sequence[int]) -> PodSeries:
        plan, n = self._plan, self._plan.grid.n
        chosen = [plan.workloads[i] for i in positions]
        names = tuple(pod.name for workload in chosen for pod in workload.pods)
        values = {metric: np.full((len(names), 1, n), np.nan) for metric in POD_METRICS}
        row = 0
        for workload in chosen:
            load = load_of_each_pod(np.random.default_rng([self._seed, 12, workload.position]), workload, plan.grid)
            for i, pod in enumerate(workload.pods):
                if max(pod.begin, 0) >= min(pod.end, n):  # replaced before it had a minute
                    row += 1
                    continue
                rng = np.random.default_rng([self._seed, 13, workload.position, i])
                minutes = pod_minutes(rng, workload, pod, load, plan.grid)
                for metric, made in minutes.values.items():
                    values[metric][row, 0, minutes.begin : minutes.begin + len(made)] = made
                row += 1
        of_nodes = self.nodes().values
        shared = {NODE_CPU.name: of_nodes[EACH_NODE_CPU.name], NODE_MEMORY.name: of_nodes[NODE_MEMORY.name]}
        values |= {name: array[np.newaxis] for name, array in shared.items()}
        return PodSeries(plan.grid.times, names, values, self._kinds(names))

    def _kinds(self, names: tuple[str, ...]) -> npt.NDArray[np.int8]:
        """(n, n_minutes) positions in ``KINDS`` of pods, or of nodes."""
        rows = {name: i for i, name in enumerate(names)}
        kind = np.zeros((len(names), self._plan.grid.n), dtype=np.int8)
        for episode in self.incidents:
            for name in {episode.subject, *episode.pods} & set(rows):
                kind[rows[name], episode.begin : episode.end] = KINDS.index(episode.kind)
        return kind


def fleet(n_pods: int, days: int, end: pd.Timestamp, seed: int, incidents: Sequence[Wish] = ()) -> Fleet:
    """A fleet over the ``days`` before ``end``.

    Args:
        n_pods: pods that live at the first minute; others come and go.
        days: at least 1; the grid has ``days * 1440`` minutes.
        end: UTC midnight; the first minute that is not generated any more.
        seed: any non-negative integer. The harmless part does not depend on ``incidents``.
        incidents: what shall happen.

    Returns:
        a fleet, whose series are made on request.

    Raises:
        DataError: an argument is out of its range, or an incident finds no place.
    """
    if n_pods < 1 or days < 1:
        raise DataError(
            f"n_pods={n_pods}, days={days}: a fleet needs at least one pod and one day",
            code="no_fleet",
            n_pods=n_pods,
            days=days,
        )
    plan = plan_fleet(np.random.default_rng([seed, n_pods, days, 8]), n_pods, Grid.of(days, end))
    rng = np.random.default_rng([seed, n_pods, days, 9])
    place = Place(
        plan.nodes,
        {pod.name: workload for workload in plan.workloads for pod in workload.pods},
        {pod.name: pod for workload in plan.workloads for pod in workload.pods},
    )
    struck = [_strike(rng, place, wish, plan.grid.n) for wish in incidents for _ in range(wish.count)]
    return Fleet(plan, struck, seed)


def _strike(rng: np.random.Generator, place: Place, wish: Wish, n_minutes: int) -> Episode:
    """Find a subject and a minute for an incident, and let it happen."""
    if wish.kind not in INCIDENTS:
        raise DataError(
            f"unknown incident {wish.kind}: known are {sorted(INCIDENTS)}", code="unknown_incident", kind=wish.kind
        )
    incident = INCIDENTS[wish.kind]
    subjects = [node.name for node in place.nodes] if incident.on_nodes else list(place.pods)
    apart, calm = (0, 0) if wish.subject else (APART, CALM)
    last = n_minutes if wish.last is None else wish.last + 1
    for _ in range(MAX_TRIES):
        subject = wish.subject or subjects[int(rng.integers(len(subjects)))]
        length = int(rng.integers(incident.minutes[0], incident.minutes[1] + 1))
        begin = int(rng.integers(wish.first, max(last, wish.first + 1)))
        end = begin + length
        inside = begin >= calm and end + APART // 3 <= n_minutes
        if not inside or not incident.possible(place, subject, begin - calm, end):
            continue
        if not place.free(subject, begin - apart, end + apart):
            continue
        episode = incident.strike(rng, place, subject, begin, end)
        for name in {subject, *episode.pods}:
            place.taken.setdefault(name, []).append((begin, end))
        return episode
    raise DataError(
        f"no place for {wish.kind} from minute {wish.first} to {last}: take a larger fleet or a longer window",
        code="no_place",
        kind=wish.kind,
        subject=wish.subject,
    )
