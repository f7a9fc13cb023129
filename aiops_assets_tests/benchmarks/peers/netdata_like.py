"""Like Netdata's anomaly rate, re-made from its documentation: many small k-means models a metric, all must agree.

Netdata works on one row a second; what it counts in rows or seconds is here counted so that a model still has
enough rows at one row in 1 to 60 minutes.
"""

from dataclasses import dataclass

import numpy as np

from aiops_assets_tests.benchmarks.peers.series import Flags, Floats, Scores, Series

SMOOTHED = 3
LAGS = 6
TRAINED_ON_SECONDS = 6 * 3600.0
TRAINED_ON_ROWS = 72
MODELS = 18
ITERATIONS = 50
BIT_ABOVE = 0.99
RATE_SECONDS = 300.0
RATE_ROWS = 3
NODE_RATE = 0.01


@dataclass(frozen=True)
class Clusters:
    """Two clusters for each metric, and how far from both the training rows were.

    Attributes:
        centres: (2, n_metrics, 6)
        nearest: (n_metrics,) the least mean distance to both centres of a training row.
        farthest: (n_metrics,) the largest.
    """

    centres: Floats
    nearest: Floats
    farthest: Floats

    def bits(self, features: Floats) -> Flags:
        """(n_rows, n_metrics) whether a row is as far from both centres as the farthest training row."""
        span = self.farthest - self.nearest
        beyond = np.abs(_mean_distance(features, self.centres) - self.nearest) > BIT_ABOVE * span
        return beyond & (span > 0)


def node_anomaly_rate(series: Series) -> Scores:
    """Share of metrics whose anomaly bit is set, over the last five minutes (three rows at least).

    A model is trained on each six hours (72 rows at least), every half of that; a bit needs the newest 18 models
    to agree, or those that there are. The alert is Netdata's: more than 1 % of the metrics.
    """
    features = _features(series.values)
    length = series.rows(TRAINED_ON_SECONDS, least=TRAINED_ON_ROWS)
    every = length // 2
    bits = np.zeros(series.values.shape, dtype=bool)
    models: list[Clusters] = []
    for begin in range(length, len(bits), every):
        models = [*models[-(MODELS - 1) :], fit(features[begin - length : begin])]
        chunk = features[begin : begin + every]
        bits[begin : begin + every] = np.logical_and.reduce([model.bits(chunk) for model in models])
    rate = _trailing_mean(bits.mean(axis=1), series.rows(RATE_SECONDS, least=RATE_ROWS))
    return Scores(rate, rate > NODE_RATE)


def fit(features: Floats) -> Clusters:
    """Lloyd's algorithm for all metrics at once; ``features`` is (n_rows, n_metrics, 6)."""
    first = _farthest_from(features, features.mean(axis=0))
    centres = np.stack([first, _farthest_from(features, first)])
    for _ in range(ITERATIONS):
        second = (_squared(features, centres[1]) < _squared(features, centres[0]))[:, :, np.newaxis]
        moved = centres.copy()
        for index, members in enumerate((~second, second)):
            count = members.sum(axis=0)
            mean = np.where(members, features, 0.0).sum(axis=0) / np.maximum(count, 1)
            moved[index] = np.where(count > 0, mean, centres[index])
        if np.array_equal(moved, centres):
            break
        centres = moved
    distance = _mean_distance(features, centres)
    return Clusters(centres, distance.min(axis=0), distance.max(axis=0))


def _features(values: Floats) -> Floats:
    """(n_rows, n_metrics, 6): the row's and the five earlier changes by a row, each the mean of three."""
    changes = np.diff(values, axis=0, prepend=values[:1])
    padded = np.concatenate([np.zeros((SMOOTHED + LAGS - 2, values.shape[1])), changes])
    smoothed = np.lib.stride_tricks.sliding_window_view(padded, SMOOTHED, axis=0).mean(axis=-1)
    return np.ascontiguousarray(np.lib.stride_tricks.sliding_window_view(smoothed, LAGS, axis=0))


def _farthest_from(features: Floats, point: Floats) -> Floats:
    index = _squared(features, point).argmax(axis=0)
    farthest: Floats = features[index, np.arange(features.shape[1])]
    return farthest


def _squared(features: Floats, point: Floats) -> Floats:
    difference = features - point
    squared: Floats = np.einsum("rmk,rmk->rm", difference, difference)
    return squared


def _mean_distance(features: Floats, centres: Floats) -> Floats:
    return (np.sqrt(_squared(features, centres[0])) + np.sqrt(_squared(features, centres[1]))) / 2


def _trailing_mean(values: Floats, rows: int) -> Floats:
    sums = np.concatenate([[0.0], np.cumsum(values)])
    begin = np.maximum(np.arange(len(values)) + 1 - rows, 0)
    means: Floats = (sums[1:] - sums[begin]) / rows
    return means
