"""The lake: what was fetched, a Parquet file per cluster, metric, query and UTC day.

The query is part of the path: a changed query is a new series, never mixed with the old one. A day grows by
:meth:`Lake.upsert_day`, also when several processes write it at the same time.
"""

import hashlib
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime

import pandas as pd
from pydantic import ValidationError

from aiops_assets.errors import ConflictError, IntegrityError, NotFoundError
from aiops_assets.storage import day_file
from aiops_assets.storage.day_file import DaySamples
from aiops_assets.storage.day_state import DayState
from aiops_assets.storage.records import Record
from aiops_assets.storage.storage import Storage
from aiops_assets.timeseries.catalog import MetricSpec
from aiops_assets.timeseries.matchers import with_matchers

ATTEMPTS = 10
"""How often a write is tried when another process writes the same day."""


@dataclass(frozen=True)
class StoredQuery:
    """A metric and the query with which it was once fetched; the catalogue may have another query by now, or none."""

    name: str
    promql: str


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
        closed: the day is complete and will not be requested again.
        revised: number of values that later fetches changed, summed over fetches.
        source: "prometheus" or "thanos": which server the newest samples came from.
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

    @property
    def coverage(self) -> float:
        """The share (0 to 1) of the requested instants at which any series has a sample."""
        return self.got / self.expected if self.expected else 0.0

    @property
    def requested_until(self) -> datetime:
        """``fetched_until`` as a time."""
        return datetime.fromisoformat(self.fetched_until)


class FetchOutcome(Record):
    """How the last fetch ended, with success or failure.

    Attributes:
        when: ISO time.
        reached: whether the server answered.
        problem: what went wrong; empty after a success.
        run_id: the Dagster run that fetched.
        server: host:port, never more of the URL.
        first_day, last_day: ends of the requested days, ISO, both inclusive.
    """

    when: str
    reached: bool
    problem: str
    run_id: str
    server: str
    first_day: str
    last_day: str

    def requested(self, day: date) -> bool:
        """Whether the fetch requested a day."""
        return self.first_day <= day.isoformat() <= self.last_day


class Lake:
    """Days of metrics of one cluster."""

    def __init__(self, storage: Storage, cluster: str, matchers: str = "") -> None:
        """Look at the days of a cluster.

        Args:
            storage: where they are stored.
            cluster: name of the cluster.
            matchers: label matchers with which every query is sent (PROMETHEUS_MATCHER): they belong to the query, so
                that days with other ones are another series.
        """
        self.storage = storage
        self.cluster = cluster
        self._matchers = matchers

    def upsert_day(
        self,
        metric: MetricSpec,
        day: date,
        wide: pd.DataFrame,
        *,
        fetched: datetime,
        fetched_until: datetime,
        closed: bool,
        source: str = "prometheus",
    ) -> tuple[DayInfo | None, int]:
        """Merge samples into a day, by (series, time): the new value wins, no new value keeps the stored one.

        A file that is damaged or has another step is replaced. Two writers at once are safe: the samples of both
        are in the file.

        Args:
            metric: the metric that was fetched.
            day: UTC day.
            wide: (instants, series) float64; index of instants of the day's grid, a column a series named by
                its labels as JSON; NaN: no sample.
            fetched: time of the fetch.
            fetched_until: end (exclusive) of what was requested; a later end that is stored already stays.
            closed: whether the day is complete and will not be requested again.
            source: which server the samples come from.

        Returns:
            the file's metadata after the write, and how many stored values this call changed. ``None`` when there
            is no sample and no stored day: nothing is written, or the empty day would count as fetched.

        Raises:
            SchemaError: instants off the day's grid, or two series of one name.
            ConflictError: other writers changed the day in each of ``ATTEMPTS`` attempts.
        """
        new = day_file.from_wide(wide, day, metric.step_seconds)
        until = min(day_file.microseconds(fetched_until), new.end)
        for _ in range(ATTEMPTS):
            data, stored, known = self._stored(metric, day)
            if stored is None and not new.names:
                return None, 0
            merged, revised = (new, 0) if stored is None else stored.updated(new)
            requested_until = max(until, day_file.microseconds(known.requested_until) if known else until)
            info = _describe(
                metric,
                day,
                merged,
                requested_until,
                query=self._query(metric),
                fetched=fetched.astimezone(UTC).isoformat() if new.names or known is None else known.fetched,
                closed=closed,
                revised=revised + (known.revised if known else 0),
                source=source if new.names or known is None else known.source,
            )
            try:
                self.storage.compare_and_swap(self._path(metric, day), data, day_file.encode(merged, info.to_bytes()))
            except ConflictError:
                continue
            return info, revised
        where = self.storage.locate(self._path(metric, day))
        raise ConflictError(
            f"{where} was changed by others {ATTEMPTS} times in a row: fetch the day again",
            code="changed_all_the_time",
            attempts=ATTEMPTS,
        )

    def read_day(self, metric: MetricSpec | StoredQuery, day: date) -> tuple[pd.DataFrame, DayInfo]:
        """The samples and the metadata of a stored day.

        Returns:
            (instants, series) float64: the index ``timestamp`` has the instants (UTC, us) at which any series
            has a sample, the columns are the series' names, sorted; NaN where a series has none.

        Raises:
            NotFoundError: the day was never fetched with this query.
            IntegrityError: the file is damaged, its rows do not have the recorded digest, or the catalogue has
                another step for the metric by now.
        """
        stored, info = self._decode(metric, day, self._read(metric, day))
        return stored.to_wide(), info

    def info(self, metric: MetricSpec | StoredQuery, day: date) -> DayInfo | None:
        """The metadata of a day, without reading its rows; ``None`` when the day is not stored.

        Raises:
            IntegrityError: the file cannot be read.
        """
        try:
            data = self._read(metric, day)
        except NotFoundError:
            return None
        try:
            return DayInfo.model_validate_json(day_file.decode_metadata(data))
        except (IntegrityError, ValidationError) as error:
            raise self._damaged(metric, day, error) from None

    def days(self, metric: MetricSpec | StoredQuery) -> list[date]:
        """Stored days of a metric's present query, ascending."""
        names = self.storage.names(self._folder(metric))
        days = []
        for name in names:
            with suppress(ValueError):  # a file that is not ours
                days.append(datetime.strptime(name, "day=%Y-%m-%d.parquet").date())
        return sorted(days)

    def sweep(self, metric: MetricSpec) -> None:
        """Remove what killed writers left beside a metric's days."""
        self.storage.sweep(self._folder(metric))

    def note_fetch(self, outcome: FetchOutcome) -> None:
        """Store how a fetch ended; it replaces the outcome of the fetch before."""
        self.storage.write(self._outcome_path(), outcome.to_bytes())

    def last_fetch(self) -> FetchOutcome | None:
        """How the last fetch ended; ``None`` before the first.

        Raises:
            IntegrityError: the record cannot be read.
        """
        try:
            return FetchOutcome.model_validate_json(self.storage.read(self._outcome_path()))
        except NotFoundError:
            return None
        except ValidationError:
            raise IntegrityError(
                f"{self.storage.locate(self._outcome_path())} is not a valid record: the next fetch replaces it",
                code="invalid_outcome",
            ) from None

    def _stored(self, metric: MetricSpec, day: date) -> tuple[bytes | None, DaySamples | None, DayInfo | None]:
        """The file's bytes for compare-and-swap, and its samples and metadata, which are ``None`` if it is damaged."""
        try:
            data = self._read(metric, day)
        except NotFoundError:
            return None, None, None
        try:
            return data, *self._decode(metric, day, data)
        except IntegrityError:
            return data, None, None

    def _read(self, metric: MetricSpec | StoredQuery, day: date) -> bytes:
        try:
            return self.storage.read(self._path(metric, day))
        except NotFoundError:
            raise NotFoundError(f"{metric.name} of {day}: not in the lake; materialize raw_metrics for it") from None

    def _decode(self, metric: MetricSpec | StoredQuery, day: date, data: bytes) -> tuple[DaySamples, DayInfo]:
        try:
            info = DayInfo.model_validate_json(day_file.decode_metadata(data))
            if isinstance(metric, MetricSpec) and info.step_seconds != metric.step_seconds:
                raise IntegrityError(
                    f"it has a step of {info.step_seconds} s, not {metric.step_seconds} s", code="other_step"
                )
            stored = day_file.decode(data, day, info.step_seconds)
            if stored.digest != info.digest:
                raise IntegrityError("its rows differ from the recorded digest", code="changed_rows")
        except (IntegrityError, ValidationError) as error:
            raise self._damaged(metric, day, error) from None
        return stored, info

    def _damaged(self, metric: MetricSpec | StoredQuery, day: date, error: Exception) -> IntegrityError:
        where = self.storage.locate(self._path(metric, day))
        what = error if isinstance(error, IntegrityError) else "its metadata are of another kind"
        return IntegrityError(f"{where} is damaged ({what}): fetch the day again", code="damaged_day", day=day)

    def _folder(self, metric: MetricSpec | StoredQuery) -> str:
        query = hashlib.blake2b(self._query(metric).encode(), digest_size=4).hexdigest()
        return f"lake/cluster={self.cluster}/metric={metric.name}/query={query}"

    def _query(self, metric: MetricSpec | StoredQuery) -> str:
        """The query as it is sent; a stored one is as it was sent."""
        return with_matchers(metric.promql, self._matchers) if isinstance(metric, MetricSpec) else metric.promql

    def _path(self, metric: MetricSpec | StoredQuery, day: date) -> str:
        return f"{self._folder(metric)}/day={day.isoformat()}.parquet"

    def _outcome_path(self) -> str:
        return f"lake/cluster={self.cluster}/last_fetch.json"


def _describe(
    metric: MetricSpec,
    day: date,
    samples: DaySamples,
    requested_until: int,
    *,
    query: str,
    fetched: str,
    closed: bool,
    revised: int,
    source: str,
) -> DayInfo:
    """The metadata of a day file; ``requested_until`` is an exclusive end, Unix microseconds."""
    return DayInfo(
        metric=metric.name,
        day=day.isoformat(),
        query=query,
        unit=metric.unit,
        step_seconds=metric.step_seconds,
        digest=samples.digest,
        series=len(samples.names),
        samples=samples.count,
        got=int(samples.covered.sum()),
        expected=samples.points_until(requested_until),
        reason=DayState.of(samples, requested_until, closed).text,
        fetched=fetched,
        fetched_until=day_file.time_at(requested_until).isoformat(),
        closed=closed,
        revised=revised,
        source=source,
    )
