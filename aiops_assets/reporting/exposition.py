"""The newest stored scores as gauges, for Prometheus to scrape.

A run is read once, when it is newer than the one before; each scrape lists the names of the runs. Versions are only
labels of an info metric: as labels of each pod they would start new series with every new version. Join them with
``aiops_anomaly_score * on (cluster, model) group_left (version) aiops_scores_model_info``.

Scores and forecasts whose window ends more than an hour ago are not exposed: only their timestamp is, and
``aiops_scores_stale 1``. The same stands for a kind of which no model gave predictions.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import pandas as pd
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from aiops_assets.families.catalog import MODELS
from aiops_assets.judging.detection.task import DETECTION
from aiops_assets.judging.forecasting.holdout import HORIZON_HOURS
from aiops_assets.judging.forecasting.task import FORECASTING
from aiops_assets.reporting.described import Described, Labelled
from aiops_assets.reporting.exhaustion_exposition import exhaustion_families, exhaustion_values
from aiops_assets.reporting.newest_run import NewestRun
from aiops_assets.storage.scores import PAGE_COLUMNS, Scores, ScoresRecord, ScoresRun
from aiops_assets.timeseries.catalog import FORECAST_METRICS

STALE = timedelta(hours=1)
HORIZONS = {"5m": timedelta(minutes=5), "1h": timedelta(hours=1), "24h": timedelta(hours=24)}
UNITS = {metric.name: metric.unit for metric in FORECAST_METRICS}
ANOMALIES, FORECASTS, PAGED = "anomaly", "forecast", "page"
KINDS = {DETECTION.name: ANOMALIES, FORECASTING.name: FORECASTS}
"""Name of a task -> kind of what its models predict."""
KIND_OF = {spec.name: KINDS[spec.family.task.name] for spec in MODELS}

_PER_KIND, _PER_MODEL = ("cluster", "kind"), ("cluster", "model")
_OF_POD = ("namespace", "pod", "workload")
_PER_POD = (*_PER_MODEL, *_OF_POD)
_PER_FORECAST = ("cluster", "model", "metric", "unit", "horizon")
UNREADABLE = Described(CounterMetricFamily, "aiops_scores_unreadable", "Stored runs of scores that could not be read.")
ABOUT = (
    Described(
        GaugeMetricFamily,
        "aiops_scores_timestamp_seconds",
        "Newest instant that was scored, or forecast from.",
        _PER_KIND,
    ),
    Described(
        GaugeMetricFamily,
        "aiops_scores_stale",
        "1: that instant is more than an hour ago, or no model of this kind gave predictions; no values are exposed.",
        _PER_KIND,
    ),
    Described(
        GaugeMetricFamily,
        "aiops_scores_made_timestamp_seconds",
        "When the newest scores and forecasts were made.",
        ("cluster",),
    ),
    Described(InfoMetricFamily, "aiops_scores_source", "Where the scored window came from.", ("cluster",)),
    Described(InfoMetricFamily, "aiops_scores_model", "Champions that gave predictions.", _PER_MODEL),
    Described(GaugeMetricFamily, "aiops_scores_model_left_out", "1: this model gave no predictions.", _PER_MODEL),
)
WATCHED = Described(GaugeMetricFamily, "aiops_scores_watched", "Living pods with scores.", ("cluster",))
UNWATCHED = Described(
    GaugeMetricFamily,
    "aiops_scores_unwatched",
    "Living pods, or metrics of one's own, without scores, by why.",
    ("cluster", "reason"),
)
SCORE = Described(
    GaugeMetricFamily,
    "aiops_anomaly_score",
    "Highest score of the newest minutes; higher is more anomalous, models have scales of their own.",
    _PER_POD,
)
ALERT = Described(
    GaugeMetricFamily, "aiops_anomaly_alert", "1: notice; the model raised an alert in the newest minutes.", _PER_POD
)
PAGE = Described(
    GaugeMetricFamily,
    "aiops_anomaly_page",
    "1: a person should look now; at most ALERTS_PER_DAY of the whole cluster are expected while nothing is wrong.",
    ("cluster", "kind", *PAGE_COLUMNS[1:]),
)
OF_PODS = {"anomaly_score": SCORE, "is_anomaly": ALERT}
"""Column of scores -> the gauge of its largest value within the newest minutes."""
SIDES = {
    side: Described(
        GaugeMetricFamily,
        f"aiops_forecast_{side}",
        f"{what} of the forecast at this horizon after its timestamp, in the metric's unit.",
        _PER_FORECAST,
    )
    for side, what in (
        ("value", "Median"),
        ("lower", "Begin of the 80 % interval"),
        ("upper", "End of the 80 % interval"),
    )
}

PROVEN = Described(
    GaugeMetricFamily,
    "aiops_forecast_proven",
    "1: on its hold-out the model was better than every trivial forecaster at this horizon.",
    (*_PER_MODEL, "horizon"),
)


def documented() -> Iterable[Metric]:
    """All metrics of scores and forecasts, without values."""
    known = (UNREADABLE, *ABOUT, WATCHED, UNWATCHED, *OF_PODS.values(), PAGE, *SIDES.values(), PROVEN)
    return (*(one.family() for one in known), *exhaustion_families({}))


@dataclass(frozen=True)
class _Exposed:
    """The label values and numbers of a run."""

    record: ScoresRecord
    of_pods: dict[str, Sequence[Labelled]]
    pages: Sequence[Labelled]
    forecast: dict[str, Sequence[Labelled]]
    exhaustion: dict[str, Sequence[Labelled]]


class ScoresCollector(Collector):
    """Gauges of the newest run. A run that cannot be read is logged and counted, and never fails a scrape.

    Args:
        store: stored runs of one cluster.
        clock: returns the present time, Unix seconds.
    """

    def __init__(self, store: Scores, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._newest = NewestRun(store, lambda name: _exposed(store.read(name)), clock, "scores")

    def describe(self) -> Iterable[Metric]:
        """No metrics, so that registering does not read the storage."""
        return []

    def collect(self) -> Iterable[Metric]:
        """All metrics, in the order of their documentation."""
        exposed = self._newest.get()
        yield UNREADABLE.family([([], self._newest.unreadable)])
        if exposed is not None:
            yield from _about(exposed.record, self._clock())
            yield from _values(exposed, self._clock())


def shown(run: ScoresRun, now: float) -> Iterable[Metric]:
    """All metrics of one run, as a scrape at a time (Unix seconds) shows them."""
    exposed = _exposed(run)
    yield from _about(run.record, now)
    yield from _values(exposed, now)


def _exposed(run: ScoresRun) -> _Exposed:
    forecast: dict[str, Sequence[Labelled]] = {side: _of_metrics(run, side) for side in SIDES}
    return _Exposed(run.record, _of_pods(run), _pages(run), forecast, exhaustion_values(run))


def _of_pods(run: ScoresRun) -> dict[str, Sequence[Labelled]]:
    """Column -> per model and pod, its largest value within the minutes that the run shows."""
    rows, record = run.scores, run.record
    if record.scored_until is None:
        return {column: [] for column in OF_PODS}
    found = _shown(rows, record.scored_until, record).groupby(["model_name", *_OF_POD], sort=True)[list(OF_PODS)].max()
    labels = [[record.cluster, *map(str, one)] for one in found.index]
    return {column: list(zip(labels, found[column].astype(float).tolist(), strict=True)) for column in OF_PODS}


def _pages(run: ScoresRun) -> Sequence[Labelled]:
    """Each pod, or node, and metric with a page within the minutes that the run shows."""
    found = _shown(run.pages, run.record.paged_until, run.record)[list(PAGE_COLUMNS[1:])].drop_duplicates()
    # By an empty label nobody can tell them apart: a scrape that overrides labels fills it with the service's own pod.
    kinds = np.where(found["node"] == "", "pod", "node")
    rows = zip(kinds, found.itertuples(index=False), strict=True)
    return [([run.record.cluster, str(kind), *map(str, one)], 1.0) for kind, one in rows]


def _shown(rows: pd.DataFrame, until: datetime | None, record: ScoresRecord) -> pd.DataFrame:
    """Rows of the newest minutes."""
    if until is None:
        return rows.iloc[:0]
    return rows[rows["timestamp"] > pd.Timestamp(until) - pd.Timedelta(minutes=record.shown_minutes)]


def _of_metrics(run: ScoresRun, side: str) -> list[Labelled]:
    """Per model, metric and horizon, one side of the forecast: value, lower or upper."""
    begin = run.record.forecast_from
    if begin is None:
        return []
    rows = run.forecasts.set_index("predicted_for")
    found = []
    for horizon, ahead in HORIZONS.items():
        there = rows[rows.index == pd.Timestamp(begin) + ahead]
        for model, metric, value in zip(there["model_name"], there["metric_name"], there[side], strict=True):
            labels = [run.record.cluster, str(model), str(metric), UNITS.get(str(metric), ""), horizon]
            found.append((labels, float(value)))
    return found


def _proven(record: ScoresRecord) -> list[Labelled]:
    """Per forecaster and exposed horizon, whether it was better than the trivial ones there."""
    shown = [horizon for horizon in HORIZONS if horizon in HORIZON_HOURS]
    return [
        ([record.cluster, model.name, horizon], float(horizon in model.proven))
        for model in record.models
        if KINDS.get(model.kind) == FORECASTS
        for horizon in shown
    ]


def _about(record: ScoresRecord, now: float) -> Iterable[Metric]:
    """Metrics about models, source and age of the scores."""
    until, stale, made, source, models, left_out = (one.family() for one in ABOUT)
    for kind, when in _ends(record).items():
        until.add_metric([record.cluster, kind], when.timestamp())
        stale.add_metric([record.cluster, kind], float(_is_stale(when, now)))
    for kind in sorted(_missing(record)):
        stale.add_metric([record.cluster, kind], 1.0)
    made.add_metric([record.cluster], record.made_at.timestamp())
    source.add_metric([record.cluster], {"source": record.source})
    for model in record.models:
        labels = {"version": str(model.version), "kind": model.kind, "trained_on": model.effective_source}
        models.add_metric([record.cluster, model.name], labels)
    for name in record.left_out:
        left_out.add_metric([record.cluster, name], 1.0)
    yield from (until, stale, made, source, models, left_out)
    yield WATCHED.family([([record.cluster], record.pods)])
    yield UNWATCHED.family([([record.cluster, why], n) for why, n in sorted((record.unwatched or {}).items())])


def _values(exposed: _Exposed, now: float) -> Iterable[Metric]:
    """Scores and forecasts that are not stale."""
    fresh = {kind for kind, when in _ends(exposed.record).items() if not _is_stale(when, now)}
    if ANOMALIES in fresh:
        for column, described in OF_PODS.items():
            yield described.family(exposed.of_pods[column])
    if PAGED in fresh:
        yield PAGE.family(exposed.pages)
    if FORECASTS in fresh:
        for side, described in SIDES.items():
            yield described.family(exposed.forecast[side])
        yield PROVEN.family(_proven(exposed.record))
    if not _is_stale(exposed.record.made_at, now):
        yield from exhaustion_families(exposed.exhaustion)


def _ends(record: ScoresRecord) -> dict[str, datetime]:
    ends = {ANOMALIES: record.scored_until, FORECASTS: record.forecast_from, PAGED: record.paged_until}
    return {kind: when for kind, when in ends.items() if when is not None}


def _missing(record: ScoresRecord) -> set[str]:
    """Kinds that some model of the run should have predicted, and of which the run has nothing."""
    asked = {KINDS[model.kind] for model in record.models if model.kind in KINDS}
    asked |= {KIND_OF[name] for name in record.left_out if name in KIND_OF}
    return asked - set(_ends(record))


def _is_stale(when: datetime, now: float) -> bool:
    return now - when.timestamp() > STALE.total_seconds()
