"""How commands show tables and text: by rich, as wide as the terminal, and plain and unwrapped where there is none."""

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

WIDE = 4_000
"""Columns where there is no terminal: what is searched and cut by programs is not wrapped."""


def console() -> Console:
    """Standard output, as it is now."""
    wide = not sys.stdout.isatty()
    return Console(file=sys.stdout, width=WIDE if wide else None, highlight=False, markup=False, soft_wrap=wide)


def show_table(headings: Sequence[str], rows: Iterable[Sequence[str]], *, indent: int = 0, right: bool = False) -> None:
    """Print rows below headings; in a terminal, cells that are too long are wrapped.

    Args:
        headings: of the columns.
        rows: a cell a column.
        indent: spaces before each line.
        right: whether all columns but the first are aligned to the right, as numbers are.
    """
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for position, heading in enumerate(headings):
        table.add_column(heading, justify="right" if right and position else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(_printable(cell)) for cell in row))
    out = console()
    with out.capture() as captured:
        out.print(Padding(table, (0, 0, 0, indent)), soft_wrap=False)
    # rich fills lines with spaces.
    sys.stdout.write("".join(f"{line.rstrip()}\n" for line in captured.get().splitlines()))
    sys.stdout.flush()


def _printable(text: str) -> str:
    """Text with its line breaks and escape sequences spelt out: values of labels come from anywhere."""
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def program() -> str:
    """This program as it can be typed again: relative to the current folder where it is below."""
    typed = Path(sys.argv[0]).absolute()
    if not typed.name.startswith("aiops"):
        return "aiops"
    here = Path.cwd()
    return str(typed.relative_to(here)) if typed.is_relative_to(here) else typed.name
