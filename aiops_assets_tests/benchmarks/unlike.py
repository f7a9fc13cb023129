"""A second generator of fleets for the page rule, unlike ``aiops_assets.synthetic`` in its shapes.

Pods of a workload are of unequal size, as leaders and followers are. Days have two humps, noise is skewed, jobs repeat
every few hours, backups are triangles of uneven length, campaigns double the load of a workload for hours, and
roll-outs change the memory. The page rule was not tuned on it.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from aiops_assets.learners.fleet.signals import POD_SIGNALS
from aiops_assets.synthetic.lives import Episode
from aiops_assets.timeseries.series import Floats

Minutes = np.ndarray[Any, np.dtype[np.int64]]
STEP = 5
DAY = 1440 // STEP
CPU, MEMORY, RESTARTS, NETWORK = range(4)
MOST_USED = 0.95
KINDS = ("cpu_spike", "restart_storm", "network_burst", "crash_loop", "memory_leak")
LENGTHS = {
    "cpu_spike": (3, 6),
    "restart_storm": (4, 12),
    "network_burst": (3, 6),
    "crash_loop": (24, 25),
    "memory_leak": (14, 60),
}
"""Rows that an incident lasts: least, and one more than most."""


def unlike_fleet(
    pods: int, days: int, end: pd.Timestamp, seed: int, incidents: int = 0, first_day: int = 0
) -> tuple[pd.DataFrame, list[Episode]]:
    """Rows of a fleet every five minutes, and its incidents: ``incidents`` of each kind, from a day on.

    Returns:
        ``minute``, ``timestamp``, ``entity``, ``workload`` and the columns of ``POD_SIGNALS``, by time; and episodes
        whose begin and end are minutes.
    """
    rng = np.random.default_rng([seed, 77])
    parts: list[Floats] = []
    names: list[tuple[str, str]] = []
    while len(names) < pods:  # pods that were replaced count, too
        workload = f"unlike/w{len(parts)}"
        for i, values in enumerate(_workload(rng, days, (end - pd.Timedelta(days=days)).dayofweek)):
            names.append((f"{workload}-{i}", workload))
            parts.append(values)
    series = np.stack(parts)
    episodes = list(_strike(np.random.default_rng([seed, 78]), series, names, incidents, first_day * DAY))
    return _rows(series, names, end - pd.Timedelta(days=days)), episodes


def _rows(series: Floats, names: list[tuple[str, str]], begin: pd.Timestamp) -> pd.DataFrame:
    steps, which = np.nonzero(np.isfinite(series).any(axis=2).T)
    frame = pd.DataFrame(series[which, steps], columns=[one.name for one in POD_SIGNALS])
    entities, workloads = (np.array([name[i] for name in names], dtype=object)[which] for i in (0, 1))
    minutes = steps * STEP
    times = begin + pd.to_timedelta(minutes, unit="min")
    return frame.assign(minute=minutes, timestamp=times, entity=entities, workload=workloads)


def _workload(rng: np.random.Generator, days: int, weekday: int) -> Iterator[Floats]:
    """(n_rows, 4) of each pod that ever lives in a workload, NaN where it does not."""
    n = days * DAY
    at = np.arange(n)
    hour, day = at % DAY / 12, (at // DAY + weekday) % 7
    humps = np.exp(-(((hour - 10.5) / 2.5) ** 2)) + 0.8 * np.exp(-(((hour - 19.0) / 2.0) ** 2))
    load = 1 + rng.uniform(0, 1.2) * humps * np.where(day >= 5, rng.uniform(0.3, 1.0), 1.0)
    load *= np.exp(_slow(rng, n, rng.uniform(6, 48), rng.uniform(0.02, 0.1)))
    for begin in _some(rng, 0.05 * days, n):  # campaigns: an hour's ramp up, then down
        length = int(rng.integers(12, 48))
        ramp = np.minimum(1, np.minimum(np.arange(1, length + 1), np.arange(length, 0, -1)) / rng.integers(2, 12))
        load[begin : begin + length] *= 1 + rng.uniform(0.4, 1.2) * ramp[: n - begin]
    jobs, traffic = _habits(rng, at, day)
    cpu, network = np.exp(rng.normal(-2.5, 1.0)), np.exp(rng.normal(11.0, 2.0))
    memory, warm, teeth = rng.uniform(0.2, 0.75), rng.uniform(4, 24), rng.choice([0.0, 0.0, 0.05, 0.1])
    changes = [0, *_some(rng, float(rng.choice([0.0, 0.05, 0.15])) * days, n)]
    sizes = np.exp(rng.normal(0, 0.7, int(rng.choice([1, 2, 3, 3, 5]))))
    for begin, until in zip(changes, [*changes[1:], n], strict=True):
        memory = float(np.clip(memory * np.exp(rng.normal(0, 0.08)), 0.1, 0.8))
        for size in sizes:
            life = slice(begin, min(until, n))
            m = life.stop - begin
            if m < 1:
                continue
            age = np.arange(m) if begin else np.arange(m) + 1000
            used = load[life] * rng.gamma(60, 1 / 60, m) + jobs[life] * rng.uniform(0.8, 1.2)
            used[rng.random(m) < 0.05 / DAY] *= rng.uniform(3, 8)  # one row alone
            moved = load[life] * (1 + traffic[life]) * rng.gamma(20, 1 / 20, m)
            moved[rng.random(m) < 0.05 / DAY] *= rng.uniform(3, 8)
            held = memory * (1 - 0.5 * np.exp(-age / warm)) * (1 + 0.02 * (load[life] - 1))
            held = held + memory * (teeth * (age / 20 % 1 - 0.5) + _slow(rng, m, 30, 0.006))
            pod = np.full((n, 4), np.nan)
            started = rng.uniform(0.2, 1.0) * np.exp(-age / 1.5) if begin else np.zeros(m)
            counted = np.cumsum(rng.random(m) < 0.01 / DAY)
            pod[life] = np.stack([cpu * size * used + started, held, counted, network * size * moved], axis=1)
            yield pod


def _habits(rng: np.random.Generator, at: Minutes, day: Minutes) -> tuple[Floats, Floats]:
    """Jobs of CPU every few hours, and backups of each day or week, as factors of the usual level."""
    jobs, traffic = np.zeros(len(at)), np.zeros(len(at))
    if rng.random() < 0.25:
        every, phase = int(rng.choice([24, 48, 96, 144, 288])), int(rng.integers(288))
        for begin in range(phase, len(at), every):
            length = int(rng.integers(2, 6))
            jobs[begin : begin + length] += rng.uniform(1.5, 5.0)
    if rng.random() < 0.2:
        weekly, hour, height = rng.random() < 0.4, int(rng.integers(DAY)), rng.uniform(4, 15)
        the_day = int(rng.integers(7))
        for planned in np.flatnonzero((at % DAY == hour) & ((day == the_day) | (not weekly))).tolist():
            begin, half = planned + int(rng.integers(0, 3)), int(rng.integers(2, 9))
            shape = height * (1 - np.abs(np.arange(1 - half, half)) / half)
            traffic[begin : begin + len(shape)] += shape[: max(len(at) - begin, 0)]
    return jobs, traffic


def _strike(
    rng: np.random.Generator, series: Floats, names: list[tuple[str, str]], count: int, first: int
) -> Iterator[Episode]:
    """Write incidents into the series, at most one a pod and day."""
    taken: set[tuple[int, int]] = set()
    for kind in KINDS:
        left = count
        while left:
            pod, length = int(rng.integers(len(series))), int(rng.integers(*LENGTHS[kind]))
            begin = int(rng.integers(max(first, DAY), series.shape[1] - 80))
            values = series[pod, begin : begin + length]
            free = not any((pod, begin // DAY + i) in taken for i in (-1, 0, 1))
            if not free or not np.isfinite(series[pod, begin - DAY // 2 : begin + length + 1, 0]).all():
                continue
            if kind == "memory_leak" and values[0, MEMORY] > 0.75:
                continue
            taken.add((pod, begin // DAY))
            usual = np.median(series[pod, begin - DAY // 2 : begin], axis=0)
            if kind == "cpu_spike":
                values[:, CPU] += max(usual[CPU] * rng.uniform(4, 10), 0.3)
            elif kind == "network_burst":
                values[:, NETWORK] += usual[NETWORK] * rng.lognormal(2.0, 0.6, length)
            elif kind == "memory_leak":
                values[:, MEMORY] += (MOST_USED - values[0, MEMORY]) * np.linspace(0, 1, length)
            else:
                counted = rng.poisson(3, length).cumsum() if kind == "restart_storm" else np.arange(1, length + 1)
                values[:, RESTARTS] += counted
                series[pod, begin + length :, RESTARTS] += counted[-1]
            left -= 1
            yield Episode(kind, names[pod][0], begin * STEP, (begin + length) * STEP, harmless=False)


def _slow(rng: np.random.Generator, n: int, rows: float, spread: float) -> Floats:
    """(n,) noise that forgets within so many rows: white noise under an exponential window."""
    window = np.exp(-np.arange(int(4 * rows)) / rows)
    noise = np.convolve(rng.standard_normal(n + len(window)), window)[len(window) : len(window) + n]
    return np.asarray(spread * noise / np.sqrt((window**2).sum()))


def _some(rng: np.random.Generator, expected: float, n: int) -> list[int]:
    return sorted(rng.integers(12, n, int(rng.poisson(expected))).tolist())
