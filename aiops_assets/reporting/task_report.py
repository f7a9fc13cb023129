"""Protocols of reports: detection and forecasting each have one object for pictures and tables, and one for cards."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import pandas as pd

from aiops_assets.judging.bootstrap import Difference
from aiops_assets.judging.task import HoldoutFigures
from aiops_assets.reporting.cards.subject import Subject
from aiops_assets.reporting.cards.weaknesses import Weakness
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

    def weaknesses(self, subject: Subject) -> list[Weakness]:
        """Known weaknesses of the version, the most serious first."""

    def intervals(self, subject: Subject) -> dict[str, Difference]:
        """Figure -> its value with a 95 % interval, of the figures for which one is known."""

    def pictures(self, subject: Subject, intervals: Mapping[str, Difference]) -> dict[str, bytes]:
        """The pictures of the card: file name -> PNG."""


class TaskReport(Protocol):
    """Pictures and tables of one task's predictions and figures.

    Attributes:
        card: the task's part of model cards.
        window_head: head of the table of shadow windows.
        window_counts: names of the figures of a window that are counts.
    """

    card: CardReport
    window_head: tuple[str, ...]
    window_counts: tuple[str, ...]

    def holdout_picture(self, predictions: Any, rows: pd.DataFrame, threshold: float | None) -> bytes:
        """PNG of a model's predictions for a hold-out; ``rows`` are those of the training set."""

    def probe(self, prediction: Any, threshold: float | None) -> tuple[dict[str, float], bytes]:
        """Figures and PNG of what a served model predicts when nothing is wrong."""

    def counts(self, figures: HoldoutFigures) -> dict[str, int]:
        """Sizes of the hold-out: name -> count."""

    def decision_picture(self, figures: Mapping[str, Mapping[str, float]], title: str) -> bytes:
        """PNG of the figures of challenger and opponent; ``figures``: who -> name -> value."""

    def summary(self, metrics: Mapping[str, float]) -> str:
        """The figures of a version in one line."""

    def shadow(self, record: ShadowRecord, frame: pd.DataFrame) -> tuple[dict[str, float | None], bytes]:
        """Figures and PNG of a shadow window; no bytes where there is nothing to draw."""

    def window_cells(self, both: Any) -> tuple[str, ...]:
        """The cells of a row of the table of shadow windows."""


def cell_text(value: float | None, form: str) -> str:
    """A value as a table cell; a dash for ``None``."""
    return "-" if value is None else form.format(value)
