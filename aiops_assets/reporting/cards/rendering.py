"""The files of a model card, text and pictures, made from records: equal records give equal files."""

from aiops_assets.reporting.cards.subject import Subject
from aiops_assets.reporting.cards.text import card_text
from aiops_assets.reporting.reports import report_of
from aiops_assets.storage.cards import CARD


def card_files(subject: Subject) -> dict[str, bytes]:
    """The files of a card: file name -> content."""
    kind = report_of(subject.spec).card
    intervals = kind.intervals(subject)
    drawn = kind.pictures(subject, intervals)
    return {**drawn, CARD: card_text(subject, intervals, tuple(drawn)).encode()}
