"""How good fetched data is: coverage of metrics and days, rows that gaps cost, fill-ins, impossible values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from aiops_assets.timeseries.catalog import MetricSpec
from aiops_assets.timeseries.promql import rate_ranges

FULL_DAY = 0.9
"""A day counts as full, and a window as complete, from this share of its samples on."""
BOUNDS_TOLERANCE = 0.05
"""Rates are extrapolated to the window's edges and pass a bound by a few percent without being wrong."""
ROUNDING = 1e-9
"""What a sum of counters may be below zero by rounding."""
MIN_FULL_DAYS = 3
"""A window needs so many full days: fewer show no daily pattern twice and leave a hold-out of less than a night."""
MAX_DOUBLED_MINUTES = 30
"""Longest time for which two exporters are taken to have been scraped at once: a roll-out takes minutes."""
NOTABLE_FILLED = 0.1
"""Share of rows, or of pods, without a metric above which people are warned: as that of rows which gaps cost."""


@dataclass(frozen=True)
class WindowCoverage:
    """Shares of a window's samples that are there.

    Attributes:
        shares: metric -> day -> share of the samples that should be there, instants of the day times series.
    """

    shares: Mapping[str, Mapping[date, float]]

    @property
    def by_metric(self) -> dict[str, float]:
        """Metric -> share of the whole window."""
        return {name: float(np.mean(list(days.values()))) if days else 0.0 for name, days in self.shares.items()}

    @property
    def share(self) -> float:
        """The share of the metric that has least: a row needs all of them."""
        return min(self.by_metric.values(), default=0.0)

    @property
    def days(self) -> int:
        """How many days the window has."""
        return max((len(days) for days in self.shares.values()), default=0)

    @property
    def full_days(self) -> int:
        """Days of which every metric has :data:`FULL_DAY`."""
        metrics = list(self.shares.values())
        return sum(all(days[day] >= FULL_DAY for days in metrics) for day in metrics[0]) if metrics else 0

    @property
    def lowest(self) -> str:
        """The metric that has least."""
        return min(self.by_metric, key=lambda name: self.by_metric[name])


def window_coverage(
    got: Mapping[str, Mapping[date, float]], days: Sequence[date], points_per_day: Mapping[str, int]
) -> WindowCoverage:
    """Coverage of a window.

    Args:
        got: metric -> day -> number of instants, each counted by the share of its samples that is there; days that
            are missing have none.
        days: the days of the window.
        points_per_day: metric -> instants a day has.
    """
    return WindowCoverage(
        {name: {day: found.get(day, 0) / points_per_day[name] for day in days} for name, found in got.items()}
    )


@dataclass(frozen=True)
class Shortage:
    """Why a window must not be trained on.

    Attributes:
        code: "low_coverage" or "few_full_days".
        found, wanted: shares of the window's samples, or numbers of full days.
    """

    code: Literal["low_coverage", "few_full_days"]
    found: float
    wanted: float

    @property
    def text(self) -> str:
        """In words, for people."""
        if self.code == "low_coverage":
            return f"{self.found:.0%} of the window is there, MIN_COVERAGE requires {self.wanted:.0%}"
        return f"{self.found} full days are there, at least {self.wanted} are needed"


def too_little(share: float, full_days: int, days: int, least: float) -> Shortage | None:
    """Why a window must not be trained on; ``None`` when it may.

    Args:
        share: share of the window's samples that are there.
        full_days: how many of its days are full.
        days: how many days it has.
        least: MIN_COVERAGE.
    """
    if share < least:
        return Shortage("low_coverage", share, least)
    wanted = min(MIN_FULL_DAYS, days)
    return Shortage("few_full_days", full_days, wanted) if full_days < wanted else None


@dataclass(frozen=True)
class KnownRows:
    """How many rows know a metric; the others hold a fill-in, such as the engine's default.

    Attributes:
        rows: number of all rows.
        known: number of those in which the metric has a sample.
        pods: number of pods that have rows.
        lacking: names of the pods that know it in none of their rows, sorted.
    """

    rows: int
    known: int
    pods: int
    lacking: tuple[str, ...]


def known_rows(known: pd.DataFrame, pods: pd.Series) -> dict[str, KnownRows]:
    """Metric -> in how many rows it is known.

    Args:
        known: (n_rows, n_metrics) bool, a column a metric: whether the row has a sample of it.
        pods: (n_rows,) the pod of each row.
    """
    by_pod = known.groupby(pods.to_numpy(), observed=True).any()
    return {
        str(name): KnownRows(
            rows=len(known),
            known=int(known[name].sum()),
            pods=len(by_pod),
            lacking=tuple(sorted(map(str, by_pod.index[~by_pod[name]]))),
        )
        for name in known.columns
    }


def outside_mask(values: npt.ArrayLike, metric: MetricSpec) -> npt.NDArray[np.bool_]:
    """Which values no true value can be: outside the bounds by more than a rate's extrapolation does.

    A ratio that is computed as 1 minus a rate also falls below its lower bound by that; nothing else does. NaN is not
    outside.
    """
    below = BOUNDS_TOLERANCE if metric.unit == "ratio" and rate_ranges(metric.promql) else ROUNDING
    lower = -np.inf if metric.lower is None else metric.lower - below
    upper = np.inf if metric.upper is None else metric.upper + BOUNDS_TOLERANCE * max(1.0, abs(metric.upper))
    array = np.asarray(values, dtype=np.float64)
    return (array < lower) | (array > upper)


def count_outside(values: npt.ArrayLike, metric: MetricSpec) -> int:
    """How many values :func:`outside_mask` marks."""
    return int(np.count_nonzero(outside_mask(values, metric)))


def doubled_at(counts: npt.NDArray[np.float64], most: int = MAX_DOUBLED_MINUTES) -> dict[int, int]:
    """Index of a counter -> index of the instant at which it doubles, to fall back to what it was soon after.

    No counter does that: two exporters count the same and are added up, as during the roll-out of kube-state-metrics.

    Args:
        counts: (n_counters, n_instants), NaN where there is no sample.
        most: longest time that it stays doubled, in instants.
    """
    found: dict[int, int] = {}
    doubles = (counts[:, :-1] > 0) & (counts[:, 1:] == 2 * counts[:, :-1])
    for which, before in zip(*map(np.ndarray.tolist, np.nonzero(doubles)), strict=True):
        after = counts[which, before + 2 : before + 2 + most]
        if which not in found and (after == counts[which, before]).any():
            found[which] = before + 1
    return found


def missing_share(mask: npt.NDArray[np.bool_], every: int) -> float:
    """Share of rows that gaps cost: 0 when each pod has all its rows from its first to its last.

    Args:
        mask: (n_pods, n_minutes) true where a row can be taken, at most one in ``every`` minutes.
        every: distance of rows in minutes.
    """
    possible = taken = 0
    for row in mask:
        minutes = np.flatnonzero(row)
        if len(minutes):
            possible += int(minutes[-1] - minutes[0]) // every + 1
            taken += len(minutes)
    return 1 - taken / possible if possible else 0.0
