"""Asks a server what it has of each metric now, before anything is fetched."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from aiops_assets.errors import PrometheusError, PrometheusUnreachable
from aiops_assets.prometheus.client import PrometheusClient
from aiops_assets.timeseries.catalog import MetricSpec


@dataclass(frozen=True)
class Probed:
    """What a server has of a metric.

    Attributes:
        metric: it was asked for.
        series: how many there are now; ``None`` where the server did not say.
        error: why it did not; quotes the server.
    """

    metric: MetricSpec
    series: int | None
    error: PrometheusError | None = None


def probe_metrics(client: PrometheusClient, metrics: Iterable[MetricSpec], now: datetime) -> Iterator[Probed]:
    """What the server has of each metric, in their order.

    An error of one metric does not end the others, but for a server that goes away: it is asked nothing more.

    Raises:
        PrometheusError: the server cannot be used at all; the class says why.
    """
    client.probe()
    gone: PrometheusUnreachable | None = None
    for metric in metrics:
        if gone:
            yield Probed(metric, None, gone)
            continue
        try:
            yield Probed(metric, client.count_series(metric.promql, now))
        except PrometheusUnreachable as error:
            gone = error
            yield Probed(metric, None, error)
        except PrometheusError as error:
            yield Probed(metric, None, error)
