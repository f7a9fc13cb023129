"""What events and a state say of issues: pieces of evidence, each with a probability and a time."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from aiops_assets.engine.prediction.issue_rules import DAY, EVENT_RULES, HOUR, OVER, EventRule, words_of
from aiops_assets.engine.wording import say
from aiops_assets.errors import DataError, SchemaError
from aiops_assets.judging.statements import Statement

EVENT_FIELDS = ("type", "event", "event_type", "reason", "name", "message")
TIME_FIELDS = ("timestamp", "time")
LONGEST_TEXT = 300
MOST_REPEATS = 3
"""Events of one rule that count: the tenth restart says no more than the third."""
OLD_MINUTES, HALF_MINUTES = DAY, 6 * HOUR
"""Older events say nothing; each six hours halve what one says."""
SHOWN = 60
NO_YEAR = 1
"""Go writes a time that was never set as 0001-01-01T00:00:00Z."""


@dataclass(frozen=True)
class Evidence:
    """One piece.

    Attributes:
        issue: its id.
        probability: 0-1, by this piece alone.
        minutes: until it happens.
        measured: whether samples told the time, not a table.
        reason: what speaks for the issue.
    """

    issue: str
    probability: float
    minutes: float
    measured: bool
    reason: Statement


def event_evidence(events: Iterable[object], now: datetime) -> list[Evidence]:
    """What events speak for, a piece a rule; three of a kind count, newer ones more.

    Args:
        events: texts, or objects with any of ``type``, ``reason``, ``message`` and ``timestamp`` (ISO 8601, UTC where
            it has no offset; none, an empty one and Go's zero time are now). Words that no rule knows say nothing.

    Raises:
        SchemaError: an event is neither text nor object.
        DataError: an event's time cannot be read.
    """
    found: dict[EventRule, list[tuple[float, str]]] = {}
    known: dict[str, list[EventRule]] = {}
    for place, event in enumerate(events):
        text, age = _read(event, place, now)
        if age > OLD_MINUTES:
            continue
        if text not in known:
            known[text] = rules_of(text)
        for rule in known[text]:
            found.setdefault(rule, []).append((rule.probability * 0.5 ** (age / HALF_MINUTES), text))
    pieces = []
    for rule, each in found.items():
        strongest = sorted(each, reverse=True)[:MOST_REPEATS]
        together = noisy_or(probability for probability, _ in strongest)
        code = "repeated_event" if len(each) > 1 else "event"
        reason = say(code, event=strongest[0][1][:SHOWN], count=len(each))
        pieces.append(Evidence(rule.issue, together, rule.minutes, False, reason))
    return pieces


def state_evidence(texts: Iterable[str]) -> list[Evidence]:
    """What the texts of a state speak for, a piece a rule."""
    said: dict[EventRule, str] = {}
    for text in texts:
        for rule in rules_of(text):
            said.setdefault(rule, text)
    return [
        Evidence(rule.issue, rule.probability, rule.minutes, False, say("state", state=text[:SHOWN]))
        for rule, text in said.items()
    ]


def rules_of(text: str) -> list[EventRule]:
    """The rules whose words a text has; none where it says that something is over."""
    words = words_of(text[:LONGEST_TEXT])
    if EventRule(OVER, "", 0.0, 0.0).says(words):
        return []
    return [rule for rule in EVENT_RULES if rule.says(words)]


def noisy_or(probabilities: Iterable[float]) -> float:
    """1 - the product of 1 - p: several causes, each enough by itself (Pearl 1988, section 4.3.2)."""
    none = 1.0
    for probability in probabilities:
        none *= 1 - probability
    return 1 - none


def state_texts(state: object, most: int = 200) -> tuple[list[str], dict[str, float]]:
    """What a state says: its texts and the names of what is true in it; and its numbers by name.

    Args:
        state: a text, or any object that JSON has; looked at are the first ``most`` values.
    """
    texts: list[str] = []
    numbers: dict[str, float] = {}
    left: list[tuple[str, object]] = [("", state)]
    for _ in range(most):
        if not left:
            break
        name, value = left.pop(0)
        if isinstance(value, Mapping):
            left += [(str(key), one) for key, one in list(value.items())[:most]]
        elif isinstance(value, Sequence) and not isinstance(value, str | bytes):
            left += [(name, one) for one in value[:most]]
        elif isinstance(value, str):
            texts.append(value)
        elif value is True:
            texts.append(name)
        elif isinstance(value, int | float) and value is not False and np.isfinite(value):
            numbers[name] = float(value)
    return texts, numbers


def _read(event: object, place: int, now: datetime) -> tuple[str, float]:
    """An event's text, and its age in minutes: 0 where it has no time or one to come."""
    if isinstance(event, str):
        return event, 0.0
    if not isinstance(event, Mapping):
        raise SchemaError(f'recent_events[{place}]: text or an object with a type is expected, as "pod_restart"')
    text = " ".join(event[field] for field in EVENT_FIELDS if isinstance(event.get(field), str))
    sent = next((event[field] for field in TIME_FIELDS if event.get(field) is not None), None)
    if sent is None:
        return text, 0.0
    time = _time(sent, place)
    if time is None:
        return text, 0.0
    return text, max((now - time).total_seconds() / 60, 0.0)


def _time(sent: object, place: int) -> datetime | None:
    """``None`` of what clients write where they have no time: an empty text, and Go's zero time."""
    if isinstance(sent, str) and not sent.strip():
        return None
    try:
        time = sent if isinstance(sent, datetime) else datetime.fromisoformat(sent)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        message = f"recent_events[{place}]: the time {sent!r:.40} cannot be read: send it as 2026-11-21T12:00:00Z"
        raise DataError(message) from None
    if time.year == NO_YEAR:
        return None
    return time if time.tzinfo else time.replace(tzinfo=UTC)
