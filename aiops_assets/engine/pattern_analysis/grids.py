"""Series on a regular grid, as the methods for patterns need them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from aiops_assets.engine.samples import Series
from aiops_assets.timeseries.series import Floats

FEWEST_POINTS = 12
"""Fewest points of a grid: with fewer, there is nothing to analyse but the count."""
MAX_POINTS = 2016
"""Most points of a grid, a week of five minutes; a longer series is averaged."""
LARGEST = 1e100
"""Largest absolute value: no metric is larger, and squares of larger values are infinite."""
MIN_FILLED = 0.7
"""Least share of a grid's points with samples; a sparser series gets a coarser grid."""
MAD_TO_SIGMA = 1.4826
"""Ratio of the standard deviation of a normal distribution to its median absolute deviation."""


@dataclass(frozen=True)
class Grid:
    """A series on a regular grid, with gaps interpolated linearly.

    Attributes:
        name: name as sent.
        shown: the name for sentences, with the values of labels by which series of the name differ.
        values: (n,) float64, finite.
        start: Unix seconds of the first point.
        step: distance of two points, seconds.
        thinned: whether samples were averaged.
    """

    name: str
    shown: str
    values: Floats
    start: float
    step: float
    thinned: bool

    @property
    def end(self) -> float:
        """Unix seconds of the last point."""
        return self.start + self.span

    @property
    def span(self) -> float:
        """Seconds from the first to the last point."""
        return self.step * (len(self.values) - 1)

    def at(self, position: int) -> float:
        """Unix seconds of the point at ``position``."""
        return self.start + self.step * int(position)


def seconds_of(series: Series) -> Floats:
    """The times of a series in Unix seconds, (n,)."""
    return series.times.astype("datetime64[us]").astype(np.int64) / 1e6


def to_grid(series: Series, labels: Sequence[str] = ()) -> Grid | None:
    """A series on a grid with its median step.

    ``None`` if it has too few points, or values above :data:`LARGEST`. ``labels`` are the label values by which series
    of the same name differ.
    """
    if len(series.values) < FEWEST_POINTS or float(np.abs(series.values).max()) > LARGEST:
        return None
    shown = f"{series.name} ({', '.join(labels)})" if labels else series.name
    seconds = seconds_of(series)
    span = float(seconds[-1] - seconds[0])
    median_step = float(np.median(np.diff(seconds)))
    step = max(median_step, span / (MAX_POINTS - 1))
    while span / step + 1 >= FEWEST_POINTS:
        bins = np.floor((seconds - seconds[0]) / step + 0.5).astype(np.int64)
        counts = np.bincount(bins)
        filled = counts > 0
        if filled.mean() >= MIN_FILLED:
            positions = np.arange(len(counts), dtype=np.float64)
            means = np.bincount(bins, weights=series.values) / np.maximum(counts, 1)
            values = np.interp(positions, positions[filled], means[filled])
            return Grid(series.name, shown, values, float(seconds[0]), step, thinned=bool(counts.max() > 1))
        step *= 2
    return None


def robust_sigma(values: Floats) -> float:
    """Robust standard deviation: the scaled median absolute deviation."""
    return MAD_TO_SIGMA * float(np.median(np.abs(values - np.median(values))))


def block_means(values: Floats, most: int) -> Floats:
    """Means of at most ``most`` equal blocks; values that do not fill a block are left out."""
    size = -(-len(values) // most)
    count = len(values) // size
    return values[: count * size].reshape(count, size).mean(axis=1)


def lag_one(values: Floats) -> float:
    """Autocorrelation at lag 1; 0 for a constant."""
    centred = values - values.mean()
    power = float(centred @ centred)
    return float(centred[1:] @ centred[:-1]) / power if power > 0 else 0.0
