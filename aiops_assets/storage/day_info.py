"""The metadata of a day file of the lake."""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from aiops_assets.storage import day_file
from aiops_assets.storage.day_file import DaySamples
from aiops_assets.storage.day_state import DayState
from aiops_assets.storage.records import Record
from aiops_assets.timeseries.catalog import MetricSpec
from aiops_assets.timeseries.completeness import TOLERATED_SHARE


@dataclass(frozen=True)
class StoredQuery:
    """A metric and the query with which it was once fetched; the catalogue may have another query by now, or none."""

    name: str
    promql: str


def query_digest(promql: str) -> str:
    """What a query is called in the paths of its days."""
    return hashlib.blake2b(promql.encode(), digest_size=4).hexdigest()


class DayInfo(Record):
    """The metadata of a day file.

    Attributes:
        metric: name of the metric.
        day: UTC day, ISO.
        query: PromQL.
        unit: unit of the values.
        step_seconds: distance of two instants, seconds.
        digest: digest of the rows, 32 hex digits (:func:`aiops_assets.storage.day_file.wide_digest`).
        series: number of series, each with a sample.
        samples: number of stored values.
        got: instants of the day's grid at which any series has a sample.
        expected: instants of the grid up to ``fetched_until``.
        reason: "complete", or why ``got`` is less than ``expected`` or the day is still open.
        fetched: ISO time of the last fetch.
        fetched_until: ISO time, exclusive: the end of what was requested so far.
        closed: the day will not be requested again.
        revised: number of values that later fetches changed or removed, summed over fetches.
        source: "prometheus" or "thanos": which server the newest samples came from.
        wanted: number of samples that should be there up to ``fetched_until``: instants times series that live or that
            the server counted; 0 in files of an earlier release.
        incomplete_since: ISO time of the first fetch whose answer lacked series; empty: the newest one did not.
        lacking: share (0 to 1) of the series, of those that the server counted or had before, without a sample.
        outside: number of samples that were not stored, because no true value is outside the metric's bounds.
        cluster_id: which cluster the samples are of (:mod:`aiops_assets.datasets.identity`); empty: not known.
    """

    metric: str
    day: str
    query: str
    unit: str
    step_seconds: int
    digest: str
    series: int
    samples: int
    got: int
    expected: int
    reason: str
    fetched: str
    fetched_until: str
    closed: bool
    revised: int
    source: str
    wanted: int = 0
    incomplete_since: str = ""
    lacking: float = 0.0
    outside: int = 0
    cluster_id: str = ""

    @property
    def coverage(self) -> float:
        """The share (0 to 1) of the samples that should be there by now; of instants where that is not known."""
        instants = self.got / self.expected if self.expected else 0.0
        return min(instants, self.samples / self.wanted) if self.wanted else instants

    @property
    def covered(self) -> float:
        """Number of requested instants times the share of their samples that is there."""
        return self.expected * self.coverage

    @property
    def requested_until(self) -> datetime:
        """``fetched_until`` as a time."""
        return datetime.fromisoformat(self.fetched_until)


def incomplete_since(lacking: float, known: DayInfo | None, fetched: datetime) -> str:
    """Since when the answers for a day lack series, ISO time; empty where the present one lacks none."""
    if lacking <= TOLERATED_SHARE:
        return ""
    return (known.incomplete_since if known else "") or fetched.astimezone(UTC).isoformat()


def describe(metric: MetricSpec, samples: DaySamples, state: DayState, requested_until: int, **facts: Any) -> DayInfo:
    """The metadata of a day file; ``requested_until`` is an exclusive end, Unix microseconds."""
    return DayInfo(
        metric=metric.name,
        day=day_file.time_at(samples.begin).date().isoformat(),
        unit=metric.unit,
        step_seconds=metric.step_seconds,
        digest=samples.digest,
        series=len(samples.names),
        samples=samples.count,
        got=int(samples.covered.sum()),
        expected=samples.points_until(requested_until),
        reason=state.text,
        fetched_until=day_file.time_at(requested_until).isoformat(),
        closed=state.is_closed,
        lacking=state.lacking,
        **facts,
    )
