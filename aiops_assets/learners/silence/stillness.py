"""Values that froze: unchanged for longer than they ever were."""

from dataclasses import dataclass

import numpy as np

from aiops_assets.learners.contracts import Flags
from aiops_assets.timeseries.series import Floats

LEAST_CHANGES = 50
"""A series that changed less often is not known well enough."""
FACTOR, MORE_ROWS = 2, 2
"""A value froze when it is the same for so many times its longest rest so far, and so many rows more."""


@dataclass(frozen=True)
class Stillness:
    """How long n series rest.

    Attributes:
        still: (n,) known rows since the newest change.
        longest: (n,) the longest rest between two changes, in known rows.
        changes: (n,) number of changes.
    """

    still: Floats
    longest: Floats
    changes: Floats

    @classmethod
    def new(cls, n: int) -> "Stillness":
        """Of n series without a row."""
        return cls(np.zeros(n), np.zeros(n), np.zeros(n))

    def after(self, last: Floats, values: Floats) -> "Stillness":
        """The same after new rows.

        Args:
            last: (n,) the newest known values before them; NaN: none.
            values: (n, n_rows), NaN unknown; unknown rows do not count.
        """
        if not values.shape[1]:
            return self
        known = np.isfinite(values)
        place = np.maximum.accumulate(np.where(known, np.arange(values.shape[1]), -1), axis=1)
        filled = np.where(place >= 0, np.take_along_axis(values, np.maximum(place, 0), axis=1), last[:, np.newaxis])
        before = np.concatenate([last[:, np.newaxis], filled[:, :-1]], axis=1)
        known &= np.isfinite(before)  # the first value of all is no rest
        changed = known & (values != before)
        # Known rows so far, counted from the newest change before these rows.
        count = self.still[:, np.newaxis] + np.cumsum(known, axis=1)
        at_change = np.maximum.accumulate(np.where(changed, count, 0.0), axis=1)
        earlier = np.concatenate([np.zeros((len(values), 1)), at_change[:, :-1]], axis=1)
        rest = np.where(changed, count - earlier - 1, 0.0)
        return Stillness(
            count[:, -1] - at_change[:, -1],
            np.maximum(self.longest, rest.max(axis=1)),
            self.changes + changed.sum(axis=1),
        )

    def frozen(self, value: Floats) -> Flags:
        """(n,) whether the newest values froze; 0 is not a frozen value, but nothing going on."""
        rests = self.still >= FACTOR * self.longest + MORE_ROWS
        return np.asarray(rests & (self.changes >= LEAST_CHANGES) & np.isfinite(value) & (value != 0))
