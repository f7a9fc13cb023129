"""Which test files `make test-changed` runs."""

import subprocess
from pathlib import Path
from typing import Literal

import pytest

from aiops_assets.judging.detection import gate
from aiops_assets_tests import changed, conftest
from aiops_assets_tests.changed import changed_since, graph, selected, steps
from aiops_assets_tests.commands import test_cli
from aiops_assets_tests.judging import test_gate

THIS, DEPLOYED = "aiops_assets_tests/test_changed.py", "aiops_assets_tests/deploy/"


def name_of(file: str | None) -> str:
    assert file
    return Path(file).relative_to(changed.ROOT).as_posix()


CLI = name_of(test_cli.__file__)


def quick_tests() -> set[str]:
    return {name for name in graph() if changed.IS_TEST.search(name)}


def test_a_test_that_changed_is_nearest_and_nothing_else_is_reached() -> None:
    assert steps({CLI}) == {CLI: 0, THIS: 1}
    assert steps({THIS}) == {THIS: 0}


def test_what_imports_a_module_itself_is_nearer_than_what_does_through_others() -> None:
    found = steps({name_of(gate.__file__)})
    assert found[name_of(test_gate.__file__)] == found[THIS] == 1
    assert found[CLI] > 1


def test_whoever_starts_commands_depends_on_them() -> None:
    assert len(changed.commands()) > 2
    for command in changed.commands():
        assert steps({command})[CLI] == 1


def test_files_that_are_no_modules_reach_who_reads_them() -> None:
    documents = ("aiops_assets_tests/test_site.py", "aiops_assets_tests/test_documents.py")
    assert steps({"docs/glossary.md"}) == dict.fromkeys(documents, 0)
    below = steps({f"{DEPLOYED.removeprefix('aiops_assets_tests/')}compose/compose.yaml"})
    assert set(below) == {name for name in quick_tests() if name.startswith(DEPLOYED)}
    assert steps({"LICENSE"}) == steps({"aiops_assets/gone.py"}) == {}
    assert steps({"dagster.yaml"}) == dict.fromkeys(quick_tests(), changed.FAR)


def test_what_does_not_fit_into_a_minute_is_left_the_farthest_first() -> None:
    module = name_of(gate.__file__)
    near = {name for name, distance in steps({module}).items() if distance == 1}
    seconds = dict.fromkeys(quick_tests(), changed.WORKERS * changed.BUDGET_SECONDS / len(near))
    fit, left = selected({module}, seconds)
    assert set(fit) == near
    assert set(left) == set(steps({module})) - near
    assert selected({THIS}, {THIS: 1000.0}) == ([THIS], [])


@pytest.mark.needs("git")
def test_changes_are_those_of_the_folder_or_else_of_the_last_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changed, "ROOT", tmp_path)

    def git(*arguments: str) -> None:
        who = ("-c", "user.name=a", "-c", "user.email=a@b.c")
        subprocess.run(["git", *who, *arguments], cwd=tmp_path, check=True, capture_output=True)

    def commit(name: str, content: str) -> None:
        (tmp_path / name).write_text(content)
        git("add", "-A")
        git("commit", "-m", name)

    git("init")
    commit("one", "1")
    commit("two", "2")
    commit("three", "3")
    assert changed_since("") == {"three"}
    assert changed_since("HEAD~2") == {"two", "three"}
    (tmp_path / "one").write_text("changed")
    (tmp_path / "new").touch()
    assert changed_since("") == {"one", "new"}
    assert changed_since("HEAD~2") == {"one", "two", "three", "new"}


def test_how_long_files_took_is_kept_until_they_run_again(tmp_path: Path) -> None:
    assert changed.durations(tmp_path) == {}
    changed.remember({"a": 1.0, "b": 2.0}, tmp_path)
    changed.remember({"b": 3.0}, tmp_path)
    assert changed.durations(tmp_path) == {"a": 1.0, "b": 3.0}


def test_when_the_time_is_over_no_test_begins(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(conftest.LIMIT, "0")
    with pytest.raises(pytest.skip.Exception):
        conftest.pytest_runtest_setup(request.node)


def test_what_is_kept_are_quick_tests_of_files_that_ran_to_their_end() -> None:
    def report(test: str, *marks: str, left: bool = False) -> pytest.TestReport:
        said = ("file", 1, f"Skipped: {conftest.LEFT}") if left else None
        outcome: Literal["skipped", "passed"] = "skipped" if left else "passed"
        return pytest.TestReport(test, ("", 1, ""), dict.fromkeys(marks, 1), outcome, said, "call", duration=2.0)

    reports = [report("a::1"), report("a::2[x]"), report("a::3", "long"), report("b::1", "long"), report("c::1")]
    assert conftest.seconds_of([*reports, report("c::2", left=True), "a warning"]) == {"a": 4.0, "b": 0.0}
