"""The baseline of a cluster's CPU and memory by the hour of the day, learnt from training rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from aiops_assets.errors import SchemaError

ANSWERED = ("cpu_usage", "memory_usage")
"""Metrics that have a baseline, where training rows have them."""
DAY_HOURS = 24
UPPER_QUANTILE = 0.98
NEIGHBOUR_HOURS = (-1, 0, 1)
"""The baseline of an hour is of the rows in these hours around it."""
MARGIN_SHARE, MIN_MARGIN = 0.2, 0.02
"""Added to the quantile: the engine asks about a scenario of 15 % more of everything, which is no issue by itself."""


@dataclass(frozen=True)
class HourlyBaseline:
    """Expected values by metric, each 24 for the hours of the day (UTC), in cores or as a ratio.

    Attributes:
        upper: a value above it is an issue; values of a metric that is absent never are.
        middle: medians.
    """

    upper: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    middle: Mapping[str, tuple[float, ...]] = field(default_factory=dict)

    def to_dict(self) -> dict[str, dict[str, list[float]]]:
        """Part -> metric -> 24 numbers, as JSON holds them."""
        return {
            "upper": {name: list(values) for name, values in self.upper.items()},
            "middle": {name: list(values) for name, values in self.middle.items()},
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Mapping[str, Sequence[float]]]) -> "HourlyBaseline":
        """A baseline from :meth:`to_dict`. Raises SchemaError: a part is missing, or not 24 finite numbers a metric."""
        parts = []
        for part in ("upper", "middle"):
            try:
                values = {name: tuple(map(float, hours)) for name, hours in data[part].items()}
            except (AttributeError, KeyError, TypeError, ValueError) as error:
                raise SchemaError(f"hourly baseline: {part!r} is missing or unreadable: {error!r}") from error
            for name, hours in values.items():
                if len(hours) != DAY_HOURS or not np.isfinite(hours).all():
                    raise SchemaError(f"hourly baseline: {part} of {name} are not {DAY_HOURS} finite numbers")
            parts.append(values)
        return cls(*parts)


def hourly_baseline_of(frame: pd.DataFrame) -> HourlyBaseline:
    """Learn the baseline from training rows.

    The upper bound of an hour is the 98 % quantile of the rows of it and its two neighbours, so that rare peaks do
    not count, and a fifth of it, at least 0.02, more. An hour without rows has the bound of the whole.

    Args:
        frame: ``timestamp`` (UTC) and any of ``cpu_usage`` (cores) and ``memory_usage`` (ratio); gaps may be NaN.
    """
    hours = pd.DatetimeIndex(frame["timestamp"]).hour.to_numpy()
    upper, middle = {}, {}
    for name in ANSWERED:
        if name not in frame.columns:
            continue
        values = frame[name].to_numpy(dtype=np.float64, na_value=np.nan)
        finite = np.isfinite(values)
        if not finite.any():
            continue
        highs, middles = [], []
        for hour in range(DAY_HOURS):
            around = np.isin(hours, [(hour + by) % DAY_HOURS for by in NEIGHBOUR_HOURS]) & finite
            rows = values[around if around.any() else finite]
            high = float(np.quantile(rows, UPPER_QUANTILE))
            highs.append(high + max(MARGIN_SHARE * abs(high), MIN_MARGIN))
            middles.append(float(np.median(rows)))
        upper[name], middle[name] = tuple(highs), tuple(middles)
    return HourlyBaseline(upper, middle)
