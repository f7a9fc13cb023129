"""Incidents of a fleet, by kind: how long each lasts, what it happens to, and what it does to the series of those."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field

import numpy as np

from aiops_assets.synthetic.anomalies import ANOMALIES, BACK_OFF_MINUTES, RAMP_PER_MINUTE, Anomaly
from aiops_assets.synthetic.lives import Change, Episode, Minutes, Node, Pod, Workload
from aiops_assets.synthetic.profiles import throttled
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

DISK_PER_MINUTE = 0.0025
"""Share of a node's disk that is written each minute: from half full to full takes more than three hours."""
BUILD_UP_MINUTES, FALL_MINUTES, PEAK_SHARES, PEAK_NOISE = 60, 2, (0.85, 0.95), 0.02
"""A spike of CPU as the ML setup guide describes it: an hour's climb, 10 to 15 minutes at 85 to 95 %, a fall in two.

Of a pod these are shares of its CPU limit. A sudden spike of .9 cores, as it is injected into training rows
(:mod:`aiops_assets.synthetic.anomalies`), is no incident of a fleet: some workloads have short jobs of that size and
length several times a day, it would be above the limit of small pods, and nobody would want to be called for it.
"""


@dataclass(frozen=True)
class Injected:
    """A change: an anomaly as it is injected into training rows, in the metrics of a pod."""

    anomaly: Anomaly
    begin: int
    end: int

    def __call__(self, rng: np.random.Generator, minutes: Minutes) -> None:
        """Replace the minutes by anomalous ones."""
        for metric, shape in self.anomaly.shapes.items():
            if metric not in minutes.values:
                continue
            there = minutes.between(metric, self.begin, self.end)
            anomalous = shape(rng, there)
            if metric in self.anomaly.lasting:
                minutes.values[metric][self.end - minutes.begin :] += anomalous[-1] - there[-1]
            there[:] = anomalous


@dataclass(frozen=True)
class CpuSpike:
    """A change: CPU climbs for an hour to most of what the pod may use, stays there, and falls within two minutes.

    Attributes:
        begin, end: minutes of the peak.
        capacity: cores that the pod may use. share: of them that are used at the peak.
    """

    begin: int
    end: int
    capacity: float
    share: float

    def __call__(self, rng: np.random.Generator, minutes: Minutes) -> None:
        """Raise CPU, and stop the pod in some periods as its limit does."""
        edges = [self.begin - BUILD_UP_MINUTES, self.begin, self.end, self.end + FALL_MINUTES]
        first, last = max(edges[0], minutes.begin), edges[-1]
        cpu = minutes.between(POD_CPU.name, first, last)
        climbed = np.interp(np.arange(first, first + len(cpu)), edges, [0.0, 1.0, 1.0, 0.0])
        peak = self.capacity * self.share * (1 + PEAK_NOISE * rng.standard_normal(len(cpu)))
        cpu += climbed * np.maximum(np.minimum(peak, self.capacity) - cpu, 0.0)
        minutes.between(THROTTLING.name, first, last)[:] = throttled(rng, cpu, self.capacity)


@dataclass(frozen=True)
class CrashLoop:
    """A change: a restart each five minutes. A container that ends at once uses next to nothing in between."""

    begin: int
    end: int
    at_once: bool

    def __call__(self, rng: np.random.Generator, minutes: Minutes) -> None:
        """Count the restarts, and take CPU, memory and traffic away where it ends at once."""
        counter = minutes.values[RESTARTS.name]
        for at in range(self.begin, self.end, BACK_OFF_MINUTES):
            counter[at - minutes.begin :] += 1
        if self.at_once:
            since = np.arange(self.end - self.begin) % BACK_OFF_MINUTES
            minutes.between(POD_CPU.name, self.begin, self.end)[:] *= np.where(since == 0, 1.0, 0.02)
            minutes.between(POD_MEMORY.name, self.begin, self.end)[:] *= np.where(since == 0, 0.4, 0.05)
            minutes.between(NETWORK_RECEIVE.name, self.begin, self.end)[:] *= 0.05


@dataclass(frozen=True)
class Throttled:
    """A change: the pod wants more CPU than its limit, and is stopped in most periods."""

    begin: int
    end: int
    limit: float

    def __call__(self, rng: np.random.Generator, minutes: Minutes) -> None:
        """Hold the CPU at the limit."""
        n = self.end - self.begin
        cpu = self.limit * (1 - 0.02 * rng.random(n))
        minutes.between(POD_CPU.name, self.begin, self.end)[:] = cpu
        minutes.between(THROTTLING.name, self.begin, self.end)[:] = np.clip(rng.normal(0.75, 0.06, n), 0.0, 1.0)


@dataclass(frozen=True)
class Added:
    """A change: so much more of a metric, with noise of some per cent."""

    metric: str
    begin: int
    end: int
    amount: float

    def __call__(self, rng: np.random.Generator, minutes: Minutes) -> None:
        """Add the amount."""
        there = minutes.between(self.metric, self.begin, self.end)
        there += self.amount * (1 + 0.05 * rng.standard_normal(len(there)))


@dataclass(frozen=True)
class Starved:
    """A change: a share of CPU and traffic is left."""

    begin: int
    end: int
    left: float

    def __call__(self, rng: np.random.Generator, minutes: Minutes) -> None:
        """Leave the share."""
        for metric in (POD_CPU.name, NETWORK_RECEIVE.name):
            minutes.between(metric, self.begin, self.end)[:] *= self.left


@dataclass(frozen=True)
class Ramp:
    """A change: a ratio grows from where it is by so much a minute, up to a value, and stays there until the end."""

    metric: str
    begin: int
    end: int
    a_minute: float
    to: float

    def __call__(self, rng: np.random.Generator, minutes: Minutes) -> None:
        """Let it grow."""
        there = minutes.between(self.metric, self.begin, self.end)
        there += np.minimum(self.a_minute * np.arange(1, len(there) + 1), max(self.to - float(there[0]), 0.0))


@dataclass
class Place:
    """Where an incident may happen: the pods and nodes of a fleet, and which pods are on which node."""

    nodes: list[Node]
    owners: dict[str, Workload]
    pods: dict[str, Pod]
    taken: dict[str, list[tuple[int, int]]] = field(default_factory=dict)

    def on_node(self, node: int, begin: int, end: int) -> list[Pod]:
        """Pods that are on a node throughout [begin, end)."""
        return [pod for pod in self.pods.values() if pod.node == node and pod.lives(begin, end)]

    def free(self, name: str, begin: int, end: int) -> bool:
        """Whether no other incident takes the pod or node in [begin, end)."""
        return not any(b < end and begin < e for b, e in self.taken.get(name, []))


class Incident(ABC):
    """A kind of incident. It strikes a pod or a node."""

    on_nodes = False

    def __init__(self, kind: str, minutes: tuple[int, int]) -> None:
        """Name it, and say how many minutes it lasts (least, most)."""
        self.kind = kind
        self.minutes = minutes

    def possible(self, place: Place, subject: str, begin: int, end: int) -> bool:
        """Whether the subject shows the incident in [begin, end)."""
        return place.pods[subject].lives(begin, end)

    @abstractmethod
    def strike(self, rng: np.random.Generator, place: Place, subject: str, begin: int, end: int) -> Episode:
        """Change the plan, and report what was changed."""

    def _episode(self, subject: str, begin: int, end: int, pods: tuple[str, ...]) -> Episode:
        return Episode(self.kind, subject, begin, end, harmless=False, pods=pods)


class PodIncident(Incident):
    """Changes one pod."""

    def strike(self, rng: np.random.Generator, place: Place, subject: str, begin: int, end: int) -> Episode:
        """Change the pod."""
        place.pods[subject].changes.append(self.change(rng, place.owners[subject], begin, end))
        return self._episode(subject, begin, end, (subject,))

    @abstractmethod
    def change(self, rng: np.random.Generator, workload: Workload, begin: int, end: int) -> Change:
        """What it does to the pod."""


class InjectedIncident(PodIncident):
    """One of the anomalies that are injected into training rows."""

    def __init__(self, anomaly: Anomaly) -> None:
        """Take kind and duration from the anomaly."""
        super().__init__(anomaly.kind, anomaly.minutes)
        self._anomaly = anomaly

    def possible(self, place: Place, subject: str, begin: int, end: int) -> bool:
        """Leaks need a memory limit."""
        needs_limit = POD_MEMORY.name in self._anomaly.shapes
        limited = not needs_limit or np.isfinite(place.owners[subject].profile.memory)
        return bool(super().possible(place, subject, begin, end) and limited)

    def change(self, rng: np.random.Generator, workload: Workload, begin: int, end: int) -> Change:
        """Inject the anomaly."""
        return Injected(self._anomaly, begin, end)


class CpuSpikeIncident(PodIncident):
    """CPU of a pod climbs for an hour to 85 to 95 % of its limit. The incident begins where the climb ends."""

    def change(self, rng: np.random.Generator, workload: Workload, begin: int, end: int) -> Change:
        """Raise the CPU of the pod."""
        return CpuSpike(begin, end, workload.profile.capacity, float(rng.uniform(*PEAK_SHARES)))


class CrashLoopIncident(PodIncident):
    """A container ends again and again, at the cap of the back-off."""

    def change(self, rng: np.random.Generator, workload: Workload, begin: int, end: int) -> Change:
        """Half of them end at once, half after minutes."""
        return CrashLoop(begin, end, at_once=bool(rng.random() < 0.5))


class ThrottlingIncident(PodIncident):
    """A pod is held at its CPU limit."""

    def possible(self, place: Place, subject: str, begin: int, end: int) -> bool:
        """There must be a limit."""
        limited = np.isfinite(place.owners[subject].profile.cpu_limit)
        return bool(super().possible(place, subject, begin, end) and limited)

    def change(self, rng: np.random.Generator, workload: Workload, begin: int, end: int) -> Change:
        """Hold the pod at the limit of its workload."""
        return Throttled(begin, end, workload.profile.cpu_limit)


class NodeIncident(Incident):
    """Changes one node."""

    on_nodes = True

    def possible(self, place: Place, subject: str, begin: int, end: int) -> bool:
        """The node must be there."""
        return not any(b < end and begin < e for b, e in _node(place, subject).drained)


class NodeMemoryRamp(NodeIncident):
    """Memory of one node goes up to .86 or more at a steady rate, stays for some time, and is freed."""

    def strike(self, rng: np.random.Generator, place: Place, subject: str, begin: int, end: int) -> Episode:
        """Let the memory of the node grow."""
        ramp = Ramp(NODE_MEMORY.name, begin, end, RAMP_PER_MINUTE, float(rng.uniform(0.88, 0.96)))
        _node(place, subject).changes.append(ramp)
        return self._episode(subject, begin, end, ())


class DiskFills(NodeIncident):
    """The disk of one node fills within hours, until somebody cleans up."""

    def strike(self, rng: np.random.Generator, place: Place, subject: str, begin: int, end: int) -> Episode:
        """Let the disk of the node fill."""
        ramp = Ramp(EACH_NODE_DISK.name, begin, end, DISK_PER_MINUTE, float(rng.uniform(0.95, 0.99)))
        _node(place, subject).changes.append(ramp)
        return self._episode(subject, begin, end, ())


class NoisyNeighbour(Incident):
    """A pod takes the CPU of its node, and the others there get less. The subject is the pod."""

    def strike(self, rng: np.random.Generator, place: Place, subject: str, begin: int, end: int) -> Episode:
        """Change the pod, its node, and the other pods there."""
        culprit = place.pods[subject]
        culprit.changes.append(Added(POD_CPU.name, begin, end, float(rng.uniform(2.0, 6.0))))
        node = place.nodes[culprit.node]
        node.changes.append(Ramp(EACH_NODE_CPU.name, begin, end, 0.3, float(rng.uniform(0.93, 0.98))))
        victims = [pod for pod in place.on_node(culprit.node, begin, end) if pod is not culprit]
        for pod in victims:
            pod.changes.append(Starved(begin, end, float(rng.uniform(0.4, 0.8))))
        return self._episode(subject, begin, end, (subject, *(pod.name for pod in victims)))


def _node(place: Place, name: str) -> Node:
    return next(node for node in place.nodes if node.name == name)


INCIDENTS: dict[str, Incident] = {
    incident.kind: incident
    for incident in (
        *(InjectedIncident(ANOMALIES[kind]) for kind in ("memory_leak", "restart_storm", "network_burst")),
        CpuSpikeIncident("cpu_spike", (10, 15)),
        CrashLoopIncident("crash_loop", (120, 121)),
        NodeMemoryRamp("node_memory_ramp", (70, 110)),
        NoisyNeighbour("noisy_neighbour", (20, 60)),
        ThrottlingIncident("throttling", (30, 120)),
        DiskFills("disk_fills", (300, 360)),
    )
}
