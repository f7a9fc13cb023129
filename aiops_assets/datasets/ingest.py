"""Fetching: which instants of which days are requested of a server, and how the answers become days of the lake.

The newest instants change until they have settled, and some samples arrive late. So nothing younger than a metric's
settle time is requested, every fetch requests the last hour again, and a day closes when both have passed its end.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pandas as pd

from aiops_assets.datasets.wrong_series import drop_wrong, of_metric
from aiops_assets.errors import IntegrityError, NotFoundError, PrometheusError, PrometheusUnreachable
from aiops_assets.prometheus.client import PrometheusClient
from aiops_assets.storage.day_info import DayInfo
from aiops_assets.storage.day_state import Expectation
from aiops_assets.storage.lake import Lake
from aiops_assets.timeseries.catalog import MetricSpec
from aiops_assets.timeseries.quality import outside_mask
from aiops_assets.timeseries.queries import notes_on_query, settle_seconds
from aiops_assets.timeseries.series import DAY_SECONDS, EPOCH, Floats

DAY = timedelta(days=1)
OVERLAP = timedelta(hours=1)
"""The newest part of fetched samples that is requested again: some arrive late (sidecars, remote write)."""
MAX_OUTSIDE_SHARE = 0.1
"""An answer of which a larger share cannot be true has another unit, or belongs to another query."""
LIVE = timedelta(hours=2)
"""A span up to this length is one request for any number of series, so that they are not counted first."""


@dataclass(frozen=True)
class Progress:
    """A day is done: its position among the days requested of this server, and the number of samples in its file."""

    metric: str
    day: date
    days_done: int
    days_requested: int
    samples: int


@dataclass(frozen=True)
class MetricFetch:
    """The result of fetching one metric.

    Attributes:
        metric: the fetched metric.
        infos: day -> metadata of its file after the fetch; ``None``: the day has no sample, or lies in the future.
        requested: number of instants requested, of both servers together.
        fetched: days whose file was written.
        revised: number of stored values that changed.
        damaged: messages about damaged files that were fetched again.
        not_finite: number of NaN and infinite samples in the answers.
        outside: day -> number of its samples that were not stored, because they are outside the metric's bounds.
        behind: by how much, at least, the newest sample is older than the newest instant that was requested, where that
            is of the present; ``None``: nothing of the present was requested, or no day has a sample.
        archive_away: why the archive was not queried for days that the server no longer has; they stay open.
        notes: remarks on the query, the server's (PromQL infos) and ours, each once; the data are whole.
    """

    metric: MetricSpec
    infos: dict[date, DayInfo | None]
    requested: int
    fetched: tuple[date, ...]
    revised: int
    damaged: tuple[str, ...]
    not_finite: int
    outside: Mapping[date, int] = field(default_factory=dict)
    behind: timedelta | None = None
    archive_away: str = ""
    notes: tuple[str, ...] = ()

    @property
    def incomplete(self) -> dict[date, float]:
        """Day -> share (0 to 1) of the series that its newest answer lacked; days that lack none are left out."""
        return {day: info.lacking for day, info in self.infos.items() if info and info.lacking}


def ignore(_: object) -> None:
    """The default listener, which does nothing."""


def ingest_metric(
    client: PrometheusClient,
    lake: Lake,
    metric: MetricSpec,
    days: Sequence[date],
    now: datetime,
    *,
    archive: PrometheusClient | None = None,
    archive_away: str = "",
    refetch: bool = False,
    cluster_id: str = "",
    check_archive: Callable[[PrometheusClient], None] = ignore,
    on_progress: Callable[[Progress], None] = ignore,
) -> MetricFetch:
    """Update days of a metric up to ``now``, and request only what the lake lacks.

    A closed day is not requested again, but its file is read: a damaged one is fetched anew. A day is written as soon
    as its last samples are there, so that an interrupted fetch resumes at the first day that it did not finish.

    A day whose answer lacks series stays open and is requested again as a whole. What it should hold is known from
    the days of the metric's companion, which is fetched first for that reason, and from what is stored.

    Args:
        client: the server.
        lake: the lake that stores the days.
        metric: the metric, with its query and step.
        days: UTC days; future ones are skipped.
        now: present time, with time zone; nothing after ``now`` less the metric's settle time is requested.
        archive: a server with more history. Past days that begin without a sample are requested of it as a whole;
            they stay open until it has answered. If it cannot be reached, the fetch goes on without it.
        archive_away: why the archive cannot be used this time; days for which it would be needed stay open.
        refetch: request all instants of each day, also of closed ones: samples may have arrived hours late. What is
            stored and not in a complete answer is removed.
        cluster_id: which cluster the server is of, for the records.
        check_archive: called before the archive is queried; raises where it is of another cluster.
        on_progress: called after each finished day.

    Raises:
        PrometheusError: there is no usable answer, or one whose series are not those of the metric; finished days are
            stored.
        StoreError: the lake cannot be read or written.
        ValueError: ``now`` has no time zone.
    """
    if now.tzinfo is None:
        raise ValueError(f"{now}: give a time with a time zone")
    lake.sweep(metric)
    ingest = _Ingest(lake, metric, now, on_progress, cluster_id, refetch)
    windows = ingest.plan(sorted(set(days)), refetch)
    truncated = ingest.fetch(client, windows, "prometheus", keep_open=archive is not None)
    if archive is not None and truncated and not archive_away:
        archive_away = ingest.fetch_from_archive(archive, truncated, check_archive)
    return MetricFetch(
        metric=metric,
        infos=ingest.infos,
        requested=ingest.requested,
        fetched=tuple(sorted(ingest.fetched)),
        revised=ingest.revised,
        damaged=tuple(ingest.damaged),
        not_finite=ingest.not_finite,
        outside=ingest.outside,
        behind=ingest.behind(windows),
        archive_away=archive_away if truncated else "",
        notes=tuple(dict.fromkeys((*notes_on_query(metric), *ingest.notes))),
    )


@dataclass(frozen=True)
class _Window:
    """The part [start, end) of one day that is requested.

    Attributes:
        closing: the day closes with the answer.
        begun: the stored day has a sample at midnight.
        series: number of series of the stored day.
    """

    day: date
    start: datetime
    end: datetime
    closing: bool
    begun: bool
    series: int


@dataclass
class _Ingest:
    """One metric's fetch while it runs."""

    lake: Lake
    metric: MetricSpec
    now: datetime
    on_progress: Callable[[Progress], None]
    cluster_id: str = ""
    refetch: bool = False
    infos: dict[date, DayInfo | None] = field(default_factory=dict)
    damaged: list[str] = field(default_factory=list)
    fetched: set[date] = field(default_factory=set)
    requested: int = 0
    revised: int = 0
    not_finite: int = 0
    outside: dict[date, int] = field(default_factory=dict)
    lost: float = 0.0
    newest: datetime | None = None
    notes: list[str] = field(default_factory=list)

    def plan(self, days: Sequence[date], refetch: bool) -> list[_Window]:
        """The windows to request, in order of time; stored days are verified on the way."""
        settle = timedelta(seconds=settle_seconds(self.metric))
        edge = self._floor(self.now - settle)
        windows = []
        for day in days:
            begin = start = _midnight(day)
            end = min(begin + DAY, edge)
            if refetch:
                drop_wrong(self.lake, self.metric, day)
            begun, whole_until, info = self._stored(day)
            self.infos[day] = info
            if info is not None and not refetch:
                if info.closed:
                    continue
                if not info.incomplete_since:
                    start = max(begin, self._floor(whole_until - OVERLAP))
            if start < end:
                closing = end == begin + DAY and self.now > end + settle + OVERLAP
                windows.append(_Window(day, start, end, closing, begun, info.series if info else 0))
        return windows

    def fetch(
        self, client: PrometheusClient, windows: Sequence[_Window], source: str, *, keep_open: bool
    ) -> list[_Window]:
        """Request windows of a server and store the answers.

        Returns:
            the closing windows whose day has no sample at midnight, because the server no longer has it or never had
            it. With ``keep_open`` these days stay open.
        """
        spans = _spans(windows)
        series = self._count_series(client, spans)
        self.lost = 0.0  # what another server lacked says nothing about this one
        truncated = []
        done = 0
        for span in spans:
            for window, frame in self._answers(client, span, series):
                begun = window.begun or bool(frame.loc[frame.index == _midnight(window.day)].notna().to_numpy().any())
                if window.closing and not begun:
                    truncated.append(window)
                self._store(window, frame, source, closed=window.closing and (begun or not keep_open))
                del frame
                done += 1
                info = self.infos[window.day]
                samples = info.samples if info else 0
                self.on_progress(Progress(self.metric.name, window.day, done, len(windows), samples))
        return truncated

    def behind(self, windows: Sequence[_Window]) -> timedelta | None:
        """By how much, at least, the newest sample is older than the newest instant that was requested."""
        end = max((window.end for window in windows), default=None)
        edge = self._floor(self.now - timedelta(seconds=settle_seconds(self.metric)))
        if end is None or end < edge or not any(self.infos.values()):
            return None
        # Where no answer has a sample, the newest stored one lies before the last window.
        newest = self.newest or max(window.start for window in windows)
        return end - timedelta(seconds=self.metric.step_seconds) - newest

    def fetch_from_archive(
        self, archive: PrometheusClient, truncated: Sequence[_Window], check: Callable[[PrometheusClient], None]
    ) -> str:
        """Request whole days of the archive; why it could not be reached, empty if it was.

        Raises:
            PrometheusError: there is no usable answer; the message names the archive's setting.
        """
        whole = [replace(window, start=_midnight(window.day)) for window in truncated]
        try:
            check(archive)
            self.fetch(archive, whole, "thanos", keep_open=False)
        except PrometheusUnreachable as error:
            return str(error).replace("PROMETHEUS_URL", "THANOS_URL")
        except PrometheusError as error:
            text = str(error).replace("PROMETHEUS_URL", "THANOS_URL")
            raise type(error)(text, code=error.code, **error.facts) from error
        return ""

    def _stored(self, day: date) -> tuple[bool, datetime, DayInfo | None]:
        """Whether the stored day has a sample at midnight, until when it is complete, and its metadata.

        It is complete until the first gap after its first sample: samples of a gap may have arrived since.
        """
        begin = _midnight(day)
        try:
            info = self.lake.verify_day(self.metric, day)
            if info.closed and not self.refetch:
                return True, info.requested_until, info
            wide, info = self.lake.read_day(self.metric, day)
        except NotFoundError:
            return False, begin, None
        except IntegrityError as error:
            self.damaged.append(str(error))
            return False, begin, None
        if not len(wide):
            return False, begin, info
        step = timedelta(seconds=self.metric.step_seconds)
        gaps = (wide.index[1:] - wide.index[:-1] > step).nonzero()[0]
        last = wide.index[gaps[0]] if len(gaps) else wide.index[-1]
        return wide.index[0] == begin, min(last.to_pydatetime() + step, info.requested_until), info

    def _answers(
        self, client: PrometheusClient, span: Sequence[_Window], series: int
    ) -> Iterator[tuple[_Window, pd.DataFrame]]:
        """Each of adjacent windows with its frame, as soon as its last part has arrived."""
        pending = list(reversed(span))
        parts: list[pd.DataFrame] = []
        stream = client.stream(self.metric.promql, span[0].start, span[-1].end, self.metric.step_seconds, series=series)
        for chunk, frame in stream:
            self.requested += len(frame)
            self.not_finite += int(frame.attrs.get("not_finite", 0))
            self.notes += [note for note in frame.attrs.get("notes", ()) if note not in self.notes]
            chunk_end = EPOCH + timedelta(seconds=chunk.end)
            while pending and pending[-1].start < chunk_end:
                window = pending[-1]
                first, stop = (frame.index.searchsorted(pd.Timestamp(time)) for time in (window.start, window.end))
                parts.append(frame.iloc[first:stop])
                if window.end > chunk_end:
                    break
                pending.pop()
                whole = parts[0] if len(parts) == 1 else pd.concat(parts)
                parts = []  # a day of many pods is large: not kept beside the whole
                yield window, whole

    def _store(self, window: _Window, frame: pd.DataFrame, source: str, *, closed: bool) -> None:
        frame = of_metric(self.metric, frame)
        there = np.flatnonzero(frame.notna().to_numpy().any(axis=1))
        if len(there):
            self.newest = max(self.newest or EPOCH, frame.index[there[-1]].to_pydatetime())
        wrong = outside_mask(frame.to_numpy(), self.metric)
        if n_wrong := int(wrong.sum()):
            self.outside[window.day] = self.outside.get(window.day, 0) + n_wrong
            # Of an answer in another unit, the values that happen to be inside are no samples either.
            is_other_unit = n_wrong > MAX_OUTSIDE_SHARE * int(frame.notna().to_numpy().sum())
            frame = frame.mask(wrong | is_other_unit)
        info, revised = self.lake.upsert_day(
            self.metric,
            window.day,
            frame,
            fetched=self.now,
            fetched_until=window.end,
            closed=closed,
            source=source,
            expectation=Expectation(self._counted(window), self.lost),
            replace=self.refetch,
            outside=n_wrong,
            cluster_id=self.cluster_id,
        )
        self.infos[window.day] = info
        self.revised += revised
        if info is not None:
            self.fetched.add(window.day)
            self.lost = max(self.lost, info.lacking)

    def _counted(self, window: _Window) -> Floats:
        """(n_instants,) number of series that the server counted; NaN after the end of the window and where unknown."""
        step = self.metric.step_seconds
        begin, n_instants = _midnight(window.day), DAY_SECONDS // step
        counted = np.full(n_instants, np.nan)
        if not self.metric.counts_series:
            return counted
        try:
            wide = self.lake.read_day(self.metric.members, window.day)[0]
        except (NotFoundError, IntegrityError):  # a damaged file is fetched anew with the companion itself
            return counted
        if wide.shape[1] != 1:
            return counted
        instants = pd.DatetimeIndex(wide.index)
        seconds = ((instants - pd.Timestamp(begin)) // pd.Timedelta(seconds=1)).to_numpy()
        kept = (seconds % step == 0) & np.asarray(instants < pd.Timestamp(window.end))
        counted[seconds[kept] // step] = wide.to_numpy()[kept, 0]
        return counted

    def _count_series(self, client: PrometheusClient, spans: Sequence[Sequence[_Window]]) -> int:
        """Expected number of series, which decides the size of requests; queried once, and only for a long span."""
        known = max((window.series for span in spans for window in span), default=0)
        long = [span for span in spans if span[-1].end - span[0].start > LIVE]
        if not long:
            return max(1, known)
        step = timedelta(seconds=self.metric.step_seconds)
        counted = client.count_series(self.metric.promql, long[-1][-1].end - step)
        # Series that have ended by now may exist on old days, whose answers would otherwise be one large piece.
        return max(1, known, counted or client.count_series(self.metric.promql, long[0][0].start))

    def _floor(self, time: datetime) -> datetime:
        step = timedelta(seconds=self.metric.step_seconds)
        return EPOCH + (time - EPOCH) // step * step


def _spans(windows: Sequence[_Window]) -> list[list[_Window]]:
    """Lists of adjacent windows, each of which is one stream."""
    spans: list[list[_Window]] = []
    for window in windows:
        if spans and spans[-1][-1].end == window.start:
            spans[-1].append(window)
        else:
            spans.append([window])
    return spans


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
