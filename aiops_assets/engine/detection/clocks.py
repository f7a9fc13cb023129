"""Compares times of samples with the present time: samples of the future, and samples that are old."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from aiops_assets.engine.samples import Sample
from aiops_assets.engine.wording import say
from aiops_assets.judging.statements import Statement

MAX_AHEAD = timedelta(minutes=10)
"""Largest normal difference of two clocks."""
OLD_FROM = timedelta(days=1)


def without_future(samples: Sequence[Sample], now: datetime) -> tuple[Sequence[Sample], list[Statement]]:
    """Samples that are at most ten minutes ahead of ``now``, and notes about the others.

    If all samples of a name are further ahead they stay: the client's clock may be wrong.
    """
    latest = now + MAX_AHEAD
    ahead = {sample.name for sample in samples if sample.time is not None and sample.time > latest}
    if not ahead:
        return samples, []
    kept = [sample for sample in samples if sample.time is None or sample.time <= latest]
    others = {sample.name for sample in kept}
    kept = [s for s in samples if s.time is None or s.time <= latest or s.name not in others]
    notes = []
    if ahead & others:
        notes.append(say("future_left_out", names=ahead & others))
    if ahead - others:
        notes.append(say("all_future", names=ahead - others))
    return kept, notes


def notes_of_old(newest: Iterable[Sample], now: datetime) -> list[Statement]:
    """A note about names whose newest sample is more than a day old and says nothing about the present."""
    oldest = now - OLD_FROM
    old = {sample.name for sample in newest if sample.time is not None and sample.time < oldest}
    return [say("old", names=old)] if old else []
