"""The figures of one labelled series: worked by hand, and against the package of VUS-PR's authors."""

from dataclasses import astuple

import numpy as np
import pandas as pd
import pytest

from aiops_assets.errors import DataError
from aiops_assets.judging.detection.series_figures import (
    DetectionFigures,
    Events,
    aggregate,
    buffer_samples,
    detection_figures,
    figures_of_frames,
    vus_pr,
)
from aiops_assets_tests.judging.vus_reference import REFERENCE, case
from aiops_assets_tests.raising import raises

HOUR = 3600


def _flags(text: str) -> np.ndarray:
    """A character a sample: "x" is true."""
    return np.array([character == "x" for character in text])


@pytest.mark.parametrize("name", REFERENCE)
def test_the_volume_is_that_of_the_authors_package(name: str) -> None:
    labels, scores, buffer = case(name)
    assert vus_pr(labels == 1, scores, buffer) == pytest.approx(REFERENCE[name], abs=1e-12)


def test_without_a_buffer_the_volume_is_the_precision_at_each_step_of_recall() -> None:
    """Four scores, one threshold each: recall rises at the first (precision 1) and at the third (precision 2/3)."""
    labels, scores = _flags("x.x."), np.array([4.0, 3.0, 2.0, 1.0])
    # Two events: at the first threshold only one of them is touched, so recall 1/2 counts half.
    assert vus_pr(labels, scores, 0) == pytest.approx(1 / 4 * 1 + 3 / 4 * 2 / 3)


def test_a_sample_beside_an_event_counts_partly() -> None:
    """Width 2 reaches one sample: it is worth sqrt(1 - 1/2). Widths 0 and 1 reach none."""
    labels, scores = _flags("..x."), np.array([0.0, 2.0, 1.0, 0.0])
    root = np.sqrt(0.5)
    # Thresholds 2 (the neighbour), 1 (and the event), 0 (all, the other neighbour too).
    touched_early = root / (1 + root / 2)
    assert vus_pr(labels, scores, 1) == pytest.approx(1 / 2)
    wide = touched_early * root + (1 - touched_early) * (1 + root) / 2
    assert vus_pr(labels, scores, 2) == pytest.approx((1 / 2 + 1 / 2 + wide) / 3)


def test_events_at_both_ends_are_found() -> None:
    events = Events.of(_flags("xx..x...x"))
    assert [(event.start, event.stop) for event in events] == [(0, 2), (4, 5), (8, 9)]
    assert (events.widened(1) == _flags("xxxxxx.xx")).all()
    assert len(Events.of(_flags("...."))) == 0


@pytest.mark.parametrize(
    ("lengths", "step", "buffer"),
    [
        ((), 60, 4),
        ((1, 2, 1), 60, 4),
        ((10, 20, 30), 60, 20),
        ((10, 21), 60, 15),
        ((500,), 60, 60),
        ((500,), 300, 12),
        ((500,), HOUR, 4),
        ((5, 5), 1800, 4),
    ],
)
def test_the_buffer_is_the_median_event_within_limits(lengths: tuple[int, ...], step: int, buffer: int) -> None:
    labels = np.concatenate([[False] * 3, *([True] * n + [False] * 3 for n in lengths)])
    assert buffer_samples(Events.of(labels), step) == buffer


def test_alerts_worked_by_hand() -> None:
    """Hourly rows, L = 4: two samples around each event are buffer."""
    labels = _flags("..........xxxx..........xx....xx........")
    alerts = _flags(".x.x....x...xx.x......................xx")
    figures = detection_figures(labels, alerts.astype(float), alerts, HOUR)
    # 8 alerted samples: 4 in the first event or its buffer (8, 12, 13, 15); 1 and 3 are an episode, 38 and 39 another.
    assert figures.event_precision == pytest.approx(4 / 8)
    assert figures.event_recall == pytest.approx(1 / 3)
    assert figures.event_f1 == pytest.approx(2 * (1 / 2) * (1 / 3) / (1 / 2 + 1 / 3))
    assert figures.false_alarms_per_day == pytest.approx(2 / (32 / 24))
    # 40 samples less 8 (first event and buffer) and 12 (the other two, whose buffers meet).
    assert figures.normal_time_under_alert == pytest.approx(4 / 20)
    assert figures.delay_minutes == pytest.approx(2 * 60)
    assert (figures.rows, figures.events) == (40, 3)


def test_pages_worked_by_hand() -> None:
    """A row each half hour, L = 4: two samples around each event are buffer; pages up to an hour apart are one."""
    labels = _flags("..........xxxx..........xx....xx........")
    pages = _flags("x.x..x..x...x...........................")
    figures = detection_figures(labels, np.zeros(40), np.ones(40), 1800, pages)
    assert figures.page_recall == pytest.approx(1 / 3)
    # 0 and 2 are an episode, 5 is another, 8 is in a buffer; 20 of the 40 samples are outside events and buffers.
    assert figures.false_pages_per_day == pytest.approx(2 / (20 / 48))
    assert figures.fault_free_days == pytest.approx(20 / 48)
    assert figures.event_recall == 1.0


def test_scores_without_pages_have_no_figures_of_pages() -> None:
    times = pd.date_range("2026-03-01", periods=6, freq="h", tz="UTC")
    labels = pd.DataFrame({"timestamp": times, "split": "test", "label": [0, 0, 0, 1, 1, 0]})
    scored = pd.DataFrame({"timestamp": times, "score": 0.0, "alert": True})
    assert figures_of_frames(labels, scored).page_recall is None
    paged = scored.assign(page=[False] * 4 + [True, False]).drop(index=[0])
    assert figures_of_frames(labels, paged).page_recall == 1.0


def test_the_delay_is_the_median_over_the_events_that_were_caught() -> None:
    labels = _flags("xxxx......xxxx......xxxx......xxxx")
    alerts = _flags("x............x.......x............")
    assert detection_figures(labels, alerts, alerts, 300).delay_minutes == pytest.approx(5.0)


def test_an_alert_that_is_always_on_has_all_events_and_all_of_the_time() -> None:
    labels = _flags("....................xxxx....................")
    figures = detection_figures(labels, np.zeros(44), np.ones(44), 60)
    assert figures.normal_time_under_alert == figures.event_recall == 1.0
    assert figures.event_precision == pytest.approx(8 / 44)
    assert figures.delay_minutes == 0.0
    assert figures.auc_pr == pytest.approx(4 / 44)


def test_a_perfect_detector_and_a_silent_one() -> None:
    labels = _flags("....................xxxx....................")
    perfect = detection_figures(labels, labels, labels, 60)
    assert perfect.auc_pr == perfect.event_f1 == 1.0
    assert perfect.false_alarms_per_day == perfect.normal_time_under_alert == 0.0
    silent = detection_figures(labels, np.arange(44), np.zeros(44), 60)
    assert silent.event_f1 == silent.event_precision == silent.event_recall == 0.0
    assert silent.delay_minutes is None
    assert "delay_minutes" not in silent.as_metrics()


def test_without_events_only_false_alarms_can_be_said() -> None:
    alerts = _flags("..xx......................x......................")
    figures = detection_figures(np.zeros(49), np.zeros(49), alerts, 1800)
    assert figures.false_alarms_per_day == pytest.approx(2 / (49 / 48))
    assert figures.normal_time_under_alert == pytest.approx(3 / 49)
    assert set(figures.as_metrics()) == {"rows", "events", "false_alarms_per_day", "normal_time_under_alert"}


def test_all_rows_anomalous_leaves_no_normal_time() -> None:
    figures = detection_figures(np.ones(9), np.arange(9), np.ones(9), 60)
    assert figures.false_alarms_per_day == figures.normal_time_under_alert == 0.0
    assert figures.event_f1 == figures.auc_pr == 1.0


@pytest.mark.parametrize("unknown", [np.nan, np.inf, -np.inf])
def test_a_score_that_is_not_finite_counts_as_the_lowest(unknown: float) -> None:
    labels, scores, _ = case("plain 21")
    gone = np.arange(len(scores)) % 5 == 0
    gone[scores.argmin()] = False
    holes, lowest = np.where(gone, unknown, scores), np.where(gone, scores.min(), scores)
    assert detection_figures(labels, holes, labels, 60) == detection_figures(labels, lowest, labels, 60)
    nothing = detection_figures(labels, np.full(len(labels), unknown), labels, 60)
    assert nothing.auc_pr == pytest.approx(labels.mean())


@pytest.mark.parametrize(
    ("labels", "scores", "alerts", "step"),
    [([], [], [], 60), ([0, 1], [1.0], [0, 1], 60), ([0, 1], [1.0, 2.0], [1], 60), ([0, 1], [1.0, 2.0], [0, 1], 0)],
)
def test_what_cannot_be_judged_is_an_error(
    labels: list[int], scores: list[float], alerts: list[int], step: int
) -> None:
    lengths = (len(labels), len(scores), len(alerts))
    with raises(DataError, "unequal_lengths", lengths=lengths, step_seconds=step):
        detection_figures(labels, scores, alerts, step)


def _labelled() -> tuple[pd.DataFrame, pd.DataFrame]:
    labels = np.zeros(60, dtype=int)
    labels[40:46] = 1
    times = pd.date_range("2026-03-01", periods=60, freq="5min", tz="UTC", unit="ms")
    truth = pd.DataFrame({"timestamp": times, "split": ["train"] * 20 + ["test"] * 40, "label": labels})
    scores = np.random.default_rng(1).normal(size=60) + labels
    return truth, pd.DataFrame({"timestamp": times.as_unit("ns"), "score": scores, "alert": scores > 1})


def test_only_test_rows_are_judged_in_order_of_time_whatever_the_order_of_the_scores() -> None:
    truth, scored = _labelled()
    expected = detection_figures(truth["label"][20:], scored["score"][20:], scored["alert"][20:], 300)
    assert figures_of_frames(truth, scored) == expected
    shuffled = pd.concat([scored, scored.iloc[::3].assign(score=99.0)]).iloc[::-1].sort_values("score", kind="stable")
    assert figures_of_frames(truth.sample(frac=1, random_state=1), shuffled[shuffled["score"] < 99]) == expected
    twice = pd.concat([scored, scored.assign(score=99.0, alert=True)])
    assert figures_of_frames(truth, twice) == expected


def test_a_row_without_a_score_is_lowest_and_silent() -> None:
    truth, scored = _labelled()
    gone = np.arange(60) % 7 == 0
    filled = scored.assign(
        score=scored["score"].where(~gone, scored["score"][~gone].min()), alert=scored["alert"] & ~gone
    )
    assert figures_of_frames(truth, scored[~gone]) == figures_of_frames(truth, filled)


def test_a_series_without_test_rows_is_an_error() -> None:
    truth, scored = _labelled()
    with raises(DataError, "no_test_row"):
        figures_of_frames(truth.assign(split="train"), scored)


def _figures(vus: float | None, per_day: float) -> DetectionFigures:
    return DetectionFigures(10, 0 if vus is None else 1, vus, vus, vus, vus, vus, per_day, 0.1, None)


def test_means_are_first_within_data_sets_then_over_them() -> None:
    summary = aggregate({"a__1": _figures(0.2, 1), "a__2": _figures(0.4, 3), "b__1": _figures(0.9, 5)})
    assert summary.datasets["a"].vus_pr == pytest.approx(0.3)
    assert summary.macro.vus_pr == pytest.approx(0.6)
    assert summary.macro.false_alarms_per_day == pytest.approx(3.5)
    assert (summary.macro.rows, summary.macro.events) == (30, 3)
    assert summary.macro.delay_minutes is None


def test_what_is_not_known_is_left_out_of_a_mean() -> None:
    summary = aggregate({"a__1": _figures(None, 1), "a__2": _figures(0.4, 3), "b__1": _figures(None, 4)})
    assert summary.datasets["a"].vus_pr == summary.macro.vus_pr == 0.4
    assert astuple(summary.datasets["b"])[2:7] == (None,) * 5
    assert summary.macro.false_alarms_per_day == pytest.approx(3.0)
