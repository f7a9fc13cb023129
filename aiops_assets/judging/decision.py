"""Whether a challenger is served, and the decisions that need no figures."""

from dataclasses import dataclass
from typing import Any

from aiops_assets.judging.statements import Statement
from aiops_assets.judging.wording import Words, words_of

SYNTHETIC = "synthetic"
"""An effective source; anything else has seen a real cluster."""


class Reason(Statement):
    """Why something was decided: a code of ``wording.WORDINGS`` and what the decision rests on, figures as numbers."""

    def __init__(self, code: str, /, **facts: Any) -> None:
        super().__init__(code, words_of(code, facts).text, **facts)

    @property
    def words(self) -> Words:
        """The reason in words, its figures apart."""
        return words_of(self.code, self.facts)


@dataclass(frozen=True)
class Decision:
    """Whether the challenger becomes champion, and why; ``equal``: it is the champion, or its twin."""

    promote: bool
    because: Reason
    equal: bool = False


def reject_by_source(challenger_source: str, champion_source: str | None) -> Decision | None:
    """The decision against a version that saw only generated data where the champion saw a real cluster."""
    if challenger_source == SYNTHETIC and champion_source not in (SYNTHETIC, None):
        return Decision(False, Reason("synthetic_after_real", champion_source=champion_source))
    return None


def meets_null_model(challenger_source: str, champion_source: str | None) -> bool:
    """Whether there is no champion whose figures would mean something for this challenger."""
    return champion_source is None or (champion_source == SYNTHETIC and challenger_source != SYNTHETIC)


def replace_damaged(damage: str, *, challenger_source: str, champion_source: str) -> Decision:
    """Whether the challenger stands in for a champion whose files cannot be loaded; ``damage`` says why."""
    if challenger_source == SYNTHETIC and champion_source != SYNTHETIC:
        return Decision(False, Reason("synthetic_after_real", champion_source=champion_source, damage=damage))
    return Decision(True, Reason("champion_damaged", damage=damage))
