"""What a detector found, and how it is put to clients: how sure, how severe, in the unit in which it was sent.

All detectors say how far beyond their own alarm bound they are, the *excess*: 0 is the bound itself, and severities
begin at fixed excesses. So the answers of a forest, of a table of limits and of a history can be compared.
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
"""What an anomaly is. ``burst`` and ``drop`` are of metrics without a kind of their own, and of any that falls;
``level_shift``: the newest samples keep a new level; ``swing``: only the changes are unusual."""

MEDIUM_FROM, HIGH_FROM, CRITICAL_FROM = 1.0, 2.0, 4.0
"""Excesses at which severities begin."""


@dataclass(frozen=True)
class Finding:
    """What one detector found of one metric.

    Attributes:
        metric: of the catalogue, or the name as sent where it is unknown; an answer has one anomaly of it.
        name: as sent.
        value, expected: in the unit as sent.
        time: of the sample, with an offset.
        kind: what it is.
        excess: how far beyond the detector's bound, not negative.
        reason: a sentence for people.
        judge: which detector.
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


@dataclass(frozen=True)
class Anomaly:
    """One anomaly of an answer.

    Attributes:
        metric_name, value: as sent.
        expected, deviation: in the same unit; ``deviation = value - expected``.
        severity: see :func:`severity_of`.
        confidence: 0.5-1, see :func:`confidence_of`.
        timestamp: of the sample, with an offset.
        reason: a sentence for people.
        kind: what it is.
        pod: that its samples name, "" where they name none.
        labels: by which its samples differ from others of this name and pod; mostly empty.
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
    pod: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)


def confidence_of(excess: float) -> float:
    """How sure it is that something is an anomaly, 0-1: the distribution function of Laplace at the excess.

    0.5 at a detector's own bound, .82 at an excess of 1, .93 at 2, .99 at 4; as much below a half on the other side.
    """
    return 1.0 - 0.5 * math.exp(-excess) if excess >= 0 else 0.5 * math.exp(excess)


def severity_of(excess: float) -> Severity:
    """``low`` below an excess of 1, ``medium`` from 1 on, ``high`` from 2, ``critical`` from 4."""
    return SEVERITIES[sum(excess >= bound for bound in (MEDIUM_FROM, HIGH_FROM, CRITICAL_FROM))]


def anomaly_of(finding: Finding) -> Anomaly:
    """A finding as clients get it: finite plain numbers."""
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
    )


def bounded(number: float) -> float:
    """The number, or the largest there is: a difference of huge values must not become infinite."""
    return max(-sys.float_info.max, min(sys.float_info.max, float(number)))


def shown(value: float, factor: float = 1.0) -> str:
    """A number for people, as sent; one that was read as percent says so."""
    return f"{value:.4g} (read as percent)" if factor != 1.0 else f"{value:.4g}"
