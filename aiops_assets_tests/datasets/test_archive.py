"""The archive: what the server forgot comes from there."""

from dataclasses import dataclass
from datetime import timedelta

import pytest

from aiops_assets.datasets.ingest import MetricFetch, ingest_metric
from aiops_assets.errors import PrometheusQueryError, PrometheusUnreachable
from aiops_assets.storage.day_info import DayInfo
from aiops_assets.storage.day_state import DayState
from aiops_assets.storage.lake import Lake
from aiops_assets_tests.datasets.server import (
    DAY,
    DAYS,
    FIRST,
    HOUR,
    LATER,
    METRIC,
    Server,
    digests_of,
    expected_of,
    truth_of,
)


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
    truth = truth_of()
    truth.iloc[::288, 0] = 0.5  # every day begins with a sample
    return Pair(Server(truth.iloc[2 * 288 + 100 :]), Server(truth), lake)


def state_of(info: DayInfo, *, is_closed: bool) -> DayState:
    """Of a day that is over and begins with its hundredth instant, at 08:20."""
    return DayState(is_over=True, is_closed=is_closed, first="08:20", missing=288 - 100 - info.got)


def test_the_archive_is_asked_for_what_the_server_forgot(pair: Pair) -> None:
    done = pair.fetch()
    assert pair.archive.asked == [(FIRST, FIRST + 3 * DAY)]
    assert digests_of(pair.lake) == expected_of(pair.archive.truth)
    infos = [info for info in done.infos.values() if info]
    assert [info.source for info in infos] == ["thanos"] * 3 + ["prometheus"] * 3
    assert all(info.closed for info in infos)
    assert done.fetched == tuple(DAYS)
    assert done.requested == 9 * 288
    pair.fetch()
    assert (len(pair.server.asked), len(pair.archive.asked)) == (1, 1)


def test_an_archive_without_need_is_not_asked(pair: Pair) -> None:
    pair.archive.fails_after = 0
    pair.server.truth = pair.archive.truth
    pair.fetch()
    assert pair.archive.asked == pair.archive.counted == []
    assert digests_of(pair.lake) == expected_of(pair.archive.truth)


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
    assert half.reason == state_of(half, is_closed=False).text
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
    assert digests_of(pair.lake) == expected_of(pair.archive.truth)


def test_an_archive_that_knows_no_more_closes_the_day(pair: Pair) -> None:
    pair.archive.truth = pair.server.truth
    done = pair.fetch()
    assert [done.infos[day] for day in DAYS[:2]] == [None, None]
    info = done.infos[DAYS[2]]
    assert info
    assert info.closed
    assert info.reason == state_of(info, is_closed=True).text


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
    assert info.reason == state_of(info, is_closed=True).text
