"""What has stopped, as rows of a run: series of metrics that want it, nodes, and pods."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
import pandas as pd

from aiops_assets.datasets.newest import CACHED, NewestWindow
from aiops_assets.datasets.own_rows import Entity, entity_of
from aiops_assets.learners.silence.entities import Present, gone_nodes, last_known, missed_pods
from aiops_assets.learners.silence.stillness import Stillness
from aiops_assets.storage.metric_state import MetricState
from aiops_assets.storage.scores import SILENCE_COLUMNS, ScoresRun, no_rows
from aiops_assets.timeseries.catalog import POD_CPU
from aiops_assets.timeseries.pod_identity import split_pod
from aiops_assets.timeseries.series import DAY_SECONDS
from aiops_assets.timeseries.watch import OwnMetric

STOPPED, FROZEN, NODE_GONE, POD_VANISHED = "metric_stopped", "metric_frozen", "node_gone", "pod_vanished"
CRITICAL = "critical"


@dataclass(frozen=True)
class Watched:
    """A metric of one's own after a run: its series, what each is about, and its state."""

    own: OwnMetric
    entities: Sequence[Entity]
    state: MetricState


@dataclass(frozen=True)
class Silent:
    """One thing that has stopped: ``since`` is its last sign of life, Unix seconds."""

    reason: str
    metric: str
    entity: Entity
    since: float
    severity: str = CRITICAL


def with_silence(
    run: ScoresRun, window: NewestWindow, watched: Sequence[Watched], present: Present, now: datetime
) -> ScoresRun:
    """A run with the rows of what has stopped. Where the server could not be reached, nothing is known of that."""
    if window.source == CACHED or not (watched or window.pods):
        return run
    found = [*_nodes(window, present, now), *_pods(window, present)]
    for one in watched:
        if one.own.watch.silence:
            found += _series(one, present, now)
    rows = [
        (
            one.reason,
            one.metric,
            one.entity.name,
            json.dumps(one.entity.labels, sort_keys=True),
            one.since,
            one.severity,
        )
        for one in found
    ]
    frame = pd.DataFrame(rows, columns=list(SILENCE_COLUMNS[1:])) if rows else no_rows(SILENCE_COLUMNS[1:])
    frame["since"] = pd.to_datetime(frame["since"], unit="s", utc=True).dt.as_unit("us")
    frame.insert(0, "timestamp", pd.Timestamp(now).as_unit("us"))
    return replace(run, silence=frame, record=run.record.model_copy(update={"silence_until": now}))


def _nodes(window: NewestWindow, present: Present, now: datetime) -> Iterable[Silent]:
    if window.nodes is None:
        return
    seconds = window.nodes.times.as_unit("s").asi8.astype(np.float64)
    rows = last_known(list(window.nodes.values.values()), seconds)
    last = dict(zip(window.nodes.names, rows.tolist(), strict=True))
    for node in gone_nodes(last, now.timestamp(), present):
        yield Silent(NODE_GONE, "", Entity(node, {"node": node}), last[node])


def _pods(window: NewestWindow, present: Present) -> Iterable[Silent]:
    last = _last_of_pods(window)
    for pod in missed_pods(last, present, window.workloads):
        namespace, name = split_pod(pod)
        labels = {"namespace": namespace, "pod": name, "workload": window.workloads.get(pod, "").partition("/")[2]}
        yield Silent(POD_VANISHED, "", Entity(pod, labels), last[pod])


def _last_of_pods(window: NewestWindow) -> dict[str, float]:
    """Pod -> its newest minute with CPU time, Unix seconds, of pods that have one in the newest hour."""
    if window.pods is None:
        return {}
    recent = window.pods.recent
    last = last_known([recent.per_pod(POD_CPU.name)[:, 0]], recent.times.as_unit("s").asi8.astype(np.float64))
    return {pod: float(at) for pod, at in zip(recent.pods, last, strict=True) if np.isfinite(at)}


def _series(one: Watched, present: Present, now: datetime) -> Iterable[Silent]:
    """Series that the query no longer has, or with a frozen value; one row for a metric that stopped as a whole."""
    spec, watch, state = one.own.spec, one.own.watch, one.state
    if spec.name not in present.series or not watch.judged(np.array([int(now.timestamp())], dtype=np.int64))[0]:
        return
    there = {entity_of(spec, series, {}).name for series in present.series[spec.name]}
    known = state.seen > now.timestamp() - DAY_SECONDS
    stopped = known & np.array([entity.name not in there for entity in one.entities], dtype=bool)
    severity = str(watch.severity)
    if known.sum() > 1 and not there:
        yield Silent(STOPPED, spec.name, Entity("", {}), float(state.seen[known].max()), severity)
        return
    # A pod or a node that is gone is reported itself, or was meant to go.
    living = {"pod": present.heard, "node": present.nodes}.get(spec.per)
    for i in np.flatnonzero(stopped).tolist():
        if living is None or one.entities[i].name in living:
            yield Silent(STOPPED, spec.name, one.entities[i], float(state.seen[i]), severity)
    stillness = Stillness(*state.stillness.T) if len(state.stillness) else Stillness.new(0)
    for i in np.flatnonzero(stillness.frozen(state.raw) & known & ~stopped).tolist():
        since = float(state.seen[i]) - float(stillness.still[i]) * spec.step_seconds
        yield Silent(FROZEN, spec.name, one.entities[i], since, severity)
