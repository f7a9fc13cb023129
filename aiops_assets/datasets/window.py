"""The part of a training window that the lake holds: coverage, pods and their series."""

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import partial

import numpy as np
import pandas as pd

from aiops_assets.datasets.identity import require_one_cluster
from aiops_assets.errors import IntegrityError, NotFoundError, SchemaError
from aiops_assets.storage.day_info import DayInfo
from aiops_assets.storage.lake import Lake
from aiops_assets.storage.lake_files import readable_days
from aiops_assets.storage.records import Day
from aiops_assets.storage.workloads import Workloads
from aiops_assets.timeseries.catalog import ENGINE_METRICS, POD_CPU, MetricSpec
from aiops_assets.timeseries.pod_identity import PodNames, pod_of, series_of_pod
from aiops_assets.timeseries.quality import WindowCoverage, window_coverage
from aiops_assets.timeseries.schema import combined_digest
from aiops_assets.timeseries.series import DAY_SECONDS, PodSeries, from_metric_frames

MIN_POD_MINUTES = 60
"""A pod that lived shorter shows little more than its start and end."""
MIN_OF_LIFE = 0.5
"""A pod has a metric if there are samples of it for this share of its life; otherwise rows without it are rare or lost.
"""
MIN_OF_LONGEST, LONG_MINUTES = 0.1, 24 * 60
"""A pod with all metrics is drawn first only if it lived for this share of the longest life, or for a day. So short
jobs that happen to have all metrics do not come before services."""


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
        minutes_of: other pod metric -> pod -> number of minutes with a sample; pods without any are left out.
        names: all pods of the window.
        asked: metric -> its days that can be read, each with the metric as it was requested then.
    """

    days: tuple[date, ...]
    found: tuple[Day, ...]
    coverage: WindowCoverage
    fetched: datetime | None
    damaged: tuple[str, ...]
    pod_minutes: Mapping[str, int]
    minutes_of: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    names: PodNames = field(default_factory=partial(PodNames, ()))
    asked: Mapping[str, Mapping[date, MetricSpec]] = field(default_factory=dict)

    def pod(self, metric: MetricSpec, asked: MetricSpec, series: str) -> str:
        """The pod that a series belongs to; empty where it belongs to none.

        Args:
            metric: the metric.
            asked: the metric as it was requested for the day of the series; a former query tells no namespaces.
            series: name of the series, labels as JSON.
        """
        pod = pod_of(series)
        return self.names.of(pod) if asked.promql in metric.formerly else pod

    @property
    def lasting(self) -> tuple[str, ...]:
        """Pods that lived long enough to be drawn, in order of name."""
        return tuple(sorted(pod for pod, minutes in self.pod_minutes.items() if minutes >= MIN_POD_MINUTES))

    def lacking(self, metric: str) -> tuple[str, ...]:
        """Pods of :attr:`lasting` without a pod metric for most of their life; none for metrics of no pod."""
        minutes = self.minutes_of.get(metric)
        if minutes is None:
            return ()
        return tuple(pod for pod in self.lasting if minutes.get(pod, 0) < MIN_OF_LIFE * self.pod_minutes[pod])

    @property
    def complete(self) -> frozenset[str]:
        """Pods of :attr:`lasting` that have every pod metric."""
        return frozenset(self.lasting).difference(*map(self.lacking, self.minutes_of))


def read_window(
    lake: Lake, days: Sequence[date], metrics: Sequence[MetricSpec] = ENGINE_METRICS, *, counts_pods: bool = True
) -> Window:
    """Verify and count the samples of metrics on some days; missing ones lower the coverage and are not an error.

    Args:
        lake: the lake.
        days: UTC days, oldest first.
        metrics: the metrics.
        counts_pods: count the samples of each pod. Without it pods are counted, and their names known, only where a day
            was requested with a query of an earlier release, whose series are assigned by the names of all pods.

    Raises:
        IntegrityError: the days are of several clusters.
    """
    infos: dict[str, dict[date, DayInfo]] = {metric.name: {} for metric in metrics}
    minutes_of: dict[str, Counter[str]] = {metric.name: Counter() for metric in metrics if metric.per == "pod"}
    former: dict[str, Counter[str]] = {name: Counter() for name in minutes_of}
    asked = {metric.name: readable_days(lake, metric) for metric in metrics}
    counts_pods |= any(asked[m.name][day].promql in m.formerly for m in metrics for day in days if day in asked[m.name])
    damaged = []
    for metric in metrics:
        for day in days:
            spec = asked[metric.name].get(day, metric)
            try:
                if metric.per != "pod" or not counts_pods:
                    infos[metric.name][day] = lake.verify_day(spec, day)
                    continue
                samples, infos[metric.name][day] = lake.count_samples(spec, day)
            except NotFoundError:
                continue
            except IntegrityError as error:
                damaged.append(str(error))
                continue
            minutes = (former if spec.promql in metric.formerly else minutes_of)[metric.name]
            for name, n in samples.items():
                minutes[pod_of(name)] += n
    owned = Workloads(lake.storage, lake.cluster).of(days) if any(former.values()) else {}
    names = PodNames([*owned, *(pod for minutes in (*minutes_of.values(), *former.values()) for pod in minutes)])
    for metric_name, minutes in former.items():
        for text, n in minutes.items():
            minutes_of[metric_name][names.of(text)] += n
    minutes_of = {name: Counter({pod: n for pod, n in found.items() if pod}) for name, found in minutes_of.items()}
    require_one_cluster(lake, [info.cluster_id for found in infos.values() for info in found.values()])
    queries = {metric.name: lake.query_of(metric) for metric in metrics}
    got = {name: {day: info.covered for day, info in found.items()} for name, found in infos.items()}
    pod_minutes = minutes_of.pop(POD_CPU.name, Counter())
    newest = [max(datetime.fromisoformat(i.fetched) for i in found.values()) for found in infos.values() if found]
    return Window(
        days=tuple(days),
        found=tuple(day for day in (_day(day, infos, queries) for day in days) if day.metrics),
        coverage=window_coverage(got, days, {m.name: DAY_SECONDS // m.step_seconds for m in metrics}),
        fetched=min(newest, default=None),
        damaged=tuple(damaged),
        pod_minutes=pod_minutes,
        minutes_of=minutes_of,
        names=names,
        asked={m.name: {day: asked[m.name].get(day, m) for day in infos[m.name]} for m in metrics},
    )


def draw_pods(pod_minutes: Mapping[str, int], n: int, seed: int, complete: Set[str] = frozenset()) -> tuple[str, ...]:
    """At most ``n`` pods, in order of name, drawn by how long they lived; jobs of a few minutes are left out.

    A pod is as likely to be drawn as a minute of its life is (weighted sampling without replacement,
    Efraimidis and Spirakis 2006): a cluster's thousand short jobs do not crowd out its services.

    Pods of ``complete``, which have all metrics, are drawn before others, but for short jobs. The others fill up what
    is left: a detector that saw the few complete ones alone would call the CPU time of all others abnormal.

    Args:
        pod_minutes: pod -> number of minutes that it lived.
        n: largest number of pods.
        seed: makes the draw reproducible; a new pod does not reshuffle the others.
        complete: pods that have all metrics; without any, all pods are equal.
    """
    lasting = [pod for pod, minutes in pod_minutes.items() if minutes >= MIN_POD_MINUTES]
    least = min(MIN_OF_LONGEST * max(pod_minutes.values(), default=0), LONG_MINUTES)
    first = {pod for pod in complete if pod_minutes.get(pod, 0) >= least}
    keys = {pod: np.log(uniform(f"{seed} {pod}")) / pod_minutes[pod] for pod in lasting}
    return tuple(sorted(sorted(lasting, key=lambda pod: (pod not in first, -keys[pod], pod))[:n]))


def uniform(text: str) -> float:
    """A number in (0, 1) that depends on the text alone, so that a new pod does not reshuffle the others."""
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return (int.from_bytes(digest) + 0.5) / 2**64


def read_pods(lake: Lake, window: Window, end: pd.Timestamp, pods: Sequence[str]) -> PodSeries:
    """The engine's metrics of these pods and of all nodes, in the window.

    Raises:
        SchemaError: a pod has two series of one metric.
    """
    drawn = frozenset(pods)
    frames = {
        metric.name: read_metric(lake, window.asked[metric.name], partial(pod_in, window, drawn, metric))
        for metric in ENGINE_METRICS
    }
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
        wide = read_metric(lake, window.asked[metric.name]).reindex(times)
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
    lake: Lake, asked: Mapping[date, MetricSpec], pod: Callable[[MetricSpec, str], str] | None = None
) -> pd.DataFrame:
    """The days of a metric one after the other, a column per series.

    Args:
        lake: the lake.
        asked: its days, oldest first, each with the metric as it was requested then.
        pod: for metrics of pods: the metric as it was requested, and the name of a series, labels as JSON -> the pod
            that it belongs to; empty: it is left out. Columns are named by these pods, as
            :func:`~aiops_assets.timeseries.pod_identity.series_of_pod` does.

    Raises:
        NotFoundError: a day is not stored.
        IntegrityError: one of the days is damaged.
        SchemaError: a pod has two series on one day.
    """
    parts = []
    for day, metric in asked.items():
        if pod is None or metric.per != "pod":
            parts.append(lake.read_day(metric, day)[0])
            continue
        wide = lake.read_series(metric, day, partial(_is_wanted, pod, metric))
        names = [series_of_pod(pod(metric, name)) for name in wide.columns]
        if len(set(names)) < len(names):
            raise SchemaError(
                f"{metric.name} {day}: two series for one pod; `aiops lake drop --wrong` removes series that do not "
                "belong to the metric",
                code="two_series_for_a_pod",
                metric=metric.name,
            )
        parts.append(wide.set_axis(names, axis=1))
    none = pd.DataFrame(index=pd.DatetimeIndex([], tz="UTC", name="timestamp"))
    return pd.concat(parts or [none])


def _is_wanted(pod: Callable[[MetricSpec, str], str], metric: MetricSpec, series: str) -> bool:
    return bool(pod(metric, series))


def pod_in(window: Window, pods: Set[str], metric: MetricSpec, asked: MetricSpec, series: str) -> str:
    """The pod that a series belongs to, if it is one of some pods; empty if not."""
    pod = window.pod(metric, asked, series)
    return pod if pod in pods else ""


def _day(day: date, infos: Mapping[str, Mapping[date, DayInfo]], queries: Mapping[str, str]) -> Day:
    """The record of a fetched day, without metrics if none is stored; ``queries`` is metric -> its present query."""
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
        queries={name: info.query for name, info in found.items() if info.query != queries[name]},
    )
