"""What the newest stored run of scores raises beside pods and nodes: metrics of METRICS_FILE, and what is silent."""

import json
from dataclasses import dataclass
from datetime import datetime

import pandas as pd

from aiops_assets.registry.explanation import MetricNow, metric_now, time_of
from aiops_assets.registry.findings import Findings


@dataclass(frozen=True)
class OwnAlert:
    """A series of a metric of METRICS_FILE with an alert.

    Attributes:
        entity: its labels in one text; empty for a metric of one series.
        severity: as its entry has it.
        since: first row of the newest hour since which it has had one without a break.
        now: its newest row.
    """

    entity: str
    severity: str
    since: datetime
    now: MetricNow


@dataclass(frozen=True)
class Silent:
    """Something that has stopped.

    Attributes:
        reason: metric_stopped, metric_frozen, node_gone or pod_vanished.
        metric: the metric; empty for a node or a pod.
        entity, labels: which series, node or pod, as one text and as labels.
        since: its last sign of life.
    """

    reason: str
    metric: str
    entity: str
    labels: dict[str, str]
    severity: str
    since: datetime


def own_alerts(findings: Findings) -> list[OwnAlert]:
    """Series that have an alert at their newest row, in order of metric and entity."""
    rows = findings.own.sort_values("timestamp", kind="stable")
    newest = rows.drop_duplicates(["metric", "entity"], keep="last")
    raised = newest[newest["alert"].astype(bool)].sort_values(["metric", "entity"])
    found = []
    for one in raised.to_dict("records"):
        series = rows[(rows["metric"] == one["metric"]) & (rows["entity"] == one["entity"])]
        found.append(
            OwnAlert(
                str(one["entity"]), str(one["severity"]), alert_since(series), metric_now(series, {}, str(one["unit"]))
            )
        )
    return found


def alert_since(rows: pd.DataFrame) -> datetime:
    """First of the rows with an alert without a break up to the newest one; rows are in order of time."""
    calm = (~rows["alert"].astype(bool)).to_numpy().nonzero()[0]
    return time_of(rows["timestamp"].iloc[int(calm[-1]) + 1 if len(calm) else 0])


def silent(findings: Findings) -> list[Silent]:
    """What is silent at the newest instant, in order of reason and entity."""
    rows = findings.silence.sort_values(["reason", "metric", "entity"], kind="stable")
    return [
        Silent(
            str(one["reason"]),
            str(one["metric"]),
            str(one["entity"]),
            {str(name): str(value) for name, value in json.loads(one["labels"]).items()},
            str(one["severity"]),
            time_of(one["since"]),
        )
        for one in rows.to_dict("records")
    ]
