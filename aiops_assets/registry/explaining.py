"""What a run keeps so that its alerts can be explained: episodes, and the day of what they are about, with bands.

Everything is bounded: the newest :data:`DAY` of at most :data:`MAX_DAYS` pods and nodes, the newest hour of at most
:data:`MAX_HOURS` more, and :data:`MAX_EPISODES` episodes. Pages come first, then pods of which most models raise a
notice. The metrics of the cluster are always kept.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from aiops_assets.datasets.newest import NewestWindow
from aiops_assets.learners.bands.expected import expected_band
from aiops_assets.learners.bands.options import BandOptions
from aiops_assets.storage.explanations import (
    CLUSTER,
    EPISODE_COLUMNS,
    EXPLANATION_COLUMNS,
    NODE,
    PAGE,
    POD,
    SIDES,
    SUBJECT,
    nothing,
)
from aiops_assets.storage.scores import ScoresRun
from aiops_assets.timeseries.catalog import FORECAST_METRICS, METRICS
from aiops_assets.timeseries.history import STEP_SECONDS
from aiops_assets.timeseries.pod_identity import pod_text
from aiops_assets.timeseries.series import Floats
from aiops_assets.views.pod_history import POD_VALUES, LivingPods, PodHistory

DAY, HOUR = pd.Timedelta(days=1), pd.Timedelta(hours=1)
MAX_DAYS, MAX_HOURS = 50, 150
MAX_EPISODES = 5_000
MANTISSA = 2**14
CUMULATIVE = frozenset(metric.name for metric in METRICS if metric.cumulative)
UPPER = {metric.name: metric.upper for metric in METRICS if metric.upper is not None}
BAND = BandOptions(step_seconds=STEP_SECONDS, lower=0.0)

_WHO = ["kind", "namespace", "pod", "node"]
"""By these a subject stays the same when its workload is known better."""
_KEYS = [*_WHO, "raised_by"]
Subject = tuple[str, str, str, str, str]


@dataclass(frozen=True)
class _Series:
    """Values of one metric of one subject at the rows of the window."""

    subject: Subject
    metric: str
    values: Floats
    since: pd.Timestamp


def explained(run: ScoresRun, window: NewestWindow, before: pd.DataFrame) -> ScoresRun:
    """The run with its episodes and explanations.

    Args:
        run: with scores and pages.
        window: what they were made of.
        before: episodes of the run before; empty without one.
    """
    found = episodes_of(run, before)
    return replace(run, episodes=found, explanations=_explanations(run, window, found))


def episodes_of(run: ScoresRun, before: pd.DataFrame) -> pd.DataFrame:
    """Episodes of the newest day, with the columns ``EPISODE_COLUMNS``: those before, gone on, and new ones.

    Rows that are no farther apart than the run's shown minutes are one episode: so long an alert goes on in
    ``/metrics`` without a new row.
    """
    parts = [before, _of_pages(run), _of_notices(run)]
    rows = pd.concat([part for part in parts if len(part)] or [before], ignore_index=True)
    if rows.empty:
        return nothing(EPISODE_COLUMNS)
    rows = rows.sort_values([*_KEYS, "since", "until"], kind="stable", ignore_index=True)
    gap = pd.Timedelta(minutes=run.record.shown_minutes)
    joined = _joined(rows, gap)
    ends = [end for end in (run.record.scored_until, run.record.paged_until) if end is not None]
    if ends:
        joined = joined[joined["until"] > pd.Timestamp(max(ends)) - DAY]
    newest = joined.sort_values(["until", *_KEYS], ascending=False, kind="stable").head(MAX_EPISODES)
    return newest.reset_index(drop=True)[list(EPISODE_COLUMNS)]


def subjects_in_order(episodes: pd.DataFrame) -> list[Subject]:
    """What episodes are about: pages first, then by how many models raise a notice, then the one that ended last."""
    if episodes.empty:
        return []
    rows = episodes.assign(paged=episodes["raised_by"] == PAGE)
    grouped = rows.groupby(_WHO, sort=True)
    order = pd.DataFrame(
        {
            "paged": grouped["paged"].any(),
            "models": grouped["raised_by"].nunique(),
            "until": grouped["until"].max(),
            "workload": grouped["workload"].last(),
        }
    ).sort_values(["paged", "models", "until"], ascending=False, kind="stable")
    found = order.reset_index()[list(SUBJECT)].astype(str)
    return list(found.itertuples(index=False, name=None))


def _of_pages(run: ScoresRun) -> pd.DataFrame:
    pages = run.pages
    kind = np.where(pages["node"] == "", POD, NODE)
    return pages.assign(kind=kind, raised_by=PAGE, since=pages["timestamp"], until=pages["timestamp"])[
        list(EPISODE_COLUMNS)
    ]


def _of_notices(run: ScoresRun) -> pd.DataFrame:
    rows = run.scores[run.scores["is_anomaly"].astype(bool)]
    first = [next(iter(shares_of(text)), "") for text in rows["contributing_features"]]
    times = {"since": rows["timestamp"], "until": rows["timestamp"]}
    return rows.assign(kind=POD, node="", raised_by=rows["model_name"], metric=first, **times)[list(EPISODE_COLUMNS)]


def shares_of(text: str) -> dict[str, float]:
    """Metric -> share, the largest first, of a row's ``contributing_features``."""
    found: dict[str, float] = json.loads(text) if text else {}
    return found


def _joined(rows: pd.DataFrame, gap: pd.Timedelta) -> pd.DataFrame:
    """Rows in order of key and ``since``; of one key those that overlap, or are at most a gap apart, become one."""
    same = (rows[_KEYS] == rows[_KEYS].shift()).all(axis=1)
    reached = rows.groupby((~same).cumsum())["until"].cummax().shift()
    begins = ~same | (rows["since"] - reached > gap)
    grouped = rows.groupby(begins.cumsum(), sort=False)
    joined = grouped.agg(
        {**dict.fromkeys(_KEYS, "first"), "workload": "last", "metric": "last", "since": "min", "until": "max"}
    )
    return joined.reset_index(drop=True)


def _explanations(run: ScoresRun, window: NewestWindow, episodes: pd.DataFrame) -> pd.DataFrame:
    hour = [end - HOUR for end in (run.record.scored_until, run.record.paged_until) if end is not None]
    now = episodes[episodes["until"] > pd.Timestamp(max(hour))] if hour else episodes
    order = subjects_in_order(now)[: MAX_DAYS + MAX_HOURS]
    if window.pods is not None:
        times, part = window.pods.times, _rows_of(window.pods, order)
        series = [*_of_pods(part, order, times), *_of_nodes(window, order, times), *_of_node_means(part, times)]
    elif window.cluster is not None and len(window.cluster):
        times, series = pd.DatetimeIndex(window.cluster["timestamp"]), []
    else:
        return nothing(EXPLANATION_COLUMNS)
    return _table([*series, *_of_cluster(window, times)], times)


def _rows_of(pods: LivingPods, order: Sequence[Subject]) -> PodHistory:
    """Rows of the first pod, for what all pods share, and of those that the subjects are."""
    place = {pod: i for i, pod in enumerate(pods.pods)}
    found = {place.get(pod_text(namespace, pod), 0) for kind, namespace, pod, _, _ in order if kind == POD}
    return pods.of_pods(np.array(sorted(found | {0}), dtype=np.intp))


def _of_pods(part: PodHistory, order: Sequence[Subject], times: pd.DatetimeIndex) -> list[_Series]:
    place = {pod: i for i, pod in enumerate(part.pods)}
    values = part.rows.values
    own = [*POD_VALUES, *sorted(set(values) - set(POD_VALUES) - _shared(part))]
    found = []
    for rank, subject in enumerate(order):
        kind, namespace, pod, _, _ = subject
        at = place.get(pod_text(namespace, pod)) if kind == POD else None
        if at is not None:
            since = times[-1] - (DAY if rank < MAX_DAYS else HOUR)
            found += [_Series(subject, name, values[name][at, 0], since) for name in own]
    return found


def _of_nodes(window: NewestWindow, order: Sequence[Subject], times: pd.DatetimeIndex) -> list[_Series]:
    if window.nodes is None:
        return []
    place = {name: i for i, name in enumerate(window.nodes.names)}
    return [
        _Series(subject, name, values[place[subject[4]]], times[-1] - (DAY if rank < MAX_DAYS else HOUR))
        for rank, subject in enumerate(order)
        if subject[0] == NODE and subject[4] in place
        for name, values in window.nodes.values.items()
    ]


def _of_node_means(part: PodHistory, times: pd.DatetimeIndex) -> list[_Series]:
    """The surroundings of all pods, which may have the largest share of a score."""
    of = (CLUSTER, "", "", "", "")
    return [_Series(of, name, part.rows.values[name][0, 0], times[-1] - DAY) for name in sorted(_shared(part))]


def _shared(part: PodHistory) -> set[str]:
    """Metrics of nodes, of which rows of pods have the mean."""
    return {metric.name for metric in METRICS if metric.per == "node"} & set(part.rows.values)


def _of_cluster(window: NewestWindow, times: pd.DatetimeIndex) -> list[_Series]:
    if window.cluster is None:
        return []
    rows = window.cluster.set_index("timestamp").reindex(times)
    names = [metric.name for metric in FORECAST_METRICS if metric.name in rows.columns]
    of = (CLUSTER, "", "", "", "")
    return [_Series(of, name, rows[name].to_numpy(dtype=np.float64), times[-1] - DAY) for name in names]


def _table(series: Sequence[_Series], times: pd.DatetimeIndex) -> pd.DataFrame:
    """``EXPLANATION_COLUMNS`` of the rows that are kept."""
    known = [one for one in series if np.isfinite(one.values).any()]
    if not known:
        return nothing(EXPLANATION_COLUMNS)
    values = np.stack([_increase(one.values) if one.metric in CUMULATIVE else one.values for one in known])
    band = expected_band(times.as_unit("s").asi8, values, BAND)
    tops = np.array([UPPER.get(one.metric, np.inf) for one in known])[:, np.newaxis]
    counts = np.array([one.metric in CUMULATIVE for one in known])[:, np.newaxis]
    lower = np.where(counts & np.isfinite(band.lower), 0.0, band.lower)  # nobody misses a restart
    sides = dict(zip(SIDES, (values, band.expected, lower, np.minimum(band.upper, tops)), strict=True))
    parts = []
    for i, one in enumerate(known):
        kept = np.flatnonzero(np.asarray(times > one.since))
        columns: Mapping[str, Any] = dict(zip(SUBJECT, one.subject, strict=True)) | {"metric": one.metric}
        numbers = {side: _short(array[i, kept]) for side, array in sides.items()}
        parts.append(pd.DataFrame({"timestamp": times[kept].as_unit("us"), **numbers}).assign(**columns))
    return pd.concat(parts, ignore_index=True)[list(EXPLANATION_COLUMNS)]


def _increase(values: Floats) -> Floats:
    """What a counter rose by since the row before; a fall is a restart of the counter."""
    rise = np.diff(values, prepend=np.nan)
    fallen = rise < 0
    return np.where(fallen, values, rise)


def _short(values: Floats) -> npt.NDArray[np.float32]:
    """Numbers with four significant digits: the zeros at the ends of their mantissas are not stored."""
    mantissa, exponent = np.frexp(values)
    return np.ldexp(np.round(mantissa * MANTISSA) / MANTISSA, exponent).astype(np.float32)
