"""What the newest stored run of scores says of a metric: of the cluster, of pods and nodes, and how it goes on."""

import json
from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import urlencode

import numpy as np
import pandas as pd

from aiops_assets.registry.explanation import UNITS, MetricNow, Subject, metric_now, time_of, unknown
from aiops_assets.registry.findings import NOT_KEPT, Findings
from aiops_assets.registry.own_findings import alert_since, own_alerts
from aiops_assets.storage.explanations import CLUSTER, SUBJECT

MAX_SUBJECTS = 50
RATIO, BREACH = "ratio", 0.9
"""The alert AiopsPredictedBreach is about ratios that will be above it."""


_NOT_KEPT = "values of pods and nodes are kept where one has a page or a notice in the newest hour: none has"


@dataclass(frozen=True)
class MetricForecast:
    """A forecaster's median and 80 % interval of the metric.

    Attributes:
        proven: horizons at which it was better than every trivial forecaster on its hold-out.
        breach_at: when the median first is above 90 %; ``None``: not within a day, or the metric is no ratio.
        steps: instants, in order of time.
    """

    model: str
    version: int
    proven: tuple[str, ...]
    breach_at: datetime | None
    steps: tuple["ForecastStep", ...]


@dataclass(frozen=True)
class ForecastStep:
    """What is predicted for an instant, in the metric's unit."""

    timestamp: datetime
    value: float
    lower: float
    upper: float


@dataclass(frozen=True)
class SubjectNow:
    """A pod or a node with the metric's newest row."""

    subject: Subject
    state: str
    now: MetricNow


@dataclass(frozen=True)
class EntityNow:
    """A series of a metric of METRICS_FILE.

    Attributes:
        entity: its labels in one text.
        labels: its labels.
        severity: of its alert, as its entry has it.
        alert: whether ``/metrics`` shows an alert of it.
        silent: metric_stopped or metric_frozen where ``/metrics`` shows that it is silent; empty: it is not.
        alert_since: first row of the newest hour of that alert; ``None``: it has none.
        score: distance from expected in half widths of the band; ``None`` while too little is known.
        now: its newest row.
        forecasts: for times after it, each with its median and 80 % interval.
    """

    entity: str
    labels: dict[str, str]
    severity: str
    alert: bool
    silent: str
    alert_since: datetime | None
    score: float | None
    now: MetricNow
    forecasts: tuple[ForecastStep, ...]


@dataclass(frozen=True)
class MetricExplanation:
    """What is known of a metric.

    Attributes:
        now: of the cluster as a whole; ``None``: it is a metric of pods or nodes.
        subjects: pods and nodes with kept rows, those outside of their bands first; none where they are ``entities``.
        entities: series of a metric of METRICS_FILE, those with an alert first.
        forecasts: of each forecaster.
        notes: code -> what to know of this answer.
    """

    cluster: str
    metric: str
    unit: str
    now: MetricNow | None
    subjects: tuple[SubjectNow, ...]
    entities: tuple[EntityNow, ...]
    forecasts: tuple[MetricForecast, ...]
    notes: dict[str, str]
    made_at: datetime
    until: datetime | None
    source: str
    links: dict[str, str] = field(default_factory=dict)


def explain_metric(findings: Findings, metric: str) -> MetricExplanation:
    """What the run says of a metric.

    Raises:
        UnknownSubject: it is in no row of the run, and none of ours; code "unknown_metric".
    """
    rows = rows_of_metric(findings, metric)
    forecasts = forecasts_of(findings, metric)
    entities = _entities(findings, metric)
    known = {*UNITS, *findings.forecasts["metric_name"], *findings.own["metric"]}
    if metric not in known:
        raise unknown("metric", metric, sorted(known), findings.until)
    shared = rows[rows["kind"] == CLUSTER]
    query = urlencode({"metric": metric})
    about = findings.about
    if rows.empty and not entities:
        about["notes"] = {**about["notes"], NOT_KEPT: _NOT_KEPT}
    return MetricExplanation(
        **about,
        metric=metric,
        unit=UNITS.get(metric, findings.own_units.get(metric, "")),
        now=metric_now(shared, {}) if len(shared) else None,
        subjects=() if entities else _subjects(findings, rows[rows["kind"] != CLUSTER]),
        entities=entities[:MAX_SUBJECTS],
        forecasts=forecasts,
        links={
            "explain": f"/api/v1/explain?{query}",
            "picture": f"/api/v1/explain.png?{query}",
            "dashboard": f"/d/aiops-assets/aiops-models?{urlencode({'var-own' if entities else 'var-metric': metric})}",
            "command": f"aiops scores --metric {metric}",
        },
    )


def rows_of_metric(findings: Findings, metric: str) -> pd.DataFrame:
    """The kept rows of a metric: ``EXPLANATION_COLUMNS``."""
    return findings.explanations[findings.explanations["metric"] == metric]


def forecasts_of(findings: Findings, metric: str) -> tuple[MetricForecast, ...]:
    """Each forecaster's forecast of a metric of the cluster."""
    proven = {model.name: model.proven for model in findings.record.models}
    rows = findings.forecasts[findings.forecasts["metric_name"] == metric]
    found = []
    for model, steps in rows.sort_values("predicted_for").groupby("model_name", sort=True):
        version = int(steps["model_version"].iloc[0])
        above = steps[steps["value"] > BREACH] if UNITS.get(metric) == RATIO else steps.iloc[:0]
        breach = above["predicted_for"].iloc[0].to_pydatetime() if len(above) else None
        columns = (steps[name] for name in ("predicted_for", "value", "lower", "upper"))
        horizons = tuple(
            ForecastStep(time.to_pydatetime(), *map(float, sides)) for time, *sides in zip(*columns, strict=True)
        )
        found.append(MetricForecast(str(model), version, tuple(proven.get(str(model), ())), breach, horizons))
    return tuple(found)


def own_rows(findings: Findings, metric: str, entity: str) -> pd.DataFrame:
    """Rows of the newest hour of a series of a metric of METRICS_FILE, in order of time."""
    rows = findings.own
    return rows[(rows["metric"] == metric) & (rows["entity"] == entity)].sort_values("timestamp")


def _entities(findings: Findings, metric: str) -> tuple[EntityNow, ...]:
    """Those with an alert first, then those farthest from expected; forecasts of those that are shown alone."""
    rows = findings.own[findings.own["metric"] == metric].sort_values("timestamp")
    newest = rows.drop_duplicates("entity", keep="last")
    shown = newest["entity"].isin([one.entity for one in own_alerts(findings) if one.now.metric == metric])
    newest = newest.assign(alert=shown).sort_values(
        ["alert", "score", "entity"], ascending=[False, False, True], na_position="last"
    )
    return tuple(_entity(findings, metric, str(name)) for name in newest["entity"].head(MAX_SUBJECTS))


def _entity(findings: Findings, metric: str, entity: str) -> EntityNow:
    rows = own_rows(findings, metric, entity)
    newest = rows.iloc[-1]
    since = alert_since(rows, findings.record.shown_minutes)
    ahead = findings.own_ahead
    ahead = ahead[(ahead["metric"] == metric) & (ahead["entity"] == entity)]
    return EntityNow(
        entity=entity,
        labels={str(name): str(value) for name, value in json.loads(newest["labels"]).items()},
        severity=str(newest["severity"]),
        alert=since is not None,
        silent=_silent(findings, metric, entity),
        alert_since=since,
        score=float(newest["score"]) if np.isfinite(newest["score"]) else None,
        now=metric_now(rows, {}, str(newest["unit"])),
        forecasts=tuple(
            ForecastStep(
                time_of(one["timestamp"] + pd.Timedelta(seconds=one["horizon_seconds"])),
                *(float(one[side]) for side in ("value", "lower", "upper")),
            )
            for one in ahead.sort_values("horizon_seconds").to_dict("records")
        ),
    )


def _silent(findings: Findings, metric: str, entity: str) -> str:
    rows = findings.silence
    of_metric = rows[(rows["metric"] == metric) & rows["entity"].isin([entity, ""])]  # one row for a whole metric
    return str(of_metric["reason"].iloc[0]) if len(of_metric) else ""


def _subjects(findings: Findings, rows: pd.DataFrame) -> tuple[SubjectNow, ...]:
    states = {(one.subject.kind, one.subject.name): one.state for one in findings.listed(states=("page", "notice"))}
    found, unit = [], findings.own_units.get(str(rows["metric"].iloc[0]), "") if len(rows) else ""
    for key, part in rows.groupby(list(SUBJECT), sort=True):
        subject = Subject(*map(str, key))
        found.append(SubjectNow(subject, states.get((subject.kind, subject.name), "calm"), metric_now(part, {}, unit)))
    found.sort(key=lambda one: (not one.now.outside, one.state != "page", one.state == "calm", one.subject.name))
    return tuple(found[:MAX_SUBJECTS])
