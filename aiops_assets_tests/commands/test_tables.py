"""Tables of commands: plain without a terminal, wrapped in one."""

import re
import sys
from pathlib import Path

import pytest

from aiops_assets.commands.tables import program, show_table

ROWS = [("a", "1"), ("longer", "[bold]22[/bold]")]


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out).splitlines()


def test_columns_are_aligned_and_markup_is_text(capsys: pytest.CaptureFixture[str]) -> None:
    show_table(("NAME", "VALUE"), ROWS, indent=2)
    assert lines(capsys) == ["  NAME    VALUE", "  a       1", "  longer  [bold]22[/bold]"]


def test_numbers_are_aligned_to_the_right(capsys: pytest.CaptureFixture[str]) -> None:
    show_table(("NAME", "N"), [("a", "1"), ("b", "22")], right=True)
    assert lines(capsys) == ["NAME   N", "a      1", "b     22"]


def test_without_a_terminal_a_row_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    show_table(("NAME", "TEXT"), [("a", "word " * 200)])
    assert len(lines(capsys)) == 2


def test_a_cell_that_does_not_fit_is_wrapped(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    show_table(("NAME", "TEXT"), [("a", "word " * 20)])
    found = lines(capsys)
    assert len(found) > 3
    assert max(map(len, found)) <= 40


@pytest.mark.parametrize(
    ("typed", "expected"),
    [("bin/aiops", "bin/aiops"), ("/elsewhere/bin/aiops", "aiops"), ("bin/pytest", "aiops")],
)
def test_the_program_is_named_as_it_can_be_typed(
    typed: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [typed])
    assert program() == expected
