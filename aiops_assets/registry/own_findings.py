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
        since: first row of the newest hour of the alert, see :func:`alert_since`.
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
    """Series whose alert ``/metrics`` shows at present, in order of metric and entity."""
    rows = findings.own.sort_values("timestamp", kind="stable")
    raised = rows.loc[rows["alert"].astype(bool), ["metric", "entity"]].drop_duplicates()
    found = []
    for metric, entity in sorted(raised.itertuples(index=False, name=None)):
        series = rows[(rows["metric"] == metric) & (rows["entity"] == entity)]
        if since := alert_since(series, findings.record.shown_minutes):
            newest = series.iloc[-1]
            now = metric_now(series, {}, str(newest["unit"]))
            found.append(OwnAlert(str(entity), str(newest["severity"]), since, now))
    return found


def alert_since(rows: pd.DataFrame, shown_minutes: int) -> datetime | None:
    """Begin of the alert that ``/metrics`` shows: the first of the rows without a break up to the newest with an alert.

    Args:
        rows: of one series, in order of time, at least one.
        shown_minutes: so long before the newest row an alert is shown, as the record of the run has it.

    Returns:
        ``None`` where none is shown.
    """
    alerts = rows["alert"].to_numpy(dtype=bool)
    raised = alerts.nonzero()[0]
    oldest = rows["timestamp"].iloc[-1] - pd.Timedelta(minutes=shown_minutes)
    if not len(raised) or rows["timestamp"].iloc[int(raised[-1])] <= oldest:
        return None
    calm = (~alerts[: raised[-1]]).nonzero()[0]
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
