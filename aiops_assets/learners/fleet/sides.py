"""What is judged of each signal: how high it is, how low, how much it has risen, how high it is at least for long."""

from collections.abc import Sequence

import numpy as np

from aiops_assets.learners.fleet.signals import Signal
from aiops_assets.timeseries.series import Floats


class Sides:
    """The sides of some signals: one to the worse, both where either is worse; a rise, what lasts where asked for.

    Attributes:
        of: (n_sides,) the signal of each.
        sign: (n_sides,) 1.0 where larger is worse, else -1.0.
        counts: (n_sides,) whether its signal is a counter; counters: (n_signals,) the same.
        from_zero: (n_sides,) whether its usual value is 0: increases of counters, and rises.
        least: (n_sides,) a deviation below this share of the usual level never pages.
        shared: (n_sides,) so many times the usual level may be load that an entity shares with its group.
        rises: positions of the sides that are rises. levels: of each, the side of the level that rises.
        lasting: positions of the sides that are what lasts. heights: of each, the side whose rows are meant.
        names: (n_sides,) what identifies each in a stored state.
    """

    def __init__(self, signals: Sequence[Signal]) -> None:
        """List the sides of the signals, then rises, then what lasts."""
        sides = [(i, side) for i, one in enumerate(signals) for side in ((1, -1) if one.worse == 0 else (one.worse,))]
        rising = [i for i, one in enumerate(signals) if one.rise is not None]
        lasting = [i for i, one in enumerate(signals) if one.lasts]
        self.levels = np.array([sides.index((i, 1)) for i in rising], dtype=np.int64)
        self.heights = np.array([sides.index((i, 1)) for i in lasting], dtype=np.int64)
        self.rises = np.arange(len(sides), len(sides) + len(rising))
        self.lasting = np.arange(len(sides) + len(rising), len(sides) + len(rising) + len(lasting))
        least = [signals[i].least for i, _ in sides] + [one.rise for one in signals if one.rise is not None]
        self.least = np.array([*least, *(signals[i].least for i in lasting)])
        sides += [(i, 1) for i in (*rising, *lasting)]
        self.of = np.array([i for i, _ in sides])
        self.sign = np.array([float(side) for _, side in sides])
        self.shared = np.array([signals[i].shared for i in self.of])
        self.shared[self.rises] = 0.0
        self.counters = np.array([one.counter for one in signals], dtype=bool)
        self.counts = self.counters[self.of]
        self.from_zero = self.counts.copy()
        self.from_zero[self.rises] = True
        self.names = [f"{signals[i].name} {side} {signals[i].counter:d}" for i, side in sides]

    def __len__(self) -> int:
        return len(self.of)

    def least_of(self, usual: Floats) -> Floats:
        """(n_groups, n_sides) deviations below which nothing pages, of usual levels of the same shape."""
        base = np.abs(np.nan_to_num(usual))
        base[:, self.rises] = base[:, self.levels]
        return np.asarray(self.least * base, dtype=np.float64)
