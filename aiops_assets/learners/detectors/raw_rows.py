"""Raw rows of many entities, of which a detector reads few: each part is made when it is asked for."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from aiops_assets.learners.detectors.counters import MAX_GAP_ROWS
from aiops_assets.timeseries.frames import LIMIT
from aiops_assets.timeseries.series import Floats


class RawRows(Protocol):
    """Rows of entities at the cadence of training."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of rows, entities and columns."""

    def part(self, start: int, stop: int) -> Floats:
        """(stop - start, n_entities, n_columns) rows from ``start`` to before ``stop``, NaN where no sample is."""


@dataclass(frozen=True)
class Read:
    """Rows as a detector reads them: bounded, NaN before each entity's begin, counters as increases.

    Attributes:
        raw: the rows.
        begins: (n_entities,) the row at which each begins.
        increases: (n_rows, n_entities, n_columns) -> with counters as increases a row, since at most 12 before.
    """

    raw: RawRows
    begins: npt.NDArray[np.int64]
    increases: Callable[[Floats], Floats]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of rows, entities and columns."""
        return self.raw.shape

    def part(self, start: int, stop: int) -> Floats:
        """(stop - start, n_entities, n_columns); rows that are before the first one are NaN."""
        begin, end = max(start, 0), max(stop, 0)
        first = max(begin - MAX_GAP_ROWS, 0)  # an increase is since the last known row
        values = self.raw.part(first, end)
        begun = np.arange(first, end)[:, np.newaxis] >= self.begins
        known = begun[..., np.newaxis] & np.isfinite(values)
        values = self.increases(np.where(known, np.clip(values, -LIMIT, LIMIT), np.nan))[begin - first :]
        missing = stop - start - len(values)
        return np.concatenate([np.full((missing, *values.shape[1:]), np.nan), values]) if missing else values
