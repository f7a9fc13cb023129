"""Used shares of what can run out, every five minutes, as the lake holds them: disks of nodes, volumes and quotas."""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from aiops_assets.datasets.nodes import node_of
from aiops_assets.errors import IntegrityError, NotFoundError
from aiops_assets.storage.lake import Lake
from aiops_assets.storage.lake_files import readable_days
from aiops_assets.timeseries.catalog import EACH_NODE_DISK, QUOTA_USAGE, VOLUME_USAGE, MetricSpec

DISK, VOLUME, MEMORY, QUOTA = "disk", "volume", "memory", "quota"
KINDS = (DISK, VOLUME, MEMORY, QUOTA)
"""What can run out: a node's root file system, a persistent volume, a pod's memory limit, a resource of a quota."""
METRIC_OF = {DISK: EACH_NODE_DISK, VOLUME: VOLUME_USAGE, QUOTA: QUOTA_USAGE}


@dataclass(frozen=True)
class Capacity:
    """Used shares of things of one kind; 1 is the limit.

    Attributes:
        kind: one of :data:`KINDS`.
        labels: n mappings, what names each thing.
        times: (n_rows,) instants, five minutes apart.
        values: (n, n_rows), NaN where there is no sample.
    """

    kind: str
    labels: tuple[Mapping[str, str], ...]
    times: pd.DatetimeIndex
    values: npt.NDArray[np.floating[Any]]


def read_capacities(lake: Lake, days: Sequence[date], times: pd.DatetimeIndex) -> tuple[Capacity, ...]:
    """Disks, volumes and quotas that have a sample at one of the instants; kinds without any are left out.

    Args:
        lake: the lake. A damaged file is a finding of the fetch, which replaces it.
        days: the days of the instants.
        times: the instants.

    Raises:
        StoreError: the lake cannot be read at all.
    """
    found = []
    for kind, metric in METRIC_OF.items():
        wide = _wide(lake, metric, days, times)
        if wide.shape[1]:
            labels = tuple(json.loads(str(name)) for name in wide.columns)
            found.append(Capacity(kind, labels, times, wide.to_numpy(dtype=np.float64).T))
    return tuple(found)


def _wide(lake: Lake, metric: MetricSpec, days: Sequence[date], times: pd.DatetimeIndex) -> pd.DataFrame:
    """Rows of the instants, a column a thing, named by its labels as JSON: the largest of its series."""
    asked = readable_days(lake, metric)
    parts = []
    for day in days:
        with suppress(NotFoundError, IntegrityError):
            wide = lake.read_day(asked.get(day, metric), day)[0]
            wide = wide[wide.index.isin(times)]
            names = np.array([_name(metric, json.loads(name)) for name in wide.columns], dtype=object)
            parts.append(wide.T.groupby(names).max().T.drop(columns="", errors="ignore"))
    found = pd.concat(parts) if parts else pd.DataFrame()
    return found.reindex(times).dropna(axis="columns", how="all")


def _name(metric: MetricSpec, labels: Mapping[str, str]) -> str:
    """Labels of a thing as JSON; empty where a series does not have them."""
    kept = {name: str(labels.get(name, "")) for name in metric.labels} or {"node": node_of(labels)}
    return json.dumps(kept, sort_keys=True) if all(kept.values()) else ""
