"""Peers that are somebody's library, with the library's defaults, fitted on the train rows."""

import warnings
from importlib import import_module

import numpy as np

from aiops_assets_tests.benchmarks.peers.series import Floats, Method, Scores, Series
from aiops_assets_tests.benchmarks.peers.tails import tail_scores

SEED = 42
ROWS_COMPARED = 5


def documents_forest(series: Series) -> Scores:
    """scikit-learn's Isolation Forest over raw metrics, contamination .03: the documents' anomaly-detector."""
    from sklearn.ensemble import IsolationForest

    model = IsolationForest(contamination=0.03, random_state=SEED).fit(series.values[: series.n_train])
    score = -model.decision_function(series.values)
    return Scores(score, score > 0)


def kmeans_windows(series: Series) -> Scores:
    """aeon's KMeansAD; a row's score is that of the window that ends with it.

    aeon itself gives a row the mean over all windows that hold it, also over those that end up to 19 rows later:
    of no use to an alert that has to be raised now. Metrics are standardised, or the largest unit decides alone.
    """
    from aeon.anomaly_detection.series.distance_based import KMeansAD

    values = _standardised(series)
    model = KMeansAD(random_state=SEED)
    model.fit(values[: series.n_train], axis=0)
    size = model.window_size
    padded = np.concatenate([np.repeat(values[:1], size - 1, axis=0), values])
    windows = np.lib.stride_tricks.sliding_window_view(padded, size, axis=0)
    score = np.empty(len(values))
    for begin in range(0, len(values), 2000):
        rows = windows[begin : begin + 2000].transpose(0, 2, 1).reshape(-1, size * values.shape[1])
        score[begin : begin + 2000] = model.estimator_.transform(rows).min(axis=1)
    return Scores(score)


def pyod_forest(series: Series) -> Scores:
    """PyOD's IForest over the raw metrics, with its own alert: the ``contamination`` of .1 of the train rows."""
    from pyod.models.iforest import IForest

    model = IForest(random_state=SEED).fit(series.values[: series.n_train])
    score = np.asarray(model.decision_function(series.values))
    return Scores(score, score > model.threshold_)


def pyod_tails(name: str) -> Method:
    """PyOD's ECOD or COPOD over the raw metrics, with its own alert as above, read one row at a time.

    Their ``decision_function`` ranks a row among the train rows and *all* rows that it is given, also later ones.
    A call for each row would take hours, so ``tail_scores`` says what such calls say; some are made, to make sure.
    """

    def scored(series: Series) -> Scores:
        # Both say that the skewness of a metric which hardly moves is not to be relied on.
        warnings.filterwarnings("ignore", "Precision loss", RuntimeWarning)
        model = getattr(import_module(f"pyod.models.{name.lower()}"), name)()
        model.fit(series.values[: series.n_train])
        test = series.values[series.n_train :]
        score = np.concatenate([model.decision_scores_, tail_scores(model.X_train, test, name)])
        for row in np.linspace(0, len(test) - 1, ROWS_COMPARED).astype(int):
            alone = float(model.decision_function(test[[row]])[0])
            if not np.isclose(alone, score[series.n_train + row], rtol=1e-3):
                raise ValueError(f"PyOD's {name} gives row {row} {alone}, not {score[series.n_train + row]}")
        return Scores(score, score > model.threshold_)

    return scored


def half_space_trees(series: Series) -> Scores:
    """river's HalfSpaceTrees, fitted on the train rows; a test row is learnt after it was scored.

    It expects values of 0 to 1: each metric is scaled to its range in the train rows.
    """
    from river.anomaly import HalfSpaceTrees

    train = series.values[: series.n_train]
    low, high = train.min(axis=0), train.max(axis=0)
    scaled = (series.values - low) / np.where(high > low, high - low, 1.0)
    samples = [dict(enumerate(row)) for row in scaled.tolist()]
    model = HalfSpaceTrees(seed=SEED)
    for sample in samples[: series.n_train]:
        model.learn_one(sample)
    score = np.empty(len(samples))
    for row, sample in enumerate(samples):
        score[row] = model.score_one(sample)
        if row >= series.n_train:
            model.learn_one(sample)
    return Scores(score)


def _standardised(series: Series) -> Floats:
    train = series.values[: series.n_train]
    deviation = train.std(axis=0)
    scaled: Floats = (series.values - train.mean(axis=0)) / np.where(deviation > 0, deviation, 1.0)
    return scaled
