"""The 45 columns of the row detector, made of the samples of a request.

A feature fills its own column. A bare metric fills its level: value, mean, min, max and lags; one sample says nothing
about changes, which are 0. Samples a minute apart give the exact nine statistics; a sample five minutes earlier gives
the lag. A metric that was not sent gets the engine's default for "unknown". So does a single ratio of 1.5, which may
be 150 % or 1.5 %. Source: engine contract, sections 1.1 and 2.2.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType

import numpy as np

from aiops_assets.engine.samples import CHANGE, MEANINGS, PERCENT_TO, SHORT_NAMES, Sample, Series, in_percent
from aiops_assets.timeseries.catalog import ENGINE_METRICS, METRICS, POD_MEMORY
from aiops_assets.timeseries.features import ENGINE_DEFAULT, HISTORY, LIMIT, STATISTICS, nine_statistics
from aiops_assets.timeseries.series import Floats

WIDTH = len(STATISTICS)
VALUE, LAG_5 = STATISTICS.index("value"), STATISTICS.index("lag_5")
CHANGES = frozenset(map(STATISTICS.index, ("std_5m", "diff", "pct_change")))
PCT_CHANGE = STATISTICS.index("pct_change")
LEVELS = tuple(i for i in range(WIDTH) if i not in CHANGES)
MINUTE = 60.0
MIN_MINUTES = 3
"""Least number of samples in the last six minutes, with one a minute ago, from which changes are computed."""


@dataclass(frozen=True, slots=True)
class Column:
    """The column of a name.

    Attributes:
        metric: index in ``ENGINE_METRICS``.
        statistic: index in ``STATISTICS``; -1 for a change over ``hours``.
        bare: whether the name is that of the metric, not of a feature.
        short: whether it is a short name of the documents, which has a unit of its own, percent or ratio.
        hours: hours of a change.
    """

    metric: int
    statistic: int
    bare: bool
    short: bool
    hours: float


def _column(name: str) -> Column:
    meaning = MEANINGS[name]
    metric = ENGINE_METRICS.index(meaning.metric)
    statistic = -1 if meaning.statistic == CHANGE else STATISTICS.index(meaning.statistic)
    short = name in SHORT_NAMES
    bare = statistic == VALUE and (short or name == meaning.metric.name)
    return Column(metric, statistic, bare, short, meaning.hours)


COLUMNS: Mapping[str, Column] = MappingProxyType({name: _column(name) for name in MEANINGS})
SHARES = frozenset({metric.name for metric in METRICS if metric.unit == "ratio"} - COLUMNS.keys() | {"error_rate"})
"""Ratios without a column."""
MEMORY = ENGINE_METRICS.index(POD_MEMORY)
Unit = tuple[int, bool] | str
"""A group of names with one unit: (index of a metric, whether the names are short ones), or the name of a share."""


@dataclass(frozen=True, slots=True)
class Sent:
    """The newest sample of a name that has a column.

    Attributes:
        name, value: name and value as sent.
        column: the column of the name.
        factor: divisor of the value that gives the metric's unit.
        time: time of the sample, with an offset.
    """

    name: str
    value: float
    column: Column
    factor: float
    time: datetime

    @property
    def index(self) -> int:
        """Index among the 45 columns; a change over hours has none."""
        return WIDTH * self.column.metric + self.column.statistic


@dataclass(frozen=True)
class SentRow:
    """One row of the 45 columns, and the samples it was made of.

    Attributes:
        values: 45 floats in the catalogue's units.
        sent: metric index -> samples of names with a column, in the order sent.
        changes: metric index -> a change over hours, in the metric's unit, and its sample.
        factors: names of :data:`SHARES` -> divisor that gives ratios.
        unclear: names whose unit is unknown: the value is too large for a ratio and unlikely as a percent, and no other
            name decides.
    """

    values: list[float]
    sent: Mapping[int, list[Sent]]
    changes: Mapping[int, tuple[float, Sent]] = field(default_factory=dict)
    factors: Mapping[str, float] = field(default_factory=dict)
    unclear: frozenset[str] = frozenset()

    def level(self, metric: int) -> Sent | None:
        """The sample with the newest value of a metric: its feature ``value``, else its own name, else a short one."""
        told = [one for one in self.sent.get(metric, ()) if one.column.statistic == VALUE]
        return min(told, key=lambda one: (one.column.bare, one.column.short), default=None)


def sent_row(samples: Iterable[Sample], series: Mapping[str, Series], now: datetime) -> SentRow:
    """The row of the newest samples.

    Args:
        samples: the newest sample of each name.
        series: name -> all samples, of the names with several.
        now: time of samples without one.
    """
    told: dict[int, list[Sent]] = {}
    known: list[tuple[Sample, Column]] = []
    shares: dict[str, Sequence[float]] = {}
    for sample in samples:
        column = COLUMNS.get(sample.name)
        if column is not None:
            known.append((sample, column))
        elif sample.name in SHARES:
            shares[sample.name] = series[sample.name].values.tolist() if sample.name in series else [sample.value]
    units = _factors(known, series, shares)
    factors = {name: units[name] for name in shares if name in units}
    unclear = shares.keys() - factors.keys()
    for sample, column in known:
        factor = 1.0 if column.statistic == PCT_CHANGE else units.get((column.metric, column.short))
        if factor is None:
            unclear.add(sample.name)
            continue
        one = Sent(sample.name, sample.value, column, factor, sample.time or now)
        told.setdefault(column.metric, []).append(one)

    values = list(ENGINE_DEFAULT) * len(ENGINE_METRICS)
    changes: dict[int, tuple[float, Sent]] = {}
    for metric, names in told.items():
        row = SentRow(values, {metric: names})
        level = row.level(metric)
        first = WIDTH * metric
        if level is not None and (level.column.bare or len(names) < WIDTH):
            values[first : first + WIDTH] = statistics_of(level, series.get(level.name))
        for one in names:
            if one.column.statistic >= 0 and not one.column.bare:
                values[one.index] = _clipped(one.value / one.factor)
            elif one.column.statistic < 0:
                changes[metric] = (_clipped(one.value / one.factor), one)
        if metric in changes and level is not None and changes[metric][1].column.hours < 0.1:
            _set_lag(values, first, changes[metric][0], names)
    return SentRow(values, told, changes, factors, frozenset(unclear))


def _set_lag(values: list[float], first: int, change: float, names: list[Sent]) -> None:
    """Derive the lag from a change over five minutes, unless the lag itself was sent."""
    if all(one.column.statistic != LAG_5 for one in names):
        values[first + LAG_5] = values[first + VALUE] - change


def _factors(
    known: list[tuple[Sample, Column]], series: Mapping[str, Series], shares: Mapping[str, Sequence[float]]
) -> dict[Unit, float]:
    """Divisor of each unit: 100 for percent, 1 for the rest; units that are unclear are missing.

    All names of a metric have one unit. Changes decide it only where there is no level: a level of 80 with a change of
    1.5 is percent.
    """
    levels: dict[tuple[int, bool], list[float]] = {}
    others: dict[tuple[int, bool], list[float]] = {}
    for sample, column in known:
        group = (column.metric, column.short)
        if column.statistic == PCT_CHANGE:
            continue
        wanted = others if column.statistic < 0 or column.statistic in CHANGES else levels
        found = wanted.setdefault(group, [])
        if sample.name in series:
            found.extend(series[sample.name].values.tolist())
        else:
            found.append(sample.value)
    ratios: dict[Unit, Sequence[float]] = {}
    ratios.update(shares.items())
    for group in (*levels, *others):
        if ENGINE_METRICS[group[0]].unit == "ratio":
            ratios[group] = levels.get(group) or others[group]
    percent, unclear = in_percent(ratios, may_pass_one=[(MEMORY, False)])
    unclear -= {(MEMORY, True)}
    units: list[Unit] = [*shares, *levels, *others]
    return {unit: PERCENT_TO if unit in percent else 1.0 for unit in units if unit not in unclear}


def statistics_of(level: Sent, series: Series | None) -> list[float]:
    """(9,) The statistics of a metric, computed from one name's samples, in the metric's unit."""
    minutes = None if series is None else _minutes(series) / level.factor
    if minutes is not None and np.isfinite(minutes).sum() >= MIN_MINUTES and np.isfinite(minutes[-2]):
        return [float(one) for one in nine_statistics(minutes[np.newaxis])]
    value = _clipped(level.value / level.factor)
    nine = [0.0 if i in CHANGES else value for i in range(WIDTH)]
    if minutes is not None and np.isfinite(minutes[0]):
        nine[LAG_5] = _clipped(float(minutes[0]))
    return nine


def _minutes(series: Series) -> Floats:
    """(6,) Samples of the last six minutes up to the newest one, oldest first; NaN is a gap."""
    age = (series.times[-1] - series.times).astype("timedelta64[us]").astype(np.int64) / 1e6
    minute = np.rint(age / MINUTE).astype(np.int64)
    recent = minute < HISTORY
    grid = np.full(HISTORY, np.nan)
    grid[HISTORY - 1 - minute[recent]] = series.values[recent]
    return grid


def _clipped(value: float) -> float:
    return max(-LIMIT, min(LIMIT, value))
