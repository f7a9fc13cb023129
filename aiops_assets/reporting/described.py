"""Metrics of `/metrics` that are made anew at each scrape: name, documentation and labels, beside their values."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily

Labelled = tuple[list[str], float]


@dataclass(frozen=True)
class Described:
    """Name, documentation and labels of a metric that is made anew at each scrape."""

    kind: type[GaugeMetricFamily | InfoMetricFamily | CounterMetricFamily]
    name: str
    text: str
    labels: tuple[str, ...] = ()

    def family(self, values: Sequence[Labelled] = ()) -> Any:
        """The metric with these values."""
        family: Any = self.kind(self.name, self.text, labels=self.labels)
        for labels, value in values:
            family.add_metric(labels, value)
        return family
