"""What is told to people, as data: programs and tests ask for its code and its facts, people read its text."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any


@dataclass(frozen=True, init=False)
class Statement:
    """One sentence or phrase for people: a reason, a weakness, a note, a piece of advice.

    Attributes:
        code: what it is.
        text: the words.
        facts: what the words name: numbers, kinds, names. They cannot be changed.
    """

    code: str
    text: str
    facts: Mapping[str, Any] = field(hash=False)

    def __init__(self, code: str, text: str, /, **facts: Any) -> None:
        object.__setattr__(self, "code", code)
        object.__setattr__(self, "text", text)
        object.__setattr__(self, "facts", MappingProxyType(facts))
