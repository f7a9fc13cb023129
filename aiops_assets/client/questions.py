"""Encodes requests, and derives a cache key that is equal for requests of the same question."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Protocol, runtime_checkable

from aiops_assets.errors import DataError

METRIC_LISTS = ("metrics", "historical_metrics")
"""Keys of a request, and of its ``issue_context``, that hold metrics."""
CHANGING_OF_METRIC = frozenset({"value", "timestamp"})
CHANGING_OF_TIME_RANGE = frozenset({"start", "end"})
"""Keys whose values change from minute to minute while the question is the same."""


@runtime_checkable
class Sample(Protocol):
    """One value of one metric: any object with these attributes, such as a data class of the caller's."""

    @property
    def name(self) -> str:
        """Name of the metric, which the service need not know."""

    @property
    def value(self) -> float:
        """Value, finite."""

    @property
    def time(self) -> datetime | None:
        """Time with an offset; ``None``: now."""

    @property
    def labels(self) -> Mapping[str, str]:
        """Labels such as ``{"pod": "api-0"}``; may be empty."""


Metric = Mapping[str, object] | Sample


def metric_objects(metrics: Iterable[Metric]) -> list[Mapping[str, object]]:
    """Metrics as JSON objects, from mappings or samples.

    Raises:
        DataError: a metric is neither a mapping nor a sample.
    """
    return [_object(metric) for metric in metrics]


def _object(metric: Metric) -> Mapping[str, object]:
    if isinstance(metric, Mapping):
        return metric
    if not isinstance(metric, Sample):
        raise DataError(
            f"a metric is a {type(metric).__name__}: send {{name, value, timestamp?, labels?}}, or an object with "
            "name, value, time and labels",
            code="no_sample",
            type=type(metric).__name__,
        )
    content: dict[str, object] = {"name": metric.name, "value": metric.value}
    if metric.time is not None:
        content["timestamp"] = metric.time
    if metric.labels:
        content["labels"] = dict(metric.labels)
    return content


def encoded(request: Mapping[str, object]) -> bytes:
    """A request as JSON, with times as ISO 8601.

    Raises:
        DataError: a number is not finite, a time has no offset, or a value is not JSON.
    """
    try:
        return json.dumps(request, allow_nan=False, default=_json).encode()
    except (TypeError, ValueError) as error:
        raise DataError(
            f"the request cannot be written as JSON: {error}; send finite numbers, strings and times",
            code="not_json",
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
    raise TypeError(f"{type(value).__name__} is not JSON")


def question(path: str, request: Mapping[str, object]) -> str:
    """The cache key of a request: all of it but the values and times of metrics, and start and end.

    Events and states are part of it: the answer for a healthy state must not be used for a critical one.
    """
    text = json.dumps(_lasting(request), sort_keys=True)
    return path + " " + hashlib.sha256(text.encode()).hexdigest()


def _lasting(request: Mapping[str, object]) -> dict[str, object]:
    lasting = dict(request)
    for key in METRIC_LISTS:
        metrics = request.get(key)
        if isinstance(metrics, list):
            # Metrics are compared as a set: a longer history of the same ones is the same question.
            lasting[key] = sorted({json.dumps(_without(one, CHANGING_OF_METRIC), sort_keys=True) for one in metrics})
    if "time_range" in request:
        lasting["time_range"] = _without(request["time_range"], CHANGING_OF_TIME_RANGE)
    context = request.get("issue_context")
    if isinstance(context, Mapping):
        lasting["issue_context"] = _lasting(context)
    return lasting


def _without(part: object, keys: frozenset[str]) -> object:
    if not isinstance(part, Mapping):
        return part
    return {key: value for key, value in part.items() if key not in keys}
