"""New rows of the metrics of one's own, as the lake holds them, and which entity each series is of."""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pandas as pd

from aiops_assets.datasets.nodes import node_of
from aiops_assets.datasets.workloads import name_of_workload
from aiops_assets.errors import IntegrityError, NotFoundError
from aiops_assets.storage.lake import Lake
from aiops_assets.timeseries.catalog import MetricSpec
from aiops_assets.timeseries.local_time import Integers
from aiops_assets.timeseries.pod_identity import pod_text
from aiops_assets.timeseries.series import Floats

SEPARATORS = frozenset(',="\\\n')
DAYS = 14
"""So many days are read where nothing is known yet."""


@dataclass(frozen=True)
class OwnRows:
    """Rows of a metric on the grid of its step.

    Attributes:
        since: the first stored day of the newest :data:`DAYS`, ISO; empty where none is stored.
        seconds: (n_rows,) Unix seconds, without gaps.
        series: labels of each series as JSON.
        values: (n_series, n_rows), NaN where there is no sample.
    """

    since: str
    seconds: Integers
    series: tuple[str, ...]
    values: Floats


@dataclass(frozen=True)
class Entity:
    """What a series is about.

    Attributes:
        name: for people: ``namespace/pod``, a node, ``queue=orders, vhost=/``, or empty for the cluster. Values with a
            comma, an equals sign, a quote, a backslash or a line break are in quotes.
        labels: its labels, in the form in which the service shows them.
    """

    name: str
    labels: dict[str, str]


def first_day(lake: Lake, spec: MetricSpec, now: datetime) -> str:
    """The first stored day of the newest :data:`DAYS`, ISO; empty where none is stored."""
    return min((day.isoformat() for day in lake.days(spec) if day in _newest_days(now)), default="")


def read_rows(lake: Lake, spec: MetricSpec, after: int | None, now: datetime) -> OwnRows:
    """Rows of a metric that are newer than an instant, up to the newest that any series has.

    Args:
        lake: the lake. A damaged file is a finding of the fetch, which replaces it.
        spec: the metric as it is queried.
        after: Unix seconds; ``None``: all rows of the newest :data:`DAYS`.
        now: present time, with time zone; later samples are not read.

    Raises:
        StoreError: the lake cannot be read at all.
    """
    days = [day for day in _newest_days(now) if after is None or _end(day) > after]
    since = first_day(lake, spec, now)
    parts = []
    for day in days:
        with suppress(NotFoundError, IntegrityError):
            parts.append(lake.read_day(spec, day)[0])
    wide = pd.concat(parts) if parts else pd.DataFrame()
    if wide.empty:
        return OwnRows(since, np.zeros(0, dtype=np.int64), (), np.zeros((0, 0)))
    found = pd.DatetimeIndex(wide.index).as_unit("s").asi8
    inside = (found <= int(now.timestamp())) & (found > (after if after is not None else -1))
    wide, found = wide.loc[inside].dropna(axis=1, how="all"), found[inside]
    names = tuple(map(str, wide.columns))
    if not len(found):
        return OwnRows(since, found, names, np.zeros((len(names), 0)))
    step = spec.step_seconds
    begin = int(found[0]) if after is None else min(after + step, int(found[0]))
    begin += (int(found[-1]) - begin) % step
    seconds = np.arange(begin, int(found[-1]) + 1, step, dtype=np.int64)
    values = np.full((len(names), len(seconds)), np.nan)
    place = (found - begin) // step
    on_grid = (place >= 0) & ((found - begin) % step == 0)
    values[:, place[on_grid]] = wide.to_numpy(dtype=np.float64).T[:, on_grid]
    return OwnRows(since, seconds, names, values)


def entity_of(spec: MetricSpec, series: str, workloads: Mapping[str, str]) -> Entity:
    """What a series is about.

    Args:
        spec: the metric.
        series: its labels as JSON.
        workloads: pod (``namespace/name``) -> ``kind/name`` of its workload.
    """
    labels = {name: str(value) for name, value in json.loads(series).items() if value}
    if spec.per == "cluster":
        return Entity("", {})
    if spec.per == "node":
        node = node_of(labels)
        return Entity(node, {"node": node})
    if spec.per == "pod":
        namespace, pod = labels.get("namespace", ""), labels.get("pod", "")
        name = pod_text(namespace, pod)
        workload = name_of_workload(name, workloads.get(name, ""))
        return Entity(name, {"namespace": namespace, "pod": pod, "workload": workload.rpartition("/")[2]})
    own = {name: labels.get(name, "") for name in spec.labels}
    return Entity(", ".join(f"{name}={_quoted(value)}" for name, value in own.items()), own)


def _quoted(value: str) -> str:
    """A value as it is, or in quotes where it might be read as the next label: two entities have two texts."""
    return json.dumps(value, ensure_ascii=False) if SEPARATORS.intersection(value) else value


def _newest_days(now: datetime) -> list[date]:
    today = now.astimezone(UTC).date()
    return [today - timedelta(days=back) for back in range(DAYS, -1, -1)]


def _end(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) + 86_400
