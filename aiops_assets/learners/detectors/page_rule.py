"""When an alert of one series becomes a page: a score as rare as a few of the last weeks' worst.

A detector's alert spends a share of the time, a page spends a number of calls. So its level is a return level, what is
exceeded once in so many days: of the peaks of six hours in the last six weeks the one that has been exceeded once in
two weeks, or the largest as long as less than four weeks are known. That is the plain empirical estimate (Coles 2001,
An Introduction to Statistical Modeling of Extreme Values, on return levels). A level extrapolated from the peaks by
Gumbel's distribution found fewer events on real series at as few false pages (docs/quality/incidents.md).

Peaks of noise are all alike, and every few days one comes close to the largest. So a level is also at least a
multiple of the median peak.

Earlier incidents are among the peaks: a share of the level is enough, and one incident alone sets no level once four
weeks are known. A score counts by its distance to the training rows' median, in units of the distance from there to
their 99 % quantile, so that neither scale nor offset of a score matter.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from aiops_assets.learners.contracts import Flags
from aiops_assets.timeseries.series import Floats

Times = npt.NDArray[np.datetime64]

BLOCKS_AT_ONCE = 4096
"""So many levels are computed together: a window of each is held in memory."""
UPPER_QUANTILE = 0.99
PAUSE = np.timedelta64(1, "h")
"""Pages further apart are two episodes."""
UNSEEN = -np.inf
"""The peak of a block without rows."""


@dataclass(frozen=True)
class PageRule:
    """The constants, chosen on labelled series (docs/quality/incidents.md has the figures of each set left out).

    Attributes:
        share: of the level that a page has to reach.
        usual_peak: so many times the median peak has to be reached, too.
        least: distance to the training median below which nothing pages, in units of training's 99 % quantile.
        block_hours: length of the blocks whose peaks are compared.
        known_days: how far back peaks count.
        return_days: the level is what was exceeded once in so many days.
    """

    share: float = 0.84
    usual_peak: float = 2.3
    least: float = 1.5
    block_hours: int = 6
    known_days: int = 42
    return_days: int = 14


PAGE_RULE = PageRule()


def pages(times: Times, score: Floats, alert: Flags, trained: Flags, rule: PageRule = PAGE_RULE) -> Flags:
    """(n_rows,) which rows page: those under alert whose score reaches the level of the blocks before theirs.

    A row's own block does not count, so that an episode does not raise the level that it is measured by. In the first
    block nothing pages: there is nothing to compare with.

    Args:
        times: (n_rows,) in the order in which rows are scored; a step back in time counts as none.
        score: (n_rows,) finite, of the detector.
        alert: (n_rows,) of the detector.
        trained: (n_rows,) which are training rows, at least one.
        rule: the constants.
    """
    middle, upper = np.quantile(score[trained], [0.5, UPPER_QUANTILE])
    above = score - middle
    steps = np.maximum(np.diff(times), np.timedelta64(0)) // np.timedelta64(1, "ms")
    clock = np.concatenate([[0], np.cumsum(steps.astype(np.int64))])
    block = clock // (rule.block_hours * 3_600_000)
    begins = np.flatnonzero(np.diff(block, prepend=-1))
    peaks = np.full(block[-1] + 1, UNSEEN)
    peaks[block[begins]] = np.maximum.reduceat(above, begins)
    level = np.maximum(_levels(peaks, rule), rule.least * (upper - middle))
    paging: Flags = alert & (above > 0) & (above >= level[block])
    return paging


def page_episodes(times: Times, page: Flags) -> int:
    """How often somebody is called: pages up to an hour apart are one episode; rows in any order."""
    paging = np.sort(times[page])
    return int((np.diff(paging) > PAUSE).sum()) + min(len(paging), 1)


def _levels(peaks: Floats, rule: PageRule) -> Floats:
    """(n_blocks,) what has to be reached in each block, by the blocks before it; infinite where none is known."""
    blocks_a_day = 24 / rule.block_hours
    window = round(rule.known_days * blocks_a_day)
    most = max(rule.known_days // rule.return_days, 1)
    before = np.concatenate([np.full(window, UNSEEN), peaks[:-1]])
    windows = np.lib.stride_tricks.sliding_window_view(before, window)
    levels = np.empty(len(peaks))
    for begin in range(0, len(peaks), BLOCKS_AT_ONCE):
        ordered = np.sort(windows[begin : begin + BLOCKS_AT_ONCE], axis=1)
        known = np.isfinite(ordered).sum(axis=1)
        rank = np.clip((known / (blocks_a_day * rule.return_days)).astype(np.int64), 1, most)
        places = np.stack([window - rank, window - 1 - np.maximum(known - 1, 0) // 2], axis=1)
        found = np.take_along_axis(ordered, places, axis=1) * (rule.share, rule.usual_peak)
        levels[begin : begin + BLOCKS_AT_ONCE] = np.where(known > 0, found.max(axis=1), np.inf)
    return levels
