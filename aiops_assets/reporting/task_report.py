"""Protocols of reports: detection and forecasting each have one object for pictures and tables, and one for cards."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import pandas as pd

from aiops_assets.judging.bootstrap import Difference
from aiops_assets.judging.statements import Statement
from aiops_assets.judging.task import HoldoutFigures, Prediction, SideBySide
from aiops_assets.reporting.cards.subject import Subject
from aiops_assets.storage.records import EvaluationRecord
from aiops_assets.storage.shadow import ShadowRecord


class CardReport(Protocol):
    """The parts of a model card that depend on the task.

    Attributes:
        captions: file name of a picture -> what it shows, in the order of the card.
    """

    captions: Mapping[str, str]

    def judged_on(self, subject: Subject, evaluation: EvaluationRecord) -> str:
        """One or more Markdown sentences about the hold-out and the opponent."""

    def name(self, figure: str) -> str:
        """The name of a figure for people."""

    def shown(self, figure: str, value: float) -> str:
        """The value of a figure as text."""

    def signed(self, figure: str, value: float) -> str:
        """A difference of two values of a figure as text, with its sign."""

    def further_rows(self, subject: Subject) -> Sequence[Sequence[str]]:
        """Further rows of the table of figures: name, this version, opponent, difference, each in Markdown."""

    def further_lines(self, subject: Subject) -> list[str]:
        """Markdown lines below the table of figures."""

    def training_facts(self, subject: Subject) -> list[tuple[str, str]]:
        """(name, text) of facts about the rows of the training set; empty if its record is missing."""

    def weaknesses(self, subject: Subject) -> list[Statement]:
        """Known weaknesses of the version, the most serious first."""

    def intervals(self, subject: Subject) -> dict[str, Difference]:
        """Figure -> its value with a 95 % interval, of the figures for which one is known."""

    def pictures(self, subject: Subject, intervals: Mapping[str, Difference]) -> dict[str, bytes]:
        """The pictures of the card: file name -> PNG."""


@dataclass(frozen=True)
class ShadowWindows:
    """Shadow windows beside each other.

    Attributes:
        head: names of the columns.
        cells: a row a window.
        facts: the same as JSON, an object a window.
        summary: one sentence on all of them.
    """

    head: tuple[str, ...]
    cells: list[tuple[str, ...]]
    facts: list[dict[str, object]]
    summary: str


class TaskReport(Protocol[Prediction]):
    """Pictures and tables of one task's predictions and figures.

    Attributes:
        card: the task's part of model cards.
    """

    card: CardReport

    def holdout_picture(self, predictions: Prediction, rows: pd.DataFrame, threshold: float | None) -> bytes:
        """PNG of a model's predictions for a hold-out; ``rows`` are those of the training set."""

    def holdout_preview(self, predictions: Prediction, rows: pd.DataFrame) -> str:
        """Markdown of a small picture of predictions for a hold-out; empty where there is nothing to show."""

    def probe(self, prediction: Prediction, threshold: float | None) -> tuple[dict[str, float], bytes]:
        """Figures and PNG of what a served model predicts when nothing is wrong."""

    def counts(self, figures: HoldoutFigures) -> dict[str, int]:
        """Sizes of the hold-out: name -> count."""

    def decision_picture(self, figures: Mapping[str, Mapping[str, float]], title: str) -> bytes:
        """PNG of the figures of challenger and opponent; ``figures``: who -> name -> value."""

    def summary(self, metrics: Mapping[str, float]) -> str:
        """The figures of a version in one line."""

    def shadow(self, record: ShadowRecord, frame: pd.DataFrame) -> tuple[dict[str, float | None], bytes]:
        """Figures and PNG of a shadow window; no bytes where there is nothing to draw."""

    def shadow_preview(self, frame: pd.DataFrame) -> str:
        """Markdown of a small picture of a shadow window, the champion in grey; empty for nothing to show."""

    def windows(self, kept: Sequence[tuple[ShadowRecord, pd.DataFrame]]) -> ShadowWindows:
        """Shadow windows beside each other, for a table."""


def window_facts(
    record: ShadowRecord, both: SideBySide, counts: Mapping[str, int], between: Mapping[str, float | None]
) -> dict[str, object]:
    """A shadow window as JSON.

    Args:
        record: of the window.
        both: figures of challenger and champion.
        counts: by how much they were judged.
        between: what is said of the two together.
    """
    return {
        **record.model_dump(mode="json", exclude={"name", "metrics"}),
        **counts,
        "challenger_figures": both.challenger.as_metrics(),
        "champion_figures": both.champion.as_metrics() if both.champion else None,
        **between,
    }


def cell_text(value: float | None, form: str) -> str:
    """A value as a table cell; a dash for ``None``."""
    return "-" if value is None else form.format(value)
