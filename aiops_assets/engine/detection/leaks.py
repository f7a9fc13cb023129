"""Findings about memory and disks that rise towards their end: within the hour, or, with hours of samples, later."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from aiops_assets.engine.detection.findings import Finding, Kind, shown
from aiops_assets.engine.detection.limits import FILLING, usual_of
from aiops_assets.engine.detection.own_history import HUGE, MIN_SAMPLES, newest_time
from aiops_assets.engine.detection.sent_row import MEMORY, VALUE, WIDTH, SentRow
from aiops_assets.engine.prediction.leaks import LEAK_WINDOWS, RHYTHM_HOURS, hours_known, newest_leak
from aiops_assets.engine.prediction.lines import level_of
from aiops_assets.engine.prediction.sent_histories import histories_of
from aiops_assets.engine.samples import FORECASTED, MEANINGS, PERCENT_TO, Series, unit_factor
from aiops_assets.outlook.cycles import MIN_TREND_ROWS
from aiops_assets.outlook.limits import LIMITS
from aiops_assets.timeseries.series import Floats

RISING_FROM = 0.05
"""Least rise of a leak, as a share of the limit per hour: a pod that is nearly full and hardly grows has no leak."""
LEAKED = 0.1
"""Least share of the limit that a steady rise must have used for full memory to be called a leak."""
KINDS: Mapping[str, Kind] = {
    "pod_memory_usage": "memory_leak",
    "memory_usage_percent": "memory_leak",
    "node_memory_utilization": "node_pressure",
    "cluster_memory_usage": "node_pressure",
    "disk_usage": "disk_full",
    "disk_usage_percent": "disk_full",
}
"""Metrics that grow until they are full -> kind of the anomaly."""
WINDOWS, TREND_HOURS, TREND_SURE, STILL = (72, 36, 18), 0.25, 0.99, 0.5
"""A rise is looked for in so many of the newest samples, which span at least so many hours. It counts if it is
significant with this probability and if the newer half has this share of it: what warms up slows down."""
QUARTERS, MIN_RISE = 4, 0.03
"""A slow rise is looked at where the newest quarter of the samples is so much above each of the others."""
SOON_EXCESS, LATER_EXCESS = 2.0, 1.0
SOON_HOURS, MAX_HOURS = 8.0, 168.0
"""Hours until it is full: up to the first a leak is an anomaly without days of samples, after the second never."""


def leak_of_change(row: SentRow) -> list[Finding]:
    """The finding about a pod's memory whose reported change fills it within the hour."""
    level = row.level(MEMORY)
    if level is None or MEMORY not in row.changes:
        return []
    change, trend = row.changes[MEMORY]
    per_hour = change / trend.column.hours
    reached = row.values[WIDTH * MEMORY + VALUE] + per_hour
    if per_hour < RISING_FROM or reached < FILLING.bound:
        return []
    reason = (
        f"{trend.name} is {shown(trend.value, trend.factor)}, at a level of {shown(level.value, level.factor)}: "
        f"{FILLING.why}."
    )
    limit = (FILLING.bound - row.values[WIDTH * MEMORY + VALUE]) * trend.column.hours * trend.factor
    excess = FILLING.excess(reached)
    return [
        Finding(FILLING.metric, trend.name, trend.value, 0.0, trend.time, FILLING.kind, excess, reason, "limits", limit)
    ]


def with_leaks(found: Sequence[Finding], series: Mapping[str, Series]) -> list[Finding]:
    """The findings, those about leaks added; memory that is full is a leak, too, if its samples rise steadily."""
    result = list(found)
    for one in series.values():
        meaning = MEANINGS.get(one.name)
        metric = one.name if meaning is None else meaning.metric.name
        if metric not in KINDS or len(one.values) < MIN_SAMPLES or np.abs(one.values).max() > HUGE:
            continue
        factor = PERCENT_TO if one.name.endswith("_percent") else unit_factor("ratio", one.values.tolist())
        values = one.values / factor
        rise = rise_per_hour(one) / factor
        if rise >= RISING_FROM and float(np.ptp(values)) >= LEAKED:
            result = [
                replace(f, kind="memory_leak") if f.kind == "memory_saturation" and f.metric == metric else f
                for f in result
            ]
        leak = _fast(one, metric, factor, rise) or _line(one, metric, factor) or _slow(one, metric, factor)
        if leak is not None:
            result.append(leak)
    return result


def rise_per_hour(series: Series) -> float:
    """The significant and lasting rise of the newest samples per hour, in their unit; 0 where there is none.

    The lower confidence bound of the Theil-Sen slope, the largest of several windows that end now.
    """
    from scipy.stats import theilslopes

    best = 0.0
    for window in WINDOWS:
        values, times = series.values[-window:], series.times[-window:]
        hours: Floats = (times - times[0]).astype("timedelta64[us]").astype(np.int64) / 3.6e9
        if len(values) < MIN_SAMPLES or hours[-1] < TREND_HOURS:
            continue
        slope, _, low, _ = theilslopes(values, hours, alpha=TREND_SURE)
        newer = slice(len(values) // 2, None)
        if low > best and float(theilslopes(values[newer], hours[newer])[0]) >= STILL * slope:
            best = float(low)
        if len(values) <= window // 2:
            break
    return best


def _fast(one: Series, metric: str, factor: float, rise: float) -> Finding | None:
    level = float(one.values[-1]) / factor
    full = LIMITS[metric].full
    if rise < RISING_FROM or level + rise < full:
        return None
    reason = (
        f"{one.name} is {shown(float(one.values[-1]), factor)} and rises by {rise * factor:.3g} an hour, by the slope "
        f"of its newest samples: at this rate it reaches {full * factor:g} within the hour."
    )
    return _finding(one, metric, factor, FILLING.excess(level + rise), reason)


def _line(one: Series, metric: str, factor: float) -> Finding | None:
    """A line of what does not swing with the hours of a day, and is full within hours by it."""
    limit = LIMITS[metric]
    level = level_of(one.values / factor, one.times)
    if limit.swings or level.samples < MIN_SAMPLES or level.slope * level.window_hours < MIN_RISE:
        return None
    hours = (limit.full - level.level) / level.slope
    if not 0 < hours <= min(SOON_HOURS, LEAK_WINDOWS * level.window_hours):
        return None
    reason = (
        f"{one.name} is {shown(float(one.values[-1]), factor)} and rises by {level.slope * factor:.3g} an hour: it "
        f"reaches {limit.full * factor:g} in about {hours:.1f} h."
    )
    return _finding(one, metric, factor, SOON_EXCESS, reason)


def _slow(one: Series, metric: str, factor: float) -> Finding | None:
    values = one.values / factor
    quarters = [float(np.median(part)) for part in np.array_split(values, QUARTERS)]
    if one.name not in FORECASTED or quarters[-1] < max(quarters[:-1]) + MIN_RISE:
        return None
    ((history, _),) = histories_of({one.name: one})
    column = FORECASTED[one.name]
    if history.known[:, history.metrics.index(column)].sum() < MIN_TREND_ROWS:
        return None
    leak = newest_leak(history, column)
    if leak is None or not leak.hours or leak.hours > MAX_HOURS:
        return None
    known = hours_known(history, column)
    if known < RHYTHM_HOURS and leak.hours > min(SOON_HOURS, known):
        return None  # it may be a part of a daily swing
    named = replace(leak, metric=one.name)
    reason = f"{one.name} is {shown(float(one.values[-1]), factor)} and keeps rising: {named.in_words()}."
    return _finding(one, metric, factor, SOON_EXCESS if leak.hours <= SOON_HOURS else LATER_EXCESS, reason)


def _finding(one: Series, metric: str, factor: float, excess: float, reason: str) -> Finding:
    limit = LIMITS[metric]
    usual = usual_of(one.name, {one.name: one}, limit.alert * factor, limit.typical * factor)
    value = float(one.values[-1])
    return Finding(
        metric, one.name, value, usual, newest_time(one), KINDS[metric], excess, reason, "history of the request",
        limit.full * factor,
    )  # fmt: skip
