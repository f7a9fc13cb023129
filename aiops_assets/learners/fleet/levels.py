"""Return levels: what a group's peaks exceed so rarely that a person may be called for it.

Peaks over a threshold (Coles 2001, An Introduction to Statistical Modeling of Extreme Values, chapter 4): the k largest
of the last two weeks, an event that lasts for hours being one, by how much they exceed the next smaller one. Tails that
fall like an exponential or a normal one leave excesses that are exponential. Of their mean only k values are known, and
a level that ignores that is exceeded far too often; the predictive distribution of the next excess, which does not, is
Pareto's, ``(1 + x / sum)^-k`` (Geisser 1984, Predicting Pareto and exponential observables). So few peaks give high
levels. What is rare is among many peaks of another kind, and its excesses are more uneven than exponential ones: then
fewer are taken.
"""

from dataclasses import dataclass

import numpy as np

from aiops_assets.timeseries.series import Floats

DAY_HOURS = 24
WEEK_HOURS = 7 * DAY_HOURS
HABIT_DAYS, HABIT_SHARE = 3, 0.4
"""What is done on so many days, and on this share of those known, is a habit."""
HABIT_MARGIN = 1.5
"""A habit varies: up to so many times of it is the same habit."""
TAILS = (24, 8, 4)
"""So many of the largest peaks are fitted; the first number that looks exponential, or else the last."""
EVEN, EVEN_ERROR = 0.5, 0.3
"""L-CV of an exponential distribution, and the standard error of its estimate from one value."""
UNSEEN = -np.inf
"""Stands for an hour in which a group had no row."""


@dataclass(frozen=True)
class Margins:
    """What a level keeps above what was seen, whatever the fit says.

    Attributes:
        record: as a factor of the largest peak of the days that are known.
        short: the same while fewer than ``fitted_days`` are known.
        fitted_days: so many days are needed for a fit.
    """

    record: float = 1.2
    short: float = 3.0
    fitted_days: int = 4


MARGINS = Margins()


def habits(hours: Floats) -> Floats:
    """(n_hours, ...) what is usual at the time of day of each hour: work of the night is no surprise at night.

    Usual is what was reached within an hour of this time of day on three days, and on 40 % of the days known.

    Args:
        hours: (24 * n_days, ...) largest deviation of each hour, the oldest first.
    """
    days = _around(hours).reshape(-1, DAY_HOURS, *hours.shape[1:])
    if len(days) < HABIT_DAYS:
        return np.full_like(hours, UNSEEN)
    known = np.isfinite(days).sum(axis=0)
    needed = np.maximum(np.ceil(HABIT_SHARE * known).astype(np.int64), HABIT_DAYS)
    ordered = np.sort(days, axis=0)
    reached = np.take_along_axis(ordered, np.maximum(len(days) - needed, 0)[np.newaxis], axis=0)[0]
    return np.concatenate([np.where(known >= HABIT_DAYS, reached, UNSEEN)] * len(days))


def weekly_habits(hours: Floats) -> Floats:
    """(n_hours, ...) what was reached within an hour of the same time in both weeks: Sunday's work is no surprise.

    Args:
        hours: (24 * 14, ...) largest deviation of each hour, the oldest first; ``UNSEEN`` of another number of days.
    """
    if len(hours) != 2 * WEEK_HOURS:
        return np.full_like(hours, UNSEEN)
    around = _around(hours)
    both = np.minimum(around[:WEEK_HOURS], around[WEEK_HOURS:])
    return np.concatenate([both, both])


def _around(hours: Floats) -> Floats:
    """The largest of each hour and the two beside it."""
    return np.maximum(hours, np.maximum(_shifted(hours, 1), _shifted(hours, -1)))


def _shifted(hours: Floats, by: int) -> Floats:
    result = np.full_like(hours, UNSEEN)
    if by > 0:
        result[by:] = hours[:-by]
    else:
        result[:by] = hours[-by:]
    return result


def return_levels(hours: Floats, least: Floats, probability: float, margins: Margins = MARGINS) -> Floats:
    """(n_groups, n_sides) deviations from the usual level that are exceeded on one day in ``1 / probability``.

    Args:
        hours: (n_hours, n_groups, n_sides) largest deviation of each hour, the oldest first; ``UNSEEN`` where there was
            no row.
        least: (n_groups, n_sides) deviations below which nothing pages.
        probability: of a page by one side of one group on one day.
        margins: what is kept above what was seen.

    Returns:
        levels, at least 0; infinite where no hour is known.
    """
    days = np.isfinite(hours).sum(axis=0) / DAY_HOURS
    tops = _largest(_events(hours), TAILS[0] + 1)
    fitted, chosen = np.zeros(least.shape), np.zeros(least.shape, dtype=bool)
    for k in TAILS:
        beyond, spread = _beyond(tops[:k] - tops[k], k / np.maximum(days, 1.0) / probability)
        even = (spread <= EVEN + EVEN_ERROR / k**0.5) | (k == TAILS[-1])
        fitted = np.where(even & ~chosen, tops[k] + beyond, fitted)
        chosen |= even
    enough = np.maximum(fitted, margins.record * tops[0])
    level = np.where(days >= margins.fitted_days, enough, margins.short * tops[0])
    return np.where(days > 0, np.maximum(level, least), np.inf)


def _events(hours: Floats) -> Floats:
    """The hours that are no smaller than the two beside them: what lasts for hours is one event. Others are unseen."""
    return np.where(hours >= np.maximum(_shifted(hours, 1), _shifted(hours, -1)), hours, UNSEEN)


def _largest(values: Floats, count: int) -> Floats:
    """(count, ...) the largest along the first axis, by size; at least 0, and 0 where there are fewer."""
    found = np.maximum(values, 0.0)
    found = np.concatenate([found, np.zeros((max(count - len(found), 0), *found.shape[1:]))])
    return -np.sort(-np.partition(found, len(found) - count, axis=0)[-count:], axis=0)


def _beyond(excesses: Floats, events: Floats) -> tuple[Floats, Floats]:
    """How far beyond the threshold a level is that one in ``events`` excesses reaches, and the L-CV of those seen.

    Args:
        excesses: (k, ...) the largest first.
        events: (...) by the predictive distribution; below 1 counts as 1.
    """
    k = len(excesses)
    mean = excesses.mean(axis=0)
    rank = np.arange(k - 1, -1, -1.0).reshape(-1, *[1] * mean.ndim)
    second = 2 * (excesses * rank).sum(axis=0) / (k * (k - 1)) - mean
    spread = np.divide(second, mean, out=np.zeros_like(mean), where=mean > 0)
    return k * mean * (np.maximum(events, 1.0) ** (1 / k) - 1), spread


def quantile_of_hours(hours: Floats, share: float = 0.5) -> Floats:
    """Lower quantile (median) of the hours that are known, (n_hours, ...) -> (...); NaN where none is."""
    known = np.isfinite(hours).sum(axis=0)
    ordered = np.sort(np.where(np.isfinite(hours), hours, np.inf), axis=0)
    place = (np.maximum(known - 1, 0) * share).astype(np.int64)
    found = np.take_along_axis(ordered, place[np.newaxis], axis=0)[0]
    return np.where(known > 0, found, np.nan)
