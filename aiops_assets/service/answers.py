"""Models of the answers for OpenAPI. Every field is always present, because Go reads a missing key as zero.

Source: engine contract, sections 2.1 to 2.3. Routes write plain dictionaries, which tests validate with these models.
"""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

Share = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False, description="A ratio, 0-1.")]
Finite = Annotated[float, Field(allow_inf_nan=False)]
AsSent = Annotated[float, Field(allow_inf_nan=False, description="In the unit that was sent.")]
Count = Annotated[int, Field(ge=0, description="A number of things.")]
Basis = Literal["calibrated", "not calibrated"]
Severity = Literal["low", "medium", "high", "critical"]


class Answer(BaseModel):
    """An answer: no other field is in it."""

    model_config = ConfigDict(protected_namespaces=(), extra="forbid")


class Problem(Answer):
    """What is wrong, and what to do."""

    error: str


class CodedProblem(Problem):
    """An error with a code for programs; the code is missing where a request was refused before it was read."""

    code: str = ""


class Origin(Answer):
    """Which version answered, made of which data, from where."""

    model_name: str
    model_version: str
    data_version: str
    effective_source: str


class Anomaly(Answer):
    """A metric that is not normal; value, usual value (expected), deviation and limit are in the unit that was sent."""

    metric_name: str
    value: AsSent
    expected: AsSent
    deviation: AsSent
    severity: Severity
    confidence: Share
    timestamp: AwareDatetime
    reason: str
    kind: str
    confidence_basis: Basis
    limit: Finite | None = Field(description="Bound that the value passes, as sent; null for detectors without one.")
    namespace: str = Field(description='Namespace of the pod; "" where the samples name none.')
    pod: str = Field(description='Pod that the samples name; "" where they name none.')
    workload: str = Field(description='Workload of the pod, by the label workload or by its name; "" without a pod.')
    labels: dict[str, str] = Field(description="By which its samples differ from others of this name and pod.")


class DetectSummary(Answer):
    """Of all metrics that were sent."""

    total: Count
    anomalies_found: Count
    high_severity: Count
    confidence: Share


class DetectAnswer(Answer):
    """Of ``/api/v1/anomaly/detect``."""

    anomaly_detected: bool
    confidence: Share
    confidence_basis: Basis
    anomaly_score: Annotated[float, Field(ge=0.0, le=100.0)] = Field(
        description="Largest distance from normal: 3 at a threshold, 6 where an anomaly is high, 12 where critical."
    )
    recommendations: list[str]
    anomalies: list[Anomaly]
    summary: DetectSummary
    not_judged: list[str] = Field(description="Names of which nothing is known, so that they are neither good nor bad.")
    judged_by: list[str]
    notes: list[str] = Field(description="How values were read that may have been meant otherwise.")
    models: list[Origin]


class Prediction(Answer):
    """A metric at ``timestamp``, in the unit that was sent."""

    metric_name: str
    predicted_value: AsSent
    confidence: Share
    timestamp: AwareDatetime
    trend: Literal["increasing", "decreasing", "stable"]
    risk: Literal["low", "medium", "high"]
    judged_by: str
    confidence_basis: Basis
    namespace: str = Field(description='Namespace of the pod; "" where the samples name none.')
    pod: str = Field(description='Pod that the samples name; "" where they name none.')
    workload: str = Field(description='Workload of the pod, by the label workload or by its name; "" without a pod.')
    labels: dict[str, str] = Field(description="By which its samples differ from others of this name and pod.")


class PredictSummary(Answer):
    """Of all predictions."""

    time_range: str
    metrics_count: Count
    overall_confidence: Share


class PredictedIssue(Answer):
    """What may occur, and when: "5m", "2h", "3d"."""

    issue: str
    probability: Share
    time_to_occurrence: str = Field(description="A duration: 5m, 1h30m, 3d.")
    reasons: list[str]
    suppressed: bool = Field(description="Only silenced or inhibited alerts suggest it; no action is suggested.")
    confidence_basis: Basis


class PredictAnswer(Answer):
    """Of ``/api/v1/prediction/predict``."""

    predictions: list[Prediction]
    summary: PredictSummary
    predicted_issues: list[PredictedIssue]
    suggested_actions: list[str]
    notes: list[str]
    models: list[Origin]


class Pattern(Answer):
    """Something that repeats, continues, or stands out."""

    pattern: str
    type: Literal["trend", "seasonal", "spike", "correlation"]
    description: str
    metrics: list[str]
    confidence: Share
    start_time: AwareDatetime
    end_time: AwareDatetime


class PatternSummary(Answer):
    """Of all patterns."""

    patterns_found: Count
    confidence: Share


class Correlation(Answer):
    """Two metrics that move together; ``metric_b`` follows ``metric_a`` by ``lag_seconds``."""

    metric_a: str
    metric_b: str
    coefficient: Annotated[float, Field(ge=-1.0, le=1.0, description="Spearman's rank correlation.")]
    lag_seconds: int = Field(description="Seconds; 0: at once.")
    confidence: Share


class AnalyzeAnswer(Answer):
    """Of ``/api/v1/pattern/analyze``."""

    patterns: list[Pattern]
    insights: list[str]
    summary: PatternSummary
    correlations: list[Correlation]


class MetricForecast(Answer):
    """One metric's forecast; ratios 0-1, rates in bytes/s."""

    forecast: list[Finite]
    forecast_horizon: Count = Field(description="Number of steps.")
    confidence: list[Share] = Field(description="One a step.")
    step_seconds: Count = Field(description="Length of a step, seconds.")
    instance: Count = Field(description="Which instance of the request it is, from 0.")


class V1Answer(Origin):
    """Of ``/v1/models/{name}:predict``: -1 and 1, or a forecast of each metric."""

    predictions: list[Literal[-1, 1]] | dict[str, MetricForecast]
    timestamp: AwareDatetime
    scores: list[Finite] | None = Field(None, description="Of detectors, one an instance; higher is more anomalous.")
    notes: list[str] | None = Field(None, description="Values that are of no use as they were sent; mostly missing.")


class Models(Answer):
    """Of ``/v1/models``."""

    models: list[str]


class Server(Answer):
    """Of ``/v2``."""

    name: str
    version: str
    extensions: list[str]


class Live(Answer):
    """Of ``/v2/health/live``."""

    live: Literal[True]


class Ready(Answer):
    """Of ``/v2/health/ready``."""

    ready: Literal[True]


class NotReady(Problem):
    """Of ``/v2/health/ready`` while no model can answer."""

    ready: Literal[False] = False


class ModelReady(Answer):
    """Of ``/v2/models/{name}/ready``."""

    name: str
    ready: Literal[True]


class TensorMetadata(Answer):
    """-1 stands for any length."""

    name: str
    datatype: str
    shape: list[int]


class ModelMetadata(Answer):
    """What a model takes and gives."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]
    ready: bool
    lookback: Count = Field(description="Fewest rows of an instance.")
    features: list[str]
    units: dict[str, str]
    origin: Origin
    loaded: datetime


class OutputTensor(Answer):
    """A V2 tensor."""

    name: str
    datatype: str
    shape: list[int]
    data: list[Any]


class InferAnswer(Answer):
    """Of ``/v2/models/{name}/infer``."""

    model_name: str
    model_version: str
    id: str
    outputs: list[OutputTensor]
    parameters: dict[str, str]


class ModelHealth(Answer):
    """A model as /health sees it."""

    ready: bool
    version: str
    data_version: str
    effective_source: str
    problem: str


class Health(Answer):
    """``healthy`` when every model answers, ``degraded`` when some do, ``unavailable`` when none does."""

    status: Literal["healthy", "degraded", "unavailable"]
    models: dict[str, ModelHealth]
    problems: list[str]
    uptime_seconds: float = Field(ge=0.0, description="Since the start of the process, seconds.")
    version: str
