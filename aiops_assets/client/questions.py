"""What the client sends, and when two requests ask the same."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from aiops_assets.errors import DataError
from aiops_assets.insights.samples import Sample

CHANGING = frozenset({"value", "timestamp", "start", "end", "events", "recent_events", "current_state"})
"""Keys of a request that differ from one minute to the next though the question is the same."""
Metric = Mapping[str, object] | Sample


def written(metrics: Iterable[Metric]) -> list[Mapping[str, object]]:
    """Metrics as objects, whichever way they were given."""
    return [_object(metric) if isinstance(metric, Sample) else metric for metric in metrics]


def _object(sample: Sample) -> Mapping[str, object]:
    told: dict[str, object] = {"name": sample.name, "value": sample.value}
    if sample.time is not None:
        told["timestamp"] = sample.time
    if sample.labels:
        told["labels"] = dict(sample.labels)
    return told


def encoded(request: Mapping[str, object]) -> bytes:
    """A request as JSON; times get their offsets.

    Raises:
        DataError: a number is not finite, a time has no offset, or something is no JSON at all.
    """
    try:
        return json.dumps(request, allow_nan=False, default=_json).encode()
    except (TypeError, ValueError) as error:
        raise DataError(
            f"the request cannot be written as JSON: {error}; send finite numbers, strings and times"
        ) from None


def _json(value: object) -> object:
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError(f"{value} has no offset")
        return value.isoformat()
    if isinstance(value, Mapping):
        return dict(value)
    if hasattr(value, "item"):
        return value.item()
    raise TypeError(f"{type(value).__name__} is no JSON")


def question(path: str, request: object) -> str:
    """A key that requests share which ask the same: all but values, times and events (:data:`CHANGING`)."""
    text = json.dumps(_lasting(request), sort_keys=True)
    return path + " " + hashlib.sha256(text.encode()).hexdigest()


def _lasting(part: object) -> object:
    if isinstance(part, Mapping):
        return {key: _lasting(value) for key, value in part.items() if key not in CHANGING}
    # Lists count as sets: a longer history of the same metrics asks the same.
    if isinstance(part, Sequence) and not isinstance(part, str):
        return sorted({json.dumps(_lasting(one), sort_keys=True) for one in part})
    return part
