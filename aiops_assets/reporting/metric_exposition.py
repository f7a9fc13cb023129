"""Gauges of the metrics in METRICS_FILE: the newest score, expected band, alert and forecast of each series.

A gauge has the labels of its entity and ``entity``, which puts them into one text: rules aggregate by that, whatever
labels there are. Values whose instant is more than an hour old are not exposed: only their timestamp is.
"""

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from aiops_assets.reporting.described import Described
from aiops_assets.reporting.exposition import HORIZONS, STALE
from aiops_assets.reporting.newest_run import NewestRun
from aiops_assets.storage.scores import Scores, ScoresRecord, ScoresRun

OURS = ("cluster", "metric", "unit", "entity", "severity", "horizon", "reason")
"""Labels of the gauges themselves: one of an entity with such a name gets ``exported_`` before it, as in Prometheus."""
_PER_SERIES = ("cluster", "metric", "unit", "entity")


def _gauge(name: str, text: str, *more: str) -> Described:
    return Described(GaugeMetricFamily, name, text, (*_PER_SERIES, *more))


SIDES = {
    "value": _gauge("aiops_metric_value", "Newest value that was scored; of a counter its increase per second."),
    "score": _gauge("aiops_metric_score", "Distance from expected in half widths of the band: 1 at its edge."),
    "expected": _gauge("aiops_metric_expected", "What the newest value was expected to be, in the metric's unit."),
    "lower": _gauge("aiops_metric_lower", "Begin of the expected band."),
    "upper": _gauge("aiops_metric_upper", "End of the expected band."),
}
ALERT = _gauge(
    "aiops_metric_alert", "1: two of three values in a row, the newest minutes among them, left the band.", "severity"
)
AHEAD = {
    "value": _gauge("aiops_metric_forecast", "Median of the forecast at this horizon.", "horizon"),
    "lower": _gauge("aiops_metric_forecast_lower", "Begin of its 80 % interval.", "horizon"),
    "upper": _gauge("aiops_metric_forecast_upper", "End of its 80 % interval.", "horizon"),
}
SILENT = Described(
    GaugeMetricFamily,
    "aiops_silence",
    "1: this has stopped, by reason: a pod, a node or a metric without samples, or a value that no longer changes.",
    ("cluster", "reason", "metric", "entity", "severity"),
)
UNTIL = Described(
    GaugeMetricFamily,
    "aiops_metric_timestamp_seconds",
    "Newest instant of a metric of METRICS_FILE; values of more than an hour ago are not exposed.",
    ("cluster", "metric"),
)
_NAMES = {int(ahead.total_seconds()): name for name, ahead in HORIZONS.items()}
Sample = tuple[dict[str, str], float]


def documented_metrics() -> Iterable[Metric]:
    """All gauges of metrics of one's own, without values."""
    return (one.family() for one in (*SIDES.values(), ALERT, *AHEAD.values(), SILENT, UNTIL))


@dataclass(frozen=True)
class _Exposed:
    """What a run shows.

    Attributes:
        cluster: its name.
        samples: gauge -> those of each metric.
        until: metric -> its newest instant, Unix seconds.
        silent: what has stopped.
        silent_at: when that was decided, Unix seconds; 0: it was not.
    """

    cluster: str
    samples: Mapping[str, Sequence[tuple[str, Sample]]]
    until: Mapping[str, float]
    silent: Sequence[Sample]
    silent_at: float


class MetricCollector(Collector):
    """Gauges of the newest run that can be read; a scrape never fails, and a run is read once.

    Args:
        store: stored runs of one cluster.
        clock: returns the present time, Unix seconds.
    """

    def __init__(self, store: Scores, clock: Callable[[], float] = time.time) -> None:
        def read(name: str) -> _Exposed:
            record = store.read_record(name)
            return _exposed(record, *store.read_metrics(record))

        self._clock = clock
        self._newest = NewestRun(store, read, clock, "metrics of one's own")

    def describe(self) -> Iterable[Metric]:
        """No metrics, so that registering does not read the storage."""
        return []

    def collect(self) -> Iterable[Metric]:
        """All metrics, in the order of their documentation; none before the first run with such metrics."""
        exposed = self._newest.get()
        if exposed is not None:
            yield from _values(exposed, self._clock())


def shown_metrics(run: ScoresRun, now: float) -> Iterable[Metric]:
    """All gauges of one run, as a scrape at a time (Unix seconds) shows them."""
    return _values(_exposed(run.record, run.metrics, run.ahead, run.silence), now)


def _values(exposed: _Exposed, now: float) -> Iterable[Metric]:
    """The gauges that are not stale; none where the run has no metric of one's own and decided nothing on silence."""
    oldest = now - STALE.total_seconds()
    if exposed.silent_at >= oldest:
        silent = SILENT.family()
        for labels, value in exposed.silent:
            silent.add_sample(SILENT.name, labels, value)
        yield silent
    if not exposed.until:
        return
    fresh = {metric for metric, until in exposed.until.items() if until >= oldest}
    for described in (*SIDES.values(), ALERT, *AHEAD.values()):
        family = described.family()
        for metric, (labels, value) in exposed.samples[described.name]:
            if metric in fresh:
                family.add_sample(described.name, labels, value)
        yield family
    yield UNTIL.family([([exposed.cluster, metric], until) for metric, until in exposed.until.items()])


def _exposed(record: ScoresRecord, rows: pd.DataFrame, ahead: pd.DataFrame, silence: pd.DataFrame) -> _Exposed:
    samples: dict[str, list[tuple[str, Sample]]] = {one.name: [] for one in (*SIDES.values(), ALERT, *AHEAD.values())}
    until: dict[str, float] = {}
    for key, series in rows.groupby(["metric", "labels"], sort=True):
        metric, labels = map(str, key)
        newest = series.iloc[-1]
        until[metric] = max(until.get(metric, 0.0), newest["timestamp"].timestamp())
        own = _labels(record.cluster, newest, labels)
        for side, described in SIDES.items():
            if np.isfinite(newest[side]):
                samples[described.name].append((metric, (own, float(newest[side]))))
        if np.isfinite(series["score"]).any():
            shown = series["timestamp"] > newest["timestamp"] - pd.Timedelta(minutes=record.shown_minutes)
            alert = own | {"severity": str(newest["severity"])}
            samples[ALERT.name].append((metric, (alert, float(series.loc[shown, "alert"].any()))))
    for _, row in ahead.iterrows():
        own = _labels(record.cluster, row, row["labels"])
        own["horizon"] = _NAMES.get(int(row["horizon_seconds"]), f"{row['horizon_seconds']}s")
        for side, described in AHEAD.items():
            samples[described.name].append((str(row["metric"]), (own, float(row[side]))))
    names = ("reason", "metric", "entity", "severity")
    silent = [(_labels(record.cluster, row, row["labels"], names), 1.0) for _, row in silence.iterrows()]
    decided = record.silence_until.timestamp() if record.silence_until else 0.0
    return _Exposed(record.cluster, samples, until, silent, decided)


def _labels(cluster: str, row: Any, labels: str, names: Sequence[str] = ("metric", "unit", "entity")) -> dict[str, str]:
    own = {f"exported_{name}" if name in OURS else name: value for name, value in json.loads(labels).items()}
    return {"cluster": cluster, **{name: str(row[name]) for name in names}, **own}
