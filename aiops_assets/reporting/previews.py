"""Small, sharp pictures that Dagster's UI shows without a click: SVG in Markdown of less than a thousand characters.

That is the longest Markdown that the UI shows at once. They show the shape; the picture beside them has axes and words.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from html import escape

import numpy as np
import numpy.typing as npt

MAX_CHARACTERS = 999
COLUMNS, HEIGHT = 60, 28
"""Of a timeline, and the height of its columns, in units of the picture."""
MAX_FIGURES, MAX_NAME = 5, 14
MAX_RANKED, MAX_MOVES, MAX_LETTERS = 5, 5, 30
"""Most entries of a ranking and of a history, and most letters of an entry's name."""
_ENCODED = str.maketrans({"<": "%3C", ">": "%3E", "#": "%23", "&": "%26", '"': "%22", "\n": " "})


def timeline(values: npt.ArrayLike, marks: npt.ArrayLike | None = None) -> str:
    """Values in order of time as columns, each the highest of its part; columns with a mark are red.

    Args:
        values: (n,); what is not finite is left out.
        marks: (n,) of truth values.

    Returns:
        Markdown; empty when no value is finite.
    """
    given = np.asarray(values, dtype=np.float64)
    marked = np.zeros(len(given), dtype=bool) if marks is None else np.asarray(marks, dtype=bool)
    if not np.isfinite(given).any():
        return ""
    low, high = float(np.nanmin(_finite(given))), float(np.nanmax(_finite(given)))
    paths = {False: "", True: ""}
    parts = np.array_split(np.arange(len(given)), min(COLUMNS, len(given)))
    for column, part in enumerate(parts):
        there = _finite(given[part])
        if np.isnan(there).all():
            continue
        height = 1 + round((HEIGHT - 1) * (float(np.nanmax(there)) - low) / (high - low or 1.0))
        paths[bool(marked[part].any())] += f"M{2 * column + 1} 30v-{height}"
    return _markdown(
        f"<path d='{paths[False]}' stroke='steelblue'/><path d='{paths[True]}' stroke='crimson'/>", 2 * COLUMNS, 31
    )


def bars(figures: Mapping[str, float], beside: Mapping[str, float]) -> str:
    """Figures of two models beside each other: the first in blue, the other in grey. Markdown; empty for no figure."""
    names = [name for name in figures if np.isfinite(figures[name])][:MAX_FIGURES]
    if not names:
        return ""
    highest = max(abs(value) for name in names for value in (figures[name], beside.get(name, 0.0))) or 1.0
    drawn = ""
    for row, name in enumerate(names):
        top = 12 * row
        drawn += f"<text x='0' y='{top + 7}'>{escape(name.replace('_', ' ')[:MAX_NAME])}</text>"
        sides = [(top, figures[name], "steelblue"), (top + 5, beside.get(name, 0.0), "silver")]
        for y, value, colour in sides:
            drawn += f"<path d='M45 {y + 3}h{75 * abs(value) / highest:.1f}' stroke='{colour}'/>"
    return _markdown(f"<g stroke-width='4' font-size='6'>{drawn}</g>", 2 * COLUMNS, 12 * len(names))


def ranking(values: Mapping[str, float], marked: Collection[str] = (), title: str = "") -> str:
    """The entries with the highest values, the highest first, with their values; those that are marked are red.

    Bars begin at zero, or at the lowest of all values where one is below zero. Of a long name the end is shown, by
    which pods of one workload differ.

    Returns:
        Markdown; empty when no value is finite.
    """
    finite = {name: value for name, value in values.items() if np.isfinite(value)}
    if not finite:
        return ""
    low, high = min(0.0, *finite.values()), max(finite.values())
    names = sorted(finite, key=lambda name: (-finite[name], name))[:MAX_RANKED]
    drawn = f"<text y='5'>{escape(title)}</text>" if title else ""
    begin = 8 if title else 0
    for row, name in enumerate(names):
        top, length = begin + 11 * row, 120 * (finite[name] - low) / (high - low or 1.0)
        colour = "crimson" if name in marked else "steelblue"
        drawn += f"<text y='{top + 5}'>{escape(name[-MAX_LETTERS:])} {finite[name]:.3g}</text>"
        drawn += f"<path d='M0 {top + 8}h{length:.0f}' stroke='{colour}'/>"
    return _markdown(f"<g stroke-width='3' font-size='5'>{drawn}</g>", 2 * COLUMNS, begin + 11 * len(names))


def history(moves: Sequence[tuple[int, datetime]]) -> str:
    """The versions that were served, oldest first, each with its first day; the last, which is served, is blue.

    Args:
        moves: (version, when it became champion), oldest first; the newest ``MAX_MOVES`` are drawn.

    Returns:
        Markdown; empty without a move.
    """
    drawn = ""
    for column, (version, when) in enumerate(moves[-MAX_MOVES:]):
        left, is_served = 24 * column, column == len(moves[-MAX_MOVES:]) - 1
        colour = "steelblue" if is_served else "silver"
        drawn += f"<path d='M{left} 6h22' stroke='{colour}'/><text x='{left + 11}' y='8'>v{version}</text>"
        drawn += f"<text x='{left + 11}' y='17'>{when:%y-%m-%d}</text>"
    if not drawn:
        return ""
    return _markdown(f"<g stroke-width='11' font-size='5' text-anchor='middle'>{drawn}</g>", 2 * COLUMNS, 19)


def _finite(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.where(np.isfinite(values), values, np.nan)


def _markdown(drawn: str, width: int, height: int) -> str:
    svg = f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {height}' width='{4 * width}'>{drawn}</svg>"
    return f"![preview](<data:image/svg+xml,{svg.translate(_ENCODED)}>)"


def in_order(times: Sequence[object] | npt.ArrayLike) -> npt.NDArray[np.intp]:
    """Positions by which rows are in order of time; rows of one time keep their order."""
    return np.argsort(np.asarray(times), kind="stable")
