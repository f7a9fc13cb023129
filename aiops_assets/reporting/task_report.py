"""What pictures, tables and cards have to know of a task; detection and forecasting each have one object."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import pandas as pd

from aiops_assets.judging.bootstrap import Difference
from aiops_assets.judging.statements import Statement
from aiops_assets.judging.task import HoldoutFigures
from aiops_assets.reporting.cards.subject import Subject
from aiops_assets.storage.records import EvaluationRecord
from aiops_assets.storage.shadow import ShadowRecord


class CardReport(Protocol):
    """What a card has to know.

    Attributes:
        captions: file name of a picture -> what it shows, in the order of the card.
    """

    captions: Mapping[str, str]

    def judged_on(self, subject: Subject, evaluation: EvaluationRecord) -> str:
        """By what it was judged, one or more sentences."""

    def name(self, figure: str) -> str:
        """A figure, for people."""

    def shown(self, figure: str, value: float) -> str:
        """A figure, written."""

    def signed(self, figure: str, value: float) -> str:
        """A difference of two figures, written."""

    def further_rows(self, subject: Subject) -> Sequence[Sequence[str]]:
        """Of the table of figures: name, this version, opponent, difference; Markdown."""

    def further_lines(self, subject: Subject) -> list[str]:
        """Markdown below that table."""

    def training_facts(self, subject: Subject) -> list[tuple[str, str]]:
        """What there is to know of the rows of the training set; nothing where it is gone."""

    def weaknesses(self, subject: Subject) -> list[Statement]:
        """Plain sentences."""

    def intervals(self, subject: Subject) -> dict[str, Difference]:
        """Figure -> its 95 % interval, where that is known."""

    def pictures(self, subject: Subject, intervals: Mapping[str, Difference]) -> dict[str, bytes]:
        """File name -> PNG."""


class TaskReport(Protocol):
    """Pictures and tables of one task's predictions and figures.

    Attributes:
        card: for model cards.
        window_head: columns of the table of shadow windows.
        window_counts: the figures of a window that are counts.
    """

    card: CardReport
    window_head: tuple[str, ...]
    window_counts: tuple[str, ...]

    def holdout_picture(self, predictions: Any, rows: pd.DataFrame, threshold: float | None) -> bytes:
        """PNG of a model's predictions for a hold-out; ``rows`` are those of the training set."""

    def probe(self, prediction: Any, threshold: float | None) -> tuple[dict[str, float], bytes]:
        """Figures and PNG of what a served model predicts when nothing is wrong."""

    def counts(self, figures: HoldoutFigures) -> dict[str, int]:
        """By how much it was judged: name -> count."""

    def decision_picture(self, figures: Mapping[str, Mapping[str, float]], title: str) -> bytes:
        """PNG of challenger and opponent: who -> name -> figure."""

    def summary(self, metrics: Mapping[str, float]) -> str:
        """The figures of a version in one line."""

    def shadow(self, record: ShadowRecord, frame: pd.DataFrame) -> tuple[dict[str, float | None], bytes]:
        """Figures and PNG of a shadow window; no bytes where there is nothing to draw."""

    def window_cells(self, both: Any) -> tuple[str, ...]:
        """A row of the table of shadow windows."""


def written(value: float | None, form: str) -> str:
    """A figure as a cell; a dash where there is none."""
    return "-" if value is None else form.format(value)
