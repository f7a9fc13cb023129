"""Simulated metrics that reach 1, with the true time, and such as never do: steps of five minutes out of a seed."""

from collections.abc import Callable

import numpy as np
import pandas as pd

from aiops_assets.timeseries.history import History
from aiops_assets.timeseries.series import Floats

DAY = 288
FAR = 20 * DAY
Rng = np.random.Generator


def history(values: Floats, step_seconds: int = 300) -> History:
    """NaN is where no sample is."""
    times = pd.date_range("2026-03-02", periods=len(values), freq=f"{step_seconds}s", tz="UTC", name="timestamp")
    known = np.isfinite(values)[:, None]
    return History(("m",), times, np.where(known, values[:, None], 0.0), known, step_seconds)


def daily(steps: Floats, rng: Rng) -> Floats:
    return np.sin(2 * np.pi * (steps / DAY + rng.uniform()))


def leak(rng: Rng, power: float = 1.0, swing: float = 0.0, memory: float = 0.0) -> tuple[Floats, float]:
    """A leak of 2 to 8 hours after quiet days, in noise; the true hours until 1 is reached.

    Args:
        rng: what is not given is drawn from it.
        power: of time since the leak began; below 1 it flattens.
        swing: of a day, to each side.
        memory: how much of the noise goes on into the next step, 0 to below 1.
    """
    quiet, hours = int(rng.uniform(2.2, 4) * DAY), rng.uniform(2, 8)
    known = quiet + int(hours * 12)
    reach, base = hours * rng.uniform(1.5, 4), rng.uniform(0.3, 0.5)
    steps = np.arange(known + FAR, dtype=np.float64)
    truth = base + (1 - base) * (np.maximum(steps - quiet, 0) / 12 / reach) ** power + swing * daily(steps, rng)
    return _cut(truth, known, rng.uniform(0.003, 0.02), rng, memory)


def filling(rng: Rng) -> tuple[Floats, float]:
    """A disk that fills over days, with what a day does to it."""
    known = int(rng.uniform(2, 8) * DAY)
    steps = np.arange(known + FAR, dtype=np.float64)
    now = rng.uniform(0.5, 0.8)
    truth = now + (1 - now) * (steps - known) / 12 / rng.uniform(24, 300) + 0.02 * daily(steps, rng)
    return _cut(truth, known, rng.uniform(0.001, 0.01), rng)


def _cut(truth: Floats, known: int, spread: float, rng: Rng, memory: float = 0.0) -> tuple[Floats, float]:
    from scipy.signal import lfilter

    reached = int(np.argmax(truth[known:] >= 1)) + known
    part = (1 - truth[reached - 1]) / (truth[reached] - truth[reached - 1])
    noise = lfilter([1], [1, -memory], rng.normal(0, spread, known))
    return truth[:known] + noise, float(reached - known + part) / 12


def stairs(rng: Rng) -> tuple[Floats, float]:
    """A disk that gets a file of some hours at once, such as rotated logs."""
    known = int(rng.uniform(3, 8) * DAY)
    every = int(rng.uniform(2, 12) * 12)
    steps = np.arange(known + FAR)
    now, rate = rng.uniform(0.5, 0.8), 1 / 12 / rng.uniform(48, 300)
    heights = rng.uniform(0.7, 1.3, len(steps) // every + 1).cumsum() * every
    truth = now + (1 - now) * rate * (heights[steps // every] - heights[known // every])
    return _cut(truth, known, rng.uniform(0.0005, 0.003), rng)


def sawtooth(rng: Rng, irregular: float = 0.0) -> tuple[Floats, float]:
    """A disk that fills while deletes, twice to six times a day, take back most of what was written.

    Args:
        rng: what is not given is drawn from it.
        irregular: how much the times between deletes differ, as a share of their mean.
    """
    known = int(rng.uniform(3, 8) * DAY)
    every, kept = int(rng.uniform(4, 12) * 12), rng.uniform(0.2, 0.5)
    steps = np.arange(known + FAR)
    now = rng.uniform(0.5, 0.75)
    net = (1 - now) / 12 / rng.uniform(48, 300)
    apart = every * rng.uniform(1 - irregular, 1 + irregular, len(steps) // int(every * (1 - irregular)) + 1)
    deletes = np.concatenate([[0], np.cumsum(apart.astype(np.int64))])
    newest = deletes[np.searchsorted(deletes, steps, side="right") - 1]
    truth = net * (newest + (steps - newest) / kept)
    return _cut(now + truth - truth[known], known, rng.uniform(0.0005, 0.003), rng)


def restarted(rng: Rng) -> tuple[Floats, float]:
    """A leak that restarts have ended at some height, several times, and that runs again for some hours."""
    rate, base = 1 / 12 / rng.uniform(12, 48), rng.uniform(0.2, 0.4)
    lives = [int(length * 12) for length in rng.uniform(4, 10, int(rng.integers(4, 9)))]
    age = np.concatenate([np.arange(length, dtype=np.float64) for length in (*lives, FAR)])
    known = sum(lives) + int(rng.uniform(2, 6) * 12)
    return _cut(base + (1 - base) * rate * age, known, rng.uniform(0.002, 0.01), rng)


def settling(rng: Rng) -> tuple[Floats, float]:
    """A leak after quiet days that approaches a level above the limit exponentially."""
    quiet, hours = int(rng.uniform(2.2, 4) * DAY), rng.uniform(3, 10)
    base, above = rng.uniform(0.3, 0.5), rng.uniform(1.5, 3)
    steps = np.arange(quiet + int(hours * 12) + FAR, dtype=np.float64)
    scale = hours * rng.uniform(1.5, 4)
    truth = base + (1 - base) * above * -np.expm1(-np.maximum(steps - quiet, 0) / 12 / scale)
    first = int(np.argmax(truth >= 1))
    known = min(quiet + int(hours * 12), quiet + int(0.6 * (first - quiet)))
    return _cut(truth, known, rng.uniform(0.003, 0.01), rng)


SIMULATED: dict[str, Callable[[Rng], tuple[Floats, float]]] = {
    "linear leak": leak,
    "leak on a daily swing": lambda rng: leak(rng, swing=0.05),
    "flattening leak": lambda rng: leak(rng, power=rng.uniform(0.6, 0.95)),
    "accelerating leak": lambda rng: leak(rng, power=rng.uniform(1.1, 1.8)),
    "settling leak": settling,
    "leak with restarts": restarted,
    "disk": filling,
    "disk in stairs": stairs,
    "disk with deletes": sawtooth,
    "leak in noise with a long memory": lambda rng: leak(rng, memory=0.9),
    "disk with deletes at irregular times": lambda rng: sawtooth(rng, irregular=0.3),
}


def teeth(rng: Rng) -> Floats:
    """A disk that deletes empty as far as it was filled."""
    every = int(rng.uniform(3, 12) * 12)
    steps = np.arange(int(rng.uniform(2.2, 7) * DAY)) + int(rng.integers(every))
    return np.asarray(rng.uniform(0.3, 0.5) + 0.2 * (steps % every) / every + rng.normal(0, 0.005, len(steps)))


def settled(rng: Rng) -> Floats:
    """Memory that has approached its level since a start, such as a cache that is full."""
    hours = np.arange(int(rng.uniform(0.5, 4) * DAY)) / 12
    return np.asarray(0.7 - 0.4 * np.exp(-hours / hours[-1] * rng.uniform(4, 10)) + rng.normal(0, 0.005, len(hours)))


def swinging(rng: Rng, least_days: float = 2.2, most_days: float = 7) -> Floats:
    """A daily swing that stays where it is."""
    steps = np.arange(int(rng.uniform(least_days, most_days) * DAY), dtype=np.float64)
    return 0.5 + rng.uniform(0.05, 0.2) * daily(steps, rng) + rng.normal(0, 0.02, len(steps))


def falling(rng: Rng) -> Floats:
    steps = np.arange(int(rng.uniform(0.5, 4) * DAY))
    return 0.8 - 0.3 * steps / len(steps) + rng.normal(0, 0.01, len(steps))


def white_noise(rng: Rng) -> Floats:
    return rng.normal(0.5, 0.05, int(rng.uniform(12, 3 * DAY)))


def random_walk(rng: Rng) -> Floats:
    return 0.2 + np.cumsum(rng.normal(0, 0.002, 3 * DAY))
