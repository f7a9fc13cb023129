"""The fields of an object as sent, and the objects that are within another: lists, webhook bodies, nodes and pods."""

from collections.abc import Iterator, Mapping

from aiops_assets.engine.events.rules import canonical

MAX_DEPTH = 8
"""Deepest nesting of lists and objects in which events are looked for."""
WATCH_TYPES = ("ADDED", "MODIFIED", "DELETED", "BOOKMARK")


class Fields:
    """The fields of a record by canonical key; dotted keys are those of inner objects."""

    def __init__(self, record: Mapping[object, object]) -> None:
        self._values: dict[str, object] = {}
        self._inside: dict[str, Fields] = {}
        for key, value in record.items():
            name = str(key)
            outer, dot, inner = name.partition(".") if "." in name else (name, "", "")
            if dot and outer:
                held = self._values.setdefault(canonical(outer), {})
                if isinstance(held, dict):
                    held[inner] = value
                    continue
            self._values[canonical(name)] = dict(value) if isinstance(value, Mapping) else value

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def get(self, key: str) -> object:
        """The value of a canonical key; ``None`` if there is none."""
        return self._values.get(key)

    def text(self, *keys: str) -> str:
        """The first of these that is a text with words."""
        for key in keys:
            value = self._values.get(key)
            if isinstance(value, str) and value.strip():
                return value.strip()
        return ""

    def inside(self, *keys: str) -> "Fields":
        """The first of these that is an object; an empty one if none is."""
        for key in keys:
            value = self._values.get(key)
            if isinstance(value, dict):
                if key not in self._inside:
                    self._inside[key] = Fields(value)
                return self._inside[key]
        return NONE

    def texts(self) -> dict[str, str]:
        """All values that are texts with words, by canonical key."""
        return {key: value for key, value in self._values.items() if isinstance(value, str) and value.strip()}


NONE = Fields({})


def unfolded(sent: Mapping[object, object], depth: int = MAX_DEPTH) -> Iterator[Mapping[object, object]]:
    """The records of an object: of a list, a webhook body, a watch, a whole node or pod; else the object itself."""
    inner = _inner(sent) if depth else None
    if inner is None:
        yield sent
        return
    for one in inner:
        if isinstance(one, Mapping):
            yield from unfolded(one, depth - 1)


def _inner(sent: Mapping[object, object]) -> list[object] | None:
    if isinstance(sent.get("object"), Mapping) and sent.get("type") in WATCH_TYPES:
        return [sent["object"]]
    for key in ("items", "alerts", "events"):
        held = sent.get(key)
        if isinstance(held, list):
            return held
    status = sent.get("status")
    held_by = status if isinstance(status, Mapping) else sent
    conditions, containers = held_by.get("conditions"), held_by.get("containerStatuses")
    if not isinstance(conditions, list) and not isinstance(containers, list):
        return None
    owner = {key: sent[key] for key in ("kind", "metadata") if key in sent}
    found = [one for one in conditions if isinstance(one, Mapping)] if isinstance(conditions, list) else []
    found += [state for one in containers for state in _container_states(one)] if isinstance(containers, list) else []
    return [{**owner, **one} for one in found]


def _container_states(container: object) -> Iterator[dict[object, object]]:
    """What a container waits for, and why it ended, as records."""
    if not isinstance(container, Mapping):
        return
    for key in ("state", "lastState"):
        state = container.get(key)
        if not isinstance(state, Mapping):
            continue
        waiting, ended = state.get("waiting"), state.get("terminated")
        if isinstance(waiting, Mapping):
            yield {**waiting, "state": "active"}
        if isinstance(ended, Mapping):
            yield {"finishedAt": None, **ended}
