"""What a pager is asked with and what it answers."""

from dataclasses import dataclass

import numpy as np

from aiops_assets.learners.contracts import Flags


@dataclass(frozen=True)
class Signal:
    """A column of the rows.

    Attributes:
        name: of the column.
        worse: 1: larger is worse, -1: smaller is, 0: both are.
        counter: it counts up; its increase from row to row is what is judged.
        least: a deviation below this share of the usual level is no matter for a person.
        rise: judge also how far it is above its own mean of two hours, from this share of the usual level on. For
            what moves slowly, where larger is worse.
        lasts: judge also how high it is at least for half an hour, where larger is worse: a short job ends before.
        shared: so many times the usual level count as load where half of the group's entities have as much.
    """

    name: str
    worse: int = 1
    counter: bool = False
    least: float = 0.25
    rise: float | None = None
    lasts: bool = False
    shared: float = 0.0


@dataclass(frozen=True)
class Pages:
    """The decision on n rows.

    Attributes:
        page: (n_rows,) whether a person is called for the row's entity.
        signal: (n_rows,) the signal that is farthest above its level; empty without a page.
    """

    page: Flags
    signal: "np.ndarray[tuple[int], np.dtype[np.object_]]"


POD_SIGNALS = (
    Signal("pod_cpu_usage", least=1.0, lasts=True, shared=2.0),
    Signal("pod_memory_usage", least=0.1, rise=0.05),
    Signal("container_restart_count", counter=True),
    Signal("pod_network_receive", least=2.0, shared=12.0),
)
"""Columns of a pod. CPU below twice the usual and traffic below three times it is work, not an incident."""
NODE_SIGNALS = (
    Signal("node_cpu_busy", least=0.5),
    Signal("node_memory_utilization", least=0.15, rise=0.05),
    Signal("node_disk_usage", least=0.1),
)
"""Columns of a node."""
