"""The state of a stored day: whether it is closed, which of its samples are missing, and what should be there."""

from dataclasses import dataclass

import numpy as np

from aiops_assets.storage import day_file
from aiops_assets.storage.day_file import DaySamples, Update
from aiops_assets.timeseries import completeness
from aiops_assets.timeseries.completeness import TOLERATED_SHARE
from aiops_assets.timeseries.series import Floats


@dataclass(frozen=True)
class Expectation:
    """What the answer for a day should hold.

    Attributes:
        counted: (n_instants,) number of series that the server counted; NaN where it did not.
        lost_before: share (0 to 1) of stored samples that earlier answers of the same fetch lacked: such a server
            lacks series on the days after, too.
        counts_losses: samples that are stored already must be in the answer.
    """

    counted: Floats
    lost_before: float = 0.0
    counts_losses: bool = True

    @classmethod
    def nothing(cls, day: DaySamples) -> "Expectation":
        """Nothing is known, so that nothing is lacking."""
        return cls(np.full(day.values.shape[1], np.nan), counts_losses=False)

    def is_contradicted_by(self, answer: DaySamples) -> bool:
        """Whether the answer has fewer series than were counted."""
        return completeness.missing_of_count(answer.values, self._during(answer)) > TOLERATED_SHARE

    def lacking(self, day: DaySamples) -> float:
        """Share (0 to 1) of the counted series that the day does not have."""
        return completeness.missing_of_count(day.values, self.counted)

    def lost(self, update: Update) -> float:
        """Share (0 to 1) of stored samples that this answer, or an earlier one of the fetch, lacks."""
        return max(self.lost_before, update.lost if self.counts_losses else 0.0)

    def wanted(self, day: DaySamples, requested_until: int) -> int:
        """Number of samples that should be there before ``requested_until`` (Unix microseconds)."""
        return int(completeness.wanted(day.values, self.counted)[: day.points_until(requested_until)].sum())

    def _during(self, answer: DaySamples) -> Floats:
        """The counts at the instants at which the answer has any series."""
        return np.where(answer.covered, self.counted, np.nan)


@dataclass(frozen=True)
class DayState:
    """A day of the lake.

    Attributes:
        is_over: all of its instants were requested.
        is_closed: it will not be requested again.
        first: clock time (UTC, HH:MM) of the first instant with a sample; empty if that is the day's first instant.
        missing: number of instants without a sample after the first one with a sample.
        lacking: share (0 to 1) of the series that the server counted, or had before, without a sample.
    """

    is_over: bool
    is_closed: bool
    first: str = ""
    missing: int = 0
    lacking: float = 0.0

    @classmethod
    def of(cls, day: DaySamples, requested_until: int, closed: bool, lacking: float = 0.0) -> "DayState":
        """The state of samples; ``requested_until`` is the end of the requested part, in Unix microseconds."""
        covered = day.covered[: day.points_until(requested_until)]
        first = int(covered.argmax()) if covered.any() else len(covered)
        clock = day_file.time_at(day.begin + first * day.step).strftime("%H:%M") if first else ""
        lacking = lacking if lacking > TOLERATED_SHARE else 0.0
        return cls(requested_until >= day.end, closed, clock, int((~covered[first:]).sum()), lacking)

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
        if self.lacking:
            reasons.append(f"{self.lacking:.0%} of the series that the server has were not in its answer")
        return "; ".join(reasons) or "complete"
