"""Which pods live."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import numpy.typing as npt
import pandas as pd

from aiops_assets.datasets.window import Window, uniform
from aiops_assets.storage.lake import Lake
from aiops_assets.timeseries.catalog import POD_CPU, POD_MEMORY, MetricSpec
from aiops_assets.views.pod_history import NEWEST

GRACE = timedelta(minutes=15)
"""A pod that is younger may lack what others have: it is not counted as unwatched."""


@dataclass(frozen=True)
class Living:
    """Pods of the newest hour.

    Attributes:
        pods: those with CPU time, in order of name.
        without_cpu: those that have memory and no CPU time, for longer than :data:`GRACE`.
        until: the newest minute with CPU time of any pod.
    """

    pods: tuple[str, ...]
    without_cpu: frozenset[str]
    until: pd.Timestamp

    def at_most(self, most: int, seed: int) -> tuple[str, ...]:
        """At most so many of the pods, in order of name; a new pod does not reshuffle the others."""
        if len(self.pods) <= most:
            return self.pods
        return tuple(sorted(sorted(self.pods, key=lambda pod: (uniform(f"{seed} {pod}"), pod))[:most]))


def living_pods(lake: Lake, window: Window, now: datetime) -> Living:
    """Pods with samples within the newest hour in which any pod has CPU time."""
    cpu = _newest_hour(lake, window, POD_CPU, pd.Timestamp(now))
    if not cpu.pods:
        return Living((), frozenset(), pd.Timestamp(now))
    until = pd.Timestamp(cpu.times[-1])
    with_cpu = cpu.present(np.ones(len(cpu.times), dtype=bool))
    memory = _newest_hour(lake, window, POD_MEMORY, until)
    late = np.asarray(memory.times > until - GRACE)
    has_memory = memory.present(~late) & memory.present(late)
    return Living(tuple(sorted(with_cpu)), frozenset(has_memory - with_cpu), until)


def _newest_hour(lake: Lake, window: Window, metric: MetricSpec, now: pd.Timestamp) -> "_Hour":
    """Which samples there are in the newest stored day's last hour before ``now``."""
    asked = window.asked[metric.name]
    names: list[str] = []
    there = [np.zeros((0, 0), dtype=bool)]
    times = pd.DatetimeIndex([], tz="UTC")
    if asked:
        last = max(asked)
        for block in lake.read_blocks(asked[last], last, lambda _: True):
            names += block.names
            there.append(~np.isnan(block.values))
            times = pd.DatetimeIndex(block.instants.view("M8[us]"), tz="UTC")
    found = np.concatenate(there[1:] or there)
    covered = np.flatnonzero(found.any(axis=0) & np.asarray(times <= now))
    if not len(covered):
        return _Hour((), times[:0], found[:0, :0])
    end = int(covered[-1]) + 1
    begin = int(times.searchsorted(times[end - 1] - NEWEST, side="right"))
    spec = asked[last]
    pods = tuple(window.pod(metric, spec, name) for name in names)
    return _Hour(pods, times[begin:end], found[:, begin:end])


@dataclass(frozen=True)
class _Hour:
    """Pods of series, instants up to the newest with a sample, and (n_series, n_instants) where samples are."""

    pods: tuple[str, ...]
    times: pd.DatetimeIndex
    there: npt.NDArray[np.bool_]

    def present(self, at: npt.NDArray[np.bool_]) -> set[str]:
        """Pods with a sample at some of the instants; those of a former query are of no known namespace."""
        lives = np.asarray(self.there[:, at].any(axis=1))
        return {pod for pod, one in zip(self.pods, lives, strict=True) if one} - {""}
