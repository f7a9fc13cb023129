"""The state of a pager: arrays with a place for each entity and each group, stored as plain arrays."""

import io
import zipfile
import zlib
from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from aiops_assets.errors import ModelError
from aiops_assets.learners.contracts import Flags
from aiops_assets.learners.fleet.levels import DAY_HOURS, UNSEEN
from aiops_assets.learners.fleet.sides import Sides
from aiops_assets.learners.fleet.signals import Signal

DAYS = 14
HOURS = DAYS * DAY_HOURS
USUAL_HOURS = 7 * DAY_HOURS
LAG_HOURS = 2
"""The newest hours are no history yet: an incident that begins slowly must not raise its own level."""
ROWS = 3
"""A page needs all but one of an entity's newest three rows to be high."""
LASTING_ROWS = 6
"""What lasts is what all of so many rows have: half an hour of rows every five minutes."""
FORGOTTEN_SECONDS = 86_400
"""After so long without a row, an entity that comes back counts as new."""

FORMAT = 3
"""Format of stored states. Format 2 lacked what lasts and what is shared; format 1 also the means of entities."""
OF_GROUPS = {
    "_peaks": (1, UNSEEN),
    "_means": (1, np.nan),
    "_whole": (1, UNSEEN),
    "_habit": (1, 0.0),
    "_hour_peak": (0, UNSEEN),
    "_hour_whole": (0, UNSEEN),
    "_sum": (0, 0.0),
    "_count": (0, 0.0),
    "_paged_hours": (0, 0.0),
    "_paged": (0, False),
}
"""Array -> the axis of groups, and what a new group begins with."""
LEVELS = {"_fitted": np.inf, "_usual": np.nan, "_low": np.nan, "_level": np.inf}
"""Array (n_groups, n_sides) -> what a new group begins with, but for counters: they are judged at once, from 0 on."""
OF_ENTITIES = {
    "_group_of": 0,
    "_first": 0.0,
    "_started": -np.inf,
    "_last": -np.inf,
    "_raw": np.nan,
    "_rows": -np.inf,
    "_times": -np.inf,
    "_near": np.nan,
    "_own": np.nan,
    "_excess": 0.0,
}
"""Array with a place an entity -> what a new entity begins with."""
STATE = (*OF_GROUPS, *LEVELS, "_centre", *OF_ENTITIES)
"""Attributes that are arrays; beside them names and hours."""


class Places:
    """The arrays of a pager, and which entity or group has which place in them.

    Args:
        signals: the columns that are judged.
        step_seconds: distance of an entity's rows.
    """

    def __init__(self, signals: Sequence[Signal], step_seconds: int) -> None:
        """Begin without any entity."""
        self.signals = tuple(signals)
        self.step_seconds = step_seconds
        self._sides = Sides(self.signals)
        self._hour = self._fit_hour = -1
        n, k = len(self._sides), len(self.signals)
        self._entities: dict[str, int] = {}
        self._group_of = np.zeros(0, dtype=np.int64)
        self._first, self._started, self._last = np.zeros(0), np.zeros(0), np.zeros(0)
        self._raw, self._near, self._own = np.zeros((0, k)), np.zeros((0, k)), np.zeros((0, k))
        self._rows, self._times = np.zeros((0, LASTING_ROWS - 1, n)), np.zeros((0, LASTING_ROWS - 1))
        self._excess = np.zeros((0, n))
        self._groups: dict[str, int] = {}
        self._centre = np.zeros((0, k))
        self._peaks, self._means = np.zeros((HOURS + LAG_HOURS, 0, n)), np.zeros((USUAL_HOURS, 0, n))
        self._whole, self._hour_whole = np.zeros((7 * DAY_HOURS + 2, 0, n)), np.zeros((0, n))
        self._fitted, self._habit = np.zeros((0, n)), np.zeros((DAY_HOURS, 0, n))
        self._hour_peak, self._sum, self._count = np.zeros((0, n)), np.zeros((0, n)), np.zeros((0, n))
        self._paged_hours, self._paged = np.zeros((0, n)), np.zeros((0, n), dtype=bool)
        self._usual, self._low, self._level = np.zeros((0, n)), np.zeros((0, n)), np.zeros((0, n))

    def to_bytes(self) -> bytes:
        """The state as an archive of plain arrays (npz): nothing that runs when it is read."""
        arrays = {name: getattr(self, name) for name in STATE}
        arrays["_entities"], arrays["_groups"] = (
            np.array(list(names), dtype=np.str_) for names in (self._entities, self._groups)
        )
        arrays["_hours"] = np.array([self._hour, self._fit_hour])
        arrays["_identity"] = np.array(self._identity())
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **arrays)
        return buffer.getvalue()

    def restore(self, data: bytes) -> Self:
        """Go on from a state that :meth:`to_bytes` made; the budget may be another one.

        Raises:
            ModelError: it is none, or of other signals or another cadence.
        """
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
                if arrays["_identity"].tolist() != self._identity():
                    raise ModelError("the state of pages is of other signals: begin anew", code="other_signals")
                for name in STATE:
                    setattr(self, name, arrays[name])
                self._entities = {name: i for i, name in enumerate(arrays["_entities"].tolist())}
                self._groups = {name: i for i, name in enumerate(arrays["_groups"].tolist())}
                self._hour, self._fit_hour = arrays["_hours"].tolist()
        except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise ModelError(f"not a state of pages: {error}", code="no_page_state") from None
        return self

    def _identity(self) -> list[str]:
        return [str(FORMAT), str(self.step_seconds), *self._sides.names]

    def _slots(self, entities: Sequence[str], groups: Sequence[str], now: int) -> "np.ndarray[Any, np.dtype[np.int64]]":
        """(n,) places of n entities; those that are not known get new ones, and so do their groups."""
        more = dict.fromkeys(group for group in groups if group not in self._groups)
        known = len(self._groups)
        self._groups |= {group: known + i for i, group in enumerate(more)}
        for name, (axis, fill) in OF_GROUPS.items():
            setattr(self, name, _longer(getattr(self, name), len(more), fill, axis))
        for name, fill in LEVELS.items():
            setattr(self, name, _longer(getattr(self, name), len(more), np.where(self._sides.counts, 0.0, fill)))
        self._centre = _longer(self._centre, len(more), np.nan)
        begun = len(self._entities)
        newcomers = [entity for entity in entities if entity not in self._entities]
        self._entities |= {entity: begun + i for i, entity in enumerate(newcomers)}
        for name, fill in OF_ENTITIES.items():
            setattr(self, name, _longer(getattr(self, name), len(newcomers), fill))
        self._first[begun:] = now
        places = np.array([self._entities[entity] for entity in entities], dtype=np.int64)
        self._group_of[places] = [self._groups[group] for group in groups]
        return places

    def _forget(self, now: float) -> None:
        """Drop entities without a row for a day, and groups without any entity or hour of history."""
        keep = np.flatnonzero(now - self._last < FORGOTTEN_SECONDS)
        left: Flags = np.asarray(np.isfinite(self._peaks).any(axis=(0, 2)))
        left = left | np.isin(np.arange(len(left)), self._group_of[keep])
        groups = np.flatnonzero(left)
        names, owners = list(self._entities), list(self._groups)
        self._entities = {names[i]: new for new, i in enumerate(keep.tolist())}
        self._groups = {owners[i]: new for new, i in enumerate(groups.tolist())}
        place = np.full(len(owners), -1)
        place[groups] = np.arange(len(groups))
        self._group_of = place[self._group_of[keep]]
        for name in OF_ENTITIES.keys() - {"_group_of"}:
            setattr(self, name, getattr(self, name)[keep])
        for name, (axis, _) in OF_GROUPS.items():
            setattr(self, name, getattr(self, name).take(groups, axis))
        for name in (*LEVELS, "_centre"):
            setattr(self, name, getattr(self, name)[groups])


def _longer(array: Any, more: int, fill: Any, axis: int = 0) -> Any:
    """The array with so many more places along an axis."""
    shape = (*array.shape[:axis], more, *array.shape[axis + 1 :])
    return np.concatenate([array, np.broadcast_to(np.asarray(fill, dtype=array.dtype), shape)], axis=axis)
