"""Whether a challenger is served, and the decisions that need no figures."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from aiops_assets.judging.wording import Words, words_of

SYNTHETIC = "synthetic"
"""An effective source; anything else has seen a real cluster."""


@dataclass(frozen=True, init=False)
class Reason:
    """Why something was decided.

    Attributes:
        code: one of ``wording.WORDINGS``.
        facts: what the decision rests on, figures as numbers.
    """

    code: str
    facts: Mapping[str, Any]

    def __init__(self, code: str, **facts: Any) -> None:
        object.__setattr__(self, "code", code)
        object.__setattr__(self, "facts", MappingProxyType(facts))

    @property
    def words(self) -> Words:
        """The reason in words, its figures apart."""
        return words_of(self.code, self.facts)

    @property
    def text(self) -> str:
        """The reason as one sentence."""
        return self.words.text


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
