"""Harmless changes of a fleet: what every cluster does each week, and nobody wants to be called for.

Two kinds of object. A *happening* comes to a workload at a minute, and changes which pods it has. A *habit* is drawn
once for a workload, and changes the series of its pods for as long as it lasts. Both report their episodes.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from aiops_assets.synthetic.lives import Episode, Grid, Minutes, Pod, Workload
from aiops_assets.timeseries.catalog import NETWORK_RECEIVE, POD_CPU, POD_MEMORY
from aiops_assets.timeseries.series import Floats

SETTLES = 30
"""Minutes after which start-up and warm-up of a replaced pod are mostly over."""


def _harmless(kind: str, subject: str, begin: int, end: int, pods: tuple[str, ...] = ()) -> Episode:
    return Episode(kind, subject, begin, end, harmless=True, pods=pods)


class Happening(Protocol):
    """Comes to a workload at a minute."""

    def happen(self, rng: np.random.Generator, workload: Workload, at: int) -> Iterator[Episode]:
        """Change the plan of a workload, and report what was changed. Happenings come in order of time."""
        ...


@dataclass(frozen=True)
class RollOut:
    """All pods are replaced by those of a new revision, one after the other within minutes."""

    def happen(self, rng: np.random.Generator, workload: Workload, at: int) -> Iterator[Episode]:
        """Replace each pod, and wait minutes in between."""
        workload.renew(rng)
        begin, old = at, workload.alive(at)
        for pod in old:
            at = workload.replace(rng, pod, at) + int(rng.integers(0, 4))
        new = tuple(pod.name for pod in workload.pods if begin <= pod.begin <= at)
        yield _harmless("roll_out", workload.name, begin, at + SETTLES, tuple({*(pod.name for pod in old), *new}))


@dataclass(frozen=True)
class OneMore:
    """A new pod: somebody raises the number of replicas for good."""

    def happen(self, rng: np.random.Generator, workload: Workload, at: int) -> Iterator[Episode]:
        """Add a pod."""
        pod = workload.add(rng, at)
        yield _harmless("new_pod", pod.name, at, at + SETTLES, (pod.name,))


@dataclass(frozen=True)
class Autoscale:
    """Pods are added for some time, so that each gets less of the load; then the newest ones end.

    Attributes:
        share: added pods as a share of those there, such as 1 for three more beside three.
        minutes: for how long.
        surge: what demand rises to before, as a factor; 1: the daily peak alone is the cause.
    """

    share: float
    minutes: int
    surge: float = 1.0

    def happen(self, rng: np.random.Generator, workload: Workload, at: int) -> Iterator[Episode]:
        """Add pods once load is there, and end them later."""
        until = at + self.minutes
        if self.surge > 1.0:
            workload.demand.append((at, self._factors(rng)))
        before = workload.alive(at)
        reaction = int(rng.integers(6, 16)) if self.surge > 1.0 else 0
        added = []
        for i in range(max(round(self.share * len(before)), 1)):
            # The autoscaler may double the number every 15 seconds, and mostly does so in two or three looks.
            pod = workload.add(rng, at + reaction + i // 2 * int(rng.integers(1, 3)))
            pod.end = min(until + int(rng.integers(5, 20)), workload.until)
            added.append(pod)
        pods = (*(pod.name for pod in before), *(pod.name for pod in added))
        yield _harmless("autoscale", workload.name, at, max(pod.end for pod in added) + SETTLES, pods)

    def _factors(self, rng: np.random.Generator) -> Floats:
        ramp = int(rng.integers(4, 18))
        edges = [0, ramp, max(self.minutes - ramp, ramp + 1), max(self.minutes, ramp + 2)]
        return np.interp(np.arange(edges[-1] + 1), edges, [1.0, self.surge, self.surge, 1.0])


@dataclass(frozen=True)
class Drained:
    """The pods of a node go elsewhere, since that is rebooted."""

    node: int
    minutes: int

    def happen(self, rng: np.random.Generator, workload: Workload, at: int) -> Iterator[Episode]:
        """Replace the pods that are on the node."""
        pods = [pod for pod in workload.alive(at) if pod.node == self.node]
        known = {pod.name for pod in workload.pods}
        for pod in pods:
            workload.replace(rng, pod, at + int(rng.integers(0, self.minutes)))
        names = {pod.name for pod in pods} | ({pod.name for pod in workload.pods} - known)
        if pods:
            yield _harmless("node_drain", workload.name, at, at + self.minutes + SETTLES, tuple(names))


@dataclass(frozen=True)
class Run:
    """A pod of a CronJob, which lives for as long as its work takes."""

    minutes: int

    def happen(self, rng: np.random.Generator, workload: Workload, at: int) -> Iterator[Episode]:
        """Add a pod that ends by itself."""
        workload.template = str(29_000_000 + at)
        pod = workload.add(rng, at)
        pod.end = min(at + self.minutes, workload.until)
        yield _harmless("cron_job", pod.name, at, pod.end, (pod.name,))


@dataclass(frozen=True)
class Work:
    """A change: more CPU and network for some time, and a little memory.

    Attributes:
        begin, end: minutes of the grid.
        cpu: added cores; network: added traffic as a factor of the present one; memory: added share of the present one.
    """

    begin: int
    end: int
    cpu: float
    network: float
    memory: float

    def __call__(self, rng: np.random.Generator, minutes: Minutes) -> None:
        """Add the work, with edges of three minutes."""
        cpu = minutes.between(POD_CPU.name, self.begin, self.end)
        if not len(cpu):
            return
        edge = np.minimum(1.0, np.arange(1, len(cpu) + 1) / 3)
        shape = np.minimum(edge, edge[::-1])
        cpu += self.cpu * shape * (1 + 0.08 * rng.standard_normal(len(cpu)))
        minutes.between(NETWORK_RECEIVE.name, self.begin, self.end)[:] *= 1 + self.network * shape
        minutes.between(POD_MEMORY.name, self.begin, self.end)[:] *= 1 + self.memory * shape


@dataclass(frozen=True)
class Repeated:
    """A habit: the same work at the same time of day, a few minutes earlier or later, on some days of the week."""

    kind: str
    minute: int
    weekdays: tuple[int, ...]
    length: int
    cpu: float
    network: float
    memory: float = 0.0
    jitter: float = 3.0

    def begin(self, rng: np.random.Generator, workload: Workload, grid: Grid) -> Iterator[Episode]:
        """Add the work to the plan, and report each time that it is done."""
        for at in grid.each(self.minute, self.weekdays):
            begin = at + round(abs(rng.normal(0.0, self.jitter)))
            end = begin + round(self.length * float(np.exp(rng.normal(0.0, 0.1))))
            size = float(np.exp(rng.normal(0.0, 0.1)))
            workload.changes.append(Work(begin, end, self.cpu * size, self.network * size, self.memory))
            yield _harmless(self.kind, workload.name, begin, end, tuple(pod.name for pod in workload.alive(begin)))


@dataclass(frozen=True)
class Blip:
    """A change: one minute at a much higher CPU."""

    minute: int
    cpu: float

    def __call__(self, rng: np.random.Generator, minutes: Minutes) -> None:
        """Raise the minute."""
        minutes.between(POD_CPU.name, self.minute, self.minute + 1)[:] += self.cpu


def blip(rng: np.random.Generator, workload: Workload, pod: Pod, at: int) -> Episode:
    """One minute from such as .35 to .8 cores, of one pod."""
    usual = workload.profile.busy + workload.profile.idle
    pod.changes.append(Blip(at, max(usual, 0.05) * float(rng.uniform(0.8, 1.6))))
    return _harmless("blip", pod.name, at, at + 1, (pod.name,))


def restart(pod: Pod, at: int) -> Episode:
    """A container ends once and is started again."""
    pod.restarts.append(at)
    pod.starts.append(at)
    return _harmless("restart", pod.name, at, at + SETTLES, (pod.name,))


def habits_of(rng: np.random.Generator, workload: Workload) -> Iterator[Repeated]:
    """The habits that a workload has, drawn: work of the night, of Sunday, and backups each day or week."""
    profile = workload.profile
    every_day = tuple(range(7))
    cpu = max(profile.busy, 0.02)
    if rng.random() < 0.12:
        minute, length = int(rng.integers(0, 5 * 60)), int(rng.integers(15, 70))
        yield Repeated(
            "nightly_batch", minute, every_day, length, cpu * rng.uniform(1.0, 4.0), rng.uniform(0.0, 3.0), 0.08
        )
    if rng.random() < 0.06:
        minute, length = int(rng.integers(0, 1440)), int(rng.integers(60, 200))
        yield Repeated("sunday_job", minute, (6,), length, cpu * rng.uniform(1.0, 4.0), rng.uniform(0.0, 2.0), 0.08)
    if rng.random() < 0.18:
        weekdays = every_day if rng.random() < 0.6 else (int(rng.integers(7)),)
        minute, length = int(rng.integers(20 * 60, 29 * 60)) % 1440, int(rng.integers(10, 60))
        yield Repeated("backup", minute, weekdays, length, cpu * rng.uniform(0.1, 0.6), rng.uniform(3.0, 12.0))
