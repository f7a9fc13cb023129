"""Fetching: which instants of which days to ask a server for, and how the answers become days of the lake.

The newest instants are wrong on every fetch and late samples arrive, so nothing younger than a metric's settle
time is asked, every fetch asks the last hour again, and a day closes when both have passed over its end.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta

import pandas as pd

from aiops_assets.errors import IntegrityError, NotFoundError, PrometheusError, PrometheusUnreachable
from aiops_assets.prometheus.client import PrometheusClient
from aiops_assets.storage.lake import DayInfo, Lake
from aiops_assets.timeseries.catalog import MetricSpec
from aiops_assets.timeseries.series import EPOCH

DAY = timedelta(days=1)
OVERLAP = timedelta(hours=1)
"""How much of what was fetched is asked again: samples arrive late (sidecars, remote write)."""
LIVE = timedelta(hours=2)
"""A span this short is one request however many series there are: they are not counted first."""


@dataclass(frozen=True)
class Progress:
    """A day is done: the how-manieth of those asked of this server, and how many samples its file has now."""

    metric: str
    day: date
    days_done: int
    days_asked: int
    samples: int


@dataclass(frozen=True)
class MetricFetch:
    """What became of one metric.

    Attributes:
        metric: which.
        infos: every day that was to be fetched, as stored now; ``None``: no sample anywhere, or it is to come.
        asked: instants asked for, of both servers.
        fetched: days whose file was written.
        revised: points whose stored value changed.
        damaged: messages of stored files that were damaged and fetched again.
        not_finite: NaN and infinite samples in the answers.
        archive_away: why days that the server forgot were not asked of the archive; they stay open.
    """

    metric: MetricSpec
    infos: dict[date, DayInfo | None]
    asked: int
    fetched: tuple[date, ...]
    revised: int
    damaged: tuple[str, ...]
    not_finite: int
    archive_away: str = ""


def _ignore(progress: Progress) -> None:
    """The listener where nobody listens."""


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
    on_progress: Callable[[Progress], None] = _ignore,
) -> MetricFetch:
    """Bring days of a metric up to ``now``, asking for what the lake lacks only.

    A closed day is not asked again, but read: a damaged file is fetched anew. A day is written as soon as its
    last samples are there, so that a fetch that was cut short goes on at the first day it did not finish.

    Args:
        client: the server to ask.
        lake: where the days are.
        metric: which query, on which step.
        days: UTC days; days to come are left alone.
        now: with time zone; nothing after ``now`` less the metric's settle time is asked.
        archive: a server with more history. Days which are over and begin without a sample are asked of it,
            whole; they stay open until it has answered. One that cannot be reached does not stop the fetch.
        archive_away: why it is not asked this time, if so; what it would have been asked stays open.
        refetch: ask for the whole of each day, closed ones too: samples may have arrived late by hours.
        on_progress: called with every day that is done.

    Raises:
        PrometheusError: no answer that can be used; days that were finished are stored.
        StoreError: the lake cannot be read or written.
        ValueError: ``now`` has no time zone.
    """
    if now.tzinfo is None:
        raise ValueError(f"{now}: give a time with a time zone")
    lake.sweep(metric)
    ingest = _Ingest(lake, metric, now, on_progress)
    windows = ingest.plan(sorted(set(days)), refetch)
    truncated = ingest.fetch(client, windows, "prometheus", keep_open=archive is not None)
    if archive is not None and truncated and not archive_away:
        archive_away = ingest.fetch_from_archive(archive, truncated)
    return MetricFetch(
        metric=metric,
        infos=ingest.infos,
        asked=ingest.asked,
        fetched=tuple(sorted(ingest.fetched)),
        revised=ingest.revised,
        damaged=tuple(ingest.damaged),
        not_finite=ingest.not_finite,
        archive_away=archive_away if truncated else "",
    )


@dataclass(frozen=True)
class _Window:
    """What is asked of one day: [start, end).

    ``closing``: the day closes with the answer. ``begun``: the stored day has a sample at midnight. ``series``:
    how many the stored day has.
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
    infos: dict[date, DayInfo | None] = field(default_factory=dict)
    damaged: list[str] = field(default_factory=list)
    fetched: set[date] = field(default_factory=set)
    asked: int = 0
    revised: int = 0
    not_finite: int = 0

    def plan(self, days: Sequence[date], refetch: bool) -> list[_Window]:
        """What to ask for, in order of time; what is stored is verified on the way."""
        settle = timedelta(seconds=self.metric.settle_seconds)
        edge = self._floor(self.now - settle)
        windows = []
        for day in days:
            begin = start = _midnight(day)
            end = min(begin + DAY, edge)
            begun, whole_until, info = self._stored(day)
            self.infos[day] = info
            if info is not None and not refetch:
                if info.closed:
                    continue
                start = max(begin, self._floor(whole_until - OVERLAP))
            if start < end:
                closing = end == begin + DAY and self.now > end + settle + OVERLAP
                windows.append(_Window(day, start, end, closing, begun, info.series if info else 0))
        return windows

    def fetch(
        self, client: PrometheusClient, windows: Sequence[_Window], source: str, *, keep_open: bool
    ) -> list[_Window]:
        """Ask a server for windows and store the answers.

        Returns:
            those that close and whose day has no sample at midnight: the server forgot it, or never had one.
            With ``keep_open`` these stay open.
        """
        spans = _spans(windows)
        series = self._count_series(client, spans)
        truncated = []
        done = 0
        for span in spans:
            for window, frame in self._answers(client, span, series):
                begun = window.begun or bool(frame.loc[frame.index == _midnight(window.day)].notna().to_numpy().any())
                if window.closing and not begun:
                    truncated.append(window)
                self._store(window, frame, source, closed=window.closing and (begun or not keep_open))
                done += 1
                info = self.infos[window.day]
                samples = info.samples if info else 0
                self.on_progress(Progress(self.metric.name, window.day, done, len(windows), samples))
        return truncated

    def fetch_from_archive(self, archive: PrometheusClient, truncated: Sequence[_Window]) -> str:
        """Ask it for whole days; why it could not be reached, or nothing.

        Raises:
            PrometheusError: as the server's own, with the setting's name put right.
        """
        whole = [replace(window, start=_midnight(window.day)) for window in truncated]
        try:
            self.fetch(archive, whole, "thanos", keep_open=False)
        except PrometheusUnreachable as error:
            return str(error).replace("PROMETHEUS_URL", "THANOS_URL")
        except PrometheusError as error:
            text = str(error).replace("PROMETHEUS_URL", "THANOS_URL")
            raise type(error)(text, code=error.code, **error.facts) from error
        return ""

    def _stored(self, day: date) -> tuple[bool, datetime, DayInfo | None]:
        """Whether the stored day has a sample at midnight, until when it is whole, and what it says of itself.

        It is whole until the first gap after its first sample: samples that were late then may be there now.
        """
        begin = _midnight(day)
        try:
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
        return wide.index[0] == begin, min(last.to_pydatetime() + step, info.asked_until), info

    def _answers(
        self, client: PrometheusClient, span: Sequence[_Window], series: int
    ) -> Iterator[tuple[_Window, pd.DataFrame]]:
        """The stream over adjacent windows, cut into their frames; each as soon as its last part is there."""
        pending = list(reversed(span))
        parts: list[pd.DataFrame] = []
        stream = client.stream(self.metric.promql, span[0].start, span[-1].end, self.metric.step_seconds, series=series)
        for chunk, frame in stream:
            self.asked += len(frame)
            self.not_finite += int(frame.attrs.get("not_finite", 0))
            chunk_end = EPOCH + timedelta(seconds=chunk.end)
            while pending and pending[-1].start < chunk_end:
                window = pending[-1]
                first, stop = (frame.index.searchsorted(pd.Timestamp(time)) for time in (window.start, window.end))
                parts.append(frame.iloc[first:stop])
                if window.end > chunk_end:
                    break
                pending.pop()
                yield window, parts[0] if len(parts) == 1 else pd.concat(parts)
                parts = []

    def _store(self, window: _Window, frame: pd.DataFrame, source: str, *, closed: bool) -> None:
        info, revised = self.lake.upsert_day(
            self.metric,
            window.day,
            frame,
            fetched=self.now,
            fetched_until=window.end,
            closed=closed,
            source=source,
        )
        self.infos[window.day] = info
        self.revised += revised
        if info is not None:
            self.fetched.add(window.day)

    def _count_series(self, client: PrometheusClient, spans: Sequence[Sequence[_Window]]) -> int:
        """How many series to expect, which sizes the requests: asked once, and only for a span that is long."""
        known = max((window.series for span in spans for window in span), default=0)
        long = [span for span in spans if span[-1].end - span[0].start > LIVE]
        if not long:
            return max(1, known)
        step = timedelta(seconds=self.metric.step_seconds)
        counted = client.count_series(self.metric.promql, long[-1][-1].end - step)
        # What is gone today may have been there: old days would otherwise come in one piece.
        return max(1, known, counted or client.count_series(self.metric.promql, long[0][0].start))

    def _floor(self, time: datetime) -> datetime:
        step = timedelta(seconds=self.metric.step_seconds)
        return EPOCH + (time - EPOCH) // step * step


def _spans(windows: Sequence[_Window]) -> list[list[_Window]]:
    """Runs of windows that touch: one stream each."""
    spans: list[list[_Window]] = []
    for window in windows:
        if spans and spans[-1][-1].end == window.start:
            spans[-1].append(window)
        else:
            spans.append([window])
    return spans


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
