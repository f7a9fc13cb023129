"""The files of a model card: its text and its pictures, all of them read from records. Equal records, equal files."""

from collections.abc import Mapping

import pandas as pd

from aiops_assets.cards import pictures
from aiops_assets.cards.text import CONTRIBUTIONS, FIGURES, TIMELINE, Subject, card_text, figure_name, gaps_of
from aiops_assets.models.gate import Difference, noise
from aiops_assets.models.shadow import CHALLENGER, CHAMPION, said
from aiops_assets.stores.cards import CARD


def card_files(subject: Subject) -> dict[str, bytes]:
    """The card and its pictures: file name -> content."""
    intervals = _intervals(subject.scores, CHALLENGER, subject.seed)
    drawn = _pictures(subject, intervals)
    return {**drawn, CARD: card_text(subject, intervals, tuple(drawn)).encode()}


def _intervals(scores: pd.DataFrame | None, who: str, seed: int) -> dict[str, Difference]:
    """The figures that the gate looks at, each with the interval of its own noise."""
    scored = said(scores, who) if scores is not None else None
    if scored is None or scores is None:
        return {}
    found = zip(("average_precision", "false_alarm_rate"), noise(scores, scored, seed), strict=True)
    return {name: interval for name, interval in found if interval}


def _pictures(subject: Subject, intervals: Mapping[str, Difference]) -> dict[str, bytes]:
    title = f"{subject.manifest.name} version {subject.manifest.version}"
    drawn = {}
    if subject.figures:
        evaluation = subject.evaluation
        theirs = _intervals(subject.opponent_scores, CHAMPION, subject.seed)
        drawn[FIGURES] = pictures.figures_with_intervals(
            _named(subject.figures, intervals),
            _named(evaluation.opponent_figures if evaluation else {}, theirs),
            {figure_name(name): gap for name, gap in gaps_of(evaluation).items()},
            title=title,
            against=evaluation.opponent if evaluation else "",
        )
    if subject.scores is not None and len(subject.scores):
        drawn[TIMELINE] = pictures.score_timelines(subject.scores, {CHALLENGER: title})
        shares = subject.first_contributions
        if len(shares):
            spoken = subject.scores[subject.scores["challenger_first"] != ""]
            counts = {str(kind): int(count) for kind, count in spoken["kind"].value_counts().items()}
            drawn[CONTRIBUTIONS] = pictures.contribution_map(shares, counts)
    return drawn


def _named(
    figures: Mapping[str, float], intervals: Mapping[str, Difference]
) -> dict[str, tuple[float, Difference | None]]:
    return {figure_name(name): (value, intervals.get(name)) for name, value in figures.items()}
