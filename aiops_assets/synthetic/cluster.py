"""Seeded, healthy metrics of a whole cluster: the same seed, days and end give the same bytes on every machine.

What a forecaster has to tell apart is in it: a daily and a weekly season, a demand that wanders for hours around
them, noise of minutes, work at fixed hours (a backup, the rotation of logs) and at none (batch jobs, a clean-up of
disks). The metrics belong together: traffic drives CPU time at once, memory within hours and disks by what it
leaves there. So none of the baselines (the last value, the value a day before, the median of a day) is right, and
each has some skill.
"""

from itertools import accumulate

import numpy as np
import pandas as pd

from aiops_assets.errors import DataError
from aiops_assets.synthetic.seasons import sine_table
from aiops_assets.timeseries.catalog import COARSE_STEP_SECONDS
from aiops_assets.timeseries.series import DAY_SECONDS, Floats

STEPS_A_DAY = DAY_SECONDS // COARSE_STEP_SECONDS
STEPS_A_WEEK = 7 * STEPS_A_DAY
STEPS_AN_HOUR = 3600 // COARSE_STEP_SECONDS

WEEKEND_HOURS = (-8, 10, 44, 58)
"""From Saturday's begin: demand falls from Friday 16:00 to Saturday 10:00, and is back on Monday at 10:00."""
CLEANUP_SHARE = 0.9
"""Used share of the disks at which somebody cleans up, whatever has grown there."""


def generate_cluster(days: int, end: pd.Timestamp, seed: int) -> pd.DataFrame:
    """A healthy cluster over the ``days`` before ``end``, every five minutes.

    Args:
        days: at least 1.
        end: UTC midnight; the first instant that is not generated any more.
        seed: any non-negative integer.

    Returns:
        ``timestamp`` (UTC) and the metrics of ``FORECAST_METRICS`` in their units, (days * 288) rows, no gaps.

    Raises:
        DataError: ``days`` is below 1.
    """
    if days < 1:
        raise DataError(f"days={days}: a series needs at least one day", code="no_day", days=days)
    step = pd.Timedelta(seconds=COARSE_STEP_SECONDS)
    times = pd.date_range(end - pd.Timedelta(days=days), end, freq=step, inclusive="left", unit="us")
    start = times[0]
    slot = start.day_of_week * STEPS_A_DAY + np.arange(len(times))  # of the week, which begins on Monday
    rng = np.random.default_rng([seed, days, 5])

    demand = _demand(rng, slot)
    network_in, network_out = _network(rng, demand, slot)
    traffic = network_in / network_in.mean()
    return pd.DataFrame(
        {
            "timestamp": times,
            "cpu_usage": _cpu(rng, traffic).round(6),
            "memory_usage": _memory(rng, traffic).round(6),
            "disk_usage": _disk(rng, traffic, slot).round(6),
            "network_in": network_in.round(3),
            "network_out": network_out.round(3),
        }
    )


def _demand(rng: np.random.Generator, slot: np.ndarray) -> Floats:
    """(n,) about 1: what users ask for, by the time of day and week, and by how the day goes."""
    day, half = sine_table(STEPS_A_DAY), sine_table(STEPS_A_DAY // 2)
    phase, second = rng.integers(0, STEPS_A_DAY, size=2)
    high, low = rng.uniform(0.30, 0.45), rng.uniform(0.06, 0.14)
    season = 1.0 + high * day[(slot + phase) % STEPS_A_DAY] + low * half[(slot + second) % len(half)]
    wander = _autoregressive(rng, len(slot), hours=3.0, spread=rng.uniform(0.07, 0.11))
    return season * _weekend(slot, rng.uniform(0.7, 0.85)) * np.maximum(1.0 + wander, 0.2)


def _weekend(slot: np.ndarray, least: float) -> Floats:
    """(n,) 1 on working days, ``least`` at weekends, and in between a slope."""
    saturday = 5 * STEPS_A_DAY
    edges = [saturday + hour * STEPS_AN_HOUR for hour in WEEKEND_HOURS]
    since_friday = (slot - edges[0]) % STEPS_A_WEEK + edges[0]
    return np.interp(since_friday, edges, [1.0, least, least, 1.0]).round(9)


def _network(rng: np.random.Generator, demand: Floats, slot: np.ndarray) -> tuple[Floats, Floats]:
    """(n,) and (n,) bytes/s in and out: demand, the minutes' own noise, bursts of batch jobs, and a nightly backup."""
    n = len(demand)
    noise = _autoregressive(rng, n, hours=0.5, spread=0.04) + 0.08 * rng.standard_normal(n)
    received = demand * np.maximum(1.0 + noise, 0.1)
    received += _bursts(rng, n, a_day=5.0, height=0.45)
    backup, length = rng.integers(0, STEPS_A_DAY), rng.integers(6, 13)
    sent = received * np.maximum(1.0 + 0.04 * rng.standard_normal(n), 0.1)
    sent += rng.uniform(0.6, 1.2) * ((slot - backup) % STEPS_A_DAY < length)
    sent += _bursts(rng, n, a_day=2.0, height=0.4)
    level = rng.uniform(60e3, 400e3)
    return level * received, level * rng.uniform(0.6, 1.6) * sent


def _cpu(rng: np.random.Generator, traffic: Floats) -> Floats:
    """(n,) cores a container: some of its own, most by the traffic of the last minutes."""
    noise = _autoregressive(rng, len(traffic), hours=0.5, spread=0.04) + 0.06 * rng.standard_normal(len(traffic))
    idle, busy = rng.uniform(0.02, 0.05), rng.uniform(0.06, 0.2)
    return (idle + busy * _smoothed(traffic, steps=2.0)) * np.maximum(1.0 + noise, 0.1)


def _memory(rng: np.random.Generator, traffic: Floats) -> Floats:
    """(n,) 0-1: a level that grows a little each day, and caches that follow the traffic of the last hours."""
    n = len(traffic)
    noise = _autoregressive(rng, n, hours=0.5, spread=0.012) + 0.012 * rng.standard_normal(n)
    growth = rng.uniform(0.003, 0.012) * np.arange(n) / STEPS_A_DAY
    caches = rng.uniform(0.15, 0.3) * (_smoothed(traffic, steps=3.0 * STEPS_AN_HOUR) - 1.0)
    level = rng.uniform(0.12, 0.35)
    return np.minimum(level * (1.0 + np.minimum(growth, 1.0) + caches + noise), 1.0)


def _disk(rng: np.random.Generator, traffic: Floats, slot: np.ndarray) -> Floats:
    """(n,) 0-1: data that stay until somebody cleans up, logs that are rotated each day, files that come and go."""
    kept, daily = rng.uniform(0.004, 0.009), rng.uniform(0.015, 0.03)  # shares of the disk that a day writes
    rotation = rng.integers(0, STEPS_A_DAY)
    base = rng.uniform(0.45, 0.6)
    data, logs, most = 0.0, 0.0, rng.uniform(0.02, 0.05)
    used = np.empty(len(traffic))
    for i, written in enumerate(traffic.tolist()):
        data += kept * written / STEPS_A_DAY
        logs += daily * written / STEPS_A_DAY
        if slot[i] % STEPS_A_DAY == rotation:
            logs *= 0.15
        if data > most or base + data + logs > CLEANUP_SHARE:
            data, most = 0.2 * data, rng.uniform(0.02, 0.05)
        used[i] = base + data + logs
    files = _autoregressive(rng, len(traffic), hours=0.3, spread=0.002) + 0.004 * rng.standard_normal(len(traffic))
    return used + files


def _bursts(rng: np.random.Generator, n: int, a_day: float, height: float) -> Floats:
    """(n,) jobs that begin at any time, of five minutes to half an hour, and ``height`` on average."""
    begins = np.flatnonzero(rng.random(n) < a_day / STEPS_A_DAY)
    total = np.zeros(n)
    for begin, length, high in zip(
        begins,
        rng.integers(1, STEPS_AN_HOUR // 2 + 1, size=len(begins)),
        height * rng.exponential(1.0, size=len(begins)),
        strict=True,
    ):
        total[begin : begin + length] += high
    return total


def _autoregressive(rng: np.random.Generator, n: int, hours: float, spread: float) -> Floats:
    """(n,) AR(1) noise of that standard deviation, which forgets two thirds within ``hours``."""
    kept = 1.0 - 1.0 / (hours * STEPS_AN_HOUR)
    shocks = spread * rng.standard_normal(n)
    shocks[1:] *= (1.0 - kept * kept) ** 0.5
    return np.array(list(accumulate(shocks.tolist(), lambda before, shock: kept * before + shock)))


def _smoothed(values: Floats, steps: float) -> Floats:
    """(n,) exponential mean of what was, over about so many steps."""
    share = 1.0 / steps
    return np.array(list(accumulate(values.tolist(), lambda before, now: before + share * (now - before))))
