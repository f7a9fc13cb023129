"""What a card says against its model follows from figures, and only from them."""

from datetime import UTC, datetime

import pytest

from aiops_assets.reporting.cards.weaknesses import weaknesses
from aiops_assets.storage.records import EvaluationRecord, Gap, SourceReport
from aiops_assets_tests.reporting.card_subject import subject

GOOD = {
    "average_precision": 0.9,
    "precision": 0.9,
    "recall": 0.9,
    "false_alarm_rate": 0.001,
    "recall_cpu_spike": 0.9,
    "recall_memory_leak": 0.9,
    "recall_network_burst": 0.9,
    "recall_restart_storm": 0.9,
}
ALWAYS = "The anomalies that it was judged by were generated, not incidents that people saw."
RIGHT = {"cpu_spike": 0.95}
EPISODES = {"cpu_spike": (9, 10), "memory_leak": (1, 10)}


def evaluation(anomalous: int = 100, gap: Gap | None = None) -> EvaluationRecord:
    return EvaluationRecord(
        name="m", version=2, when=datetime(2026, 11, 1, tzinfo=UTC), dagster_run_id="r", data_version="d",
        effective_source="prometheus", holdout_rows=1000, anomalous_rows=anomalous, figures=GOOD,
        opponent="champion version 1", gaps={"average_precision": gap} if gap else {}, decision="promote",
        reason="not worse",
    )  # fmt: skip


def said(
    figures: dict[str, float] | None = None,
    right: dict[str, float] | None = None,
    judged: EvaluationRecord | None = None,
    source: SourceReport | None = None,
    effective: str = "prometheus",
) -> list[str]:
    manifest = subject().manifest.model_copy(
        update={"effective_source": effective, "source": source or SourceReport(coverage=1.0)}
    )
    return weaknesses(manifest, judged or evaluation(), GOOD | (figures or {}), RIGHT | (right or {}), EPISODES)


def test_a_good_model_has_the_one_that_all_have() -> None:
    assert said() == [ALWAYS]


@pytest.mark.parametrize(
    ("figures", "sentence"),
    [
        (
            {"recall_memory_leak": 0.499},
            "It misses most of a memory leak: 50% of the anomalous rows are under alert, and 1 of 10 episodes have an "
            "alert.",
        ),
        (
            {"recall_cpu_spike": 0.2},
            "Its alerts cover little of a cpu spike: 20% of the anomalous rows; 9 of 10 episodes have one.",
        ),
        ({"recall_restart_storm": 0.0}, "It misses most of a restart storm: 0% of the anomalous rows are under alert."),
        ({"precision": 0.4}, "Most of its alerts are wrong: 40% of the rows under alert are anomalous."),
        (
            {"false_alarm_rate": 0.01},
            "On average 2.9 normal rows a pod and day are under alert; a day has 288 rows.",
        ),
    ],
)
def test_weak_figures(figures: dict[str, float], sentence: str) -> None:
    assert said(figures) == [sentence, ALWAYS]


def test_a_recall_of_half_is_no_weakness() -> None:
    assert said({"recall_memory_leak": 0.5}) == [ALWAYS]


def test_kinds_that_nobody_judged_it_by_are_named() -> None:
    figures = {name: value for name, value in GOOD.items() if name not in ("recall_network_burst", "recall_cpu_spike")}
    found = weaknesses(subject().manifest, None, figures, {}, {})
    assert "It was never judged on: cpu spike, network burst. The hold-out has no such row." in found


def test_a_metric_that_is_named_wrongly() -> None:
    assert said(right={"cpu_spike": 0.89})[0].endswith("one that changed comes first in 89% of the anomalous rows.")
    assert said(right={"cpu_spike": 0.9}) == [ALWAYS]


@pytest.mark.parametrize(
    ("gap", "sentence"),
    [
        (Gap(value=-0.03, low=-0.1, high=0.05), "-0.030 of average precision, which may be noise."),
        (Gap(value=-0.03, low=-0.1, high=-0.01), "-0.030 of average precision, beyond the noise."),
    ],
)
def test_one_that_ranks_worse_than_its_opponent(gap: Gap, sentence: str) -> None:
    assert said(judged=evaluation(gap=gap))[0] == f"It ranks rows worse than champion version 1: {sentence}"


def test_differences_that_nobody_would_notice_are_no_weakness() -> None:
    assert said(judged=evaluation(gap=Gap(value=-0.01, low=-0.02, high=-0.005))) == [ALWAYS]


def test_few_anomalous_rows_say_little() -> None:
    assert said(judged=evaluation(anomalous=29))[0].startswith("It was judged by 29 anomalous rows")
    assert said(judged=evaluation(anomalous=30)) == [ALWAYS]


def test_what_is_wrong_with_its_data_is_said() -> None:
    source = SourceReport(
        note="the server was away",
        cached_age_seconds=7200,
        coverage=0.6,
        missing_share=0.2,
        warnings=("a node was silent", "a pod has no limit"),
    )
    assert said(source=source, effective="synthetic") == [
        ALWAYS,
        "It never saw a real cluster: all its rows were generated.",
        "Its rows are not those that were asked for: the server was away.",
        "Its newest rows had been fetched 2.0 hours before.",
        "Of the samples of its window 60% are there.",
        "Gaps in the metrics cost 20% of its rows.",
        "Of its data was said: a node was silent.",
        "Of its data was said: a pod has no limit.",
    ]
