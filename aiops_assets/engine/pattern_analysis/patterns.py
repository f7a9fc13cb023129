"""Patterns in metrics and events: trends, seasons, spikes, changes, correlations and layers in trouble.

Source: engine contract, section 2.2, ``POST /api/v1/pattern/analyze``.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from aiops_assets.durations import parse_duration
from aiops_assets.engine.events.event import Event
from aiops_assets.engine.events.reading import read_events
from aiops_assets.engine.pattern_analysis.correlations import MAX_METRICS as MAX_CORRELATED
from aiops_assets.engine.pattern_analysis.correlations import find_correlations
from aiops_assets.engine.pattern_analysis.counters import (
    find_storm,
    growth_of,
    is_busy,
    is_counter,
    is_redundant,
    without_resets,
)
from aiops_assets.engine.pattern_analysis.event_patterns import (
    find_bursts,
    find_daily_events,
    find_sequences,
    frequent_types,
)
from aiops_assets.engine.pattern_analysis.grids import MAX_POINTS, Grid, seconds_of, to_grid
from aiops_assets.engine.pattern_analysis.layers import (
    Evidence,
    affected_layers,
    event_evidence,
    level_evidence,
    metric_evidence,
)
from aiops_assets.engine.pattern_analysis.pattern_types import Pattern, PatternAnalysis, utc_time
from aiops_assets.engine.pattern_analysis.seasons import find_season
from aiops_assets.engine.pattern_analysis.spikes import find_spikes
from aiops_assets.engine.pattern_analysis.trends import find_change_points, find_trend
from aiops_assets.engine.samples import MEANINGS, Sample, Series, by_name, unit_factor
from aiops_assets.engine.wording import say
from aiops_assets.errors import DataError
from aiops_assets.judging.statements import Statement

__all__ = ["ANALYSIS_TYPES", "PatternAnalysis", "analyze"]

ANALYSIS_TYPES = ("trend", "seasonal", "correlation", "layer_detection")
MAX_SERIES = 100
"""Most series that are analysed; a request may hold thousands."""
MAX_SENT_SAMPLES, MAX_SENT_SERIES = MAX_SERIES * MAX_POINTS, 20_000
"""Most samples and series of one request: 201,600 samples take some two seconds, and clients wait ten."""
MAX_EVENTS = 10_000
MAX_PATTERNS = 200
MAX_INSIGHTS = 30


@dataclass(frozen=True)
class _Window:
    """The time span of an analysis; an end that is ``None`` is open."""

    start: datetime | None
    end: datetime | None
    now: datetime

    def holds(self, time: datetime | None) -> bool:
        if time is None:
            return True
        return (self.start is None or time >= self.start) and (self.end is None or time <= self.end)

    def begins(self, time: datetime | None) -> bool:
        """Whether what began then and still holds is within it."""
        return time is None or self.end is None or time <= self.end


@dataclass(frozen=True)
class _Found:
    """The findings about one series: its grid, its patterns, and sentences about doubts."""

    grid: Grid
    labels: Mapping[str, str]
    patterns: list[Pattern]
    doubts: list[Statement]


def analyze(
    samples: Sequence[Sample],
    *,
    start: datetime | None,
    end: datetime | None,
    analysis_type: str | None = None,
    events: Sequence[object] = (),
    event_range: str | None = None,
    now: datetime,
) -> PatternAnalysis:
    """Find patterns in samples and events.

    Args:
        samples: samples; those outside ``start`` to ``end`` are left out, and labels distinguish series of one name.
        start, end: times with an offset; ``None`` or Go's zero time: not sent.
        analysis_type: one of :data:`ANALYSIS_TYPES`, which limits the patterns; ``None`` or empty: all.
        events: texts or objects, see :func:`aiops_assets.engine.events.reading.read_events`.
        event_range: how far before ``end`` or ``now`` events with times may lie: "24h", "7d".
        now: present time with an offset; samples without times end there.

    Raises:
        DataError: the analysis type is unknown, the window ends before it begins, an event or a range cannot be read,
            only some samples of a name have times, or there are more samples or series than can be analysed in
            seconds.
    """
    if len(samples) > MAX_SENT_SAMPLES:
        raise DataError(
            f"{len(samples)} samples were sent: send at most {MAX_SENT_SAMPLES} at once",
            code="too_many_samples",
            sent=len(samples),
        )
    wanted = _wanted(analysis_type)
    window = _Window(_sent(start), _sent(end), now)
    if window.start and window.end and window.start > window.end:
        raise DataError("time_range: start is after end: swap them", code="start_after_end")
    inside = [sample for sample in samples if window.holds(sample.time)]
    series = _labelled_series(inside, now)
    event_window = window
    if event_range:
        back = utc_time((window.end or now).timestamp() - parse_duration(event_range).total_seconds())
        event_window = _Window(back, window.end, now)
    happened, event_notes = _events_within(read_events(events, now), event_window)
    found, notes = _look(series, wanted)
    if len(inside) < len(samples):
        notes.append(say("samples_outside", samples=len(samples) - len(inside)))
    notes += event_notes
    first, last = _bounds(series, happened, window if window.start else event_window)
    correlations = find_correlations([one.grid for one in found]) if "correlation" in wanted else []
    layers, layer_insights = _layers(series, found, happened, first, last) if "layers" in wanted else ([], [])
    patterns = [*layers, *(pattern for one in found for pattern in one.patterns if pattern.type in wanted)]
    patterns += [pattern for _, pattern in correlations] + _event_patterns(happened, first, last, wanted)
    patterns.sort(key=lambda pattern: -pattern.confidence)
    if len(patterns) > MAX_PATTERNS:
        notes.append(say("patterns_left_out", patterns=len(patterns), most=MAX_PATTERNS))
        patterns = patterns[:MAX_PATTERNS]
    doubts = [doubt for one in found for doubt in one.doubts if "trend" in wanted]
    return PatternAnalysis(
        tuple(patterns),
        _insights(patterns, layer_insights, doubts, happened, notes, len(series)),
        len(patterns),
        max((pattern.confidence for pattern in patterns), default=0.0),
        tuple(correlation for correlation, _ in correlations),
    )


def _wanted(analysis_type: str | None) -> frozenset[str]:
    """The types of patterns of an analysis type, and ``layers``."""
    if not analysis_type:
        return frozenset({"trend", "seasonal", "spike", "correlation", "layers"})
    if analysis_type == "layer_detection":
        return frozenset({"layers"})
    if analysis_type not in ANALYSIS_TYPES:
        raise DataError(f"analysis_type {analysis_type[:40]!r} is unknown: send one of {', '.join(ANALYSIS_TYPES)}")
    return frozenset({analysis_type})


def _sent(time: datetime | None) -> datetime | None:
    """A time as sent; ``None`` for Go's zero time, which means no time."""
    return time if time is not None and time.year > 1 else None


def _labelled_series(samples: Iterable[Sample], now: datetime) -> list[tuple[Series, Mapping[str, str]]]:
    """A series per name and labels, in order of first appearance: pods must not be mixed."""
    by_labels: dict[tuple[tuple[str, str], ...], list[Sample]] = {}
    for sample in samples:
        by_labels.setdefault(tuple(sorted(sample.labels.items())), []).append(sample)
    count = sum(len({sample.name for sample in group}) for group in by_labels.values())
    if count > MAX_SENT_SERIES:
        raise DataError(
            f"{count} series were sent: send at most {MAX_SENT_SERIES} at once", code="too_many_series", sent=count
        )
    return [(one, dict(labels)) for labels, group in by_labels.items() for one in by_name(group, now).values()]


def _events_within(events: list[Event], window: _Window) -> tuple[list[Event], list[Statement]]:
    inside = [event for event in events if window.holds(event.time) or (event.holds and window.begins(event.time))]
    notes = []
    if len(inside) < len(events):
        notes.append(say("events_outside", events=len(events) - len(inside)))
    if len(inside) > MAX_EVENTS:
        notes.append(say("events_left_out", events=len(inside), most=MAX_EVENTS))
    return inside[-MAX_EVENTS:], notes


def _look(
    series: list[tuple[Series, Mapping[str, str]]], wanted: frozenset[str]
) -> tuple[list[_Found], list[Statement]]:
    """Findings about the longest series, and a sentence about those that were left out."""
    longest = sorted(series, key=lambda one: -len(one[0].values))[:MAX_SERIES]
    grids = [_look_at(one, labels, wanted) for one, labels in longest]
    found = [one for one in grids if one is not None]
    notes = []
    if len(series) > MAX_SERIES:
        notes.append(say("series_left_out", series=len(series), most=MAX_SERIES))
    if len(found) < len(grids):
        notes.append(say("series_too_short", series=len(grids) - len(found)))
    thinned = sum(one.grid.thinned for one in found)
    if thinned:
        notes.append(say("series_averaged", series=thinned))
    if len(found) > MAX_CORRELATED and "correlation" in wanted:
        notes.append(say("correlations_left_out", most=MAX_CORRELATED))
    return found, notes


def _look_at(series: Series, labels: Mapping[str, str], wanted: frozenset[str]) -> _Found | None:
    """Findings about a series, or about the growth of a counter; ``None`` if it has no grid."""
    counts = is_counter(series)
    grid = to_grid(without_resets(series) if counts else series, tuple(labels.values()))
    if grid is None:
        return None
    if wanted == {"correlation"} or is_redundant(series.name):
        return _Found(grid, labels, [], [])
    if not counts:
        return _Found(grid, labels, *_patterns_of(grid, wanted))
    growth = growth_of(grid)
    if is_busy(series.name, growth):
        return _Found(grid, labels, *_patterns_of(growth, wanted))
    return _Found(grid, labels, find_storm(growth, grid.shown, labels), [])


def _patterns_of(grid: Grid, wanted: frozenset[str]) -> tuple[list[Pattern], list[Statement]]:
    """Patterns of a grid, and sentences about doubts."""
    patterns: list[Pattern] = []
    doubts: list[Statement] = []
    season, period, component = find_season(grid)
    deseasoned = grid.values - component
    spikes = find_spikes(grid)
    patterns += [one for one in (season,) if one] + spikes
    if wanted & {"trend", "layers"}:
        changes = find_change_points(grid, period)
        patterns += changes
        # Abrupt changes of the level also correlate with time, but are not a trend.
        trend, doubt = (None, None) if changes else find_trend(grid, deseasoned)
        patterns += [trend] if trend else []
        doubts += [doubt] if doubt else []
    return patterns, doubts


def _event_patterns(events: list[Event], first: float, last: float, wanted: frozenset[str]) -> list[Pattern]:
    patterns: list[Pattern] = []
    for kind, find in (("spike", find_bursts), ("seasonal", find_daily_events), ("correlation", find_sequences)):
        if kind in wanted:
            patterns += find(events, first, last)
    return patterns


def _layers(
    series: list[tuple[Series, Mapping[str, str]]],
    found: list[_Found],
    events: list[Event],
    first: float,
    last: float,
) -> tuple[list[Pattern], list[Statement]]:
    """Patterns and sentences about the layers in trouble."""
    pieces: list[Evidence | None] = [metric_evidence(pattern, one.labels) for one in found for pattern in one.patterns]
    for one, labels in series:
        if one.name in MEANINGS:
            factor = unit_factor(MEANINGS[one.name].metric.unit, one.values.tolist())
            time = float(seconds_of(one)[-1])
            pieces.append(level_evidence(one.name, labels, float(one.values[-1]), factor, time))
    evidence = [piece for piece in pieces if piece is not None]
    return affected_layers([*evidence, *event_evidence(events, first, last)])


def _bounds(
    series: list[tuple[Series, Mapping[str, str]]], events: list[Event], window: _Window
) -> tuple[float, float]:
    """Begin and end of the window in Unix seconds; those of its samples and events where they were not sent."""
    times = [event.time.timestamp() for event in events if event.time and window.holds(event.time)]
    for one, _ in series:
        seconds = seconds_of(one)
        times += [float(seconds[0]), float(seconds[-1])]
    now = window.now.timestamp()
    first = min(times, default=now)
    if window.start:
        # Samples may begin before the range of events.
        first = min(first, window.start.timestamp())
    last = window.end.timestamp() if window.end else max([*times, now] if window.start else times, default=now)
    return first, max(first, last)


def _insights(
    patterns: list[Pattern],
    layers: list[Statement],
    doubts: list[Statement],
    events: list[Event],
    notes: list[Statement],
    series: int,
) -> tuple[Statement, ...]:
    """Sentences: layers, then the surest patterns, counts of several, doubts, and omissions."""
    others = [pattern.description for pattern in patterns if not pattern.pattern.endswith("_layer")]
    counts = Counter("layer" if one.pattern.endswith("_layer") else one.type for one in patterns)
    if not patterns:
        head = [say("no_pattern", series=series, events=len(events))]
    else:
        head = [say("found", found=dict(counts.most_common()))] if len(patterns) > 1 else []
    room = max(3, MAX_INSIGHTS - len(layers) - len(notes) - 2)
    middle = (others + doubts)[:room]
    event_summary = [frequent_types(events)] if events else []
    return (*layers, *middle, *head, *event_summary, *notes)
