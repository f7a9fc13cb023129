"""What of a history a trend goes on from: the rows since a reset, the peaks of a sawtooth, the heights of stairs."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from aiops_assets.timeseries.series import Floats

RESET_SPREADS, RESET_SHARE = 8.0, 0.3
"""A drop is a reset when it is so many times the spread of the changes, and such a share of the range of values."""
MIN_TREND_ROWS = 12
"""A trend takes so many steps with a sample."""
NEAR_ROWS = 12
"""A drop with a rise so few rows away is not a reset but one side of a spike or a hole."""
MIN_CYCLES = 3
"""So many resets make a sawtooth, if their peaks are alike."""
ALIKE, BELOW = 0.08, 0.2
"""Peaks are alike when they are so close to a line, and below the limit when they are so far away from it, in heights
of a tooth."""
MIN_STAIRS, STAIRS_SHARE, JUMP_ROWS = 5, 0.6, 7
"""So many jumps make stairs, if they are such a share of the whole rise. A jump is seen in at most so many changes."""


@dataclass(frozen=True)
class Since:
    """A history with its resets understood.

    Attributes:
        rows: (n,) what a trend is looked for in, others NaN.
        joined: (n,) all rows, with the drops of resets taken out.
        resets: how many there were.
        height: typical distance of the heights of two neighbours, where ``cyclic``.
        cyclic: ``rows`` are one a cycle: peaks of a sawtooth that stays below the limit, or heights of stairs.
    """

    rows: Floats
    joined: Floats
    cyclic: bool = False
    resets: int = 0
    height: float = 0.0


def since_reset(values: Floats, limit: float) -> Since:
    """What a trend towards a limit goes on from.

    Args:
        values: (n,) rows, NaN where no sample is; at least one sample.
        limit: a sawtooth whose peaks stay below it goes on doing so; one that reaches it is judged by its newest tooth.
    """
    joined, begin = values.copy(), 0
    rows = np.flatnonzero(np.isfinite(values))
    y = values[rows]
    if len(y) < 7:
        return Since(values, joined)
    middle = np.median(np.lib.stride_tricks.sliding_window_view(y, 3), axis=1)
    change = middle[3:] - middle[:-3]  # of rows i..i+2 against i-3..i-1, for i = 3..
    low, high = np.quantile(y, [0.02, 0.98])
    spread = 1.4826 * float(np.median(np.abs(change - np.median(change))))
    drops, sizes = _drops(y, change, max(RESET_SPREADS * spread, 1e-12))
    large = sizes >= RESET_SHARE * (high - low)
    for those in (np.full(len(drops), True), large):
        if (peaks := _peaks(y, drops[those], sizes[those], spread, limit)) is not None:
            return Since(_at(values, rows, *peaks), joined, cyclic=True, height=_height(peaks[1]))
    resets = drops[large]
    for at, size in zip(resets, sizes[large], strict=True):
        joined[rows[at] :] += size
    begin = int(resets[-1]) if len(resets) else 0
    if (stairs := _stairs(y[begin:], change[begin:], spread)) is not None:
        return Since(_at(values, rows[begin:], *stairs), joined, cyclic=True, height=_height(stairs[1]))
    if len(y) - begin < MIN_TREND_ROWS:  # too few for a trend: the one before the drop is used
        return Since(joined - (joined[rows[-1]] - values[rows[-1]]), joined, resets=len(resets))
    return Since(np.where(np.arange(len(values)) < rows[begin], np.nan, values), joined, resets=len(resets))


def _runs(those: npt.NDArray[np.bool_]) -> list[npt.NDArray[np.int64]]:
    """Positions that are near each other, together."""
    found = np.flatnonzero(those)
    return [run for run in np.split(found, np.flatnonzero(np.diff(found) > 3) + 1) if len(run)]


def _drops(y: Floats, change: Floats, least: float) -> tuple[npt.NDArray[np.int64], Floats]:
    """Places of the first rows after drops, and the sizes of these; sides of spikes and holes are none."""
    places, sizes = [], []
    for run in _runs(change < -least):
        around = change[max(run[0] - NEAR_ROWS, 0) : run[-1] + NEAR_ROWS]
        size = -float(change[run].min())
        if around.max() < size / 2:
            near = np.arange(max(run[0] + 1, 1), min(run[-1] + 6, len(y)))
            places.append(int(near[np.argmin(y[near] - y[near - 1])]))
            sizes.append(size)
    return np.array(places, dtype=np.int64), np.array(sizes)


def _at(values: Floats, rows: npt.NDArray[np.int64], places: npt.NDArray[np.int64], heights: Floats) -> Floats:
    found = np.full(len(values), np.nan)
    found[rows[places]] = heights
    return found


def _height(heights: Floats) -> float:
    return float(np.median(np.abs(np.diff(heights))))


def _peaks(
    y: Floats, drops: npt.NDArray[np.int64], sizes: Floats, spread: float, limit: float
) -> tuple[npt.NDArray[np.int64], Floats] | None:
    """Places and heights of the peaks before drops, if they are on a line that is below the limit.

    Where deletes come at irregular times, the peaks are not on a line but the lows after them are; if these rise, the
    heights are a typical tooth above them. Lows that stay where they are belong to restarts: nothing holds the peaks.
    """
    if len(drops) < MIN_CYCLES:
        return None
    tooth = float(np.median(sizes))
    peaks = np.array([float(np.median(y[max(at - 3, 0) : at])) for at in drops])
    lows = np.array([float(np.median(y[at : at + 3])) for at in drops])
    newest = float(np.median(y[-3:]))
    for heights, least_rise in ((peaks, -np.inf), (lows + tooth, tooth)):
        degree = int(len(drops) > MIN_CYCLES)
        line = np.polynomial.Polynomial.fit(drops, heights, degree)
        off = np.abs(heights - line(drops)).sum() / (len(drops) - degree - 1)
        most = max(float(peaks.max()), float(line(len(y)))) + BELOW * tooth + spread
        alike = off <= ALIKE * tooth + spread / 2 and line(drops[-1]) - line(drops[0]) >= least_rise
        # Above the most that was seen, what has emptied it does so no longer.
        if alike and heights[-1] <= limit - BELOW * tooth and newest <= most:
            return drops - 1, heights
    return None


def _stairs(y: Floats, change: Floats, spread: float) -> tuple[npt.NDArray[np.int64], Floats] | None:
    """Places and heights just after jumps, if these are most of the rise."""
    rise = float(np.median(y[-6:]) - np.median(y[:6]))
    if rise <= 0:
        return None
    jumps = [run for run in _runs(change > max(RESET_SPREADS * spread, 1e-12)) if len(run) <= JUMP_ROWS]
    jumps = [run for run in jumps if run[-1] + 5 < len(y)]
    if len(jumps) < MIN_STAIRS or sum(float(change[run].max()) for run in jumps) < STAIRS_SHARE * rise:
        return None
    places = np.array([run[len(run) // 2] + 3 for run in jumps])
    return places, np.array([float(np.median(y[at : at + 3])) for at in places])
