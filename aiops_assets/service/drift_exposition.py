"""The newest look at drift as gauges, for Prometheus to scrape: scores look once an hour and store a report."""

import logging
import time
from collections.abc import Callable, Iterable
from threading import Lock

from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from aiops_assets.errors import StoreError
from aiops_assets.reporting.described import Described
from aiops_assets.storage.drift import MAX_AGE, DriftReport, DriftStore

_log = logging.getLogger(__name__)
_PER_METRIC = ("cluster", "metric")
DRIFTED = Described(
    GaugeMetricFamily,
    "aiops_drift",
    "1: the newest day of this metric is unlike the days that a champion was trained on.",
    _PER_METRIC,
)
STRENGTH = Described(
    GaugeMetricFamily,
    "aiops_drift_strength",
    "The strongest test of the newest day over its limit; above 1 is more than chance.",
    _PER_METRIC,
)
LOOKED = Described(
    GaugeMetricFamily,
    "aiops_drift_timestamp_seconds",
    "When the newest day was last compared; values of a look more than three hours ago are not exposed.",
    ("cluster",),
)


def documented_drift() -> Iterable[Metric]:
    """All metrics of drift, without values."""
    return (one.family() for one in (DRIFTED, STRENGTH, LOOKED))


class DriftCollector(Collector):
    """Gauges of the newest look at drift; without a look there are none. A scrape never fails.

    Args:
        store: the reports of one cluster.
        cluster: its name.
        clock: returns the present time, Unix seconds.
    """

    def __init__(self, store: DriftStore, cluster: str, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._cluster = cluster
        self._clock = clock
        self._lock = Lock()
        self._last_failure = ""

    def describe(self) -> Iterable[Metric]:
        """No metrics, so that registering does not read the storage."""
        return []

    def collect(self) -> Iterable[Metric]:
        """All metrics, in the order of their documentation."""
        report = self._newest()
        if report is None:
            return
        looked = report.when.timestamp()
        if self._clock() - looked <= MAX_AGE.total_seconds():
            yield DRIFTED.family(self._highest([(one.metric, float(one.drifted)) for one in report.metrics]))
            yield STRENGTH.family(self._highest([(one.metric, one.strength) for one in report.metrics]))
        yield LOOKED.family([([self._cluster], looked)])

    def _highest(self, values: Iterable[tuple[str, float]]) -> list[tuple[list[str], float]]:
        """One value a metric: champions that were trained in different days are compared each with its own."""
        highest: dict[str, float] = {}
        for metric, value in values:
            highest[metric] = max(value, highest.get(metric, value))
        return [([self._cluster, metric], value) for metric, value in highest.items()]

    def _newest(self) -> DriftReport | None:
        """The newest report; ``None`` where there is none, or the storage is away, which is logged once."""
        try:
            report, failure = self._store.newest(), ""
        except StoreError as error:  # tried again at the next scrape
            report, failure = None, str(error)
        with self._lock:
            if failure and failure != self._last_failure:
                _log.warning("drift is not exposed: %s", failure)
            self._last_failure = failure
        return report
