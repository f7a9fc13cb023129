"""The anomaly-detector without scikit-learn's cost of a call, for requests of one row.

A Pipeline of :mod:`~aiops_assets.learners.detectors.isolation_forest` spends milliseconds on checks before it looks
at a row. Here its trees lie in flat arrays that a compiled loop walks through.

The steps before the trees are not computed at all: each threshold is stated in raw values instead, see
:mod:`~aiops_assets.learners.detectors.forest_steps`. Answers are the Pipeline's, not close to it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from aiops_assets.errors import ModelError
from aiops_assets.learners.detectors import isolation_forest
from aiops_assets.learners.detectors.forest_steps import (
    OTHER_KIND,
    WIDTH,
    Ints,
    imputed,
    raw_thresholds,
    require,
    scaled,
)
from aiops_assets.learners.detectors.isolation_forest import Labels
from aiops_assets.synthetic.healthy import healthy_rows
from aiops_assets.timeseries.catalog import ENGINE_METRICS
from aiops_assets.timeseries.features import ENGINE_DEFAULT, LIMIT, STATISTICS
from aiops_assets.timeseries.series import Floats

Indices = npt.NDArray[np.uint32]
Kept = TypeVar("Kept", bound=np.generic)

TOLERANCE = 1e-9


@dataclass(frozen=True)
class FlatForest:
    """A fitted Pipeline, taken apart; n_nodes counts the nodes of all trees.

    Attributes:
        expected: (45,) medians of the train rows, which stand in for a column whose value is not known.
        spread: (45,) positive; the standard deviation that a normal distribution would have whose quantiles lie as
            far apart as those the column was scaled with. Where a column is not scaled (the level of a counter has
            no normal range): as much as the median itself, at least 1.
        missing: (45,) what a column holds when its value is not known.
        roots: (n_trees,) the first node of each tree.
        column, threshold: (n_nodes,) a row goes right where its column is above the threshold; infinity at a leaf.
        children: (n_nodes, 2) left and right; a leaf is its own child, so that all trees can be walked in step.
        depth: (n_nodes,) path length of a row that ends in this leaf.
        levels: steps after which every row is at a leaf.
        expected_depth: the expected sum of the depths in all trees, c(n) of the paper for each tree.
        offset: the score above which a row is an anomaly, with its sign turned.
    """

    expected: Floats
    spread: Floats
    missing: Floats
    roots: Indices
    column: Indices
    threshold: Floats
    children: Indices
    depth: Floats
    levels: int
    expected_depth: float
    offset: float

    @classmethod
    def from_pipeline(cls, pipeline: Any) -> "FlatForest":
        """Take a fitted Pipeline apart, and compile what scores it.

        Raises:
            ModelError: a Pipeline of another make, or one whose answers differ on the probe by more than 1e-9.
        """
        forest = taken_apart(pipeline)
        probe = probe_rows()
        with np.errstate(over="ignore"):  # where a scale is tiny, scikit-learn rounds to a 32-bit infinity
            expected, labels = (
                isolation_forest.anomaly_score(pipeline, probe),
                isolation_forest.predict(pipeline, probe),
            )
        differ = np.abs(forest.score(probe) - expected).max()
        require(bool(differ <= TOLERANCE), "scores_differ", f"scores differ by up to {differ:.3g}")
        require(bool((forest.predict(probe) == labels).all()), "other_anomalies", "it alerts on other rows")
        return forest

    def score(self, rows: npt.ArrayLike) -> Floats:
        """How anomalous each row is, positive for an anomaly: (n_rows, 45) -> (n_rows,); one row may be (45,).

        The formula is that of scikit-learn's ``IsolationForest``: 2 ** (-depths / c(n)), less the threshold.

        Raises:
            ModelError: wrong width, or values that are not finite.
        """
        matrix = np.array(isolation_forest.checked(rows), order="C")  # a copy: the walk overwrites it
        depths = np.empty(len(matrix))
        trees = (self.roots, self.column, self.threshold, self.children, self.depth, self.levels)
        _compiled()(matrix, self.missing, self.expected, *trees, depths)
        scores: Floats = 2.0 ** (-depths / self.expected_depth) + self.offset
        return scores

    def predict(self, rows: npt.ArrayLike) -> Labels:
        """-1 (anomaly) or 1 (normal) for each row: (n_rows, 45) -> (n_rows,). Raises ModelError: see :meth:`score`."""
        return np.where(self.score(rows) > 0, np.int64(-1), np.int64(1))

    def contributions(self, row: npt.ArrayLike) -> Floats:
        """Each engine metric's part in how anomalous a row is: (45,) -> (5,), shares or all 0.

        A metric's part is how far the score falls when the row is scored again as if the metric's query had failed
        (occlusion). Raises ModelError: see :meth:`score`.
        """
        values = np.asarray(row, dtype=np.float64)
        if values.shape != (WIDTH,):
            raise ModelError(
                f"one row of {WIDTH} columns is expected, not an array of shape {values.shape}",
                code="wrong_shape",
                shape=values.shape,
                expected=(WIDTH,),
            )
        occluded = np.tile(values, (len(ENGINE_METRICS) + 1, 1))
        for i in range(len(ENGINE_METRICS)):
            occluded[i + 1, i * len(STATISTICS) : (i + 1) * len(STATISTICS)] = ENGINE_DEFAULT
        score = self.score(occluded)
        falls: Floats = np.maximum(score[0] - score[1:], 0.0)
        total = falls.sum()
        return falls / total if total > 0 else falls


def taken_apart(pipeline: Any) -> FlatForest:
    """A fitted Pipeline's trees in flat arrays; nothing is compiled, and its answers are not compared.

    Raises:
        ModelError: a Pipeline of another make.
    """
    try:
        return _taken_apart(pipeline)
    except (AttributeError, TypeError, ValueError, IndexError) as error:
        raise ModelError(f"{OTHER_KIND} ({error})", code="other_pipeline", otherwise=str(error)) from error


def _taken_apart(pipeline: Any) -> FlatForest:
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import IsolationForest
    from sklearn.pipeline import Pipeline

    require(type(pipeline) is Pipeline, "no_pipeline", "it is not a Pipeline")
    steps = [step for _, step in pipeline.steps]
    require(
        [type(s) for s in steps] == [ColumnTransformer, ColumnTransformer, IsolationForest],
        "other_steps",
        "it has other steps",
    )
    imputation, scaling, forest = steps
    order, missing, expected = imputed(imputation)
    columns, deviation = scaled(scaling, order)
    require(
        forest.n_features_in_ == len(columns), "other_columns_read", "the forest reads other columns than are scaled"
    )
    spread = np.where(deviation > 0, deviation, np.maximum(np.abs(expected), 1.0))
    trees = [(e.tree_, np.asarray(f)) for e, f in zip(forest.estimators_, forest.estimators_features_, strict=True)]
    counts = np.array([tree.node_count for tree, _ in trees], dtype=np.int64)
    roots = np.cumsum(counts) - counts
    node_depths = [tree.compute_node_depths() for tree, _ in trees]
    lengths = [d + _mean_path(tree.n_node_samples) - 1.0 for d, (tree, _) in zip(node_depths, trees, strict=True)]
    expected_depth = len(trees) * _mean_path(np.array([forest.max_samples_]))[0]
    require(expected_depth > 0, "trees_of_one_row", "its trees saw one row each")
    read = np.concatenate([np.where(tree.feature >= 0, which[tree.feature], -1) for tree, which in trees])
    return FlatForest(
        expected=_kept(expected),
        spread=_kept(spread),
        missing=_kept(missing),
        roots=_kept(roots.astype(np.uint32)),
        column=_kept(np.array([*(c.column for c in columns), 0], dtype=np.uint32)[read]),
        threshold=_kept(raw_thresholds(read, np.concatenate([tree.threshold for tree, _ in trees]), columns)),
        children=_kept(np.concatenate([_children(tree, root) for (tree, _), root in zip(trees, roots, strict=True)])),
        depth=_kept(np.concatenate(lengths)),
        levels=int(np.concatenate(node_depths).max()) - 1,
        expected_depth=float(expected_depth),
        offset=float(forest.offset_),
    )


def _kept(array: npt.NDArray[Kept]) -> npt.NDArray[Kept]:
    """The array, read-only: threads share it."""
    array.flags.writeable = False
    return array


def _children(tree: Any, root: int) -> Indices:
    children = np.column_stack([tree.children_left, tree.children_right])
    itself = np.arange(tree.node_count)[:, np.newaxis]
    return (root + np.where(children < 0, itself, children)).astype(np.uint32)


def _mean_path(samples: Ints) -> Floats:
    """c(n), the mean path length of a search tree of n rows: equation 1 of Liu, Ting, Zhou (2008)."""
    n = np.maximum(samples, 3).astype(np.float64)
    mean = 2.0 * (np.log(n - 1.0) + np.euler_gamma) - 2.0 * (n - 1.0) / n
    return np.where(samples <= 1, 0.0, np.where(samples == 2, 1.0, mean))


def probe_rows() -> Floats:
    """Rows of many kinds, always the same: (n_rows, 45)."""
    rng = np.random.default_rng(45)
    healthy = healthy_rows(300, seed=45)
    unknown = np.tile(ENGINE_DEFAULT, len(ENGINE_METRICS))
    extremes = np.array([LIMIT, -LIMIT, 1e6, -1e6, 1.0, -1.0, 0.0, 1e-300])
    stretched = healthy * rng.choice([1e-3, 0.5, 1.0, 2.0, 1e3, -1.0], healthy.shape)
    partly = np.where(rng.random(healthy.shape) < 0.3, unknown, healthy)
    anything = rng.standard_normal(healthy.shape) * 10.0 ** rng.integers(-4, 5, (len(healthy), 1))
    constant = np.broadcast_to(extremes[:, np.newaxis], (len(extremes), WIDTH))
    return np.vstack([healthy, unknown, constant, stretched, partly, anything])


def _walk(
    rows: Floats,
    missing: Floats,
    expected: Floats,
    roots: Indices,
    column: Indices,
    threshold: Floats,
    children: Indices,
    depth: Floats,
    levels: int,
    depths: Floats,
) -> None:
    """Write each row's path lengths in all trees together to ``depths`` (n_rows,); ``rows`` is overwritten.

    All trees are walked in step, without a branch: a processor then waits for several nodes at a time, and never
    guesses wrongly which way a row goes.
    """
    n_trees = roots.shape[0]
    at = np.empty(n_trees, dtype=np.uint32)
    for i in range(rows.shape[0]):
        for j in range(rows.shape[1]):
            if rows[i, j] == missing[j]:
                rows[i, j] = expected[j]
        for tree in range(n_trees):
            at[tree] = roots[tree]
        for _ in range(levels):
            for tree in range(n_trees):
                node = at[tree]
                at[tree] = children[node, np.uint32(rows[i, column[node]] > threshold[node])]
        together = 0.0
        for tree in range(n_trees):
            together += depth[at[tree]]
        depths[i] = together


@cache
def _compiled() -> Callable[..., None]:
    """The loop in machine code: for these types only, so that no request ever waits for a compiler."""
    from numba import njit, types

    floats, indices = (types.Array(kind, 1, "C", readonly=True) for kind in (types.float64, types.uint32))
    pairs = types.Array(types.uint32, 2, "C", readonly=True)
    trees = (indices, indices, floats, pairs, floats, types.int64)
    signature = types.void(types.float64[:, ::1], floats, floats, *trees, types.float64[::1])
    try:
        compiled: Callable[..., None] = njit([signature], nogil=True, cache=True)(_walk)
    except (RuntimeError, OSError):  # no folder is writable, or the disk is full: compiled anew in each process
        compiled = njit([signature], nogil=True)(_walk)
    return compiled
