"""Reads events of requests, and finds bursts, daily events and sequences."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import permutations

import numpy as np

from aiops_assets.engine.pattern_analysis.pattern_types import Pattern, described, utc_time
from aiops_assets.engine.pattern_analysis.spikes import daily_time
from aiops_assets.engine.wording import say
from aiops_assets.errors import DataError
from aiops_assets.judging.statements import Statement
from aiops_assets.timeseries.series import Floats

TYPE_KEYS = ("type", "event_type", "reason", "name", "message")
"""Keys of an object that may hold its type, in this order; Kubernetes' own ``type`` is Normal or Warning."""
KUBERNETES_TYPES = ("Normal", "Warning")
TIME_KEYS = ("timestamp", "time", "lastTimestamp")
MAX_TYPES = 10
BINS = 48
MIN_BIN_SECONDS = 60.0
SIGNIFICANCE = 0.001
FEWEST_IN_BURST = 5
MAX_FOLLOW_SECONDS = 600.0
FEWEST_FOLLOWED = 3
FOLLOWED_SHARE = 0.6


@dataclass(frozen=True)
class Event:
    """An event of a request.

    Attributes:
        type: type of the event; a plain string is its own type.
        time: time with an offset; ``None`` if none was sent.
        text: all words of the event, for searches.
        labels: the keys of the object with string values.
    """

    type: str
    time: datetime | None
    text: str
    labels: Mapping[str, str] = field(default_factory=dict)


def read_events(events: Sequence[object]) -> list[Event]:
    """Events from strings, or objects ``{type, timestamp, ...}``.

    Raises:
        DataError: an event is neither, or its time cannot be read.
    """
    return [_read(event, position) for position, event in enumerate(events)]


def _read(event: object, position: int) -> Event:
    if isinstance(event, Event):
        return event
    if isinstance(event, str):
        return Event(event.strip() or "unnamed", None, event)
    if not isinstance(event, Mapping):
        raise DataError(
            f"events[{position}]: send a string or an object with type and timestamp",
            code="bad_event",
            position=position,
        )
    words = {str(key): value for key, value in event.items() if isinstance(value, str) and value.strip()}
    named = [words[key].strip() for key in TYPE_KEYS if key in words]
    kinds = [kind for kind in named if kind not in KUBERNETES_TYPES] or named or ["unnamed"]
    labels = {key: value for key, value in words.items() if key not in TIME_KEYS}
    # Kubernetes fills one of its times and leaves the others empty, or Go's zero.
    times = (_time(event.get(key), position) for key in TIME_KEYS)
    time = next((one for one in times if one is not None), None)
    return Event(kinds[0], time, " ".join(labels.values()), labels)


def _time(sent: object, position: int) -> datetime | None:
    if sent is None or (isinstance(sent, str) and not sent.strip()):
        return None
    cure = f"events[{position}]: send its timestamp as RFC 3339, such as 2026-01-01T00:00:00Z"
    if isinstance(sent, str):
        try:
            sent = datetime.fromisoformat(sent)
        except ValueError:
            raise DataError(cure, code="bad_time", position=position) from None
    if not isinstance(sent, datetime):
        raise DataError(cure, code="bad_time", position=position)
    time = sent if sent.tzinfo else sent.replace(tzinfo=UTC)
    # Go writes a time that was never set as year 1.
    return time if time.year > 1 else None


def find_bursts(events: Sequence[Event], start: float, end: float) -> list[Pattern]:
    """Short times with far more events of a type than the rest of the window, by a Poisson test of each bin."""
    from scipy.stats import poisson

    span = end - start
    if span <= 0:
        return []
    width = max(span / BINS, MIN_BIN_SECONDS)
    bins = max(1, int(np.ceil(span / width)))
    patterns = []
    for kind, times in _times_by_type(events).items():
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
    for kind, times in _times_by_type(events).items():
        daily = daily_time(times, end - start)
        if daily is not None:
            time, days, confidence = daily
            facts = {"name": kind, "time": time, "days": days}
            patterns.append(described("daily_event", (), confidence, times.min(), times.max(), **facts))
    return patterns


def find_sequences(events: Sequence[Event], start: float, end: float) -> list[Pattern]:
    """Types that follow another within ten minutes more often than by chance, by a binomial test of each pair."""
    from scipy.stats import binom

    by_type = _times_by_type(events)
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


def _times_by_type(events: Sequence[Event]) -> dict[str, Floats]:
    """Type -> sorted Unix seconds of its events with times, of the most frequent types."""
    timed = [event for event in events if event.time is not None]
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
