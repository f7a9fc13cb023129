"""ECOD and COPOD of a row that joins the train rows alone: how far it is in the tails of each metric.

Formulas: Li et al., "ECOD", TKDE 2022; Li et al., "COPOD", ICDM 2020, as PyOD 3 computes them.
"""

import numpy as np

from aiops_assets_tests.benchmarks.peers.series import Floats


def tail_scores(train: Floats, values: Floats, name: str) -> Floats:
    """(n_rows,) the score of each row of ``values`` as if it were the only one beside the train rows.

    Args:
        train: (n_train, n_metrics)
        values: (n_rows, n_metrics)
        name: ``ECOD`` takes the larger tail of a metric, ``COPOD`` the mean of both; either one takes the tail
            on the side to which the metric is skewed where that says more.
    """
    total = np.zeros(len(values))
    for metric in range(train.shape[1]):
        learnt, asked = np.sort(train[:, metric]), values[:, metric]
        left = -np.log((np.searchsorted(learnt, asked, side="right") + 1) / (len(learnt) + 1))
        right = -np.log((len(learnt) - np.searchsorted(learnt, asked, side="left") + 1) / (len(learnt) + 1))
        skewness = _skewness_with(learnt, asked)
        skewed = left * (skewness <= 0) + right * (skewness >= 0)
        both = np.maximum(left, right) if name == "ECOD" else (left + right) / 2
        total += np.maximum(both, skewed)
    return total


def _skewness_with(train: Floats, values: Floats) -> Floats:
    """(n_rows,) skewness of the train values and one more; 0 where nothing moves."""
    n, centre = len(train) + 1, train.mean()
    added = values - centre
    first, second, third = ((((train - centre) ** power).sum() + added**power) / n for power in (1, 2, 3))
    variance = second - first**2
    moment = third - 3 * first * second + 2 * first**3
    known = variance > (np.finfo(np.float64).eps * np.maximum(np.abs(centre + first), 1e-300)) ** 2
    return np.where(known, moment / np.where(known, variance, 1.0) ** 1.5, 0.0)
