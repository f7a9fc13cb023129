"""What an event, a condition or an alert is for the engine."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from aiops_assets.engine.events.rules import EventRule

UNNAMED = "unnamed"


@dataclass(frozen=True)
class Event:
    """An event, a condition or an alert.

    Attributes:
        type: what people call it: a reason, ``DiskPressure=True``, an alert's name, or the text itself.
        rules: what it is evidence for; empty: for nothing.
        time: its time with an offset; ``None`` if none was sent.
        text: its words without names of objects, for searches.
        labels: whose it is: namespace, pod, node, kind, ..., as far as it was sent.
        quiet: whether it says that something is well or over.
        holds: whether it holds now, however long ago it began: a condition, a firing alert.
        undated: whether it has fields for a time and none of them is set, so that nobody knows whether it is of now.
        suppressed: whether it was silenced or inhibited: reported, but nobody is to act.
        count: how often it occurred.
        first: time of the first of several occurrences.
        identity: what another event has in common that is a later state of the same thing; empty: unknown.
    """

    type: str
    rules: tuple[EventRule, ...] = ()
    time: datetime | None = None
    text: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    quiet: bool = False
    holds: bool = False
    undated: bool = False
    suppressed: bool = False
    count: int = 1
    first: datetime | None = None
    identity: tuple[str, ...] = ()


@dataclass(frozen=True)
class Place:
    """Where an event was sent: the list's name, and the position of its entry."""

    name: str
    position: int

    def __str__(self) -> str:
        return f"{self.name}[{self.position}]"
