"""Small pictures in Markdown: what they show, and that the UI shows them at once."""

import re
import xml.etree.ElementTree as ElementTree
from datetime import UTC, datetime
from urllib.parse import unquote

import numpy as np
import pytest

from aiops_assets.reporting.previews import (
    COLUMNS,
    HEIGHT,
    MAX_CHARACTERS,
    MAX_FIGURES,
    MAX_MOVES,
    MAX_RANKED,
    bars,
    history,
    in_order,
    ranking,
    timeline,
)

RNG = np.random.default_rng(0)


def drawing(markdown: str) -> ElementTree.Element:
    found = re.fullmatch(r"!\[preview\]\(<data:image/svg\+xml,([^<>]*)>\)", markdown)
    assert found is not None
    return ElementTree.fromstring(unquote(found[1]))


def columns(markdown: str, colour: str) -> dict[int, int]:
    """Column -> its height, of one colour."""
    (path,) = (one for one in drawing(markdown).iter() if one.get("stroke") == colour)
    found = re.findall(r"M(\d+) 30v-(\d+)", path.get("d") or "")
    return {int(x) // 2: int(height) for x, height in found}


def test_a_timeline_shows_the_highest_of_each_part_and_marks() -> None:
    values, marks = np.zeros(600), np.zeros(600, dtype=bool)
    values[305], marks[305] = 10.0, True
    shown = timeline(values, marks)
    assert columns(shown, "crimson") == {30: HEIGHT}
    assert columns(shown, "steelblue") == dict.fromkeys([i for i in range(COLUMNS) if i != 30], 1)


def test_what_is_missing_leaves_a_gap() -> None:
    values = np.r_[np.ones(30), np.full(30, np.nan)]
    assert set(columns(timeline(values), "steelblue")) == set(range(30))
    assert timeline([np.nan, np.inf]) == timeline([]) == ""


@pytest.mark.parametrize("n", [1, 59, 60, 61, 10_000])
def test_the_ui_shows_it_at_once(n: int) -> None:
    assert len(timeline(RNG.normal(size=n), RNG.random(n) < 0.5)) <= MAX_CHARACTERS


def test_bars_stand_beside_those_of_the_opponent() -> None:
    shown = drawing(bars({"average_precision": 0.5, "f1": 1.0}, {"average_precision": 0.25}))
    widths = [float(re.findall(r"h([\d.]+)", one.get("d") or "")[0]) for one in shown.iter() if one.get("d")]
    assert widths == [37.5, 18.8, 75.0, 0.0]


def test_many_figures_with_long_names_are_shown_at_once_too() -> None:
    figures = {f"a_figure_with_a_long_name_{i}": float(i) for i in range(9)}
    shown = bars(figures, figures)
    assert len(shown) <= MAX_CHARACTERS
    assert len(list(drawing(shown).iter("{http://www.w3.org/2000/svg}text"))) == MAX_FIGURES
    assert bars({}, {}) == bars({"a": float("nan")}, {}) == ""


def texts(markdown: str) -> list[str]:
    return [one.text or "" for one in drawing(markdown).iter("{http://www.w3.org/2000/svg}text")]


def widths(markdown: str) -> list[tuple[str | None, float]]:
    """(colour, length) of each horizontal bar."""
    paths = [one for one in drawing(markdown).iter() if one.get("d")]
    return [(one.get("stroke"), float(re.findall(r"h([\d.]+)", one.get("d") or "")[0])) for one in paths]


def test_a_ranking_has_the_highest_first_and_marks() -> None:
    shown = ranking({"calm": 0.2, "hot": 0.8, "unknown": float("nan"), "warm": 0.4}, {"hot"})
    assert texts(shown) == ["hot 0.8", "warm 0.4", "calm 0.2"]
    assert widths(shown) == [("crimson", 120), ("steelblue", 60), ("steelblue", 30)]
    assert widths(ranking({"a": -3.0, "b": 1.0})) == [("steelblue", 120), ("steelblue", 0)]
    assert texts(ranking({"calm": 0.2}, title="a-model")) == ["a-model", "calm 0.2"]
    assert texts(ranking({"openshift-monitoring/prometheus-k8s-0": 1.0})) == ["ft-monitoring/prometheus-k8s-0 1"]
    assert ranking({}) == ranking({"a": float("inf")}) == ""


def test_a_history_ends_with_what_is_served() -> None:
    moves = [(version, datetime(2026, 11, version, tzinfo=UTC)) for version in range(1, MAX_MOVES + 3)]
    assert texts(history(moves)) == [
        text for version in range(3, MAX_MOVES + 3) for text in (f"v{version}", f"26-11-0{version}")
    ]
    assert [colour for colour, _ in widths(history(moves))] == ["silver"] * (MAX_MOVES - 1) + ["steelblue"]
    assert texts(history(moves[:1])) == ["v1", "26-11-01"]
    assert history([]) == ""


def test_long_rankings_and_histories_are_shown_at_once_too() -> None:
    named = {f"a<namespace>&with/a-pod-of-a-long-name-{i}": 1e-9 * i for i in range(9)}
    shown = ranking(named, set(named), "predictive-analytics")
    assert len(shown) <= MAX_CHARACTERS
    assert len(set(texts(shown))) == MAX_RANKED + 1
    when = datetime(2026, 11, 1, tzinfo=UTC)
    assert len(history([(100_000 + i, when) for i in range(9)])) <= MAX_CHARACTERS


def test_rows_come_in_order_of_time() -> None:
    assert in_order(np.array(["2026-01-02", "2026-01-01"], dtype="datetime64[ns]")).tolist() == [1, 0]
