"""When a metric reaches its limit, hours to 14 days ahead: the newest trend, weighed over many curves.

1. After a drop (a pod restarted, a log was rotated) only the rows since then count; of a sawtooth the peaks, of stairs
   the heights (:mod:`cycles`).
2. With two days of history the daily profile is subtracted: the median over days of each row's distance from the
   mean of the day around it, which a trend does not enter. It is added again when the curves are extrapolated.
3. Curves are fitted and weighted by how well they explain the rest (:mod:`growth`).
4. The estimate and its interval are quantiles of the time at which this mixture reaches the limit; there is no estimate
   where growth is not probable enough, or the interval begins much earlier than the median and swings are possible.
"""

from dataclasses import dataclass

import numpy as np

from aiops_assets.errors import DataError
from aiops_assets.outlook.cycles import MIN_TREND_ROWS, since_reset
from aiops_assets.outlook.growth import growth_of
from aiops_assets.timeseries.history import History, steps_a_day
from aiops_assets.timeseries.series import Floats

HORIZON_HOURS = 336.0
"""14 days: what is farther away is not predicted."""
HISTORY_HOURS = 2 * HORIZON_HOURS
MAX_INTERVAL_HOURS = 4 * HORIZON_HOURS
"""An interval is followed so far; one that is still below the limit there has no end."""
SEASON_DAYS, SEASON_ROWS, SEASON_SHARE = 2, 4, 0.3
"""A daily profile needs so many days and rows a day; below that share of the noise it is taken for zero."""
RISING = 0.95
"""A metric has a trend when it rises with so much probability."""
WIDEST = 2.5
"""Where a swing is possible, no estimate is given whose median is so many times the interval's lower end."""
FINE_HOURS = 72.0
"""With a daily profile, its rows are looked at one by one for so long, then by the hour."""


@dataclass(frozen=True)
class Exhaustion:
    """When a metric reaches a limit from below.

    Attributes:
        metric: its name.
        limit: the value that must not be reached, in its unit.
        hours: until the limit is reached, the median estimate; 0: it is reached; ``None``: not within 14 days, or there
            is no trend towards it.
        earliest_hours, latest_hours: the interval around ``hours``; ``None`` for the latter: perhaps never, and for
            both without ``hours``.
        not_before_hours: up to when it is ruled out, as surely as ``earliest_hours`` (90 % for an interval of 80 %); at
            most 336.
        trend_per_hour: the median slope of the curves, in the metric's unit per hour, without the daily profile; 0
            where the limit is reached.
        now: median of the newest half hour.
    """

    metric: str
    limit: float
    hours: float | None
    earliest_hours: float | None
    latest_hours: float | None
    not_before_hours: float
    trend_per_hour: float
    now: float

    def in_words(self) -> str:
        """One phrase for people: "memory_usage reaches 1 in about 6.2 h (5.0 h to 8.1 h)"."""
        when = when_in_words(self.hours, self.earliest_hours, self.latest_hours, self.not_before_hours)
        if self.hours == 0:
            return f"{self.metric} is {when}"
        return f"{self.metric} reaches {self.limit:g} {when}"


def time_to_exhaustion(
    history: History, metric: str, limit: float = 1.0, *, coverage: float = 0.8, may_swing: bool = True
) -> Exhaustion:
    """When a metric reaches a limit if its newest trend persists.

    Args:
        history: up to now.
        metric: one of its metrics.
        limit: a value that is reached from below, in the metric's unit: 1.0 for a ratio, bytes for a quota.
        coverage: share of cases that the interval holds, 0 to 1.
        may_swing: whether a rise of less than two days may be a daily swing, and a wide interval is no estimate;
            without, the caller sees to both.

    Raises:
        DataError: no such metric, too few rows, an infinite limit, or a coverage outside 0 to 1.
    """
    values = _column(history, metric, limit, coverage)
    return exhaustion_of(values, history.step_seconds, metric, limit, coverage=coverage, may_swing=may_swing)


def exhaustion_of(
    values: Floats,
    step_seconds: int,
    metric: str,
    limit: float = 1.0,
    *,
    coverage: float = 0.8,
    may_swing: bool = True,
) -> Exhaustion:
    """When a series reaches a limit if its newest trend persists.

    Args:
        values: (n,) rows up to now, NaN where no sample is.
        step_seconds: their distance.
        metric, limit, coverage, may_swing: as for :func:`time_to_exhaustion`.

    Raises:
        DataError: too few rows.
    """
    known = int(np.isfinite(values).sum())
    if known < MIN_TREND_ROWS:
        raise DataError(
            f"{metric}: {known} steps of {step_seconds} s with a sample in four weeks: a trend "
            f"needs {MIN_TREND_ROWS}, bring a longer history",
            code="too_few_steps",
            metric=metric,
            steps=known,
            least=MIN_TREND_ROWS,
        )
    step, day = step_seconds / 3600, steps_a_day(step_seconds)
    now = float(np.median(values[np.isfinite(values)][-max(3, round(0.5 / step)) :]))
    if now >= limit:
        return Exhaustion(metric, limit, 0.0, 0.0, 0.0, 0.0, 0.0, now)
    since = since_reset(values, limit)
    shape, shape_error = (np.zeros(1), 0.0) if since.cyclic else _day_shape(since.joined, day)
    hidden = day if may_swing and not since.cyclic and not since.resets and known < SEASON_DAYS * day else 0
    growth = growth_of(since.rows - np.resize(shape, len(values)), hidden, abs(limit))
    ahead = _instants(shape, len(values) - 1, day, step)
    at = (len(values) - 1 + np.round(ahead).astype(np.int64)) % len(shape)
    reached = growth.reached(ahead, limit - shape[at], shape_error + since.height)
    outside = (1 - coverage) / 2
    first, middle, last = (_quantile(ahead, reached, share) for share in (outside, 0.5, 1 - outside))
    not_before = HORIZON_HOURS if first is None else min(first * step, HORIZON_HOURS)
    slope = growth.slope / step
    wide = may_swing and middle is not None and first is not None and middle > WIDEST * max(first, 1.0)
    if middle is None or middle * step > HORIZON_HOURS or growth.rising < RISING or wide:
        return Exhaustion(metric, limit, None, None, None, not_before, slope, now)
    latest = None if last is None else last * step
    return Exhaustion(metric, limit, middle * step, not_before, latest, not_before, slope, now)


def _instants(shape: Floats, newest: int, day: int, step: float) -> Floats:
    """(n,) rows ahead at which it is looked: without a daily profile ever farther apart, with one each day's peak."""
    horizon, most = HORIZON_HOURS / step, MAX_INTERVAL_HOURS / step
    if len(shape) == 1:
        return np.concatenate([[0.0], np.geomspace(1, most, 240)])
    peak = (int(np.argmax(shape)) - newest) % day
    fine = np.arange(0, FINE_HOURS / step, max(1, round(1 / 3 / step)))
    hourly = np.arange(FINE_HOURS / step, horizon, max(1, round(1 / step)))
    return np.unique(np.concatenate([fine, hourly, np.arange(peak, most, day)]))


def _quantile(ahead: Floats, reached: Floats, share: float) -> float | None:
    """When the probability that the limit was reached is so large; ``None``: never. Bounds lie on the outer side."""
    found = np.flatnonzero(reached >= share)
    if not len(found):
        return None
    i = int(found[0])
    if i == 0 or share > 0.5:
        return float(ahead[i])
    if share < 0.5:
        return float(ahead[i - 1])
    part = (share - reached[i - 1]) / (reached[i] - reached[i - 1])
    return float(ahead[i - 1] + part * (ahead[i] - ahead[i - 1]))


def _column(history: History, metric: str, limit: float, coverage: float) -> Floats:
    """The metric's newest rows, NaN where no sample is."""
    if metric not in history.metrics:
        raise DataError(f"no metric {metric!r} in the history: there are {', '.join(history.metrics)}")
    if not np.isfinite(limit) or not 0 < coverage < 1:
        raise DataError(f"limit {limit:g}, coverage {coverage:g}: give a finite limit, and a coverage between 0 and 1")
    column = history.metrics.index(metric)
    newest = slice(-history.steps(HISTORY_HOURS), None)
    known = history.known[newest, column]
    return np.where(known, history.values[newest, column], np.nan)


def _day_shape(values: Floats, day: int) -> tuple[Floats, float]:
    """(day,) distance from the day's level at each position in a day, counted from the first row; standard error."""
    import pandas as pd

    if np.isfinite(values).sum() < SEASON_DAYS * day or day < SEASON_ROWS:
        return np.zeros(1), 0.0
    series = pd.Series(values)
    around = series.interpolate(limit_direction="both").rolling(day).mean().to_numpy()
    distance = pd.Series(np.full(-(-len(values) // day) * day, np.nan))
    inside = slice(day // 2, day // 2 + len(values) - day + 1)
    distance[inside] = values[inside] - around[day - 1 :]
    hour = 2 * (day // 48) + 1
    smooth = (
        distance.rolling(hour, center=True, min_periods=1).median().rolling(hour, center=True, min_periods=1).mean()
    )
    days = smooth.to_numpy().reshape(-1, day)
    shape = pd.DataFrame(days).median().interpolate(limit_direction="both").to_numpy()
    rest = (days - shape)[np.isfinite(days)]
    noise = distance.to_numpy().reshape(-1, day) - shape
    if shape.std() < SEASON_SHARE * np.nanstd(noise):
        return np.zeros(1), 0.0
    return shape - shape.mean(), float(rest.std() / np.sqrt(np.isfinite(days).sum() / day))


def when_in_words(hours: float | None, earliest: float | None, latest: float | None, not_before: float) -> str:
    """An :class:`Exhaustion`'s hours: "in about 6.2 h (5.0 h to 8.1 h)", "not before 14 days", "at its limit now"."""
    if hours is None or earliest is None:
        return f"not before {_span(not_before)}"
    if hours == 0:
        return "at its limit now"
    return f"in about {_span(hours)} ({_span(earliest)} to {'perhaps never' if latest is None else _span(latest)})"


def _span(hours: float) -> str:
    if hours < 1:
        return f"{hours * 60:.0f} min"
    return f"{hours:.1f} h" if hours < 72 else f"{hours / 24:.1f} days".replace(".0 days", " days")
