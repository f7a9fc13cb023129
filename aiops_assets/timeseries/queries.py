"""What follows from a metric's query: how long a point settles, what people should know of it, and how it is sent.

Apart from the catalogue, since models read that: a change in how queries are sent must not train them again.
"""

import math
from dataclasses import replace

from aiops_assets.timeseries.catalog import MetricSpec
from aiops_assets.timeseries.matchers import with_matchers
from aiops_assets.timeseries.promql import rate_ranges, reach_seconds

SCRAPES_OF_A_RATE = 4
"""A rate over fewer scrapes has holes as soon as one is missed or late."""
MIN_SCRAPES = 2
"""A rate over less than so many scrape intervals holds a single sample at most instants, and is empty there."""


def settle_seconds(metric: MetricSpec) -> int:
    """How old a point must be to be right: a rate decays until its window holds all scrapes.

    Two scrapes and 30 s, or the longest range in the query (``[5m]``, that of a subquery, too), whichever is longer,
    and as much more as an offset looks into the future.
    """
    longest, ahead = reach_seconds(metric.promql)
    return math.ceil(max(2 * metric.scrape_seconds + 30, longest) + ahead)


def notes_on_query(metric: MetricSpec) -> tuple[str, ...]:
    """What people should know of a metric's query: rates over fewer than four scrapes, each in one line."""
    return tuple(
        f"{rate} has holes where scrapes are {metric.scrape_seconds} s apart and one is late: take "
        f"[{SCRAPES_OF_A_RATE * metric.scrape_seconds}s], or set PROMETHEUS_SCRAPE_INTERVAL if it is shorter"
        for rate in dict.fromkeys(rate_ranges(metric.promql))
        if rate.seconds < SCRAPES_OF_A_RATE * metric.scrape_seconds
    )


def queried(metric: MetricSpec, matchers: str, scrape_seconds: int) -> MetricSpec:
    """A metric with label matchers in each selector of its queries, and with a scrape interval.

    Raises:
        SettingsError: the matchers cannot be put into its query or its count.
    """
    promql = with_matchers(metric.promql, matchers)
    count = with_matchers(metric.count, matchers) if metric.count else ""
    found = replace(metric, promql=promql, count=count, scrape_seconds=scrape_seconds)
    return metric if found == metric else found
