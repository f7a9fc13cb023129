"""Rows every five minutes of the days of a metric: of closed days from their copies, of others from the lake itself."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date

import numpy as np
import numpy.typing as npt

from aiops_assets.errors import StoreError
from aiops_assets.storage.day_file import DaySamples
from aiops_assets.storage.day_rows import DayRows, HeldRows, RowCopies
from aiops_assets.storage.lake import Lake
from aiops_assets.timeseries.catalog import MetricSpec
from aiops_assets.timeseries.features import ROW_EVERY_MINUTES
from aiops_assets.timeseries.pod_parts import part_of
from aiops_assets.timeseries.series import DAY_SECONDS, Floats

ROW_SECONDS = 60 * ROW_EVERY_MINUTES
ROWS_A_DAY = DAY_SECONDS // ROW_SECONDS
NO_ROWS = HeldRows({}, {})
Instants = npt.NDArray[np.int64]
Together = Callable[[Floats], Floats]
"""(n_series, n_rows) rows of the series of one entity -> (n_rows,) its own."""
Owner = Callable[[str], str]
"""Name of a series -> its entity; empty: it has none."""


def of_instants(samples: DaySamples, instants: Instants) -> Floats:
    """(n_series, n_instants) samples at some instants, Unix microseconds; NaN where none is."""
    place, rest = np.divmod(instants - samples.begin, samples.step)
    there = (rest == 0) & (place >= 0) & (place < samples.values.shape[1])
    found = np.full((len(samples.names), len(instants)), np.nan)
    found[:, there] = samples.values[:, place[there]]
    return found


def only_one(rows: Floats) -> Floats:
    """Of an entity that must have one series. Raises ValueError if it has more."""
    if len(rows) > 1:
        raise ValueError("several series")
    return rows[0]


def held_rows(
    blocks: Iterator[DaySamples], instants: Instants, owner: Owner, together: Together = only_one
) -> HeldRows:
    """The rows at some instants of each entity, by parts. Raises ValueError where ``together`` does."""
    found: dict[str, list[Floats]] = {}
    for block in blocks:
        for name, row in zip(block.names, of_instants(block, instants), strict=True):
            found.setdefault(owner(name), []).append(row)
    found.pop("", None)
    by_part: dict[int, list[str]] = {}
    for entity in sorted(found):
        by_part.setdefault(part_of(entity), []).append(entity)
    values = {
        part: np.stack([together(np.stack(found.pop(entity))) for entity in entities])
        for part, entities in sorted(by_part.items())
    }
    return HeldRows({part: tuple(by_part[part]) for part in values}, values)


@dataclass
class RowDays:
    """Reads days of one metric.

    Args:
        lake: the lake.
        copies: of its closed days.
        name: under which the rows are copied: of the metric, and of what makes one row of several series.
        owner: name of a series -> its entity, whatever a run wants of them.
        together: makes one row of the series of an entity.
    """

    lake: Lake
    copies: RowCopies
    name: str
    owner: Owner
    together: Together = only_one
    used: dict[tuple[str, date], str] = field(default_factory=dict)
    """(name, day) -> seal of the copies that were read."""

    def day(self, metric: MetricSpec, day: date) -> DayRows:
        """All entities of a day.

        Raises:
            NotFoundError, IntegrityError: the day is not stored, or damaged.
            ValueError: an entity has several series, and should have one.
        """
        info, seal = self.lake.fingerprint(metric, day)
        if not info.closed:
            return self._made(metric, day)
        self.used[self.name, day] = seal
        stored = self.copies.day(self.name, day, seal, lambda: self._made(metric, day))
        return _Guarded(stored or NO_ROWS, lambda: self._made(metric, day))

    def _made(self, metric: MetricSpec, day: date) -> HeldRows:
        blocks = self.lake.read_blocks(metric, day, lambda name: bool(self.owner(name)))
        return held_rows(blocks, row_instants(day), self.owner, self.together)


class _Guarded(DayRows):
    """A copy, or what it is made of where it is damaged or was removed meanwhile."""

    def __init__(self, rows: DayRows, make: Callable[[], HeldRows]) -> None:
        self._rows, self._make = rows, make

    @property
    def names(self) -> Mapping[int, tuple[str, ...]]:  # type: ignore[override]  # read only
        """Part -> its entities."""
        return self._rows.names

    def part(self, part: int) -> Floats:
        """(n_entities, n_rows) of a part, in the order of ``names``."""
        with suppress(StoreError):
            return self._rows.part(part)
        names, made = self._rows.names[part], self._make()
        # A day that was written again meanwhile may have other entities: rows stay those of the names that were given.
        there, found = taken(made, part, names)
        rows = np.full((len(names), ROWS_A_DAY), np.nan)
        rows[there] = found
        self._rows = made
        return rows


def row_instants(day: date) -> Instants:
    """(288,) the instants of a day's rows, Unix microseconds."""
    begin = np.datetime64(day, "us").astype(np.int64)
    return begin + 1_000_000 * ROW_SECONDS * np.arange(ROWS_A_DAY)


def taken(rows: DayRows, part: int, entities: Sequence[str]) -> tuple[npt.NDArray[np.intp], Floats]:
    """Which of some entities of a part have rows, and (n, n_rows) these; what has none is left out."""
    names = rows.names.get(part, ())
    if not names:
        return np.zeros(0, dtype=np.intp), np.zeros((0, ROWS_A_DAY))
    if names == tuple(entities):
        return np.arange(len(names)), rows.part(part)
    place = {name: i for i, name in enumerate(names)}
    at = np.array([place.get(name, -1) for name in entities], dtype=np.intp)
    there = np.flatnonzero(at >= 0)
    return there, rows.part(part)[at[there]] if len(there) else np.zeros((0, ROWS_A_DAY))
