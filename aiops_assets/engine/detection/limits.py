"""A table of limits that hold whatever a model has learned.

The row detector learns what rows look like; a full node looks to it like a nearly full one. Each limit is far from
healthy rows as the engine's contract describes them (section 1.1b: ratios up to 0.7 with 5 % noise, constant restart
counts).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from types import MappingProxyType

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
from aiops_assets.engine.prediction.issue_rules import LEVEL_RULES
from aiops_assets.engine.samples import PERCENT_TO, Sample, Series
from aiops_assets.timeseries.catalog import ENGINE_METRICS, METRICS, NODE_CPU, NODE_MEMORY, POD_MEMORY, RESTARTS
from aiops_assets.timeseries.features import STATISTICS

DIFF, MIN_5M = STATISTICS.index("diff"), STATISTICS.index("min_5m")
MAX_EXCESS = 10.0
NO_SERIES: Mapping[str, Series] = MappingProxyType({})
RISING_FROM = 0.05
"""Least rise of a leak, as a share of the limit per hour: a pod that is nearly full and hardly grows has no leak."""


@dataclass(frozen=True)
class Limit:
    """The limit of one metric.

    Attributes:
        kind: kind of the anomaly when the limit is reached.
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


MEMORY_FULL = Limit(
    "memory_saturation",
    POD_MEMORY.name,
    bound=0.90,
    critical=0.99,
    why="at its memory limit, 1, the kernel kills a container",
    excess_at_bound=MEDIUM_FROM,
)
NODE_FULL = Limit(
    "node_pressure", NODE_MEMORY.name, 0.90, 0.97, "a node this full evicts pods soon; node alerts begin at 0.9"
)
CPU_FULL = Limit("cpu_saturation", NODE_CPU.name, 0.95, 0.99, "no CPU time is left, so that work queues up")
RESTARTING = Limit("restart_storm", RESTARTS.name, 3.0, 6.0, "three restarts in five minutes are a crash loop")
FILLING = Limit("memory_leak", POD_MEMORY.name, 1.0, 1.2, "at this rate the memory limit is reached within the hour")
DISK_FULL = Limit("disk_full", "disk_usage", 0.90, 0.97, "a kubelet evicts pods when less than a tenth is free")


def _as_alerted(metric: str, why: str) -> Limit:
    """A limit between the threshold of a host alert and the level at which an issue is nearly certain."""
    rule = next(rule for rule in LEVEL_RULES if metric in rule.metrics)
    return Limit("burst", metric, rule.limit, rule.levels[-1], why)


OTHERS: Mapping[str, Limit] = MappingProxyType(
    {
        limit.metric: limit
        for limit in (
            DISK_FULL,
            replace(CPU_FULL, metric="cluster_cpu_usage"),
            replace(NODE_FULL, metric="cluster_memory_usage"),
            replace(CPU_FULL, metric="cpu_usage_percent"),
            replace(MEMORY_FULL, metric="memory_usage_percent"),
            replace(DISK_FULL, metric="disk_usage_percent"),
            _as_alerted("error_rate", "so large a share of failed requests needs an alert"),
            _as_alerted("response_time_p95", "one of twenty requests takes over two seconds, which needs an alert"),
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
        expected: the 45 medians of training.
        series: name -> all samples, of the names with several.
    """
    found: list[Finding] = []
    for metric, limit, statistic in ((MEMORY, MEMORY_FULL, VALUE), (NODE, NODE_FULL, VALUE), (CPU, CPU_FULL, MIN_5M)):
        fullest = _fullest(row, metric, statistic, series)
        if fullest is not None and fullest[0] >= limit.bound:
            value, one = fullest
            expected_value = expected[one.index] * one.factor
            found.append(_finding(limit, one, expected_value, limit.excess(value), f"the limit is {limit.bound:g}"))
    restarts = _restarts(row)
    if restarts is not None:
        found.append(restarts)
    leak = _leak(row)
    if leak is not None:
        found.append(leak)
    return found


def above_other_limits(samples: Iterable[Sample], factors: Mapping[str, float], now: datetime) -> list[Finding]:
    """Findings about metrics without a column whose newest samples reach their limits; ``factors``: of the row."""
    found = []
    for sample in samples:
        limit = OTHERS.get(sample.name)
        if limit is None or (sample.name in SHARES and sample.name not in factors):
            continue
        factor = PERCENT_TO if sample.name.endswith("_percent") else factors.get(sample.name, 1.0)
        excess = limit.excess(sample.value / factor)
        if excess >= 0:
            expected_value = limit.bound * factor
            reason = f"{sample.name} is {shown(sample.value, factor)}, the limit is {limit.bound:g}: {limit.why}."
            time = sample.time or now
            found.append(
                Finding(
                    sample.name, sample.name, sample.value, expected_value, time, limit.kind, excess, reason, "limits"
                )
            )
    return found


def growth(row: SentRow) -> float:
    """Restarts of the last five minutes according to a row."""
    first = WIDTH * RESTART
    value, lag, diff = row.values[first + VALUE], row.values[first + LAG_5], row.values[first + DIFF]
    return max(value - lag, diff)


def _restarts(row: SentRow) -> Finding | None:
    grown = growth(row)
    if grown < RESTARTING.bound or RESTART not in row.sent:
        return None
    diff = _of_column(row, RESTART, DIFF)
    level = row.level(RESTART)
    if level is None or (diff is not None and diff.value >= grown):
        one = diff or row.sent[RESTART][0]
        expected_value = 0.0 if one.column.statistic in CHANGES else one.value - grown
    else:
        one, expected_value = level, level.value - grown
    return _finding(RESTARTING, one, expected_value, RESTARTING.excess(grown), f"{grown:g} more than before")


def _leak(row: SentRow) -> Finding | None:
    level = row.level(MEMORY)
    if level is None or MEMORY not in row.changes:
        return None
    change, trend = row.changes[MEMORY]
    per_hour = change / trend.column.hours
    reached = row.values[WIDTH * MEMORY + VALUE] + per_hour
    if per_hour < RISING_FROM or reached < FILLING.bound:
        return None
    return _finding(FILLING, trend, 0.0, FILLING.excess(reached), f"at a level of {shown(level.value, level.factor)}")


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


def _finding(limit: Limit, one: Sent, expected_value: float, excess: float, beside: str) -> Finding:
    reason = f"{one.name} is {shown(one.value, one.factor)}, {beside}: {limit.why}."
    return Finding(limit.metric, one.name, one.value, expected_value, one.time, limit.kind, excess, reason, "limits")
