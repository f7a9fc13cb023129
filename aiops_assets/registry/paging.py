"""Whom to call: pages of pods and of nodes, by one budget of the whole cluster.

The decision goes on from the state of the run before. Without one, levels are learnt from the days of the window. Only
rows that are new are judged, so a state that is lost costs time, and what levels knew of pods that are gone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pandas as pd

from aiops_assets.datasets.newest import NewestWindow
from aiops_assets.datasets.workloads import name_of_workload
from aiops_assets.errors import ModelError
from aiops_assets.learners.fleet.pager import Pager
from aiops_assets.learners.fleet.signals import NODE_SIGNALS, POD_SIGNALS, Signal
from aiops_assets.storage.page_state import PageState, PageStates
from aiops_assets.storage.scores import PAGE_COLUMNS, no_rows
from aiops_assets.timeseries.history import STEP_SECONDS
from aiops_assets.timeseries.pod_identity import split_pod
from aiops_assets.views.pod_history import Column

HOUR_SECONDS = 3600
SHOWN_MINUTES = 10
AT_ONCE = 24
"""So many rows of each entity are copied at a time: of thousands of entities that is some 10 MB."""
LATE_SECONDS = 1800
"""Rows of so long before the newest judged instant are read again, since some samples arrive late."""


@dataclass(frozen=True)
class Entities:
    """Rows of the entities of one kind, every five minutes.

    Attributes:
        kind: "pods" or "nodes".
        names: n entities.
        groups: (n,) the group that each is measured by: the workload of a pod, a node itself.
        signals: what is judged.
        times: (n_rows,) instants.
        values: signal -> (n, n_rows), NaN where nothing is known; a stretch of time is read when it is asked for.
    """

    kind: str
    names: Sequence[str]
    groups: Sequence[str]
    signals: Sequence[Signal]
    times: pd.DatetimeIndex
    values: Mapping[str, Column]


@dataclass(frozen=True)
class Paged:
    """The pages of the newest hour, with the columns PAGE_COLUMNS; ``until``: the newest judged instant."""

    rows: pd.DataFrame
    until: datetime | None


NOBODY_PAGED = Paged(no_rows(PAGE_COLUMNS), None)


@dataclass(frozen=True)
class Paging:
    """The decision on the newest rows of all pods and nodes.

    Attributes:
        states: what the runs before have kept; ``None``: nothing, and nothing is kept.
        alerts_per_day: pages that the whole cluster may raise by chance.
        run_minutes: time between two runs.
    """

    states: PageStates | None = None
    alerts_per_day: float = 1.0
    run_minutes: int = 5

    @property
    def shown_minutes(self) -> int:
        """The newest part of a run whose alerts are shown: a run that fails hides none of them."""
        return max(SHOWN_MINUTES, 2 * self.run_minutes)

    def pages(self, window: NewestWindow) -> Paged:
        """Judge what is new in a window.

        Raises:
            StoreError: a state cannot be written.
        """
        found = [one for one in (_pods(window), _nodes(window)) if one]
        groups = sum(len(set(one.groups)) for one in found)
        pages, ends = [], []
        for entities in found:
            budget = self.alerts_per_day * len(set(entities.groups)) / groups
            state = _judged(entities, self.states, budget)
            ends.append(state.until)
            pages += [_row(entities.kind, *one) for one in state.pages]
        if not ends:
            return NOBODY_PAGED
        rows = pd.DataFrame(pages, columns=list(PAGE_COLUMNS)) if pages else no_rows(PAGE_COLUMNS)
        rows["timestamp"] = pd.to_datetime(rows["timestamp"], unit="s", utc=True).dt.as_unit("us")
        return Paged(rows, pd.Timestamp(max(ends), unit="s", tz="UTC").to_pydatetime())


def _judged(entities: Entities, states: PageStates | None, budget: float) -> PageState:
    """The state after judging these entities, going on from the stored one if that can be used."""
    seconds = entities.times.as_unit("s").asi8
    until = int(seconds[-1])
    before = states.read(entities.kind) if states else None
    if before and before.until > until:
        before = None  # made while the clock was wrong: what it has judged would hide all that is new
    pager = Pager(entities.signals, budget, STEP_SECONDS)
    try:
        pager = pager.restore(before.pager) if before else pager
    except ModelError:
        before, pager = None, Pager(entities.signals, budget, STEP_SECONDS)
    first = int(np.searchsorted(seconds, before.until - LATE_SECONDS)) if before else 0
    pages = [one for one in before.pages if one[0] > until - HOUR_SECONDS] if before else []
    for begin in range(first, len(seconds), AT_ONCE):
        rows = _rows(entities, slice(begin, begin + AT_ONCE))
        decided = pager.pages(rows)
        new = rows[decided.page].assign(metric=decided.signal[decided.page])
        at = new["timestamp"].astype("int64").to_numpy() // 1_000_000
        columns = (new[name].tolist() for name in ("entity", "workload", "metric"))
        pages += [one for one in zip(at.tolist(), *columns, strict=True) if one[0] > until - HOUR_SECONDS]
    state = PageState(until, pager.to_bytes(), tuple(sorted(set(pages))))
    if states:
        states.write(entities.kind, state)
    return state


def _rows(entities: Entities, at: slice) -> pd.DataFrame:
    """Known rows of all entities, in order of time, as a pager reads them."""
    values = np.stack([entities.values[one.name][:, at] for one in entities.signals], axis=2)
    steps, which = np.nonzero(np.isfinite(values).any(axis=2).T)
    frame = pd.DataFrame(values[which, steps], columns=[one.name for one in entities.signals])
    names, groups = (np.array(list(texts), dtype=object)[which] for texts in (entities.names, entities.groups))
    return frame.assign(timestamp=entities.times[at].as_unit("us")[steps], entity=names, workload=groups)


def _row(kind: str, at: int, entity: str, group: str, metric: str) -> tuple[int, str, str, str, str, str]:
    """A row of PAGE_COLUMNS."""
    if kind == "nodes":
        return at, "", "", "", entity, metric
    namespace, pod = split_pod(entity)
    return at, namespace, pod, group.rpartition("/")[2], "", metric


def _pods(window: NewestWindow) -> Entities | None:
    if window.pods is None:
        return None
    history = window.pods
    groups = []
    for pod in history.pods:
        namespace, _ = split_pod(pod)
        groups.append(f"{namespace}/{name_of_workload(pod, window.workloads.get(pod, ''))}")
    values = {one.name: history.column(one.name) for one in POD_SIGNALS}
    return Entities("pods", history.pods, groups, POD_SIGNALS, history.times, values)


def _nodes(window: NewestWindow) -> Entities | None:
    if window.nodes is None:
        return None
    nodes = window.nodes
    return Entities("nodes", nodes.names, nodes.names, NODE_SIGNALS, nodes.times, dict(nodes.values))
