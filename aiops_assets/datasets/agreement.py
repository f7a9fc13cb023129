"""Whether a server has the samples that the lake holds: the same values of the same series at the same instants."""

from collections.abc import Set

import numpy as np
import pandas as pd

from aiops_assets.errors import IntegrityError, NotFoundError, PrometheusError, PrometheusUnreachable
from aiops_assets.prometheus.answers import series_name
from aiops_assets.prometheus.client import PrometheusClient
from aiops_assets.storage.cluster_record import KnownCluster
from aiops_assets.storage.lake import Lake
from aiops_assets.storage.lake_files import readable_days
from aiops_assets.timeseries.catalog import CLUSTER_METRICS, NODE_MEMORY, POD_CPU, MetricSpec

COMPARED_METRICS = (POD_CPU, NODE_MEMORY, *CLUSTER_METRICS[:2])
"""Metrics whose stored samples are compared: levels that hardly two clusters share at one instant."""
MAX_COMPARED_METRICS = 2
"""The first so many of them that both sides have are enough."""
COMPARED_INSTANTS = 4
COMPARED_DAYS = 3
"""The newest so many stored days are looked at for one that can be compared."""
MIN_COMPARED = 4
"""Fewer samples than these decide nothing."""
CLOSE = 0.05
"""Relative difference of values that agree: two replicas scrape the same pods at different seconds."""


def agreement(client: PrometheusClient, lake: Lake, known: KnownCluster | None) -> float | None:
    """Mean over metrics of the share (0 to 1) of stored samples of a cluster with which a server agrees.

    Days of an earlier release, which do not say what cluster they are of, count as its own until somebody confirms a
    rebuilt one.

    Args:
        client: the server.
        lake: the lake with the days of CLUSTER.
        known: the cluster; ``None``: only days of an earlier release are there.

    Returns:
        ``None``: nothing is stored, or the server has nothing of those instants any more, or not enough.
    """
    ids = {known.id} if known and known.who else {known.id if known else "", ""}
    shares: list[float] = []
    n_compared = 0
    for metric in COMPARED_METRICS:
        if len(shares) == MAX_COMPARED_METRICS:
            break
        compared, agreeing = _compared(client, *_newest_day(lake, metric, ids))
        n_compared += compared
        if compared:
            shares.append(agreeing / compared)
    return float(np.mean(shares)) if n_compared >= MIN_COMPARED else None


def _compared(client: PrometheusClient, metric: MetricSpec, wide: pd.DataFrame | None) -> tuple[int, int]:
    """Number of samples of a stored day of which the server has the instant, and with how many of them it agrees."""
    if wide is None or wide.empty:
        return 0, 0
    compared = agreeing = 0
    for row in np.unique(np.linspace(0, len(wide) - 1, COMPARED_INSTANTS + 2).astype(int)[1:-1]):
        try:
            answer = client.query(metric.promql, wide.index[row].to_pydatetime())
        except PrometheusUnreachable:
            raise
        except PrometheusError:
            return 0, 0
        theirs = {series_name(labels): value for labels, value in answer}
        ours = wide.iloc[row].dropna()
        if not theirs:
            continue
        compared += len(ours)
        agreeing += sum(
            name in theirs and bool(np.isclose(theirs[name], value, rtol=CLOSE, atol=0.0))
            for name, value in ours.items()
        )
    return compared, agreeing


def _newest_day(lake: Lake, metric: MetricSpec, ids: Set[str]) -> tuple[MetricSpec, pd.DataFrame | None]:
    """The newest stored day of a cluster but one, which is whole, or the newest: the metric as it was requested for it,
    and its samples; ``None``: there is none.
    """
    stored = readable_days(lake, metric)
    days = list(stored)[-COMPARED_DAYS:]
    for day in [*days[-2::-1], *days[-1:]]:
        try:
            wide, info = lake.read_day(stored[day], day)
        except (NotFoundError, IntegrityError):
            continue
        if info.cluster_id in ids:
            return stored[day], wide
    return metric, None
