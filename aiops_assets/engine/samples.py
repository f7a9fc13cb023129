"""Samples as clients send them, and what their names stand for.

Clients name one of the 45 feature columns, a metric of the catalogue, a short name of the documents, or anything else.
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
"""Distance of samples of one name that come without times (ADR-052 samples every five minutes)."""
PERCENT_FROM, PERCENT_TO = 2.0, 100.0
"""A ratio in this range is read as percent: a pod's memory may pass 1, twice its limit it cannot."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One value of one metric.

    Attributes:
        name: as sent.
        value: as sent, finite.
        time: with an offset; ``None`` where none was sent.
        labels: as sent.
    """

    name: str
    value: float
    time: datetime | None = None
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a name stands for.

    Attributes:
        metric: of the catalogue.
        statistic: one of the nine :data:`~aiops_assets.timeseries.features.STATISTICS`; ``change`` for the documents'
            trends, which are what a metric moved by over ``hours``.
        hours: of a ``change``.
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
"""The documents' short names: utilisations, so that cpu_usage is the share of the CPUs that is busy, not cores."""
MEANINGS: Mapping[str, Meaning] = MappingProxyType(
    {
        **{metric.name: Meaning(metric) for metric in ENGINE_METRICS},
        **{f"{metric.name}_{one}": Meaning(metric, one) for metric in ENGINE_METRICS for one in STATISTICS},
        **SHORT_NAMES,
    }
)
"""Names that the row detector has a column for."""
FORECASTED: Mapping[str, str] = MappingProxyType(
    {
        **{metric.name: metric.name for metric in FORECAST_METRICS},
        POD_CPU.name: "cpu_usage",
        NODE_CPU.name: "cpu_usage",
        POD_MEMORY.name: "memory_usage",
        "node_memory_utilization": "memory_usage",
    }
)
"""Names that a forecaster answers for -> the metric by which it knows them."""


def unit_factor(unit: str, values: Sequence[float]) -> float:
    """What values as sent are divided by to be in a unit: 100 where a ratio came in percent, else 1.

    All values of one name are judged together: 0.9 and 95 in one series are 0.9 % and 95 %.
    """
    if unit != "ratio" or not values:
        return 1.0
    largest = max(map(abs, values))
    return 100.0 if PERCENT_FROM < largest <= PERCENT_TO else 1.0


def in_percent(
    ratios: Mapping[Group, Sequence[float]], may_pass_one: Collection[Group] = ()
) -> tuple[frozenset[Group], frozenset[Group]]:
    """Which ratios of one request came in percent, and of which nobody can tell: a share of 1.5.

    One that is clearly percent, above 2, tells it of those above 1 too. What is not above 1 stays a ratio.

    Args:
        ratios: name, or whatever has one unit -> its levels as sent.
        may_pass_one: of these 1.5 is a ratio, and what others are in tells nothing of them.
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
        name: as sent.
        values: (n,) float64, as sent.
        times: (n,) datetime64[us], UTC.
        timed: whether the times were sent; otherwise they are five minutes apart and end now.
    """

    name: str
    values: Floats
    times: "np.ndarray[tuple[int], np.dtype[np.datetime64]]"
    timed: bool


def by_name(samples: Iterable[Sample], now: datetime) -> dict[str, Series]:
    """Samples of each name as a series, in the order in which names first come.

    Of two samples of one name and time the later sent one counts. Labels are not looked at:
    :func:`~aiops_assets.engine.pods.groups_of` keeps series apart that differ in them.

    Raises:
        DataError: of one name some samples have a time and some have none.
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
    if not all(timed):
        ends = int(now.timestamp()) - STEP_SECONDS * np.arange(len(values) - 1, -1, -1)
        return Series(name, values, ends.astype("datetime64[s]").astype("datetime64[us]"), timed=False)
    micros = np.array([round(s.time.timestamp() * 1e6) for s in samples if s.time], dtype=np.int64)
    order = np.argsort(micros, kind="stable")
    last_of_equal = np.append(micros[order][1:] != micros[order][:-1], True)
    kept = order[last_of_equal]
    return Series(name, values[kept], micros[kept].astype("datetime64[us]"), timed=True)
