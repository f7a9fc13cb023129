"""The part of a training window that the lake holds: coverage, pods and their series."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import date, datetime

import numpy as np
import pandas as pd

from aiops_assets.datasets.identity import require_one_cluster
from aiops_assets.errors import IntegrityError, NotFoundError, SchemaError
from aiops_assets.storage.day_info import DayInfo
from aiops_assets.storage.lake import Lake
from aiops_assets.storage.records import Day
from aiops_assets.timeseries.catalog import ENGINE_METRICS, POD_CPU, MetricSpec
from aiops_assets.timeseries.quality import WindowCoverage, window_coverage
from aiops_assets.timeseries.schema import combined_digest
from aiops_assets.timeseries.series import DAY_SECONDS, PodSeries, from_metric_frames, pod_of

LEAST_POD_MINUTES = 60
"""A pod that lived shorter shows little more than its start and end."""


@dataclass(frozen=True)
class Window:
    """The part of a training window that the lake holds; values are read later, of the drawn pods only.

    Attributes:
        days: requested UTC days, oldest first.
        found: the days with any samples, with their digests.
        coverage: coverage of each metric and day.
        fetched: last fetch of the metric whose last fetch is oldest; ``None``: nothing was fetched.
        damaged: messages about files that cannot be read and count as missing.
        pod_minutes: pod -> number of minutes with CPU time; empty if that metric was not requested.
    """

    days: tuple[date, ...]
    found: tuple[Day, ...]
    coverage: WindowCoverage
    fetched: datetime | None
    damaged: tuple[str, ...]
    pod_minutes: Mapping[str, int]


def read_window(lake: Lake, days: Sequence[date], metrics: Sequence[MetricSpec] = ENGINE_METRICS) -> Window:
    """Verify and count the samples of metrics on some days; missing ones lower the coverage and are not an error.

    Raises:
        IntegrityError: the days are of several clusters.
    """
    infos: dict[str, dict[date, DayInfo]] = {metric.name: {} for metric in metrics}
    pod_minutes: Counter[str] = Counter()
    damaged = []
    for metric in metrics:
        for day in days:
            try:
                wide, infos[metric.name][day] = lake.read_day(metric, day)
            except NotFoundError:
                continue
            except IntegrityError as error:
                damaged.append(str(error))
                continue
            if metric is POD_CPU:
                pod_minutes.update(dict(zip(map(pod_of, wide.columns), wide.count().tolist(), strict=True)))
    got = {name: {day: info.covered for day, info in found.items()} for name, found in infos.items()}
    require_one_cluster(lake, [info.cluster_id for found in infos.values() for info in found.values()])
    newest = [max(datetime.fromisoformat(i.fetched) for i in found.values()) for found in infos.values() if found]
    return Window(
        days=tuple(days),
        found=tuple(day for day in (_day(day, infos) for day in days) if day.metrics),
        coverage=window_coverage(got, days, {m.name: DAY_SECONDS // m.step_seconds for m in metrics}),
        fetched=min(newest, default=None),
        damaged=tuple(damaged),
        pod_minutes={pod: minutes for pod, minutes in pod_minutes.items() if pod},
    )


def draw_pods(pod_minutes: Mapping[str, int], n: int, seed: int) -> tuple[str, ...]:
    """At most ``n`` pods, in order of name, drawn by how long they lived; jobs of a few minutes are left out.

    A pod is as likely to be drawn as a minute of its life is (weighted sampling without replacement,
    Efraimidis and Spirakis 2006): a cluster's thousand short jobs do not crowd out its services.
    """
    lasting = [pod for pod, minutes in pod_minutes.items() if minutes >= LEAST_POD_MINUTES]
    keys = {pod: np.log(_uniform(f"{seed} {pod}")) / pod_minutes[pod] for pod in lasting}
    return tuple(sorted(sorted(lasting, key=lambda pod: (-keys[pod], pod))[:n]))


def _uniform(text: str) -> float:
    """A number in (0, 1) that depends on the text alone, so that a new pod does not reshuffle the others."""
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return (int.from_bytes(digest) + 0.5) / 2**64


def read_pods(lake: Lake, window: Window, end: pd.Timestamp, pods: Sequence[str]) -> PodSeries:
    """The engine's metrics of these pods and of all nodes, in the window."""
    drawn = set(pods)
    frames = {metric.name: read_metric(lake, metric, _found(window, metric), drawn) for metric in ENGINE_METRICS}
    return from_metric_frames(frames, ENGINE_METRICS, pd.Timestamp(window.days[0], tz="UTC"), end, pods)


def read_cluster(lake: Lake, window: Window, end: pd.Timestamp, metrics: Sequence[MetricSpec]) -> pd.DataFrame:
    """Metrics of the whole cluster in the window: ``timestamp`` on the grid of the first one, and a column per metric.

    Raises:
        SchemaError: a metric has more than one series.
    """
    step = pd.Timedelta(seconds=metrics[0].step_seconds)
    start = pd.Timestamp(window.days[0], tz="UTC")
    times = pd.date_range(start, end, freq=step, inclusive="left", unit="us", name="timestamp")
    columns = {}
    for metric in metrics:
        wide = read_metric(lake, metric, _found(window, metric)).reindex(times)
        if wide.shape[1] > 1:
            raise SchemaError(
                f"{metric.name}: {wide.shape[1]} series for one cluster; the query must aggregate them",
                code="several_series",
                metric=metric.name,
                series=wide.shape[1],
            )
        columns[metric.name] = wide.iloc[:, 0] if wide.shape[1] else pd.Series(np.nan, times)
    return pd.DataFrame(columns).reset_index()


def read_metric(
    lake: Lake, metric: MetricSpec, days: Iterable[date], pods: Set[str] | None = None, *, missing_ok: bool = False
) -> pd.DataFrame:
    """The days of a metric one after the other: a column per series, of all series or only of those of ``pods``.

    Raises:
        NotFoundError: a day is not stored, and ``missing_ok`` is not set.
        IntegrityError: one of the days is damaged.
    """
    parts = [pd.DataFrame(index=pd.DatetimeIndex([], tz="UTC", name="timestamp"))]
    for day in days:
        try:
            wide = lake.read_day(metric, day)[0]
        except NotFoundError:
            if not missing_ok:
                raise
            continue
        if pods is not None and metric.per == "pod":
            wide = wide[[name for name in wide.columns if pod_of(name) in pods]]
        parts.append(wide)
    return pd.concat(parts[1:] or parts)


def _found(window: Window, metric: MetricSpec) -> list[date]:
    return [date.fromisoformat(day.day) for day in window.found if metric.name in day.metrics]


def _day(day: date, infos: Mapping[str, Mapping[date, DayInfo]]) -> Day:
    """The record of a fetched day, without metrics if none is stored."""
    found = {name: days[day] for name, days in infos.items() if day in days}
    metrics = {name: info.digest for name, info in found.items()}
    return Day(
        day=day.isoformat(),
        source="prometheus",
        digest=combined_digest(metrics),
        metrics=metrics,
        closed=all(info.closed for info in found.values()),
        revised=sum(info.revised for info in found.values()),
        cluster_id=next((info.cluster_id for info in found.values() if info.cluster_id), ""),
    )
