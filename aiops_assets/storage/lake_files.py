"""Every day file of a cluster's lake, also those of queries and metrics that no catalogue has any more."""

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import date

from aiops_assets.errors import IntegrityError, NotFoundError
from aiops_assets.storage.lake import Lake
from aiops_assets.timeseries.catalog import MetricSpec

METRIC, QUERY = re.compile(r"metric=(.+)"), re.compile(r"query=([0-9a-f]+)")
DAY = re.compile(r"day=(\d{4}-\d\d-\d\d)\.parquet")


@dataclass(frozen=True, order=True)
class StoredDay:
    """A file of the lake.

    Attributes:
        day: UTC day.
        metric: name of the metric.
        query: digest of its query (:func:`aiops_assets.storage.day_info.query_digest`).
    """

    day: date
    metric: str
    query: str


def stored_days(lake: Lake) -> Iterator[StoredDay]:
    """All day files, by metric, query and day; what is not ours is left out."""
    storage, root = lake.storage, lake.folder
    for metric in filter(None, map(METRIC.fullmatch, storage.names(root))):
        for query in filter(None, map(QUERY.fullmatch, storage.names(f"{root}/{metric.group()}"))):
            for name in storage.names(f"{root}/{metric.group()}/{query.group()}"):
                if found := DAY.fullmatch(name):
                    with suppress(ValueError):  # 2026-02-30
                        yield StoredDay(date.fromisoformat(found[1]), metric[1], query[1])


def readable_days(lake: Lake, metric: MetricSpec) -> dict[date, MetricSpec]:
    """Days of a metric, ascending, each with the metric as it was requested for the file to read.

    Of a day that an earlier release's query has, too, the present query's file is read once it holds as much: at the
    edge of a server's retention it may have the last hours alone. A damaged file holds nothing.
    """
    found = {day: spec for spec in reversed(metric.former) for day in lake.days(spec)}
    for day in lake.days(metric):
        if day not in found or _covered(lake, metric, day) >= _covered(lake, found[day], day):
            found[day] = metric
    return dict(sorted(found.items()))


def _covered(lake: Lake, metric: MetricSpec, day: date) -> float:
    try:
        return lake.verify_day(metric, day).covered
    except (NotFoundError, IntegrityError):
        return 0.0


def remove(lake: Lake, stored: StoredDay) -> None:
    """Remove a day's file, and what its writers left beside it; it is no error if there is none."""
    folder = f"{lake.folder}/metric={stored.metric}/query={stored.query}"
    name = f"day={stored.day.isoformat()}.parquet"
    lake.storage.remove(f"{folder}/{name}")
    lake.storage.remove(f"{folder}/.{name}.lock")
    lake.intact.forget(stored.day)
