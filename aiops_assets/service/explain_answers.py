"""Models of the answers of the routes that explain alerts, for OpenAPI. Fields are those of the registry's findings."""

from typing import Annotated, Literal

from pydantic import AwareDatetime, Field

from aiops_assets.service.answers import Answer, Count, Finite, Share

State = Literal["page", "notice", "calm"]
Number = Finite | None
InUnit = Annotated[float, Field(allow_inf_nan=False, description="In the metric's unit.")]
Time = AwareDatetime | None


class Subject(Answer):
    """A pod, by namespace and name, or a node; what it has not is empty."""

    kind: Literal["pod", "node"]
    namespace: str
    pod: str
    workload: str
    node: str


class MetricNow(Answer):
    """The newest row of a metric; null is what is not known."""

    metric: str
    unit: str
    timestamp: Time
    value: Number
    expected: Number
    lower: Number
    upper: Number
    outside: Literal["above", "below", ""]
    outside_since: Time = Field(description="First of the rows without a break that are outside of the band.")
    contribution: Share = Field(description="Largest share in the score of a model with a notice; without, of any.")


class Raised(Answer):
    """An episode of the newest day; ``by`` is "page" or the model whose notice it is."""

    by: str
    metric: str
    since: AwareDatetime
    until: AwareDatetime
    now: bool


class ModelScore(Answer):
    """The newest score of a model; each model has its own scale."""

    model: str
    version: Count
    timestamp: AwareDatetime
    score: Finite = Field(description="Higher is more anomalous.")
    alert: bool


class _OfRun(Answer):
    cluster: str
    made_at: AwareDatetime
    until: Time = Field(description="Newest instant that was judged.")
    source: str
    notes: dict[str, str] = Field(description="Code -> what to know of this answer.")


class Explained(_OfRun):
    """Why there is an alert on a pod or a node, or that there is none."""

    subject: Subject
    state: State
    metric: str = Field(description="Of the page, else of the newest notice; empty if calm.")
    since: Time = Field(description="First row of the present episode, over all stored runs; null if calm.")
    metrics: list[MetricNow]
    raised: list[Raised]
    scores: list[ModelScore]
    links: dict[str, str] = Field(description="Paths of this service and of Grafana, and the command.")


class SubjectNow(Answer):
    """A pod or a node with the metric's newest row."""

    subject: Subject
    state: State
    now: MetricNow


class ForecastStep(Answer):
    """Median and 80 % interval."""

    timestamp: AwareDatetime
    value: InUnit
    lower: InUnit
    upper: InUnit


class EntityNow(Answer):
    """A series of a metric of METRICS_FILE with its newest row and its forecasts."""

    entity: str
    labels: dict[str, str]
    severity: str
    alert: bool
    silent: str = Field(description="metric_stopped or metric_frozen; empty: it is not silent.")
    alert_since: Time
    score: Number = Field(description="Distance from expected in half widths of the band: 1 is its edge.")
    now: MetricNow
    forecasts: list[ForecastStep]


class MetricForecast(Answer):
    """A forecaster's next day of the metric."""

    model: str
    version: Count
    proven: list[str] = Field(description="Horizons at which it was better than the trivial forecasters.")
    breach_at: Time = Field(description="When the median of a ratio first is above 90 %.")
    steps: list[ForecastStep]


class MetricExplained(_OfRun):
    """What is known of a metric; ``now`` is of the cluster, null for a metric of pods or nodes."""

    metric: str
    unit: str
    now: MetricNow | None
    subjects: list[SubjectNow]
    entities: list[EntityNow] = Field(description="Of a metric of METRICS_FILE; those with an alert first.")
    forecasts: list[MetricForecast]
    links: dict[str, str]


class Listed(Answer):
    """A pod or a node, and the newest score of each model."""

    subject: Subject
    state: State
    metric: str
    since: Time
    raised_by: list[str]
    scores: dict[str, Finite]


class OwnAlert(Answer):
    """A series of a metric of METRICS_FILE with an alert, and its newest row."""

    entity: str
    severity: str
    since: AwareDatetime = Field(description="Within the newest hour.")
    now: MetricNow


class Silent(Answer):
    """A metric, a node or a pod that has stopped; ``since`` is its last sign of life."""

    reason: str
    metric: str
    entity: str
    labels: dict[str, str]
    severity: str
    since: AwareDatetime


class ScoresAnswer(_OfRun):
    """Of ``/api/v1/scores``: the first ``limit`` of each list; ``total`` is the number of pods and nodes."""

    total: Count
    subjects: list[Listed] = Field(description="Pages first, then notices, then the others.")
    metrics: list[OwnAlert] = Field(description="Metrics of METRICS_FILE with an alert; filters do not concern them.")
    silent: list[Silent] = Field(description="What has stopped; filters do not concern it.")
    not_scored: dict[str, str] = Field(description="Metric of METRICS_FILE of which nothing new is scored, and why.")
