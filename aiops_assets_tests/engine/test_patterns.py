import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest
from scipy.stats import rankdata

from aiops_assets.engine.pattern_analysis.correlations import _spearman
from aiops_assets.engine.pattern_analysis.patterns import MAX_SENT_SAMPLES, MAX_SERIES, PatternAnalysis, analyze
from aiops_assets.engine.samples import Sample
from aiops_assets.engine.wording import say
from aiops_assets.errors import DataError
from aiops_assets.timeseries.series import Floats
from aiops_assets_tests.engine.statements import as_data
from aiops_assets_tests.raising import raises

NOW = datetime(2026, 1, 8, tzinfo=UTC)
POINTS = 288
DAY = 86_400
ZERO = datetime(1, 1, 1, tzinfo=UTC)


def sampled(values: Sequence[float] | Floats, name: str = "load", step: float = 300, **labels: str) -> list[Sample]:
    """Samples that end now."""
    last = len(values) - 1
    return [
        Sample(name, float(value), NOW - timedelta(seconds=step * (last - position)), labels)
        for position, value in enumerate(values)
    ]


def asked(samples: Sequence[Sample], kind: str | None = None, **more: object) -> PatternAnalysis:
    return analyze(samples, **{"start": None, "end": None, "analysis_type": kind, "now": NOW, **more})  # type: ignore[arg-type]


def ids(analysis: PatternAnalysis) -> list[str]:
    return [pattern.pattern for pattern in analysis.patterns]


def noise(seed: int, n: int = POINTS) -> Floats:
    return np.random.default_rng(seed).normal(size=n)


def red(seed: int, n: int = POINTS, rho: float = 0.9) -> Floats:
    """First-order autoregressive noise."""
    steps = noise(seed, n + 200)
    values = np.zeros(n + 200)
    for position in range(1, n + 200):
        values[position] = rho * values[position - 1] + steps[position]
    return values[200:]


def daily(days: float, n: int = POINTS, phase: float = 0.0) -> Floats:
    return np.sin(2 * np.pi * days * np.arange(n) / n + phase)


def test_noise_a_constant_and_a_day_of_a_daily_rhythm_have_no_patterns() -> None:
    quiet = [np.full(POINTS, 7.0), np.zeros(POINTS)]
    quiet += [50 + noise(seed) for seed in range(10)] + [50 + red(seed) for seed in range(10)]
    quiet += [50 + 10 * daily(1, phase=phase) + noise(3) for phase in range(6)]
    quiet += [50 + 10 * daily(1, phase=phase) for phase in range(6)]
    found = [asked(sampled(values)) for values in quiet]
    assert sum(len(one.patterns) for one in found) <= 1
    assert as_data(found[0].insights) == [("no_pattern", {"series": 1, "events": 0})]
    assert found[0].confidence == 0


@pytest.mark.parametrize("sign", [1, -1])
def test_a_trend_under_noise_is_found_with_its_size_and_time(sign: int) -> None:
    values = 60 + sign * 20 * np.linspace(0, 1, POINTS) + noise(1)
    (pattern,) = asked(sampled(values), "trend").patterns
    assert (pattern.pattern, pattern.type) == ("upward_trend" if sign > 0 else "downward_trend", "trend")
    assert pattern.metrics == ("load",)
    assert 0.9 < pattern.confidence <= 0.99
    assert pattern.start_time == NOW - timedelta(seconds=300 * (POINTS - 1))
    assert pattern.end_time == NOW
    assert pattern.description.code == pattern.pattern
    assert pattern.description.facts == {
        "name": "load",
        "change": pytest.approx(20, abs=1),
        "span": 300 * (POINTS - 1),
        "before": pytest.approx(60, abs=1),
        "after": pytest.approx(60 + sign * 20, abs=1),
    }


def test_a_rise_that_may_be_part_of_a_day_is_said_and_not_called_a_trend() -> None:
    values = 50 + 5 * np.linspace(-1, 1, 72) + noise(2, 72)
    analysis = asked(sampled(values), "trend")
    assert analysis.patterns == ()
    doubt, nothing = as_data(analysis.insights)
    assert doubt == ("rise_or_rhythm", {"name": "load", "change": pytest.approx(10, abs=1), "span": 300 * 71})
    assert nothing == ("no_pattern", {"series": 1, "events": 0})


def test_the_same_rise_over_days_is_a_trend() -> None:
    values = 50 + 5 * np.linspace(-1, 1, 72) + noise(2, 72)
    assert ids(asked(sampled(values, step=3600), "trend")) == ["upward_trend"]


def test_a_change_of_level_is_found_where_it_happens() -> None:
    values = 20 + 6.0 * (np.arange(POINTS) >= 150) + noise(4)
    (pattern,) = asked(sampled(values), "trend").patterns
    assert pattern.pattern == "change_point"
    at = NOW - timedelta(seconds=300 * (POINTS - 1 - 150))
    facts = pattern.description.facts
    assert (facts["before"], facts["after"]) == (pytest.approx(20, abs=1), pytest.approx(26, abs=1))
    assert facts["time"] == at
    assert pattern.confidence > 0.8


def test_a_change_of_level_is_found_on_top_of_a_season() -> None:
    values = 50 + 10 * daily(6, 576) + 20.0 * (np.arange(576) >= 300) + noise(5, 576)
    assert ids(asked(sampled(values, step=900), "trend")) == ["change_point"]


def test_a_season_needs_two_periods() -> None:
    values = 50 + 3 * daily(3) + noise(6)
    (pattern,) = asked(sampled(values, step=900), "seasonal").patterns
    assert (pattern.pattern, pattern.type) == ("daily_season", "seasonal")
    assert pattern.description.facts["periods"] == pytest.approx(3)
    assert pattern.confidence > 0.75
    assert asked(sampled(values[:180], step=900), "seasonal").patterns == ()


def test_hours_and_weeks_are_seasons_too() -> None:
    hours = 50 + 3 * daily(8) + noise(7)
    (pattern,) = asked(sampled(hours, step=4 * 3600 * 8 / POINTS), "seasonal").patterns
    assert (pattern.pattern, pattern.description.facts["span"]) == ("hourly_season", 4 * 3600)
    weeks = 50 + 3 * daily(4, 4 * 84) + noise(8, 4 * 84)
    assert ids(asked(sampled(weeks, step=7200), "seasonal")) == ["weekly_season"]


def test_a_spike_is_found_with_its_time_and_a_dip_too() -> None:
    values = 50 + noise(9)
    values[100:103] += 20
    (peak,) = asked(sampled(values)).patterns
    assert (peak.pattern, peak.type) == ("spike", "spike")
    first = NOW - timedelta(seconds=300 * (POINTS - 1 - 100))
    assert abs(peak.start_time - first) <= timedelta(minutes=5)
    assert timedelta(minutes=10) <= peak.end_time - peak.start_time <= timedelta(minutes=25)
    assert ids(asked(sampled(-values))) == ["dip"]


def test_peaks_at_one_time_of_day_are_a_daily_spike() -> None:
    values = 50 + noise(10, 5 * 96)
    for position in range(40, 5 * 96, 96):
        values[position : position + 2] += 30
    analysis = asked(sampled(values, step=900), "seasonal")
    pattern = next(one for one in analysis.patterns if one.pattern == "daily_spike")
    # The last sample is at midnight, and the first 479 quarters of an hour before: at a quarter past midnight.
    facts = pattern.description.facts
    assert (facts["time"][:3], facts["days"]) == ("10:", 5)


def test_followers_are_correlated_at_their_lag_and_trends_or_walks_are_not() -> None:
    walk = np.cumsum(noise(11, POINTS + 3))
    pair = sampled(walk[3:], "first") + sampled(2 * walk[:-3] + 0.3 * noise(12), "second")
    analysis = asked(pair, "correlation")
    (found,) = analysis.correlations
    assert (found.metric_a, found.metric_b, found.lag_seconds) == ("first", "second", 900)
    assert found.coefficient > 0.9
    assert isinstance(found.lag_seconds, int)
    assert ids(analysis) == ["correlated_metrics"]
    opposed = asked(sampled(walk[3:], "first") + sampled(-walk[:-3], "second"), "correlation").correlations
    assert opposed[0].coefficient < -0.9
    rise = np.linspace(0, 50, POINTS)
    for one, other in [
        (rise + noise(13), rise + noise(14)),
        (np.cumsum(noise(15)), np.cumsum(noise(16))),
        (rise, rise),
    ]:
        assert asked(sampled(one, "a") + sampled(other, "b"), "correlation").correlations == ()


def test_series_of_one_name_are_told_apart_by_their_labels() -> None:
    rises = 10 + 20 * np.linspace(0, 1, POINTS) + noise(17)
    falls = 90 - 20 * np.linspace(0, 1, POINTS) + noise(18)
    analysis = asked(sampled(rises, pod="web-1") + sampled(falls, pod="web-2"), "trend")
    assert sorted(ids(analysis)) == ["downward_trend", "upward_trend"]
    assert {pattern.metrics for pattern in analysis.patterns} == {("load",)}
    assert {pattern.description.facts["name"]: pattern.pattern for pattern in analysis.patterns} == {
        "load (web-1)": "upward_trend",
        "load (web-2)": "downward_trend",
    }


def test_samples_outside_the_window_are_left_out_and_gos_zero_time_limits_nothing() -> None:
    values = np.concatenate([50 + noise(19), 90 + noise(20)])
    samples = sampled(values)
    start = NOW - timedelta(seconds=300 * (POINTS - 1))
    limited = analyze(samples, start=start, end=NOW, analysis_type="trend", now=NOW)
    assert limited.patterns == ()
    assert ("samples_outside", {"samples": POINTS}) in as_data(limited.insights)
    assert ids(analyze(samples, start=ZERO, end=ZERO, analysis_type="trend", now=NOW)) == ["change_point"]


def test_a_wrong_request_says_what_is_right() -> None:
    with pytest.raises(DataError, match="trend, seasonal, correlation, layer_detection"):
        asked([], "magic")
    with raises(DataError, "start_after_end"):
        analyze([], start=NOW, end=NOW - timedelta(hours=1), now=NOW)
    with pytest.raises(DataError, match="24h or 7d"):
        asked([], events=["a"], event_range="soon")
    with raises(DataError, "bad_time", position=1):
        asked([], events=["a", {"type": "b", "timestamp": "yesterday"}])
    with raises(DataError, "bad_event", position=0):
        asked([], events=[7])


def test_nothing_sent_is_nothing_found() -> None:
    assert asked([]) == PatternAnalysis((), (say("no_pattern", series=0, events=0),), 0, 0.0, ())


def test_one_sample_of_each_metric_is_too_little_for_a_pattern() -> None:
    analysis = asked([Sample(f"m{position}", 0.5) for position in range(45)])
    assert analysis.patterns == ()
    assert ("series_too_short", {"series": 45}) in as_data(analysis.insights)


def test_more_than_can_be_looked_at_in_seconds_is_refused() -> None:
    sample = Sample("a", 1.0, NOW)
    assert asked([sample] * MAX_SENT_SAMPLES).patterns == ()
    with raises(DataError, "too_many_samples", sent=201_601):
        asked([sample] * (MAX_SENT_SAMPLES + 1))
    many = [Sample(f"m{position}", 1.0, NOW) for position in range(20_001)]
    assert asked(many[1:]).patterns == ()
    with raises(DataError, "too_many_series", sent=20_001):
        asked(many)


def test_correlations_at_many_lags_are_those_of_each_lag() -> None:
    rng = np.random.default_rng(25)
    a, b = rankdata(rng.normal(size=120)), rankdata(np.round(rng.normal(size=120)))
    found = _spearman(a, b, np.arange(-40, 41))
    later = [np.corrcoef(a[: 120 - lag], b[lag:])[0, 1] for lag in range(41)]
    earlier = [np.corrcoef(a[lag:], b[: 120 - lag])[0, 1] for lag in range(40, 0, -1)]
    assert found == pytest.approx(earlier + later, abs=1e-12)
    assert _spearman(a, np.ones(120), np.arange(-2, 3)).tolist() == [0] * 5


def test_a_straight_line_is_a_trend() -> None:
    assert ids(asked(sampled(np.arange(2000.0)), "trend")) == ["upward_trend"]


def test_what_was_left_out_is_said() -> None:
    many = [Sample(f"m{position}", 1.0) for position in range(MAX_SERIES + 1)]
    left_out = ("series_left_out", {"series": MAX_SERIES + 1, "most": MAX_SERIES})
    assert left_out in as_data(asked(many).insights)
    assert ("series_averaged", {"series": 1}) in as_data(asked(sampled(noise(21, 5000), step=15)).insights)


def timed(kind: str, *seconds: float) -> list[dict[str, str]]:
    """Events so many seconds before now."""
    return [{"type": kind, "timestamp": (NOW - timedelta(seconds=one)).isoformat()} for one in seconds]


def test_a_burst_of_events_is_found_and_even_ones_are_none() -> None:
    even = timed("Pulled", *range(0, DAY, 1800))
    burst = timed("Evicted", *range(40_000, 40_600, 60)) + timed("Evicted", 80_000, 10_000)
    analysis = asked([], "correlation", events=even + burst, event_range="24h")
    assert analysis.patterns == ()
    (pattern,) = [one for one in asked([], events=even + burst).patterns if one.type == "spike"]
    assert pattern.pattern == "event_burst"
    facts = pattern.description.facts
    assert (facts["name"], facts["count"], facts["span"]) == ("Evicted", 9, 1762.5)
    assert pattern.end_time - pattern.start_time <= timedelta(minutes=30)


def test_events_that_come_each_day_are_found() -> None:
    backups = timed("Backup", *(day * DAY + 7200 + 60 * day for day in range(6)))
    (pattern,) = asked([], "seasonal", events=backups).patterns
    assert pattern.pattern == "daily_event"
    assert pattern.description.facts["time"][:4] == "21:5"
    assert (pattern.description.facts["name"], pattern.description.facts["days"]) == ("Backup", 6)
    rng = np.random.default_rng(22)
    assert asked([], "seasonal", events=timed("Any", *rng.uniform(0, 6 * DAY, 12))).patterns == ()


def test_what_follows_what_is_found_in_its_order() -> None:
    causes = [3600.0 * position for position in range(2, 22, 3)]
    events = timed("Deploy", *causes) + timed("Alert", *(second - 120 for second in causes))
    (pattern,) = asked([], "correlation", events=events).patterns
    assert pattern.pattern == "event_sequence"
    assert pattern.description.facts == {"first": "Deploy", "second": "Alert", "span": 600, "count": 7, "total": 7}


def test_events_are_limited_by_a_range_and_counted_without_times() -> None:
    events = [*timed("Old", 90_000, 95_000), *timed("New", 60), "Text", "Text"]
    insights = asked([], events=events, event_range="24h").insights
    told = as_data(insights)
    assert ("events_outside", {"events": 2}) in told
    assert ("event_types_some_timeless", {"events": 3, "types": {"Text": 2, "New": 1}, "timeless": 2}) in told


@pytest.mark.parametrize("unset", ["0001-01-01T00:00:00Z", "0001-01-01T00:00:00", "", " ", None])
def test_an_event_whose_time_was_never_set_has_none(unset: str | None) -> None:
    event = {"type": "NodeNotReady", "timestamp": unset}
    analysis = asked([], events=[event], event_range="24h")
    types = {"events": 1, "types": {"NodeNotReady": 1}, "timeless": 1}
    assert ("event_types_some_timeless", types) in as_data(analysis.insights)
    (pattern,) = analysis.patterns
    assert (pattern.start_time, pattern.end_time) == (NOW - timedelta(hours=24), NOW)
    # Another of its times counts then.
    (pattern,) = asked([], events=[{**event, "lastTimestamp": "2026-01-07T23:00:00Z"}], event_range="24h").patterns
    assert pattern.start_time == NOW - timedelta(hours=1)


def test_several_patterns_are_counted_and_one_is_only_told() -> None:
    values = 50 + 3 * daily(3) + noise(6)
    one = asked(sampled(values, step=900), "seasonal")
    assert one.insights == (one.patterns[0].description,)
    two = asked(sampled(values, step=900) + sampled(values, "other", step=900), "seasonal")
    assert two.insights == (*(pattern.description for pattern in two.patterns), say("found", found={"seasonal": 2}))


def test_the_kind_of_a_kubernetes_event_is_its_reason() -> None:
    event = {"type": "Warning", "reason": "FailedMount", "timestamp": "2026-01-07T23:00:00Z"}
    told = as_data(asked([], events=[event]).insights)
    assert ("event_types", {"events": 1, "types": {"FailedMount": 1}}) in told


@pytest.mark.parametrize("scale", [1e-300, 1e-12, 1e12, 1e300, 1.7e308])
def test_answers_are_finite_whatever_the_scale(scale: float) -> None:
    shapes = [noise(23), 1 + np.linspace(0, 1, POINTS), 1.0 * (np.arange(POINTS) >= 99), daily(3), np.ones(POINTS)]
    shapes.append(np.where(np.arange(POINTS) == 50, 1.0, 0.0))
    for shape in shapes:
        values = shape / np.abs(shape).max() * scale
        other = sampled(values[::-1].copy(), "other", 900)
        analysis = asked(sampled(values, step=900) + other)
        for number in [analysis.confidence, *(one.confidence for one in analysis.patterns)]:
            assert type(number) is float
            assert 0 <= number <= 1
        assert all(math.isfinite(one.coefficient) for one in analysis.correlations)
        assert not any("nan" in one.text.lower().split() or "inf" in one.text.split() for one in analysis.insights)


def test_times_at_the_ends_of_the_calendar_are_answered() -> None:
    for first in (datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=9))), datetime(9999, 12, 31, 23, tzinfo=UTC)):
        values = np.where(np.arange(36) == 35, 9.0, 0.0)
        samples = [Sample("a", float(v), first + timedelta(minutes=k)) for k, v in enumerate(values)]
        (pattern,) = asked(samples).patterns
        assert pattern.start_time <= pattern.end_time


def test_types_limit_what_is_looked_for() -> None:
    values = 50 + 10 * daily(6, 576) + 30 * np.linspace(0, 1, 576) + noise(24, 576)
    samples = sampled(values, step=900)
    assert {one.type for one in asked(samples, "trend").patterns} == {"trend"}
    assert {one.type for one in asked(samples, "seasonal").patterns} == {"seasonal"}
    assert {one.type for one in asked(samples).patterns} == {"trend", "seasonal"}
    both = asked(samples)
    assert both.patterns_found == len(both.patterns) == 2
    assert both.confidence == max(one.confidence for one in both.patterns)
