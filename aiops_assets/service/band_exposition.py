"""Value, expected value and band of what is paged or under notice as gauges, so that a dashboard can draw why.

Only the newest :data:`MAX_SUBJECTS` pods and nodes with an alert at this moment have them: a cluster of thousands of
pods has some hundred series more. They end with their alert, and when scores are more than an hour old.
"""

import logging
from collections.abc import Iterable
from threading import Lock

import numpy as np
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from aiops_assets.errors import ServiceNotReady, StoreError
from aiops_assets.registry.explanation import NOTICE
from aiops_assets.registry.findings import STALE_SCORES, Findings
from aiops_assets.reporting.described import Described, Labelled
from aiops_assets.service.newest_findings import NewestFindings
from aiops_assets.storage.explanations import PAGE, SIDES, SUBJECT
from aiops_assets.storage.scores import PAGE_COLUMNS

MAX_SUBJECTS = 50
_LABELS = ("cluster", "kind", *PAGE_COLUMNS[1:])
_TEXTS = {
    "value": "Newest value of a metric of what is paged or under notice; of a counter its increase in five minutes.",
    "expected": "What was expected then, by the rows before it.",
    "lower": "Lower edge of the band in which it was expected.",
    "upper": "Upper edge of the band in which it was expected.",
}
BANDS = {side: Described(GaugeMetricFamily, f"aiops_anomaly_{side}", _TEXTS[side], _LABELS) for side in SIDES}
_log = logging.getLogger(__name__)


def documented_bands() -> Iterable[Metric]:
    """The four gauges, without values."""
    return (one.family() for one in BANDS.values())


class BandCollector(Collector):
    """Gauges of the newest run; a scrape never fails.

    Args:
        newest: the newest run of scores.
    """

    def __init__(self, newest: NewestFindings) -> None:
        self._newest = newest
        self._lock = Lock()
        self._run = ""
        self._values: dict[str, list[Labelled]] = {}

    def describe(self) -> Iterable[Metric]:
        """No metrics, so that registering does not read the storage."""
        return []

    def collect(self) -> Iterable[Metric]:
        """The gauges of each side; none without a run, or where it is old."""
        try:
            findings = self._newest.get()
        except ServiceNotReady:
            return
        except StoreError as error:  # tried again at the next scrape; ScoresCollector counts it
            _log.warning("bands are not exposed: %s", error)
            return
        if STALE_SCORES in findings.notes:
            return
        with self._lock:
            if findings.record.run_name != self._run:
                self._run, self._values = findings.record.run_name, _bands(findings)
            values = self._values
        for side, described in BANDS.items():
            yield described.family(values[side])


def _bands(findings: Findings) -> dict[str, list[Labelled]]:
    """Side -> its newest value of each metric of each subject."""
    found: dict[str, list[Labelled]] = {side: [] for side in SIDES}
    shown = findings.listed(states=(PAGE, NOTICE))[:MAX_SUBJECTS]
    for one in shown:
        subject = one.subject
        rows = findings.rows_of(subject)
        for row in rows[rows["value"].notna()].drop_duplicates("metric", keep="last").to_dict("records"):
            labels = [findings.record.cluster, *(str(row[name]) for name in (*SUBJECT, "metric"))]
            for side in SIDES:
                if np.isfinite(row[side]):
                    found[side].append((labels, float(row[side])))
    return found
