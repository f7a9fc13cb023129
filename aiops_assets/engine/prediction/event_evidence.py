"""Evidence for issues from events and a state, each piece with a probability and a time."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from aiops_assets.engine.events.event import Event
from aiops_assets.engine.events.rules import DAY, HOUR, EventRule
from aiops_assets.engine.wording import say
from aiops_assets.judging.statements import Statement

MAX_REPEATS = 3
"""Most events of one rule that are used: the tenth restart says no more than the third."""
OLD_MINUTES, HALF_MINUTES = DAY, 6 * HOUR
"""Events older than the first (minutes) are ignored; the probability halves with each of the second (minutes)."""
SHOWN = 60


@dataclass(frozen=True)
class Evidence:
    """One piece of evidence for an issue.

    Attributes:
        issue: id of the issue.
        probability: probability (0-1) of the issue given this piece alone.
        minutes: minutes until the issue occurs.
        measured: whether the time follows from samples instead of a table.
        reason: a sentence for people.
        suppressed: whether only silenced or inhibited alerts are behind it, on which nobody is to act.
    """

    issue: str
    probability: float
    minutes: float
    measured: bool
    reason: Statement
    suppressed: bool = False


def event_evidence(events: Iterable[Event], now: datetime) -> list[Evidence]:
    """Evidence from events, one piece per rule, from its three newest occurrences, newer ones with more weight.

    What ended is no evidence, nor is an event whose time was never set. A condition or an alert that holds is of now.
    """
    found: dict[tuple[EventRule, bool], list[tuple[float, str]]] = {}
    for event in events:
        if event.quiet or event.undated:
            continue
        for rule in event.rules:
            each = found.setdefault((rule, event.suppressed), [])
            each += [(rule.probability * 0.5 ** (age / HALF_MINUTES), event.type) for age in _ages(event, now)]
    pieces = []
    for (rule, suppressed), each in found.items():
        if not each:
            continue
        strongest = sorted(each, reverse=True)[:MAX_REPEATS]
        together = noisy_or(probability for probability, _ in strongest)
        code = "suppressed" if suppressed else "repeated_event" if len(each) > 1 else "event"
        reason = say(code, event=strongest[0][1][:SHOWN], count=len(each))
        pieces.append(Evidence(rule.issue, together, rule.minutes, False, reason, suppressed))
    return pieces


def state_evidence(events: Iterable[Event], now: datetime) -> list[Evidence]:
    """Evidence from the events of a state, one piece per rule."""
    first: dict[EventRule, Event] = {}
    for event in events:
        if event.quiet or event.undated or not _ages(event, now):
            continue
        for rule in event.rules:
            if rule not in first or first[rule].suppressed:
                first[rule] = event
    return [
        Evidence(
            rule.issue, rule.probability, rule.minutes, False, say("state", state=event.type[:SHOWN]), event.suppressed
        )
        for rule, event in first.items()
    ]


def noisy_or(probabilities: Iterable[float]) -> float:
    """1 - the product of 1 - p: several causes, each enough by itself (Pearl 1988, section 4.3.2)."""
    none = 1.0
    for probability in probabilities:
        none *= 1 - probability
    return 1 - none


def _ages(event: Event, now: datetime) -> Sequence[float]:
    """Ages in minutes of the newest occurrences of an event, without those of more than a day ago.

    A text, and what holds, is of now. The occurrences that a count stands for are taken as even from first to last; if
    the first is unknown, as of the last, because the API server keeps events for an hour (``--event-ttl``).
    """
    newest = 0.0
    if event.time is not None and not event.holds:
        newest = max((now - event.time).total_seconds() / 60, 0.0)
    gap = 0.0
    if event.first is not None and event.time is not None and event.count > 1:
        gap = max((event.time - event.first).total_seconds() / 60, 0.0) / (event.count - 1)
    used = 1 if event.holds else min(event.count, MAX_REPEATS)
    return [age for age in (newest + place * gap for place in range(used)) if age <= OLD_MINUTES]
