"""Seeded series of many habits: what a forecaster meets on another cluster than the one that it was fitted on.

Each is a random mixture of what metrics are made of: a daily season of some shape and strength, a level that wanders
or jumps, noise with and without memory, spikes, and stretches in which nothing moves. No unit, no clock: seasons begin
at any time of day.
"""

import numpy as np

from aiops_assets.timeseries.series import Floats

HARMONICS = 3
MAX_JUMPS = 6
"""The level of a series (a fortnight is generated) jumps so many times at most."""


def varied_series(series: int, rows: int, day: int, seed: int) -> Floats:
    """(rows, series) float64 of size about 1, none below 0.

    Args:
        series: number of series.
        rows: number of rows of each series.
        day: number of rows in a day.
        seed: any non-negative integer.
    """
    rng = np.random.default_rng([seed, rows, day, 6])
    return np.stack([_one(rng, rows, day) for _ in range(series)], axis=1)


def _one(rng: np.random.Generator, rows: int, day: int) -> Floats:
    # Strengths over two decades, each part missing in some: from a clean season to a flat line with spikes.
    season, wander, jump, memory, noise, spike = 10 ** rng.uniform(-2.5, 0.0, 6) * (rng.random(6) < 0.6)
    values = season * _season(rng, rows, day) + wander * _wander(rng, rows, day) + jump * _jumps(rng, rows)
    values += memory * _ar(rng, rows, 10 ** rng.uniform(-1.0, 0.7) * day / 24) + noise * rng.standard_normal(rows)
    values += spike * rng.exponential(3.0, rows) * (rng.random(rows) < rng.uniform(0.0, 0.05))
    if rng.random() < 0.15:  # a job that runs at times, and nothing else
        values = np.where(_ar(rng, rows, day / 4) > rng.uniform(-0.5, 1.0), values, 0.0)
    values += rng.uniform(0.2, 2.0)
    return np.asarray(np.maximum(values, 0.0), dtype=np.float64)


def _season(rng: np.random.Generator, rows: int, day: int) -> Floats:
    """A day's shape that repeats, now and then weaker (weekends, holidays)."""
    phase = 2 * np.pi * (np.arange(rows) / day + rng.random())
    shape = sum(rng.normal() / k * np.sin(k * phase + rng.uniform(0, 2 * np.pi)) for k in range(1, HARMONICS + 1))
    strength = np.where(rng.random(rows // day + 2) < 0.2, rng.uniform(0.2, 1.0), 1.0)
    result: Floats = np.asarray(shape) * strength[np.arange(rows) // day]
    return result


def _wander(rng: np.random.Generator, rows: int, day: int) -> Floats:
    """A random walk that leaves about 1 in a day."""
    return np.asarray(rng.standard_normal(rows).cumsum() / np.sqrt(day), dtype=np.float64)


def _jumps(rng: np.random.Generator, rows: int) -> Floats:
    level = np.zeros(rows)
    for at in rng.integers(0, rows, rng.integers(0, MAX_JUMPS + 1)):
        level[at:] += rng.normal()
    return level


def _ar(rng: np.random.Generator, rows: int, memory: float) -> Floats:
    """Noise of variance 1 that forgets within ``memory`` rows (an AR(1) process)."""
    keep = float(np.exp(-1 / max(memory, 0.1)))
    values = rng.standard_normal(rows) * np.sqrt(1 - keep**2)
    for i in range(1, rows):
        values[i] += keep * values[i - 1]
    return np.asarray(values, dtype=np.float64)
