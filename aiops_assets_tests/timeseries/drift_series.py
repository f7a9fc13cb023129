"""Metrics of simulated clusters whose drift is known: stationary in many shapes, then moved or widened by hand."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from aiops_assets.timeseries.drift_profile import Integers
from aiops_assets.timeseries.series import DAY_SECONDS, Floats

Rng = np.random.Generator
START = 1_790_553_600
"""A Monday, 2026-09-28."""


@dataclass(frozen=True)
class Simulated:
    """One metric: level + season + noise, in units of the noise's standard deviation times ``unit``.

    Attributes:
        seconds: (n,) Unix time.
        season: (n,) what repeats, with the level.
        noise: (n,) stationary, of standard deviation 1.
        unit: scale of the values.
    """

    seconds: Integers
    season: Floats
    noise: Floats
    unit: float = 1.0

    def values(self, since: int | None = None, *, shift: float = 0.0, width: float = 1.0) -> Floats:
        """(n,) the metric; from ``since`` on shifted by so many deviations of the noise, which is so much wider."""
        moved = self.seconds >= since if since is not None else np.zeros(len(self.seconds), dtype=bool)
        noise = np.where(moved, width * self.noise + shift, self.noise)
        return np.asarray(self.unit * (self.season + noise))


def autoregressive(rng: Rng, n: int, step_seconds: int, minutes: float) -> Floats:
    """(n,) noise of deviation 1 that forgets two thirds within so many minutes."""
    from scipy.signal import lfilter

    kept = np.exp(-step_seconds / 60 / minutes)
    shocks = rng.standard_normal(n) * np.sqrt(1 - kept**2)
    shocks[0] /= np.sqrt(1 - kept**2)
    return np.asarray(lfilter([1.0], [1.0, -kept], shocks))


def heavy(rng: Rng, n: int) -> Floats:
    """(n,) Student's t with 3 degrees of freedom, of deviation 1."""
    return np.asarray(rng.standard_t(3, n) / np.sqrt(3))


def counts(rng: Rng, n: int, mean: float) -> Floats:
    """(n,) Poisson counts around their mean, of deviation 1."""
    return np.asarray((rng.poisson(mean, n) - mean) / np.sqrt(mean))


NOISES: dict[str, Callable[[Rng, int, int], Floats]] = {
    "independent": lambda rng, n, step: rng.standard_normal(n),
    "10 minutes": lambda rng, n, step: autoregressive(rng, n, step, 10),
    "30 minutes": lambda rng, n, step: autoregressive(rng, n, step, 30),
    "1 hour": lambda rng, n, step: autoregressive(rng, n, step, 60),
    "3 hours": lambda rng, n, step: autoregressive(rng, n, step, 180),
    "heavy tails": lambda rng, n, step: heavy(rng, n),
    "skewed": lambda rng, n, step: rng.exponential(1.0, n) - 1.0,
    "counts": lambda rng, n, step: counts(rng, n, 1.0),
    "rare counts": lambda rng, n, step: counts(rng, n, 0.02),
}


def simulated(
    rng: Rng,
    noise: str,
    days: int,
    step_seconds: int = 300,
    *,
    day: float = 3.0,
    week: float = 0.0,
    level: float = 20.0,
    unit: float = 1.0,
    start: int = START,
) -> Simulated:
    """A metric of ``days`` days from ``start`` on.

    Args:
        rng: source of chance.
        noise: one of :data:`NOISES`.
        days: length.
        step_seconds: distance of samples.
        day, week: height of the daily season, and by how much weekends are lower, in deviations of the noise.
        level: of everything, in the same unit.
        unit: scale of the values.
        start: a UTC midnight.
    """
    n = days * DAY_SECONDS // step_seconds
    seconds = start + np.arange(n, dtype=np.int64) * step_seconds
    hour = (seconds % DAY_SECONDS) / 3600
    season = level + day * np.sin(2 * np.pi * (hour - rng.uniform(0, 24)) / 24)
    season += 0.3 * day * np.sin(4 * np.pi * (hour - rng.uniform(0, 24)) / 24)
    season -= week * weekends(seconds)
    return Simulated(seconds, season, NOISES[noise](rng, n, step_seconds), unit)


def weekends(seconds: npt.NDArray[np.int64]) -> Floats:
    """(n,) 1 from Saturday's begin to Sunday's end, UTC."""
    return np.asarray((seconds // DAY_SECONDS + 3) % 7 >= 5, dtype=np.float64)
