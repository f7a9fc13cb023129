"""Rows of each node, every five minutes, as the lake holds them: what the page decision judges of nodes."""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd

from aiops_assets.datasets.row_days import RowDays, row_instants
from aiops_assets.errors import IntegrityError, NotFoundError
from aiops_assets.storage.day_rows import RowCopies
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


def read_nodes(lake: Lake, copies: RowCopies, days: Sequence[date], times: pd.DatetimeIndex) -> NodeHistory | None:
    """Metrics of all nodes that have a sample at one of the instants; ``None``: no node has.

    Args:
        lake: the lake. A damaged file is a finding of the fetch, which replaces it.
        copies: of the rows of its closed days.
        days: the days of the instants.
        times: the instants.

    Raises:
        StoreError: the lake cannot be read at all.
    """
    found = {metric.name: _of_nodes(lake, copies, metric, days, times) for metric in NODE_METRICS}
    names = tuple(sorted(set[str]().union(*found.values())))
    if not names:
        return None
    unknown = np.full(len(times), np.nan)
    values = {name: np.stack([rows.get(node, unknown) for node in names]) for name, rows in found.items()}
    return NodeHistory(names, times, values)


def node_of(labels: Mapping[str, object]) -> str:
    """The node that a series belongs to; empty where no label names one."""
    return next((str(labels[name]) for name in NODE_LABELS if labels.get(name)), "")


def _of_nodes(
    lake: Lake, copies: RowCopies, metric: MetricSpec, days: Sequence[date], times: pd.DatetimeIndex
) -> dict[str, Floats]:
    """Node -> (n_rows,) rows of the instants: the largest of its series."""
    asked = readable_days(lake, metric)
    reader = RowDays(lake, copies, f"{metric.name}-nodes", _node_of_series, _largest)
    found: dict[str, Floats] = {}
    for day in days:
        with suppress(NotFoundError, IntegrityError):
            rows = reader.day(asked.get(day, metric), day)
            at = times.get_indexer(pd.DatetimeIndex(row_instants(day).view("M8[us]"), tz="UTC"))
            for part, names in rows.names.items():
                for name, values in zip(names, rows.part(part), strict=True):
                    if np.isfinite(values[at >= 0]).any():
                        found.setdefault(name, np.full(len(times), np.nan))[at[at >= 0]] = values[at >= 0]
    return found


def _node_of_series(name: str) -> str:
    return node_of(json.loads(name))


def _largest(series: Floats) -> Floats:
    found: Floats = np.fmax.reduce(series, axis=0)
    return found
