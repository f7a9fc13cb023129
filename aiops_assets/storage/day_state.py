"""How far a stored day has come, and why it has fewer samples than were asked for: as data, and in words."""

from dataclasses import dataclass

from aiops_assets.storage import day_file
from aiops_assets.storage.day_file import DaySamples


@dataclass(frozen=True)
class DayState:
    """A day of the lake.

    Attributes:
        is_over: all of its instants were asked for.
        is_closed: it will not be asked again.
        first: clock time (UTC, HH:MM) of the first instant with a sample; empty where that is the day's first.
        missing: instants without a sample after the first one with a sample.
    """

    is_over: bool
    is_closed: bool
    first: str = ""
    missing: int = 0

    @classmethod
    def of(cls, day: DaySamples, asked: int, closed: bool) -> "DayState":
        """The state of samples; ``asked`` is the end of what was asked so far, in Unix microseconds."""
        covered = day.covered[: day.points_until(asked)]
        first = int(covered.argmax()) if covered.any() else len(covered)
        clock = day_file.time_at(day.begin + first * day.step).strftime("%H:%M") if first else ""
        return cls(asked >= day.end, closed, clock, int((~covered[first:]).sum()))

    @property
    def text(self) -> str:
        """In words: "complete", or all that is lacking."""
        reasons = []
        if not self.is_closed:
            reasons.append("the day is not closed yet" if self.is_over else "the day is not over")
        if self.first:
            reasons.append(f"no sample before {self.first} (retention or the begin of the history)")
        if self.missing:
            reasons.append(f"{self.missing} instant{'s' if self.missing > 1 else ''} without a sample")
        return "; ".join(reasons) or "complete"
