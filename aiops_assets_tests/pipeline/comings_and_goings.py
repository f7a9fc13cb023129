"""Pods that end as they should, as exporters show them: of Jobs, roll-outs and scale-downs. And one that is missed."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from aiops_assets_tests.prometheus_server import CADVISOR, KUBE_STATE, Scraped, Target

JOBS, ROLL_OUTS, SCALE_DOWNS = 20, 10, 10
LIVED = JOBS + 3 * ROLL_OUTS + 3 * SCALE_DOWNS + 2
"""Pods that live, or lived in the newest hour."""
YOUNG = 3
"""Pods that may have begun too late to have any: rates take five minutes."""
MISSED = "lost-1"
"""This one ends, and its Deployment wants two."""
BEGIN, FOREVER = 120, -60
"""Minutes ago."""


@dataclass(frozen=True)
class Pod:
    """A pod of a workload; ``begin`` and ``end`` are minutes ago."""

    name: str
    kind: str
    workload: str
    begin: int
    end: int
    lingers: int = 0
    """Minutes for which it exists after its end, as a finished Job does."""


def comings_and_goings(times: pd.DatetimeIndex, now: float, missed_minutes: int) -> Iterator[Scraped]:
    """The samples of all at these full minutes: the n-th of a kind ends n (Jobs) or 2n minutes before ``now``."""
    for i in range(1, JOBS + 1):
        pod = Pod(f"report-{i}", "Job", f"report-{i}", BEGIN, i, lingers=i if i % 2 else 0)
        yield from _pod(times, now, pod)
    for i in range(1, ROLL_OUTS + 1):
        name, moved = f"rolled-{i}", 2 * i
        yield from _deployment(times, now, name, [(BEGIN, 2)])
        yield from _pod(times, now, Pod(f"{name}-a", "ReplicaSet", name, BEGIN, FOREVER))
        yield from _pod(times, now, Pod(f"{name}-b", "ReplicaSet", name, BEGIN, moved))
        yield from _pod(times, now, Pod(f"{name}-c", "ReplicaSet", name, moved + 1, FOREVER))
    for i in range(1, SCALE_DOWNS + 1):
        name, moved = f"shrunk-{i}", 2 * i
        yield from _deployment(times, now, name, [(BEGIN, 3), (moved, 2)])
        for j, end in enumerate((FOREVER, FOREVER, moved)):
            yield from _pod(times, now, Pod(f"{name}-{j}", "ReplicaSet", name, BEGIN, end))
    yield from _deployment(times, now, "lost", [(BEGIN, 2)])
    yield from _pod(times, now, Pod("lost-0", "ReplicaSet", "lost", BEGIN, FOREVER))
    yield from _pod(times, now, Pod(MISSED, "ReplicaSet", "lost", BEGIN, missed_minutes))


def _pod(times: pd.DatetimeIndex, now: float, pod: Pod) -> Iterator[Scraped]:
    of = {"namespace": "demo", "pod": pod.name}
    ones = np.ones(len(times))
    usage = Target(times, CADVISOR).counts("container_cpu_usage_seconds_total", 0.1 * ones, container="app", **of)
    yield _during(usage, now, pod.begin, pod.end)
    state = Target(times, KUBE_STATE)
    owner = {"owner_kind": pod.kind, "owner_name": pod.workload, "owner_is_controller": "true"}
    running = state.shows("kube_pod_status_phase", ones, phase="Running", **of)
    running = replace(running, values=(running.seconds <= now - 60 * pod.end).astype(float))
    for samples in (
        state.shows("kube_pod_owner", ones, **of, **owner),
        state.shows("kube_pod_start_time", ones * (now - 60 * pod.begin), **of),
        running,
    ):
        yield _during(samples, now, pod.begin, pod.end - pod.lingers)


def _deployment(times: pd.DatetimeIndex, now: float, name: str, wants: list[tuple[int, int]]) -> Iterator[Scraped]:
    """A Deployment that from so many minutes ago on wants so many pods, and its ReplicaSet of the same name."""
    state = Target(times, KUBE_STATE)
    owner = {"owner_kind": "Deployment", "owner_name": name, "owner_is_controller": "true"}
    owned = state.shows("kube_replicaset_owner", np.ones(len(times)), namespace="demo", replicaset=name, **owner)
    yield _during(owned, now, BEGIN, FOREVER)
    wanted = state.shows("kube_deployment_spec_replicas", np.ones(len(times)), namespace="demo", deployment=name)
    values = wanted.values
    for since, n in wants:
        values = np.where(wanted.seconds > now - 60 * since, n, values)
    yield _during(replace(wanted, values=values), now, BEGIN, FOREVER)


def _during(samples: Scraped, now: float, begin: int, end: int) -> Scraped:
    kept = (samples.seconds > now - 60 * begin) & (samples.seconds <= now - 60 * end)
    return replace(samples, seconds=samples.seconds[kept], values=samples.values[kept])
