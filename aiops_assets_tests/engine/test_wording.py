"""Every code has its words, and only the words are a sentence."""

from datetime import UTC, datetime
from typing import Any

import pytest

from aiops_assets.engine.detection.recommendations import ADVICE
from aiops_assets.engine.pattern_analysis.pattern_types import LAYER_WORDS, TYPES
from aiops_assets.engine.wording import ADVICE as ADVICE_WORDS
from aiops_assets.engine.wording import PATTERNS, WORDINGS, about, distinct, names_text, say, span_text
from aiops_assets_tests.snapshot import assert_snapshot

SPAN: dict[str, Any] = {"span": 5400.0}
MOVED: dict[str, Any] = {"name": "load", "before": 41.23456, "after": 60.0}
AT: dict[str, Any] = {"time": datetime(2026, 1, 7, 12, 35, 40, tzinfo=UTC)}
CLOCK: dict[str, Any] = {"time": "10:15", "days": 5}
SEASON: dict[str, Any] = {"name": "load", "strength": 0.876, "periods": 3.0104}
PEAK: dict[str, Any] = {"name": "load", "count": 2, "value": 71.2345, "usual": 50.0, **AT}
LAYERED: dict[str, Any] = {"abnormal": 2, "failures": 1}
RHYTHM: dict[str, Any] = {"name": "load", "change": 9.87654, "span": 21_300.0}
ADVISED: dict[str, Any] = {"where": "shop/cart", "metric": "queue_depth"}
MANY = {f"m{i}" for i in range(7)}
SAMPLES: list[tuple[str, dict[str, Any]]] = [
    ("upward_trend", {**MOVED, **SPAN, "change": 18.76544}),
    ("downward_trend", {**MOVED, "span": 86_400.0, "change": 18.76544}),
    ("change_point", {**MOVED, **AT}),
    ("daily_season", SEASON),
    ("weekly_season", SEASON),
    ("hourly_season", {**SEASON, "span": 14_400.0}),
    ("spike", PEAK),
    ("dip", PEAK),
    ("counter_storm", {"name": "restarts (web-1)", "count": 12.0, "usual": 0.5333, "span": 3600.0, **AT}),
    ("daily_spike", {"name": "load", **CLOCK}),
    ("correlated_metrics", {"first": "cpu", "second": "load", "coefficient": -0.91234, "lag": 900}),
    ("event_burst", {"name": "Evicted", "count": 10, "span": 1800.0, "usual": 0.0426, **AT}),
    ("daily_event", {"name": "Backup", **CLOCK}),
    ("event_sequence", {"first": "Deploy", "second": "Alert", "span": 600.0, "count": 7, "total": 7}),
    ("infrastructure_layer", LAYERED),
    ("platform_layer", LAYERED),
    ("application_layer", LAYERED),
    ("affected_layer", {**LAYERED, "layer": "platform", "confidence": 0.9876}),
    ("rise_or_rhythm", RHYTHM),
    ("fall_or_rhythm", RHYTHM),
    ("no_pattern", {"series": 1, "events": 0}),
    ("found", {"found": {"trend": 2, "layer": 1}}),
    ("event_types", {"events": 3, "types": {"Text": 2, "New": 1}}),
    ("event_types_some_timeless", {"events": 3, "types": {"Text": 2, "New": 1}, "timeless": 2}),
    ("series_left_out", {"series": 101, "most": 100}),
    ("series_too_short", {"series": 45}),
    ("series_averaged", {"series": 1}),
    ("correlations_left_out", {"most": 40}),
    ("samples_outside", {"samples": 288}),
    ("events_outside", {"events": 2}),
    ("events_left_out", {"events": 10_005, "most": 10_000}),
    ("patterns_left_out", {"patterns": 201, "most": 200}),
    ("future_left_out", {"names": {"memory_usage"}}),
    ("all_future", {"names": {"memory_usage", "cpu_usage"}}),
    ("old", {"names": MANY}),
    ("unclear_unit", {"names": {"cpu_usage"}}),
    ("default_sent", {"names": ["pod_memory_usage"]}),
    ("nothing_sent", {}),
    ("no_scores_of", {"subject": "shop/cart-1"}),
    ("old_scores", {"subject": "shop/cart-1", **AT}),
    ("by_scores", {"subject": "shop/cart-1", **AT}),
    ("alert_without_values", {"subject": "shop/cart-1", "state": "page"}),
    ("not_judged", {"names": {"queue"}, "least": 10}),
    ("clipped_ratio", {"metric": "cpu_usage", "value": 30.5}),
    ("no_forecaster", {}),
    ("models_of_generated_rows", {"names": {"predictive-analytics", "anomaly-detector"}}),
    ("events_undated", {"events": 3}),
    ("lines_left_out", {"most": 500}),
    ("level", {"metric": "pod_memory_usage", "value": 0.97123}),
    ("forecast_reaches", {"metric": "cpu_usage", "limit": 0.9}),
    ("line_reaches", {"metric": "memory_usage_percent", "limit": 1.0, "hours": 2.345}),
    ("change", {"metric": "memory_usage_trend_1h", "change": 0.0512}),
    ("restarts", {"metric": "container_restart_count", "restarts": 3.0, "hours": 0.4167}),
    ("detected", {"kind": "cpu_spike"}),
    ("event", {"event": "high_cpu"}),
    ("repeated_event", {"event": "it's OOMKilled", "count": 3}),
    ("suppressed", {"event": "KubePodCrashLooping"}),
    ("state", {"state": "oom killed"}),
    ("state_alone", {}),
    *((code, ADVISED) for code in ADVICE_WORDS),
]
"""Each code with facts as they come."""


def test_the_wordings_are_those_that_were_agreed() -> None:
    assert [code for code, _ in SAMPLES] == list(WORDINGS)
    assert_snapshot("engine", "".join(f"{code}\n    {say(code, **facts).text}\n" for code, facts in SAMPLES))


def test_patterns_and_advice_have_words() -> None:
    assert set(TYPES) == set(PATTERNS)
    assert {one.code for one in ADVICE} == set(ADVICE_WORDS)


def test_a_statement_carries_its_facts() -> None:
    said = say("level", metric="cpu_usage", value=0.97123)
    assert (said.code, said.facts) == ("level", {"metric": "cpu_usage", "value": 0.97123})


def test_facts_are_never_read_as_templates() -> None:
    said = say("level", metric="{value}", value=0.5)
    assert said.text == "{value} is 0.5"


def test_whose_it_is_is_named_first() -> None:
    plain = say("level", metric="cpu_usage", value=0.97)
    whose = about("pod a", plain)
    assert (whose.code, whose.text) == (plain.code, f"pod a: {plain.text}")
    assert whose.facts == {**plain.facts, "about": "pod a"}


def test_what_reads_the_same_is_told_once() -> None:
    first, same, other = (say("old", names=names) for names in ({"a"}, ("a",), {"b"}))
    assert distinct([first, same, other, first]) == (first, other)


def layers_by_words(text: str) -> set[str]:
    """What the coordination engine reads out of a description and a type."""
    return {layer for layer, words in LAYER_WORDS.items() if any(word in text for word in words)}


@pytest.mark.parametrize(("code", "facts"), [pytest.param(*one, id=one[0]) for one in SAMPLES if one[0] in TYPES])
def test_words_of_a_pattern_name_its_own_layer_and_no_other(code: str, facts: dict[str, Any]) -> None:
    """Names are the sender's; they are left out here."""
    unnamed = {name: "1" if name in ("name", "first", "second") else fact for name, fact in facts.items()}
    own = {code.removesuffix("_layer")} if code.endswith("_layer") else set()
    assert layers_by_words(f"{say(code, **unnamed).text} {TYPES[code]}") == own


def test_spans_of_time_name_no_layer() -> None:
    assert not layers_by_words(" ".join(span_text(seconds) for seconds in (1, 60, 90, 3600, 7200, 86_400, 200_000)))


def test_a_list_of_names_ends() -> None:
    assert names_text(MANY) == "m0, m1, m2, m3, m4 and 2 others"
    assert names_text({"b", "a"}) == "a, b"
