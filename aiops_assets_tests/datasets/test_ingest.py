"""Days of the lake from a server: one that keeps to the client's contract, and a real one."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from aiops_assets.datasets.ingest import Progress, ingest_metric
from aiops_assets.errors import PrometheusUnreachable
from aiops_assets.pipeline.fetch_checks import check_results, query_notes
from aiops_assets.prometheus.client import PrometheusClient
from aiops_assets.prometheus.transport import Answer, RequestsTransport
from aiops_assets.storage.day_file import wide_digest
from aiops_assets.storage.day_state import DayState
from aiops_assets.storage.lake import Lake
from aiops_assets.storage.storage import LocalStorage
from aiops_assets.timeseries.catalog import CLUSTER_METRICS, POD_CPU, MetricSpec
from aiops_assets.timeseries.queries import notes_on_query
from aiops_assets_tests.datasets.server import (
    DAY,
    DAYS,
    FIRST,
    HOUR,
    LATER,
    METRIC,
    N_DAYS,
    STEP,
    Server,
    digests_of,
    end_of,
    expected_of,
)
from aiops_assets_tests.prometheus.answering import Handler, grid_matrix, success, vector

POD = '{"pod":"a"}'


@pytest.mark.parametrize("chunk", [DAY, 7 * DAY, timedelta(hours=5), 2 * STEP])
def test_missing_days_are_one_stream_however_it_is_cut(server: Server, lake: Lake, chunk: timedelta) -> None:
    server.chunk = chunk
    seen: list[Progress] = []
    done = ingest_metric(server, lake, METRIC, DAYS, LATER, on_progress=seen.append)
    assert server.asked == [(FIRST, FIRST + N_DAYS * DAY)]
    assert digests_of(lake) == expected_of(server.truth)
    assert done.fetched == tuple(DAYS)
    assert (done.requested, done.revised, done.damaged) == (N_DAYS * 288, 0, ())
    assert done.not_finite > 0
    assert [(p.metric, p.day, p.days_done, p.days_requested) for p in seen] == [
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
    assert (again.requested, again.fetched) == (0, ())


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
    assert digests_of(grown) == digests_of(whole) == expected_of(server.truth)
    assert revised > 50
    infos = [info for day in DAYS if (info := grown.info(METRIC, day))]
    assert sum(info.revised for info in infos) == revised
    assert all(info.closed and info.requested_until == end_of(info.day) for info in infos)


def test_a_gap_in_an_open_day_is_asked_for_until_it_closes(lake: Lake) -> None:
    """Remote write is three hours behind at noon, and has caught up when the day closes."""
    grid = pd.date_range(FIRST, periods=288, freq="300s", unit="us", name="timestamp")
    server = Server(pd.DataFrame({POD: np.arange(288.0)}, index=grid))
    noon = FIRST + timedelta(hours=12)
    late = grid.to_series().where(grid < pd.Timestamp(FIRST + timedelta(hours=9)), noon + timedelta(hours=1))
    server.arrives = late.to_frame(POD)
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
    assert (again.fetched, again.requested, again.revised) == ((DAYS[1],), 12, 0)
    today = again.infos[DAYS[1]]
    assert first.infos[DAYS[1]] == today
    assert today
    assert (today.closed, today.expected) == (False, 72)
    assert today.reason == DayState(is_over=False, is_closed=False, missing=72 - today.got).text
    assert [again.infos[day] for day in DAYS[2:]] == [None] * 4


class TestBehind:
    """A server may answer and have had no new samples for hours."""

    NOW = FIRST + timedelta(hours=30, minutes=8)
    EDGE = FIRST + timedelta(hours=30) - STEP

    def behind(self, server: Server, lake: Lake, days: Sequence[date] = DAYS[:2]) -> timedelta | None:
        return ingest_metric(server, lake, METRIC, days, self.NOW).behind

    def test_the_newest_sample_is_compared_with_what_was_requested(self, server: Server, lake: Lake) -> None:
        newest = server.truth.dropna(how="all").loc[: self.EDGE].index[-1].to_pydatetime()
        assert self.behind(server, lake) == self.EDGE - newest < HOUR

    @pytest.mark.parametrize("hours", [3, 7])
    def test_samples_that_end_hours_ago_are_behind_at_each_fetch(self, server: Server, lake: Lake, hours: int) -> None:
        server.truth = server.truth.fillna(0.5).loc[: self.EDGE - timedelta(hours=hours)]
        # Nothing of today is stored after seven hours, and yesterday has closed: then today's begin is the bound.
        of_today = self.EDGE - (FIRST + DAY)
        assert [self.behind(server, lake) for _ in range(2)] == [
            timedelta(hours=hours), min(timedelta(hours=hours), of_today),
        ]  # fmt: skip

    def test_past_days_and_days_without_samples_say_nothing(self, server: Server, lake: Lake) -> None:
        assert self.behind(server, lake, DAYS[:1]) is None
        server.truth = server.truth.iloc[:0]
        assert self.behind(server, lake, DAYS[1:2]) is None


@pytest.mark.parametrize(("minutes", "closed"), [(64, False), (65, False), (66, True)])
def test_a_day_closes_when_settle_and_overlap_have_passed(
    server: Server, lake: Lake, minutes: int, closed: bool
) -> None:
    now = FIRST + DAY + timedelta(minutes=minutes)
    info = ingest_metric(server, lake, METRIC, DAYS[:1], now).infos[DAYS[0]]
    assert info
    assert (info.closed, info.requested_until) == (closed, FIRST + DAY)
    ingest_metric(server, lake, METRIC, DAYS[:1], now + timedelta(hours=9))
    assert server.asked[1:] == ([] if closed else [(FIRST + DAY - HOUR, FIRST + DAY)])
    again = lake.info(METRIC, DAYS[0])
    assert again
    assert again.closed


@pytest.mark.parametrize(("minutes", "points"), [(4, 0), (5, 0), (9, 0), (10, 1), (14, 1), (15, 2)])
def test_nothing_younger_than_the_settle_time_is_asked(server: Server, lake: Lake, minutes: int, points: int) -> None:
    done = ingest_metric(server, lake, METRIC, DAYS, FIRST + timedelta(minutes=minutes))
    assert done.requested == points
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
    assert digests_of(lake) == expected_of(server.truth)


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
    assert digests_of(lake) == expected_of(whole)


@pytest.mark.parametrize("closed", [True, False])
def test_a_damaged_day_is_named_and_fetched_whole(server: Server, lake: Lake, tmp_path: Path, closed: bool) -> None:
    now = LATER if closed else FIRST + timedelta(hours=13)
    ingest_metric(server, lake, METRIC, DAYS[:2], now)
    good = digests_of(lake)
    file = tmp_path / lake._path(METRIC, DAYS[0])
    file.write_bytes(file.read_bytes()[:-9])
    server.asked.clear()
    done = ingest_metric(server, lake, METRIC, DAYS[:2], now)
    assert [message.split(" is damaged")[0] for message in done.damaged] == [str(file)]
    assert server.asked[0][0] == FIRST
    assert done.fetched == (DAYS[0],)
    assert digests_of(lake) == good


def test_a_naive_now_is_refused(server: Server, lake: Lake) -> None:
    with pytest.raises(ValueError, match="time zone"):
        ingest_metric(server, lake, METRIC, DAYS, LATER.replace(tzinfo=None))


def test_no_day_at_all(server: Server, lake: Lake) -> None:
    done = ingest_metric(server, lake, CLUSTER_METRICS[0], [], LATER)
    assert (done.infos, done.requested, server.asked) == ({}, 0, [])


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


def test_remarks_on_a_query_are_kept_once_and_the_days_are_stored(lake: Lake) -> None:
    info = "PromQL info: metric might not be a counter"

    def answer(path: str, params: Mapping[str, str]) -> Answer:
        if "start" not in params:
            return vector(({}, "1"))
        about = f"{info} (1:{params['query'].index('rate') + 6})"
        data = json.loads(grid_matrix(params, "a").body)["data"]
        if params["query"].startswith("count("):
            data["result"][0]["metric"] = {}
        return success(data, warnings=[about])

    query = "sum(rate(a[2m])) by (pod)"
    metric = replace(METRIC, promql=query, count=f"count({query})")
    client = PrometheusClient(Handler(answer))
    done, companion = (ingest_metric(client, lake, spec, DAYS, LATER) for spec in (metric, metric.members))
    assert len(notes_on_query(metric)) == 1
    assert done.notes == (*notes_on_query(metric), f"{info} (1:10)")
    assert companion.notes == (*notes_on_query(metric), f"{info} (1:16)")
    assert done.fetched == companion.fetched == tuple(DAYS)
    assert query_notes([done, companion]) == [f"{metric.name}: {note}" for note in done.notes]
    results = {result.check_name: result for result in check_results("", [done, companion], DAYS, lake)}
    assert not results["query_notes"].passed
    assert (results["query_notes"].description or "").count(info) == 1
    assert results["server_reached"].passed
