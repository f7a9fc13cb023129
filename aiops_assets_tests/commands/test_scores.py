"""`aiops scores`: the list, a pod, a node, a metric, pictures, and refusals."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from aiops_assets.commands.cli import main
from aiops_assets.errors import DataError, NotFoundError, StoreError, UnknownSubject
from aiops_assets.service import explain_answers
from aiops_assets.service.demo_scores import CART, demo_run
from aiops_assets.storage.scores import Scores, ScoresRun
from aiops_assets.storage.storage import LocalStorage
from aiops_assets_tests.commands.typed import Transcript, refused
from aiops_assets_tests.snapshot import assert_snapshot

SHOP, BLOG = (f"{namespace}/{CART[2]}" for namespace in ("shop", "blog"))
PNG = b"\x89PNG\r\n"


def stored(folder: Path, run: ScoresRun) -> Path:
    Scores(LocalStorage(folder), run.record.cluster).put(run)
    return folder


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with the run of `aiops serve --demo`. Its newest instant is in January 2026, so its scores are old."""
    return stored(tmp_path_factory.mktemp("demo"), demo_run())


@pytest.fixture
def typed(home: Path) -> Callable[..., Result]:
    def call(*words: str, **variables: str) -> Result:
        given = {"AIOPS_HOME": str(home), "CLUSTER": "demo", **variables}
        return CliRunner().invoke(main, ["scores", *words], env=given)

    return call


def answer(done: Result) -> dict[str, Any]:
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_what_is_printed_is_as_it_was(typed: Callable[..., Result], monkeypatch: pytest.MonkeyPatch) -> None:
    class Clock(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> "Clock":
            return cls(2026, 1, 25, 10, 1, tzinfo=tz)

    monkeypatch.setattr("aiops_assets.commands.scores.datetime", Clock)
    transcript = Transcript(lambda *words, **given: typed(*words[1:], **given))
    for words in ((), ("--now", "--limit", "1"), ("--pod", SHOP), ("--pod", BLOG), ("--node", "node-1")):
        transcript.type("scores", *words)
    for words in (("--metric", "memory_usage"), ("--metric", "pod_memory_usage"), ("--pod", "shop/cart")):
        transcript.type("scores", *words)
    assert_snapshot("commands_scores", transcript.text)


def test_json_is_what_the_service_answers(typed: Callable[..., Result]) -> None:
    for words, shape in (
        (("--pod", SHOP), explain_answers.Explained),
        (("--node", "node-1"), explain_answers.Explained),
        (("--metric", "memory_usage"), explain_answers.MetricExplained),
    ):
        done = typed(*words, "--json")
        assert done.exit_code == 0, done.output
        shape.model_validate_json(done.stdout, strict=True)


def test_the_list_has_pages_first_as_json_too(typed: Callable[..., Result]) -> None:
    found = answer(typed("--json"))
    assert [(one["by"], one["node"] or one["pod"]) for one in found["raised"]] == [
        ("page", "node-1"),
        ("page", CART[2]),
        ("demo-detector", CART[2]),
    ]
    assert answer(typed("--json", "--limit", "1"))["total"] == 3
    assert set(found["notes"]) == {"stale_scores"}


def test_what_ended_is_of_the_day_and_not_of_now(tmp_path: Path, typed: Callable[..., Result]) -> None:
    run = demo_run()
    ended = run.episodes.assign(until=run.episodes["until"] - timedelta(minutes=20))
    home = stored(tmp_path, replace(run, episodes=ended))
    assert len(answer(typed("--json", AIOPS_HOME=str(home)))["raised"]) == 3
    assert answer(typed("--json", "--now", AIOPS_HOME=str(home)))["raised"] == []


@pytest.mark.parametrize("words", [("--pod", SHOP), ("--node", "node-1"), ("--metric", "memory_usage")])
def test_a_picture_is_written(typed: Callable[..., Result], tmp_path: Path, words: tuple[str, str]) -> None:
    path = tmp_path / "why.png"
    found = answer(typed(*words, "--picture", str(path), "--json"))
    assert found["file"] == str(path)
    assert path.read_bytes().startswith(PNG)
    assert path.stat().st_size < 50_000


def test_refusals_have_codes(typed: Callable[..., Result], tmp_path: Path) -> None:
    refused(typed("--pod", "shop/cart"), UnknownSubject, "unknown_pod", wanted="shop/cart", nearest=[SHOP])
    refused(typed("--node", "node-2"), UnknownSubject, "unknown_node", nearest=["node-1"])
    refused(typed("--metric", "x"), UnknownSubject, "unknown_metric", wanted="x")
    refused(typed("--pod", CART[2]), DataError, "ambiguous_pod", namespaces=["blog", "shop"])
    refused(typed(AIOPS_HOME=str(tmp_path)), NotFoundError, "no_scores")
    refused(typed("--node", "node-1", "--picture", "/proc/none/x.png"), StoreError, "not_written")


@pytest.mark.parametrize(
    "words",
    [("--pod", "a", "--node", "b"), ("--picture", "x.png"), ("--now", "--metric", "a"), ("--limit", "0")],
)
def test_options_that_exclude_each_other_are_wrong_usage(typed: Callable[..., Result], words: tuple[str, ...]) -> None:
    done = typed(*words)
    assert (done.exit_code, done.stdout) == (2, "")
    assert "Usage:" in done.stderr


def test_times_are_utc_also_of_a_run_that_was_made_elsewhere(typed: Callable[..., Result]) -> None:
    found = answer(typed("--pod", SHOP, "--json"))
    assert datetime.fromisoformat(found["since"]) == datetime(2026, 1, 25, 9, 30, tzinfo=UTC)
