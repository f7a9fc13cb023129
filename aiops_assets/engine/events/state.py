"""Reads the present state of a request, which may be a text or any object, events of Kubernetes among it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from aiops_assets.engine.events.event import Event, Place
from aiops_assets.engine.events.reading import newest_states, read_events, read_text
from aiops_assets.engine.events.records import CONDITION_STATUS
from aiops_assets.engine.events.rules import CONDITION_TYPES, QUIET_NAMES, RULES_BY_NAME, canonical
from aiops_assets.errors import DataError

MOST_VALUES = 200
"""Most values of a state that are read."""
NAME_KEYS = frozenset(
    {
        "name", "namespace", "pod", "podname", "container", "containername", "node", "nodename", "host", "hostname",
        "instance", "image", "imageid", "uid", "id", "cluster", "clustername", "service", "servicename", "deployment",
        "app", "job", "workload", "resource", "object", "kind", "apiversion", "fingerprint", "generatorurl", "url",
        "timestamp", "time", "generatename", "component", "source",
    }
)  # fmt: skip
"""Keys whose texts name things."""
METADATA_KEYS = frozenset({"labels", "annotations", "metadata", "spec", "selector", "ownerreferences"})
"""Keys of objects that say nothing of the present state."""
OVER_STATUS = ("resolved", "cleared", "recovered", "ended")
OBJECT_LISTS = frozenset({"conditions", "containerStatuses"})
"""Lists of an object of Kubernetes, or of its status, that hold events."""


@dataclass(frozen=True)
class State:
    """A state that was read.

    Attributes:
        events: the events, conditions and alerts in it.
        texts: what it says besides, and the names of its true values.
        numbers: its numbers by name.
    """

    events: tuple[Event, ...] = ()
    texts: tuple[str, ...] = ()
    numbers: Mapping[str, float] = field(default_factory=dict)


def read_state(state: object, now: datetime) -> State:
    """Read a state.

    Args:
        state: a text or any JSON value; its first 200 values are used. Times in it that cannot be read are unset.
        now: the present time with an offset.
    """
    events: list[Event] = []
    texts: list[str] = []
    numbers: dict[str, float] = {}
    left: list[tuple[str, object]] = [("", state)]
    for _ in range(MOST_VALUES):
        if not left:
            break
        key, value = left.pop(0)
        name = canonical(key)
        if name in CONDITION_TYPES and _is_status(key, value):
            events += read_text(f"{key}={CONDITION_STATUS[str(value).strip().lower()]}", Place("current_state", 0), now)
        elif isinstance(value, Mapping):
            if _is_record(value) or _holds_events(value):
                events += _read(value, now)
            left += [] if _is_record(value) else _rest(value)
        elif isinstance(value, Sequence) and not isinstance(value, str | bytes):
            left += [(key, one) for one in value[:MOST_VALUES]]
        elif isinstance(value, str):
            if name not in NAME_KEYS:
                _add_text(value, now, events, texts)
        elif value is True:
            _add_text(key, now, events, texts)
        elif isinstance(value, int | float) and value is not False and math.isfinite(value):
            numbers[key] = float(value)
    return State(tuple(newest_states(events)), tuple(texts), numbers)


def _add_text(text: str, now: datetime, events: list[Event], texts: list[str]) -> None:
    """Add the events of a text. It is free text as well, unless it is a condition, a line of kubectl or JSON."""
    read = _read(text, now)
    events += read
    if len(read) == 1 and not (read[0].holds or read[0].time or read[0].labels or read[0].quiet):
        texts.append(read[0].text)


def _holds_events(value: Mapping[object, object]) -> bool:
    status = value.get("status")
    inner = status if isinstance(status, Mapping) else value
    return any(isinstance(inner.get(key), list) for key in OBJECT_LISTS)


def _rest(value: Mapping[object, object]) -> list[tuple[str, object]]:
    """The fields of an object that are no events, no names and no metadata."""
    taken = METADATA_KEYS | OBJECT_LISTS if _holds_events(value) else METADATA_KEYS
    rest = [(str(key), held) for key, held in list(value.items())[:MOST_VALUES]]
    status = value.get("status")
    if isinstance(status, Mapping):
        kept = {key: held for key, held in status.items() if key not in OBJECT_LISTS}
        rest = [(key, kept if held is status else held) for key, held in rest]
    reason = canonical(str(value.get("reason", "")))
    if reason in RULES_BY_NAME or reason in QUIET_NAMES:  # Then the reason speaks, and the message does not.
        taken |= {"message", "note"}
    return [(key, held) for key, held in rest if key not in taken and canonical(key) not in METADATA_KEYS]


def _is_status(key: str, value: object) -> bool:
    """Whether a key with a value is a condition, as ``DiskPressure: "False"``; ``ready: false`` is a field."""
    if isinstance(value, str):
        return value.strip().lower() in CONDITION_STATUS
    return isinstance(value, bool) and (key[:1].isupper() or "pressure" in canonical(key))


def _is_record(value: Mapping[object, object]) -> bool:
    keys = {canonical(str(key)) for key in value}
    labels = value.get("labels")
    if "alertname" in keys or "labelsalertname" in keys or (isinstance(labels, Mapping) and "alertname" in labels):
        return True
    if any(isinstance(value.get(key), list) for key in ("items", "alerts", "events")):
        return True
    status = value.get("status")
    kind = str(value.get("type", "")).lower()
    has_status = isinstance(status, str | bool) and str(status).lower() in CONDITION_STATUS
    return (
        value.get("kind") == "Event"
        or bool(keys & {"involvedobject", "regarding", "startsat"})
        or kind in ("normal", "warning")
        or (bool(kind) and (has_status or value.get("resolved") is True or str(status).lower() in OVER_STATUS))
    )


def _read(value: object, now: datetime) -> list[Event]:
    try:
        return read_events([value], now, "current_state")
    except DataError:  # A state may hold anything; only events must be right.
        return []
