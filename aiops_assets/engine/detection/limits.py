"""Findings about metrics at their limits, whatever a model has learned.

The row detector learns what rows look like; a full node looks to it like a nearly full one. The limits are those of
:mod:`aiops_assets.outlook.limits`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType

import numpy as np

from aiops_assets.engine.detection.findings import CRITICAL_FROM, HIGH_FROM, MEDIUM_FROM, Finding, Kind, shown
from aiops_assets.engine.detection.sent_row import (
    CHANGES,
    LAG_5,
    MEMORY,
    SHARES,
    VALUE,
    WIDTH,
    Sent,
    SentRow,
    statistics_of,
)
from aiops_assets.engine.restarts import newest_restarts
from aiops_assets.engine.samples import PERCENT_TO, Sample, Series
from aiops_assets.outlook.limits import (
    LIMITS,
    RESTARTS_AN_HOUR,
    RESTARTS_AN_HOUR_CRITICAL,
    RESTARTS_AT_ONCE,
    RESTARTS_AT_ONCE_CRITICAL,
    THROTTLING,
    Limit,
)
from aiops_assets.timeseries.catalog import ENGINE_METRICS, METRICS, NODE_CPU, NODE_MEMORY, POD_MEMORY, RESTARTS
from aiops_assets.timeseries.features import STATISTICS

DIFF, MIN_5M = STATISTICS.index("diff"), STATISTICS.index("min_5m")
MAX_EXCESS = 10.0
NO_SERIES: Mapping[str, Series] = MappingProxyType({})
FIVE_MINUTES, MAX_HOURS = 5.5 / 60, 2.0
"""Hours; samples of restarts that lie farther apart than the latter tell no rate."""
NEWEST = 3
"""Newest samples that are no reference for what is expected."""


@dataclass(frozen=True)
class Bound:
    """What a metric at its limit means.

    Attributes:
        kind: kind of the anomaly.
        metric: name in the catalogue.
        bound: the limit, in the metric's unit.
        critical: value from which on it is critical, in the same unit.
        why: explanation for people.
        excess_at_bound: excess at the limit; 2 is high, 1 medium.
    """

    kind: Kind
    metric: str
    bound: float
    critical: float
    why: str
    excess_at_bound: float = HIGH_FROM

    def excess(self, value: float) -> float:
        """Linear from ``excess_at_bound`` at the limit to 4 at ``critical``, at most 10; negative below the limit."""
        if value < self.bound:
            return -1.0
        share = (value - self.bound) / (self.critical - self.bound)
        return min(self.excess_at_bound + share * (CRITICAL_FROM - self.excess_at_bound), MAX_EXCESS)


def _bound(metric: str, kind: Kind, why: str, excess_at_bound: float = HIGH_FROM) -> Bound:
    limit: Limit = LIMITS[metric]
    return Bound(kind, metric, limit.alert, limit.critical, why, excess_at_bound)


FILLING = Bound("memory_leak", POD_MEMORY.name, 1.0, 1.2, "at this rate the memory limit is reached within the hour")
KILLED = "at its memory limit, 1, the kernel kills a container"
EVICTS = "a node this full evicts pods soon; node alerts begin at 0.9"
NO_CPU = "no CPU time is left, so that work queues up"
NO_DISK = "a kubelet evicts pods when less than a tenth is free"
THROTTLES = "a CPU limit stops the container in so many of its periods that it answers late"
MEMORY_FULL = _bound(POD_MEMORY.name, "memory_saturation", KILLED, MEDIUM_FROM)
NODE_FULL = _bound(NODE_MEMORY.name, "node_pressure", EVICTS)
CPU_FULL = _bound(NODE_CPU.name, "cpu_saturation", NO_CPU)
RESTARTING = Bound(
    "restart_storm",
    RESTARTS.name,
    RESTARTS_AT_ONCE,
    RESTARTS_AT_ONCE_CRITICAL,
    "three restarts in five minutes are a crash loop",
)
RESTARTING_SLOWLY = Bound(
    "restart_storm",
    RESTARTS.name,
    RESTARTS_AN_HOUR,
    RESTARTS_AN_HOUR_CRITICAL,
    "three restarts in an hour are a crash loop; at the cap of the back-off there is one every five minutes",
)
OTHERS: Mapping[str, Bound] = MappingProxyType(
    {
        bound.metric: bound
        for bound in (
            _bound("disk_usage", "disk_full", NO_DISK),
            _bound("disk_usage_percent", "disk_full", NO_DISK),
            _bound("cluster_cpu_usage", "cpu_saturation", NO_CPU),
            _bound("cluster_memory_usage", "node_pressure", EVICTS),
            _bound("cpu_usage_percent", "cpu_saturation", NO_CPU),
            _bound("memory_usage_percent", "memory_saturation", KILLED, MEDIUM_FROM),
            *(_bound(name, "cpu_saturation", THROTTLES, MEDIUM_FROM) for name in THROTTLING),
            _bound("error_rate", "burst", "so large a share of failed requests needs an alert"),
            _bound("response_time_p95", "burst", "one of twenty requests takes over two seconds, which needs an alert"),
        )
    }
)
"""Limits of metrics without a column of the row detector, also of host metrics (engine contract, section 4)."""
UNITS = {metric.name: metric.unit for metric in METRICS}
CPU, NODE, RESTART = (ENGINE_METRICS.index(metric) for metric in (NODE_CPU, NODE_MEMORY, RESTARTS))


def above_limits(row: SentRow, expected: list[float], series: Mapping[str, Series] = NO_SERIES) -> list[Finding]:
    """Findings about the engine's metrics that reach their limits.

    Args:
        row: row of the newest samples.
        expected: the 45 medians of training, which are expected of metrics without a history in the request.
        series: name -> all samples, of the names with several.
    """
    found: list[Finding] = []
    for metric, limit, statistic in ((MEMORY, MEMORY_FULL, VALUE), (NODE, NODE_FULL, VALUE), (CPU, CPU_FULL, MIN_5M)):
        fullest = _fullest(row, metric, statistic, series)
        if fullest is not None and fullest[0] >= limit.bound:
            value, one = fullest
            expected_value = usual_of(one.name, series, limit.bound * one.factor, expected[one.index] * one.factor)
            beside = f"the limit is {limit.bound * one.factor:g}"
            found.append(_finding(limit, one, expected_value, limit.excess(value), beside))
    restarts = _restarts(row, series)
    if restarts is not None:
        found.append(restarts)
    return found


def above_other_limits(
    samples: Iterable[Sample], factors: Mapping[str, float], now: datetime, series: Mapping[str, Series] = NO_SERIES
) -> list[Finding]:
    """Findings about metrics without a column whose newest samples reach their limits; ``factors``: of the row."""
    found = []
    for sample in samples:
        limit = OTHERS.get(sample.name)
        if limit is None or (sample.name in SHARES and sample.name not in factors):
            continue
        factor = PERCENT_TO if sample.name.endswith("_percent") else factors.get(sample.name, 1.0)
        excess = limit.excess(sample.value / factor)
        if excess >= 0:
            bound = limit.bound * factor
            expected_value = usual_of(sample.name, series, bound, LIMITS[sample.name].typical * factor)
            reason = f"{sample.name} is {shown(sample.value, factor)}, the limit is {bound:g}: {limit.why}."
            found.append(
                Finding(
                    sample.name,
                    sample.name,
                    sample.value,
                    expected_value,
                    sample.time or now,
                    limit.kind,
                    excess,
                    reason,
                    "limits",
                    bound,
                )
            )
    return found


def usual_of(name: str, series: Mapping[str, Series], bound: float, otherwise: float) -> float:
    """What is usual of a metric, in the unit as sent: the median of its samples before the newest three.

    Args:
        name: name as sent.
        series: name -> all samples, of the names with several.
        bound: its limit: a median beyond it is that of the incident.
        otherwise: what is usual where the request does not tell.
    """
    before = series[name].values[:-NEWEST] if name in series else np.empty(0)
    median = float(np.median(before)) if len(before) else otherwise
    return min(median, otherwise) if median >= bound else median


def growth(row: SentRow) -> float:
    """Restarts of the last five minutes according to a row."""
    first = WIDTH * RESTART
    value, lag, diff = row.values[first + VALUE], row.values[first + LAG_5], row.values[first + DIFF]
    return max(value - lag, diff)


def _restarts(row: SentRow, series: Mapping[str, Series]) -> Finding | None:
    if RESTART not in row.sent:
        return None
    level = row.level(RESTART)
    if level is not None and level.name in series:
        grown, hours = newest_restarts(series[level.name])
        at_once = newest_restarts(series[level.name], FIVE_MINUTES)[0]
        if at_once < RESTARTING.bound:
            if grown < RESTARTING_SLOWLY.bound or hours > MAX_HOURS:
                return None
            beside = f"{grown:g} more than {hours:.1f} h before"
            excess, usual = RESTARTING_SLOWLY.excess(grown), level.value - grown
            return _finding(
                RESTARTING_SLOWLY,
                level,
                level.value - grown,
                excess,
                beside,
                level.value - grown + RESTARTING_SLOWLY.bound,
            )
        grown = at_once
    else:
        grown = growth(row)
    if grown < RESTARTING.bound:
        return None
    diff = _of_column(row, RESTART, DIFF)
    if level is None or (diff is not None and diff.value >= grown):
        one = diff or row.sent[RESTART][0]
        usual = 0.0 if one.column.statistic in CHANGES else one.value - grown
    else:
        one, usual = level, level.value - grown
    excess, beside = RESTARTING.excess(grown), f"{grown:g} more than before"
    return _finding(RESTARTING, one, usual, excess, beside, usual + RESTARTING.bound)


def _fullest(row: SentRow, metric: int, statistic: int, series: Mapping[str, Series]) -> tuple[float, Sent] | None:
    """The largest value of a statistic over all names of a metric, and its sample; the row holds only one of them."""
    level = row.level(metric) or _of_column(row, metric, statistic)
    if level is None:
        return None
    value, fullest = row.values[WIDTH * metric + statistic], level
    for one in row.sent[metric]:
        if one is level or not one.column.bare:
            continue
        reported = statistics_of(one, series.get(one.name))[statistic]
        if reported > value:
            value, fullest = reported, one
    return value, fullest


def _of_column(row: SentRow, metric: int, statistic: int) -> Sent | None:
    return next((one for one in row.sent.get(metric, ()) if one.column.statistic == statistic), None)


def _finding(
    limit: Bound, one: Sent, expected_value: float, excess: float, beside: str, bound: float | None = None
) -> Finding:
    reason = f"{one.name} is {shown(one.value, one.factor)}, {beside}: {limit.why}."
    return Finding(
        limit.metric,
        one.name,
        one.value,
        expected_value,
        one.time,
        limit.kind,
        excess,
        reason,
        "limits",
        limit.bound * one.factor if bound is None else bound,
    )
