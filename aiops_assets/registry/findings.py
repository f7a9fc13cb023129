"""What the newest stored run of scores says of a pod, a node or a metric.

The command ``aiops scores`` and the service give the same answers. They need the run alone, and no lake.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

import pandas as pd

from aiops_assets.errors import DataError, NotFoundError, UnknownSubject
from aiops_assets.registry.explaining import shares_of
from aiops_assets.registry.explanation import (
    CALM,
    NOTICE,
    UNITS,
    Explanation,
    Listed,
    MetricNow,
    ModelScore,
    Raised,
    Subject,
    links_of,
    metric_now,
    state_of,
    time_of,
    unknown,
    unknown_now,
)
from aiops_assets.registry.own_explanations import own_explanations
from aiops_assets.storage.explanations import CLUSTER, NODE, PAGE, POD, SUBJECT
from aiops_assets.storage.scores import Scores, ScoresRecord, ScoresRun
from aiops_assets.timeseries.pod_identity import pod_text

CLOCKS_DIFFER = timedelta(hours=1)
"""A run that was made so much later than now was made while a clock was wrong."""
STALE = timedelta(hours=1)
"""Scores that end longer ago say little about the present."""
NOT_KEPT, INSIDE_BAND, STALE_SCORES, NO_SCORES = "band_not_kept", "inside_band", "stale_scores", "no_scores"
"""Codes of notes, and of the error before the first run."""
ORDER = (PAGE, NOTICE, CALM)


def newest_findings(store: Scores, now: datetime) -> "Findings":
    """What the newest readable run says.

    Raises:
        NotFoundError: there is no run yet; code "no_scores".
        StoreError: the storage cannot be read.
    """
    run = store.newest_before(now + CLOCKS_DIFFER)
    if run is None:
        raise NotFoundError(
            f"no run of scores is stored below {store.locate('')}: switch the schedule regular_scores on, or "
            "materialize the asset `scores` once",
            code=NO_SCORES,
            folder=store.locate(""),
        )
    return Findings(run, now)


class Findings:
    """Answers from one run.

    Attributes:
        record: what the run was made of.
        now: the present time.
        explanations: as they are stored, and the newest hour of metrics of METRICS_FILE that are of pods and nodes.
        forecasts: as they are stored.
        own_units: metric of METRICS_FILE -> its unit.
        own, own_ahead: rows and forecasts of the metrics of METRICS_FILE, as they are stored.
        silence: what has stopped, as it is stored.
        raised: subject -> its episodes of the newest day, the present ones first.
        scores: (namespace, pod) -> newest score of each model.
    """

    def __init__(self, run: ScoresRun, now: datetime) -> None:
        self.record: ScoresRecord = run.record
        self.now = now
        own = own_explanations(run.metrics)
        self.explanations = pd.concat([run.explanations, own], ignore_index=True) if len(own) else run.explanations
        self.forecasts = run.forecasts
        self.own, self.own_ahead, self.silence = run.metrics, run.ahead, run.silence
        newest = run.metrics.drop_duplicates("metric", keep="last")
        self.own_units = {str(name): str(unit) for name, unit in zip(newest["metric"], newest["unit"], strict=True)}
        self.raised = self._raised(run.episodes)
        self._rows = self._newest(run.scores)

    def of_pod(self, pod: str, namespace: str = "") -> Explanation:
        """Why there is an alert on a pod.

        Raises:
            UnknownSubject: it has neither scores nor an episode; code "unknown_pod".
            DataError: pods of several namespaces have this name, and none is named; code "ambiguous_pod".
        """
        pods = [one for one in (*self.raised, *self._calm) if one.kind == POD]
        found = [one for one in pods if one.pod == pod and namespace in ("", one.namespace)]
        if not found:
            raise self._unknown("pod", pod_text(namespace, pod), [one.name for one in pods])
        if len(found) > 1:
            spaces = sorted(one.namespace for one in found)
            raise DataError(
                f"pod {pod} is in {', '.join(spaces)}: name the namespace", code="ambiguous_pod", namespaces=spaces
            )
        return self._explained(found[0])

    def of_node(self, node: str) -> Explanation:
        """Why there is an alert on a node.

        Raises:
            UnknownSubject: no page was raised on it within a day; code "unknown_node".
        """
        nodes = {one.node: one for one in self.raised if one.kind == NODE}
        if node not in nodes:
            raise self._unknown("node", node, list(nodes))
        return self._explained(nodes[node])

    def listed(self, namespace: str = "", pod: str = "", states: Sequence[str] = ORDER) -> list[Listed]:
        """Pods and nodes: pages first, then notices, then the others, each by name.

        Args:
            namespace, pod: only those of this namespace, or name; empty: all.
            states: only those in one of these states.
        """
        subjects = [*self.raised, *(self._calm if CALM in states else ())]
        found = [self._listed(one) for one in subjects if namespace in ("", one.namespace) and pod in ("", one.pod)]
        kept = [one for one in found if one.state in states]
        return sorted(kept, key=lambda one: (ORDER.index(one.state), one.subject.name))

    def rows_of(self, subject: Subject) -> pd.DataFrame:
        """The kept rows of a subject: ``EXPLANATION_COLUMNS``, in order of time for each metric."""
        rows = self.explanations
        same = (rows["kind"] == subject.kind) & (rows["node"] == subject.node) & (rows["pod"] == subject.pod)
        return rows[same & (rows["namespace"] == subject.namespace)]

    @property
    def until(self) -> datetime | None:
        """The newest judged instant."""
        ends = (self.record.scored_until, self.record.paged_until)
        return max((end.astimezone(UTC) for end in ends if end), default=None)

    @property
    def about(self) -> dict[str, Any]:
        """What each answer says of the run: cluster, when it was made, its newest instant, its source and notes."""
        return {
            "cluster": self.record.cluster,
            "made_at": self.record.made_at.astimezone(UTC),
            "until": self.until,
            "source": self.record.source,
            "notes": self.notes,
        }

    @property
    def notes(self) -> dict[str, str]:
        """Code -> what to know of every answer of this run."""
        age = self.now - self.until if self.until else None
        if age is not None and age <= STALE:
            return {}
        about = f"its newest instant is {age.total_seconds() / 3600:.1f} h ago" if age else "it has no scores"
        return {STALE_SCORES: f"the newest run says little about the present: {about}"}

    @cached_property
    def _calm(self) -> list[Subject]:
        """Pods with scores and no episode."""
        known = {(one.namespace, one.pod) for one in self.raised}
        rows = self._rows[["namespace", "pod", "workload"]].drop_duplicates(["namespace", "pod"])
        names = (rows[name].astype(str) for name in ("namespace", "pod", "workload"))
        found = (Subject(POD, namespace, pod, workload, "") for namespace, pod, workload in zip(*names, strict=True))
        return [one for one in found if (one.namespace, one.pod) not in known]

    @cached_property
    def _places(self) -> dict[tuple[str, str], list[int]]:
        """(namespace, pod) -> positions of its rows."""
        found: dict[tuple[str, str], list[int]] = {}
        for place, key in enumerate(zip(self._rows["namespace"], self._rows["pod"], strict=True)):
            found.setdefault(key, []).append(place)
        return found

    def _newest(self, scores: pd.DataFrame) -> pd.DataFrame:
        """A row a pod and model: the newest one, or the newest with an alert if that is raised now."""
        begin = self._begin(self.record.scored_until)
        alert = scores["is_anomaly"].astype(bool) & (scores["timestamp"] > begin)
        rows = scores.assign(alert=alert).sort_values(["alert", "timestamp"], kind="stable")
        return rows.drop_duplicates(["namespace", "pod", "model_name"], keep="last").reset_index(drop=True)

    def _begin(self, until: datetime | None) -> pd.Timestamp:
        """What is raised after it is raised now."""
        if until is None:
            return pd.Timestamp.max.tz_localize("UTC")
        return pd.Timestamp(until) - pd.Timedelta(minutes=self.record.shown_minutes)

    def _raised(self, episodes: pd.DataFrame) -> dict[Subject, list[Raised]]:
        pages, notices = self._begin(self.record.paged_until), self._begin(self.record.scored_until)
        found: dict[Subject, list[Raised]] = {}
        known: dict[tuple[str, str], Subject] = {}
        for row in episodes.to_dict("records"):
            subject = Subject(*(str(row[name]) for name in SUBJECT))
            # By an update of kube-state-metrics a pod may get another workload; it is the same pod.
            subject = known.setdefault((subject.kind, subject.name), subject)
            now = bool(row["until"] > (pages if row["raised_by"] == PAGE else notices))
            one = Raised(str(row["raised_by"]), str(row["metric"]), time_of(row["since"]), time_of(row["until"]), now)
            found.setdefault(subject, []).append(one)
        for raised in found.values():
            raised.sort(key=lambda one: (one.now, one.until), reverse=True)
        return found

    def _rows_of(self, subject: Subject) -> pd.DataFrame:
        return self._rows.iloc[self._places.get((subject.namespace, subject.pod), []) if subject.pod else []]

    def _listed(self, subject: Subject) -> Listed:
        now = [one for one in self.raised.get(subject, ()) if one.now]
        rows = self._places.get((subject.namespace, subject.pod), []) if subject.pod else []
        models, scores = (self._rows[name].array for name in ("model_name", "anomaly_score"))
        by = tuple(sorted({one.by for one in now}))
        return Listed(subject, *state_of(now), by, {str(models[i]): float(scores[i]) for i in rows})

    def _explained(self, subject: Subject) -> Explanation:
        raised = self.raised.get(subject, [])
        state, metric, since = state_of([one for one in raised if one.now])
        rows = self._rows_of(subject)
        shares = _shares(rows)
        kept = self.rows_of(subject)
        scores = (
            ModelScore(
                str(one["model_name"]),
                int(one["model_version"]),
                time_of(one["timestamp"]),
                float(one["anomaly_score"]),
                bool(one["alert"]),
            )
            for one in rows.to_dict("records")
        )
        metrics = self._metrics(kept, shares, metric)
        about = self.about
        if UNITS.keys().isdisjoint(kept["metric"]):
            about["notes"] = {**about["notes"], NOT_KEPT: _NOT_KEPT}
        elif state != CALM and not any(one.outside for one in metrics):
            about["notes"] = {**about["notes"], INSIDE_BAND: _INSIDE_BAND}
        return Explanation(
            **about,
            subject=subject,
            state=state,
            metric=metric,
            since=since,
            metrics=metrics,
            raised=tuple(raised),
            scores=tuple(scores),
            links=links_of(subject),
        )

    def _metrics(self, kept: pd.DataFrame, shares: dict[str, float], first: str) -> tuple[MetricNow, ...]:
        """The subject's own metrics, and what surrounds it where that has a share."""
        own = set(kept["metric"])
        around = self.explanations[self.explanations["kind"] == CLUSTER]
        around = around[around["metric"].isin([name for name in shares if name not in own])]
        found = [
            metric_now(rows, shares, self.own_units.get(str(name), ""))
            for name, rows in pd.concat([kept, around]).groupby("metric", sort=True)
        ]
        known = {one.metric for one in found}
        found += [unknown_now(name, shares[name]) for name in shares if name not in known]
        return tuple(sorted(found, key=lambda one: (one.metric != first, -one.contribution, not one.outside)))

    def _unknown(self, kind: str, wanted: str, names: Sequence[str]) -> UnknownSubject:
        return unknown(kind, wanted, names, self.until)


_INSIDE_BAND = (
    "each metric is inside its band at this moment: pages compare with the worst hours of the workload, models look at "
    "all metrics together, and a band grows with what lasts; the picture has the day"
)
_NOT_KEPT = (
    "expected values are kept of pods and nodes with a page or a notice in the newest hour, up to 200 of them: this "
    "one has none, or more have one"
)


def _shares(rows: pd.DataFrame) -> dict[str, float]:
    """Metric -> its largest share in a score, the largest first, of models with a notice; without, of all."""
    alerting = rows[rows["alert"].astype(bool)]
    found: dict[str, float] = {}
    for text in (alerting if len(alerting) else rows)["contributing_features"]:
        for metric, share in shares_of(str(text)).items():
            found[metric] = max(share, found.get(metric, 0.0))
    return dict(sorted(found.items(), key=lambda one: -one[1]))
