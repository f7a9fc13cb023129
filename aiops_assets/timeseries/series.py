"""Per-minute metrics of many pods, as arrays: what generators make, injection changes and features read."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt
import pandas as pd

from aiops_assets.errors import EmptyDataError, SchemaError
from aiops_assets.timeseries.catalog import STEP_SECONDS, MetricSpec
from aiops_assets.timeseries.pod_identity import pod_of

Floats = npt.NDArray[np.float64]

DAY_SECONDS = 86_400
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
"""Every grid of a step begins here, so that all fetches of it meet."""

KINDS = (
    "normal",
    "cpu_spike",
    "memory_leak",
    "restart_storm",
    "network_burst",
    "crash_loop",
    "node_memory_ramp",
    "noisy_neighbour",
    "throttling",
    "disk_fills",
)
"""What a minute of a pod can be; a ``kind`` array holds positions in this tuple, so that new ones are appended."""


@dataclass(frozen=True)
class PodSeries:
    """Aligned per-minute series of pods.

    Attributes:
        times: (n_minutes,) UTC, one a minute, without gaps.
        pods: ``namespace/name``, or the name where no namespace is known; one a row of the arrays.
        values: metric -> (n_pods, n_members, n_minutes) float64, NaN where no sample is. A pod metric has
            one member. A node metric has the nodes as members and may have 1 for n_pods: all pods share it.
        kind: (n_pods, n_minutes) positions in :data:`KINDS`; 0 is normal.
        before: the values before injection; ``None`` when nothing was injected.
    """

    times: pd.DatetimeIndex
    pods: tuple[str, ...]
    values: Mapping[str, Floats]
    kind: npt.NDArray[np.int8]
    before: Mapping[str, Floats] | None = None

    def per_pod(self, metric: str) -> Floats:
        """The metric with a row a pod: (n_pods, n_members, n_minutes), a view that must not be written."""
        values = self.values[metric]
        return np.broadcast_to(values, (len(self.pods), *values.shape[1:]))

    def with_anomalies(self, changed: Mapping[str, Floats], kind: npt.NDArray[np.int8]) -> "PodSeries":
        """A copy in which some metrics are changed by anomalies, and which minutes are of which kind."""
        return replace(self, values={**self.values, **changed}, kind=kind, before=self.values)

    def undisturbed(self) -> "PodSeries":
        """The series as they were before injection."""
        return self if self.before is None else replace(self, values=self.before, before=None)

    def to_frame(self) -> pd.DataFrame:
        """Long rows (timestamp, pod, a column a metric averaged over members, kind), by time, then pod."""
        n_pods, n_minutes = len(self.pods), len(self.times)
        columns: dict[str, object] = {
            "timestamp": self.times.repeat(n_pods),
            "pod": pd.Categorical.from_codes(np.tile(np.arange(n_pods), n_minutes), pd.Index(self.pods)),
        }
        for metric in self.values:
            columns[metric] = self.per_pod(metric).mean(axis=1).T.reshape(-1)
        columns["kind"] = pd.Categorical.from_codes(self.kind.T.reshape(-1), pd.Index(KINDS))
        return pd.DataFrame(columns)


def minute_grid(start: pd.Timestamp, end: pd.Timestamp) -> pd.DatetimeIndex:
    """Every minute of the half-open window [start, end), UTC, microsecond resolution."""
    grid = pd.date_range(start, end, freq=f"{STEP_SECONDS}s", inclusive="left", unit="us")
    return grid.rename("timestamp")


def from_metric_frames(
    frames: Mapping[str, pd.DataFrame],
    metrics: Sequence[MetricSpec],
    start: pd.Timestamp,
    end: pd.Timestamp,
    pods: Iterable[str],
) -> PodSeries:
    """Aligned series from range-query answers.

    Args:
        frames: metric name -> wide frame: index of minutes, a column a series, named by its labels as JSON.
        metrics: which metrics, in order; those ``per`` pod are looked up by the labels ``namespace`` and ``pod``.
        start, end: half-open window; minutes without a sample become NaN.
        pods: which pods; one that a metric does not know gets NaN for it.

    Raises:
        EmptyDataError: no pod, or a node metric without any series.
        SchemaError: a pod has two series of one metric.
    """
    times = minute_grid(start, end)
    names = tuple(pods)
    if not names:
        raise EmptyDataError(f"no pod has samples between {start} and {end}: is this the right cluster?")
    values: dict[str, Floats] = {}
    for metric in metrics:
        wide = frames[metric.name].reindex(times)
        if metric.per == "node":
            if wide.shape[1] == 0:
                raise EmptyDataError(f"{metric.name}: no series from {start} to {end} for {metric.promql}")
            values[metric.name] = wide.to_numpy(dtype=np.float64).T[np.newaxis]
            continue
        owners = [pod_of(column) for column in wide.columns]
        if len(set(owners)) != len(owners):
            raise SchemaError(
                f"{metric.name}: two series for one pod; the query must aggregate by (namespace, pod)",
                code="two_series_for_a_pod",
                metric=metric.name,
            )
        by_pod = wide.set_axis(owners, axis=1).reindex(columns=list(names))
        values[metric.name] = by_pod.to_numpy(dtype=np.float64).T[:, np.newaxis]
    return PodSeries(times, names, values, np.zeros((len(names), len(times)), dtype=np.int8))
