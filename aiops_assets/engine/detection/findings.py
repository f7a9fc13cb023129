"""Findings of detectors, and the anomalies of an answer: confidence, severity, values in the unit as sent.

Each detector reports its *excess*, the distance above its own alert threshold on a common scale: it is 0 at the
threshold, and severities begin at fixed excesses. So a forest, a table of limits and a history can be compared.
"""

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from aiops_assets.engine.models import Judge
from aiops_assets.outlook.breaches import SEVERITIES, Severity

Kind = Literal[
    "cpu_spike",
    "cpu_saturation",
    "memory_saturation",
    "memory_leak",
    "node_pressure",
    "disk_full",
    "restart_storm",
    "restart",
    "burst",
    "drop",
    "level_shift",
    "swing",
]
"""Kinds of anomalies. ``burst`` and ``drop``: a metric without a kind of its own rises, or any metric falls;
``level_shift``: the newest samples keep a new level; ``swing``: only the changes are anomalous."""

THRESHOLD_SCORE, MAX_SCORE, MAX_EXCESS = 3.0, 100.0, 100.0
MEDIUM_FROM, HIGH_FROM, CRITICAL_FROM = 1.0, 2.0, 4.0
"""Excesses at which severities begin."""


@dataclass(frozen=True)
class Finding:
    """The finding of one detector about one metric.

    Attributes:
        metric: name in the catalogue, or the name as sent if it is unknown; an answer has one anomaly per metric.
        name: name as sent.
        value, expected: the value and the usual one, in the unit as sent.
        time: time of the sample, with an offset.
        kind: kind of the anomaly.
        excess: distance above the detector's threshold, not negative.
        reason: a sentence for people.
        judge: the detector.
        limit: the bound that the value passes, in the unit as sent; ``None`` for detectors without one.
    """

    metric: str
    name: str
    value: float
    expected: float
    time: datetime
    kind: Kind
    excess: float
    reason: str
    judge: Judge
    limit: float | None = None


@dataclass(frozen=True)
class Anomaly:
    """One anomaly of an answer.

    Attributes:
        metric_name, value: name and value as sent.
        expected, deviation: the usual value, in the same unit, and ``value - expected``.
        severity: see :func:`severity_of`.
        confidence: 0.5-1, see :func:`confidence_of`.
        timestamp: time of the sample, with an offset.
        reason: a sentence for people.
        kind: kind of the anomaly.
        limit: the bound that the value passes, in the same unit; ``None`` for detectors without one.
        namespace, pod: the pod in the labels of its samples, and its namespace; empty where they name none.
        workload: what made the pod, by its label ``workload`` or else by its name; empty without a pod.
        labels: labels that distinguish its samples from others of this name and pod; mostly empty.
    """

    metric_name: str
    value: float
    expected: float
    deviation: float
    severity: Severity
    confidence: float
    timestamp: datetime
    reason: str
    kind: Kind
    limit: float | None = None
    namespace: str = ""
    pod: str = ""
    workload: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)


def confidence_of(excess: float) -> float:
    """Confidence (0-1) that something is an anomaly: the Laplace distribution function at the excess.

    0.5 at a detector's own threshold, 0.82 at an excess of 1, 0.93 at 2, 0.99 at 4; symmetric for negative ones.
    """
    return 1.0 - 0.5 * math.exp(-excess) if excess >= 0 else 0.5 * math.exp(excess)


def score_of(excess: float) -> float:
    """The anomaly score: a distance from normal that is 3 at a detector's own threshold, as in the three-sigma rule.

    It doubles with each 2 of excess, as the excess of a robust deviation is twice the binary logarithm of its ratio to
    the threshold; so it is 6 where anomalies are high and 12 where they are critical. At most :data:`MAX_SCORE`; 0
    where nothing was judged (an excess of minus infinity).
    """
    return min(THRESHOLD_SCORE * 2.0 ** (min(excess, MAX_EXCESS) / 2.0), MAX_SCORE)


def severity_of(excess: float) -> Severity:
    """``low`` below an excess of 1, ``medium`` from 1 on, ``high`` from 2, ``critical`` from 4."""
    return SEVERITIES[sum(excess >= bound for bound in (MEDIUM_FROM, HIGH_FROM, CRITICAL_FROM))]


def anomaly_of(finding: Finding) -> Anomaly:
    """The anomaly of a finding, with finite numbers."""
    expected = bounded(finding.expected)
    return Anomaly(
        metric_name=finding.name,
        value=finding.value,
        expected=expected,
        deviation=bounded(finding.value - expected),
        severity=severity_of(finding.excess),
        confidence=confidence_of(finding.excess),
        timestamp=finding.time,
        reason=finding.reason,
        kind=finding.kind,
        limit=None if finding.limit is None else bounded(finding.limit),
    )


def bounded(number: float) -> float:
    """The number, limited to the largest float: a difference of huge values must not become infinite."""
    return max(-sys.float_info.max, min(sys.float_info.max, float(number)))


def shown(value: float, factor: float = 1.0) -> str:
    """A value as sent as text; with a percent sign if it was read as percent."""
    return f"{value:.4g} (read as percent)" if factor != 1.0 else f"{value:.4g}"
