"""What was measured, beside its limit."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """A number and the limit it must keep: at most that much, or ``at_least``."""

    name: str
    found: float
    limit: float
    at_least: bool = False

    @property
    def kept(self) -> bool:
        """Whether the limit is kept; a NaN keeps none."""
        return self.found >= self.limit if self.at_least else self.found <= self.limit

    def __str__(self) -> str:
        side = "at least" if self.at_least else "at most"
        return f"{self.found:7.2f}  ({side} {self.limit:.1f})  {self.name}"
