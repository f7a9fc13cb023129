"""Rows of each node, every five minutes, as the lake holds them: what the page decision judges of nodes."""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd

from aiops_assets.errors import IntegrityError, NotFoundError
from aiops_assets.storage.lake import Lake
from aiops_assets.storage.lake_files import readable_days
from aiops_assets.timeseries.catalog import EACH_NODE_CPU, EACH_NODE_DISK, NODE_MEMORY, MetricSpec
from aiops_assets.timeseries.series import Floats
from aiops_assets.timeseries.shape import NODE_LABELS

NODE_METRICS = (EACH_NODE_CPU, NODE_MEMORY, EACH_NODE_DISK)


@dataclass(frozen=True)
class NodeHistory:
    """Metrics of some nodes.

    Attributes:
        names: n nodes, in order.
        times: (n_rows,) instants.
        values: name of a metric of NODE_METRICS -> (n, n_rows), NaN where a node has no sample.
    """

    names: tuple[str, ...]
    times: pd.DatetimeIndex
    values: Mapping[str, Floats]


def read_nodes(lake: Lake, days: Sequence[date], times: pd.DatetimeIndex) -> NodeHistory | None:
    """Metrics of all nodes that have a sample at one of the instants; ``None``: no node has.

    Args:
        lake: the lake. A damaged file is a finding of the fetch, which replaces it.
        days: the days of the instants.
        times: the instants.

    Raises:
        StoreError: the lake cannot be read at all.
    """
    found = {metric.name: _of_nodes(lake, metric, days, times) for metric in NODE_METRICS}
    names = tuple(sorted(set[str]().union(*(frame.columns for frame in found.values()))))
    if not names:
        return None
    values = {name: frame.reindex(columns=list(names)).to_numpy(dtype=np.float64).T for name, frame in found.items()}
    return NodeHistory(names, times, values)


def node_of(labels: Mapping[str, object]) -> str:
    """The node that a series belongs to; empty where no label names one."""
    return next((str(labels[name]) for name in NODE_LABELS if labels.get(name)), "")


def _of_nodes(lake: Lake, metric: MetricSpec, days: Sequence[date], times: pd.DatetimeIndex) -> pd.DataFrame:
    """Rows of the instants, a column a node: the largest of its series."""
    asked = readable_days(lake, metric)
    parts = []
    for day in days:
        with suppress(NotFoundError, IntegrityError):
            wide = lake.read_day(asked.get(day, metric), day)[0]
            wide = wide[wide.index.isin(times)]
            nodes = [node_of(json.loads(name)) for name in wide.columns]
            parts.append(wide.T.groupby(np.array(nodes, dtype=object)).max().T.drop(columns="", errors="ignore"))
    return (pd.concat(parts) if parts else pd.DataFrame()).reindex(times)
