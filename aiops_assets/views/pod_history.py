"""What detectors read of many pods at once: rows every five minutes of a week, and the minutes of the newest hour.

A window detector reads a pod's rows from its first one on, a row detector the six minutes before each newest row. All
minutes of a week would be five times as many numbers: those of 5,000 pods do not fit into a gigabyte.
"""

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd

from aiops_assets.timeseries.catalog import ENGINE_METRICS, NETWORK_RECEIVE
from aiops_assets.timeseries.features import HISTORY, ROW_EVERY_MINUTES, row_mask
from aiops_assets.timeseries.schema import DIGEST_BYTES
from aiops_assets.timeseries.series import Floats, PodSeries
from aiops_assets.views.pod_features import label_frame
from aiops_assets.views.pod_series import VALUES, segment_rows

POD_VALUES = tuple(metric.name for metric in ENGINE_METRICS if metric.per == "pod")
NEWEST = pd.Timedelta(hours=1)
"""Rows of so much time are reported; a pod without a sample within it is gone."""
STEP = pd.Timedelta(minutes=ROW_EVERY_MINUTES)


class Column(Protocol):
    """Rows of a metric of many pods, (n_pods, n_rows)."""

    def __getitem__(self, at: tuple[slice, slice], /) -> Floats:
        """Of some pods, in a stretch of time."""


class LivingPods(Protocol):
    """Pods of a window, of which a part is in memory at a time."""

    @property
    def pods(self) -> tuple[str, ...]:
        """The pods, in order of name."""

    @property
    def times(self) -> pd.DatetimeIndex:
        """Instants of rows."""

    @property
    def until(self) -> pd.Timestamp:
        """The newest minute."""

    @property
    def recent(self) -> PodSeries:
        """Minutes of the newest hour."""

    @property
    def rows_until(self) -> pd.Timestamp:
        """The newest instant of rows at which a pod has a sample of its own; the newest of all if none has."""

    @property
    def digest(self) -> str:
        """A digest of what the rows are made of: 32 hex digits."""

    def lasting(self, grace: pd.Timedelta) -> set[str]:
        """Pods with samples both before the last minutes and within them."""

    def of_pods(self, those: npt.NDArray[np.intp]) -> "PodHistory":
        """Some of the pods in memory, by their positions."""

    def column(self, name: str) -> Column:
        """Rows of a metric of all pods; NaN where none is."""


@dataclass(frozen=True)
class PodHistory:
    """The engine's five metrics of some pods, up to the newest minute.

    Attributes:
        rows: every five minutes, of network traffic too; a node metric is the mean over the nodes with a sample, as one
            member.
        recent: every minute that the rows of the newest hour need, with a member for each node.
    """

    rows: PodSeries
    recent: PodSeries

    @classmethod
    def of(cls, series: PodSeries) -> "PodHistory":
        """Cut from series of every minute."""
        at = np.flatnonzero(is_row(series.times))
        names = [name for name in (*VALUES, NETWORK_RECEIVE.name) if name in series.values]
        means = {name: member_mean(series.values[name])[:, np.newaxis] for name in names}
        rows = PodSeries(
            series.times[at],
            series.pods,
            {name: np.ascontiguousarray(mean[..., at]) for name, mean in means.items()},
            series.kind[:, at],
        )
        first = max(0, int(series.times.searchsorted(recent_begin(series.times[-1]))))
        values = {name: series.values[name][..., first:] for name in VALUES}
        return cls(rows, PodSeries(series.times[first:], series.pods, values, series.kind[:, first:]))

    @property
    def pods(self) -> tuple[str, ...]:
        """The pods, one a row of the arrays."""
        return self.rows.pods

    @property
    def times(self) -> pd.DatetimeIndex:
        """Instants of rows."""
        return self.rows.times

    @property
    def until(self) -> pd.Timestamp:
        """The newest minute."""
        return pd.Timestamp(self.recent.times[-1])

    @cached_property
    def own_samples(self) -> npt.NDArray[np.bool_]:
        """(n_pods, n_rows) whether a pod has a sample of a metric of its own."""
        return _any_of_own(self.rows)

    @cached_property
    def goes_on(self) -> npt.NDArray[np.bool_]:
        """(n_pods, n_rows) whether a pod has such a sample then or later."""
        return np.asarray(np.maximum.accumulate(self.own_samples[:, ::-1], axis=1)[:, ::-1])

    @property
    def rows_until(self) -> pd.Timestamp:
        """The newest instant of rows at which a pod has a sample of its own; the newest of all if none has."""
        there = np.asarray(self.own_samples.any(axis=0))
        at = np.flatnonzero(there)
        return pd.Timestamp(self.rows.times[at[-1] if len(at) else -1])

    @property
    def begins(self) -> dict[str, pd.Timestamp]:
        """Pod -> its first row with a sample of its own; pods without any are left out."""
        there = self.own_samples
        first = there.argmax(axis=1)
        return {self.pods[i]: self.rows.times[first[i]] for i in np.flatnonzero(there.any(axis=1))}

    def lasting(self, grace: pd.Timedelta) -> set[str]:
        """Pods with samples both before the last minutes and within them."""
        return lasting(self.recent, grace)

    @property
    def digest(self) -> str:
        """A digest of the rows: 32 hex digits."""
        found = hashlib.blake2b("\n".join(self.pods).encode(), digest_size=DIGEST_BYTES)
        found.update(self.rows.times.asi8.data)
        for name in VALUES:
            found.update(np.ascontiguousarray(self.rows.values[name]).data)
        return found.hexdigest()

    def of_pods(self, those: npt.NDArray[np.intp]) -> "PodHistory":
        """Some of the pods, by their positions."""
        return replace(self, rows=_pods(self.rows, those), recent=_pods(self.recent, those))

    def column(self, name: str) -> Column:
        """Rows of a metric of all pods, a view."""
        array = self.rows.values.get(name, np.full((1, 1, 1), np.nan))
        found: Floats = np.broadcast_to(array[:, 0], (len(self.pods), len(self.rows.times)))
        return found

    def series_rows(self, source: str) -> pd.DataFrame:
        """Rows of the view ``pod_series``, a pod after the other, from its first to its last row with a sample."""
        return segment_rows(self.rows, 0, source)

    def feature_rows(self, after: pd.Timestamp, source: str) -> pd.DataFrame:
        """Rows of the view ``pod_features`` after a time, where each metric that a pod has has its six minutes."""
        mask = row_mask(self.recent)
        for metric in ENGINE_METRICS:  # one that ended before the newest hour is lacking, not unknown
            had, has = (np.isfinite(part.values[metric.name]).any(axis=(1, 2)) for part in (self.rows, self.recent))
            mask &= np.asarray(has | ~had)[:, np.newaxis]
        mask[:, : int(self.recent.times.searchsorted(after, side="right"))] = False
        return label_frame(self.recent, mask, 0, source)


def lasting(recent: PodSeries, grace: pd.Timedelta) -> set[str]:
    """Pods with samples of their own both before the last minutes and within them."""
    there = _any_of_own(recent)
    late = int(recent.times.searchsorted(recent.times[-1] - grace, side="right"))
    lasts = np.asarray(there[:, :late].any(axis=1) & there[:, late:].any(axis=1))
    return {pod for pod, one in zip(recent.pods, lasts, strict=True) if one}


def recent_begin(until: pd.Timestamp) -> pd.Timestamp:
    """The first minute that rows of the newest hour need, the last of which may be a step before the newest minute."""
    return until - NEWEST - pd.Timedelta(minutes=HISTORY - 1 + ROW_EVERY_MINUTES)


def is_row(times: pd.DatetimeIndex) -> npt.NDArray[np.bool_]:
    """(n_minutes,) which minutes have rows."""
    return np.asarray((times.hour * 60 + times.minute) % ROW_EVERY_MINUTES == 0)


def member_mean(values: Floats) -> Floats:
    """Mean over the members that have a sample: (n_pods, n_members, n) -> (n_pods, n)."""
    there = np.isfinite(values)
    count = there.sum(axis=1)
    total = np.where(there, values, 0.0).sum(axis=1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def empty_kind(n_pods: int, n: int) -> npt.NDArray[np.int8]:
    """(n_pods, n) of normal instants, which take no memory."""
    return np.broadcast_to(np.zeros((1, 1), dtype=np.int8), (n_pods, n))


def _any_of_own(series: PodSeries) -> npt.NDArray[np.bool_]:
    """(n_pods, n) whether a pod has a sample of a metric of its own."""
    there: npt.NDArray[np.bool_] = np.stack([np.isfinite(series.values[name][:, 0]) for name in POD_VALUES])
    return np.asarray(there.any(axis=0))


def _pods(series: PodSeries, those: npt.NDArray[np.intp]) -> PodSeries:
    shared = len(series.pods) > 1
    values = {name: array if shared and len(array) == 1 else array[those] for name, array in series.values.items()}
    return replace(series, pods=tuple(series.pods[i] for i in those), values=values, kind=series.kind[those])
