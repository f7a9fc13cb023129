"""What the engine tells people, in words: one template a code. Who tells it gives the facts as data.

Whoever changes a wording changes it here. Two things hold:

- clients show these texts, so that they are part of the answers;
- the coordination engine reads layers out of ``description + " " + type`` of a pattern by case-sensitive substrings
  (:data:`~aiops_assets.engine.pattern_analysis.pattern_types.LAYER_WORDS`), so that the fixed words of a layer's
  sentence match that layer alone, and those of all other patterns none. A test scans every sentence.

Templates are those of ``str.format``, with the conversions of :data:`CONVERSIONS` beside Python's own.
"""

import string
from collections.abc import Callable, Collection, Iterable, Mapping
from types import MappingProxyType
from typing import Any

from aiops_assets.judging.statements import Statement

MAX_NAMES = 5
"""That a list of names has."""


def names_text(names: Collection[str]) -> str:
    """Names in alphabetical order, the first five."""
    ordered = sorted(names)
    more = len(ordered) - MAX_NAMES
    return ", ".join(ordered[:MAX_NAMES]) + (f" and {more} others" if more > 0 else "")


def span_text(seconds: float) -> str:
    """A length of time."""
    for unit, length in (("day", 86_400), ("hour", 3600), ("minute", 60)):
        if seconds >= length:
            count = round(seconds / length, 1)
            return f"{count:g} {unit}" + "s" * (count != 1)
    return f"{seconds:g} seconds"


CONVERSIONS: Mapping[str, Callable[[Any], str]] = MappingProxyType(
    {
        "n": names_text,
        "t": span_text,
        "c": lambda counts: ", ".join(f"{kind} ({count})" for kind, count in counts.items()),
        "k": lambda counts: ", ".join(f"{count} {kind}" for kind, count in counts.items()),
    }
)
"""Of fields: names, a length of time in seconds, counts behind their kinds, kinds behind their counts."""

LAYER = "The {layer} layer shows signs of trouble: abnormal metrics: {abnormal}, failure events: {failures}."
AT = "{time:%Y-%m-%d %H:%M UTC}"
PATTERNS: Mapping[str, str] = MappingProxyType(
    {
        "upward_trend": "{name} rises by {change:.4g} in {span!t}, from about {before:.4g} to {after:.4g}.",
        "downward_trend": "{name} falls by {change:.4g} in {span!t}, from about {before:.4g} to {after:.4g}.",
        "change_point": f"{{name}} changes its level from about {{before:.4g}} to {{after:.4g}} at {AT}.",
        "daily_season": "{name} repeats each day: strength {strength:.2f}, seen {periods:.3g} times.",
        "weekly_season": "{name} repeats each week: strength {strength:.2f}, seen {periods:.3g} times.",
        "hourly_season": "{name} repeats each {span!t}: strength {strength:.2f}, seen {periods:.3g} times.",
        "spike": f"{{name}} has short peaks: {{count}}. The highest is {{value:.4g}} at {AT}, expected {{usual:.4g}}.",
        "dip": f"{{name}} has short dips: {{count}}. The deepest is {{value:.4g}} at {AT}, expected {{usual:.4g}}.",
        "counter_storm": f"{{name}} grows by {{count:.4g}} within {{span!t}} from {AT}, expected {{usual:.2g}}.",
        "daily_spike": "{name} peaks each day at about {time} UTC; seen {days} days.",
        "correlated_metrics": (
            "Changes of {first} and {second} go together: rank correlation {coefficient:.2f}, lag {lag} s."
        ),
        "event_burst": f"{{count}} {{name}} events within {{span!t}} from {AT}, expected {{usual:.2g}}.",
        "daily_event": "{name} events happen each day at about {time} UTC; seen {days} days.",
        "event_sequence": "{second} follows {first} within {span!t}: {count} of {total} times.",
        "infrastructure_layer": LAYER.replace("{layer}", "infrastructure"),
        "platform_layer": LAYER.replace("{layer}", "platform"),
        "application_layer": LAYER.replace("{layer}", "application"),
    }
)
"""Descriptions of patterns."""

INSIGHTS: Mapping[str, str] = MappingProxyType(
    {
        "affected_layer": LAYER + " Confidence {confidence:.2f}.",
        "rise_or_rhythm": (
            "{name} rises by {change:.4g} in {span!t}, which a daily rhythm could explain: send two days of samples."
        ),
        "fall_or_rhythm": (
            "{name} falls by {change:.4g} in {span!t}, which a daily rhythm could explain: send two days of samples."
        ),
        "no_pattern": "No pattern was found in {series} series and {events} events.",
        "found": "Found: {found!k}.",
        "event_types": "Of {events} events the most frequent types are: {types!c}.",
        "event_types_some_timeless": (
            "Of {events} events the most frequent types are: {types!c}. {timeless} came without a time, which bursts, "
            "days and sequences need."
        ),
        "series_left_out": "Of {series} series, the {most} with the most samples were analyzed.",
        "series_too_short": "{series} series have too few samples, or too large values, for a pattern.",
        "series_averaged": "{series} long or uneven series were averaged to an even grid before the analysis.",
        "correlations_left_out": "Correlations were computed for the {most} series with the most samples.",
        "samples_outside": "{samples} samples lie outside time_range and were left out.",
        "events_outside": "{events} events lie outside the time range and were left out.",
        "events_left_out": "Of {events} events, the last {most} sent were analyzed.",
        "patterns_left_out": "Of {patterns} patterns, the {most} surest are listed.",
    }
)
"""Insights of an analysis beside the patterns' own descriptions."""

NOTES: Mapping[str, str] = MappingProxyType(
    {
        "future_left_out": (
            "{names!n}: samples more than ten minutes ahead of now were left out, check the clock of the sender."
        ),
        "all_future": (
            "{names!n}: all samples are more than ten minutes ahead of now; they were judged as of then, check the "
            "clock of the sender."
        ),
        "old": "{names!n}: the newest sample is more than a day old; it was judged as of then, not of now.",
        "unclear_unit": (
            "{names!n}: above 1, which no ratio is, and not marked as a percentage; send ratios from 0 to 1."
        ),
        "default_sent": (
            "{names!n}: the default of a failed query was sent, so that nothing is known of it and it was not judged; "
            "a pod without a memory limit has no pod_memory_usage."
        ),
        "nothing_sent": "no metrics were sent and no pod was named: nothing was judged",
        "no_scores_of": "no metrics were sent, and there are no scores of {subject}: nothing was judged",
        "old_scores": (
            "no metrics were sent, and the newest scores of {subject} are of {time:%Y-%m-%d %H:%M UTC}: nothing was "
            "judged"
        ),
        "by_scores": "no metrics were sent: {subject} was judged by its newest scores, of {time:%Y-%m-%d %H:%M UTC}",
        "alert_without_values": (
            "{subject} has a {state}, but no values are kept of it: GET /api/v1/explain shows what there is"
        ),
        "not_judged": (
            "{names!n}: not judged, because nothing is known of it: send {least} samples or more, the newest is judged "
            "by those before it"
        ),
        "clipped_ratio": "{metric} is {value:g}, which no ratio is: its forecast is clipped to 0-1 and of no use",
        "no_forecaster": "no forecaster is served yet: all metrics are judged by their own samples alone",
        "models_of_generated_rows": "fitted on generated rows alone, and on none of this cluster: {names!n}",
        "events_undated": (
            "{events} events were not used, because none of their times is set: send lastTimestamp or timestamp"
        ),
        "lines_left_out": "only the first {most} unknown names have a trend; others are forecast as their last value",
    }
)
"""Notes of detections and predictions."""

EVIDENCE: Mapping[str, str] = MappingProxyType(
    {
        "level": "{metric} is {value:.3g}",
        "forecast_reaches": "{metric} is forecast to reach {limit:g}",
        "line_reaches": "{metric} rises and reaches {limit:g} in about {hours:.1f} h",
        "change": "{metric} is {change:.3g} an hour",
        "restarts": "{metric} rose by {restarts:g} in {hours:.2g} h",
        "detected": "the samples are anomalous: {kind}",
        "event": "event {event!r}",
        "repeated_event": "event {event!r}, one of {count} such",
        "suppressed": "suppressed alert {event!r}",
        "state": "the state is {state!r}",
        "state_alone": "the state is the only evidence",
    }
)
"""What speaks for an issue; a leak has the words of :mod:`aiops_assets.outlook.exhaustion`."""

ADVICE: Mapping[str, str] = MappingProxyType(
    {
        "scale_up": "Scale up replicas of {where}, or raise the CPU limit: it needs more CPU.",
        "relieve_node_cpu": "Move work off the nodes of {where}, or add a node: no CPU time is left there.",
        "raise_memory_limit": ("Raise the memory limit of {where} before it is killed (OOM), or look for a leak."),
        "check_memory_leak": (
            "Check for memory leak in {where}: its memory keeps rising. A restart buys time until then."
        ),
        "free_node_memory": (
            "Free memory on the nodes of {where}, or add a node: pods without requests are evicted first."
        ),
        "free_disk": "Free disk space on the nodes of {where}: remove unused images and logs, or grow the disk.",
        "check_logs": (
            "Check the logs of the last restart of {where} (kubectl logs --previous): it is in a crash loop."
        ),
        "roll_back": "Roll back the last deployment of {where} if the restarts began with it.",
        "check_restart": "Check why a container of {where} restarted: its exit code, and its memory limit.",
        "check_load": "Check what drives {metric} of {where} up: traffic, retries or errors.",
        "check_work": ("Check whether {where} still gets work: {metric} fell (routing, readiness, a stuck job)."),
        "check_change": "Check what changed in {where} when {metric} moved to a new level.",
        "watch": "Watch {metric} of {where}: its changes are larger than expected.",
    }
)
"""What to do; ADR-009's own examples are "Scale up replicas" and "Check for memory leak"."""

WORDINGS: Mapping[str, str] = MappingProxyType({**PATTERNS, **INSIGHTS, **NOTES, **EVIDENCE, **ADVICE})


class _Words(string.Formatter):
    def convert_field(self, value: Any, conversion: Any) -> Any:
        if conversion in CONVERSIONS:
            return CONVERSIONS[conversion](value)
        return super().convert_field(value, conversion)


def say(code: str, /, **facts: Any) -> Statement:
    """The statement of a code of :data:`WORDINGS`; ``facts`` are at least what its template names."""
    return Statement(code, _Words().vformat(WORDINGS[code], (), facts), **facts)


def about(whose: str, statement: Statement) -> Statement:
    """A statement that is true of one pod or node, named before it; the fact ``about`` says whose it is."""
    return Statement(statement.code, f"{whose}: {statement.text}", **{**statement.facts, "about": whose})


def distinct(statements: Iterable[Statement]) -> tuple[Statement, ...]:
    """One of each text, the first."""
    found: dict[str, Statement] = {}
    for one in statements:
        found.setdefault(one.text, one)
    return tuple(found.values())
