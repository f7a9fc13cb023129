"""What a metric looked like in the days that a model was trained on, in a form that a later day can be compared with.

A metric follows the time of day, and neighbouring samples are alike. Compared as they are, two ordinary days differ
"significantly" each time. So a profile holds

- the *season*: the median at each half hour of the day, apart for weekends where that foretells the other days better;
- the *residuals*: what is left, in units of their size at that time of day. Each day's residuals are taken from the
  season of the other days (leave one out), because that is how a new day will be compared;
- how far the mean of a day strays in training itself: the variance of overlapping block means (Meketon and Schmeiser,
  "Overlapping batch means", 1984), the largest of several block lengths. It takes the place of 1 / n where a textbook
  has independent samples, so that slow noise and restless days widen the limits by themselves.

A value is judged by its *rank*, the position among the residuals of training, 0 to 1, and by its *score*, the normal
deviate of that rank (van der Waerden 1952), cut at two deviations. Neither needs a unit or a distribution, and an hour
of outliers is worth no more than an hour of the highest values of training.
"""

from dataclasses import dataclass
from functools import cached_property
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from aiops_assets.timeseries.series import DAY_SECONDS, Floats

MIN_DAYS = 3
"""Fewer days show neither a season nor how much days differ."""
MAX_DAYS = 28
"""The newest days of a longer window, so that the season is the present one and the work stays bounded."""
KNOTS = 48
"""Points of the season, one each half hour."""
SPREADS = 8
"""Parts of the day with a spread of their own: many metrics are noisier where they are higher."""
LEVELS = 256
"""Quantiles that stand for the residuals."""
BLOCK_HOURS = {6: 1.0, 12: 1.0, 24: 1.5}
"""Lengths of blocks, and what their variance is divided by: few whole days estimate theirs less well."""
LARGEST_SCORE = 2.0
MONDAY = 4
"""1970-01-01 was a Thursday: four days later was the first Monday."""
ROUNDING = 1e-9
"""Differences below this share of the level are rounding errors of sums, and count as none."""

Integers = npt.NDArray[np.int64]

_SCORES = np.clip(
    [NormalDist().inv_cdf((i + 0.5) / (2 * LEVELS + 1)) for i in range(2 * LEVELS + 1)], -LARGEST_SCORE, LARGEST_SCORE
)
SCORE_VARIANCE, SQUARE_VARIANCE = float(np.var(_SCORES)), float(np.var(_SCORES**2))
"""Of the score of a random rank, and of its square."""


@dataclass(frozen=True)
class Profile:
    """One metric in the days of training.

    Attributes:
        step_seconds: distance of samples.
        days: how many days have samples.
        kinds: which kinds of day are among them: 0 working days, 1 weekends (UTC).
        season: (n_kinds, :data:`KNOTS`) metric's unit: medians around the middle of each half hour. One row: all days
            have the same season. Two: working days, weekends.
        spread: (:data:`SPREADS`,) metric's unit, above 0: size of the residuals by time of day.
        levels: (:data:`LEVELS`,) ascending quantiles of the residuals divided by ``spread``.
        shift_deviation, width_deviation: standard deviations of a day's mean score, and of its mean squared score.
        freedom: degrees of freedom of both.
    """

    step_seconds: int
    days: int
    kinds: tuple[int, ...]
    season: tuple[tuple[float, ...], ...]
    spread: tuple[float, ...]
    levels: tuple[float, ...]
    shift_deviation: float
    width_deviation: float
    freedom: float

    @cached_property
    def trained_ranks(self) -> Floats:
        """(LEVELS,) ranks of training itself: uniform, but for ties."""
        levels = np.asarray(self.levels)
        return ranks_among(levels, levels)

    def knows(self, seconds: Integers) -> npt.NDArray[np.bool_]:
        """(n,) whether training had days of that kind; three working days say nothing about a weekend."""
        return np.isin(_kind(seconds), self.kinds)

    def ranks(self, seconds: Integers, values: Floats) -> Floats:
        """(n,) positions among the residuals of training, 0 to 1; ties take the middle.

        Args:
            seconds: (n,) Unix time.
            values: (n,) finite, metric's unit.
        """
        residuals = _standard(values, _season_at(np.asarray(self.season), seconds), np.asarray(self.spread), seconds)
        return ranks_among(np.asarray(self.levels), residuals)


def profile_of(seconds: Integers, values: Floats, step_seconds: int) -> Profile | None:
    """The profile of a metric; ``None`` where fewer than :data:`MIN_DAYS` days have half of their samples.

    Args:
        seconds: (n,) Unix time of the samples, ascending, on a grid of ``step_seconds``.
        values: (n,) metric's unit; NaN: no sample.
        step_seconds: distance of samples; divides a day.
    """
    first, grid = _day_grid(seconds, values, step_seconds)
    if len(grid) < MIN_DAYS:
        return None
    of_day = first[:, np.newaxis] + np.arange(grid.shape[1]) * step_seconds
    rows = _kind(first)
    kinds = tuple(int(kind) for kind in np.unique(rows))
    options = [np.zeros_like(rows)]
    if len(kinds) == 2 and min(np.bincount(rows)) >= 2:
        options.append(rows)
    tried = [(_left_out(grid, of_day, groups), groups) for groups in options]
    residuals, groups = min(tried, key=lambda one: float(np.nanmean(np.abs(one[0]))))
    # A new day is compared with one day more; the factor is that of independent days.
    residuals *= np.sqrt(1.0 - 1.0 / np.bincount(groups)[groups] ** 2)[:, np.newaxis]
    season = np.array([_medians(grid[groups == kind]) for kind in range(int(groups.max()) + 1)])
    spread = _spread(residuals)
    standard = _standard(residuals, np.zeros_like(residuals), spread, of_day)
    there = standard[np.isfinite(standard)]
    levels = np.quantile(there, (np.arange(LEVELS) + 0.5) / LEVELS)
    scores = np.where(np.isfinite(standard), scores_of(ranks_among(levels, standard)), np.nan)
    shift = _deviation(scores, first, step_seconds, SCORE_VARIANCE)
    width = _deviation(scores**2, first, step_seconds, SQUARE_VARIANCE)
    return Profile(
        step_seconds=step_seconds,
        days=len(grid),
        kinds=kinds,
        season=tuple(map(tuple, season.tolist())),
        spread=tuple(spread.tolist()),
        levels=tuple(levels.tolist()),
        shift_deviation=shift,
        width_deviation=width,
        freedom=3.0 * (len(grid) - 1),
    )


def ranks_among(levels: Floats, values: Floats) -> Floats:
    """Positions of values among ascending levels, 0 to 1; equal ones take the middle of theirs."""
    below, up_to = (np.searchsorted(levels, values, side=side) for side in ("left", "right"))
    return np.asarray((below + up_to) / (2.0 * len(levels)))


def scores_of(ranks: Floats) -> Floats:
    """Normal deviates of ranks from :func:`ranks_among`, cut at :data:`LARGEST_SCORE`."""
    return np.asarray(_SCORES[np.rint(ranks * 2 * LEVELS).astype(np.int64)])


def _day_grid(seconds: Integers, values: Floats, step_seconds: int) -> tuple[Integers, Floats]:
    """(n_days,) begins and (n_days, n_a_day) values of the newest days with half of their samples."""
    a_day = DAY_SECONDS // step_seconds
    there = np.isfinite(values)
    day, slot = np.divmod(seconds[there] // step_seconds, a_day)
    days, row = np.unique(day, return_inverse=True)
    grid = np.full((len(days), a_day), np.nan)
    grid[row, slot] = values[there]
    full = np.isfinite(grid).sum(axis=1) >= a_day / 2
    return days[full][-MAX_DAYS:] * DAY_SECONDS, grid[full][-MAX_DAYS:]


def _kind(seconds: Integers) -> Integers:
    """1 at weekends, 0 on other days, UTC."""
    return np.asarray((seconds // DAY_SECONDS - MONDAY) % 7 >= 5, dtype=np.int64)


def _medians(grid: Floats) -> Floats:
    """(KNOTS,) medians of (n_days, n_a_day); where no day has samples, those of the neighbours in a straight line."""
    parts = np.array_split(grid, KNOTS, axis=1)
    knots = np.array([np.median(part[there]) if (there := np.isfinite(part)).any() else np.nan for part in parts])
    known = np.flatnonzero(np.isfinite(knots))
    return np.interp(np.arange(KNOTS), known, knots[known], period=KNOTS)


def _season_at(season: Floats, seconds: Integers) -> Floats:
    """The season at times of any shape, a straight line between the middles of half hours."""
    position = (seconds % DAY_SECONDS) / DAY_SECONDS * KNOTS - 0.5
    lower = np.floor(position).astype(np.int64)
    part = position - lower
    row = _kind(seconds) if len(season) > 1 else np.zeros_like(seconds)
    return np.asarray(season[row, lower % KNOTS] * (1 - part) + season[row, (lower + 1) % KNOTS] * part)


def _left_out(grid: Floats, of_day: Integers, groups: Integers) -> Floats:
    """(n_days, n_a_day) residuals of each day from the season of the other days of its group."""
    residuals = np.empty_like(grid)
    for row in range(len(grid)):
        others = groups == groups[row]
        others[row] = False
        residuals[row] = grid[row] - _season_at(_medians(grid[others])[np.newaxis], of_day[row])
    residuals[np.abs(residuals) <= ROUNDING * np.nanmax(np.abs(grid))] = 0.0
    return residuals


def _spread(residuals: Floats) -> Floats:
    """(SPREADS,) size of residuals by time of day: medians of absolute values, where they are 0 means; never 0."""

    def size(part: Floats) -> float:
        there = np.abs(part[np.isfinite(part)])
        if not there.size:
            return 0.0
        return float(np.median(there)) or float(there.mean())

    overall = size(residuals) or 1.0
    return np.array([max(size(part), 0.25 * overall) for part in np.array_split(residuals, SPREADS, axis=1)])


def _standard(values: Floats, season: Floats, spread: Floats, seconds: Integers) -> Floats:
    """Residuals in units of the spread at that time of day."""
    residuals = values - season
    residuals = np.where(np.abs(residuals) <= ROUNDING * np.abs(season), 0.0, residuals)
    return np.asarray(residuals / spread[(seconds % DAY_SECONDS) * SPREADS // DAY_SECONDS])


def _deviation(parts: Floats, first: Integers, step_seconds: int, independent: float) -> float:
    """Standard deviation of the mean of a day, from blocks of several lengths.

    Args:
        parts: (n_days, n_a_day), NaN: no sample.
        first: (n_days,) begins of the days.
        step_seconds: distance of samples.
        independent: variance of one sample; it is never less than that of a day of independent ones.
    """
    a_day = parts.shape[1]
    line = np.full(((first[-1] - first[0]) // DAY_SECONDS + 1, a_day), np.nan)
    line[(first - first[0]) // DAY_SECONDS] = parts
    line = line.reshape(-1)
    there = np.isfinite(line)
    mean = float(line[there].mean())
    total = np.concatenate([[0.0], np.cumsum(np.where(there, line - mean, 0.0))])
    count = np.concatenate([[0], np.cumsum(there)])
    found = [independent / a_day]
    for hours, over in BLOCK_HOURS.items():
        length = hours * 3600 // step_seconds
        n = count[length:] - count[:-length]
        enough = n >= length / 2
        blocks = (total[length:] - total[:-length])[enough] / n[enough]
        if blocks.size > 1:
            whole = int(there.sum())
            left = whole / (whole - min(length, whole - 1))  # the overall mean follows the blocks
            found.append(float(np.mean(blocks**2)) * left * length / a_day / over)
    return float(np.sqrt(max(found)))
