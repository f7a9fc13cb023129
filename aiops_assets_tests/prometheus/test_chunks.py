from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise

import numpy as np
import pytest

from aiops_assets.prometheus.chunks import MAX_POINTS, MAX_SAMPLES, Chunk, plan_chunks
from aiops_assets_tests.prometheus.answering import NOON, T0

MIDNIGHT = datetime(2026, 3, 1, tzinfo=UTC)
DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)


def test_chunks_are_cut_at_utc_midnights_and_cover_the_window_once() -> None:
    start = datetime(2026, 3, 1, 22, 30, 40, tzinfo=UTC)
    chunks = plan_chunks(start, datetime(2026, 3, 4, 0, 1, 59, tzinfo=UTC), 60, series=200)

    midnights = [int(datetime(2026, 3, day, tzinfo=UTC).timestamp()) for day in (2, 3, 4)]
    assert chunks == [
        Chunk(midnights[0] - 90 * 60, midnights[0], 60),
        Chunk(midnights[0], midnights[1], 60),
        Chunk(midnights[1], midnights[2], 60),
        Chunk(midnights[2], midnights[2] + 60, 60),
    ]
    assert [chunk.points for chunk in chunks] == [90, 1440, 1440, 1]
    assert all(a.last + 60 == b.start for a, b in pairwise(chunks))


@pytest.mark.parametrize(
    ("step", "series", "points"),
    [
        (300, 1, [8640]),
        (60, 1, [10080, 10080, 10080, 10080, 2880]),
        (300, 1000, [288] * 30),
        (60, 1000, [288] * 5 * 30),
        (60, 1400, [206, 206, 206, 206, 206, 206, 204] * 30),
        (1, 1, [10800] * 8 * 30),
        (3600, 10**9, [1] * 24 * 30),
        (300, 0, [8640]),
    ],
)
def test_chunks_are_as_long_as_the_limits_allow(step: int, series: int, points: list[int]) -> None:
    chunks = plan_chunks(MIDNIGHT, MIDNIGHT + 30 * DAY, step, series)
    assert [chunk.points for chunk in chunks] == points
    assert all(a.end == b.start for a, b in pairwise(chunks))


def test_any_window_is_covered_once_within_the_limits_and_cut_at_the_same_instants() -> None:
    rng = np.random.default_rng(11)
    for _ in range(100):
        step = int(rng.choice([15, 60, 300, 3600, 86_400]))
        series = int(10 ** rng.uniform(0, 4))
        start = MIDNIGHT + timedelta(seconds=int(rng.integers(0, 5 * 86_400)))
        chunks = plan_chunks(start, start + timedelta(seconds=int(rng.integers(0, 20 * 86_400))), step, series)
        assert all(a.end == b.start for a, b in pairwise(chunks))
        for chunk in chunks:
            assert 1 <= chunk.points <= MAX_POINTS
            assert chunk.points == 1 or chunk.points * series <= MAX_SAMPLES
        from_midnight = plan_chunks(start.replace(hour=0, minute=0, second=0), start + 30 * DAY, step, series)
        if len(chunks) > 1:
            assert chunks[0].end in {chunk.end for chunk in from_midnight}


def test_chunks_floor_to_the_step_in_utc_whatever_the_zone() -> None:
    india = timezone(timedelta(hours=5, minutes=30))
    start = (NOON + timedelta(minutes=7)).astimezone(india)
    assert plan_chunks(start, start + timedelta(minutes=5), 300) == [Chunk(T0 + 300, T0 + 600, 300)]


def test_a_window_without_an_instant_has_no_chunk() -> None:
    assert plan_chunks(NOON, NOON + timedelta(seconds=59), 60) == []


@pytest.mark.parametrize(
    ("start", "end", "step", "words"),
    [
        (NOON.replace(tzinfo=None), NOON, 60, "time zone"),
        (NOON, NOON.replace(tzinfo=None), 60, "time zone"),
        (NOON, NOON - timedelta(minutes=1), 60, "before"),
        (NOON, NOON, 0, "divide"),
        (NOON, NOON, 7, "divide"),
    ],
)
def test_windows_that_cannot_be_planned(start: datetime, end: datetime, step: int, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        plan_chunks(start, end, step)
