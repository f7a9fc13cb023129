"""What became of writing scores back, for Prometheus to scrape; nothing where nothing was ever written back."""

import logging
from collections.abc import Iterable

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from aiops_assets.errors import StoreError
from aiops_assets.reporting.described import Described
from aiops_assets.storage.written_back import WriteBacks

_log = logging.getLogger(__name__)
FAILURES = Described(
    CounterMetricFamily, "aiops_remote_write_failures", "Runs of scores that could not be written back.", ("cluster",)
)
SERIES = Described(
    GaugeMetricFamily, "aiops_remote_write_series", "Series that the newest run has written back.", ("cluster",)
)
SUCCEEDED = Described(
    GaugeMetricFamily,
    "aiops_remote_write_timestamp_seconds",
    "When the newest run was made that was written back whole.",
    ("cluster",),
)


def documented_remote_write() -> Iterable[Metric]:
    """All metrics of writing back, without values."""
    return (one.family() for one in (FAILURES, SERIES, SUCCEEDED))


class RemoteWriteCollector(Collector):
    """Gauges of the newest attempt; a scrape never fails.

    Args:
        store: the attempts of one cluster.
        cluster: its name.
    """

    def __init__(self, store: WriteBacks, cluster: str) -> None:
        self._store = store
        self._cluster = cluster
        self._last_failure = ""

    def describe(self) -> Iterable[Metric]:
        """No metrics, so that registering does not read the storage."""
        return []

    def collect(self) -> Iterable[Metric]:
        """All metrics, in the order of their documentation."""
        try:
            attempt, failure = self._store.newest(), ""
        except StoreError as error:  # tried again at the next scrape
            attempt, failure = None, str(error)
        if failure and failure != self._last_failure:
            _log.warning("writing back is not exposed: %s", failure)
        self._last_failure = failure
        if attempt is None:
            return
        yield FAILURES.family([([self._cluster], attempt.failures)])
        yield SERIES.family([([self._cluster], attempt.series)])
        if attempt.succeeded is not None:
            yield SUCCEEDED.family([([self._cluster], attempt.succeeded.timestamp())])
