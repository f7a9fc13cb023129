"""Samples of the future, and of long ago."""

from datetime import UTC, datetime, timedelta

import pytest

from aiops_assets.engine.detection.anomalies import Detection, detect
from aiops_assets.engine.each_pod import detect_each
from aiops_assets.engine.pods import groups_of
from aiops_assets.engine.samples import Sample
from aiops_assets_tests.engine.row_forest import row_forest
from aiops_assets_tests.engine.situations import NOW

OLD, FUTURE = datetime(2019, 1, 1, tzinfo=UTC), datetime(2190, 1, 1, tzinfo=UTC)


def _detect(*samples: Sample) -> Detection:
    return detect(samples, row_forest(), now=NOW)


def test_a_sample_of_the_future_hides_no_spike_of_now() -> None:
    said = _detect(Sample("memory_usage", 0.97, NOW), Sample("memory_usage", 0.3, FUTURE))
    (found,) = said.anomalies
    assert (found.value, found.timestamp, said.total) == (0.97, NOW, 2)
    assert said.notes == (
        "memory_usage: samples more than ten minutes ahead of now were left out, check the clock of what sends them.",
    )


def test_a_sample_of_the_future_is_no_spike_of_now() -> None:
    said = _detect(Sample("memory_usage", 0.3, NOW), Sample("memory_usage", 0.97, FUTURE))
    assert (said.anomalies, len(said.notes)) == ([], 1)


@pytest.mark.parametrize(
    ("time", "note"),
    [
        (FUTURE, "memory_usage: all samples are more than ten minutes ahead of now"),
        (OLD, "memory_usage: the newest sample is more than a day old"),
        (NOW - timedelta(days=1, seconds=1), "memory_usage: the newest sample is more than a day old"),
    ],
)
def test_what_is_of_another_time_alone_is_judged_as_of_then_with_a_note(time: datetime, note: str) -> None:
    said = _detect(Sample("memory_usage", 0.97, time))
    assert [one.timestamp for one in said.anomalies] == [time]
    (told,) = said.notes
    assert told.startswith(note)


@pytest.mark.parametrize("time", [None, NOW, NOW + timedelta(minutes=10), NOW - timedelta(days=1)])
def test_clocks_may_differ_a_little(time: datetime | None) -> None:
    assert _detect(Sample("memory_usage", 0.4, time)).notes == ()


def test_an_old_name_beside_a_new_one_is_noted() -> None:
    said = _detect(Sample("memory_usage", 0.4, OLD), Sample("cpu_usage", 0.4, NOW))
    assert said.notes == (
        "memory_usage: the newest sample is more than a day old; it was judged as of then, not of now.",
    )


def test_a_share_of_unclear_unit_is_noted() -> None:
    (note,) = _detect(Sample("cpu_usage", 1.5)).notes
    assert note.startswith("cpu_usage: above 1 as no share can be")
    assert _detect(Sample("cpu_usage", 1.5), Sample("memory_usage", 45.0)).notes == ()


def test_many_names_are_one_note() -> None:
    (note,) = _detect(*(Sample(f"m{i}", 1.0, OLD) for i in range(7))).notes
    assert note.startswith("m0, m1, m2, m3, m4 and 2 others: the newest")


def test_notes_of_pods_come_once() -> None:
    samples = [Sample("memory_usage", 0.4, OLD, {"pod": pod}) for pod in ("a", "b")]
    said = detect_each(groups_of(samples, NOW), lambda group: _detect(*group.samples), {}, len(samples))
    assert len(said.notes) == 1
