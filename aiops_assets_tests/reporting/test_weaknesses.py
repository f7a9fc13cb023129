"""What a card says against its model follows from figures, and only from them."""

from datetime import UTC, datetime

import pytest

from aiops_assets.judging.statements import Statement
from aiops_assets.reporting.cards.weaknesses import weaknesses
from aiops_assets.storage.records import EvaluationRecord, Gap, SourceReport
from aiops_assets.synthetic.anomalies import ANOMALIES
from aiops_assets_tests.reporting.card_subject import subject
from aiops_assets_tests.snapshot import assert_snapshot

GOOD = {
    "average_precision": 0.9,
    "precision": 0.9,
    "recall": 0.9,
    "false_alarm_rate": 0.001,
    **{f"recall_{kind}": 0.9 for kind in ANOMALIES},
}
ALWAYS = "generated_anomalies"
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
) -> list[Statement]:
    manifest = subject().manifest.model_copy(
        update={"effective_source": effective, "source": source or SourceReport(coverage=1.0)}
    )
    return weaknesses(manifest, judged or evaluation(), GOOD | (figures or {}), RIGHT | (right or {}), EPISODES)


def codes(found: list[Statement]) -> list[str]:
    return [one.code for one in found]


def test_a_good_model_has_the_one_that_all_have() -> None:
    assert codes(said()) == [ALWAYS]


@pytest.mark.parametrize(
    ("figures", "code", "facts"),
    [
        (
            {"recall_memory_leak": 0.499},
            "low_recall",
            {"kind": "memory_leak", "recall": 0.499, "alerted": 1, "episodes": 10},
        ),
        (
            {"recall_cpu_spike": 0.2},
            "low_recall_in_episodes",
            {"kind": "cpu_spike", "recall": 0.2, "alerted": 9, "episodes": 10},
        ),
        (
            {"recall_restart_storm": 0.0},
            "low_recall",
            {"kind": "restart_storm", "recall": 0.0, "alerted": 0, "episodes": 0},
        ),
        ({"precision": 0.4}, "low_precision", {"precision": 0.4}),
        ({"false_alarm_rate": 0.01}, "false_alarms", {"daily": pytest.approx(2.88)}),
    ],
)
def test_weak_figures(figures: dict[str, float], code: str, facts: dict[str, object]) -> None:
    weak, _ = found = said(figures)
    assert codes(found) == [code, ALWAYS]
    assert weak.facts == facts


def test_a_recall_of_half_is_no_weakness() -> None:
    assert codes(said({"recall_memory_leak": 0.5})) == [ALWAYS]


def test_kinds_that_nobody_judged_it_by_are_named() -> None:
    figures = {name: value for name, value in GOOD.items() if name not in ("recall_network_burst", "recall_cpu_spike")}
    found = weaknesses(subject().manifest, None, figures, {}, {})
    (unjudged,) = (one for one in found if one.code == "unjudged_kinds")
    assert unjudged.facts["kinds"] == ["cpu_spike", "network_burst"]


def test_a_metric_that_is_named_wrongly() -> None:
    weak = said(right={"cpu_spike": 0.89})[0]
    assert (weak.code, weak.facts) == ("wrong_metric_first", {"kind": "cpu_spike", "share": 0.89})
    assert codes(said(right={"cpu_spike": 0.9})) == [ALWAYS]


@pytest.mark.parametrize(("high", "is_sure"), [(0.05, False), (-0.01, True)])
def test_one_that_ranks_worse_than_its_opponent(high: float, is_sure: bool) -> None:
    weak = said(judged=evaluation(gap=Gap(value=-0.03, low=-0.1, high=high)))[0]
    assert weak.code == "worse_than_opponent"
    assert weak.facts == {"opponent": "champion version 1", "difference": -0.03, "is_sure": is_sure}


def test_differences_that_nobody_would_notice_are_no_weakness() -> None:
    assert codes(said(judged=evaluation(gap=Gap(value=-0.01, low=-0.02, high=-0.005)))) == [ALWAYS]


def test_few_anomalous_rows_say_little() -> None:
    weak = said(judged=evaluation(anomalous=29))[0]
    assert (weak.code, weak.facts) == ("few_anomalous_rows", {"rows": 29})
    assert codes(said(judged=evaluation(anomalous=30))) == [ALWAYS]


SOURCE = SourceReport(
    note="the server was away",
    cached_age_seconds=7200,
    coverage=0.6,
    missing_share=0.2,
    warnings=("a node was silent", "a pod has no limit"),
)


def test_what_is_wrong_with_its_data_is_said() -> None:
    assert [(one.code, one.facts) for one in said(source=SOURCE, effective="synthetic")] == [
        (ALWAYS, {}),
        ("generated_rows", {}),
        ("other_source", {"note": SOURCE.note}),
        ("cached_rows", {"hours": 2.0}),
        ("missing_samples", {"coverage": 0.6}),
        ("gaps", {"share": 0.2}),
        ("warned", {"warning": SOURCE.warnings[0]}),
        ("warned", {"warning": SOURCE.warnings[1]}),
    ]


def test_the_wordings_are_those_that_were_agreed() -> None:
    weak = {"recall_memory_leak": 0.499, "recall_cpu_spike": 0.2, "recall_restart_storm": 0.0, "precision": 0.4}
    gaps = [Gap(value=-0.03, low=-0.1, high=high) for high in (0.05, -0.01)]
    found = [
        *said({**weak, "false_alarm_rate": 0.01}, right={"cpu_spike": 0.89}, source=SOURCE, effective="synthetic"),
        *(one for gap in gaps for one in said(judged=evaluation(anomalous=29, gap=gap))),
        *weaknesses(subject().manifest, None, {"recall_cpu_spike": 1.0}, {}, {}),
    ]
    wordings = dict.fromkeys(f"{one.code}: {one.text}" for one in found)
    assert_snapshot("detector_weaknesses", "".join(f"{line}\n" for line in wordings))
