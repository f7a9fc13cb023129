"""Pages of a set count in the days of all its series together, whatever their lengths."""

import numpy as np
import pytest

from aiops_assets.judging.detection.page_figures import PagesOfSet, pages_of_sets
from aiops_assets.judging.detection.series_figures import DetectionFigures, detection_figures

DAY = 24


def _hourly(days: int, events: tuple[int, ...], pages: tuple[int, ...]) -> DetectionFigures:
    """Events of one hour; a buffer is two hours on both sides."""
    rows = np.arange(days * DAY)
    paged = np.isin(rows, pages)
    return detection_figures(np.isin(rows, events), np.zeros(len(rows)), paged, 3600, paged)


def test_the_series_of_a_set_are_counted_together() -> None:
    figures = {
        "b__quiet": _hourly(2, (), ()),
        "a__long": _hourly(10, (50, 100), (50, 51, 150, 151, 200)),
        "a__short": _hourly(1, (12,), (3,)),
    }
    found = pages_of_sets(figures)
    assert list(found) == ["a", "b"]
    # Three events with buffers of 2 hours on both sides. 51 lies in a buffer, 150 and 151 are one episode.
    assert found["a"].fault_free_days == pytest.approx(11 - 15 / DAY)
    assert (found["a"].false_pages, found["a"].events, found["a"].paged) == (3, 3, 1)
    assert found["b"] == PagesOfSet(2.0, false_pages=0, events=0, paged=0)


def test_sets_without_pages_are_left_out() -> None:
    rows = np.zeros(DAY)
    assert pages_of_sets({"a__alerts": detection_figures(rows, rows, rows, 3600)}) == {}
