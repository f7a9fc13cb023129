"""What differs between the cards of detectors and of forecasters."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from aiops_assets.families.catalog import ModelSpec
from aiops_assets.families.registry import DETECTOR, FORECASTER, family_of
from aiops_assets.judging.detection.gate import Difference
from aiops_assets.reporting.cards.detector_card import DetectorCard
from aiops_assets.reporting.cards.forecast_card import ForecastCard
from aiops_assets.reporting.cards.subject import Subject
from aiops_assets.storage.records import EvaluationRecord


class CardKind(Protocol):
    """What a card has to know of a kind of model.

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

    def weaknesses(self, subject: Subject) -> list[str]:
        """Plain sentences."""

    def intervals(self, subject: Subject) -> dict[str, Difference]:
        """Figure -> its 95 % interval, where that is known."""

    def pictures(self, subject: Subject, intervals: Mapping[str, Difference]) -> dict[str, bytes]:
        """File name -> PNG."""


CARD_KINDS: dict[str, CardKind] = {DETECTOR: DetectorCard(), FORECASTER: ForecastCard()}


def kind_of(spec: ModelSpec) -> CardKind:
    """How the card of a model is written.

    Raises:
        ModelError: a family that is not known here.
    """
    return CARD_KINDS[family_of(spec).kind]
