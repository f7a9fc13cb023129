"""Bodies of requests, as both families of clients send them. Unknown keys are ignored.

Source: engine contract, section 2.2; ADR-009. Go sends a nil list as null, and a time that was not set as the year 1.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from aiops_assets.engine.samples import Sample

MAX_NAME = 512
YEARS = range(1970, 2200)
"""Valid years of a sample's time: others come from a clock that is not set, and no grid can hold them."""


def _no_time(value: object) -> object:
    """``None`` for Go's zero time, which means no time."""
    return None if isinstance(value, str) and value.startswith("0001-01-01T") else value


def _with_offset(value: datetime | None) -> datetime | None:
    if value is None:
        return None
    if value.year not in YEARS:
        raise ValueError(f"a time between {YEARS[0]} and {YEARS[-1]} is expected")
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


PIECE = 500
"""Samples that are validated at a time: other requests are answered between two pieces."""


def _list(value: object) -> object:
    return [] if value is None else value


def _list_of_events(value: object) -> object:
    """A list of Kubernetes and a webhook body of Alertmanager are objects that hold events."""
    return [value] if isinstance(value, dict) else _list(value)


def _an_hour(value: object) -> object:
    return value or "1h"


def _samples(value: object) -> object:
    """A long list of samples with each of them validated already, which pydantic leaves as it is."""
    if type(value) is not list or len(value) <= PIECE:
        return _list(value)
    return [sample for start in range(0, len(value), PIECE) for sample in _validated(value, start)]


def _validated(samples: list[object], start: int) -> "list[Metric]":
    try:
        return _PIECE.validate_python(samples[start : start + PIECE])
    except ValidationError as error:
        found: list[InitErrorDetails] = [
            {
                "type": PydanticCustomError(one["type"], "{text}", {"text": one["msg"]}),
                "loc": (int(one["loc"][0]) + start, *one["loc"][1:]),
                "input": one["input"],
            }
            for one in error.errors(include_url=False, include_context=False)
        ]
        raise ValidationError.from_exception_data(error.title, found) from None


def _no_text(value: object) -> object:
    return None if value == "" else value


Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Share = Annotated[float, Field(strict=True, ge=0.0, le=1.0, allow_inf_nan=False)]
Time = Annotated[
    datetime | None,
    BeforeValidator(_no_time),
    AfterValidator(_with_offset),
    Field(description="RFC 3339; UTC where no offset is given. The year 1, which Go writes, is no time."),
]
Name = Annotated[str, Field(min_length=1, max_length=MAX_NAME, strict=True)]
Event = Annotated[str, Field(strict=True)] | dict[str, Any]
Events = Annotated[
    list[Event],
    BeforeValidator(_list_of_events, json_schema_input_type=list[Event] | dict[str, Any] | None),
    Field(description="Texts, events and conditions of Kubernetes, alerts, or an object that holds a list of them."),
]


class _Body(BaseModel):
    model_config = ConfigDict(extra="ignore")


class Metric(_Body):
    """One sample: ``name`` or ``metric_name``, and its value."""

    name: Name = Field(validation_alias=AliasChoices("name", "metric_name"), description="Or metric_name.")
    value: Number = Field(
        description="Finite, in the metric's unit: ratios 0-1 (or percent), a pod's CPU in cores, bytes/s, counts."
    )
    timestamp: Time = Field(None, description="RFC 3339, years 1970 to 2199; UTC where no offset is given. Null: now.")
    labels: dict[str, Any] | None = Field(None, description="pod, namespace, node, ...: whose value it is.")


Metrics = Annotated[list[Metric], BeforeValidator(_samples, json_schema_input_type=list[Metric] | None)]
_PIECE = TypeAdapter(list[Metric])


class DetectBody(_Body):
    """Metrics in which anomalies are detected."""

    metrics: Metrics
    threshold: Share | None = Field(None, description="Anomalies of less confidence are not reported.")
    context: dict[str, Any] | None = Field(None, description="namespace and resource (a pod's name).")

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "metrics": [
                        {"name": "cpu_usage", "value": 0.97, "timestamp": "2026-01-25T10:00:00Z"},
                        {"name": "memory_usage", "value": 0.45, "timestamp": "2026-01-25T10:00:00Z"},
                    ],
                    "context": {"namespace": "production", "resource": "payment-service"},
                }
            ]
        }
    )


class IssueContext(_Body):
    """The state, events and metrics of a situation."""

    current_state: Any = Field(None, description="A text, or any object; what recent_events holds may be in it.")
    recent_events: Events = Field(default_factory=list)
    metrics: Metrics = Field(default_factory=list)


class PredictBody(_Body):
    """Metrics to forecast, and a situation whose issues are predicted."""

    historical_metrics: Metrics = Field(default_factory=list)
    metrics: Metrics = Field(default_factory=list, description="Another name of historical_metrics.")
    predict_ahead: Annotated[
        str,
        BeforeValidator(_an_hour, json_schema_input_type=Annotated[str, Field(max_length=32)] | None),
        Field(max_length=32, description="How far ahead: 5m, 1h, 24h; at most 24h. Null and empty: 1h."),
    ] = "1h"
    include_confidence: bool | None = Field(None, description="Confidences are always there; kept for older clients.")
    issue_context: IssueContext | None = None

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "historical_metrics": [
                        {"name": "memory_usage", "value": 0.61, "timestamp": "2026-01-25T09:00:00Z"},
                        {"name": "memory_usage", "value": 0.74, "timestamp": "2026-01-25T10:00:00Z"},
                    ],
                    "predict_ahead": "1h",
                    "issue_context": {
                        "current_state": "degraded",
                        "recent_events": [
                            "high_cpu",
                            {"type": "Warning", "reason": "BackOff", "lastTimestamp": "2026-01-25T09:58:00Z"},
                        ],
                    },
                }
            ]
        }
    )

    @model_validator(mode="after")
    def _asks(self) -> "PredictBody":
        if not self.model_fields_set & {"historical_metrics", "metrics", "issue_context"}:
            raise ValueError("send historical_metrics with predict_ahead, or issue_context, or both")
        return self


class TimeRange(_Body):
    """From when to when."""

    start: Time = None
    end: Time = None


class HistoricalData(_Body):
    """Events of a time span that ends now."""

    time_range: Annotated[str, Field(max_length=32, description="How far back: 90m, 24h, 7d.")] = "24h"
    events: Events = Field(default_factory=list)


AnalysisType = Literal["trend", "seasonal", "correlation", "layer_detection"]


class AnalyzeBody(_Body):
    """Metrics and events in which patterns are found."""

    metrics: Metrics = Field(default_factory=list)
    time_range: TimeRange | None = None
    analysis_type: Annotated[
        AnalysisType | None, BeforeValidator(_no_text, json_schema_input_type=AnalysisType | Literal[""] | None)
    ] = Field(None, description="Limits the patterns; null and empty: all.")
    historical_data: HistoricalData | None = None

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "metrics": [
                        {"name": "cpu_usage", "value": 0.6, "timestamp": "2026-01-24T10:00:00Z"},
                        {"name": "cpu_usage", "value": 0.65, "timestamp": "2026-01-24T22:00:00Z"},
                    ],
                    "time_range": {"start": "2026-01-24T10:00:00Z", "end": "2026-01-25T10:00:00Z"},
                    "historical_data": {
                        "time_range": "24h",
                        "events": [
                            {"type": "DiskPressure", "status": "True", "lastTransitionTime": "2026-01-25T09:30:00Z"}
                        ],
                    },
                }
            ]
        }
    )

    @model_validator(mode="after")
    def _asks(self) -> "AnalyzeBody":
        if not self.model_fields_set & {"metrics", "historical_data"}:
            raise ValueError("send metrics with time_range, or historical_data, or both")
        span = self.time_range
        if span and span.start and span.end and span.end < span.start:
            raise ValueError("time_range: end is before start")
        return self


class PredictRequest(_Body):
    """KServe's V1 request: ``instances``, or ``inputs`` in their place."""

    instances: list[Any] | None = None
    inputs: list[Any] | None = None

    model_config = ConfigDict(json_schema_extra={"examples": [{"instances": [[0.5, 0.5, 0.1] * 15]}]})


class Tensor(_Body):
    """KServe's V2 tensor."""

    name: str = "input"
    shape: list[int]
    datatype: Literal["FP64", "FP32", "INT64", "INT32"]
    data: list[Any]


class InferRequest(_Body):
    """KServe's V2 request."""

    id: str | None = None
    inputs: list[Tensor]

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"inputs": [{"name": "rows", "shape": [1, 45], "datatype": "FP64", "data": [0.5, 0.5, 0.1] * 15}]}
            ]
        }
    )


def samples_of(metrics: Iterable[Metric]) -> list[Sample]:
    """The samples of metrics, for :mod:`aiops_assets.engine`."""
    return [Sample(one.name, one.value, one.timestamp, _texts(one.labels) if one.labels else {}) for one in metrics]


def _texts(labels: dict[str, Any]) -> dict[str, str]:
    return {name: str(value) for name, value in labels.items() if value is not None}
