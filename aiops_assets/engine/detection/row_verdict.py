"""The score of the row detector for one row, attributed to the metrics of the request."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from aiops_assets.engine.detection.findings import Finding, Kind, shown
from aiops_assets.engine.detection.limits import RESTART, RESTARTING, growth
from aiops_assets.engine.detection.sent_row import CHANGES, VALUE, WIDTH, Sent, SentRow
from aiops_assets.engine.models import ROW_DETECTOR
from aiops_assets.timeseries.catalog import ENGINE_METRICS, NODE_CPU, NODE_MEMORY, POD_CPU, POD_MEMORY
from aiops_assets.timeseries.features import STATISTICS
from aiops_assets.timeseries.series import Floats

SCORE_UNIT = 0.025
"""Difference of scores that is an excess of 1: scores are between -0.12 and 0.11, so that a node without any CPU time
left is critical and one at 0.9 is high."""
MIN_SHARE = 0.3
"""Least share of the contributions of a metric that is not the first; an even share of five is 0.2."""
STD, DIFF = STATISTICS.index("std_5m"), STATISTICS.index("diff")
HIGH_KINDS: dict[str, Kind] = {
    NODE_CPU.name: "cpu_spike",
    POD_CPU.name: "cpu_spike",
    POD_MEMORY.name: "memory_saturation",
    NODE_MEMORY.name: "node_pressure",
}
CPUS = (NODE_CPU.name, POD_CPU.name)
NEARLY_FULL = 0.75
"""Least memory ratio that is called nearly full; a high value below it is a burst."""
CLEAR_SPREADS = 2.0
"""Least deviation of a level, in spreads, that decides the kind of an anomaly; below it, changes do."""


class RowDetector(Protocol):
    """Scores rows of the 45 columns.

    Attributes:
        expected: (45,) medians of training.
        spread: (45,) typical distance of a column from its median, positive.
    """

    @property
    def expected(self) -> Floats:
        """(45,) medians of training."""

    @property
    def spread(self) -> Floats:
        """(45,) typical distance of a column from its median, positive."""

    def score(self, rows: Floats) -> Floats:
        """(n, 45) -> (n,), positive for an anomaly."""

    def contributions(self, row: Floats) -> Floats:
        """(45,) -> (5,): contributions of the engine's metrics to a row's score; they add up to 1, or to 0."""


def verdict(row: SentRow, detector: RowDetector) -> tuple[float, list[Finding]]:
    """The excess of a row, negative for a normal one, and the findings of an anomaly, one per metric.

    Contributions select the metrics; a finding is about the sent feature that deviates most, in spreads.
    """
    values = np.array(row.values)
    excess = float(detector.score(values[np.newaxis])[0]) / SCORE_UNIT
    if excess <= 0 or not row.sent:
        return min(excess, 0.0), []
    shares = [float(share) for share in detector.contributions(values)]
    expected, spread = detector.expected.tolist(), detector.spread.tolist()
    first = max(row.sent, key=lambda metric: shares[metric])
    named = [m for m in row.sent if m == first or shares[m] >= MIN_SHARE]
    found = []
    for metric in named:
        columns = [one for one in row.sent[metric] if one.column.statistic >= 0]
        if metric == RESTART:  # The total number of restarts says nothing, but its column deviates most.
            columns = [one for one in columns if one.column.statistic in CHANGES] or columns
        if not columns:
            continue
        one = max(columns, key=lambda sent: _spreads(sent, expected, spread))
        weight = shares[metric] / shares[first] if shares[first] > 0 else 1.0
        found.append(_finding(row, one, expected, spread, shares[metric], excess * min(weight, 1.0)))
    return excess, found


def kind_of(metric: str, value: float, above: bool) -> Kind:
    """The kind of an anomaly of a metric with a value (in its unit) above or below the expected one."""
    if not above:
        return "drop"
    if metric in CPUS or value >= NEARLY_FULL:
        return HIGH_KINDS.get(metric, "burst")
    return "burst"


def _spreads(one: Sent, expected: Sequence[float], spread: Sequence[float]) -> float:
    return abs(one.value / one.factor - expected[one.index]) / max(spread[one.index], 1e-12)


def _finding(
    row: SentRow, one: Sent, expected: Sequence[float], spread: Sequence[float], share: float, excess: float
) -> Finding:
    expected_value = expected[one.index] * one.factor
    kind = _kind(row, one, expected, spread)
    metric = ENGINE_METRICS[one.column.metric].name
    if one.column.metric == RESTART and one.column.statistic not in CHANGES:
        expected_value = one.value - growth(row)
    reason = (
        f"{one.name} is {shown(one.value, one.factor)}, expected {expected_value:.4g}: "
        f"the anomaly-detector was trained on rows unlike this one, and this metric contributes {share:.0%} of that."
    )
    return Finding(metric, one.name, one.value, expected_value, one.time, kind, excess, reason, ROW_DETECTOR)


def _kind(row: SentRow, one: Sent, expected: Sequence[float], spread: Sequence[float]) -> Kind:
    metric = ENGINE_METRICS[one.column.metric].name
    if one.column.metric == RESTART:
        return "restart_storm" if growth(row) >= RESTARTING.bound else "restart"
    first = WIDTH * one.column.metric
    column = one.index if one.column.statistic not in CHANGES else first + VALUE
    value, away = row.values[column], row.values[column] - expected[column]
    if column == one.index or abs(away) >= CLEAR_SPREADS * spread[column]:
        return kind_of(metric, value, away >= 0)
    diff = row.values[first + DIFF]
    if one.column.statistic == STD and abs(diff) < row.values[first + STD]:
        return "swing"
    return kind_of(metric, row.values[first + VALUE], diff > 0)
