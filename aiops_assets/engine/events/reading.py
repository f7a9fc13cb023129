"""Reads the events of a request: objects by their fields, texts by their words."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from aiops_assets.engine.events.event import UNNAMED, Event, Place
from aiops_assets.engine.events.fields import Fields, unfolded
from aiops_assets.engine.events.names import without_names
from aiops_assets.engine.events.records import CONDITION_STATUS, condition_of, event_of, read_record
from aiops_assets.engine.events.rules import (
    CONDITION_TYPES,
    ENDED,
    QUIET_NAMES,
    RULES_BY_NAME,
    canonical,
    has_words,
    rules_of,
    rules_of_name,
    words_of,
)
from aiops_assets.errors import DataError

CONDITION_TEXT = re.compile(r"\b([A-Za-z]+)(?:\s*[=:]\s*|\s+is\s+|\s+)(?i:(True|False|Unknown))\b")
KUBECTL_LINE = re.compile(r"(?s)^(.{0,300}?)\b(Normal|Warning)\s+([A-Z][A-Za-z]+)\b\s*(.*)")
"""An event as ``kubectl get events`` (age before) and ``kubectl describe`` (age behind) print it."""
AGE = re.compile(r"(?:^|\s)((?:\d+[smhdy])+)(?:\s|$)")
AGE_SECONDS: Mapping[str, int] = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "y": 31_536_000}
REASON = re.compile(r"\b(?:[A-Za-z]*[a-z][A-Z][A-Za-z]+|[A-Z]{2,}[a-z]+)\b")


def read_events(sent: Iterable[object], now: datetime, name: str = "events") -> list[Event]:
    """Events of a request's list; of several states of one alert, condition or event the newest.

    Args:
        sent: texts or objects: events, conditions, alerts, what holds them (lists, webhook bodies, whole nodes and
            pods), flattened or not, or ``{type, timestamp, ...}``.
        now: the present time with an offset: what ended before it is over.
        name: name of the list, for messages.

    Raises:
        DataError: ``bad_event``: an entry is neither text nor object; ``bad_time``: its time cannot be read.
    """
    found: list[Event] = []
    for position, one in enumerate(sent):
        place = Place(name, position)
        if isinstance(one, Event):
            found.append(one)
        elif isinstance(one, str):
            found += read_text(one, place, now)
        elif isinstance(one, Mapping):
            found += [read_record(record, place, now) for record in unfolded(one)]
        else:
            message = f'{place}: text or an object with a type is expected, as "pod_restart"'
            raise DataError(message, code="bad_event", position=position)
    return newest_states(found)


def newest_states(events: list[Event]) -> list[Event]:
    """All events, but of those of one identity the newest alone; the later one in the list among equals."""
    newest: dict[tuple[str, ...], Event] = {}
    for event in events:
        if not event.identity:
            continue
        before = newest.get(event.identity)
        if before is None or not (before.time and (event.time is None or event.time < before.time)):
            newest[event.identity] = event
    return [event for event in events if not event.identity or newest[event.identity] is event]


def read_text(text: str, place: Place, now: datetime) -> list[Event]:
    """Events that were sent as a text: a type, a sentence, a line of kubectl, ``DiskPressure=False``, or JSON.

    Raises:
        DataError: ``bad_time``: a time within JSON cannot be read.
    """
    shown = text.strip() or UNNAMED
    if shown.startswith("{"):
        try:
            sent = json.loads(shown)
        except (ValueError, RecursionError):
            sent = None
        if isinstance(sent, Mapping):
            return [read_record(record, place, now) for record in unfolded(sent)]
    words = without_names(text, ()) if " " in shown else text
    conditions = [
        condition_of(Fields({"message": words}), f"{kind}={CONDITION_STATUS[status.lower()]}", {})
        for kind, status in CONDITION_TEXT.findall(words[:1000])
        if canonical(kind) in CONDITION_TYPES
    ]
    if conditions:
        return conditions
    line = KUBECTL_LINE.match(text)
    if line:
        return [_line(shown, line, now)]
    rules = rules_of(words)
    if not rules and not has_words(ENDED, words_of(words)):
        whole = words_of(words)
        reasons = [one for one in REASON.findall(words) if canonical(one) in RULES_BY_NAME]
        known = [one for one in reasons if has_words(words_of(one), whole)]
        rules = tuple(dict.fromkeys(rule for one in known for rule in rules_of_name(one, words)))
    return [Event(shown, rules, None, words, {}, quiet=canonical(shown) in QUIET_NAMES)]


def _line(shown: str, line: re.Match[str], now: datetime) -> Event:
    before, kind, reason, message = line.groups()
    event = event_of(Fields({"reason": reason, "message": message}), kind, {}, {})
    age = AGE.search(before) or AGE.match(message)
    seconds = sum(int(n) * AGE_SECONDS[unit] for n, unit in re.findall(r"(\d{1,6})([smhdy])", age[1])) if age else 0
    time = now - timedelta(seconds=min(seconds, AGE_SECONDS["y"])) if age else None
    return replace(event, type=shown, time=time, undated="<unknown>" in before + message[:40])
