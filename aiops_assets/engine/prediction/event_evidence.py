"""Evidence for issues from events and a state, each piece with a probability and a time."""

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
MAX_TEXT_CHARACTERS = 300
MAX_REPEATS = 3
"""Most events of one rule that are used: the tenth restart says no more than the third."""
OLD_MINUTES, HALF_MINUTES = DAY, 6 * HOUR
"""Events older than the first (minutes) are ignored; the probability halves with each of the second (minutes)."""
SHOWN = 60
NO_YEAR = 1
"""The year of a time that was never set, which Go writes as 0001-01-01T00:00:00Z."""


@dataclass(frozen=True)
class Evidence:
    """One piece of evidence for an issue.

    Attributes:
        issue: id of the issue.
        probability: probability (0-1) of the issue given this piece alone.
        minutes: minutes until the issue occurs.
        measured: whether the time follows from samples instead of a table.
        reason: a sentence for people.
    """

    issue: str
    probability: float
    minutes: float
    measured: bool
    reason: Statement


def event_evidence(events: Iterable[object], now: datetime) -> list[Evidence]:
    """Evidence from events, one piece per rule; up to three events of a rule are used, with more weight for newer ones.

    Args:
        events: texts, or objects with any of ``type``, ``reason``, ``message`` and ``timestamp`` (ISO 8601, UTC without
            an offset; a missing or empty one and Go's zero time mean now). Words without a rule are ignored.

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
        strongest = sorted(each, reverse=True)[:MAX_REPEATS]
        together = noisy_or(probability for probability, _ in strongest)
        code = "repeated_event" if len(each) > 1 else "event"
        reason = say(code, event=strongest[0][1][:SHOWN], count=len(each))
        pieces.append(Evidence(rule.issue, together, rule.minutes, False, reason))
    return pieces


def state_evidence(texts: Iterable[str]) -> list[Evidence]:
    """Evidence from the texts of a state, one piece per rule."""
    text_by_rule: dict[EventRule, str] = {}
    for text in texts:
        for rule in rules_of(text):
            text_by_rule.setdefault(rule, text)
    return [
        Evidence(rule.issue, rule.probability, rule.minutes, False, say("state", state=text[:SHOWN]))
        for rule, text in text_by_rule.items()
    ]


def rules_of(text: str) -> list[EventRule]:
    """The rules whose words are in a text; none if the text says that something is over."""
    words = words_of(text[:MAX_TEXT_CHARACTERS])
    if EventRule(OVER, "", 0.0, 0.0).matches(words):
        return []
    return [rule for rule in EVENT_RULES if rule.matches(words)]


def noisy_or(probabilities: Iterable[float]) -> float:
    """1 - the product of 1 - p: several causes, each enough by itself (Pearl 1988, section 4.3.2)."""
    none = 1.0
    for probability in probabilities:
        none *= 1 - probability
    return 1 - none


def state_texts(state: object, most: int = 200) -> tuple[list[str], dict[str, float]]:
    """The texts of a state with the names of its true values, and its numbers by name.

    Args:
        state: a text or any JSON value; its first ``most`` values are used.
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
    """An event's text, and its age in minutes, which is 0 without a time or for a time in the future."""
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
    """A time as sent; ``None`` for the values that clients write without a time: an empty text, and Go's zero time."""
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
