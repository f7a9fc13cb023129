"""Reasons as data: every code has its words, and only the words are a sentence."""

from dataclasses import FrozenInstanceError
from datetime import UTC, datetime
from typing import Any

import pytest

from aiops_assets.judging.bootstrap import Difference
from aiops_assets.judging.decision import Reason
from aiops_assets.judging.wording import WORDINGS, DetectionFacts, ForecastFacts, Measured
from aiops_assets_tests.snapshot import assert_snapshot

SURE = Difference(-0.25, -0.3, -0.2)
DETECTION = DetectionFacts(Measured(0.5, 0.75, SURE), Measured(0.0125, 0.01, Difference(0.0025, 0.0, 0.005)))
FORECAST = ForecastFacts(
    trivial={"seasonal_naive": SURE, "median_24h": Difference(0.1, -0.1, 0.3)},
    ratios={"seasonal_naive": {"1h": 0.75, "6h": 0.8}, "median_24h": {"1h": 1.1}},
    opponent="champion version 3",
    error=SURE,
    coverage={"1h": 0.81, "6h": 0.79},
)
CHAMPION, NULL = "champion version 3", "the null model"
TIED: dict[str, Any] = {"beaten": ("median_24h",), "ties": True}
WON: dict[str, Any] = {"beaten": ("seasonal_naive", "median_24h"), "ties": False}
VETO: dict[str, Any] = {
    "name": "anomaly-detector",
    "version": 4,
    "who": "ada",
    "when": datetime(2026, 10, 31, 12, tzinfo=UTC),
    "note": "it pages: at night",
}
REASONS = [
    Reason("already_champion", version=3),
    Reason("same_model", champion=3),
    Reason("vetoed", vetoed=4, **VETO),
    Reason("vetoed", vetoed=2, **VETO),
    Reason("synthetic_after_real", champion_source="prometheus"),
    Reason("synthetic_after_real", champion_source="prometheus", damage="model.joblib is lost"),
    Reason("champion_damaged", damage="model.joblib is lost"),
    Reason("no_anomalous_row"),
    Reason("first_by_false_alarms", saw=None, figures=DetectionFacts(None, DETECTION.false_alarm_rate)),
    Reason("worse_false_alarms", figures=DetectionFacts(None, DETECTION.false_alarm_rate)),
    Reason("not_better_than_guessing", over_chance=Difference(0.01, -0.02, 0.04), figures=DETECTION),
    Reason("worse_than_opponent", worse=("average precision", "false alarms"), opponent=CHAMPION, figures=DETECTION),
    Reason("worse_than_opponent", worse=("mean absolute error",), opponent=CHAMPION, figures=FORECAST),
    Reason("loses_to_null_model", figures=DETECTION),
    Reason("holdout_too_small", rows=20, anomalous=1, blocks=1, figures=DETECTION),
    Reason("first_not_worse", saw=None, opponent=NULL, figures=DETECTION),
    Reason("first_not_worse", saw="prometheus", opponent=NULL, figures=DETECTION),
    Reason("not_worse", opponent=CHAMPION, figures=DETECTION),
    Reason("no_origin"),
    Reason("worse_than_trivial", figures=FORECAST),
    Reason("loses_to_trivial", lost=("seasonal_naive",), figures=FORECAST),
    Reason("intervals_too_narrow", inside=0.42, figures=FORECAST),
    Reason("too_few_origins", origins=5, figures=FORECAST),
    Reason("first_beats_trivial", saw=None, **WON, figures=FORECAST),
    Reason("first_beats_trivial", saw="prometheus", **TIED, figures=FORECAST),
    Reason("not_worse_and_beats_trivial", opponent=CHAMPION, **WON, figures=FORECAST),
]


def test_the_wordings_are_those_that_were_agreed() -> None:
    assert {reason.code for reason in REASONS} == set(WORDINGS)
    assert_snapshot("decisions", "".join(f"{reason.code}\n    {reason.text}\n" for reason in REASONS))


@pytest.mark.parametrize("reason", REASONS, ids=lambda reason: reason.code)
def test_a_sentence_is_its_head_and_its_figures(reason: Reason) -> None:
    words = reason.words
    assert reason.text.startswith(words.head)
    assert reason.text.endswith(words.figures)
    assert bool(words.figures) == ("figures" in reason.facts)


def test_a_reason_is_frozen_and_equal_to_one_with_the_same_facts() -> None:
    reason = Reason("same_model", champion=3)
    assert reason == Reason("same_model", champion=3)
    assert reason != Reason("same_model", champion=4)
    with pytest.raises(FrozenInstanceError):
        reason.code = "vetoed"  # type: ignore[misc]
    with pytest.raises(TypeError):
        reason.facts["champion"] = 4  # type: ignore[index]
