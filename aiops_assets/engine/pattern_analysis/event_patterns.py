"""Finds bursts of events, daily events and sequences."""

from collections import Counter
from collections.abc import Sequence
from itertools import permutations

import numpy as np

from aiops_assets.engine.events.event import Event
from aiops_assets.engine.pattern_analysis.pattern_types import Pattern, described, utc_time
from aiops_assets.engine.pattern_analysis.spikes import daily_time
from aiops_assets.engine.wording import say
from aiops_assets.judging.statements import Statement
from aiops_assets.timeseries.series import Floats

MAX_TYPES = 10
BINS = 48
MIN_BIN_SECONDS = 60.0
SIGNIFICANCE = 0.001
FEWEST_IN_BURST = 5
MAX_FOLLOW_SECONDS = 600.0
FEWEST_FOLLOWED = 3
FOLLOWED_SHARE = 0.6


def find_bursts(events: Sequence[Event], start: float, end: float) -> list[Pattern]:
    """Short times with far more events of a type than the rest of the window, by a Poisson test of each bin."""
    from scipy.stats import poisson

    span = end - start
    if span <= 0:
        return []
    width = max(span / BINS, MIN_BIN_SECONDS)
    bins = max(1, int(np.ceil(span / width)))
    patterns = []
    for kind, times in _times_by_type(events, start).items():
        if len(times) < FEWEST_IN_BURST or bins < 4:
            continue
        places = np.clip(((times - start) // width).astype(int), 0, bins - 1)
        counts = np.bincount(places, minlength=bins)
        top = int(counts.argmax())
        # The expected number is that of the rest of the window; zero there is taken as half an event.
        expected = max(0.5, float(counts.sum() - counts[top])) / (bins - 1)
        p = float(poisson.sf(counts[top] - 1, expected)) * bins
        if counts[top] < FEWEST_IN_BURST or p > SIGNIFICANCE:
            continue
        within = times[places == top]
        patterns.append(
            described(
                "event_burst",
                (),
                1 - expected / float(counts[top]),
                within.min(),
                within.max(),
                name=kind,
                count=int(counts[top]),
                span=width,
                time=utc_time(within.min()),
                usual=expected,
            )
        )
    return patterns


def find_daily_events(events: Sequence[Event], start: float, end: float) -> list[Pattern]:
    """Types of events that occur each day at the same time."""
    patterns = []
    for kind, times in _times_by_type(events, start).items():
        daily = daily_time(times, end - start)
        if daily is not None:
            time, days, confidence = daily
            facts = {"name": kind, "time": time, "days": days}
            patterns.append(described("daily_event", (), confidence, times.min(), times.max(), **facts))
    return patterns


def find_sequences(events: Sequence[Event], start: float, end: float) -> list[Pattern]:
    """Types that follow another within ten minutes more often than by chance, by a binomial test of each pair."""
    from scipy.stats import binom

    by_type = _times_by_type(events, start)
    span = end - start
    tried = max(1, len(by_type) * (len(by_type) - 1))
    patterns = []
    for first, second in permutations(by_type, 2):
        before, after = by_type[first], by_type[second]
        gaps = _gaps_to_next(before, after)
        is_followed = gaps <= MAX_FOLLOW_SECONDS
        count, total = int(is_followed.sum()), len(before)
        if count < FEWEST_FOLLOWED or count < FOLLOWED_SHARE * total or span <= MAX_FOLLOW_SECONDS:
            continue
        chance = -np.expm1(-len(after) * MAX_FOLLOW_SECONDS / span)
        if float(binom.sf(count - 1, total, chance)) * tried > SIGNIFICANCE * 10:
            continue
        patterns.append(
            described(
                "event_sequence",
                (),
                (count / total) * (1 - chance),
                before[is_followed].min(),
                (before + gaps)[is_followed].max(),
                first=first,
                second=second,
                span=MAX_FOLLOW_SECONDS,
                count=count,
                total=total,
            )
        )
    return patterns


def _gaps_to_next(before: Floats, after: Floats) -> Floats:
    """Seconds from each time in ``before`` to the next one in ``after``; infinite where there is none."""
    padded = np.append(after, np.inf)
    return padded[np.searchsorted(after, before, side="right")] - before


def _times_by_type(events: Sequence[Event], start: float) -> dict[str, Floats]:
    """Event type -> sorted times of its events from ``start`` on, Unix seconds; of the most frequent types only."""
    timed = [event for event in events if event.time is not None and event.time.timestamp() >= start]
    frequent = [kind for kind, _ in Counter(event.type for event in timed).most_common(MAX_TYPES)]
    return {
        kind: np.sort([event.time.timestamp() for event in timed if event.time and event.type == kind])
        for kind in frequent
    }


def frequent_types(events: Sequence[Event]) -> Statement:
    """The most frequent types, and how many events came without a time."""
    types = dict(Counter(event.type for event in events).most_common(3))
    timeless = sum(event.time is None for event in events)
    if not timeless:
        return say("event_types", events=len(events), types=types)
    return say("event_types_some_timeless", events=len(events), types=types, timeless=timeless)
