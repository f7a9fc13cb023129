"""Time to exhaustion of all that can run out: disks of nodes, volumes, memory limits of pods, quotas.

Most of them are far from their limit or do not grow. Arithmetic on all of them at once finds those that may, and only
these are estimated, the most urgent first and at most so many a run.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from aiops_assets.datasets.capacity import KINDS, MEMORY, Capacity
from aiops_assets.datasets.newest import STALE, NewestWindow
from aiops_assets.datasets.workloads import name_of_workload
from aiops_assets.errors import DataError
from aiops_assets.outlook.exhaustion import HORIZON_HOURS, Exhaustion, exhaustion_of
from aiops_assets.storage.scores import EXHAUSTION_COLUMNS, no_exhaustion
from aiops_assets.timeseries.catalog import POD_MEMORY
from aiops_assets.timeseries.history import STEP_SECONDS
from aiops_assets.timeseries.pod_identity import split_pod
from aiops_assets.timeseries.series import Floats

Values = npt.NDArray[np.floating[Any]]
MOST_ESTIMATES = 100
"""An estimate takes less than 0.1 s of CPU."""
LEAST_USAGE = 0.1
STEPS_AN_HOUR = 3600 // STEP_SECONDS
DAY = 24 * STEPS_AN_HOUR
SPANS_HOURS = (1, 3, 6, 12)
"""Growth is looked for over these spans, against the same hours of the day before where there are any."""
SPREADS, MIN_CHANGES = 4.0, 6
"""Growth of less than so many median distances of such changes is taken for noise, where so many are known."""
FASTER = 3.0
"""A thing is estimated if it would reach its limit within the horizon growing so many times as fast as it has."""
FULL_HOURS, HALF = 24, 0.5
"""What has been at its limit for so long, with samples of half of it, is a state that people know and no prediction."""


@dataclass(frozen=True)
class Exhausting:
    """The estimates of a run.

    Attributes:
        rows: :data:`~aiops_assets.storage.scores.EXHAUSTION_COLUMNS`, one a thing that is estimated to run out.
        watched: kind -> how many things have a used share.
        postponed: how many more might run out than are estimated in one run.
    """

    rows: pd.DataFrame
    watched: Mapping[str, int]
    postponed: int


def exhausting(window: NewestWindow, now: datetime, most: int = MOST_ESTIMATES) -> Exhausting:
    """Estimates for all of a window that may reach its limit within two weeks.

    Args:
        window: the newest window.
        now: present time; what has no sample of the newest hour is gone, or nothing is known of it.
        most: how many estimates are made at most, the most urgent first.
    """
    capacities = [*window.capacities, *_memory(window)]
    ranked: list[tuple[float, Capacity, int]] = []
    for one in capacities:
        hours = hours_at_most(one.values)
        recent = np.asarray(one.times > pd.Timestamp(now) - STALE)
        hours[~np.isfinite(one.values[:, recent]).any(axis=1)] = np.inf
        ranked += [(float(hours[i]), one, int(i)) for i in np.flatnonzero(hours <= HORIZON_HOURS)]
    ranked.sort(key=lambda candidate: candidate[0])
    found = list(_estimates(window, ranked[:most]))
    rows = pd.DataFrame(found, columns=list(EXHAUSTION_COLUMNS)) if found else no_exhaustion()
    rows["timestamp"] = pd.to_datetime(rows["timestamp"], utc=True).dt.as_unit("us")
    watched = {kind: sum(len(one.labels) for one in capacities if one.kind == kind) for kind in KINDS}
    return Exhausting(rows, watched, max(len(ranked) - most, 0))


def hours_at_most(values: Values) -> Floats:
    """(n,) hours after which a thing may reach 1 at the earliest; infinite where nothing speaks for growth.

    Args:
        values: (n, n_rows) used shares every five minutes, NaN where there is no sample.
    """
    n, n_rows = values.shape
    hours = np.full(n, np.inf)
    now = _level(values, n_rows)
    for span in SPANS_HOURS:
        steps = span * STEPS_AN_HOUR
        usual = n_rows >= DAY + steps
        before = _level(values, n_rows - (DAY if usual else steps))
        _soonest(hours, values, now, before, span, DAY if usual else steps)
    days = (n_rows - STEPS_AN_HOUR) // DAY
    if days > 1:
        _soonest(hours, values, now, _level(values, n_rows - days * DAY), 24.0 * days, DAY)
    hours[now < LEAST_USAGE] = np.inf
    hours[now >= 1] = 0.0
    newest = values[:, -FULL_HOURS * STEPS_AN_HOUR :]
    hours[~(newest < 1).any(axis=1) & (np.isfinite(newest).mean(axis=1) > HALF)] = np.inf
    return hours


def _soonest(hours: Floats, values: Values, now: Floats, before: Floats, span: float, apart: int) -> None:
    """Lower ``hours`` to what growth since ``before``, within ``span`` hours, would lead to."""
    growth = now - before
    noise = _spread(values, apart)
    rate = FASTER * growth / span
    with np.errstate(divide="ignore", invalid="ignore"):
        reached = np.where((growth > SPREADS * noise) & (rate > 0), (1 - now) / rate, np.inf)
    np.copyto(hours, np.fmin(hours, reached))


def _level(values: Values, stop: int) -> Floats:
    """(n,) median of the half hour before a row; NaN without a sample."""
    part = values[:, max(stop - STEPS_AN_HOUR // 2, 0) : stop]
    return _median(part)


def _spread(values: Values, apart: int) -> Floats:
    """(n,) median distance of changes over so many rows from their median, an hour after the other: what is usual."""
    hourly = values[:, values.shape[1] % STEPS_AN_HOUR :: STEPS_AN_HOUR]
    back = max(apart // STEPS_AN_HOUR, 1)
    changes = hourly[:, back:] - hourly[:, :-back]
    if changes.shape[1] < MIN_CHANGES:
        return np.zeros(len(values))
    return np.nan_to_num(_median(np.abs(changes - _median(changes)[:, None])))


def _median(values: Values) -> Floats:
    """(n,) medians of what is known; NaN where nothing is, without a warning."""
    ordered = np.sort(values, axis=1)
    known = np.isfinite(values).sum(axis=1)
    middle = np.maximum(known - 1, 0) // 2
    if not values.shape[1]:
        return np.full(len(values), np.nan)
    result: Floats = np.where(known > 0, ordered[np.arange(len(values)), middle], np.nan)
    return result


def _estimates(window: NewestWindow, ranked: list[tuple[float, Capacity, int]]) -> Iterator[dict[str, object]]:
    for _, one, i in ranked:
        try:
            found = exhaustion_of(one.values[i].astype(np.float64), STEP_SECONDS, one.kind)
        except DataError:  # too few samples
            continue
        if found.hours is not None:
            yield _row(window, one, i, found)


def _row(window: NewestWindow, one: Capacity, i: int, found: Exhaustion) -> dict[str, object]:
    known = np.flatnonzero(np.isfinite(one.values[i]))
    latest = np.nan if found.latest_hours is None else found.latest_hours * 3600
    row: dict[str, object] = {**dict.fromkeys(EXHAUSTION_COLUMNS, ""), **one.labels[i]}
    if one.kind == MEMORY:
        pod = str(row["pod"])
        row["namespace"], row["pod"] = split_pod(pod)
        row["workload"] = name_of_workload(pod, window.workloads.get(pod, ""))
    assert found.hours is not None
    assert found.earliest_hours is not None
    return row | {
        "timestamp": one.times[known[-1]],
        "kind": one.kind,
        "usage": found.now,
        "seconds": found.hours * 3600,
        "lower": found.earliest_hours * 3600,
        "upper": latest,
    }


def _memory(window: NewestWindow) -> Iterator[Capacity]:
    """Memory of pods as a share of their limits."""
    if window.pods is None:
        return
    pods, column = window.pods, window.pods.column(POD_MEMORY.name)
    # A day at a time, and of single precision: those of 5,000 pods are 50 MB.
    values = np.empty((len(pods.pods), len(pods.times)), dtype=np.float32)
    for begin in range(0, len(pods.times), DAY):
        values[:, begin : begin + DAY] = column[:, begin : begin + DAY]
    yield Capacity(MEMORY, tuple({"pod": pod} for pod in pods.pods), pods.times, values)
