"""What `aiops run` says of each model afterwards."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from aiops_assets.commands.summary import (
    MAX_LETTERS,
    MAX_WARNINGS,
    Outcome,
    outcome_of,
    show_warnings,
    stated_source,
    summarize,
)
from aiops_assets.commands.tables import console
from aiops_assets.families.anomaly_detector import ANOMALY_DETECTOR
from aiops_assets.judging.decision import Reason
from aiops_assets.storage.handoff import Handoffs, TrainingSetRef
from aiops_assets.storage.records import EvaluationRecord, SourceReport
from aiops_assets.storage.storage import open_storage
from aiops_assets_tests.conftest import make_settings
from aiops_assets_tests.judging.test_wording import DETECTION
from aiops_assets_tests.service.served_home import ServedHome
from aiops_assets_tests.snapshot import assert_snapshot, steady

NAME = ANOMALY_DETECTOR.name
FIRST = Reason("first_not_worse", saw=None, opponent="the null model", figures=DETECTION)


def evaluation(version: int, reason: Reason, *, old: bool = False) -> EvaluationRecord:
    """A version's evaluation; one of older code has the sentence alone."""
    words = reason.words
    apart = {} if old else {"code": reason.code, "head": words.head, "stated_figures": words.figures}
    return EvaluationRecord(
        name=NAME, version=version, when=datetime.now(UTC), dagster_run_id="r", data_version="d" * 32,
        effective_source="synthetic", holdout_rows=10, anomalous_rows=1, figures={"average_precision": 0.812},
        opponent="the null model", decision="promote", reason=reason.text, **apart,
    )  # fmt: skip


def outcome(home: ServedHome, before: list[int]) -> Outcome:
    return outcome_of(home.served, ANOMALY_DETECTOR, before)


@pytest.fixture
def home(tmp_path: Path) -> ServedHome:
    """Version 1, not yet served."""
    made = ServedHome(tmp_path / "models")
    made.publish(data=b"1")
    return made


def serve(home: ServedHome, version: int, reason: str, seen: int | None = None) -> None:
    digest = home.served.manifest_sha256(NAME, version)
    home.served.move_champion(NAME, version, digest, reason=reason, who="ada", seen=seen, by_hand=True)


def test_the_reason_and_its_figures_stand_apart(home: ServedHome) -> None:
    home.served.put_evaluation(evaluation(1, FIRST))
    serve(home, 1, FIRST.text)
    found = outcome(home, [])
    assert (found.trained, found.champion, found.rejected) == (1, 1, "")
    assert found.reason == FIRST.words.head


@pytest.mark.parametrize("reason", ["see ticket: it pages", "a: b: c", "fewer pages"])
def test_a_persons_own_reason_is_shown_as_it_is(home: ServedHome, reason: str) -> None:
    home.served.put_evaluation(evaluation(1, Reason("same_model", champion=1)))
    serve(home, 1, reason)
    found = outcome(home, [1])
    assert (found.trained, found.reason) == (None, reason)


def test_a_damage_with_a_colon_is_no_figure(home: ServedHome) -> None:
    damaged = Reason("champion_damaged", damage="version 0 is lost: model.joblib: gone")
    home.served.put_evaluation(evaluation(1, damaged))
    serve(home, 1, damaged.text)
    found = outcome(home, [])
    assert found.reason == damaged.text


def test_records_of_older_code_are_shown_whole(home: ServedHome) -> None:
    home.served.put_evaluation(evaluation(1, FIRST, old=True))
    serve(home, 1, FIRST.text)
    found = outcome(home, [])
    assert found.reason == FIRST.text


def test_a_rejected_version_has_its_own_reason(home: ServedHome) -> None:
    serve(home, 1, "fewer pages")
    worse = Reason("worse_than_opponent", worse=("false alarms",), opponent="champion version 1", figures=DETECTION)
    home.served.put_evaluation(evaluation(home.publish(data=b"2"), worse))
    found = outcome(home, [1])
    assert (found.trained, found.champion, found.rejected) == (2, 1, worse.text)


def test_nothing_served_says_why(home: ServedHome) -> None:
    reason = Reason("same_model", champion=1)
    home.served.put_evaluation(evaluation(1, reason))
    found = outcome(home, [])
    assert (found.trained, found.champion, found.reason) == (1, None, reason.text)


def test_what_is_printed(home: ServedHome, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = make_settings(tmp_path, MODELS=NAME)
    home.served.put_evaluation(evaluation(1, Reason("same_model", champion=1)))
    summarize(settings, {NAME: []})  # trained, and not served
    home.served.put_evaluation(evaluation(1, FIRST))
    serve(home, 1, FIRST.text)
    summarize(settings, {NAME: []})  # trained and served
    summarize(settings, {NAME: [1]})  # nothing was trained
    worse = Reason("worse_than_opponent", worse=("false alarms",), opponent="champion version 1", figures=DETECTION)
    home.served.put_evaluation(evaluation(home.publish(data=b"2"), worse))
    summarize(settings, {NAME: [1]})  # trained, and not better than what is served
    serve(home, 2, "see ticket: it pages", seen=1)
    summarize(settings, {NAME: [1]})  # served because a person says so
    assert_snapshot("commands_summary", steady(capsys.readouterr().out, {"HOME": tmp_path}))


def shown(warnings: dict[str, str], capsys: pytest.CaptureFixture[str]) -> list[str]:
    show_warnings(console(), warnings)
    return capsys.readouterr().out.splitlines()


def test_what_checks_warned_of_is_shown_once_and_is_bounded(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown({}, capsys) == []
    same = {"pod_features: drift": "moved", "pod_series: drift": "moved", "raw_metrics: bounds": "2 values outside"}
    _, *lines = shown(same, capsys)
    assert [line.strip() for line in lines] == ["pod_features: drift: moved", "raw_metrics: bounds: 2 values outside"]
    many = shown({f"raw_metrics: check {i}": f"finding {i}" for i in range(MAX_WARNINGS + 3)}, capsys)
    assert len(many) == 1 + MAX_WARNINGS + 1
    assert "3 more" in many[-1]
    _, line = shown({"raw_metrics: members": "; ".join(f"day {i}: 2 of 3" for i in range(200))}, capsys)
    assert "day 0: 2 of 3; day 1: 2 of 3" in line
    assert len(line) < MAX_LETTERS + 100


def test_a_warning_of_the_data_is_not_repeated_by_its_check(
    home: ServedHome, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = make_settings(tmp_path, MODELS=NAME)
    warnings = ("a pod has no limit", "a node was missing")
    ref = TrainingSetRef(view="pod_features", data_version="d", effective_source="prometheus",
                         source=SourceReport(rows={"prometheus": 10}, warnings=warnings))  # fmt: skip
    Handoffs(open_storage(settings.aiops_home), settings.cluster).put(("training_set", "pod_features"), "r", ref)
    checks = {"pod_features: known_metrics": warnings[0], "raw_metrics: members": "2 of 3"}
    summarize(settings, {NAME: [1]}, warnings=checks)
    printed = capsys.readouterr().out
    assert [printed.count(text) for text in (*warnings, "2 of 3")] == [1, 1, 1]
    assert stated_source(settings) == f"prometheus (10 prometheus rows of pod_features); {'; '.join(warnings)}"
