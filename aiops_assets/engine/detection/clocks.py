"""Compares times of samples with the present time: samples of the future, and samples that are old."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta

from aiops_assets.engine.samples import Sample

MOST_AHEAD = timedelta(minutes=10)
"""Largest normal difference of two clocks."""
OLD_FROM = timedelta(days=1)
MOST_NAMES = 5
"""Most names that a note lists."""


def without_future(samples: Sequence[Sample], now: datetime) -> tuple[Sequence[Sample], list[str]]:
    """Samples that are at most ten minutes ahead of ``now``, and notes about the others.

    If all samples of a name are further ahead they stay: the client's clock may be wrong.
    """
    latest = now + MOST_AHEAD
    ahead = {sample.name for sample in samples if sample.time is not None and sample.time > latest}
    if not ahead:
        return samples, []
    kept = [sample for sample in samples if sample.time is None or sample.time <= latest]
    others = {sample.name for sample in kept}
    kept = [s for s in samples if s.time is None or s.time <= latest or s.name not in others]
    notes = []
    if ahead & others:
        notes.append(
            f"{listed(ahead & others)}: samples more than ten minutes ahead of now were left out, check the clock of "
            "what sends them."
        )
    if ahead - others:
        notes.append(
            f"{listed(ahead - others)}: all samples are more than ten minutes ahead of now; they were judged as of "
            "then, check the clock of what sends them."
        )
    return kept, notes


def notes_of_old(newest: Iterable[Sample], now: datetime) -> list[str]:
    """A note about names whose newest sample is more than a day old and says nothing about the present."""
    oldest = now - OLD_FROM
    old = {sample.name for sample in newest if sample.time is not None and sample.time < oldest}
    if not old:
        return []
    return [f"{listed(old)}: the newest sample is more than a day old; it was judged as of then, not of now."]


def listed(names: Collection[str]) -> str:
    """The first ``MOST_NAMES`` names in alphabetical order, as text."""
    ordered = sorted(names)
    more = len(ordered) - MOST_NAMES
    return ", ".join(ordered[:MOST_NAMES]) + (f" and {more} others" if more > 0 else "")
