"""The page decision: for which entities of a fleet a person is called, within one budget for the whole fleet.

A detector's ``alert`` (the notice) spends a share of each entity's time. A page is rarer: all entities, signals and
models together spend ``alerts_per_day``. A signal pages when all of this holds:

- At least two of the entity's last three rows are that high, within a quarter of an hour: a blip does not page.
- They are above the level that its group (the pods of a workload; a node alone) exceeds so rarely that the whole fleet
  is expected to do so ``alerts_per_day`` times a day: the per-family error rate, by Bonferroni's inequality, of
  :func:`levels.return_levels` over the last two weeks, on top of what is usual at this time of day, and above what was
  reached at this time a week ago. A pod that was replaced a minute ago is measured by its predecessors.
- The entity is older than an hour, and 20 minutes have passed since a counted restart or a gap: a start takes what
  nothing else does. Counters count from the first row on.

Only what gets worse pages: signals say which direction that is. What pages counts for later levels as half of its
level: an incident does not hide the next one, and what comes back each day or week at its time is a habit.

A group without a whole day of history does not page, except by counters. With fewer than four days the level is three
times the largest deviation so far.
"""

import io
import zipfile
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from aiops_assets.errors import ModelError
from aiops_assets.learners.contracts import Flags
from aiops_assets.learners.fleet.levels import (
    DAY_HOURS,
    HABIT_MARGIN,
    MARGINS,
    UNSEEN,
    Margins,
    daily_peaks,
    habits,
    median_of_hours,
    return_levels,
)
from aiops_assets.learners.fleet.signals import Pages, Signal
from aiops_assets.timeseries.series import Floats

DAYS = 14
HOURS = DAYS * DAY_HOURS
USUAL_HOURS = 7 * DAY_HOURS
LAG_HOURS = 2
"""The newest hours are no history yet: an incident that begins slowly must not raise its own level."""
WINDOW_SECONDS = 900
YOUNG_SECONDS = 3600
HOUR_SECONDS = 3600
FIT_HOURS = 6
"""So often levels are fitted anew."""
PAGED_SHARE = 0.5
"""What pages counts for later levels as this share of the present one."""
STARTING_SECONDS, STARTED_ROWS = 1200, 1.5
"""After a counted restart or a gap a container may have started: for so long only counters are judged."""
CAUTION = 10.0
"""Levels of two weeks are uncertain: at the nominal probability the pages of generated fleets were several times the
budget (200 pods, seeds 2 and 3; judged on other seeds)."""
LASTING_HOURS = 12
"""A page that lasts so long is a new level: from then on it counts as it is."""
FORGOTTEN_SECONDS = 86_400
"""After so long without a row, an entity that comes back counts as new."""
ROWS = 3
"""A page needs all but one of an entity's newest three rows to be high."""


FORMAT = 1
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
LEVELS = {"_fitted": np.inf, "_usual": np.nan, "_level": np.inf}
"""Array (n_groups, n_sides) -> what a new group begins with, but for counters: they are judged at once, from 0 on."""
OF_ENTITIES = {
    "_group_of": 0,
    "_first": 0.0,
    "_started": -np.inf,
    "_last": -np.inf,
    "_raw": np.nan,
    "_rows": -np.inf,
    "_times": -np.inf,
}
"""Array with a place an entity -> what a new entity begins with."""
STATE = (*OF_GROUPS, *LEVELS, *OF_ENTITIES)
"""Attributes that are arrays; beside them names and hours."""


class Pager:
    """Decides on rows as they come. The result does not depend on how they are divided among calls.

    Args:
        signals: the columns that are judged; those of several models of one entity may be among them.
        alerts_per_day: pages that the whole fleet may raise by chance.
        step_seconds: distance of an entity's rows.
        margins: of the levels.
    """

    def __init__(
        self,
        signals: Sequence[Signal],
        alerts_per_day: float = 1.0,
        step_seconds: int = 300,
        margins: Margins = MARGINS,
    ) -> None:
        self.signals = tuple(signals)
        self.alerts_per_day = alerts_per_day
        self.step_seconds = step_seconds
        self._margins = margins
        self._sides = [
            (i, side) for i, one in enumerate(self.signals) for side in ((1, -1) if one.worse == 0 else (one.worse,))
        ]
        self._of = np.array([i for i, _ in self._sides])
        self._sign = np.array([float(side) for _, side in self._sides])
        self._counts = np.array([one.counter for one in self.signals], dtype=bool)
        self._side_counts = self._counts[self._of]
        self._least = np.array([one.least for one in self.signals])[self._of]
        self._hour = -1
        n = len(self._sides)
        self._entities: dict[str, int] = {}
        self._group_of = np.zeros(0, dtype=np.int64)
        self._first, self._started, self._last = np.zeros(0), np.zeros(0), np.zeros(0)
        self._raw = np.zeros((0, len(self.signals)))
        self._rows, self._times = np.zeros((0, ROWS - 1, n)), np.zeros((0, ROWS - 1))
        self._groups: dict[str, int] = {}
        self._peaks, self._means = np.zeros((HOURS + LAG_HOURS, 0, n)), np.zeros((USUAL_HOURS, 0, n))
        self._whole, self._hour_whole = np.zeros((7 * DAY_HOURS + 2, 0, n)), np.zeros((0, n))
        self._fitted, self._habit = np.zeros((0, n)), np.zeros((DAY_HOURS, 0, n))
        self._fit_hour = -1
        self._hour_peak, self._sum, self._count = np.zeros((0, n)), np.zeros((0, n)), np.zeros((0, n))
        self._paged_hours, self._paged = np.zeros((0, n)), np.zeros((0, n), dtype=bool)
        self._usual, self._level = np.zeros((0, n)), np.zeros((0, n))

    def pages(self, rows: pd.DataFrame) -> Pages:
        """Decide on the newest rows of all entities.

        Args:
            rows: ``timestamp`` (UTC), ``entity``, ``workload`` (without it each entity is its own group), and the
                signals' columns, NaN where nothing is known. Rows that are not newer than their entity's last one are
                not judged.
        """
        seconds = pd.DatetimeIndex(rows["timestamp"]).as_unit("s").asi8
        values = rows[[one.name for one in self.signals]].to_numpy(dtype=np.float64)
        entities = rows["entity"].astype(str).to_numpy()
        groups = rows["workload"].astype(str).to_numpy() if "workload" in rows else entities
        groups = np.where(groups == "", entities, groups)
        page = np.zeros(len(rows), dtype=bool)
        signal = np.full(len(rows), "", dtype=object)
        codes, names = pd.factorize(entities)
        owners = dict(zip(codes.tolist(), groups.tolist(), strict=True))
        order = np.argsort(seconds, kind="stable")
        bounds = np.flatnonzero(np.diff(seconds[order], prepend=-1))
        slots = np.full(len(names), -1)
        for at in np.split(order, bounds[1:]):
            if not len(at):
                continue
            now = int(seconds[at[0]])
            if self._roll(now // HOUR_SECONDS):
                slots[:] = -1
            new = np.unique(codes[at][slots[codes[at]] < 0])
            if len(new):
                slots[new] = self._slots([str(names[one]) for one in new], [owners[one] for one in new.tolist()], now)
            flags, first = self._judge(now, slots[codes[at]], values[at])
            page[at] = flags
            signal[at[flags]] = [self.signals[i].name for i in first[flags]]
        return Pages(page, signal)

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

    def restore(self, data: bytes) -> "Pager":
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
        return [str(FORMAT), str(self.step_seconds), *(f"{s.name} {s.worse} {s.counter:d}" for s in self.signals)]

    def _judge(self, now: int, slots: "np.ndarray[Any, np.dtype[np.int64]]", values: Floats) -> tuple[Flags, Any]:
        """Rows of different entities at one instant: whether each pages, and by which signal."""
        newer = self._last[slots] < now
        _, kept = np.unique(slots[::-1], return_index=True)  # of one entity's rows the last one counts
        last_one = np.zeros(len(slots), dtype=bool)
        last_one[len(slots) - 1 - kept] = True
        use = newer & last_one
        flags, first = np.zeros(len(slots), dtype=bool), np.zeros(len(slots), dtype=np.int64)
        at = slots[use]
        if not len(at):
            return flags, first
        raw = values[use]
        before, known = self._raw[at], np.isfinite(raw)
        increase = np.where(np.isfinite(before), np.maximum(raw - before, 0.0), 0.0)
        read = np.where(self._counts, increase, raw)
        self._raw[at] = np.where(known, raw, before)
        side = np.where(np.isfinite(read), read, -np.inf)[:, self._of] if (self._sign > 0).all() else self._signed(read)
        side = np.where(known[:, self._of], side, -np.inf)
        recent = (now - self._times[at]) <= (ROWS - 0.5) * self.step_seconds
        three = np.concatenate(
            [side[:, np.newaxis], np.where(recent[..., np.newaxis], self._rows[at], -np.inf)], axis=1
        )
        second = np.sort(three, axis=1)[:, -2]
        self._rows[at] = np.concatenate([side[:, np.newaxis], self._rows[at][:, :-1]], axis=1)
        self._times[at] = np.concatenate([np.full((len(at), 1), float(now)), self._times[at][:, :-1]], axis=1)
        started = (self._counts & (increase > 0)).any(axis=1) | (
            now - self._last[at] > STARTED_ROWS * self.step_seconds
        )
        self._started[at] = np.where(started, float(now), self._started[at])
        grown = (now - self._first[at] >= YOUNG_SECONDS) & (now - self._started[at] >= STARTING_SECONDS)
        judged = np.where(grown[:, np.newaxis] | self._side_counts, second, -np.inf)
        group = self._group_of[at]
        excess = judged - self._usual[group]
        level = self._level[group]
        high = np.isfinite(excess) & (excess > level)
        with np.errstate(divide="ignore", invalid="ignore"):
            far = np.where(high, np.where(level > 0, excess / level, np.inf), -np.inf)
        self._last[at] = now
        self._remember(group, judged, side, grown, high)
        flags[use] = high.any(axis=1)
        first[use] = self._of[far.argmax(axis=1)]
        return flags, first

    def _signed(self, read: Floats) -> Floats:
        signed: Floats = read[:, self._of] * self._sign
        return np.where(np.isfinite(signed), signed, -np.inf)

    def _remember(self, group: Any, judged: Floats, side: Floats, grown: Flags, high: Flags) -> None:
        """Take the rows into the present hour of their groups."""
        top = self._usual[group] + PAGED_SHARE * self._level[group]
        lasting = self._paged_hours[group] >= LASTING_HOURS
        counted = np.where(high & ~lasting & np.isfinite(top), np.minimum(judged, top), judged)
        np.maximum.at(self._hour_peak, group, counted)
        np.maximum.at(self._hour_whole, group, judged)
        known = np.isfinite(side) & grown[:, np.newaxis]
        np.add.at(self._sum, group, np.where(known, side, 0.0))
        np.add.at(self._count, group, known.astype(np.float64))
        np.logical_or.at(self._paged, group, high)

    def _roll(self, hour: int) -> bool:
        """Close the hours before this one; whether entities may have been forgotten."""
        if self._hour < 0:
            self._hour = hour
        if hour <= self._hour:
            return False
        for _ in range(min(hour - self._hour, HOURS + LAG_HOURS)):
            mean = np.where(self._count > 0, self._sum / np.maximum(self._count, 1), np.nan)
            self._peaks = np.concatenate([self._peaks[1:], self._hour_peak[np.newaxis]])
            self._means = np.concatenate([self._means[1:], mean[np.newaxis]])
            self._whole = np.concatenate([self._whole[1:], self._hour_whole[np.newaxis]])
            self._hour_whole = np.full_like(self._hour_whole, UNSEEN)
            self._paged_hours = np.where(self._paged, self._paged_hours + 1, 0.0)
            self._hour_peak, self._paged = np.full_like(self._hour_peak, UNSEEN), np.zeros_like(self._paged)
            self._sum, self._count = np.zeros_like(self._sum), np.zeros_like(self._count)
        day = hour // DAY_HOURS > self._hour // DAY_HOURS
        fit = hour // FIT_HOURS > self._hour // FIT_HOURS
        self._hour = hour
        if day:
            self._forget(hour * HOUR_SECONDS)
        if fit:
            self._fit_hour = hour
            self._set_levels()
        self._set_hour()
        return day

    def _set_levels(self) -> None:
        """The level of each group and signal for the next hours, from whole hours of the past."""
        if not self._groups:
            return
        # An hour is left out until LAG_HOURS have passed.
        history = self._peaks[:HOURS]
        hours = np.isfinite(history).sum(axis=0)
        self._usual = np.where(self._side_counts, 0.0, median_of_hours(self._means))
        found = history - np.nan_to_num(self._usual)
        found = np.where(np.isfinite(found), found, UNSEEN)
        habit = habits(found)
        rare = found - np.maximum(habit, 0.0)
        living = max(int(np.isfinite(history[-DAY_HOURS:]).any(axis=(0, 2)).sum()), 1)
        share = self.alerts_per_day / CAUTION / (living * len(self._sides))
        level = return_levels(
            daily_peaks(rare), self._least * np.abs(np.nan_to_num(self._usual)), min(share, 0.5), self._margins
        )
        enough = (hours >= DAY_HOURS) | (self._side_counts & (hours > 0))
        self._fitted = np.where(enough, level, np.where(self._side_counts, 0.0, np.inf))
        self._habit = np.maximum(habit[:DAY_HOURS], 0.0)

    def _set_hour(self) -> None:
        """The level of this hour: that of any hour, or above what is usual now or was reached a week ago."""
        if not self._groups:
            return
        week = self._whole[-7 * DAY_HOURS - 1 : -7 * DAY_HOURS + 2].max(axis=0) - np.nan_to_num(self._usual)
        now = self._habit[(self._hour - self._fit_hour + LAG_HOURS) % DAY_HOURS]
        week = np.where(np.isfinite(week), week, 0.0)
        self._level = np.maximum(self._fitted + now, HABIT_MARGIN * np.maximum(now, week))

    def _slots(self, entities: Sequence[str], groups: Sequence[str], now: int) -> "np.ndarray[Any, np.dtype[np.int64]]":
        """(n,) places of n entities; those that are not known get new ones, and so do their groups."""
        more = dict.fromkeys(group for group in groups if group not in self._groups)
        known = len(self._groups)
        self._groups |= {group: known + i for i, group in enumerate(more)}
        for name, (axis, fill) in OF_GROUPS.items():
            setattr(self, name, _longer(getattr(self, name), len(more), fill, axis))
        for name, fill in LEVELS.items():
            setattr(self, name, _longer(getattr(self, name), len(more), np.where(self._side_counts, 0.0, fill)))
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
        for name in LEVELS:
            setattr(self, name, getattr(self, name)[groups])


def _longer(array: Any, more: int, fill: Any, axis: int = 0) -> Any:
    """The array with so many more places along an axis."""
    shape = (*array.shape[:axis], more, *array.shape[axis + 1 :])
    return np.concatenate([array, np.broadcast_to(np.asarray(fill, dtype=array.dtype), shape)], axis=axis)
