"""Patterns and the answer of an analysis; :mod:`aiops_assets.engine.wording` has the sentences that describe them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Literal

from aiops_assets.engine.wording import say
from aiops_assets.judging.statements import Statement

PatternType = Literal["trend", "seasonal", "spike", "correlation"]

LAYER_WORDS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "infrastructure": ("infrastructure", "node", "mco", "machine", "kernel", "os"),
        "platform": ("platform", "operator", "sdn", "networking", "storage", "cluster"),
        "application": ("application", "pod", "deployment", "container", "workload"),
    }
)
"""Words by which the engine finds layers in a description."""

FIRST_SECOND = datetime.min.replace(tzinfo=UTC).timestamp()
LAST_SECOND = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp()

TYPES: Mapping[str, PatternType] = MappingProxyType(
    {
        "upward_trend": "trend",
        "downward_trend": "trend",
        "change_point": "trend",
        "daily_season": "seasonal",
        "weekly_season": "seasonal",
        "hourly_season": "seasonal",
        "spike": "spike",
        "dip": "spike",
        "counter_storm": "spike",
        "daily_spike": "seasonal",
        "correlated_metrics": "correlation",
        "event_burst": "spike",
        "daily_event": "seasonal",
        "event_sequence": "correlation",
        "infrastructure_layer": "correlation",
        "platform_layer": "correlation",
        "application_layer": "correlation",
    }
)
"""Id of a pattern -> its type."""


@dataclass(frozen=True)
class Pattern:
    """Something regular or remarkable in metrics or events.

    Attributes:
        pattern: id, a key of :data:`TYPES`.
        type: trend, seasonal, spike or correlation.
        description: a sentence for people; its code is the id.
        metrics: names as sent; empty for a pattern of events.
        confidence: 0-1.
        start_time, end_time: its time span, UTC.
    """

    pattern: str
    type: PatternType
    description: Statement
    metrics: tuple[str, ...]
    confidence: float
    start_time: datetime
    end_time: datetime


@dataclass(frozen=True)
class Correlation:
    """Two metrics whose changes correlate.

    Attributes:
        metric_a, metric_b: names as sent.
        coefficient: Spearman's rank correlation of their differences, -1 to 1.
        lag_seconds: seconds by which ``metric_b`` follows ``metric_a``; negative if it precedes.
        confidence: 0-1.
    """

    metric_a: str
    metric_b: str
    coefficient: float
    lag_seconds: int
    confidence: float


@dataclass(frozen=True)
class PatternAnalysis:
    """The answer of an analysis.

    Attributes:
        patterns: patterns, the surest first.
        insights: sentences, the most important first, omissions last.
        patterns_found: number of patterns.
        confidence: confidence of the surest pattern; 0 without any.
        correlations: correlations, the strongest first.
    """

    patterns: tuple[Pattern, ...]
    insights: tuple[Statement, ...]
    patterns_found: int
    confidence: float
    correlations: tuple[Correlation, ...]


def described(
    kind: str, metrics: tuple[str, ...], confidence: float, start: float, end: float, **facts: Any
) -> Pattern:
    """A pattern of a kind of :data:`TYPES`; ``start``, ``end`` in Unix seconds, ``facts`` are what its words name."""
    return Pattern(kind, TYPES[kind], say(kind, **facts), metrics, bounded(confidence), utc_time(start), utc_time(end))


def bounded(confidence: float) -> float:
    """A confidence limited to 0.99, because no pattern is certain."""
    return round(min(0.99, max(0.0, float(confidence))), 4)


def utc_time(seconds: float) -> datetime:
    """Unix seconds as a UTC time, limited to the years of ``datetime``: an offset can lead out of them."""
    return datetime.fromtimestamp(min(LAST_SECOND, max(FIRST_SECOND, round(float(seconds), 3))), UTC)
