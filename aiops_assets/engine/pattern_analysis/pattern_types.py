"""Patterns, the answer of an analysis, and the sentences that describe them.

The coordination engine reads layers out of ``description + " " + type`` by case-sensitive substrings
(:data:`LAYER_WORDS`). So the fixed words here are chosen with care: those about a layer match that layer only, all
others match none. A test scans every sentence.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Literal

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

LAYER = "The {layer} layer shows signs of trouble: abnormal metrics: {abnormal}, failure events: {failures}."
SENTENCES: Mapping[str, tuple[PatternType, str]] = MappingProxyType(
    {
        "upward_trend": ("trend", "{name} rises by {change} in {span}, from about {before} to {after}."),
        "downward_trend": ("trend", "{name} falls by {change} in {span}, from about {before} to {after}."),
        "change_point": ("trend", "{name} changes its level from about {before} to {after} at {time}."),
        "daily_season": ("seasonal", "{name} repeats each day: strength {strength}, seen {periods} times."),
        "weekly_season": ("seasonal", "{name} repeats each week: strength {strength}, seen {periods} times."),
        "hourly_season": ("seasonal", "{name} repeats each {span}: strength {strength}, seen {periods} times."),
        "spike": (
            "spike",
            "{name} has short peaks: {count}. The highest is {value} at {time}, usual is {usual}.",
        ),
        "dip": ("spike", "{name} has short dips: {count}. The deepest is {value} at {time}, usual is {usual}."),
        "counter_storm": ("spike", "{name} grows by {count} within {span} from {time}, where {usual} are usual."),
        "daily_spike": ("seasonal", "{name} peaks each day at about {time} UTC; seen {days} days."),
        "correlated_metrics": (
            "correlation",
            "Changes of {first} and {second} go together: rank correlation {coefficient}, lag {lag} s.",
        ),
        "event_burst": ("spike", "{count} {name} events within {span} from {time}, where {usual} are usual."),
        "daily_event": ("seasonal", "{name} events happen each day at about {time} UTC; seen {days} days."),
        "event_sequence": ("correlation", "{second} follows {first} within {span}: {count} of {total} times."),
        "infrastructure_layer": ("correlation", LAYER.replace("{layer}", "infrastructure")),
        "platform_layer": ("correlation", LAYER.replace("{layer}", "platform")),
        "application_layer": ("correlation", LAYER.replace("{layer}", "application")),
    }
)
"""Id of a pattern -> its type and its sentence."""


@dataclass(frozen=True)
class Pattern:
    """Something regular or remarkable in metrics or events.

    Attributes:
        pattern: id, a key of :data:`SENTENCES`.
        type: trend, seasonal, spike or correlation.
        description: a sentence for people.
        metrics: names as sent; empty for a pattern of events.
        confidence: 0-1.
        start_time, end_time: its time span, UTC.
    """

    pattern: str
    type: PatternType
    description: str
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
    insights: tuple[str, ...]
    patterns_found: int
    confidence: float
    correlations: tuple[Correlation, ...]


def described(
    kind: str, metrics: tuple[str, ...], confidence: float, start: float, end: float, **words: object
) -> Pattern:
    """A pattern of a kind of :data:`SENTENCES`; ``start`` and ``end`` in Unix seconds."""
    type_, sentence = SENTENCES[kind]
    text = sentence.format(**words)
    return Pattern(kind, type_, text, metrics, bounded(confidence), utc_time(start), utc_time(end))


def bounded(confidence: float) -> float:
    """A confidence limited to 0.99, because no pattern is certain."""
    return round(min(0.99, max(0.0, float(confidence))), 4)


def utc_time(seconds: float) -> datetime:
    """Unix seconds as a UTC time, limited to the years of ``datetime``: an offset can lead out of them."""
    return datetime.fromtimestamp(min(LAST_SECOND, max(FIRST_SECOND, round(float(seconds), 3))), UTC)


def clock(seconds: float) -> str:
    """Unix seconds as text, in UTC."""
    return utc_time(seconds).strftime("%Y-%m-%d %H:%M UTC")


def span_text(seconds: float) -> str:
    """A duration in seconds as text."""
    for unit, length in (("day", 86_400), ("hour", 3600), ("minute", 60)):
        if seconds >= length:
            count = round(seconds / length, 1)
            return f"{count:g} {unit}" + "s" * (count != 1)
    return f"{seconds:g} seconds"
