"""The state of a stored day: whether it is closed, and which of its samples are missing."""

from dataclasses import dataclass

from aiops_assets.storage import day_file
from aiops_assets.storage.day_file import DaySamples


@dataclass(frozen=True)
class DayState:
    """A day of the lake.

    Attributes:
        is_over: all of its instants were requested.
        is_closed: it will not be requested again.
        first: clock time (UTC, HH:MM) of the first instant with a sample; empty if that is the day's first instant.
        missing: number of instants without a sample after the first one with a sample.
    """

    is_over: bool
    is_closed: bool
    first: str = ""
    missing: int = 0

    @classmethod
    def of(cls, day: DaySamples, requested_until: int, closed: bool) -> "DayState":
        """The state of samples; ``requested_until`` is the end of the requested part, in Unix microseconds."""
        covered = day.covered[: day.points_until(requested_until)]
        first = int(covered.argmax()) if covered.any() else len(covered)
        clock = day_file.time_at(day.begin + first * day.step).strftime("%H:%M") if first else ""
        return cls(requested_until >= day.end, closed, clock, int((~covered[first:]).sum()))

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
