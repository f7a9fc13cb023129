"""Answers to "why is there an alert?": what is known of a pod or a node, and of each of its metrics.

Field names are those of the JSON of the command and of the service.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from difflib import get_close_matches
from urllib.parse import urlencode

import numpy as np
import pandas as pd

from aiops_assets.errors import UnknownSubject
from aiops_assets.registry.explaining import CUMULATIVE
from aiops_assets.storage.explanations import NODE, PAGE, SIDES
from aiops_assets.timeseries.catalog import METRICS
from aiops_assets.timeseries.pod_identity import pod_text

NEAREST, COMPARED = 3, 2_000
"""Most names that are proposed, and most that are compared letter by letter."""
NOTICE, CALM = "notice", "calm"
"""States beside "page"."""
UNITS = {metric.name: metric.unit for metric in METRICS} | dict.fromkeys(CUMULATIVE, "count in 5 min")


@dataclass(frozen=True)
class MetricNow:
    """A metric of a subject at its newest row.

    Attributes:
        metric, unit: name and unit; of a counter the increase in five minutes counts.
        timestamp: of the row; ``None``: no row is kept.
        value, expected, lower, upper: in the unit; ``None`` where not known.
        outside: "above" or "below" the band, else empty.
        outside_since: first of the rows without a break that are outside; ``None`` where it is inside.
        contribution: the largest share that it has in the score of a model that raises a notice; of any model if none
            does.
    """

    metric: str
    unit: str
    timestamp: datetime | None
    value: float | None
    expected: float | None
    lower: float | None
    upper: float | None
    outside: str
    outside_since: datetime | None
    contribution: float


@dataclass(frozen=True)
class Raised:
    """An episode: ``by`` is "page" or the model whose notice it is; ``now``: it is raised at this moment."""

    by: str
    metric: str
    since: datetime
    until: datetime
    now: bool


@dataclass(frozen=True)
class ModelScore:
    """The newest score of a model, and whether its notice is raised at this moment."""

    model: str
    version: int
    timestamp: datetime
    score: float
    alert: bool


@dataclass(frozen=True)
class Subject:
    """What an alert is about: a pod by ``namespace`` and ``pod``, a node by ``node``."""

    kind: str
    namespace: str
    pod: str
    workload: str
    node: str

    @property
    def name(self) -> str:
        """As people write it."""
        return self.node if self.kind == NODE else pod_text(self.namespace, self.pod)

    @property
    def query(self) -> str:
        """As a request names it."""
        if self.kind == NODE:
            return urlencode({"node": self.node})
        return urlencode({"namespace": self.namespace, "pod": self.pod} if self.namespace else {"pod": self.pod})


@dataclass(frozen=True)
class Explanation:
    """Why there is an alert on a pod or a node, or that there is none.

    Attributes:
        subject: whom it is about.
        state: "page", "notice" or "calm".
        metric: the page's metric, else the one with the largest share; empty if calm.
        since: first row of the present episode; ``None`` if calm.
        metrics: those of the subject, that of the alert first.
        raised: episodes of the newest day, the present ones first.
        scores: of each model; a node has none.
        notes: code -> what to know of this answer.
        made_at, until: when the run was made, and its newest instant.
        source: where the run's window came from.
    """

    cluster: str
    subject: Subject
    state: str
    metric: str
    since: datetime | None
    metrics: tuple[MetricNow, ...]
    raised: tuple[Raised, ...]
    scores: tuple[ModelScore, ...]
    notes: dict[str, str]
    made_at: datetime
    until: datetime | None
    source: str
    links: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Listed:
    """A pod or node of a list; ``scores``: model -> newest score."""

    subject: Subject
    state: str
    metric: str
    since: datetime | None
    raised_by: tuple[str, ...]
    scores: dict[str, float]


def unknown(kind: str, wanted: str, names: Sequence[str], until: datetime | None) -> UnknownSubject:
    """The error about a pod, a node or a metric that the run does not have, with the names most like it.

    Args:
        kind: "pod", "node" or "metric".
        wanted: what was asked for.
        names: those that the run has; of nodes those that were paged within a day.
        until: newest instant of the run.
    """
    like = nearest(wanted, names)
    proposed = f"; most like it: {', '.join(like)}" if like else ""
    when = f" until {until:%Y-%m-%d %H:%M} UTC" if until else ""
    paged = " with a page within a day" if kind == NODE else ""
    return UnknownSubject(
        f"{kind} {wanted} is none of the {len(names)} {kind}s{paged} in the newest run of scores{when}{proposed}",
        code=f"unknown_{kind}",
        wanted=wanted,
        nearest=like,
    )


def state_of(now: Sequence[Raised]) -> tuple[str, str, datetime | None]:
    """State, metric and begin of the episodes that are raised at this moment."""
    if not now:
        return CALM, "", None
    pages = [one for one in now if one.by == PAGE]
    newest = max(pages or now, key=lambda one: one.until)
    return PAGE if pages else NOTICE, newest.metric, min(one.since for one in pages or now)


def links_of(subject: Subject) -> dict[str, str]:
    """Where to look next: paths of the service and of Grafana, and the command."""
    option = f"--node {subject.node}" if subject.kind == NODE else f"--pod {subject.name}"
    variables = (
        {"var-node": subject.node}
        if subject.kind == NODE
        else {"var-namespace": subject.namespace, "var-pod": subject.pod}
    )
    page = "aiops-node-anomaly" if subject.kind == NODE else "aiops-anomaly"
    return {
        "explain": f"/api/v1/explain?{subject.query}",
        "picture": f"/api/v1/explain.png?{subject.query}",
        "dashboard": f"/d/aiops-assets/aiops-models?{urlencode(variables)}",
        "command": f"aiops scores {option}",
        "runbook": f"docs/runbook/{page}.md",
    }


def metric_now(rows: pd.DataFrame, shares: dict[str, float], unit: str = "") -> MetricNow:
    """The newest row with a value of one metric of one subject.

    Args:
        rows: in order of time.
        shares: metric -> its largest share in a score.
        unit: of a metric that is none of ours.
    """
    name = str(rows["metric"].iloc[0])
    known = rows[rows["value"].notna()]
    if known.empty:
        return unknown_now(name, shares.get(name, 0.0))
    value, _, lower, upper = (known[side].to_numpy(dtype=np.float64) for side in SIDES)
    above, below = value > upper, value < lower
    outside = "above" if above[-1] else "below" if below[-1] else ""
    inside = np.flatnonzero(~(above if above[-1] else below))
    begin = int(inside[-1]) + 1 if len(inside) else 0
    newest = known.iloc[-1]
    return MetricNow(
        metric=name,
        unit=UNITS.get(name, unit),
        timestamp=time_of(newest["timestamp"]),
        **{side: _number(newest[side]) for side in SIDES},
        outside=outside,
        outside_since=time_of(known["timestamp"].iloc[begin]) if outside else None,
        contribution=shares.get(name, 0.0),
    )


def nearest(wanted: str, names: Iterable[str]) -> list[str]:
    """The names most like one, at most :data:`NEAREST`."""
    part = wanted.rpartition("/")[2]
    alike = [name for name in names if part and (part in name or name.rpartition("/")[2][:3] == part[:3])]
    alike = alike or list(names)
    return get_close_matches(wanted, alike[:COMPARED], NEAREST, 0.4)


def unknown_now(metric: str, share: float) -> MetricNow:
    """A metric of which no row with a value is kept."""
    return MetricNow(metric, UNITS.get(metric, ""), None, None, None, None, None, "", None, share)


def _number(value: float) -> float | None:
    return float(f"{value:.5g}") if np.isfinite(value) else None


def time_of(value: object) -> datetime:
    """A stored instant, UTC."""
    return pd.Timestamp(value).to_pydatetime().astimezone(UTC)  # type: ignore[arg-type]
