"""Patterns of counters, which are found in their growth.

A counter's level always rises, so that its trends and steps say nothing. A busy counter's growth per step is analysed
like any other series; of one that seldom grows (restarts) only a storm is reported.
"""

import re
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from aiops_assets.engine.pattern_analysis.grids import Grid
from aiops_assets.engine.pattern_analysis.pattern_types import Pattern, described, utc_time
from aiops_assets.engine.samples import MEANINGS, Series
from aiops_assets.engine.wording import span_text
from aiops_assets.timeseries.series import Floats

NAMES = re.compile(r"(_total|_count)$|restarts")
RESTARTS = re.compile(r"restarts?(_|$)")
FRACTIONAL = re.compile(r"(_total|_mean_5m)$")
"""Counters that need not be whole numbers: seconds, and means of counts."""
LEVELS = ("value", "mean_5m", "min_5m", "max_5m", "lag_1", "lag_5")
"""Statistics of a counter that are counters themselves."""
POD_LABELS = ("pod", "pod_name", "kubernetes_pod_name", "container")
MAX_RESETS = 0.05
"""Largest share of samples of a counter that fall."""
RESET_BELOW = 0.5
"""A fall below this share of the value before is a reset: a reset counter begins at zero, while the number of things
that exist falls by a few."""
BUSY = 1.0
"""Least growth per step for which the growth is analysed as a series."""
MAX_BLOCKS = 96
SIGNIFICANCE = 0.01
"""Significance level of all time spans together."""
FEWEST_IN_STORM, FEWEST_RESTARTS = 5, 3
MANY_TIMES = 3.0
"""Least ratio of the growth in a storm to the expected one."""
RESTARTS_AN_HOUR = 1.0
"""Most restarts per hour that are expected of a pod, whatever its history."""


def is_redundant(name: str) -> bool:
    """Whether a name is a statistic of a counter's changes, such as its deviation: it is redundant to the counter."""
    meaning = MEANINGS.get(name)
    return meaning is not None and meaning.metric.unit == "count" and meaning.statistic not in LEVELS


def is_counter(series: Series) -> bool:
    """Whether a series is a counter: by its name, whole numbers, and falls only at resets."""
    meaning = MEANINGS.get(series.name)
    named = meaning.metric.unit == "count" if meaning else NAMES.search(series.name) is not None
    if not named or is_redundant(series.name):
        return False
    values = series.values
    if float(values.min()) < 0 or not (FRACTIONAL.search(series.name) or bool((values == np.floor(values)).all())):
        return False
    falls = np.flatnonzero(np.diff(values) < 0)
    resets = values[falls + 1] <= RESET_BELOW * values[falls]
    return len(falls) <= max(1, int(MAX_RESETS * len(values))) and bool(resets.all())


def without_resets(series: Series) -> Series:
    """The accumulated growth, beginning at zero; at a reset it is the new value, but at least the median growth."""
    moves = np.diff(series.values)
    expected = float(np.median(moves[moves >= 0])) if bool((moves >= 0).any()) else 0.0
    growth = np.where(moves < 0, np.maximum(series.values[1:], expected), moves)
    return replace(series, values=np.concatenate([[0.0], np.cumsum(growth)]))


def growth_of(grid: Grid) -> Grid:
    """Growth per step of a counter's grid, dated at the end of the step."""
    shown = f"{grid.shown} per {span_text(grid.step)}"
    return replace(grid, shown=shown, values=np.diff(grid.values), start=grid.start + grid.step)


def is_busy(name: str, growth: Grid) -> bool:
    """Whether growth is analysed as a series; that of restarts never is."""
    return not RESTARTS.search(name) and float(growth.values.mean()) >= BUSY


def find_storm(growth: Grid, shown: str, labels: Mapping[str, str]) -> list[Pattern]:
    """The time span in which a seldom growing counter grows far more than in the rest of the window, if any.

    All spans are tested, each given the total count (scan statistic, Kulldorff 1997). A pod's restarts are also
    compared with :data:`RESTARTS_AN_HOUR`, because a crash loop may fill the whole window.

    Args:
        growth: growth per step.
        shown: name of the counter in sentences.
        labels: labels of the series.
    """
    from scipy.stats import binom, poisson

    values = growth.values
    restarts = RESTARTS.search(growth.name) is not None
    fewest = FEWEST_RESTARTS if restarts else FEWEST_IN_STORM
    if float(values.sum()) < fewest:
        return []
    size = -(-len(values) // MAX_BLOCKS)
    sums = np.add.reduceat(values, np.arange(0, len(values), size))
    firsts, lasts = np.triu_indices(len(sums))
    sofar = np.concatenate([[0.0], np.cumsum(sums)])
    counts = np.round(sofar[lasts + 1] - sofar[firsts])
    widths = lasts - firsts + 1
    expected = _expected(counts, widths, len(sums))
    p = binom.sf(counts - 1, counts.max(), widths / len(sums))
    if restarts and (growth.name in MEANINGS or any(map(labels.get, POD_LABELS))):
        at_most = RESTARTS_AN_HOUR * widths * size * growth.step / 3600
        expected = np.minimum(expected, at_most)
        p = np.minimum(p, poisson.sf(counts - 1, at_most))
    found = np.flatnonzero((counts >= fewest) & (counts >= MANY_TIMES * expected) & (p * len(counts) <= SIGNIFICANCE))
    if not len(found):
        return []
    # Of all significant spans the likeliest is used, not the longest.
    gains = counts[found] * np.log(counts[found] / expected[found]) - (counts[found] - expected[found])
    best = int(found[np.argmax(gains)])
    count, start = float(counts[best]), growth.at(int(firsts[best]) * size) - growth.step
    end = growth.at(min((int(lasts[best]) + 1) * size, len(values)) - 1)
    pattern = described(
        "counter_storm",
        (growth.name,),
        (count - float(expected[best])) / (count + 1),
        start,
        end,
        name=shown,
        count=count,
        span=end - start,
        time=utc_time(start),
        usual=float(expected[best]),
    )
    return [pattern]


def _expected(counts: Floats, widths: "np.ndarray", blocks: int) -> Floats:
    """Expected counts of each span from the rest of the window; a count of zero there is taken as one half."""
    rest = np.maximum(0.5, counts.max() - counts)
    outside = blocks - widths
    # For the whole window there is no rest, so that any count may be the expected one.
    return np.where(outside > 0, rest / np.maximum(outside, 1) * widths, np.inf)
