"""When a metric reaches its limit, hours to 14 days ahead: a robust trend, and an interval by a calibration split.

1. After a drop (a pod restarted, a log was rotated) only the rows since then count.
2. With two days of history the daily profile is subtracted: the median over days of each row's distance from the
   mean of the day around it, which a trend does not enter. It is added again when the line is extrapolated.
3. The trend is the median of pairwise slopes (Theil 1950, Sen 1968) over medians of blocks, on the longest recent
   window whose slope agrees with those of all shorter ones (intersection of confidence intervals: Goldenshluger and
   Nemirovski 1997).
4. The interval: the confidence of slope and level, with residuals that hang together (a first-order autoregression)
   counted as fewer, times the errors of lines of the same kind on rows that they had not seen; and that a trend may
   bend, the more the farther it is extrapolated.
"""

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from aiops_assets.errors import DataError
from aiops_assets.timeseries.history import MIN_ROWS, History, steps_a_day
from aiops_assets.timeseries.series import Floats

HORIZON_HOURS = 336.0
"""14 days: what is farther away is not predicted."""
HISTORY_HOURS = 2 * HORIZON_HOURS
MAX_INTERVAL_HOURS = 4 * HORIZON_HOURS
"""An interval is followed so far; one that is still below the limit there has no end."""
WINDOW_HOURS = (1, 1.5, 2, 3, 4, 6, 9, 12, 18, 24, 36, 48, 72, 120, 168)
BLOCKS = 48
"""A window is cut into so many blocks at most; a trend is found among their medians."""
MIN_BLOCKS = 6
Z_80 = NormalDist().inv_cdf(0.9)
"""An 80 % interval reaches so many standard errors to each side."""
STEEPER, FLATTER, MIN_BENT = 0.2, 0.7, 0.5
"""How much a trend may bend: shares of its slope, reached when it is extrapolated far beyond the window of its fit.
Leaks flatten (caches fill, allocators settle) more than they steepen. A straight window leaves a share of the bend."""
AGREEMENT_ERRORS = 2.5
"""A longer window's slope may be so many standard errors away from the shorter ones'."""
RISE_ERRORS = 2.5
"""A trend rises when its slope is so many standard errors, after calibration, above zero."""
RESET_SPREADS, RESET_SHARE = 8.0, 0.3
"""A drop is a reset when it is so many times the spread of the changes, and such a share of the range of values."""
NEAR_ROWS = 12
"""A drop with a rise so few rows away is not a reset but one side of a spike or a hole."""
SEASON_DAYS, SEASON_ROWS, SEASON_SHARE = 2, 4, 0.3
"""A daily profile needs so many days and rows a day; below that share of the noise it is taken for zero."""
CALIBRATION_SHARES = (0.125, 0.25, 0.375, 0.5)
"""Shares of the chosen window, its newest rows, that are its calibration split, one after the other."""
EARLIER_WINDOWS = 8
"""Lines of so many earlier windows of the same length are judged too, as far as the history reaches."""
MIN_FACTOR = 1.3
"""Errors count at least so many times: choosing a window by its slope makes the slope look surer than it is."""
PRIOR_ERRORS = 4
"""So many errors of just the expected size are added, so that few errors do not make an interval narrow or wide."""


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
        trend_per_hour: the robust slope, in the metric's unit per hour, without the daily profile; 0 where the limit
            is reached.
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


@dataclass(frozen=True)
class Line:
    """A trend that was fitted to a window; hours are relative to the window's end.

    Attributes:
        level: where it is at the window's end.
        slope, slope_error: per hour.
        level_error: standard error in the middle of the window.
        middle: hours from the middle of the window to its end.
    """

    level: float
    slope: float
    slope_error: float
    level_error: float
    middle: float

    def error(self, hours: Floats | float) -> Floats:
        """Standard error of the line so many hours after the window."""
        result: Floats = np.hypot(self.level_error, self.slope_error * (hours + self.middle))
        return result


def time_to_exhaustion(history: History, metric: str, limit: float = 1.0, *, coverage: float = 0.8) -> Exhaustion:
    """When a metric reaches a limit if its newest trend persists.

    Args:
        history: up to now.
        metric: one of its metrics.
        limit: a value that is reached from below, in the metric's unit: 1.0 for a ratio, bytes for a quota.
        coverage: share of cases that the interval holds, 0 to 1.

    Raises:
        DataError: no such metric, too few rows, an infinite limit, or a coverage outside 0 to 1.
    """
    values = _column(history, metric, limit, coverage)
    step = history.step_seconds / 3600
    now = float(np.median(values[np.isfinite(values)][-max(3, history.steps(0.5)) :]))
    if now >= limit:
        return Exhaustion(metric, limit, 0.0, 0.0, 0.0, 0.0, 0.0, now)
    since, joined = _since_reset(values)
    shape, shape_error = _day_shape(joined, steps_a_day(history.step_seconds))
    line, below, above, bent = _calibrated(since - np.resize(shape, len(values)), step)
    ahead = np.concatenate([np.arange(0, HORIZON_HOURS, step), np.arange(HORIZON_HOURS, MAX_INTERVAL_HOURS)])
    rows = len(values) - 1 + np.round(ahead / step).astype(np.int64)
    path = line.level + line.slope * ahead + shape[rows % len(shape)]
    z = NormalDist().inv_cdf((1 + coverage) / 2)
    margin = z * np.hypot(line.error(ahead), shape_error)
    bend = z / Z_80 * bent * abs(line.slope) * ahead**2 / (ahead + 2 * line.middle + step)
    middle = _crossing(ahead, path, limit)
    first = _crossing(ahead, path + np.hypot(above * margin, STEEPER * bend), limit)
    last = _crossing(ahead, path - np.hypot(below * margin, FLATTER * bend), limit)
    not_before = HORIZON_HOURS if first is None else min(first, HORIZON_HOURS)
    rising = line.slope > 0 and line.slope > RISE_ERRORS * below * line.slope_error
    if middle is None or middle > HORIZON_HOURS or not rising:
        return Exhaustion(metric, limit, None, None, None, not_before, line.slope, now)
    return Exhaustion(metric, limit, middle, not_before, last, not_before, line.slope, now)


def _column(history: History, metric: str, limit: float, coverage: float) -> Floats:
    """The metric's newest rows, NaN where no sample is."""
    if metric not in history.metrics:
        raise DataError(f"no metric {metric!r} in the history: there are {', '.join(history.metrics)}")
    if not np.isfinite(limit) or not 0 < coverage < 1:
        raise DataError(f"limit {limit:g}, coverage {coverage:g}: give a finite limit, and a coverage between 0 and 1")
    column = history.metrics.index(metric)
    newest = slice(-history.steps(HISTORY_HOURS), None)
    known = history.known[newest, column]
    if known.sum() < MIN_ROWS:
        raise DataError(
            f"{metric}: {int(known.sum())} steps of {history.step_seconds} s with a sample in four weeks: a trend "
            f"needs {MIN_ROWS}, bring a longer history"
        )
    return np.where(known, history.values[newest, column], np.nan)


def _since_reset(values: Floats) -> tuple[Floats, Floats]:
    """The rows since the last reset, others NaN; and all rows with the drops taken out."""
    joined, begin = values.copy(), 0
    rows = np.flatnonzero(np.isfinite(values))
    y = values[rows]
    three = np.lib.stride_tricks.sliding_window_view(y, 3)
    middle = np.median(three, axis=1)
    change = middle[3:] - middle[:-3]  # of rows i..i+2 against i-3..i-1, for i = 3..
    if not len(change):
        return values, joined
    low, high = np.quantile(y, [0.02, 0.98])
    spread = 1.4826 * float(np.median(np.abs(change - np.median(change))))
    drops = np.flatnonzero(change < -max(RESET_SPREADS * spread, RESET_SHARE * (high - low), 1e-12))
    for run in np.split(drops, np.flatnonzero(np.diff(drops) > 3) + 1):
        around = change[max(run[0] - NEAR_ROWS, 0) : run[-1] + NEAR_ROWS] if len(run) else change
        if len(run) and around.max() < -change[run].min() / 2:
            near = np.arange(max(run[0] + 1, 1), min(run[-1] + 6, len(y)))
            at = int(near[np.argmin(y[near] - y[near - 1])])
            joined[rows[at] :] -= float(change[run].min())
            begin = at
    if len(y) - begin < MIN_ROWS:  # too few for a trend: the one before the drop is used
        return joined - (joined[rows[-1]] - values[rows[-1]]), joined
    return np.where(np.arange(len(values)) < rows[begin], np.nan, values), joined


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


def _calibrated(values: Floats, step: float) -> tuple[Line, float, float, float]:
    """The line from the window that suits, by what its errors below and above it grow, and how bent it may be."""
    line, rows = _best_line(values, step)
    end = len(values)
    splits = [(end - rows, end - round(share * rows), end) for share in CALIBRATION_SHARES]
    # Rows before the window may have been of another kind, so lines through them are not judged.
    cuts = [end - rows - back * rows // 2 for back in range(1, EARLIER_WINDOWS + 1)]
    splits += [(cut - rows, cut, cut + rows // 2) for cut in cuts if cut >= rows]
    errors = [-MIN_FACTOR * Z_80, MIN_FACTOR * Z_80] * (PRIOR_ERRORS // 2)
    for begin, cut, until in splits:
        seen, came = _line(values[begin:cut], step), values[cut:until]
        if seen is None or not np.isfinite(came).any():
            continue
        hours = np.arange(1, len(came) + 1) * step
        off = float(np.nanmedian(came - seen.level - seen.slope * hours))
        expected = float(seen.error(hours.mean()))
        if expected > 0:
            errors.append(off / expected)
    low, high = np.quantile(errors, [0.1, 0.9]) / Z_80
    bent = _bent(line, _line(values[-rows : end - rows // 2], step), _line(values[end - rows // 2 :], step))
    return line, max(MIN_FACTOR, -float(low)), max(MIN_FACTOR, float(high)), bent


def _bent(line: Line, older: Line | None, newer: Line | None) -> float:
    """The bend that must be reckoned with, 1 at most: less where both halves of the window have the same slope."""
    if older is None or newer is None or not line.slope:
        return 1.0
    change = np.hypot(newer.slope - older.slope, np.hypot(newer.slope_error, older.slope_error))
    return float(np.clip(2 * change / abs(line.slope), MIN_BENT, 1.0))


def _best_line(values: Floats, step: float) -> tuple[Line, int]:
    """The line of the longest window that agrees with all shorter ones, and the window's rows."""
    longest = len(values) - int(np.argmax(np.isfinite(values)))
    windows = sorted({min(round(hours / step), longest) for hours in WINDOW_HOURS})
    low, high, best, chosen, error = -np.inf, np.inf, None, longest, np.inf
    for rows in windows:
        line = _line(values[-rows:], step)
        if line is None:
            continue
        # More rows make a line surer: an error that grows is of a line through rows of two kinds.
        error = min(error, line.slope_error)
        low, high = max(low, line.slope - AGREEMENT_ERRORS * error), min(high, line.slope + AGREEMENT_ERRORS * error)
        if low > high:
            break
        best, chosen = line, rows
    return best or Line(float(np.nanmedian(values)), 0.0, 0.0, 0.0, 0.0), chosen


def _line(values: Floats, step: float) -> Line | None:
    """A robust line through a window; None: too few samples."""
    from scipy.stats import theilslopes

    size = -(-len(values) // BLOCKS)
    hours = (np.arange(len(values)) - len(values) + 1) * step
    pad = -len(values) % size
    y = np.concatenate([np.full(pad, np.nan), values]).reshape(-1, size)
    x = np.concatenate([np.full(pad, np.nan), hours]).reshape(-1, size)
    x = np.where(np.isnan(y), np.nan, x)
    full = np.isfinite(y).any(axis=1)
    n = int(full.sum())
    if n < MIN_BLOCKS:
        return None
    y, x = np.nanmedian(y[full], axis=1), np.nanmedian(x[full], axis=1)
    slope, _, low, high = theilslopes(y, x, 0.8)
    rest = y - slope * x
    rest = rest - np.median(rest)
    spread = max(1.4826 * float(np.median(np.abs(rest))), 0.5 * float(rest.std()))
    r = float(np.clip((rest[1:] @ rest[:-1]) / max(rest @ rest, 1e-300), 0.0, 0.95))
    fewer = np.sqrt((1 + r) / (1 - r))
    error = fewer * float(high - low) / (2 * Z_80)
    tail = max(3, n // 4)
    level = float(np.median((y - slope * x)[-tail:]))
    return Line(level, float(slope), error, fewer * spread / np.sqrt(n), float(-x.mean()))


def _crossing(hours: Floats, path: Floats, limit: float) -> float | None:
    """When a path first reaches a limit, between the rows too."""
    above = np.flatnonzero(path >= limit)
    if not len(above):
        return None
    i = int(above[0])
    if i == 0:
        return 0.0
    share = (limit - path[i - 1]) / (path[i] - path[i - 1])
    return float(hours[i - 1] + share * (hours[i] - hours[i - 1]))


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
