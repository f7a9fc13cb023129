"""Challenger beside champion: the frame of scores, what it comes to, and over several windows."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from aiops_assets.errors import ModelError
from aiops_assets.judging.detection import gate
from aiops_assets.judging.detection.figures import Figures
from aiops_assets.judging.detection.shadow import (
    COLUMNS,
    SideBySide,
    busiest,
    compare,
    episodes_caught,
    first_by_kind,
    first_contributors,
    right_first,
    side_by_side,
    summary_of,
)
from aiops_assets.learners.contracts import Scored
from aiops_assets.timeseries.catalog import POD_CPU, POD_MEMORY, RESTARTS
from aiops_assets.views.pod_series import VALUES
from aiops_assets_tests.raising import raises
from aiops_assets_tests.snapshot import assert_snapshot

STEP = pd.Timedelta(minutes=5)


def rows_of(kinds: str, pod: str = "web", source: str = "synthetic") -> pd.DataFrame:
    """A row every five minutes: n is normal, c, m and r are the kinds, a blank is no row."""
    names = {"n": "normal", "c": "cpu_spike", "m": "memory_leak", "r": "restart_storm"}
    begin = pd.Timestamp("2026-11-01", tz="UTC")
    return pd.DataFrame(
        [
            {"timestamp": begin + i * STEP, "pod": pod, "source": source, "label": int(k != "n"), "kind": names[k]}
            for i, k in enumerate(kinds)
            if k != " "
        ]
    )


def scored(score: list[float], alert: str, contributions: np.ndarray | None = None) -> Scored:
    """Alerts are the rows with an exclamation mark."""
    shares = np.zeros((len(score), 5)) if contributions is None else contributions
    return Scored(np.array(score), np.array([mark == "!" for mark in alert]), shares)


def frame_of(kinds: str, challenger: str, champion: str | None = None, pod: str = "web") -> pd.DataFrame:
    """Scores are 1 where there is an alert and 0 elsewhere."""
    rows = rows_of(kinds, pod)
    both = [
        None if marks is None else scored([float(mark == "!") for mark in marks], marks)
        for marks in (challenger, champion)
    ]
    assert both[0] is not None
    return side_by_side(rows, both[0], both[1], np.full(len(rows), "", dtype=object))


def test_the_frame_holds_what_both_said_and_survives_parquet(tmp_path: Path) -> None:
    rows = rows_of("nncn").assign(extra=1.0)
    first = np.array(["", "", "pod_cpu_usage", ""], dtype=object)
    frame = side_by_side(rows, scored([0.1, 0.2, 0.9, 0.3], "..!."), scored([1.0, 2.0, 3.0, 4.0], "...!"), first)
    assert tuple(frame) == COLUMNS
    assert frame["challenger_score"].tolist() == [0.1, 0.2, 0.9, 0.3]
    assert frame["champion_alert"].tolist() == [False, False, False, True]
    assert frame["challenger_first"].tolist() == first.tolist()
    frame.to_parquet(tmp_path / "f.parquet", index=False)
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "f.parquet"), frame, check_dtype=False)


def test_without_a_champion_its_columns_hold_nothing() -> None:
    frame = frame_of("nncn", "..!.")
    assert frame["champion_score"].isna().all()
    assert frame["champion_alert"].isna().all()
    both = compare(frame)
    assert both.challenger.average_precision == 1.0
    assert (both.champion, both.alerts_agree, both.rank_correlation) == (None, None, None)


def test_both_are_judged_on_the_same_rows() -> None:
    rows = rows_of("nncnnm")
    challenger = scored([0.1, 0.2, 0.9, 0.3, 0.4, 0.8], "..!..!")
    champion = scored([0.1, 0.9, 0.8, 0.3, 0.4, 0.2], ".!!...")
    both = compare(side_by_side(rows, challenger, champion, np.full(6, "", dtype=object)))
    assert both.champion
    assert (both.challenger.average_precision, both.challenger.false_alarm_rate) == (1.0, 0.0)
    # Its anomalous rows are second and fifth of six: (1/2 + 2/5) / 2.
    assert both.champion.average_precision == pytest.approx(0.45)
    assert both.champion.false_alarm_rate == 0.25
    assert both.alerts_agree == pytest.approx(4 / 6)
    # Spearman's by hand: ranks 1 2 6 3 4 5 and 1 6 5 3 4 2; 1 - 6 * (16 + 1 + 9) / (6 * 35).
    assert both.rank_correlation == pytest.approx(1 - 6 * 26 / 210)


def test_one_model_twice_agrees_with_itself() -> None:
    frame = frame_of("nncn", "..!.", "..!.")
    both = compare(frame)
    assert both.challenger == both.champion
    assert both.alerts_agree == 1.0
    assert both.rank_correlation == pytest.approx(1.0)


def test_scores_that_are_all_alike_have_no_ranks() -> None:
    assert compare(frame_of("nncn", "..!.", "....")).rank_correlation is None


def test_no_row_at_all_is_no_error() -> None:
    both = compare(frame_of("nc", "..", "..").iloc[:0])
    assert (both.challenger.rows, both.challenger.average_precision, both.alerts_agree) == (0, None, None)


def test_a_challenger_without_scores_is_an_error() -> None:
    frame = frame_of("nncn", "..!.")
    frame.loc[1, "challenger_score"] = np.nan
    with raises(ModelError, "not_finite"):
        compare(frame)


def nobody_is_asked_again(rows: pd.DataFrame) -> Scored:
    raise AssertionError(rows)


def test_the_loudest_metric_is_named_where_people_would_look() -> None:
    shares = np.zeros((4, 5))
    shares[0] = shares[2] = [0.1, 0.0, 0.6, 0.3, 0.0]
    found = first_contributors(nobody_is_asked_again, VALUES, rows_of("nncn"), scored([0.0] * 4, "...!", shares))
    # The second row is normal and quiet, the last one is under alert and its contributions are not known.
    assert found.tolist() == ["", "", VALUES[2], ""]


def test_contributions_that_were_left_out_are_computed_for_the_rows_that_people_would_look_at() -> None:
    asked = []

    def explain(rows: pd.DataFrame) -> Scored:
        asked.append(rows["kind"].tolist())
        return scored([0.0] * len(rows), "." * len(rows), np.eye(5)[: len(rows)])

    rows = rows_of("ncnn")
    found = first_contributors(explain, VALUES, rows, scored([0.0] * 4, "...!"))
    assert asked == [["cpu_spike", "normal"]]
    assert found.tolist() == ["", VALUES[0], "", VALUES[1]]
    assert first_contributors(explain, VALUES, rows[:1], scored([0.0], ".")).tolist() == [""]
    assert len(asked) == 1


def test_an_episode_is_one_run_of_a_kind_in_one_pod() -> None:
    frame = pd.concat(
        [
            #         two spikes, a leak; of a spike with two rows the second one is caught
            frame_of("nccnncnmmn", "..!....!!."),
            # the same kind in another pod, missed
            frame_of("ccnn", "..!!", pod="db"),
        ],
        ignore_index=True,
    )
    expected = {"cpu_spike": (1, 3), "memory_leak": (1, 1)}
    assert episodes_caught(frame) == expected
    assert episodes_caught(frame.sample(frac=1.0, random_state=1)) == expected


def test_rows_of_a_draw_are_one_episode_when_they_may_be() -> None:
    # A spike lasts half an hour at most, a leak six hours.
    assert episodes_caught(frame_of("c      c", "!.")) == {"cpu_spike": (1, 2)}
    assert episodes_caught(frame_of("m      m", "!.")) == {"memory_leak": (1, 1)}
    assert episodes_caught(frame_of("nn", "..")) == {}


def test_shares_of_first_contributions_and_whether_they_are_right() -> None:
    frame = frame_of("cccmmr", "......")
    frame["challenger_first"] = ["pod_cpu_usage", "node_cpu_utilization", "", "pod_memory_usage", "pod_cpu_usage", ""]
    metrics = (POD_CPU.name, POD_MEMORY.name, RESTARTS.name, "node_cpu_utilization")
    shares = first_by_kind(frame, metrics)
    assert tuple(shares) == metrics
    # Nothing is said of the storm.
    assert list(shares.index) == ["cpu_spike", "memory_leak"]
    assert shares.to_numpy().tolist() == [[0.5, 0.0, 0.0, 0.5], [0.5, 0.5, 0.0, 0.0]]
    assert right_first(shares) == {"cpu_spike": 1.0, "memory_leak": 0.5}
    assert right_first(first_by_kind(frame.iloc[:0], metrics)) == {}


def test_the_pod_with_most_to_show_is_drawn() -> None:
    one_kind, two_kinds = "n" * 47 + "cccc", "n" * 47 + "cm"
    frame = pd.concat([frame_of(k, "." * len(k), pod=p) for k, p in ((one_kind, "a"), (two_kinds, "b"))])
    pod, rows = busiest(frame.sample(frac=1.0, random_state=1))
    assert pod == "b"
    assert set(rows["pod"]) == {"b"}
    assert rows["timestamp"].is_monotonic_increasing


def test_pods_with_few_rows_are_drawn_together() -> None:
    pod, rows = busiest(frame_of("ncnn", "...."))
    assert (pod, len(rows)) == ("", 4)


def figures(precision: float | None, alarms: float | None) -> Figures:
    return Figures(100, 10, precision, None, None, None, None, alarms, {})


def beside(new: float | None, old: float | None, agree: float = 0.9) -> SideBySide:
    return SideBySide(figures(new, 0.01), figures(old, 0.03), agree, 0.5)


def test_windows_are_counted_not_pooled() -> None:
    alone = SideBySide(figures(0.5, 0.1), None, None, None)
    windows = [
        (True, beside(0.6, 0.5)),
        (True, beside(0.5, 0.6, agree=1.0)),
        (True, beside(0.51, 0.5)),
        (True, beside(None, None)),
        (True, alone),  # the champion could not be asked
        (False, beside(0.5, 0.5)),  # one model
    ]
    summaries = [summary_of(windows), summary_of([(False, beside(0.5, 0.5))])]
    assert_snapshot("detector_shadows", "".join(f"{line}\n" for line in summaries))


def test_the_noise_of_a_models_own_figures() -> None:
    rng = np.random.default_rng(1)
    kinds = "".join(rng.choice(list("nnnnnnnnnc"), 3000))
    rows = rows_of(kinds)
    truth = rows["label"].to_numpy()
    said = Scored(truth + rng.normal(0, 0.7, len(rows)), rng.random(len(rows)) < 0.02, np.zeros((len(rows), 0)))
    precision, alarms = gate.noise(rows, said, seed=1)
    both = gate.compare(rows, said, said, "itself", seed=1)
    assert precision
    assert alarms
    assert precision.value == pytest.approx(both.challenger_figures.average_precision, abs=1e-3)
    assert alarms.value == pytest.approx(both.challenger_figures.false_alarm_rate)
    assert precision.low < precision.value < precision.high
    assert alarms.low < alarms.value < alarms.high
    assert (
        gate.noise(rows[truth == 0], Scored(said.score[truth == 0], said.alert[truth == 0], said.contributions), 1)[0]
        is None
    )
