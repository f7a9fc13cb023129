"""Answers that lack series, or hold what is not the metric's."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pandas as pd
import pytest

from aiops_assets.datasets.ingest import MetricFetch, ingest_metric
from aiops_assets.datasets.window import read_window
from aiops_assets.errors import PrometheusAnswerError
from aiops_assets.storage.lake import PATIENCE, Lake
from aiops_assets_tests.datasets.server import DAY, DAYS, FIRST, HOUR, LATER, METRIC, Server, digests_of, expected_of
from aiops_assets_tests.raising import raises

PODS = [f'{{"pod":"web-{i}"}}' for i in range(12)]
GRID = pd.date_range(FIRST, periods=6 * 288, freq="300s", unit="us", name="timestamp")


class Counting(Server):
    """A server that also answers the companion's query: how many series there really are."""

    def __init__(self, truth: pd.DataFrame) -> None:
        super().__init__(truth)
        self.hidden: list[str] = []
        self.real = truth

    def stream(self, promql, start, end, step_seconds=60, series=1):  # type: ignore[no-untyped-def]
        if promql == METRIC.promql:
            self.truth = self.real.drop(columns=self.hidden)
            return super().stream(promql, start, end, step_seconds, series)
        self.truth = self.real.notna().sum(axis=1).to_frame("{}").astype(float)
        return super().stream(METRIC.promql, start, end, step_seconds, series)


@pytest.fixture
def server() -> Counting:
    values = np.random.default_rng(3).random((len(GRID), len(PODS)))
    return Counting(pd.DataFrame(values, index=GRID, columns=PODS))


def fetch(server: Server, lake: Lake, now=LATER, *, days=DAYS, refetch: bool = False) -> MetricFetch:  # type: ignore[no-untyped-def]
    ingest_metric(server, lake, METRIC.members, days, now, refetch=refetch)
    return ingest_metric(server, lake, METRIC, days, now, refetch=refetch)


def test_half_of_the_pods_is_reported_and_completed_by_the_next_fetch(server: Counting, lake: Lake) -> None:
    server.hidden = PODS[:6]
    first = fetch(server, lake)
    infos = [info for info in first.infos.values() if info]
    assert first.incomplete == dict.fromkeys(DAYS, 0.5)
    assert not any(info.closed for info in infos)
    assert {(info.samples, info.wanted, info.coverage) for info in infos} == {(6 * 288, 12 * 288, 0.5)}
    window = read_window(lake, DAYS, [METRIC])
    assert (window.coverage.share, window.coverage.full_days) == (0.5, 0)
    server.hidden = []
    second = fetch(server, lake)
    assert second.incomplete == {}
    assert digests_of(lake) == expected_of(server.real)
    assert all(info and info.closed and info.coverage == 1.0 for info in second.infos.values())
    server.asked.clear()
    assert fetch(server, lake).requested == 0


def test_a_tenth_of_the_pods_during_an_hour_is_noticed_too(server: Counting, lake: Lake) -> None:
    fetch(server, lake, FIRST + 20 * HOUR, days=DAYS[:1])
    server.hidden = PODS[:2]
    info = fetch(server, lake, FIRST + DAY + 3 * HOUR, days=DAYS[:1]).infos[DAYS[0]]
    assert info
    assert not info.closed
    assert info.lacking == pytest.approx(2 / 12)
    server.hidden = []
    info = fetch(server, lake, FIRST + DAY + 4 * HOUR, days=DAYS[:1]).infos[DAYS[0]]
    assert info
    assert (info.closed, info.lacking, info.samples) == (True, 0.0, 12 * 288)


def test_a_count_that_no_answer_ever_reaches_closes_the_day_after_a_day(server: Counting, lake: Lake) -> None:
    """The count may be wrong: what the server gives twice, a day apart, is all that it has."""
    server.hidden = PODS[:6]
    for hours in (0, 1, 23):
        assert fetch(server, lake, LATER + hours * HOUR).infos[DAYS[0]].closed is False  # type: ignore[union-attr]
    info = fetch(server, lake, LATER + PATIENCE).infos[DAYS[0]]
    assert info
    assert (info.closed, info.lacking, info.coverage) == (True, 0.5, 0.5)
    server.asked.clear()
    fetch(server, lake, LATER + 2 * PATIENCE)
    assert server.asked == []


def test_stored_samples_that_an_answer_lacks_keep_the_day_open_without_a_count(server: Counting, lake: Lake) -> None:
    ingest_metric(server, lake, METRIC, DAYS[:1], FIRST + 12 * HOUR)
    server.hidden = PODS[:6]
    now = FIRST + DAY + 3 * HOUR
    done = ingest_metric(server, lake, METRIC, DAYS[:2], now)
    assert done.infos[DAYS[0]].lacking == 0.5  # type: ignore[union-attr]
    assert done.infos[DAYS[1]].lacking == 0.5  # type: ignore[union-attr]
    server.hidden = []
    done = ingest_metric(server, lake, METRIC, DAYS[:2], now + HOUR)
    assert done.incomplete == {}
    assert done.infos[DAYS[0]].samples == 12 * 288  # type: ignore[union-attr]


def test_pods_that_come_and_go_lack_nothing(server: Counting, lake: Lake) -> None:
    lives = np.random.default_rng(5).integers(0, len(GRID), (2, len(PODS)))
    lives[:, 0] = 0, len(GRID)
    rows = np.arange(len(GRID))[:, np.newaxis]
    server.real = server.real.where((rows >= lives.min(axis=0)) & (rows <= lives.max(axis=0)))
    done = fetch(server, lake)
    assert done.incomplete == {}
    assert [(info.closed, info.coverage) for info in done.infos.values() if info] == [(True, 1.0)] * len(DAYS)


def test_refetch_removes_what_the_server_does_not_have(server: Counting, lake: Lake) -> None:
    server.real[PODS[0]] = 0.25
    fetch(server, lake)
    server.real = server.real.drop(columns=PODS[:2])
    fetch(server, lake, refetch=True)
    assert digests_of(lake) == expected_of(server.real)


def test_refetch_of_a_server_that_forgot_or_lost_half_removes_nothing(server: Counting, lake: Lake) -> None:
    fetch(server, lake)
    server.hidden = PODS[:6]
    fetch(server, lake, refetch=True)
    assert digests_of(lake) == expected_of(server.real)
    server.hidden, server.real = [], server.real.iloc[3 * 288 + 100 :]
    before = digests_of(lake)
    fetch(server, lake, refetch=True)
    assert digests_of(lake) == before


@pytest.mark.parametrize(
    ("columns", "code"),
    [
        (['{"pod":"a","replica":"1"}', '{"pod":"a","replica":"2"}'], "foreign_labels"),
        (['{"instance":"n1"}', '{"instance":"n2"}'], "foreign_labels"),
        (["{}"], "no_pod"),
    ],
)
def test_an_answer_to_another_query_is_not_stored(lake: Lake, columns: list[str], code: str) -> None:
    server = Server(pd.DataFrame(0.5, index=GRID, columns=columns))
    with raises(PrometheusAnswerError, code, metric=METRIC.name):
        ingest_metric(server, lake, METRIC, DAYS, LATER)
    assert lake.days(METRIC) == []


def test_what_no_pod_owns_beside_pods_is_left_out(server: Counting, lake: Lake) -> None:
    expected = expected_of(server.real)
    server.real = server.real.assign(**{"{}": 3.0})
    ingest_metric(server, lake, METRIC, DAYS, LATER)
    assert digests_of(lake) == expected


def test_values_that_cannot_be_true_are_counted_and_not_stored(server: Counting, lake: Lake) -> None:
    server.real.iloc[5, 0] = server.real.iloc[7, 3] = -0.5
    done = fetch(server, lake)
    wide, info = lake.read_day(METRIC, DAYS[0])
    assert np.isnan(wide.iloc[5][PODS[0]])
    assert (dict(done.outside), info.outside) == ({DAYS[0]: 2}, 2)
    assert wide.min().min() >= 0


def test_nothing_is_stored_of_an_answer_in_another_unit(lake: Lake) -> None:
    share = replace(METRIC, unit="ratio", upper=1.0)
    values = np.random.default_rng(1).uniform(0, 100, (len(GRID), 2))
    done = ingest_metric(Server(pd.DataFrame(values, GRID, PODS[:2])), lake, share, DAYS, LATER)
    assert lake.days(share) == []
    assert sum(done.outside.values()) == int((values > 1.05).sum())


def test_the_count_of_a_day_that_is_not_over_is_read_up_to_its_newest_instant(server: Counting, lake: Lake) -> None:
    """The companion settles sooner than a rate: its newest counts are of instants that were not requested yet."""
    now = FIRST + 6 * HOUR
    ingest_metric(server, lake, METRIC.members, DAYS[:1], now + timedelta(hours=2))
    info = ingest_metric(server, lake, METRIC, DAYS[:1], now).infos[DAYS[0]]
    assert info
    assert (info.lacking, info.coverage) == (0.0, 1.0)
