"""The card of a detector: how well labelled anomalies are ranked and alerted on, and which metrics contribute."""

from collections.abc import Mapping, Sequence

import pandas as pd
from typing_extensions import override

from aiops_assets.judging.bootstrap import Difference
from aiops_assets.judging.detection.gate import noise
from aiops_assets.judging.detection.shadow import (
    CHALLENGER,
    CHAMPION,
    episodes_caught,
    first_by_kind,
    predictions_of,
    right_first,
)
from aiops_assets.judging.statements import Statement
from aiops_assets.reporting.cards.markdown import text
from aiops_assets.reporting.cards.subject import Subject
from aiops_assets.reporting.cards.weaknesses import RECALL, weaknesses
from aiops_assets.reporting.pictures import Judged, contribution_map, figures_with_intervals, score_timelines
from aiops_assets.reporting.task_report import CardReport
from aiops_assets.storage.records import EvaluationRecord

TIMELINE, CONTRIBUTIONS, FIGURES = "timeline.png", "contributions.png", "figures.png"
NAMES = {
    "average_precision": "average precision",
    "precision": "rows under alert that are anomalous",
    "recall": "anomalous rows under alert",
    "f1": "F1 of the alerts",
    "event_f1": "F1 of the alerts by events",
    "false_alarm_rate": "normal rows under alert",
}
SCORES = ("average_precision", "f1", "event_f1")
"""Figures that are written as numbers; others are shares, written in percent."""


class DetectorCard(CardReport):
    """The parts of a model card that only detectors have."""

    captions: Mapping[str, str] = {
        FIGURES: "Figures beside the opponent's",
        TIMELINE: "Scores of the hold-out, with labels and alerts",
        CONTRIBUTIONS: "The metric that contributes most, by kind of anomaly",
    }

    @override
    def judged_on(self, subject: Subject, evaluation: EvaluationRecord) -> str:
        return (
            f"{evaluation.holdout_rows:,} rows, {evaluation.anomalous_rows:,} of them anomalous. "
            f"Opponent: {text(evaluation.opponent)}."
        )

    @override
    def name(self, figure: str) -> str:
        if figure.startswith(RECALL):
            return f"rows of {figure.removeprefix(RECALL).replace('_', ' ')} under alert"
        return NAMES.get(figure, figure.replace("_", " "))

    @override
    def shown(self, figure: str, value: float) -> str:
        return f"{value:.3f}" if figure in SCORES else f"{value:.2%}"

    @override
    def signed(self, figure: str, value: float) -> str:
        return f"{value:+.3f}" if figure in SCORES else f"{100 * value:+.2f} pp"

    @override
    def further_rows(self, subject: Subject) -> Sequence[Sequence[str]]:
        """Episodes of each kind with an alert."""
        return [
            [f"episodes of {text(kind.replace('_', ' '))} with an alert", f"{some} of {all_of}", "-", "-"]
            for kind, (some, all_of) in _episodes(subject).items()
        ]

    @override
    def further_lines(self, subject: Subject) -> list[str]:
        """Detectors have none."""
        return []

    @override
    def training_facts(self, subject: Subject) -> list[tuple[str, str]]:
        record = subject.training_set
        if record is None:
            return []
        shares = f"{record.label_rate:.2%} anomalous (requested: {record.anomaly_rate:.2%})"
        return [("rows", f"{record.rows:,}, {shares}"), ("pods", str(len(record.pods)))]

    @override
    def weaknesses(self, subject: Subject) -> list[Statement]:
        right = right_first(first_contributions(subject))
        return weaknesses(subject.manifest, subject.evaluation, subject.figures, right, _episodes(subject))

    @override
    def intervals(self, subject: Subject) -> dict[str, Difference]:
        return _intervals(subject.scores, CHALLENGER, subject.seed)

    @override
    def pictures(self, subject: Subject, intervals: Mapping[str, Difference]) -> dict[str, bytes]:
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
    """(kinds, metrics) shares of ``shadow.first_by_kind``; empty without scores."""
    if subject.scores is None or subject.shadow is None:
        return pd.DataFrame()
    return first_by_kind(subject.scores, subject.shadow.metrics)


def _episodes(subject: Subject) -> dict[str, tuple[int, int]]:
    return {} if subject.scores is None else episodes_caught(subject.scores)


def _intervals(scores: pd.DataFrame | None, who: str, seed: int) -> dict[str, Difference]:
    """Figures on which the gate decides, each with the 95 % interval of its own sampling noise."""
    scored = predictions_of(scores, who) if scores is not None else None
    if scored is None or scores is None:
        return {}
    found = zip(("average_precision", "false_alarm_rate"), noise(scores, scored, seed), strict=True)
    return {name: interval for name, interval in found if interval}
