"""Which pods live, and what the lake holds of all of them: rows every five minutes, and the minutes of the newest hour.

Each day file is read once whatever the number of pods, and what is not needed of it is dropped at once: five thousand
pods are 60 MB a metric and day by minutes, and a fifth of that by rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import partial

import numpy as np
import pandas as pd

from aiops_assets.datasets.window import Window, pod_in, read_metric, uniform
from aiops_assets.errors import EmptyDataError
from aiops_assets.storage.lake import Lake
from aiops_assets.timeseries.catalog import ENGINE_METRICS, NETWORK_RECEIVE, POD_CPU, POD_MEMORY, MetricSpec
from aiops_assets.timeseries.pod_identity import pod_of
from aiops_assets.timeseries.series import Floats, PodSeries, minute_grid
from aiops_assets.views.pod_history import (
    NEWEST,
    PodHistory,
    empty_kind,
    is_row,
    member_mean,
    recent_begin,
)

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
    wide = _newest_hour(lake, window, POD_CPU, pd.Timestamp(now))
    if wide.empty:
        return Living((), frozenset(), pd.Timestamp(now))
    until = pd.Timestamp(wide.index[-1])
    with_cpu = _pods_of(window, POD_CPU, wide)
    memory = _newest_hour(lake, window, POD_MEMORY, until)
    older = memory[memory.index <= until - GRACE]
    present = memory[memory.index > until - GRACE]
    has_memory = _pods_of(window, POD_MEMORY, older) & _pods_of(window, POD_MEMORY, present)
    return Living(tuple(sorted(with_cpu)), frozenset(has_memory - with_cpu), until)


def read_history(lake: Lake, window: Window, pods: Sequence[str], until: pd.Timestamp, days: int) -> PodHistory:
    """The engine's metrics of some pods, and their traffic, over the days up to a minute.

    Args:
        lake: the lake.
        window: its days, from :func:`~aiops_assets.datasets.window.read_window`.
        pods: the pods, in order of name.
        until: the newest minute.
        days: how many days of rows before it.

    Raises:
        EmptyDataError: a node metric without any series.
        SchemaError: a pod has two series of one metric.
    """
    begin = until - pd.Timedelta(days=days)
    grid = minute_grid((begin + pd.Timedelta(minutes=1)).ceil("min"), until + pd.Timedelta(minutes=1))
    rows, recent = grid[is_row(grid)], grid[grid >= recent_begin(until)]
    of_rows, of_recent = {}, {}
    for metric in ENGINE_METRICS:
        of_rows[metric.name], of_recent[metric.name] = _read(lake, window, metric, pods, rows, recent)
    of_rows[NETWORK_RECEIVE.name], _ = _read(lake, window, NETWORK_RECEIVE, pods, rows, recent)
    return PodHistory(
        PodSeries(rows, tuple(pods), of_rows, empty_kind(len(pods), len(rows))),
        PodSeries(recent, tuple(pods), of_recent, empty_kind(len(pods), len(recent))),
    )


def _read(
    lake: Lake,
    window: Window,
    metric: MetricSpec,
    pods: Sequence[str],
    rows: pd.DatetimeIndex,
    recent: pd.DatetimeIndex,
) -> tuple[Floats, Floats]:
    """(n_pods or 1, 1, n_rows) values of rows, and (n_pods or 1, n_members, n_recent) of minutes."""
    place = {pod: i for i, pod in enumerate(pods)}
    of_pods = metric.per == "pod"
    found = np.full((len(pods) if of_pods else 1, 1, len(rows)), np.nan)
    wanted = partial(pod_in, window, place.keys(), metric)
    late: list[pd.DataFrame] = []
    n_series = 0
    for day, asked in window.asked[metric.name].items():
        wide = read_metric(lake, {day: asked}, wanted)
        n_series = max(n_series, wide.shape[1])
        times = pd.DatetimeIndex(wide.index)
        at = rows.get_indexer(times)
        values = wide.to_numpy()[at >= 0].T
        if of_pods:
            owners = [place[pod_of(str(name))] for name in wide.columns]
            found[np.array(owners, dtype=np.intp)[:, np.newaxis], 0, at[at >= 0]] = values
        else:
            found[0, 0, at[at >= 0]] = member_mean(values[np.newaxis])[0]
        if len(times) and times[-1] >= recent[0]:
            late.append(wide[(times >= recent[0]) & (times <= recent[-1])])
    if not of_pods and not n_series:
        raise EmptyDataError(f"{metric.name}: no series up to {rows[-1]} for {metric.promql}")
    minutes = pd.concat(late).reindex(recent) if late else pd.DataFrame(index=recent)
    if not of_pods:
        members = minutes if minutes.shape[1] else pd.DataFrame(np.nan, index=recent, columns=["none"])
        return found, members.to_numpy(dtype=np.float64).T[np.newaxis]
    of_recent = np.full((len(pods), 1, len(recent)), np.nan)
    owners = [place[pod_of(str(name))] for name in minutes.columns]
    of_recent[owners, 0] = minutes.to_numpy(dtype=np.float64).T
    return found, of_recent


def _newest_hour(lake: Lake, window: Window, metric: MetricSpec, now: pd.Timestamp) -> pd.DataFrame:
    """Samples of the newest stored day's last hour before ``now``."""
    asked: dict[date, MetricSpec] = dict(window.asked[metric.name])
    if not asked:
        return pd.DataFrame(index=pd.DatetimeIndex([], tz="UTC"))
    last = max(asked)
    wide = lake.read_day(asked[last], last)[0]
    wide = wide[wide.index <= now]
    return wide if wide.empty else wide[wide.index > wide.index[-1] - NEWEST]


def _pods_of(window: Window, metric: MetricSpec, wide: pd.DataFrame) -> set[str]:
    """Pods with a sample; those of a former query are of no known namespace."""
    asked = window.asked[metric.name]
    if not asked:
        return set()
    spec = asked[max(asked)]
    found = {window.pod(metric, spec, str(name)) for name, lives in wide.notna().any().items() if lives}
    return found - {""}
