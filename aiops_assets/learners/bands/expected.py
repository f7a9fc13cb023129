"""A causal expected band of any series: what the next row should be, and how far from it is unusual.

The expected value is a level plus a habit. Three habits compete, and count by how well they did of late: none, that of
the time of day (median of the last :data:`DAYS_OF_HABIT` days, half hour by half hour) and that of the time of the week
(median of the last three weeks). The level is an average of the last hours of what is left of the value.

The width is not modelled but looked up: the largest error of each hour of the last two weeks is kept, and each half
width is the :data:`USUAL_SHARE` quantile of them on its side. That asks for no distribution, follows the unit, and does
not collapse where a series is flat most of the time: sparse peaks are peaks of hours. While few hours are known, the
largest of them counts, with a margin that shrinks as ``MARGIN_HOURS / n``. A band that was wide while habits were not
known yet becomes narrow again once the newest four days had no such error.

Influence is bounded: the level moves by at most a half width's share a row, and an error counts as two half widths at
most, so that an incident neither becomes the expected value nor widens the band. What lasts longer than
:data:`LASTING_HOURS` on one side is a new level, and the band moves there.
"""

from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np

from aiops_assets.learners.bands.options import HOUR_SECONDS, BandOptions
from aiops_assets.learners.bands.state import HABIT_DAYS, PEAK_HOURS, SLOT_SECONDS, SLOTS, BandState, Singles
from aiops_assets.timeseries.frames import LIMIT
from aiops_assets.timeseries.local_time import Clock, Integers, clock_of
from aiops_assets.timeseries.series import Floats
from aiops_assets.timeseries.watch import Direction

DAYS_OF_HABIT, LEAST_DAYS, LEAST_WEEKS = 7, 2, 2
"""The newest seven days make the habit of the day; it needs two known ones, the habit of the week two known weeks."""
USUAL_SHARE = 0.98
"""The half width is this quantile of the largest errors of hours."""
NEWEST_HOURS = 96
"""Where all errors of so many newest hours were smaller, the half width is that of these hours."""
MARGIN, MARGIN_HOURS = 1.1, 8.0
"""A half width is the quantile times ``MARGIN + MARGIN_HOURS / n`` of n known hours."""
LEVEL_HOURS, ERROR_HOURS = 3.0, 48.0
"""Half-lives of the level and of the errors by which habits are weighted."""
SHARPNESS = 6
"""Exponent of the errors in the weights of the habits."""
FLAT_RATIO = 0.02
"""A half width is at least this share of the expected value: the last digits of a flat series are no surprise."""
BOUND = 2.0
"""An error counts as so many half widths at most."""
LASTING_HOURS = 4.0
"""Values that stay outside the band on one side for longer than this are a new level."""
LESSER_SIDE = 0.25
"""The narrower half width is at least this share of the other one: of sparse peaks the usual 0 is a little below the
level, and how much varies."""
LEAST_ROWS, LEAST_HOURS = 24, 2
"""Known rows and hours before the first answer."""
MAX_SCORE = 100.0


@dataclass(frozen=True)
class Band:
    """The expected band of n series.

    Attributes:
        expected: (n_series, n_rows) the expected value; NaN while too little is known.
        lower, upper: (n_series, n_rows) the edges of the band, in the unit of the values.
        score: (n_series, n_rows) distance from expected in half widths: 0 expected, 1 at the edge, at most 100; NaN
            where the value or the band is unknown.
    """

    expected: Floats
    lower: Floats
    upper: Floats
    score: Floats


@dataclass(frozen=True)
class Learned:
    """What is expected of n series, whatever of it matters to people.

    Attributes:
        expected: (n_series, n_rows); NaN while too little is known.
        above, below: (n_series, n_rows) half widths of the band, in the unit of the values.
    """

    expected: Floats
    above: Floats
    below: Floats

    def band(self, values: Floats, options: BandOptions) -> Band:
        """The band of these values with a least half width, and within what is possible."""
        least = np.maximum(options.min_deviation, options.min_deviation_ratio * np.abs(self.expected))
        above, below = np.maximum(self.above, least), np.maximum(self.below, least)
        error = np.where(np.isfinite(values), values, np.nan) - self.expected
        bottom = -np.inf if options.lower is None else options.lower
        top = np.inf if options.upper is None else options.upper
        expected, lower, upper = (
            np.clip(one, bottom, top) for one in (self.expected, self.expected - below, self.expected + above)
        )
        return Band(expected, lower, upper, _scores(error, above, below, options.direction))


def _scores(error: Floats, above: Floats, below: Floats, direction: Direction) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        up, down = np.where(error > 0, error / above, 0.0), np.where(error < 0, -error / below, 0.0)
    sides = {"up": up, "down": down, "both": np.maximum(up, down)}
    return np.where(np.isfinite(error), np.clip(sides[direction], 0.0, MAX_SCORE), np.nan)


def expected_band(seconds: Integers, values: Floats, options: BandOptions) -> Band:
    """The band of each row, by the rows before it only.

    Args:
        seconds: (n_rows,) Unix seconds, in order, a row every ``options.step_seconds``.
        values: (n_series, n_rows), NaN unknown.
        options: how the band is made.
    """
    running = RunningBand(BandState.new(len(values)), options.step_seconds, options.time_zone, options.holidays)
    return running.learn(seconds, values).band(values, options)


class RunningBand:
    """A band that goes on: the result does not depend on how rows are divided among calls.

    Args:
        state: of the series; it is changed.
        step_seconds: distance of rows.
        time_zone: IANA name; habits follow its wall clock.
        holidays: local days that follow the habits of a Sunday.
    """

    def __init__(
        self,
        state: BandState,
        step_seconds: int = 300,
        time_zone: str = "UTC",
        holidays: frozenset[date] = frozenset(),
    ) -> None:
        self.state = state
        self._time_zone = time_zone
        self._holidays = holidays
        step = step_seconds
        self._level_rate = 1 - 0.5 ** (step / (LEVEL_HOURS * HOUR_SECONDS))
        self._error_rate = 1 - 0.5 ** (step / (ERROR_HOURS * HOUR_SECONDS))
        self._recent_rate = 1 - 0.5 ** (step / HOUR_SECONDS)
        self._lasting = max(3.0, LASTING_HOURS * HOUR_SECONDS / step)
        self._habit = self._habits() if state.clock[0] >= 0 else np.zeros((2, SLOTS, len(state.rows)))
        self._half = self._half_widths()

    def learn(self, seconds: Integers, values: Floats) -> Learned:
        """What is expected of new rows, by the rows before each.

        Args:
            seconds: (n_rows,) Unix seconds, in order, newer than all before.
            values: (n_series, n_rows), NaN unknown.
        """
        values = np.clip(np.where(np.isfinite(values), values, np.nan), -LIMIT, LIMIT)
        learned = Learned(*(np.full(values.shape, np.nan) for _ in range(3)))
        clock = clock_of(seconds, self._time_zone, self._holidays)
        for t in range(len(seconds)):
            self._roll(int(seconds[t]), clock, t)
            contrast = self._contrast(int(clock.seconds[t]))
            learned.expected[:, t], learned.above[:, t], learned.below[:, t] = self._row(values[:, t], contrast)
        return learned

    def _row(self, value: Floats, contrast: Floats) -> tuple[Floats, Floats, Floats]:
        known = np.isfinite(value)
        each = self.state.level + contrast
        expected = self._blend(each)
        half = np.maximum(self._half, FLAT_RATIO * np.abs(expected))
        ready = np.isfinite(self._half[0]) & (self.state.rows >= LEAST_ROWS)
        self._learn(value, known, contrast, each, expected, half, ready)
        return np.where(ready, expected, np.nan), np.where(ready, half[0], np.nan), np.where(ready, half[1], np.nan)

    def _blend(self, each: Floats) -> Floats:
        """The expected value: those of the habits, weighted by their errors."""
        known = np.isfinite(each) & np.isfinite(self.state.error)
        error = np.where(known, self.state.error, np.inf)
        least = np.where(known.any(axis=0), error.min(axis=0), 0.0)
        tiny = np.finfo(np.float64).tiny
        share = np.where(known, ((least + tiny) / (error + tiny)) ** SHARPNESS, 0.0)
        total = share.sum(axis=0)
        blended = (share * np.nan_to_num(each)).sum(axis=0) / np.where(total > 0, total, 1.0)
        return np.where(total > 0, blended, each[0])

    def _learn(
        self, value: Floats, known: Any, contrast: Floats, each: Floats, expected: Floats, half: Floats, ready: Any
    ) -> None:
        state = self.state
        error = np.where(known, value - expected, 0.0)
        bounded = np.where(ready, np.clip(error, -BOUND * half[1], BOUND * half[0]), error)
        # Where nothing has ever deviated, a half width is 0, and the first deviation has to be learnt as it is.
        flat = (half <= 0).any(axis=0)
        bounded = np.where(flat, error, bounded)
        self._learn_level(value, known, contrast, each, half, ready & ~flat)
        self._learn_sides(value, known, contrast, error, half, ready)
        first = known & ~np.isfinite(expected)
        known_peaks = known & ~first
        at = int(state.clock[2]) % PEAK_HOURS
        for i, side in enumerate((bounded, -bounded)):
            peak = np.fmax(state.peaks[i, at], np.maximum(side, 0.0))
            state.peaks[i, at] = np.where(known_peaks, peak, state.peaks[i, at])
        state.slot_sum += np.where(known, np.where(first, value, np.nan_to_num(expected) + bounded), 0.0)
        state.slot_count += known
        state.rows += known

    def _learn_level(self, value: Floats, known: Any, contrast: Floats, each: Floats, half: Floats, ready: Any) -> None:
        """Move levels towards what is left of the value, and remember how wrong each habit was."""
        state = self.state
        wrong = value - each
        bound = np.where(ready, wrong.clip(-half[1], half[0]), wrong)
        # A level of few rows is their mean.
        rate = np.maximum(self._level_rate, 1.0 / (state.rows + 1.0))
        begin = known & ~np.isfinite(state.level) & np.isfinite(contrast)
        with np.errstate(invalid="ignore"):
            moved = np.where(known & np.isfinite(wrong), state.level + rate * bound, state.level)
        state.level = np.where(begin, value - contrast, moved)
        size = np.abs(np.where(ready, np.clip(wrong, -BOUND * half[1], BOUND * half[0]), wrong))
        rate = np.maximum(self._error_rate, 1.0 / (state.rows + 1.0))
        given = known & np.isfinite(wrong)
        # A new habit begins with an error that lets the old one count more until it has shown itself.
        before = np.where(np.isfinite(state.error), state.error, np.where(given, np.fmax(size, self._worst()), np.nan))
        state.error = np.where(given, before + rate * (np.where(given, size, 0.0) - before), state.error)

    def _worst(self) -> Floats:
        return np.fmax.reduce(self.state.error, axis=0)

    def _learn_sides(
        self, value: Floats, known: Any, contrast: Floats, error: Floats, half: Floats, ready: Any
    ) -> None:
        """Count rows outside on one side; when it lasts, the level is that of the last hour."""
        state = self.state
        recent = np.where(np.isfinite(state.recent), state.recent + self._recent_rate * (value - state.recent), value)
        state.recent = np.where(known, recent, state.recent)
        outside = np.stack([ready & (error > half[0]), ready & (error < -half[1])])
        state.side = np.where(known, np.where(outside, state.side + 1, 0.0), state.side)
        lasting = known & (state.side.max(axis=0) >= self._lasting)
        if lasting.any():
            state.level = np.where(lasting, state.recent - contrast, state.level)
            state.side[:, lasting] = 0.0

    def _roll(self, now: int, clock: Clock, t: int) -> None:
        """Close the half hour, hour and day before this row."""
        state = self.state
        day, slot, hour = int(clock.days[t]), int(clock.seconds[t]) // SLOT_SECONDS, now // HOUR_SECONDS
        if state.clock[0] < 0:
            state.clock[:] = day, slot, hour
            state.weekdays[day % HABIT_DAYS] = clock.weekdays[t]
            self._habit = self._habits()
            return
        if (day, slot) != (state.clock[0], state.clock[1]):
            self._close_slot()
        if day != state.clock[0]:
            for later in range(max(int(state.clock[0]) + 1, day - HABIT_DAYS + 1), day + 1):
                state.slots[later % HABIT_DAYS] = np.nan
                state.weekdays[later % HABIT_DAYS] = -1
            state.weekdays[day % HABIT_DAYS] = clock.weekdays[t]
            state.clock[0] = day
            self._habit = self._habits()
        if hour != state.clock[2]:
            for later in range(max(int(state.clock[2]) + 1, hour - PEAK_HOURS + 1), hour + 1):
                state.peaks[:, later % PEAK_HOURS] = np.nan
            state.clock[2] = hour
            self._half = self._half_widths()
        state.clock[1] = slot

    def _close_slot(self) -> None:
        state = self.state
        day, slot = int(state.clock[0]) % HABIT_DAYS, int(state.clock[1])
        seen = state.slot_count > 0
        mean = np.where(seen, state.slot_sum / np.maximum(state.slot_count, 1), np.nan)
        state.raw[slot] = np.where(seen, mean, state.raw[slot])
        there = np.isfinite(state.raw)
        of_day = np.where(there, state.raw, 0.0).sum(axis=0) / np.maximum(there.sum(axis=0), 1)
        state.slots[day, slot] = np.where(seen, mean - of_day, state.slots[day, slot])
        state.slot_sum[:], state.slot_count[:] = 0.0, 0.0

    def _habits(self) -> Floats:
        """(2, SLOTS, n) contrasts of the present day: of the time of day, and of the time of the week."""
        state = self.state
        today = int(state.clock[0])
        weekday = int(state.weekdays[today % HABIT_DAYS])
        before = np.array([(today - back) % HABIT_DAYS for back in range(1, HABIT_DAYS)])
        newest = state.slots[before[:DAYS_OF_HABIT]]
        alike = state.slots[before[state.weekdays[before] == weekday]]
        habits = np.stack([_median(newest, LEAST_DAYS), _median(alike, LEAST_WEEKS)])
        return habits.astype(np.float64)

    def _contrast(self, of_day: int) -> Floats:
        """(3, n) of each habit at a time of day, between the middles of half hours."""
        place = of_day / SLOT_SECONDS - 0.5
        begin = int(np.floor(place))
        share = place - begin
        first, then = self._habit[:, begin % SLOTS], self._habit[:, (begin + 1) % SLOTS]
        return np.concatenate([np.zeros((1, first.shape[1])), (1 - share) * first + share * then])

    def _half_widths(self) -> Floats:
        """(2, n) half widths above and below; NaN while too few hours are known."""
        peaks = self.state.peaks.copy()
        peaks[:, int(self.state.clock[2]) % PEAK_HOURS] = np.nan  # the present hour is not over
        newest = (int(self.state.clock[2]) - 1 - np.arange(min(int(NEWEST_HOURS), PEAK_HOURS))) % PEAK_HOURS
        half = np.fmin(_usual_peaks(peaks, USUAL_SHARE), _usual_peaks(peaks[:, newest], 1.0))
        return np.maximum(half, LESSER_SIDE * half.max(axis=0))


def _usual_peaks(peaks: Singles, share: float) -> Floats:
    """(2, n) quantile of (2, n_hours, n) peaks, with its margin; NaN where too few hours are known."""
    known = np.isfinite(peaks[0]).sum(axis=0)
    ordered = np.sort(peaks, axis=1).astype(np.float64)  # NaN last
    place = np.maximum(np.ceil(share * known).astype(np.int64) - 1, 0)
    found = np.take_along_axis(ordered, np.broadcast_to(place, (2, 1, len(known))), axis=1)[:, 0]
    return np.where(known >= LEAST_HOURS, found * (MARGIN + MARGIN_HOURS / np.maximum(known, 1)), np.nan)


def _median(days: Floats, least: int) -> Floats:
    """Median over the first axis of what is known; NaN where fewer than ``least`` are."""
    if not len(days):
        return np.full(days.shape[1:], np.nan)
    known = np.isfinite(days).sum(axis=0)
    ordered = np.sort(days, axis=0)
    low = np.take_along_axis(ordered, np.maximum((known - 1) // 2, 0)[np.newaxis], axis=0)[0]
    high = np.take_along_axis(ordered, np.maximum(known // 2, 0).clip(max=len(days) - 1)[np.newaxis], axis=0)[0]
    return np.where(known >= least, (low + high) / 2, np.nan)
