"""The page decision: for which entities of a fleet a person is called, within one budget for the whole fleet.

A detector's ``alert`` (the notice) spends a share of each entity's time. A page is rarer: all entities, signals and
models together spend ``alerts_per_day``. A signal pages when all of this holds:

- At least two of the entity's last three rows are high, within a quarter of an hour, and their excesses over the usual
  level are together (by their geometric mean) above a level: a blip does not page.
- The level is what its group (the pods of a workload; a node alone) exceeds so rarely that the whole fleet is expected
  to do so ``alerts_per_day`` times a day: the per-family error rate, by Bonferroni's inequality, of
  :func:`levels.return_levels` over the last two weeks, on top of what is usual at this time of day or was reached at
  this time a week ago. A pod that was replaced a minute ago is measured by its predecessors.
- The entity is as far above its own mean of a day (:mod:`evidence`): what differs without having changed is no news.
- The entity is older than an hour, and 20 minutes have passed since a counted restart or a gap: a start takes what
  nothing else does. Counters count from the first row on.

Signals with ``shared`` are judged without what at least half of the group's entities have at the same time, up to so
many times the usual level: a roll-out, a campaign and a backup come to all pods, a fault mostly to one. Entities are
compared by their newest rows, so rows of one instant belong into one call; one that is late is compared with what the
others had last.

Signals with ``rise`` have a second side: how far a row is above the entity's own mean of two hours, where it is not
below what its group usually has. A leak and a node that fills show there long before they reach an unusual level.

Signals with ``lasts`` have one, too: the smallest of the newest half hour. Short jobs are as high as an incident and
end before; its level is that of what lasted so long.

Only what gets worse pages: signals say which direction that is. What pages counts for later levels as half of its
level: an incident does not hide the next one, and what comes back each day or week at its time is a habit.

A group without a whole day of history does not page, except by counters. With fewer than four days the level is three
times the largest deviation so far.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from aiops_assets.learners.contracts import Flags
from aiops_assets.learners.fleet.evidence import (
    clipped,
    in_units_of_group,
    moved_mean,
    of_three,
    share_of_newest,
    shared_by_half,
)
from aiops_assets.learners.fleet.levels import (
    DAY_HOURS,
    HABIT_MARGIN,
    MARGINS,
    UNSEEN,
    Margins,
    habits,
    quantile_of_hours,
    return_levels,
    weekly_habits,
)
from aiops_assets.learners.fleet.places import FORGOTTEN_SECONDS, HOURS, LAG_HOURS, LASTING_ROWS, ROWS, Places
from aiops_assets.learners.fleet.signals import Pages, Signal
from aiops_assets.timeseries.series import Floats

YOUNG_SECONDS = 3600
HOUR_SECONDS = 3600
FIT_HOURS = 6
"""So often levels are fitted anew."""
PAGED_SHARE = 0.5
"""What pages counts for later levels as this share of the present one."""
STARTING_SECONDS, STARTED_ROWS = 1200, 1.5
"""After a counted restart or a gap a container may have started: for so long only counters are judged."""
GROUPS_AT_ONCE = 500
"""Levels of so many groups are fitted together: of thousands, what is needed meanwhile is half a gigabyte."""
SPENT = 2.0
"""So many times the budget is allotted: a level is also kept above what was seen, so that fewer pages come of it."""
LASTING_HOURS = 12
"""A page that lasts so long is a new level: from then on it counts as it is."""
OWN_SECONDS, NEAR_SECONDS = 86_400, 7200
"""An entity's own means forget two thirds within a day, and within two hours: the latter is what rises begin from."""
LOW_SHARE = 0.2
"""A rise counts from what so many of a group's hours are below: what comes back to its level does not rise."""

Slots = np.ndarray[Any, np.dtype[np.int64]]


class Pager(Places):
    """Decides on rows as they come. The result does not depend on how instants are divided among calls.

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
        super().__init__(signals, step_seconds)
        self.alerts_per_day = alerts_per_day
        self._margins = margins

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

    def _judge(self, now: int, slots: Slots, values: Floats) -> tuple[Flags, Any]:
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
        read = np.where(known, np.where(self._sides.counters, increase, raw), np.nan)
        self._raw[at] = np.where(known, raw, before)
        started = (self._sides.counters & (increase > 0)).any(axis=1) | (
            now - self._last[at] > STARTED_ROWS * self.step_seconds
        )
        self._started[at] = np.where(started, float(now), self._started[at])
        group = self._group_of[at]
        side = self._without_shared(now, at, self._read_sides(now, at, read, started))
        together = self._newest_rows(now, at, side)
        grown = (now - self._first[at] >= YOUNG_SECONDS) & (now - self._started[at] >= STARTING_SECONDS)
        judged = np.where(grown[:, np.newaxis] | self._sides.counts, together, -np.inf)
        excess = judged - self._usual[group]
        level = self._level[group]
        high = np.isfinite(excess) & (excess > level)
        with np.errstate(divide="ignore", invalid="ignore"):
            far = np.where(high, np.where(level > 0, excess / level, np.inf), -np.inf)
        self._last[at] = now
        self._remember(group, judged, read[:, self._sides.of] * self._sides.sign, grown, high)
        flags[use] = high.any(axis=1)
        first[use] = self._sides.of[far.argmax(axis=1)]
        return flags, first

    def _read_sides(self, now: int, at: Slots, read: Floats, started: Flags) -> Floats:
        """(n, n_sides) what entities have in the scale of their groups, ``-inf`` where nothing is known."""
        sides, group, own = self._sides, self._group_of[at], self._own[at]
        # Means begin when a start is over: until then they are the newest row.
        centre, grown = self._centre[group], self._first[at] + YOUNG_SECONDS
        scaled, apart = in_units_of_group(read, own, centre, now - self._first[at] >= OWN_SECONDS)
        share = share_of_newest((now - grown) / self.step_seconds, OWN_SECONDS / self.step_seconds)
        self._own[at] = moved_mean(own, clipped(read, own, centre), share[:, np.newaxis])
        high = np.where(sides.counters, read, scaled)[:, sides.of] * sides.sign
        bound = self._usual[group] + apart[:, sides.of] * sides.sign
        side = np.where(np.isfinite(bound) & ~sides.counts, np.minimum(high, bound), high)
        if len(sides.rises):
            near = np.where(started[:, np.newaxis], np.nan, self._near[at])
            risen = (read - near)[:, sides.of[sides.rises]]
            side[:, sides.rises] = np.minimum(risen, (high - self._low[group])[:, sides.levels])
            settled = now - np.maximum(grown, self._started[at] + STARTING_SECONDS)
            share = share_of_newest(settled / self.step_seconds, NEAR_SECONDS / self.step_seconds)
            self._near[at] = moved_mean(near, read, share[:, np.newaxis])
        return np.where(np.isfinite(side), side, -np.inf)

    def _without_shared(self, now: int, at: Slots, side: Floats) -> Floats:
        """The sides without the load that half of each group has just now."""
        sides, loads = self._sides, np.flatnonzero(self._sides.shared > 0)
        if not len(loads):
            return side
        usual = self._usual[self._group_of[at]][:, loads]
        apart = side[:, loads] - usual
        self._excess[np.ix_(at, loads)] = np.where(np.isfinite(apart), np.maximum(apart, 0.0), 0.0)
        there = np.abs(now - self._last) <= STARTED_ROWS * self.step_seconds
        there[at] = True
        near = np.flatnonzero(there)
        shared = np.zeros((len(self._last), len(loads)))
        shared[near] = shared_by_half(self._excess[np.ix_(near, loads)], self._group_of[near])
        side = side.copy()
        side[:, loads] -= np.minimum(shared[at], sides.shared[loads] * np.abs(np.nan_to_num(usual)))
        return side

    def _newest_rows(self, now: int, at: Slots, side: Floats) -> Floats:
        """(n, n_sides) how high the newest rows are together; these rows are kept for the next ones."""
        sides, age = self._sides, now - self._times[at]
        recent = age[:, : ROWS - 1] <= (ROWS - 0.5) * self.step_seconds
        kept = self._rows[at]
        before = np.where(recent[..., np.newaxis], kept[:, : ROWS - 1], -np.inf)
        together = of_three(np.concatenate([side[:, np.newaxis], before], axis=1), self._usual[self._group_of[at]])
        if len(sides.lasting):
            least = np.minimum(side, kept.min(axis=1))[:, sides.heights]
            whole = age[:, -1:] <= (LASTING_ROWS - 0.5) * self.step_seconds
            together[:, sides.lasting] = np.where(whole, least, -np.inf)
        self._rows[at] = np.concatenate([side[:, np.newaxis], kept[:, :-1]], axis=1)
        self._times[at] = np.concatenate([np.full((len(at), 1), float(now)), self._times[at][:, :-1]], axis=1)
        return together

    def _remember(self, group: Slots, judged: Floats, side: Floats, grown: Flags, high: Flags) -> None:
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
            self._set_centres(hour * HOUR_SECONDS)
        self._set_hour()
        return day

    def _set_levels(self) -> None:
        """The level of each group and signal for the next hours, from whole hours of the past."""
        if not self._groups:
            return
        living = max(int(np.isfinite(self._peaks[:HOURS][-DAY_HOURS:]).any(axis=(0, 2)).sum()), 1)
        share = min(self.alerts_per_day * SPENT / (living * len(self._sides)), 0.5)
        parts = [
            self._levels_of(slice(first, first + GROUPS_AT_ONCE), share)
            for first in range(0, len(self._groups), GROUPS_AT_ONCE)
        ]
        self._usual, self._low, self._fitted = (np.concatenate([part[i] for part in parts]) for i in range(3))
        self._habit = np.concatenate([part[3] for part in parts], axis=1)

    def _levels_of(self, groups: slice, share: float) -> tuple[Floats, Floats, Floats, Floats]:
        """Usual, low and fitted level (n, n_sides), and habits of the day (DAY_HOURS, n, n_sides), of some groups."""
        # An hour is left out until LAG_HOURS have passed.
        history, means = self._peaks[:HOURS, groups], self._means[:, groups]
        hours = np.isfinite(history).sum(axis=0)
        zero, counts = self._sides.from_zero, self._sides.counts
        usual = np.where(zero, 0.0, quantile_of_hours(means))
        low = np.where(zero, 0.0, quantile_of_hours(means, LOW_SHARE))
        found = history - np.nan_to_num(usual)
        found = np.where(np.isfinite(found), found, UNSEEN)
        habit = np.maximum(habits(found), 0.0)
        rare = found - np.maximum(habit, weekly_habits(found))
        level = return_levels(rare, self._sides.least_of(usual), share, self._margins)
        enough = (hours >= DAY_HOURS) | (counts & (hours > 0))
        fitted = np.where(enough, level, np.where(counts, 0.0, np.inf))
        return usual, low, fitted, habit[:DAY_HOURS].copy()

    def _set_hour(self) -> None:
        """The level of this hour: above what is usual now, and above what was reached a week ago."""
        if not self._groups:
            return
        week = self._whole[-7 * DAY_HOURS - 1 : -7 * DAY_HOURS + 2].max(axis=0) - np.nan_to_num(self._usual)
        habit = self._habit[(self._hour - self._fit_hour + LAG_HOURS) % DAY_HOURS]
        expected = np.maximum(habit, np.where(np.isfinite(week), week, 0.0))
        self._level = np.maximum(self._fitted + expected, HABIT_MARGIN * expected)

    def _set_centres(self, now: int) -> None:
        """The mean of the own means of each group's entities; that of earlier ones where all are young."""
        old = (now - self._first >= OWN_SECONDS) & (now - self._last < FORGOTTEN_SECONDS)
        group, own = self._group_of[old], self._own[old]
        known = np.isfinite(own)
        total, count = np.zeros_like(self._centre), np.zeros_like(self._centre)
        np.add.at(total, group, np.where(known, own, 0.0))
        np.add.at(count, group, known.astype(np.float64))
        self._centre = np.where(count > 0, total / np.maximum(count, 1), self._centre)
