"""Nodes and pods that have stopped, apart from those that were meant to.

A pod that is gone says nothing by itself: Jobs finish, roll-outs replace and scale-downs remove pods. A pod is missed
when it is running, and has been for a while, but nothing is heard of it; or when it is gone, its workload has fewer
pods than it wants, and none of them is about to start.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from aiops_assets.timeseries.pod_identity import split_pod
from aiops_assets.timeseries.series import Floats

REPORTED_SECONDS = 6 * 3600
"""A node is reported for so long: it may have been removed for good."""
ENDING = ("Job", "CronJob")
"""Kinds of workloads whose pods end by themselves."""


@dataclass(frozen=True)
class Present:
    """What the cluster has at present, and what it wants.

    Attributes:
        lasting: pods that are running, and have been for some minutes.
        pods: each pod that exists -> ``kind/name`` of its workload.
        desired: ``namespace/kind/name`` of a workload -> how many pods it wants.
        heard: pods with a sample in one of the two newest scrapes.
        nodes: the same of nodes.
        series: metric of one's own -> its series (labels as JSON) with a value at the time of these scrapes; a metric
            that is not asked for, or that has no answer, is not in it.
    """

    lasting: frozenset[str] = frozenset()
    pods: Mapping[str, str] = field(default_factory=dict)
    desired: Mapping[str, float] = field(default_factory=dict)
    heard: frozenset[str] = frozenset()
    nodes: frozenset[str] = frozenset()
    series: Mapping[str, frozenset[str]] = field(default_factory=dict)


def last_known(values: Sequence[Floats], seconds: Floats) -> Floats:
    """(n,) the newest instant at which one of several (n, n_rows) metrics is known; ``-inf``: none."""
    known = np.logical_or.reduce([np.isfinite(one) for one in values])
    newest = np.where(known, seconds, -np.inf)
    return np.asarray(newest.max(axis=1, initial=-np.inf), dtype=np.float64)


def gone_nodes(last: Mapping[str, float], now: float, present: Present) -> list[str]:
    """Nodes that nothing is heard of, while others are, in order of name.

    Args:
        last: node -> its newest row, Unix seconds.
        now: the present time, Unix seconds.
        present: what is heard of.
    """
    if not present.nodes.intersection(last):  # the exporter, or the fetch, and not the nodes
        return []
    return sorted(node for node, at in last.items() if node not in present.nodes and at > now - REPORTED_SECONDS)


def missed_pods(known: Iterable[str], present: Present, workloads: Mapping[str, str]) -> list[str]:
    """Pods that have stopped and should not have, in order of name.

    Args:
        known: pods with rows.
        present: what the cluster has, and what is heard of.
        workloads: pod -> ``kind/name`` of its workload, also of pods that are gone.
    """
    pods = set(known)
    silent = pods - present.heard
    if not present.pods or len(silent) == len(pods):
        return []
    have = Counter(_key(pod, workload) for pod, workload in present.pods.items())
    starting = {_key(pod, workload) for pod, workload in present.pods.items() if pod not in present.lasting}
    missed = []
    for pod in sorted(silent):
        workload = present.pods.get(pod, workloads.get(pod, ""))
        if workload.partition("/")[0] in ENDING:
            continue
        key = _key(pod, workload)
        wanted = present.desired.get(key, 0)
        lacks = pod not in present.pods and wanted > have[key] and key not in starting
        if pod in present.lasting or lacks:
            missed.append(pod)
    return missed


def _key(pod: str, workload: str) -> str:
    return f"{split_pod(pod)[0]}/{workload}"
