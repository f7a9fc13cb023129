"""What kinds of workload there are: their levels, how they follow demand, and how their pods start."""

from dataclasses import dataclass

import numpy as np

from aiops_assets.timeseries.series import Floats

Range = tuple[float, float]

PLAIN_START = np.array([0.9, 0.8, 0.55, 0.3, 0.22, 0.05])
JVM_START = np.array([1.0, 1.0, 0.6, 0.2, 0.06, 0.05])
"""CPU of the first minutes of a container above what it uses later, as a share of its most."""


@dataclass(frozen=True)
class Family:
    """Ranges from which a workload's profile is drawn.

    Attributes:
        busy: cores at a demand of 1. idle: cores without demand, as a share of them.
        noise: standard deviation of a minute; wander: of what lasts for hours (shares of the level).
        day: amplitude of the daily season; weekend: demand at weekends (shares of a working day's).
        memory: share of the limit; caches: how much of it follows demand; growth: a day's, both as shares of it.
        network: bytes/s at a demand of 1.
        start: cores of a starting container; warm: minutes after which two thirds of its memory are there.
        bursts: short jobs a day, of some minutes, that double the CPU or more.
        sawtooth: share of memory that a garbage collector frees at once.
        limited: probability of a memory limit, and of a CPU limit.
        scales: whether the number of pods changes. stateful: whether a pod that is replaced keeps its name.
        curve: CPU of a starting container, each minute, as a share of ``start``.
        ready: minutes (least, most) after which a new pod takes requests.
    """

    name: str
    busy: Range
    idle: Range = (0.03, 0.2)
    noise: Range = (0.02, 0.12)
    wander: Range = (0.02, 0.08)
    day: Range = (0.1, 0.45)
    weekend: Range = (0.4, 1.0)
    memory: Range = (0.25, 0.7)
    caches: Range = (0.0, 0.08)
    growth: Range = (0.0, 0.004)
    network: Range = (2e4, 1e6)
    start: Range = (0.3, 1.0)
    warm: Range = (5.0, 60.0)
    bursts: Range = (0.0, 0.0)
    sawtooth: Range = (0.0, 0.0)
    limited: float = 0.8
    scales: bool = True
    stateful: bool = False
    curve: tuple[float, ...] = tuple(PLAIN_START)
    ready: tuple[int, int] = (1, 3)

    def draw(self, rng: np.random.Generator) -> "Profile":
        """A workload of this family."""
        busy = _log_uniform(rng, self.busy)
        start = _log_uniform(rng, self.start)
        return Profile(
            family=self.name,
            busy=busy,
            idle=busy * rng.uniform(*self.idle),
            noise=_log_uniform(rng, self.noise),
            wander=_log_uniform(rng, self.wander),
            memory_hours=float(rng.uniform(0.5, 3.0)),
            day=float(rng.uniform(*self.day)),
            peak=int(rng.normal(14 * 60, 120)) % 1440,
            weekend=float(rng.uniform(*self.weekend)),
            memory=float(rng.uniform(*self.memory)) if rng.random() < self.limited else float("nan"),
            caches=float(rng.uniform(*self.caches)),
            growth=float(rng.uniform(*self.growth)),
            network=_log_uniform(rng, self.network),
            start=start,
            warm=_log_uniform(rng, self.warm),
            bursts=float(rng.uniform(*self.bursts)),
            sawtooth=float(rng.uniform(*self.sawtooth)),
            period=float(rng.uniform(30, 180)),
            cpu_limit=limit_of(busy, start) + 0.5 * float(rng.integers(0, 3))
            if rng.random() < self.limited
            else float("nan"),
            scales=self.scales,
            curve=self.curve,
            ready=self.ready,
        )


@dataclass(frozen=True)
class Profile:
    """A workload's levels; see :class:`Family`. A memory or CPU limit that is not set is NaN."""

    family: str
    busy: float
    idle: float
    noise: float
    wander: float
    memory_hours: float
    day: float
    peak: int
    weekend: float
    memory: float
    caches: float
    growth: float
    network: float
    start: float
    warm: float
    bursts: float
    sawtooth: float
    period: float
    cpu_limit: float
    scales: bool
    curve: tuple[float, ...]
    ready: tuple[int, int]

    @property
    def capacity(self) -> float:
        """Cores that a pod may use: its limit, or what the limit of such a workload is at least."""
        return self.cpu_limit if np.isfinite(self.cpu_limit) else limit_of(self.busy, self.start)

    def ready_minutes(self, rng: np.random.Generator) -> int:
        """Minutes until a new pod takes requests, drawn."""
        return int(rng.integers(self.ready[0], self.ready[1] + 1))

    def start_curve(self, rng: np.random.Generator) -> Floats:
        """(n,) cores of the first minutes of a container above what it uses later: sometimes faster, or slower."""
        curve = np.array([*self.curve, 0.0])
        stretch = float(np.exp(rng.normal(0.0, 0.35)))
        at = np.arange(0, len(curve) - 1, 1 / stretch)
        height = self.start * float(np.exp(rng.normal(0.0, 0.2)))
        return np.asarray(height * np.interp(at, np.arange(len(curve)), curve), dtype=np.float64)


def throttled(rng: np.random.Generator, cpu: Floats, limit: float) -> Floats:
    """(n,) share of periods in which the limit stopped the pod: little until most of the limit is used."""
    used = cpu / limit
    some = np.abs(rng.normal(0.0, 0.01, len(cpu))) * (used > 0.2)
    return np.clip((used - 0.6) * 1.8 + some, 0.0, 0.98) * (used > 0.05)


WEB = Family("web", busy=(0.04, 0.5), bursts=(0.0, 3.0))
WORKER = Family(
    "worker", busy=(0.08, 0.8), day=(0.0, 0.15), weekend=(0.7, 1.0), wander=(0.05, 0.15), bursts=(4.0, 30.0)
)
DATABASE = Family(
    "database",
    busy=(0.05, 0.4),
    memory=(0.5, 0.8),
    caches=(0.0, 0.02),
    growth=(0.0, 0.001),
    network=(1e5, 2e6),
    bursts=(0.0, 6.0),
    scales=False,
    stateful=True,
    ready=(2, 5),
)
QUIET = Family(
    "quiet",
    busy=(0.0005, 0.006),
    noise=(0.02, 0.3),
    day=(0.0, 0.05),
    weekend=(0.95, 1.0),
    memory=(0.05, 0.5),
    caches=(0.0, 0.002),
    growth=(0.0, 0.001),
    network=(50.0, 5e3),
    start=(0.02, 0.3),
    bursts=(0.0, 8.0),
    scales=False,
)
JVM = Family(
    "jvm",
    busy=(0.04, 0.5),
    memory=(0.45, 0.75),
    sawtooth=(0.03, 0.12),
    start=(0.5, 1.5),
    warm=(60.0, 480.0),
    curve=tuple(JVM_START),
    ready=(1, 5),
)
JOB = Family("job", busy=(0.3, 0.9), day=(0.0, 0.0), memory=(0.2, 0.6), start=(0.1, 0.4), network=(1e4, 1e6))

FAMILIES = ((WEB, 0.36), (WORKER, 0.16), (DATABASE, 0.12), (QUIET, 0.2), (JVM, 0.16))
"""Families of lasting workloads, and their shares."""


def limit_of(busy: float, start: float) -> float:
    """Cores, in halves, that are enough for twice the demand while a container starts."""
    return float(np.ceil(2 * (busy * 2.2 + start)) / 2)


def draw_family(rng: np.random.Generator) -> Family:
    """A family of a lasting workload, by its share."""
    return FAMILIES[int(rng.choice(len(FAMILIES), p=[share for _, share in FAMILIES]))][0]


def _log_uniform(rng: np.random.Generator, ends: Range) -> float:
    return float(np.exp(rng.uniform(*np.log(ends)))) if ends[1] > 0 else 0.0
