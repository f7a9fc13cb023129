"""What is wrong with a champion record or with what follows it, as data."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, init=False)
class Disagreement:
    """A champion record that is damaged, or an alias or link that says something else than it.

    Attributes:
        code: what it is: "missing_record", "invalid_record", "wrong_record", "doubtful_record", "digests_differ",
            "link_behind", "alias_behind", "leftovers".
        text: one line for people.
        facts: what the line names: versions, digests, files.
    """

    code: str
    text: str
    facts: Mapping[str, Any]

    def __init__(self, code: str, text: str, **facts: Any) -> None:
        object.__setattr__(self, "code", code)
        object.__setattr__(self, "text", text)
        object.__setattr__(self, "facts", facts)
