"""When a score becomes an alert: a threshold that moves with the last two weeks, and something that is wrong now.

Three conditions, each against a way in which a threshold alone fails people:

- The score is above the trailing quantile that the budget leaves. Of an episode that lasts, only its first two hours
  and what comes after twelve count for later thresholds: one incident must not spend the budget of the next.
- It is above that quantile of the training rows as well: a quiet week is not made to spend its budget.
- A metric is at an unusual value now, or was so within a quarter of an hour and has not come back: a score is smoothed
  over hours and stays high when an incident is over.

`make tune` chooses the constants of :class:`Rule` anew, and judges each choice on a set of series that it was not made
on.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from aiops_assets.learners.contracts import Flags
from aiops_assets.timeseries.frames import Grid
from aiops_assets.timeseries.series import Floats

ALERT_BUDGET = 0.01
"""Share of the time that may be under alert."""
KEPT_SCORES = 1000
"""So many scores of training rows are kept."""
ALERT_DAYS = 14
HISTORY_DAYS = 8
"""So much of the past is read before a row is scored: what was usual a week ago at this time, and a day more. Older
scores are those of training rows."""
BLOCK_HOURS = 1.0
"""So often the threshold moves; so long a pause ends an episode."""
LASTING_HOURS = 12.0
GOLDEN_RATIO = (5**0.5 - 1) / 2
"""Its multiples spread out evenly over 0 to 1, however many there are."""
RECENT_HOURS = 0.25
SHARE_OF_PEAK, PEAK_HOURS = 0.4, 2.0
"""After an incident, as much as this share of what was largest: noise does not prolong it."""
NOT_BACK = 0.3
"""Deviations of a row, in units of training's 99 % quantile: below it the metrics are back at their usual values."""


@dataclass(frozen=True)
class Rule:
    """What of the rule is tuned.

    Attributes:
        quantile_share: the trailing quantile leaves so many times the budget: the other conditions take a third of it
            away, or more.
        least_now: the least deviation within the last quarter of an hour, in units of training's 99 % quantile.
        counted_hours: rows under alert after so many hours of an episode do not count for later thresholds, before it
            has lasted for twelve.
    """

    quantile_share: float = 1.5
    least_now: float = 1.3
    counted_hours: float = 2.0


RULE = Rule()


def alerts(
    score: Floats,
    now: Floats | None,
    trained: Floats,
    trained_rows: int,
    grid: Grid,
    alert_budget: float,
    rule: Rule = RULE,
) -> Flags:
    """(n_rows,) which rows are under alert, from this and earlier rows only.

    Args:
        score: (n_rows,) of the detector.
        now: (n_rows,) deviations of this row alone, in units of their training rows' 99 % quantile; ``None``: this
            condition is left out.
        trained: scores of training rows, in order of size, evenly of all of them.
        trained_rows: how many rows of one entity they stand for.
        grid: the grid of the rows.
        alert_budget: share of the time that may be under alert.
        rule: what is tuned.
    """
    window, block = grid.rows(ALERT_DAYS * 24), grid.rows(BLOCK_HOURS)
    before = spread_out(trained, min(window, trained_rows))
    scores = np.concatenate([before, score])
    counts = np.ones(len(scores), dtype=bool)
    quantile = 1 - rule.quantile_share * alert_budget
    least = np.quantile(trained, 1 - alert_budget)
    high = np.zeros(len(score), dtype=bool)
    episode = _Episode(block, grid.rows(rule.counted_hours), grid.rows(LASTING_HOURS))
    for begin in range(0, len(score), block):
        rows = slice(begin, begin + block)
        seen = slice(max(len(before) + begin - window, 0), len(before) + begin)
        known = scores[seen][counts[seen]]
        threshold = np.quantile(known, quantile, method="higher") if len(known) else np.inf
        high[rows] = score[rows] > max(threshold, least)
        counts[len(before) :][rows] = episode.counted(high[rows])
    if now is None:
        return high
    return high & (now > NOT_BACK) & _wrong_now(high, now, grid, rule.least_now)


def thinned(ordered: Floats, most: int) -> Floats:
    """At most that many of the values, evenly over their order."""
    return ordered[np.linspace(0, len(ordered) - 1, min(most, len(ordered))).round().astype(int)]


def _wrong_now(high: Flags, now: Floats, grid: Grid, least: float) -> Flags:
    """(n_rows,) whether something was unusual within a quarter of an hour, as far as the score is high.

    What begins has to be as unusual as a share of what was largest lately; what goes on has not.
    """
    recent = grid.rows(RECENT_HOURS)
    lately = _largest_lately(now, recent)
    unusual = np.flatnonzero(high & (lately > least))
    begins = lately[unusual] > SHARE_OF_PEAK * _largest_lately(lately, grid.rows(PEAK_HOURS))[unusual]
    stretch = np.concatenate([[0], np.cumsum(np.diff(unusual) > recent)])[: len(unusual)]
    result = np.zeros(len(high), dtype=bool)
    result[unusual] = pd.Series(begins).groupby(stretch).cummax().to_numpy(dtype=bool)
    return result


class _Episode:
    """Rows under alert so far, with pauses shorter than ``pause`` rows."""

    def __init__(self, pause: int, counted: int, lasting: int) -> None:
        self._pause, self._counted, self._lasting = pause, counted, lasting
        self._high, self._quiet = 0, 0

    def counted(self, high: Flags) -> Flags:
        """(n_rows,) whether each of the next rows counts for later thresholds."""
        result = np.ones(len(high), dtype=bool)
        if not high.any():
            self._quiet += len(high)
            return result
        for row, is_high in enumerate(high.tolist()):
            if not is_high:
                self._quiet += 1
                continue
            if self._quiet >= self._pause:
                self._high = 0
            self._high, self._quiet = self._high + 1, 0
            result[row] = not self._counted < self._high <= self._lasting
        return result


def spread_out(ordered: Floats, rows: int) -> Floats:
    """So many values of the same distribution, large and small ones in turn: the oldest leave the window first."""
    places = np.arange(1, rows + 1) * GOLDEN_RATIO % 1.0
    return np.interp(places, np.linspace(0.0, 1.0, len(ordered)), ordered)


def _largest_lately(now: Floats, rows: int) -> Floats:
    return pd.Series(now).rolling(rows, min_periods=1).max().to_numpy()
