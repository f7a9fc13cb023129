"""The lake: what was fetched, a Parquet file per cluster, metric, query and UTC day.

The query is part of the path: a changed query has files of its own. A day grows by
:meth:`Lake.upsert_day`, also when several processes write it at the same time.
"""

from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta

import pandas as pd
from pydantic import ValidationError

from aiops_assets.errors import ConflictError, IntegrityError, NotFoundError
from aiops_assets.storage import day_file, day_parquet
from aiops_assets.storage.day_file import DaySamples
from aiops_assets.storage.day_info import DayInfo, StoredQuery, describe, incomplete_since, query_digest
from aiops_assets.storage.day_state import DayState, Expectation
from aiops_assets.storage.fetch_outcome import FetchOutcome as FetchOutcome
from aiops_assets.storage.intact import Entry, IntactFiles
from aiops_assets.storage.storage import Storage
from aiops_assets.timeseries.catalog import MetricSpec
from aiops_assets.timeseries.matchers import with_matchers

ATTEMPTS = 10
"""How often a write is tried when another process writes the same day."""
PATIENCE = timedelta(hours=24)
"""A day whose answers lack series for so long, and bring nothing new, closes as it is: the server has no more."""


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
        self.matchers = matchers
        self.intact = IntactFiles(storage, self.folder)

    @property
    def folder(self) -> str:
        """Folder of all days of the cluster, relative to the storage."""
        return f"lake/cluster={self.cluster}"

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
        expectation: Expectation | None = None,
        replace: bool = False,
        outside: int = 0,
        cluster_id: str = "",
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
            closed: whether the day may close. One whose answer lacks series stays open, until the server has given
                the same answer for :data:`PATIENCE`.
            source: which server the samples come from.
            expectation: what the answer should hold; without it nothing is lacking.
            replace: remove stored samples that the answer lacks, where it has others of the same instant and is
                complete.
            outside: number of samples of the answer that were left out, because they cannot be true.
            cluster_id: which cluster the samples are of.

        Returns:
            the file's metadata after the write, and how many stored values this call changed. ``None`` when there
            is no sample and no stored day: nothing is written, or the empty day would count as fetched.

        Raises:
            SchemaError: instants off the day's grid, or two series of one name.
            ConflictError: other writers changed the day in each of ``ATTEMPTS`` attempts.
        """
        new = day_file.from_wide(wide, day, metric.step_seconds)
        until = min(day_file.microseconds(fetched_until), new.end)
        expectation = expectation or Expectation.nothing(new)
        for _ in range(ATTEMPTS):
            data, stored, known = self._stored(metric, day)
            if stored is None and not new.names:
                return None, 0
            removes = replace and not expectation.is_contradicted_by(new)
            update = (stored or DaySamples.empty(new)).updated(new, replace=removes)
            lacking = max(expectation.lacking(update.samples), 0.0 if removes else expectation.lost(update))
            news = update.revised or stored is None or update.samples.count > stored.count
            requested_until = max(until, day_file.microseconds(known.requested_until) if known else until)
            since = incomplete_since(lacking, known, fetched)
            gives_up = bool(since) and not news and fetched - datetime.fromisoformat(since) >= PATIENCE
            stays = known is not None and not new.names
            info = describe(
                metric,
                update.samples,
                DayState.of(update.samples, requested_until, closed and (not since or gives_up), lacking),
                requested_until,
                query=self.query_of(metric),
                wanted=expectation.wanted(update.samples, requested_until),
                fetched=known.fetched if known and stays else fetched.astimezone(UTC).isoformat(),
                revised=update.revised + (known.revised if known else 0),
                source=known.source if known and stays else source,
                incomplete_since=since,
                outside=outside + (known.outside if known else 0),
                cluster_id=cluster_id or (known.cluster_id if known else ""),
            )
            try:
                content = day_parquet.encode(update.samples, info.to_bytes())
                signature = self.storage.compare_and_swap(self._path(metric, day), data, content)
            except ConflictError:
                continue
            entry = Entry(signature=signature, seal=day_parquet.seal_of(content), info=info)
            self.intact.note(self._path(metric, day), day, entry, is_checked=False)
            return info, update.revised
        raise self._changed_all_the_time(metric, day)

    def drop_series(self, metric: MetricSpec | StoredQuery, day: date, names: Collection[str]) -> DayInfo | None:
        """Remove series from a day, which then is open again: what the server has of it is requested anew.

        Args:
            metric: the metric and its query.
            day: UTC day.
            names: names of the series, as :meth:`read_day` has them; unknown ones are ignored.

        Returns:
            the metadata after the write; ``None``: no series was left, so that the day's file was removed.

        Raises:
            NotFoundError, IntegrityError: see :meth:`read_day`.
            ConflictError: other writers changed the day in each of ``ATTEMPTS`` attempts.
        """
        for _ in range(ATTEMPTS):
            data = self._read(metric, day)
            stored, info = self._decode(metric, day, data)
            left = stored.without(names)
            if len(left.names) == len(stored.names):
                return info
            try:
                if not left.names:
                    self.drop_day(metric, day)
                    return None
                revised = info.revised + stored.count - left.count
                info = info.model_copy(
                    update={
                        "digest": left.digest,
                        "series": len(left.names),
                        "samples": left.count,
                        "got": int(left.covered.sum()),
                        "wanted": 0,
                        "closed": False,
                        "revised": revised,
                        "reason": DayState.of(left, day_file.microseconds(info.requested_until), False).text,
                    }
                )
                self.storage.compare_and_swap(self._path(metric, day), data, day_parquet.encode(left, info.to_bytes()))
            except ConflictError:
                continue
            return info
        raise self._changed_all_the_time(metric, day)

    def drop_day(self, metric: MetricSpec | StoredQuery, day: date) -> None:
        """Remove a day of a metric; it counts as never fetched."""
        self.storage.remove(self._path(metric, day))

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

    def read_series(self, metric: MetricSpec, day: date, wanted: Callable[[str], bool]) -> pd.DataFrame:
        """The samples of some series of a stored day, as :meth:`read_day` has them; the others are not read.

        Args:
            metric: the metric and its query.
            day: UTC day.
            wanted: whether a series is wanted, by its name.

        Raises:
            NotFoundError, IntegrityError: see :meth:`read_day`. Of the whole file its seal is checked.
        """
        data = self._verified(metric, day)[0]
        try:
            return day_parquet.decode(data, day, metric.step_seconds, wanted).to_wide()
        except IntegrityError as error:
            raise self._damaged(metric, day, error) from None

    def read_blocks(self, metric: MetricSpec, day: date, wanted: Callable[[str], bool]) -> Iterator[DaySamples]:
        """The same as :meth:`read_series`, some series at a time. Raises as it does, before any of them or between."""
        data = self._verified(metric, day)[0]
        try:
            yield from day_parquet.decode_blocks(data, day, metric.step_seconds, wanted)
        except IntegrityError as error:
            raise self._damaged(metric, day, error) from None

    def count_samples(self, metric: MetricSpec, day: date) -> tuple[dict[str, int], DayInfo]:
        """Number of samples of each series of a stored day, and its metadata; the samples are not read.

        Raises:
            NotFoundError, IntegrityError: see :meth:`read_day`. Of the whole file its seal is checked.
        """
        data, info, _ = self._verified(metric, day)
        try:
            return day_parquet.count_samples(data), info
        except IntegrityError as error:
            raise self._damaged(metric, day, error) from None

    def verify_day(self, metric: MetricSpec, day: date) -> DayInfo:
        """The metadata of a stored day whose file is as it was written; its samples are not read.

        Raises:
            NotFoundError, IntegrityError: see :meth:`read_day`.
        """
        return self.fingerprint(metric, day)[0]

    def fingerprint(self, metric: MetricSpec, day: date) -> tuple[DayInfo, str]:
        """The metadata of a stored day and its seal, a digest of the whole file, which is as it was written.

        A file that is known by its signature (:mod:`aiops_assets.storage.intact`) is not read.

        Raises:
            NotFoundError, IntegrityError: see :meth:`read_day`.
        """
        known = self.intact.find(self._path(metric, day), day)[1]
        if known and known.entry.info.step_seconds == metric.step_seconds:
            return known.entry.info, known.entry.seal
        return self._verified(metric, day)[1:]

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
            return DayInfo.model_validate_json(day_parquet.decode_metadata(data))
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

    def _changed_all_the_time(self, metric: MetricSpec | StoredQuery, day: date) -> ConflictError:
        where = self.storage.locate(self._path(metric, day))
        return ConflictError(
            f"{where} was changed by others {ATTEMPTS} times in a row: fetch the day again",
            code="changed_all_the_time",
            attempts=ATTEMPTS,
        )

    def _read(self, metric: MetricSpec | StoredQuery, day: date) -> bytes:
        try:
            return self.storage.read(self._path(metric, day))
        except NotFoundError:
            raise NotFoundError(f"{metric.name} of {day}: not in the lake; materialize raw_metrics for it") from None

    def _verified(self, metric: MetricSpec, day: date) -> tuple[bytes, DayInfo, str]:
        """A file, its metadata and its seal, which is right, or, where an earlier release wrote none, all rows are."""
        path = self._path(metric, day)
        # Found before the content is read: a change in between leaves an old signature, and the seal is checked again.
        signature, known = self.intact.find(path, day)
        data = self._read(metric, day)
        if known and known.is_checked:
            return data, self._metadata(metric, day, data), known.entry.seal
        try:
            is_sealed = day_parquet.is_sealed(data)
        except IntegrityError as error:
            raise self._damaged(metric, day, error) from None
        info = self._metadata(metric, day, data) if is_sealed else self._decode(metric, day, data)[1]
        seal = day_parquet.seal_of(data)
        self.intact.note(path, day, Entry(signature=signature, seal=seal, info=info), is_checked=True)
        return data, info, seal

    def _metadata(self, metric: MetricSpec | StoredQuery, day: date, data: bytes) -> DayInfo:
        try:
            info = DayInfo.model_validate_json(day_parquet.decode_metadata(data))
            if isinstance(metric, MetricSpec) and info.step_seconds != metric.step_seconds:
                raise IntegrityError(
                    f"it has a step of {info.step_seconds} s, not {metric.step_seconds} s", code="other_step"
                )
        except (IntegrityError, ValidationError) as error:
            raise self._damaged(metric, day, error) from None
        return info

    def _decode(self, metric: MetricSpec | StoredQuery, day: date, data: bytes) -> tuple[DaySamples, DayInfo]:
        info = self._metadata(metric, day, data)
        try:
            stored = day_parquet.decode(data, day, info.step_seconds)
            if stored.digest != info.digest:
                raise IntegrityError("its rows differ from the recorded digest", code="changed_rows")
        except IntegrityError as error:
            raise self._damaged(metric, day, error) from None
        return stored, info

    def _damaged(self, metric: MetricSpec | StoredQuery, day: date, error: Exception) -> IntegrityError:
        where = self.storage.locate(self._path(metric, day))
        what = error if isinstance(error, IntegrityError) else "its metadata are of another kind"
        return IntegrityError(f"{where} is damaged ({what}): fetch the day again", code="damaged_day", day=day)

    def _folder(self, metric: MetricSpec | StoredQuery) -> str:
        return f"{self.folder}/metric={metric.name}/query={query_digest(self.query_of(metric))}"

    def query_of(self, metric: MetricSpec | StoredQuery) -> str:
        """The query as it is sent; a stored one is as it was sent."""
        return with_matchers(metric.promql, self.matchers) if isinstance(metric, MetricSpec) else metric.promql

    def _path(self, metric: MetricSpec | StoredQuery, day: date) -> str:
        return f"{self._folder(metric)}/day={day.isoformat()}.parquet"

    def _outcome_path(self) -> str:
        return f"{self.folder}/last_fetch.json"
