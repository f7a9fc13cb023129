"""Seeded, healthy series of pods: the same seed and end give the same bytes on every machine.

The shapes are ADR-052's (CPU: sine, daily and weekly season, noise; memory: trend and daily season;
restarts: Poisson; network: sine and bursts), per minute, in the units of the catalogue. Pods differ in
level, noise and phase, and each has surroundings of its own (its node columns): a model that saw one
smooth sine calls every other healthy pod an anomaly.
"""

import numpy as np
import pandas as pd

from aiops_assets.errors import DataError
from aiops_assets.synthetic.lives import Grid
from aiops_assets.synthetic.pod_changes import change_pod
from aiops_assets.synthetic.seasons import DAY_MINUTES, WEEK_MINUTES, sine_table
from aiops_assets.timeseries.catalog import (
    NETWORK_RECEIVE,
    NODE_CPU,
    NODE_MEMORY,
    POD_CPU,
    POD_MEMORY,
    RESTARTS,
)
from aiops_assets.timeseries.series import Floats, PodSeries

# Levels that healthy pods have, a little wider than the ranges the engine's judge draws from.
LEVELS = {
    NODE_CPU.name: (0.18, 0.62),
    NODE_MEMORY.name: (0.33, 0.72),
    POD_CPU.name: (0.015, 0.52),
    POD_MEMORY.name: (0.18, 0.72),
    NETWORK_RECEIVE.name: (20e3, 2e6),
}
NOISE = (0.005, 0.06)
"""Standard deviation from minute to minute as a share of the level."""
RESTARTS_PER_MINUTE = 0.01 / 5
"""ADR-052's Poisson rate of 0.01 belongs to its 5-minute samples."""
MAX_EARLIER_RESTARTS = 22
DECIMALS = {NETWORK_RECEIVE.name: 3}
"""Decimals to which values are rounded, where it is not six."""


def generate(n_pods: int, days: int, end: pd.Timestamp, seed: int) -> PodSeries:
    """Healthy series of ``n_pods`` pods over the ``days`` before ``end``.

    Args:
        n_pods: at least 1.
        days: at least 1; the grid has ``days * 1440`` minutes.
        end: UTC midnight; the first minute that is not generated any more.
        seed: any non-negative integer.

    Returns:
        the metrics of ``SYNTHETIC_METRICS``, each of shape (n_pods, 1, n_minutes), all minutes normal.

    Raises:
        DataError: an argument is out of its range.
    """
    if n_pods < 1 or days < 1:
        raise DataError(f"n_pods={n_pods}, days={days}: a series needs at least one pod and one day")
    grid = Grid.of(days, end)
    times, minute_of_week = grid.times, grid.week
    rng = np.random.default_rng([seed, n_pods, days])

    # Season and trend as shares of the level: amplitude of the day, of the week, drift over the window.
    values = {
        NODE_CPU.name: _seasonal(rng, NODE_CPU.name, n_pods, minute_of_week, day=0.10, week=0.04),
        NODE_MEMORY.name: _seasonal(rng, NODE_MEMORY.name, n_pods, minute_of_week, day=0.03, drift=0.05),
        POD_CPU.name: _seasonal(rng, POD_CPU.name, n_pods, minute_of_week, day=0.15, week=0.05),
        POD_MEMORY.name: _seasonal(rng, POD_MEMORY.name, n_pods, minute_of_week, day=0.03, drift=0.05),
        RESTARTS.name: _restarts(rng, n_pods, len(times)),
        NETWORK_RECEIVE.name: _network(rng, n_pods, minute_of_week),
    }
    changes = np.random.default_rng([seed, n_pods, days, 10])
    for pod in range(n_pods):
        change_pod(changes, {name: array[pod] for name, array in values.items()}, grid)
    for name, array in values.items():
        ratio = name in (NODE_CPU.name, NODE_MEMORY.name)
        np.clip(array, 0.0, 1.0 if ratio else None, out=array)
        np.round(array, DECIMALS.get(name, 6), out=array)
    return PodSeries(
        times=times,
        pods=tuple(f"synthetic-{i:03d}" for i in range(n_pods)),
        values={name: array[:, np.newaxis] for name, array in values.items()},
        kind=np.zeros((n_pods, len(times)), dtype=np.int8),
    )


def _seasonal(
    rng: np.random.Generator,
    metric: str,
    n_pods: int,
    minute_of_week: np.ndarray,
    *,
    day: float = 0.0,
    week: float = 0.0,
    drift: float = 0.0,
) -> Floats:
    """Level x (1 + season + drift + noise): (n_pods, n_minutes), rounded to six decimals."""
    level = _spread(rng, n_pods, *LEVELS[metric])[:, np.newaxis]
    noise = _spread(rng, n_pods, *NOISE)[:, np.newaxis]
    shape = np.asarray(noise * rng.standard_normal((n_pods, len(minute_of_week))), dtype=np.float64)
    shape += 1.0
    for amplitude, period in ((day, DAY_MINUTES), (week, WEEK_MINUTES)):
        if amplitude:
            phase = rng.integers(0, period, size=n_pods)[:, np.newaxis]
            shape += amplitude * sine_table(period)[(minute_of_week + phase) % period]
    if drift:
        slope = rng.uniform(-drift, drift, size=n_pods)[:, np.newaxis]
        shape += slope * np.arange(len(minute_of_week)) / len(minute_of_week)
    shape *= level
    return np.asarray(np.maximum(shape, 0.0).round(6), dtype=np.float64)


def _restarts(rng: np.random.Generator, n_pods: int, n_minutes: int) -> Floats:
    """Cumulative counts: whole numbers, (n_pods, n_minutes)."""
    before = rng.integers(0, MAX_EARLIER_RESTARTS + 1, size=(n_pods, 1))
    return (before + rng.poisson(RESTARTS_PER_MINUTE, (n_pods, n_minutes)).cumsum(axis=1)).astype(float)


def _network(rng: np.random.Generator, n_pods: int, minute_of_week: np.ndarray) -> Floats:
    """Seasonal traffic with short bursts of about its own size in one minute of a hundred."""
    traffic = _seasonal(rng, NETWORK_RECEIVE.name, n_pods, minute_of_week, day=0.3)
    bursts = rng.random(traffic.shape) < 0.01
    traffic[bursts] *= 1.0 + rng.exponential(1.0, size=int(bursts.sum()))
    return np.round(traffic, 3)


def _spread(rng: np.random.Generator, n: int, low: float, high: float) -> Floats:
    """n values that cover [low, high] evenly in random order: few pods leave no hole in the range."""
    return np.asarray(low + (high - low) * (rng.permutation(n) + rng.random(n)) / n, dtype=np.float64)
