"""How often people would have been called in vain, and for which share of the events, in a whole set of series.

A mean over series would count a page in a short series for more than one in a long one: what people live with is the
number of pages in so many days of one entity, all entities together.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from aiops_assets.judging.detection.series_figures import DetectionFigures


@dataclass(frozen=True)
class PagesOfSet:
    """Pages in all series of a set together.

    Attributes:
        fault_free_days: days outside events and their buffers, of all series.
        false_pages: episodes of pages in that time.
        events: how many events there are.
        paged: how many of them have a page inside.
    """

    fault_free_days: float
    false_pages: int
    events: int
    paged: int


def pages_of_sets(figures: Mapping[str, DetectionFigures]) -> dict[str, PagesOfSet]:
    """Name of a set -> figures of its pages, by name; sets whose pages are not judged are left out.

    Args:
        figures: ``<set>__<series>`` -> its figures.
    """
    members: dict[str, list[DetectionFigures]] = {}
    for name, one in sorted(figures.items()):
        if one.false_pages_per_day is not None:
            members.setdefault(name.partition("__")[0], []).append(one)
    return {name: _together(several) for name, several in members.items()}


def _together(several: list[DetectionFigures]) -> PagesOfSet:
    return PagesOfSet(
        fault_free_days=sum(one.fault_free_days or 0.0 for one in several),
        false_pages=sum(round((one.false_pages_per_day or 0.0) * (one.fault_free_days or 0.0)) for one in several),
        events=sum(one.events for one in several),
        paged=sum(round((one.page_recall or 0.0) * one.events) for one in several),
    )
