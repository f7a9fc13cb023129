"""Harmless changes of generated pods that live throughout, as a pod of a StatefulSet does: written into their series.

They are those of a :mod:`fleet <aiops_assets.synthetic.fleet>`, as far as one pod shows them: roll-outs and single
restarts with what a container does when it starts, more replicas and fewer, weekends, work at fixed hours, blips.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from aiops_assets.synthetic.harmless import blip, habits_of
from aiops_assets.synthetic.lives import Change, Grid, Minutes, Pod, StatefulWorkload
from aiops_assets.synthetic.profiles import Profile, draw_family
from aiops_assets.synthetic.seasons import weekend_share
from aiops_assets.timeseries.catalog import NETWORK_RECEIVE, NODE_CPU, NODE_MEMORY, POD_CPU, POD_MEMORY, RESTARTS
from aiops_assets.timeseries.series import Floats

ROLL_OUTS_A_DAY = 0.1
BLIPS_A_DAY = 0.1
SCALED_SHARE, SCALED_A_DAY = 0.3, 0.2
"""Share of pods whose workload is scaled, and how often."""
NIGHTLY_NODE_SHARE = 0.2
"""Share of pods on whose node something runs each night."""
REBOOTS_A_DAY = 1 / 30


@dataclass(frozen=True)
class Start:
    """A change: a container starts. It takes more CPU for minutes, and less memory for longer.

    Attributes:
        minute: of the grid.
        share: of the pod that starts anew: a pod has sidecars, and only one of its containers may have ended.
        level: memory from then on, as a factor of that before.
    """

    profile: Profile
    minute: int
    share: float
    level: float = 1.0

    def __call__(self, rng: np.random.Generator, minutes: Minutes) -> None:
        """Add the CPU, and let memory come back."""
        curve = self.share * self.profile.start_curve(rng)
        cpu = minutes.between(POD_CPU.name, self.minute, self.minute + len(curve))
        cpu += curve[: len(cpu)]
        memory = minutes.values[POD_MEMORY.name][self.minute - minutes.begin :]
        age, low = np.arange(len(memory)), rng.uniform(0.35, 0.65)
        memory *= self.level * (1.0 - self.share * (1.0 - low) * np.exp(-age / self.profile.warm))


@dataclass(frozen=True)
class Scaled:
    """A change: load rises until pods are added, and is divided among more of them until they go again.

    Attributes:
        begin, end: minutes of the grid at which demand rises, and is back.
        reaction: minutes until pods are added, and after the end until they go.
        surge: demand, as a factor; replicas: number of pods, as a factor.
    """

    begin: int
    end: int
    reaction: int
    surge: float
    replicas: float

    def __call__(self, rng: np.random.Generator, minutes: Minutes) -> None:
        """Multiply CPU and traffic."""
        last = self.end + self.reaction
        at = np.arange(self.begin, last)
        ramp = self.reaction + 2
        demand = np.interp(
            at, [self.begin, self.begin + ramp, self.end - ramp, self.end], [1, self.surge, self.surge, 1]
        )
        load = demand / np.where(at >= self.begin + self.reaction, self.replicas, 1.0)
        for metric in (POD_CPU.name, NETWORK_RECEIVE.name):
            there = minutes.between(metric, self.begin, last)
            there *= load[: len(there)]


@dataclass(frozen=True)
class Reboot:
    """A change: the pod is moved to a node that has just started, and fills within an hour or two."""

    minute: int
    hours: float

    def __call__(self, rng: np.random.Generator, minutes: Minutes) -> None:
        """Take a share away that comes back."""
        for metric in (NODE_CPU.name, NODE_MEMORY.name):
            there = minutes.values[metric][self.minute - minutes.begin :]
            there *= 1.0 - 0.5 * np.exp(-np.arange(len(there)) / 60 / self.hours)


def change_pod(rng: np.random.Generator, values: dict[str, Floats], grid: Grid) -> None:
    """Write the harmless changes of one pod into its series.

    Args:
        rng: draws what happens, and what it looks like.
        values: metric -> (n_minutes,) of the pod and its surroundings; changed in place, and not rounded.
        grid: the minutes.
    """
    minutes = Minutes(0, values)
    busy = float(np.median(values[POD_CPU.name]))
    profile = replace(draw_family(rng).draw(rng), busy=busy, idle=0.0)
    if rng.random() < 0.5:
        quieter = weekend_share(grid.week, profile.weekend)
        values[POD_CPU.name] *= quieter
        values[NETWORK_RECEIVE.name] *= quieter
    workload = StatefulWorkload("", 0, profile, replicas=1, n_nodes=1, until=grid.n)
    pod = workload.add(rng, 0)
    for habit in habits_of(rng, workload):
        for _ in habit.begin(rng, workload, grid):
            pass  # the work is written into the workload; nobody asks for the episodes
    for at in _times(rng, BLIPS_A_DAY, grid):
        blip(rng, workload, pod, at)
    for change in (*workload.changes, *_happenings(rng, pod, profile, values[RESTARTS.name], grid)):
        change(rng, minutes)
    if rng.random() < NIGHTLY_NODE_SHARE:
        _nightly(rng, values[NODE_CPU.name], grid)


def _happenings(rng: np.random.Generator, pod: Pod, profile: Profile, restarts: Floats, grid: Grid) -> Iterator[Change]:
    """What comes to the pod at any time."""
    for at in (np.flatnonzero(np.diff(restarts) > 0) + 1).tolist():
        yield Start(profile, at, float(rng.uniform(0.1, 0.5)))
    level = 1.0
    for at in _times(rng, ROLL_OUTS_A_DAY, grid):
        new = float(np.clip(level * np.exp(rng.normal(0.0, 0.06)), 0.8, 1.2))
        yield Start(profile, at, 1.0, new / level)
        level = new
    if rng.random() < SCALED_SHARE:
        for at in _times(rng, SCALED_A_DAY, grid):
            share = float(rng.uniform(0.5, 1.0))
            surge = 1 + share * float(rng.uniform(0.7, 1.1))
            yield Scaled(at, at + int(rng.integers(60, 300)), int(rng.integers(6, 16)), surge, 1 + share)
    for at in _times(rng, REBOOTS_A_DAY, grid):
        yield Reboot(at, float(rng.uniform(0.1, 0.5)))
    yield from pod.changes


def _nightly(rng: np.random.Generator, node_cpu: Floats, grid: Grid) -> None:
    """Something runs each night on the node."""
    more, length = float(rng.uniform(0.03, 0.1)), int(rng.integers(15, 60))
    for at in grid.each(int(rng.integers(0, 5 * 60))):
        begin = at + round(abs(rng.normal(0.0, 3.0)))
        node_cpu[begin : begin + length] += more


def _times(rng: np.random.Generator, a_day: float, grid: Grid) -> list[int]:
    """Minutes of a Poisson process, in order."""
    return sorted(rng.integers(1, grid.n, int(rng.poisson(a_day * grid.n / 1440))).tolist())
