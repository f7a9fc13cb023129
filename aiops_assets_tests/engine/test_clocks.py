"""Samples of the future, and of long ago."""

from datetime import UTC, datetime, timedelta

import pytest

from aiops_assets.engine.detection.anomalies import Detection, detect
from aiops_assets.engine.each_pod import detect_each
from aiops_assets.engine.pods import groups_of
from aiops_assets.engine.samples import Sample
from aiops_assets_tests.engine.row_forest import row_forest
from aiops_assets_tests.engine.situations import NOW
from aiops_assets_tests.engine.statements import as_data

OLD, FUTURE = datetime(2019, 1, 1, tzinfo=UTC), datetime(2190, 1, 1, tzinfo=UTC)


def _detect(*samples: Sample) -> Detection:
    return detect(samples, row_forest(), now=NOW)


def test_a_sample_of_the_future_hides_no_spike_of_now() -> None:
    said = _detect(Sample("memory_usage", 0.97, NOW), Sample("memory_usage", 0.3, FUTURE))
    (found,) = said.anomalies
    assert (found.value, found.timestamp, said.total) == (0.97, NOW, 2)
    assert as_data(said.notes) == [("future_left_out", {"names": {"memory_usage"}})]


def test_a_sample_of_the_future_is_no_spike_of_now() -> None:
    said = _detect(Sample("memory_usage", 0.3, NOW), Sample("memory_usage", 0.97, FUTURE))
    assert (said.anomalies, [one.code for one in said.notes]) == ([], ["future_left_out"])


@pytest.mark.parametrize(
    ("time", "note"),
    [
        (FUTURE, "all_future"),
        (OLD, "old"),
        (NOW - timedelta(days=1, seconds=1), "old"),
    ],
)
def test_what_is_of_another_time_alone_is_judged_as_of_then_with_a_note(time: datetime, note: str) -> None:
    said = _detect(Sample("memory_usage", 0.97, time))
    assert [one.timestamp for one in said.anomalies] == [time]
    assert as_data(said.notes) == [(note, {"names": {"memory_usage"}})]


@pytest.mark.parametrize("time", [None, NOW, NOW + timedelta(minutes=10), NOW - timedelta(days=1)])
def test_clocks_may_differ_a_little(time: datetime | None) -> None:
    assert _detect(Sample("memory_usage", 0.4, time)).notes == ()


def test_an_old_name_beside_a_new_one_is_noted() -> None:
    said = _detect(Sample("memory_usage", 0.4, OLD), Sample("cpu_usage", 0.4, NOW))
    assert as_data(said.notes) == [("old", {"names": {"memory_usage"}})]


def test_a_share_of_unclear_unit_is_noted() -> None:
    assert as_data(_detect(Sample("cpu_usage", 1.5)).notes) == [("unclear_unit", {"names": {"cpu_usage"}})]
    assert _detect(Sample("cpu_usage", 1.5), Sample("memory_usage", 45.0)).notes == ()


def test_many_names_are_one_note() -> None:
    notes = _detect(*(Sample(f"m{i}", 1.0, OLD) for i in range(7))).notes
    names = {f"m{i}" for i in range(7)}
    assert as_data(notes) == [("old", {"names": names}), ("not_judged", {"names": names, "least": 10})]


def test_notes_of_pods_come_once() -> None:
    samples = [Sample("memory_usage", 0.4, OLD, {"pod": pod}) for pod in ("a", "b")]
    said = detect_each(groups_of(samples, NOW), lambda group: _detect(*group.samples), {}, len(samples))
    assert as_data(said.notes) == [("old", {"names": {"memory_usage"}})]
