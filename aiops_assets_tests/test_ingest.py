"""Days of the lake from a server: one that keeps to the client's contract, and a real one."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from aiops_assets.errors import PrometheusQueryError, PrometheusUnreachable
from aiops_assets.ingest import MetricFetch, Progress, ingest_metric
from aiops_assets.prometheus.client import Chunk, PrometheusClient
from aiops_assets.prometheus.transport import RequestsTransport
from aiops_assets.stores.day_file import wide_digest
from aiops_assets.stores.lake import Lake
from aiops_assets.stores.storage import LocalStorage
from aiops_assets.timeseries.catalog import CLUSTER_METRICS, POD_CPU, MetricSpec

METRIC = replace(POD_CPU, step_seconds=300)
"""Settles in 300 s: its range is 5 minutes."""
STEP, HOUR, DAY = timedelta(minutes=5), timedelta(hours=1), timedelta(days=1)
FIRST = datetime(2026, 10, 20, tzinfo=UTC)
N_DAYS = 6
DAYS = [(FIRST + i * DAY).date() for i in range(N_DAYS)]
LATER = FIRST + (N_DAYS + 3) * DAY


class Server(PrometheusClient):
    """A server that holds a matrix and answers as the client does; what it was asked is noted.

    Args:
        truth: (instants, series), NaN: no sample.
        chunk: how much it answers at once; cut at midnights unless it is whole days.
    """

    def __init__(self, truth: pd.DataFrame, chunk: timedelta = DAY) -> None:
        self.truth = truth
        self.chunk = chunk
        self.now = LATER
        self.arrives: pd.DataFrame | None = None
        self.wrong = timedelta(0)
        self.fails_after: int | None = None
        self.error: type[Exception] = PrometheusUnreachable
        self.asked: list[tuple[datetime, datetime]] = []
        self.sized: list[int] = []
        self.counted: list[datetime] = []

    def stream(
        self, promql: str, start: datetime, end: datetime, step_seconds: int = 60, series: int = 1
    ) -> Iterator[tuple[Chunk, pd.DataFrame]]:
        assert promql == METRIC.promql
        self.asked.append((start, end))
        self.sized.append(series)
        while start < end:
            if self.fails_after is not None:
                if self.fails_after == 0:
                    raise self.error("cut off")
                self.fails_after -= 1
            stop = min(end, start + self.chunk)
            midnight = start.replace(hour=0) + DAY if self.chunk <= DAY else stop
            stop = min(stop, midnight.replace(minute=0))
            yield Chunk(int(start.timestamp()), int(stop.timestamp()), step_seconds), self._view(start, stop)
            start = stop

    def count_series(self, promql: str, at: datetime) -> int:
        self.counted.append(at)
        return int(self._view(at, at + STEP).notna().sum().sum())

    def _view(self, start: datetime, stop: datetime) -> pd.DataFrame:
        """What the server says at ``now``: late samples are not there yet, young ones are too low."""
        grid = pd.date_range(start, stop, freq="300s", inclusive="left", unit="us", name="timestamp")
        frame = self.truth.reindex(grid)
        if self.arrives is not None:
            frame = frame.mask(self.arrives.reindex(grid) > self.now)
        young = np.asarray(grid > pd.Timestamp(self.now - self.wrong))
        frame.loc[young] *= 0.7
        frame = frame.dropna(axis=1, how="all")
        frame.attrs["not_finite"] = 2
        return frame[sorted(frame.columns)]


def _truth(days: int = N_DAYS, seed: int = 1) -> pd.DataFrame:
    """Three series with holes; one that begins late, one that ends early."""
    grid = pd.date_range(FIRST, periods=days * 288, freq="300s", unit="us", name="timestamp")
    rng = np.random.default_rng(seed)
    values = rng.random((len(grid), 3))
    values[rng.random(values.shape) < 0.05] = np.nan
    values[0] = 0.5
    values[: len(grid) // 2, 1] = values[len(grid) // 3 :, 2] = np.nan
    return pd.DataFrame(values, index=grid, columns=[f'{{"pod": "{name}"}}' for name in "cab"])


@pytest.fixture
def server() -> Server:
    return Server(_truth())


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(LocalStorage(tmp_path), "default")


def _end(day: str) -> datetime:
    return datetime.fromisoformat(day).replace(tzinfo=UTC) + DAY


def _digests(lake: Lake) -> dict[date, str]:
    return {day: lake.read_day(METRIC, day)[1].digest for day in lake.days(METRIC)}


def _expected(truth: pd.DataFrame) -> dict[date, str]:
    return {truth.index[row].date(): wide_digest(truth.iloc[row : row + 288]) for row in range(0, len(truth), 288)}


@pytest.mark.parametrize("chunk", [DAY, 7 * DAY, timedelta(hours=5), 2 * STEP])
def test_missing_days_are_one_stream_however_it_is_cut(server: Server, lake: Lake, chunk: timedelta) -> None:
    server.chunk = chunk
    seen: list[Progress] = []
    done = ingest_metric(server, lake, METRIC, DAYS, LATER, on_progress=seen.append)
    assert server.asked == [(FIRST, FIRST + N_DAYS * DAY)]
    assert _digests(lake) == _expected(server.truth)
    assert done.fetched == tuple(DAYS)
    assert (done.asked, done.revised, done.damaged) == (N_DAYS * 288, 0, ())
    assert done.not_finite > 0
    assert [(p.metric, p.day, p.days_done, p.days_asked) for p in seen] == [
        (METRIC.name, day, i + 1, N_DAYS) for i, day in enumerate(DAYS)
    ]
    infos = [info for info in done.infos.values() if info]
    assert [info.samples for info in infos] == [p.samples for p in seen]
    assert all(info.closed and info.source == "prometheus" for info in infos)
    assert list(done.infos) == DAYS


def test_closed_days_are_not_asked_again(server: Server, lake: Lake) -> None:
    first = ingest_metric(server, lake, METRIC, DAYS, LATER)
    server.asked.clear()
    server.counted.clear()
    again = ingest_metric(server, lake, METRIC, DAYS, LATER + DAY)
    assert (server.asked, server.counted) == ([], [])
    assert again.infos == first.infos
    assert (again.asked, again.fetched) == (0, ())


def test_a_history_grown_at_the_live_edge_equals_one_fetch(server: Server, tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    grown, whole = (Lake(LocalStorage(tmp_path / name), "default") for name in ("grown", "whole"))
    delay = pd.to_timedelta(np.where(rng.random(server.truth.shape) < 0.1, 55, 0).ravel(), unit="min")
    arrival = server.truth.index.repeat(3) + delay
    server.arrives = pd.DataFrame(
        np.asarray(arrival, dtype=object).reshape(-1, 3), server.truth.index, server.truth.columns
    ).apply(pd.to_datetime)
    server.wrong = timedelta(minutes=40)
    revised, now = 0, FIRST + timedelta(minutes=7)
    while now < LATER:
        server.now = now
        days = [day for day in DAYS if day <= now.date()]
        revised += ingest_metric(server, grown, METRIC, days, now).revised
        now += timedelta(minutes=int(rng.choice([61, 7 * 60 + 1, 13 * 60, 29 * 60, 3])))
    server.now = LATER
    ingest_metric(server, whole, METRIC, DAYS, LATER)
    assert _digests(grown) == _digests(whole) == _expected(server.truth)
    assert revised > 50
    infos = [info for day in DAYS if (info := grown.info(METRIC, day))]
    assert sum(info.revised for info in infos) == revised
    assert all(info.closed and info.asked_until == _end(info.day) for info in infos)


def test_a_gap_in_an_open_day_is_asked_for_until_it_closes(lake: Lake) -> None:
    """Remote write is three hours behind at noon, and has caught up when the day closes."""
    grid = pd.date_range(FIRST, periods=288, freq="300s", unit="us", name="timestamp")
    server = Server(pd.DataFrame({"{}": np.arange(288.0)}, index=grid))
    noon = FIRST + timedelta(hours=12)
    late = grid.to_series().where(grid < pd.Timestamp(FIRST + timedelta(hours=9)), noon + timedelta(hours=1))
    server.arrives = late.to_frame("{}")
    server.now = noon
    info = ingest_metric(server, lake, METRIC, DAYS[:1], noon).infos[DAYS[0]]
    assert info
    assert (info.got, info.closed) == (108, False)
    server.now = FIRST + DAY + timedelta(hours=2)
    info = ingest_metric(server, lake, METRIC, DAYS[:1], server.now).infos[DAYS[0]]
    assert info
    assert (info.got, info.closed, info.reason) == (288, True, "complete")
    assert server.asked[1] == (FIRST + timedelta(hours=8), FIRST + DAY)


def test_nothing_new_asks_the_last_hour_only(server: Server, lake: Lake) -> None:
    now = FIRST + timedelta(hours=30, minutes=8)
    first = ingest_metric(server, lake, METRIC, DAYS, now)
    edge = FIRST + timedelta(hours=30)
    assert server.asked == [(FIRST, edge)]
    assert server.counted == [edge - STEP]
    assert server.sized == [int(server.truth.loc[[edge - STEP]].count().sum())]
    again = ingest_metric(server, lake, METRIC, DAYS, now)
    assert server.asked[1:] == [(edge - HOUR, edge)]
    assert server.sized[1] == 2  # what the stored day has: a short span is not counted
    assert len(server.counted) == 1
    assert (again.fetched, again.asked, again.revised) == ((DAYS[1],), 12, 0)
    today = again.infos[DAYS[1]]
    assert first.infos[DAYS[1]] == today
    assert today
    assert (today.closed, today.expected) == (False, 72)
    assert today.reason.startswith("the day is not over")
    assert [again.infos[day] for day in DAYS[2:]] == [None] * 4


@pytest.mark.parametrize(("minutes", "closed"), [(64, False), (65, False), (66, True)])
def test_a_day_closes_when_settle_and_overlap_have_passed(
    server: Server, lake: Lake, minutes: int, closed: bool
) -> None:
    now = FIRST + DAY + timedelta(minutes=minutes)
    info = ingest_metric(server, lake, METRIC, DAYS[:1], now).infos[DAYS[0]]
    assert info
    assert (info.closed, info.asked_until) == (closed, FIRST + DAY)
    ingest_metric(server, lake, METRIC, DAYS[:1], now + timedelta(hours=9))
    assert server.asked[1:] == ([] if closed else [(FIRST + DAY - HOUR, FIRST + DAY)])
    again = lake.info(METRIC, DAYS[0])
    assert again
    assert again.closed


@pytest.mark.parametrize(("minutes", "points"), [(4, 0), (5, 0), (9, 0), (10, 1), (14, 1), (15, 2)])
def test_nothing_younger_than_the_settle_time_is_asked(server: Server, lake: Lake, minutes: int, points: int) -> None:
    done = ingest_metric(server, lake, METRIC, DAYS, FIRST + timedelta(minutes=minutes))
    assert done.asked == points
    assert all(end == FIRST + points * STEP for _, end in server.asked)


def test_yesterday_and_today_touch_at_midnight(server: Server, lake: Lake) -> None:
    ingest_metric(server, lake, METRIC, DAYS[:1], FIRST + DAY - HOUR)
    server.asked.clear()
    ingest_metric(server, lake, METRIC, DAYS[:2], FIRST + DAY + timedelta(minutes=35))
    assert server.asked == [(FIRST + DAY - 2 * HOUR - STEP, FIRST + DAY + timedelta(minutes=30))]


def test_days_apart_are_streams_apart(server: Server, lake: Lake) -> None:
    ingest_metric(server, lake, METRIC, [DAYS[4], DAYS[0], DAYS[1], DAYS[0]], LATER)
    assert server.asked == [(FIRST, FIRST + 2 * DAY), (FIRST + 4 * DAY, FIRST + 5 * DAY)]
    assert len(server.counted) == 1


def test_series_that_are_gone_today_are_counted_at_the_begin(server: Server, lake: Lake) -> None:
    server.truth = server.truth.iloc[: 3 * 288]
    ingest_metric(server, lake, METRIC, DAYS, LATER)
    assert server.counted == [FIRST + N_DAYS * DAY - STEP, FIRST]
    assert server.sized == [2]


@pytest.mark.parametrize("chunk", [DAY, timedelta(hours=5)])
def test_a_stream_that_breaks_keeps_what_is_finished_and_goes_on_there(
    server: Server, lake: Lake, chunk: timedelta
) -> None:
    server.chunk = chunk
    server.fails_after = 3 if chunk == DAY else 17
    with pytest.raises(PrometheusUnreachable):
        ingest_metric(server, lake, METRIC, DAYS, LATER)
    assert lake.days(METRIC) == DAYS[:3]
    server.fails_after = None
    done = ingest_metric(server, lake, METRIC, DAYS, LATER)
    assert server.asked[1:] == [(FIRST + 3 * DAY, FIRST + N_DAYS * DAY)]
    assert done.fetched == tuple(DAYS[3:])
    assert _digests(lake) == _expected(server.truth)


def test_a_day_without_samples_is_asked_again_and_never_stored(server: Server, lake: Lake) -> None:
    whole = server.truth
    server.truth = whole.drop(whole.index[288:576])
    done = ingest_metric(server, lake, METRIC, DAYS, LATER)
    assert done.infos[DAYS[1]] is None
    assert DAYS[1] not in lake.days(METRIC)
    assert DAYS[1] not in done.fetched
    server.asked.clear()
    server.truth = whole
    assert ingest_metric(server, lake, METRIC, DAYS, LATER).fetched == (DAYS[1],)
    assert server.asked == [(FIRST + DAY, FIRST + 2 * DAY)]
    assert _digests(lake) == _expected(whole)


@pytest.mark.parametrize("closed", [True, False])
def test_a_damaged_day_is_named_and_fetched_whole(server: Server, lake: Lake, tmp_path: Path, closed: bool) -> None:
    now = LATER if closed else FIRST + timedelta(hours=13)
    ingest_metric(server, lake, METRIC, DAYS[:2], now)
    good = _digests(lake)
    file = tmp_path / lake._path(METRIC, DAYS[0])
    file.write_bytes(file.read_bytes()[:-9])
    server.asked.clear()
    done = ingest_metric(server, lake, METRIC, DAYS[:2], now)
    assert [message.split(" is damaged")[0] for message in done.damaged] == [str(file)]
    assert server.asked[0][0] == FIRST
    assert done.fetched == (DAYS[0],)
    assert _digests(lake) == good


@dataclass
class Pair:
    """A server that forgot everything before the middle of day 2, and an archive that has it all."""

    server: Server
    archive: Server
    lake: Lake

    def fetch(self) -> MetricFetch:
        return ingest_metric(self.server, self.lake, METRIC, DAYS, LATER, archive=self.archive)


@pytest.fixture
def pair(lake: Lake) -> Pair:
    truth = _truth()
    truth.iloc[::288, 0] = 0.5  # every day begins with a sample
    return Pair(Server(truth.iloc[2 * 288 + 100 :]), Server(truth), lake)


def test_the_archive_is_asked_for_what_the_server_forgot(pair: Pair) -> None:
    done = pair.fetch()
    assert pair.archive.asked == [(FIRST, FIRST + 3 * DAY)]
    assert _digests(pair.lake) == _expected(pair.archive.truth)
    infos = [info for info in done.infos.values() if info]
    assert [info.source for info in infos] == ["thanos"] * 3 + ["prometheus"] * 3
    assert all(info.closed for info in infos)
    assert done.fetched == tuple(DAYS)
    assert done.asked == 9 * 288
    pair.fetch()
    assert (len(pair.server.asked), len(pair.archive.asked)) == (1, 1)


def test_an_archive_without_need_is_not_asked(pair: Pair) -> None:
    pair.archive.fails_after = 0
    pair.server.truth = pair.archive.truth
    pair.fetch()
    assert pair.archive.asked == pair.archive.counted == []
    assert _digests(pair.lake) == _expected(pair.archive.truth)


@pytest.mark.parametrize("error", [PrometheusUnreachable, PrometheusQueryError])
def test_a_day_stays_open_until_the_archive_has_answered(pair: Pair, error: type[Exception]) -> None:
    pair.archive.error = error
    pair.archive.fails_after = 0
    if error is PrometheusUnreachable:
        assert pair.fetch().archive_away
    else:
        with pytest.raises(error):
            pair.fetch()
    half = pair.lake.info(METRIC, DAYS[2])
    assert half
    assert not half.closed
    assert half.reason.startswith("the day is not closed yet; no sample before 08:20")
    assert pair.lake.days(METRIC) == DAYS[2:]
    pair.server.asked.clear()
    pair.archive.asked.clear()
    pair.archive.fails_after = None
    pair.fetch()
    begun, open_day = pair.server.asked
    assert begun == (FIRST, FIRST + 2 * DAY)
    # From the hour before the first gap of what is stored.
    assert FIRST + 2 * DAY < open_day[0] <= FIRST + 3 * DAY - HOUR
    assert open_day[1] == FIRST + 3 * DAY
    assert pair.archive.asked == [(FIRST, FIRST + 3 * DAY)]
    assert _digests(pair.lake) == _expected(pair.archive.truth)


def test_an_archive_that_knows_no_more_closes_the_day(pair: Pair) -> None:
    pair.archive.truth = pair.server.truth
    done = pair.fetch()
    assert [done.infos[day] for day in DAYS[:2]] == [None, None]
    info = done.infos[DAYS[2]]
    assert info
    assert info.closed
    assert info.reason.startswith("no sample before 08:20 (retention or the begin of the history)")


def test_a_day_that_is_not_over_is_no_matter_of_the_archive(pair: Pair) -> None:
    pair.archive.fails_after = 0
    done = ingest_metric(
        pair.server, pair.lake, METRIC, [DAYS[2]], FIRST + 2 * DAY + timedelta(hours=12), archive=pair.archive
    )
    today = done.infos[DAYS[2]]
    assert today
    assert (today.closed, pair.archive.asked) == (False, [])


def test_without_an_archive_a_truncated_day_closes_with_its_reason(pair: Pair) -> None:
    info = ingest_metric(pair.server, pair.lake, METRIC, DAYS, LATER).infos[DAYS[2]]
    assert info
    assert info.closed
    assert info.reason.startswith("no sample before 08:20 (retention or the begin of the history)")


def test_a_naive_now_is_refused(server: Server, lake: Lake) -> None:
    with pytest.raises(ValueError, match="time zone"):
        ingest_metric(server, lake, METRIC, DAYS, LATER.replace(tzinfo=None))


def test_no_day_at_all(server: Server, lake: Lake) -> None:
    done = ingest_metric(server, lake, CLUSTER_METRICS[0], [], LATER)
    assert (done.infos, done.asked, server.asked) == ({}, 0, [])


@pytest.mark.needs("prometheus")
@pytest.mark.parametrize("metric", [POD_CPU, CLUSTER_METRICS[0]], ids=lambda metric: metric.name)
def test_day_by_day_equals_one_fetch_of_a_real_server(prometheus_url: str, tmp_path: Path, metric: MetricSpec) -> None:
    grown, whole = (Lake(LocalStorage(tmp_path / name), "default") for name in ("grown", "whole"))
    end = datetime(2026, 11, 1, tzinfo=UTC)
    days = [(end - i * DAY).date() for i in range(9, 0, -1)]
    with RequestsTransport(prometheus_url) as transport:
        client = PrometheusClient(transport)
        now, revised = end - 9 * DAY, 0
        while now < end + 2 * DAY:
            revised += ingest_metric(client, grown, metric, [day for day in days if day <= now.date()], now).revised
            now += timedelta(hours=13, minutes=7)
        one = ingest_metric(client, whole, metric, days, end + DAY)
        frame = client.query_range(metric.promql, end - 9 * DAY, end, metric.step_seconds)
    for day, info in one.infos.items():
        assert info
        assert (info.reason, info.closed, info.coverage) == ("complete", True, 1.0)
        begin = pd.Timestamp(day, tz="UTC")
        assert info.digest == wide_digest(frame.loc[begin : begin + DAY - timedelta(seconds=1)])
        again = grown.info(metric, day)
        assert again
        assert (again.digest, again.reason, again.closed, again.revised) == (info.digest, "complete", True, 0)
    assert revised == 0
