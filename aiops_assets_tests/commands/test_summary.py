"""What `aiops run` says of each model afterwards."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from aiops_assets.commands.running import summarize
from aiops_assets.datasets.selection import active_models
from aiops_assets.families.anomaly_detector import ANOMALY_DETECTOR
from aiops_assets.judging.decision import Reason
from aiops_assets.storage.records import EvaluationRecord
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


def summary(home: Path, capsys: pytest.CaptureFixture[str], before: list[int]) -> dict[str, str]:
    """The lines of the model, by what each is about."""
    settings = make_settings(home)
    summarize(settings, {spec.name: before if spec.name == NAME else [] for spec in active_models(settings)})
    said = [line.strip() for line in capsys.readouterr().out.splitlines()]
    at = next(position for position, line in enumerate(said) if line.startswith(f"{NAME}:"))
    told = {"model": said[at]}
    for line in said[at + 1 :]:
        if ":" in line.split(" ")[0]:
            break
        for about in ("challenger", "when judged"):
            if line.startswith(about):
                told[about] = line.removeprefix(about).strip()
    return told


@pytest.fixture
def home(tmp_path: Path) -> ServedHome:
    """Version 1, not yet served."""
    made = ServedHome(tmp_path / "models")
    made.publish(data=b"1")
    return made


def serve(home: ServedHome, version: int, reason: str, seen: int | None = None) -> None:
    digest = home.served.manifest_sha256(NAME, version)
    home.served.move_champion(NAME, version, digest, reason=reason, who="ada", seen=seen, by_hand=True)


def test_the_reason_and_its_figures_stand_apart(
    home: ServedHome, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home.served.put_evaluation(evaluation(1, FIRST))
    serve(home, 1, FIRST.text)
    told = summary(tmp_path, capsys, [])
    assert told["model"].endswith(f"version 1 is served ({FIRST.words.head})")
    assert told["when judged"] == FIRST.words.figures


@pytest.mark.parametrize("reason", ["see ticket: it pages", "a: b: c", "fewer pages"])
def test_a_persons_own_reason_is_shown_as_it_is(
    home: ServedHome, tmp_path: Path, capsys: pytest.CaptureFixture[str], reason: str
) -> None:
    home.served.put_evaluation(evaluation(1, Reason("same_model", champion=1)))
    serve(home, 1, reason)
    told = summary(tmp_path, capsys, [1])
    assert told["model"].endswith(f"version 1 is served ({reason})")
    assert "when judged" not in told


def test_a_damage_with_a_colon_is_no_figure(
    home: ServedHome, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damaged = Reason("champion_damaged", damage="version 0 is lost: model.joblib: gone")
    home.served.put_evaluation(evaluation(1, damaged))
    serve(home, 1, damaged.text)
    told = summary(tmp_path, capsys, [])
    assert told["model"].endswith(f"({damaged.text})")
    assert "when judged" not in told


def test_records_of_older_code_are_shown_whole(
    home: ServedHome, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home.served.put_evaluation(evaluation(1, FIRST, old=True))
    serve(home, 1, FIRST.text)
    told = summary(tmp_path, capsys, [])
    assert told["model"].endswith(f"version 1 is served ({FIRST.text})")
    assert "when judged" not in told


def test_a_challenger_that_is_not_served_has_its_own_line(
    home: ServedHome, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    serve(home, 1, "fewer pages")
    worse = Reason("worse_than_opponent", worse=("false alarms",), opponent="champion version 1", figures=DETECTION)
    home.served.put_evaluation(evaluation(home.publish(data=b"2"), worse))
    assert summary(tmp_path, capsys, [1])["challenger"].endswith(worse.text)


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
