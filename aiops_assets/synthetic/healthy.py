"""Healthy rows of the 45 columns, as the coordination engine's contract describes them."""

from collections.abc import Mapping

import numpy as np

from aiops_assets.timeseries.catalog import (
    ENGINE_METRICS,
    NODE_CPU,
    NODE_MEMORY,
    POD_CPU,
    POD_MEMORY,
    RESTARTS,
)
from aiops_assets.timeseries.features import HISTORY, nine_statistics
from aiops_assets.timeseries.series import Floats

HEALTHY_LEVELS = {
    NODE_CPU.name: (0.2, 0.6),
    NODE_MEMORY.name: (0.35, 0.7),
    POD_CPU.name: (0.02, 0.5),
    POD_MEMORY.name: (0.2, 0.7),
}
HEALTHY_NOISE = (0.005, 0.05)
MAX_HEALTHY_RESTARTS = 20


def healthy_rows(n: int, seed: int) -> Floats:
    """(n, 45) healthy rows as the coordination engine's contract describes them.

    Levels and minute-to-minute noise (0.5-5 % of the level) are drawn for each row and metric; restarts are
    any constant count. They come from another generator than the training data on purpose.
    """
    return rows_of(healthy_histories(n, np.random.default_rng([seed, 3])))


def healthy_histories(n: int, rng: np.random.Generator) -> dict[str, Floats]:
    """Metric -> (n, 6) samples a minute apart behind :func:`healthy_rows`."""
    histories = {}
    for metric, (low, high) in HEALTHY_LEVELS.items():
        level = rng.uniform(low, high, (n, 1))
        histories[metric] = level * (1 + rng.uniform(*HEALTHY_NOISE, (n, 1)) * rng.standard_normal((n, HISTORY)))
    counts = rng.integers(0, MAX_HEALTHY_RESTARTS + 1, (n, 1)).astype(np.float64)
    histories[RESTARTS.name] = np.repeat(counts, HISTORY, axis=1)
    return histories


def rows_of(histories: Mapping[str, Floats]) -> Floats:
    """The 45 columns of n histories of six samples: metric -> (n, 6) gives (n, 45)."""
    return np.concatenate([nine_statistics(histories[m.name][:, np.newaxis]) for m in ENGINE_METRICS], axis=-1)
