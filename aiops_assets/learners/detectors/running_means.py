"""Exponentially weighted means that go on: pandas' ``ewm(alpha).mean()``, step by step and of many series at once."""

import numpy as np

from aiops_assets.timeseries.series import Floats


def weighted_before(values: Floats, mean: Floats, weight: Floats, alpha: float) -> tuple[Floats, tuple[Floats, Floats]]:
    """The weighted mean of what was before each row, as ``ewm(alpha=alpha).mean().shift(1)`` has it.

    Args:
        values: (n_rows, ...), NaN where nothing is known.
        mean, weight: (...) after the rows before, NaN and 1 where there was none. The weight is that of the mean beside
            the next value.
        alpha: what the newest value weighs, 0 to 1.

    Returns:
        (n_rows, ...), and (mean, weight) after the last row. Older values lose weight also over rows without a value.
    """
    before = np.empty_like(values)
    for i, value in enumerate(values):
        before[i] = mean
        there, known = ~np.isnan(value), ~np.isnan(mean)
        weight = np.where(known, weight * (1 - alpha), weight)
        both = there & known
        # A mean of equal values is that value, without rounding.
        mixed = np.where(mean == value, mean, (weight * mean + value) / (weight + 1))
        mean = np.where(both, mixed, np.where(there, value, mean))
        weight = np.where(both, weight + 1, weight)
    return before, (mean, weight)
