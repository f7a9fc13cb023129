"""Peers that are a few lines of numpy: a running z-score and a rolling median, both online.

"Like" means re-made from a product's documentation, not the product.
"""

import numpy as np
import pandas as pd

from aiops_assets_tests.benchmarks.peers.series import Floats, Scores, Series

DAY = 86_400.0
SEEN_BEFORE_SCORING = 16
Z_THRESHOLD = 2.5
MAD_TO_SIGMA = 1.4826
# A metric that never moved has no deviation to divide by; one that then moves counts this much at most.
LARGEST_Z = 100.0


def online_z_score(series: Series) -> Scores:
    """Mean over metrics of |z| against mean and standard deviation of all earlier rows, which never stop learning.

    Like vmanomaly's online z-score without decay: fitted on the train rows, it takes in each test row after having
    scored it; an alert is a mean |z| above 2.5.
    """
    n_train = series.n_train
    # Around the train mean, because running sums of squares of large numbers lose what is small.
    centred = series.values - series.values[:n_train].mean(axis=0)
    learnt = np.maximum(np.arange(len(centred)), n_train)[:, np.newaxis]
    mean = _learnt_sums(centred, n_train) / learnt
    variance = _learnt_sums(centred**2, n_train) / learnt - mean**2
    score = _z(centred - mean, np.sqrt(np.maximum(variance, 0.0))).mean(axis=1)
    return Scores(score, score > Z_THRESHOLD)


def rolling_median(series: Series) -> Scores:
    """The null model: mean over metrics of the distance to the last day's median, in median absolute deviations."""
    window, least = series.rows(DAY, least=SEEN_BEFORE_SCORING), SEEN_BEFORE_SCORING
    values = pd.DataFrame(series.values)
    distance = values - values.rolling(window, min_periods=least).median().shift(1)
    deviation = distance.abs().rolling(window, min_periods=least).median().shift(1) * MAD_TO_SIGMA
    score = _z(distance.fillna(0.0).to_numpy(), deviation.fillna(np.inf).to_numpy()).mean(axis=1)
    return Scores(score)


def _learnt_sums(values: Floats, n_train: int) -> Floats:
    """Of all train rows and the earlier test rows, for each row."""
    sums = np.cumsum(values, axis=0) - values
    sums[:n_train] = values[:n_train].sum(axis=0)
    return sums


def _z(distance: Floats, deviation: Floats) -> Floats:
    """|distance| in deviations, at most ``LARGEST_Z``; no distance is 0 whatever the deviation."""
    size = np.abs(distance)
    quotient = size / np.maximum(deviation, 1e-12)
    return np.where(size < 1e-9, 0.0, np.minimum(quotient, LARGEST_Z))
