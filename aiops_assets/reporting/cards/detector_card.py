"""What the card of a detector tells: how well labelled anomalies are ranked and alerted on, and by which metrics."""

from collections.abc import Mapping, Sequence

import pandas as pd

from aiops_assets.judging.bootstrap import Difference
from aiops_assets.judging.detection.gate import noise
from aiops_assets.judging.detection.shadow import (
    CHALLENGER,
    CHAMPION,
    episodes_caught,
    first_by_kind,
    right_first,
    said,
)
from aiops_assets.judging.statements import Statement
from aiops_assets.reporting.cards.markdown import text
from aiops_assets.reporting.cards.subject import Subject
from aiops_assets.reporting.cards.weaknesses import RECALL, weaknesses
from aiops_assets.reporting.pictures import Judged, contribution_map, figures_with_intervals, score_timelines
from aiops_assets.storage.records import EvaluationRecord

TIMELINE, CONTRIBUTIONS, FIGURES = "timeline.png", "contributions.png", "figures.png"
NAMES = {
    "average_precision": "average precision",
    "precision": "rows under alert that are anomalous",
    "recall": "anomalous rows under alert",
    "f1": "F1 of the alerts",
    "false_alarm_rate": "normal rows under alert",
}
SCORES = ("average_precision", "f1")
"""Written as numbers; the other figures are shares."""


class DetectorCard:
    """See :class:`~aiops_assets.reporting.cards.kinds.CardKind`."""

    captions: Mapping[str, str] = {
        FIGURES: "Figures beside the opponent's",
        TIMELINE: "Scores of the hold-out, with labels and alerts",
        CONTRIBUTIONS: "The metric that speaks loudest, by kind of anomaly",
    }

    def judged_on(self, subject: Subject, evaluation: EvaluationRecord) -> str:
        """See CardKind."""
        return (
            f"{evaluation.holdout_rows:,} rows, {evaluation.anomalous_rows:,} of them anomalous. "
            f"Opponent: {text(evaluation.opponent)}."
        )

    def name(self, figure: str) -> str:
        """See CardKind."""
        if figure.startswith(RECALL):
            return f"rows of {figure.removeprefix(RECALL).replace('_', ' ')} under alert"
        return NAMES.get(figure, figure.replace("_", " "))

    def shown(self, figure: str, value: float) -> str:
        """See CardKind."""
        return f"{value:.3f}" if figure in SCORES else f"{value:.2%}"

    def signed(self, figure: str, value: float) -> str:
        """See CardKind."""
        return f"{value:+.3f}" if figure in SCORES else f"{100 * value:+.2f} pp"

    def further_rows(self, subject: Subject) -> Sequence[Sequence[str]]:
        """See CardKind: episodes."""
        return [
            [f"episodes of {text(kind.replace('_', ' '))} with an alert", f"{some} of {all_of}", "-", "-"]
            for kind, (some, all_of) in _episodes(subject).items()
        ]

    def further_lines(self, subject: Subject) -> list[str]:
        """See CardKind: none."""
        return []

    def training_facts(self, subject: Subject) -> list[tuple[str, str]]:
        """See CardKind."""
        record = subject.training_set
        if record is None:
            return []
        shares = f"{record.label_rate:.2%} anomalous (asked for: {record.anomaly_rate:.2%})"
        return [("rows", f"{record.rows:,}, {shares}"), ("pods", str(len(record.pods)))]

    def weaknesses(self, subject: Subject) -> list[Statement]:
        """See CardKind."""
        right = right_first(first_contributions(subject))
        return weaknesses(subject.manifest, subject.evaluation, subject.figures, right, _episodes(subject))

    def intervals(self, subject: Subject) -> dict[str, Difference]:
        """See CardKind."""
        return _intervals(subject.scores, CHALLENGER, subject.seed)

    def pictures(self, subject: Subject, intervals: Mapping[str, Difference]) -> dict[str, bytes]:
        """See CardKind."""
        drawn = {}
        if subject.figures:
            theirs = _intervals(subject.opponent_scores, CHAMPION, subject.seed)
            drawn[FIGURES] = figures_with_intervals(
                self._named(subject.figures, intervals),
                self._named(subject.opponent_figures, theirs),
                {self.name(name): gap for name, gap in subject.gaps.items()},
                title=subject.title,
                against=subject.opponent,
            )
        if subject.scores is not None and len(subject.scores):
            drawn[TIMELINE] = score_timelines(subject.scores, {CHALLENGER: subject.title})
            shares = first_contributions(subject)
            if len(shares):
                spoken = subject.scores[subject.scores["challenger_first"] != ""]
                counts = {str(kind): int(count) for kind, count in spoken["kind"].value_counts().items()}
                drawn[CONTRIBUTIONS] = contribution_map(shares, counts)
        return drawn

    def _named(self, figures: Mapping[str, float], intervals: Mapping[str, Difference]) -> Judged:
        return {self.name(name): (value, intervals.get(name)) for name, value in figures.items()}


def first_contributions(subject: Subject) -> pd.DataFrame:
    """As ``models.shadow.first_by_kind`` gives it; empty without scores."""
    if subject.scores is None or subject.shadow is None:
        return pd.DataFrame()
    return first_by_kind(subject.scores, subject.shadow.metrics)


def _episodes(subject: Subject) -> dict[str, tuple[int, int]]:
    return {} if subject.scores is None else episodes_caught(subject.scores)


def _intervals(scores: pd.DataFrame | None, who: str, seed: int) -> dict[str, Difference]:
    """The figures that the gate looks at, each with the interval of its own noise."""
    scored = said(scores, who) if scores is not None else None
    if scored is None or scores is None:
        return {}
    found = zip(("average_precision", "false_alarm_rate"), noise(scores, scored, seed), strict=True)
    return {name: interval for name, interval in found if interval}
