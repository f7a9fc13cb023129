"""What a planned fleet consists of: the lives of pods, workloads and nodes on a grid of minutes, and what happens.

A plan is light (a few kilobytes a pod). Series are made of it later, for some pods at a time.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from aiops_assets.synthetic.profiles import Profile
from aiops_assets.timeseries.series import Floats, minute_grid

LETTERS = np.array(list("bcdfghjklmnpqrstvwxz2456789"))
HASH_LETTERS = np.array(list("4567889bcdf"))


@dataclass(frozen=True)
class Grid:
    """The minutes of a fleet: (n,) times, and the minute of the week of each, which begins on Monday."""

    times: pd.DatetimeIndex
    week: np.ndarray

    @classmethod
    def of(cls, days: int, end: pd.Timestamp) -> "Grid":
        """Every minute of the ``days`` before ``end``."""
        times = minute_grid(end - pd.Timedelta(days=days), end)
        begin = times[0].day_of_week * 1440 + times[0].hour * 60 + times[0].minute
        return cls(times, (begin + np.arange(len(times))) % (7 * 1440))

    @property
    def n(self) -> int:
        """Number of minutes."""
        return len(self.times)

    def each(self, minute: int, weekdays: Iterable[int] = range(7)) -> Iterator[int]:
        """Positions of a minute of the day, on days of the week (0 is Monday)."""
        chosen = set(weekdays)
        for at in np.flatnonzero(self.week % 1440 == minute % 1440):
            if int(self.week[at]) // 1440 in chosen:
                yield int(at)


@dataclass(frozen=True)
class Episode:
    """Something that happened, harmless or not.

    Attributes:
        kind: name of the situation; that of an incident is one of ``KINDS``.
        subject: the pod, the workload (``namespace/name``) or the node that it happened to.
        begin, end: positions in the grid, half-open.
        harmless: whether nobody wants to be called for it.
        pods: the pods whose series it changes.
    """

    kind: str
    subject: str
    begin: int
    end: int
    harmless: bool
    pods: tuple[str, ...] = ()


@dataclass
class Minutes:
    """Series of a pod or node that situations change in place: metric -> (n,) from minute ``begin`` of the grid on."""

    begin: int
    values: dict[str, Floats]

    def between(self, metric: str, begin: int, end: int) -> Floats:
        """A view of minutes [begin, end) of the grid, as far as they are there."""
        return self.values[metric][max(begin - self.begin, 0) : max(end - self.begin, 0)]


Change = Callable[[np.random.Generator, Minutes], None]
"""Changes series in place. It draws from the generator of the pod or node that the series are of."""


@dataclass
class Pod:
    """A pod: when it lives, where, and what happens to it.

    Attributes:
        name: ``namespace/name``.
        node: position of its node.
        begin, end: minutes [begin, end); the begin may be before the grid's first minute.
        memory: level of its revision, a factor.
        starts: minutes at which its containers start.
        restarts: minutes at which the restart counter goes up by one.
        counted: restarts before the first minute.
        gaps: [begin, end) in which it has no samples; the counter begins again at 0 after each.
        changes: what happens to its series, in this order.
    """

    name: str
    node: int
    begin: int
    end: int
    memory: float
    starts: list[int]
    restarts: list[int] = field(default_factory=list)
    counted: int = 0
    gaps: list[tuple[int, int]] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)

    def lives(self, begin: int, end: int) -> bool:
        """Whether it has samples throughout [begin, end)."""
        return self.begin <= begin and end <= self.end and not any(b < end and begin < e for b, e in self.gaps)


@dataclass
class Node:
    """A node; ``drained`` are the minutes [begin, end) of its reboots."""

    name: str
    drained: list[tuple[int, int]] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)


@dataclass
class Workload:
    """Pods of one template, like a Deployment: a pod that is replaced gets another name.

    Attributes:
        name: ``namespace/name``.
        position: its number in the fleet, which seeds its series.
        profile: levels and habits.
        replicas: number of pods that its demand is made for.
        n_nodes: number of nodes its pods may be on.
        until: the first minute that is not generated any more.
        memory: level of the present revision.
        demand: (begin, factors): what multiplies its demand from a minute on.
    """

    name: str
    position: int
    profile: Profile
    replicas: int
    n_nodes: int
    until: int
    template: str = ""
    memory: float = 1.0
    pods: list[Pod] = field(default_factory=list)
    demand: list[tuple[int, Floats]] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)

    def alive(self, at: int) -> list[Pod]:
        """Pods that live at a minute, oldest first."""
        return [pod for pod in self.pods if pod.begin <= at < pod.end]

    def renew(self, rng: np.random.Generator) -> None:
        """A new revision: another template, whose memory differs by some per cent."""
        self.template = "".join(rng.choice(HASH_LETTERS, 9))
        self.memory *= float(np.exp(rng.normal(0.0, 0.06)))
        self.memory = min(max(self.memory, 0.75), 1.3)

    def add(self, rng: np.random.Generator, at: int, node: int | None = None) -> Pod:
        """A new pod that begins at a minute."""
        pod = Pod(
            name=self._pod_name(rng),
            node=int(rng.integers(self.n_nodes)) if node is None else node,
            begin=at,
            end=self.until,
            memory=self.memory,
            starts=[at],
        )
        self.pods.append(pod)
        return pod

    def replace(self, rng: np.random.Generator, pod: Pod, at: int) -> int:
        """A new pod begins, and the old one ends once that is ready: returns the minute."""
        ready = min(at + self.profile.ready_minutes(rng), self.until)
        self.add(rng, at)
        pod.end = min(pod.end, ready)
        return ready

    def _pod_name(self, rng: np.random.Generator) -> str:
        return f"{self.name}-{self.template}-{''.join(rng.choice(LETTERS, 5))}"


class StatefulWorkload(Workload):
    """Like a StatefulSet: a pod that is replaced comes back under its name, and has no samples meanwhile."""

    def replace(self, rng: np.random.Generator, pod: Pod, at: int) -> int:
        """The pod ends, and begins again minutes later."""
        back = at + int(rng.integers(1, 4))
        if back >= self.until:
            pod.end = min(pod.end, at)
            return self.until
        pod.gaps.append((at, back))
        pod.starts.append(back)
        return back + self.profile.ready_minutes(rng)

    def _pod_name(self, rng: np.random.Generator) -> str:
        return f"{self.name}-{len(self.pods)}"
