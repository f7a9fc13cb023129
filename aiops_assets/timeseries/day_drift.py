"""Whether the newest day of a metric is still like the days that a model was trained on.

PSI and the Kolmogorov-Smirnov distance say how far the ranks of the newest day (:mod:`drift_profile`) lie from those of
training. PSI is close to Pearson's chi-squared over n, whose first orthogonal components are a shift and a change of
width: Neyman's smooth tests (1937; Rayner, Thas and Best, "Smooth Tests of Goodness of Fit", 2009), here of normal
scores. These two and the distance are compared with limits that the training days themselves give. So each metric has
three tests, all metrics of a cluster share one error rate (Bonferroni), and what is significant but small is no drift.
"""

from dataclasses import dataclass
from math import log, sqrt
from statistics import NormalDist

import numpy as np

from aiops_assets.timeseries.drift_profile import SCORE_VARIANCE, Integers, Profile, scores_of
from aiops_assets.timeseries.series import DAY_SECONDS, Floats

MOVED_PSI = 0.05
"""Less is not worth a word: a shift by a standard deviation comes to 0.9, a doubled variance to 0.15."""
ERROR_RATE = 0.001
"""Of all tests of a cluster at one look. Looks overlap, so that a month of them is less than the sum of its looks: what
it comes to is measured by ``python -m aiops_assets_tests.benchmarks.drift``."""
LINGERING = 0.7
"""Share of its limit down to which a drift that has begun goes on: a trend that crosses the limit is one drift."""
TESTS = 3
BINS = 10
MIN_SHARE = 0.5
"""Share of a day's samples that a comparison needs."""


@dataclass(frozen=True)
class MetricDrift:
    """How far the newest day of a metric lies from training.

    Attributes:
        psi: population stability index of the ranks, in ten bins.
        ks: Kolmogorov-Smirnov distance, 0-1.
        shift: mean score minus that of training: about the shift in standard deviations of the residuals, -2 to 2.
        width: mean squared score over that of training: doubled variance is about 1.6.
        strength: the largest of the three tests' figures, over its limit.
        coverage: share of the day's samples that were compared.
    """

    psi: float
    ks: float
    shift: float
    width: float
    strength: float
    coverage: float

    @property
    def drifted(self) -> bool:
        """Whether it is more than chance, and large enough to matter."""
        return self.weight > 1.0

    @property
    def lingers(self) -> bool:
        """Whether a drift that has begun goes on."""
        return self.weight >= LINGERING

    @property
    def weight(self) -> float:
        """The strength, or 0 where too little has moved to matter."""
        return self.strength if self.psi >= MOVED_PSI else 0.0


def day_drift(profile: Profile, seconds: Integers, values: Floats, metrics: int) -> MetricDrift | None:
    """Compare a day with a profile; ``None`` where too little of it can be compared.

    Args:
        profile: the metric in training.
        seconds: (n,) Unix time of samples of at most 24 hours.
        values: (n,) metric's unit; NaN: no sample.
        metrics: how many metrics are compared at this look.
    """
    used = np.isfinite(values) & profile.knows(seconds)
    a_day = DAY_SECONDS // profile.step_seconds
    coverage = float(used.sum()) / a_day
    if coverage < MIN_SHARE:
        return None
    ranks, trained = profile.ranks(seconds[used], values[used]), profile.trained_ranks
    new, old = scores_of(ranks), scores_of(trained)
    shift = float(new.mean() - old.mean())
    width, usual = (float(np.mean(some**2)) for some in (new, old))
    distance = _distance(trained, ranks)
    rate = ERROR_RATE / (TESTS * metrics)
    limit = _limit(rate, profile.freedom) / sqrt(min(coverage, 1.0))
    strengths = (
        abs(shift) / (limit * profile.shift_deviation),
        abs(_cube_root(width, usual)) / (limit * profile.width_deviation),
        distance / (_distance_limit(rate) * limit * profile.shift_deviation),
    )
    return MetricDrift(
        _index(trained, ranks), distance, shift, width / usual if usual else 1.0, max(strengths), coverage
    )


def _cube_root(width: float, usual: float) -> float:
    """A difference of mean squares that is near normal (Wilson and Hilferty 1931): they themselves are skewed."""
    return 3 * usual * ((width / usual) ** (1 / 3) - 1) if usual else width


def _index(trained: Floats, ranks: Floats) -> float:
    """PSI in ten bins of ranks; empty bins count as half a sample."""
    edges = np.arange(1, BINS) / BINS
    p, q = (
        np.maximum(np.bincount(np.searchsorted(edges, some, side="right"), minlength=BINS), 0.5) / len(some)
        for some in (trained, ranks)
    )
    return float(np.sum((p - q) * np.log(p / q)))


def _distance(trained: Floats, ranks: Floats) -> float:
    """Largest distance of the two samples' distribution functions."""
    at = np.sort(np.concatenate([trained, ranks]))
    one, other = (np.searchsorted(np.sort(some), at, side="right") / len(some) for some in (trained, ranks))
    return float(np.abs(one - other).max())


def _limit(rate: float, freedom: float) -> float:
    """Two-sided limit of Student's t (Abramowitz and Stegun 26.7.5), in standard deviations."""
    z = NormalDist().inv_cdf(1 - rate / 2)
    return z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)


def _distance_limit(rate: float) -> float:
    """Limit of Kolmogorov's distance over that of a mean score, with as many independent samples behind both."""
    return sqrt(-log(rate / 2) / 2) / (NormalDist().inv_cdf(1 - rate / 2) * sqrt(SCORE_VARIANCE))
