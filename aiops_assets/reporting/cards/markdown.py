"""Escapes text for Markdown: names and sentences of others never become markup, links or table cells."""

import re
from collections.abc import Iterable, Sequence

SPECIAL = re.compile(r"[\\`*\[\]<>|~]|(?<!\w)_|_(?!\w)|&(?=#?\w+;)")
"""Characters to escape. An underscore within a word has no meaning; an ampersand only begins an entity."""
OPENING = re.compile(r"^(?:[#+=-]|\d+(?=[.)](?:\s|$)))")
"""Begin of a line that would make it a heading, a list or a rule."""


def text(value: object) -> str:
    """Text on one line that Markdown shows unchanged."""
    escaped = SPECIAL.sub(r"\\\g<0>", _line(value))
    # A digit cannot be escaped, but the point after it can.
    return OPENING.sub(lambda found: f"{found[0]}\\" if found[0].isdigit() else f"\\{found[0]}", escaped)


def code(value: object) -> str:
    """A name, an identifier or a query in a code span, also for cells of a table."""
    line = _line(value)
    fence = "`" * (max((len(run) for run in re.findall("`+", line)), default=0) + 1)
    space = " " if "`" in (line[:1], line[-1:]) or not line else ""
    # In a table a bar ends the cell even in a code span; only tables interpret the backslash before it.
    return f"{fence}{space}{line.replace('|', chr(92) + '|')}{space}{fence}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """The lines of a table, whose cells are Markdown already."""
    return [_row(head), _row(["---"] * len(head)), *map(_row, rows)]


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _line(value: object) -> str:
    return " ".join(str(value).split())
