"""Reads what Kubernetes and Alertmanager send, whole, flattened or as text, into one kind of object.

Sources: the API references of core/v1 Event, events.k8s.io/v1 Event and of conditions; Alertmanager's webhook (version
4) and API v2. Keys are compared without regard to case and separators, because clients write ``last_timestamp`` too.
``status``, ``reason`` and ``type`` speak; names of objects never do, and free text does only where these say nothing.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from aiops_assets.engine.events.event import UNNAMED, Event, Place
from aiops_assets.engine.events.fields import Fields
from aiops_assets.engine.events.names import without_names
from aiops_assets.engine.events.rules import (
    QUIET_NAMES,
    QUIET_SEVERITIES,
    RULES_BY_NAME,
    SEVERITY_RULES,
    canonical,
    normal_rules,
    rules_of,
    rules_of_name,
)
from aiops_assets.engine.events.times import read_time

TYPE_KEYS = ("type", "event", "eventtype")
STAMP_KEYS = ("timestamp", "time")
"""When the sender saw it; the other times are when it happened."""
TIME_KEYS = (
    *STAMP_KEYS, "lasttimestamp", "eventtime", "firsttimestamp", "deprecatedlasttimestamp", "deprecatedfirsttimestamp",
    "lastobservedtime", "lasttransitiontime", "startsat", "finishedat",
)  # fmt: skip
END_KEYS = ("endsat", "resolvedat", "endedat")
KUBERNETES_TYPES = ("normal", "warning")
CONDITION_STATUS: Mapping[str, str] = {"true": "True", "false": "False", "unknown": "Unknown"}
PRESENT = frozenset({"firing", "active", "alerting", "pending", "suppressed", "unprocessed"})
PAST = frozenset(
    [
        "resolved",
        "ok",
        "inactive",
        "closed",
        "ended",
        "cleared",
        "recovered",
        "normal",
        "healthy",
        "completed",
        "succeeded",
    ]
)
IDENTITY_KEYS = (
    "namespace", "pod", "container", "node", "deployment", "workload", "app", "layer", "machine", "instance", "device",
)  # fmt: skip
NO_NAMES = ("kind", "layer")
"""Labels whose values are words, and no names of objects."""
GENERIC_REASONS = frozenset({"failed", "error", "failedsync", "warning"})


def read_record(record: Mapping[object, object], place: Place, now: datetime) -> Event:
    """One record: an alert, a condition, or an event.

    Raises:
        DataError: ``bad_time``: a time cannot be read.
    """
    fields = Fields(record)
    known = fields.inside("labels")
    alert = known.text("alertname") or fields.text("alertname", "alert")
    kind = next((value for value in (fields.text(key) for key in TYPE_KEYS) if value), "")
    status = _condition_status(fields.get("status"))
    times = {key: read_time(fields.get(key), str(place), place.position) for key in TIME_KEYS if key in fields}
    series = fields.inside("series")
    times["lastobservedtime"] = read_time(series.get("lastobservedtime"), str(place), place.position)
    ends = [read_time(fields.get(key), str(place), place.position) for key in END_KEYS]
    ended = max((end for end in ends if end is not None and end <= now), default=None)
    labels = _labels(fields, known)
    state = _state(fields)
    unnamed_alert = "labels" in fields and not kind and not fields.text("reason") and state in PRESENT | PAST
    if alert or "startsat" in fields or unnamed_alert:
        event = _alert(fields, known, alert or kind or fields.text("name"), labels)
    elif status and kind and kind.lower() not in KUBERNETES_TYPES:
        event = condition_of(fields, f"{kind}={status}", labels)
    else:
        event = event_of(fields, kind, times, labels)
    over = ended is not None or state in PAST or any(fields.get(key) is True for key in ("resolved", "ended"))
    severity = (known.text("severity") or fields.text("severity")).lower()
    quiet = event.quiet or over or severity in QUIET_SEVERITIES
    set_times = [time for time in times.values() if time is not None]
    created = read_time(fields.inside("metadata").get("creationtimestamp"), str(place), place.position)
    time = ended or max(set_times, default=created)
    return replace(
        event,
        rules=() if quiet else event.rules,
        time=time,
        quiet=quiet,
        holds=(event.holds or state in PRESENT) and not any(times.get(key) for key in STAMP_KEYS),
        undated=event.undated and time is None,
        suppressed=_is_suppressed(fields, state),
        count=_count(fields, series),
        first=times.get("firsttimestamp") or times.get("deprecatedfirsttimestamp"),
    )


def _alert(fields: Fields, known: Fields, name: str, labels: dict[str, str]) -> Event:
    notes = fields.inside("annotations")
    names = {**known.texts(), **labels}
    about = " ".join(one.text("summary", "description", "message") for one in (notes, fields))
    about = without_names(about, _names(names))
    rules = rules_of_name(name, about)
    if not rules and canonical(name) not in QUIET_NAMES:
        severity = (known.text("severity") or fields.text("severity")).lower()
        rules = (canonical(name) not in RULES_BY_NAME and rules_of(about)) or tuple(
            SEVERITY_RULES[one] for one in (severity,) if one in SEVERITY_RULES
        )
    identity = ("alert", fields.text("fingerprint") or f"{name} {sorted({**known.texts(), **labels}.items())}")
    quiet = canonical(name) in QUIET_NAMES
    text = f"{name} {about}".strip()
    # An alert that names its end, and has not come to it, is firing.
    holds = any(key in fields for key in END_KEYS)
    return Event(
        name or UNNAMED, rules, None, text, labels, quiet, holds, not holds and "startsat" in fields, identity=identity
    )


def condition_of(fields: Fields, name: str, labels: dict[str, str]) -> Event:
    """A condition, which holds now; it says that something is well unless its status has rules."""
    reason = fields.text("reason")
    about = f"{_kind(labels)} {reason} {without_names(fields.text('message'), _names(labels))}"
    rules = () if canonical(reason) in QUIET_NAMES else rules_of_name(name, about)
    identity = ("condition", name.partition("=")[0], *sorted(labels.values())) if "object" in labels else ()
    text = f"{name.partition('=')[0]} {about}" if rules else ""
    return Event(name, rules, None, text, labels, quiet=not rules, holds=True, identity=identity)


def event_of(fields: Fields, kind: str, times: Mapping[str, object], labels: dict[str, str]) -> Event:
    """An event by its reason, its type, and, where these say nothing, its message.

    Args:
        fields: the record.
        kind: its type: Normal, Warning, or the sender's own.
        times: its times by canonical key; a key whose value is ``None`` was sent unset.
        labels: whose it is.
    """
    reason = fields.text("reason")
    of_kubernetes, normal = kind.lower() in KUBERNETES_TYPES, kind.lower() == "normal"
    names = [one for one in (reason, "" if of_kubernetes else kind) if one]
    subject = "" if of_kubernetes or labels else fields.text("name")
    if not names and subject:
        names = [subject]
    message = without_names(fields.text("message", "note", "description"), _names(labels))
    rules = tuple(dict.fromkeys(rule for name in names for rule in rules_of_name(name, f"{_kind(labels)} {message}")))
    harmless = any(canonical(name) in QUIET_NAMES for name in names)
    if normal:
        rules = normal_rules(rules) if canonical(reason) in RULES_BY_NAME else ()
    elif canonical(reason) in GENERIC_REASONS:
        rules = rules_of(message) or rules
    elif not rules and not harmless and (kind.lower() == "warning" or not reason):
        rules = rules_of(message)
    is_record = of_kubernetes or fields.text("kind") == "Event" or "involvedobject" in fields or "regarding" in fields
    uid = fields.inside("metadata").text("uid")
    return Event(
        (names or [fields.text("message", "note") or kind or UNNAMED])[0],
        rules,
        None,
        " ".join((*names, message)).strip(),
        labels,
        quiet=harmless or (normal and not rules),
        undated=is_record or bool(times.keys() & set(TIME_KEYS) - {"lastobservedtime"}),
        identity=("event", uid) if uid else (),
    )


def _names(labels: Mapping[str, str]) -> list[str]:
    return [value for key, value in labels.items() if key not in NO_NAMES]


def _kind(labels: Mapping[str, str]) -> str:
    """The kind of an event's object, such as ``kind Pod``, for the patterns ``about`` of rules; empty: unknown."""
    kind = labels.get("kind") or ("Pod" if "pod" in labels else "Node" if "node" in labels else "")
    return f"kind {kind}" if kind else ""


def _condition_status(sent: object) -> str:
    return CONDITION_STATUS.get(str(sent).strip().lower(), "") if isinstance(sent, str | bool) else ""


def _state(fields: Fields) -> str:
    """State of an alert in lower case: ``status``, ``status.state`` or ``state``."""
    return (fields.inside("status").text("state") or fields.text("status", "state")).lower()


def _is_suppressed(fields: Fields, state: str) -> bool:
    by = [one.get(key) for one in (fields.inside("status"), fields) for key in ("silencedby", "inhibitedby", "mutedby")]
    return state == "suppressed" or any(isinstance(one, list) and one for one in by) or fields.get("suppressed") is True


def _count(fields: Fields, series: Fields) -> int:
    counts = [one.get("count") for one in (series, fields)] + [fields.get("deprecatedcount")]
    return max([one for one in counts if type(one) is int and one > 0], default=1)


def _labels(fields: Fields, known: Fields) -> dict[str, str]:
    """Whose an event is; ``object`` is the object's name."""
    subject = fields.inside("involvedobject", "regarding")
    owner = fields.inside("metadata")
    labels = {
        key: value for one in (owner, fields, known) for key, value in one.texts().items() if key in IDENTITY_KEYS
    }
    labels |= {key: subject.text(key) for key in ("namespace", "kind") if subject.text(key)}
    if "kind" not in labels and fields.text("kind") not in ("", "Event"):
        labels["kind"] = fields.text("kind")
    name = subject.text("name") or ("" if fields.text("kind") in ("", "Event") else owner.text("name"))
    if name:
        labels["object"] = name
        labels.setdefault(labels.get("kind", "object").lower(), name)
    return labels
