"""What of a training set is known, and what is a fill-in: metrics that pods lack, and nodes that were missing."""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import date

import numpy as np
import numpy.typing as npt
import pandas as pd

from aiops_assets.datasets.notes import Note
from aiops_assets.datasets.window import Window
from aiops_assets.errors import IntegrityError, NotFoundError
from aiops_assets.storage.lake import Lake
from aiops_assets.storage.records import FewerNodes, KnownMetric
from aiops_assets.timeseries.catalog import ENGINE_METRICS, MetricSpec
from aiops_assets.timeseries.quality import NOTABLE_FILLED, known_rows
from aiops_assets.timeseries.series import Floats
from aiops_assets.timeseries.shape import NODE_LABELS
from aiops_assets.views.catalog import View

MAX_NAMES = 10
"""Number of pods that a record names for a metric; it has their number, too."""
MAX_NODES = 5
"""Number of missing nodes that a record names."""
NODE_METRICS = tuple(metric for metric in ENGINE_METRICS if metric.per == "node")
HOUR_SECONDS = 3600
MIN_AWAY = 0.1
"""A node that was away for less than this share of the time in which any was missing is not named."""
BRIEF = 0.05
"""A number of nodes that was reached for less than this share of the time is no norm: nodes are replaced one by one."""


def known_metrics(view: View, rows: pd.DataFrame, window: Window | None = None) -> dict[str, KnownMetric]:
    """Metric -> in how many fetched rows it is known; empty where no row was fetched.

    Args:
        view: view of the rows.
        rows: rows of the view, fetched and generated ones.
        window: what the lake holds, to count also the pods that were not drawn.
    """
    # Rows of the first releases do not tell where they are from.
    fetched = rows[rows["source"] == "prometheus"] if "source" in rows else rows[:0]
    found = {}
    for name, one in known_rows(view.known(fetched), fetched["pod"]).items() if len(fetched) else ():
        elsewhere = window.lacking(name) if window else ()
        partly = set(elsewhere).intersection(fetched["pod"].unique()) - set(one.lacking)
        found[name] = KnownMetric(
            share=one.known / one.rows,
            rows=one.rows,
            known=one.known,
            pods=one.pods,
            lacking=len(one.lacking),
            partly=len(partly),
            window_pods=len(window.lasting) if window and name in window.minutes_of else 0,
            window_lacking=len(elsewhere),
            names=(one.lacking or elsewhere)[:MAX_NAMES],
        )
    return found


def fewer_nodes(lake: Lake, days: Sequence[date]) -> dict[str, FewerNodes]:
    """Node metric -> how many nodes were missing for a part of these days; metrics with all nodes are left out.

    Of a metric with a series a node, nodes are told apart by their labels: a second scrape job is no second node. Of an
    average, they are counted by the companion that is fetched beside it. Days without either are not counted.
    """
    found = {}
    for metric in NODE_METRICS:
        there = _nodes_of(lake, metric, days) if metric.counts_series else pd.DataFrame()
        counts = there.sum(axis=1).to_numpy() if metric.counts_series else _counts(lake, metric.members, days)
        if not len(counts):
            continue
        most = float(np.quantile(counts, 1 - BRIEF, method="lower"))
        missing = counts < most
        if missing.any():
            found[metric.name] = FewerNodes(
                least=int(counts.min()),
                most=int(most),
                hours=float(missing.sum()) * metric.members.step_seconds / HOUR_SECONDS,
                share=float(missing.mean()),
                names=_most_missing(there, missing) if metric.counts_series else (),
            )
    return found


def notes_on(known: Mapping[str, KnownMetric]) -> list[Note]:
    """Notes on each metric that more than a tenth of the rows, or of the pods, lack."""
    notes = []
    for name, one in known.items():
        without = one.window_lacking / one.window_pods if one.window_pods else 0.0
        if (one.lacking or one.window_lacking) and max(1 - one.share, without) > NOTABLE_FILLED:
            counts = one.model_dump(exclude={"rows", "known", "partly"})
            notes.append(Note("metric_not_judged", metric=name, **counts))
        if one.partly > NOTABLE_FILLED * one.pods:
            notes.append(Note("metric_part_of_life", metric=name, partly=one.partly, pods=one.pods))
    return notes


def unknown_metrics(known: Mapping[str, KnownMetric]) -> list[Note]:
    """A note on each metric that no row knows: nothing can be learned of it."""
    return [Note("metric_unknown", metric=name, pods=one.pods) for name, one in known.items() if not one.known]


def notes_on_nodes(nodes: Mapping[str, FewerNodes]) -> list[Note]:
    """A note on missing nodes, one for all metrics that lack as many, with the names that one of them has."""
    alike: dict[FewerNodes, list[str]] = {}
    named: dict[FewerNodes, tuple[str, ...]] = {}
    for name, one in nodes.items():
        nameless = one.model_copy(update={"names": ()})
        alike.setdefault(nameless, []).append(name)
        named[nameless] = named.get(nameless) or one.names
    return [
        Note("missing_nodes", metrics=tuple(names), **one.model_copy(update={"names": named[one]}).model_dump())
        for one, names in alike.items()
    ]


def _nodes_of(lake: Lake, metric: MetricSpec, days: Sequence[date]) -> pd.DataFrame:
    """Whether each node has a sample, (n_instants, n_nodes) bool, at the companion's instants at which any has one."""
    parts = []
    for day in days:
        with suppress(NotFoundError, IntegrityError):  # a damaged file is a finding of the fetch, which replaces it
            wide = lake.read_day(metric, day)[0]
            wide = wide[pd.DatetimeIndex(wide.index).as_unit("s").asi8 % metric.members.step_seconds == 0]
            parts.append(wide.notna().T.groupby([_node_of(name) for name in wide.columns]).any().T)
    there = pd.concat(parts).fillna(False).astype(bool) if parts else pd.DataFrame()
    return there[there.any(axis=1)]


def _most_missing(there: pd.DataFrame, missing: npt.NDArray[np.bool_]) -> tuple[str, ...]:
    """Names of the first nodes, in the order of how long they were away while any was missing.

    Args:
        there: (n_instants, n_nodes) bool, whether a node has a sample.
        missing: (n_instants,) whether fewer nodes than usual have one.
    """
    away = 1 - there[missing].mean()
    away = away[away >= MIN_AWAY].sort_values(ascending=False, kind="stable")
    return tuple(str(name).partition("=")[2] or str(name) for name in away.index[:MAX_NODES])


def _node_of(series: str) -> str:
    """The node that a series belongs to, by its labels as JSON; all labels, where none of them names one."""
    labels = json.loads(series)
    return next((f"{key}={labels[key]}" for key in NODE_LABELS if labels.get(key)), series)


def _counts(lake: Lake, companion: MetricSpec, days: Sequence[date]) -> Floats:
    """Stored counts of a companion, (n_instants,), without those that are missing."""
    parts = [np.empty(0)]
    for day in days:
        with suppress(NotFoundError, IntegrityError):  # a damaged file is a finding of the fetch, which replaces it
            parts.append(lake.read_day(companion, day)[0].to_numpy(dtype=np.float64).ravel())
    counts = np.concatenate(parts)
    return counts[np.isfinite(counts)]
