"""Counters: what counts is how much they grow, not where they stand.

A counter's level always rises, so that a trend or a step of it says nothing. A busy counter's growth per step is a
series like any other; of one that seldom moves (restarts) only a storm is told.
"""

import re
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from aiops_assets.engine.pattern_analysis.grids import Grid
from aiops_assets.engine.pattern_analysis.pattern_types import Pattern, described, moment
from aiops_assets.engine.samples import MEANINGS, Series
from aiops_assets.engine.wording import span_text
from aiops_assets.timeseries.series import Floats

NAMES = re.compile(r"(_total|_count)$|restarts")
RESTARTS = re.compile(r"restarts?(_|$)")
FRACTIONAL = re.compile(r"(_total|_mean_5m)$")
"""Seconds are counted too, and means of counts are no whole numbers."""
LEVELS = ("value", "mean_5m", "min_5m", "max_5m", "lag_1", "lag_5")
"""Statistics of a counter that are counters."""
POD_LABELS = ("pod", "pod_name", "kubernetes_pod_name", "container")
MOST_RESETS = 0.05
"""Share of samples; what falls more often is no counter."""
RESET_BELOW = 0.5
"""Of the value before: a counter that is reset begins at zero, a count of what is there goes down by a few."""
BUSY = 1.0
"""Growth per step from which on the growth is judged as a series."""
MOST_BLOCKS = 96
SIGNIFICANCE = 0.01
"""Of all stretches of time together."""
FEWEST_IN_STORM, FEWEST_RESTARTS = 5, 3
MANY_TIMES = 3.0
"""What is usual, in a storm."""
RESTARTS_AN_HOUR = 1.0
"""More are not usual for a pod, however long it has had them."""


def says_the_same(name: str) -> bool:
    """Whether a name is a statistic of a counter's changes, such as its deviation: the counter itself tells more."""
    meaning = MEANINGS.get(name)
    return meaning is not None and meaning.metric.unit == "count" and meaning.statistic not in LEVELS


def is_counter(series: Series) -> bool:
    """Whether a series counts up: by its name, its whole numbers, and by falling only where it was reset."""
    meaning = MEANINGS.get(series.name)
    named = meaning.metric.unit == "count" if meaning else NAMES.search(series.name) is not None
    if not named or says_the_same(series.name):
        return False
    values = series.values
    if float(values.min()) < 0 or not (FRACTIONAL.search(series.name) or bool((values == np.floor(values)).all())):
        return False
    falls = np.flatnonzero(np.diff(values) < 0)
    resets = values[falls + 1] <= RESET_BELOW * values[falls]
    return len(falls) <= max(1, int(MOST_RESETS * len(values))) and bool(resets.all())


def without_resets(series: Series) -> Series:
    """The same growth from zero on; after a reset what was counted since is growth, and as much as usual at least."""
    moves = np.diff(series.values)
    usual = float(np.median(moves[moves >= 0])) if bool((moves >= 0).any()) else 0.0
    growth = np.where(moves < 0, np.maximum(series.values[1:], usual), moves)
    return replace(series, values=np.concatenate([[0.0], np.cumsum(growth)]))


def growth_of(grid: Grid) -> Grid:
    """Growth per step of a counter's grid, each at the end of its step."""
    shown = f"{grid.shown} per {span_text(grid.step)}"
    return replace(grid, shown=shown, values=np.diff(grid.values), start=grid.start + grid.step)


def is_busy(name: str, growth: Grid) -> bool:
    """Whether growth is judged as a series; that of restarts never is."""
    return not RESTARTS.search(name) and float(growth.values.mean()) >= BUSY


def find_storm(growth: Grid, shown: str, labels: Mapping[str, str]) -> list[Pattern]:
    """The stretch of time in which a seldom moving counter grows far more than in the rest of the window, if any.

    A scan over all stretches, with a test of each that takes the whole count as given (Kulldorff 1997). A pod's
    restarts are also held against :data:`RESTARTS_AN_HOUR`, because a crash loop may fill the whole window.

    Args:
        growth: per step.
        shown: the counter's name for a sentence.
        labels: of the series.
    """
    from scipy.stats import binom, poisson

    values = growth.values
    restarts = RESTARTS.search(growth.name) is not None
    fewest = FEWEST_RESTARTS if restarts else FEWEST_IN_STORM
    if float(values.sum()) < fewest:
        return []
    size = -(-len(values) // MOST_BLOCKS)
    sums = np.add.reduceat(values, np.arange(0, len(values), size))
    firsts, lasts = np.triu_indices(len(sums))
    sofar = np.concatenate([[0.0], np.cumsum(sums)])
    counts = np.round(sofar[lasts + 1] - sofar[firsts])
    widths = lasts - firsts + 1
    usual = _usual(counts, widths, len(sums))
    p = binom.sf(counts - 1, counts.max(), widths / len(sums))
    if restarts and (growth.name in MEANINGS or any(map(labels.get, POD_LABELS))):
        at_most = RESTARTS_AN_HOUR * widths * size * growth.step / 3600
        usual = np.minimum(usual, at_most)
        p = np.minimum(p, poisson.sf(counts - 1, at_most))
    found = np.flatnonzero((counts >= fewest) & (counts >= MANY_TIMES * usual) & (p * len(counts) <= SIGNIFICANCE))
    if not len(found):
        return []
    # Of all that are significant the likeliest counts, not the longest.
    gains = counts[found] * np.log(counts[found] / usual[found]) - (counts[found] - usual[found])
    best = int(found[np.argmax(gains)])
    count, start = float(counts[best]), growth.at(int(firsts[best]) * size) - growth.step
    end = growth.at(min((int(lasts[best]) + 1) * size, len(values)) - 1)
    pattern = described(
        "counter_storm",
        (growth.name,),
        (count - float(usual[best])) / (count + 1),
        start,
        end,
        name=shown,
        count=count,
        span=end - start,
        time=moment(start),
        usual=float(usual[best]),
    )
    return [pattern]


def _usual(counts: Floats, widths: "np.ndarray", blocks: int) -> Floats:
    """Counts that the rest of the window lets expect in each stretch; none at all there is taken as half of one."""
    rest = np.maximum(0.5, counts.max() - counts)
    outside = blocks - widths
    # Beside the whole window there is no rest, so that any count of it may be usual.
    return np.where(outside > 0, rest / np.maximum(outside, 1) * widths, np.inf)
