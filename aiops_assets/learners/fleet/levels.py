"""Return levels: what a group's peaks exceed so rarely that a person may be called for it.

The largest value of a day is a block maximum. The largest of many values follows an extreme value distribution, and for
tails that fall like an exponential or a normal one that is Gumbel's (Coles 2001, An Introduction to Statistical
Modeling of Extreme Values, 3.1). Its scale is estimated by L-moments, ``l2 / ln 2``, which a single odd day moves
little (Hosking 1990, L-Moments). The level that a day exceeds with probability p is then
``location - scale * ln(p)``, for small p.
"""

from dataclasses import dataclass

import numpy as np

from aiops_assets.timeseries.series import Floats

EULER = 0.5772156649015329
DAY_HOURS = 24
WEEK_HOURS = 7 * DAY_HOURS
HABIT_DAYS, HABIT_SHARE = 3, 0.4
"""What is done on so many days, and on this share of those known, is a habit."""
HABIT_MARGIN = 1.5
"""A habit varies: up to so many times of it is the same habit."""
UNSEEN = -np.inf
"""Stands for an hour in which a group had no row."""


@dataclass(frozen=True)
class Margins:
    """What a level keeps above what was seen, whatever the fit says.

    Attributes:
        record: as a factor of the largest peak of the days that are known: a fit of few days is not trusted below it.
        short: the same while fewer than ``fitted_days`` are known.
        fitted_days: so many days are needed for a fit.
    """

    record: float = 1.2
    short: float = 3.0
    fitted_days: int = 4


MARGINS = Margins()


def daily_peaks(hours: Floats) -> Floats:
    """(n_days, ...) maxima of whole days, of (24 * n_days, ...) hourly ones, the oldest first."""
    return hours.reshape(-1, DAY_HOURS, *hours.shape[1:]).max(axis=1)


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


def return_levels(peaks: Floats, least: Floats, probability: float, margins: Margins = MARGINS) -> Floats:
    """(n_groups, n_signals) deviations from the usual level that are exceeded on one day in ``1 / probability``.

    Args:
        peaks: (n_days, n_groups, n_signals) largest deviation of each day; ``UNSEEN`` where there was no row.
        least: (n_groups, n_signals) deviations below which nothing pages.
        probability: of a page by one signal of one group on one day.
        margins: what is kept above what was seen.

    Returns:
        levels, at least 0; infinite where no day is known.
    """
    known = np.isfinite(peaks)
    days = known.sum(axis=0)
    record = np.maximum(peaks.max(axis=0), 0.0)
    location, scale = _gumbel(peaks, days)
    fitted = np.maximum(location - scale * np.log(probability), margins.record * record)
    level = np.where(days >= margins.fitted_days, fitted, margins.short * record)
    return np.where(days > 0, np.maximum(level, least), np.inf)


def _gumbel(peaks: Floats, days: "np.ndarray[tuple[int, ...], np.dtype[np.int64]]") -> tuple[Floats, Floats]:
    """Location and scale of Gumbel's distribution by L-moments, each (n_groups, n_signals)."""
    ordered = np.sort(np.where(np.isfinite(peaks), peaks, np.inf), axis=0)
    rank = np.arange(len(peaks)).reshape(-1, *[1] * (peaks.ndim - 1))
    inside = rank < days
    values = np.where(inside, ordered, 0.0)
    count = np.maximum(days, 1)
    mean = values.sum(axis=0) / count
    weighted = (values * rank).sum(axis=0) / np.maximum(count * (count - 1), 1)
    scale = np.maximum(2 * weighted - mean, 0.0) / np.log(2)
    return mean - EULER * scale, scale


def quantile_of_hours(hours: Floats, share: float = 0.5) -> Floats:
    """Lower quantile (median) of the hours that are known, (n_hours, ...) -> (...); NaN where none is."""
    known = np.isfinite(hours).sum(axis=0)
    ordered = np.sort(np.where(np.isfinite(hours), hours, np.inf), axis=0)
    place = (np.maximum(known - 1, 0) * share).astype(np.int64)
    found = np.take_along_axis(ordered, place[np.newaxis], axis=0)[0]
    return np.where(known > 0, found, np.nan)
