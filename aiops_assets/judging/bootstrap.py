"""How much of a difference between two models is luck: a paired block bootstrap.

Rows of one block (a day of a pod, half a day of forecast origins) are alike, so whole blocks are drawn anew, and both
models are judged on each draw (Kuensch, "The jackknife and the bootstrap for general stationary observations", 1989).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from aiops_assets.timeseries.series import Floats

REPLICATES = 400
OUTSIDE_SHARE = 0.05
"""Probability of a value outside a 95 % interval, on both sides together; a gate looks at the bad side alone."""

Flags = npt.NDArray[np.bool_]
Blocks = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Difference:
    """Challenger minus opponent, and the 95 % interval of it that the draws give."""

    value: float
    low: float
    high: float


def drawn_weights(n_blocks: int, seed: int) -> Floats:
    """How often each draw takes each block, (n_draws, n_blocks); the first is the hold-out as it is, each once."""
    weights = np.ones((REPLICATES + 1, n_blocks))
    if n_blocks:
        rng = np.random.default_rng([seed, 4])
        weights[1:] = rng.multinomial(n_blocks, np.full(n_blocks, 1 / n_blocks), size=REPLICATES)
    return weights


def difference(draws: Floats, n_blocks: int) -> Difference | None:
    """The first draw is the value; the others are the noise, of ``n_blocks`` blocks that bear on it.

    Percentiles as they are give too narrow an interval for few blocks. They are moved out by the factor that
    Student's t gives a mean of as many ("expanded percentile interval": Hesterberg, "What teachers should know about
    the bootstrap", The American Statistician 69, 2015, section 5.3).
    """
    from scipy.stats import norm, t

    if not len(draws) or not np.isfinite(draws[0]):
        return None
    n = max(n_blocks, 2)
    tail = 100 * norm.cdf(t.ppf(OUTSIDE_SHARE / 2, n - 1) * np.sqrt(n / (n - 1)))
    low, high = np.nanpercentile(draws, (tail, 100 - tail))
    return Difference(value=float(draws[0]), low=float(low), high=float(high))


def block_means(values: Floats, blocks: Blocks, weights: Floats) -> Floats:
    """Mean under each draw: (n_draws,)."""
    n_blocks = weights.shape[1]
    total = weights @ np.bincount(blocks, weights=values, minlength=n_blocks)
    count = weights @ np.bincount(blocks, minlength=n_blocks).astype(np.float64)
    result: Floats = np.divide(total, count, out=np.full(len(weights), np.nan), where=count > 0)
    return result


def block_shares(flags: Flags, among: Flags, blocks: Blocks, weights: Floats) -> Floats:
    """Share of flagged rows among some, under each draw: (n_draws,)."""
    n_blocks = weights.shape[1]
    flagged = weights @ np.bincount(blocks[flags & among], minlength=n_blocks).astype(np.float64)
    of = weights @ np.bincount(blocks[among], minlength=n_blocks).astype(np.float64)
    result: Floats = np.divide(flagged, of, out=np.full(len(weights), np.nan), where=of > 0)
    return result
