"""Samples of requests, and the meaning of their names.

A name is one of the 45 feature columns, a metric of the catalogue, a short name of the documents, or anything else.
Source: engine contract, sections 1.1 and 2.2; ADR-009's request example for the short names.
"""

from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import TypeVar

import numpy as np

from aiops_assets.errors import DataError
from aiops_assets.timeseries.catalog import (
    ENGINE_METRICS,
    FORECAST_METRICS,
    NODE_CPU,
    POD_CPU,
    POD_MEMORY,
    RESTARTS,
    MetricSpec,
)
from aiops_assets.timeseries.features import STATISTICS
from aiops_assets.timeseries.series import Floats

Group = TypeVar("Group", bound=Hashable)
STEP_SECONDS = 300
"""Distance in seconds of samples of one name without times (ADR-052 samples every five minutes)."""
PERCENT_FROM, PERCENT_TO = 2.0, 100.0
"""A ratio in this range is read as percent: a pod's memory may be above 1, but not above twice its limit."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One value of one metric.

    Attributes:
        name: name as sent.
        value: value as sent, finite.
        time: time with an offset; ``None`` if none was sent.
        labels: labels as sent.
    """

    name: str
    value: float
    time: datetime | None = None
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Meaning:
    """The meaning of a name.

    Attributes:
        metric: metric of the catalogue.
        statistic: one of the nine :data:`~aiops_assets.timeseries.features.STATISTICS`; ``change`` for the documents'
            trends, which are the change of a metric over ``hours``.
        hours: hours of a ``change``.
    """

    metric: MetricSpec
    statistic: str = "value"
    hours: float = 0.0


CHANGE = "change"
SHORT_NAMES: Mapping[str, Meaning] = MappingProxyType(
    {
        "cpu_usage": Meaning(NODE_CPU),
        "memory_usage": Meaning(POD_MEMORY),
        "container_restarts": Meaning(RESTARTS),
        "cpu_trend_5m": Meaning(NODE_CPU, CHANGE, 5 / 60),
        "memory_trend_1h": Meaning(POD_MEMORY, CHANGE, 1.0),
    }
)
"""Short names of the documents, which are utilisations: cpu_usage is the busy share of the CPUs, not cores."""
MEANINGS: Mapping[str, Meaning] = MappingProxyType(
    {
        **{metric.name: Meaning(metric) for metric in ENGINE_METRICS},
        **{f"{metric.name}_{one}": Meaning(metric, one) for metric in ENGINE_METRICS for one in STATISTICS},
        **SHORT_NAMES,
    }
)
"""Names with a column of the row detector."""
FORECASTED: Mapping[str, str] = MappingProxyType(
    {
        **{metric.name: metric.name for metric in FORECAST_METRICS},
        POD_CPU.name: "cpu_usage",
        NODE_CPU.name: "cpu_usage",
        POD_MEMORY.name: "memory_usage",
        "node_memory_utilization": "memory_usage",
    }
)
"""Names that a forecaster forecasts -> its metric."""


def unit_factor(unit: str, values: Sequence[float]) -> float:
    """Divisor of values as sent that gives a unit: 100 for a ratio in percent, else 1.

    All values of one name are judged together: 0.9 and 95 in one series are 0.9 % and 95 %.
    """
    if unit != "ratio" or not values:
        return 1.0
    largest = max(map(abs, values))
    return 100.0 if PERCENT_FROM < largest <= PERCENT_TO else 1.0


def in_percent(
    ratios: Mapping[Group, Sequence[float]], may_pass_one: Collection[Group] = ()
) -> tuple[frozenset[Group], frozenset[Group]]:
    """The ratios of a request that are percent, and those that may be either, such as 1.5.

    If one is clearly percent, above 2, those above 1 are percent too. Values of at most 1 are ratios.

    Args:
        ratios: name, or another group with one unit -> its levels as sent.
        may_pass_one: those that may be above 1 as a ratio; they do not depend on the others.
    """
    clearly = {group for group, levels in ratios.items() if unit_factor("ratio", levels) != 1.0}
    between = {
        group
        for group, levels in ratios.items()
        if group not in may_pass_one and levels and 1.0 < max(levels) <= PERCENT_FROM
    }
    return (frozenset(clearly | between), frozenset()) if clearly else (frozenset(), frozenset(between))


@dataclass(frozen=True)
class Series:
    """All samples of one name, oldest first.

    Attributes:
        name: name as sent.
        values: (n,) float64, as sent.
        times: (n,) datetime64[us], UTC.
        timed: whether the times were sent; otherwise they are five minutes apart and end now.
    """

    name: str
    values: Floats
    times: "np.ndarray[tuple[int], np.dtype[np.datetime64]]"
    timed: bool


def by_name(samples: Iterable[Sample], now: datetime) -> dict[str, Series]:
    """Samples of each name as a series, in order of first appearance.

    Of two samples with the same name and time, the one sent later is used. Labels are ignored:
    :func:`~aiops_assets.engine.pods.groups_of` separates series that differ in them.

    Raises:
        DataError: some samples of a name have a time and some have none.
    """
    grouped: dict[str, list[Sample]] = {}
    for sample in samples:
        grouped.setdefault(sample.name, []).append(sample)
    return {name: _series(name, found, now) for name, found in grouped.items()}


def _series(name: str, samples: list[Sample], now: datetime) -> Series:
    timed = [sample.time is not None for sample in samples]
    if any(timed) and not all(timed):
        raise DataError(f"{name}: some samples have a timestamp and some have none: send one with each, or none at all")
    values = np.array([sample.value for sample in samples], dtype=np.float64)
    meaning = MEANINGS.get(name)
    is_count = meaning is not None and meaning.metric.unit == "count" and meaning.statistic == "value"
    if not all(timed):
        values = without_returns(values) if is_count else values
        ends = int(now.timestamp()) - STEP_SECONDS * np.arange(len(values) - 1, -1, -1)
        return Series(name, values, ends.astype("datetime64[s]").astype("datetime64[us]"), timed=False)
    micros = np.array([round(s.time.timestamp() * 1e6) for s in samples if s.time], dtype=np.int64)
    order = np.argsort(micros, kind="stable")
    last_of_equal = np.append(micros[order][1:] != micros[order][:-1], True)
    kept = order[last_of_equal]
    values = without_returns(values[kept]) if is_count else values[kept]
    return Series(name, values, micros[kept].astype("datetime64[us]"), timed=True)


def without_returns(counts: Floats) -> Floats:
    """A cumulative count without falls that it comes back from at once: nothing was counted in between.

    The count of a pod is 0 for as long as its metrics cannot be read, and then what it was before. A count that climbs
    back step by step is that of a new pod, and stays as it is.

    Args:
        counts: (n,) float64, oldest first.
    """
    falls = np.flatnonzero(counts[1:] < counts[:-1]) + 1
    if not len(falls):
        return counts
    whole = counts.copy()
    for fall in falls:
        moved = np.flatnonzero(counts[fall:] != counts[fall])
        if len(moved) and counts[fall + moved[0]] >= whole[fall - 1]:
            whole[fall : fall + moved[0]] = whole[fall - 1]
    return whole
