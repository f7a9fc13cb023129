"""Runs of scores with pages and notices, and windows that they were made of."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd

from aiops_assets.datasets.newest import NewestWindow
from aiops_assets.datasets.nodes import NodeHistory
from aiops_assets.registry.explaining import explained
from aiops_assets.storage.explanations import EPISODE_COLUMNS, nothing
from aiops_assets.storage.scores import (
    FORECAST_COLUMNS,
    PAGE_COLUMNS,
    SCORE_COLUMNS,
    PredictingModel,
    ScoresRecord,
    ScoresRun,
    no_rows,
)
from aiops_assets.timeseries.catalog import NODE_MEMORY, POD_CPU, POD_MEMORY, RESTARTS
from aiops_assets.timeseries.series import Floats, PodSeries
from aiops_assets.views.pod_history import PodHistory, empty_kind
from aiops_assets.views.pod_series import VALUES

NOON = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
SHOP, BLOG = "shop/cart-1", "blog/cart-1"
"""Pods of one name."""
NODE = "node-1"
DETECTORS = ("first", "second")
SHARES = '{"pod_memory_usage": 0.8, "node_cpu_utilization": 0.2}'
LEVEL, FAULT = 0.4, 0.9
STEP = timedelta(minutes=5)


def window(
    until: datetime = NOON, fault_rows: int = 6, pods: Sequence[str] = (SHOP, BLOG), days: int = 3
) -> NewestWindow:
    """Calm pods and two nodes; memory of the first pod and of node-1 has risen at the end, and the first restarted."""
    times = pd.date_range(end=until, periods=days * 288, freq="5min", unit="us")
    rng = np.random.default_rng(3)
    noise = 0.01 * rng.standard_normal((len(pods), 1, len(times)))
    values: dict[str, Floats] = dict.fromkeys(VALUES, LEVEL + noise)
    shared = {name: values[name][:1] for name in VALUES if name not in (POD_CPU.name, POD_MEMORY.name, RESTARTS.name)}
    values |= shared
    values[POD_MEMORY.name] = values[POD_MEMORY.name].copy()
    values[RESTARTS.name] = np.full(noise.shape, 3.0)
    if fault_rows:
        values[POD_MEMORY.name][0, 0, -fault_rows:] = FAULT
        values[RESTARTS.name][0, 0, -1] = 5.0
    rows = PodSeries(times, tuple(pods), values, empty_kind(len(pods), len(times)))
    memory = LEVEL + 0.01 * rng.standard_normal((2, len(times)))
    if fault_rows:
        memory[0, -fault_rows:] = FAULT
    return NewestWindow(
        "prometheus",
        pods=PodHistory(rows, rows),
        nodes=NodeHistory((NODE, "node-2"), times, {NODE_MEMORY.name: memory}),
    )


def scored(
    until: datetime = NOON,
    alerts: Sequence[tuple[str, str, int]] = ((DETECTORS[0], SHOP, 0),),
    pages: Sequence[tuple[str, int]] = ((SHOP, 0), (NODE, 0)),
    pods: Sequence[str] = (SHOP, BLOG),
) -> ScoresRun:
    """A run of the newest hour.

    Args:
        until: the newest instant.
        alerts: (model, pod, rows before the newest one) of notices.
        pages: (pod or node, rows before the newest one) of pages.
        pods: those with scores.
    """
    record = ScoresRecord(
        cluster="prod",
        made_at=until + timedelta(seconds=30),
        source="prometheus",
        code_version="0",
        scored_until=until,
        paged_until=until,
        pods=len(pods),
        shown_minutes=10,
        models=tuple(
            PredictingModel(
                name=name, version=2, manifest_sha256="m", kind="detector", data_version="d", effective_source="s"
            )
            for name in DETECTORS
        ),
    )
    rows = [
        (until - back * STEP, model, 2, *_split(pod), 1.0 - 0.01 * back, (model, pod, back) in alerts, SHARES)
        for model in DETECTORS
        for pod in pods
        for back in range(11, -1, -1)
    ]
    scores = pd.DataFrame(rows, columns=list(SCORE_COLUMNS))
    paged = [(until - back * STEP, *_page(who)) for who, back in pages]
    page_rows = pd.DataFrame(paged, columns=list(PAGE_COLUMNS)) if paged else no_rows(PAGE_COLUMNS)
    none = pd.DataFrame(columns=list(FORECAST_COLUMNS))
    return ScoresRun(record, scores, none, page_rows)


def whole(until: datetime = NOON, before: pd.DataFrame | None = None, **changes: object) -> ScoresRun:
    """A run with its explanations."""
    run = scored(until, **changes)  # type: ignore[arg-type]
    return explained(run, window(until), nothing(EPISODE_COLUMNS) if before is None else before)


def made_at(run: ScoresRun, when: datetime) -> ScoresRun:
    """The same run, made at another time."""
    return replace(run, record=run.record.model_copy(update={"made_at": when}))


def _split(pod: str) -> tuple[str, str, str]:
    namespace, name = pod.split("/")
    return namespace, name, "cart"


def _page(who: str) -> tuple[str, str, str, str, str]:
    if "/" in who:
        return (*_split(who), "", POD_MEMORY.name)
    return "", "", "", who, NODE_MEMORY.name
