"""The anomaly-detector as ONNX, for programs without Python: the same trees, with thresholds in raw values.

Source of the operators: ONNX operators 17 and ai.onnx.ml 3 (``TreeEnsembleRegressor``). Rows, thresholds and path
lengths are 64-bit, so a row takes the way that it takes through the Pipeline; only their sum is rounded to 32 bits.
"""

import json
from typing import Any

import numpy as np

from aiops_assets.errors import ModelError, package_missing
from aiops_assets.learners.detectors import isolation_forest
from aiops_assets.learners.detectors.flat_forest import FlatForest, probe_rows, taken_apart
from aiops_assets.timeseries.features import FEATURES
from aiops_assets.timeseries.series import Floats

INPUT, SCORE, LABEL = "rows", "score", "label"
TOLERANCE = 1e-5
"""Largest difference between scores of the ONNX graph and of the Pipeline."""
OPSETS = {"": 17, "ai.onnx.ml": 3}
IR_VERSION = 9
"""Of ONNX 1.14: newer runtimes read it, and few older ones are in use."""


def to_onnx(pipeline: Any) -> bytes:
    """The ONNX file of a fitted Pipeline, run by onnxruntime and compared with the Pipeline before it is returned.

    Its input is ``rows`` (n_rows, 45) float64, in the order that its metadata has under ``features``; its outputs are
    ``score`` (n_rows,) float64, above 0 for an anomaly, and ``label`` (n_rows,) int64, -1 for an anomaly, else 1.

    Raises:
        ModelError: onnx or onnxruntime is missing, the Pipeline is of another make, or the scores differ by more than
            1e-5.
    """
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
    except ImportError as error:
        raise package_missing(error.name or "a package", "onnx") from error
    data = _graph_of(taken_apart(pipeline))
    _compare(data, pipeline)
    return data


def scores_of(data: bytes, rows: Floats) -> tuple[Floats, isolation_forest.Labels]:
    """Scores and labels of rows (n_rows, 45) by an ONNX file, computed by onnxruntime."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    score, label = session.run([SCORE, LABEL], {INPUT: np.asarray(rows, dtype=np.float64)})
    return score, label


def _compare(data: bytes, pipeline: Any) -> None:
    rows = probe_rows()
    with np.errstate(over="ignore"):  # where a scale is tiny, scikit-learn rounds to a 32-bit infinity
        expected = isolation_forest.anomaly_score(pipeline, rows)
    score, label = scores_of(data, rows)
    differ = float(np.abs(score - expected).max())
    clear = np.abs(expected) > TOLERANCE
    if not differ <= TOLERANCE or (label[clear] != np.where(expected[clear] > 0, -1, 1)).any():
        raise ModelError(
            f"the ONNX form of this model has other scores, by up to {differ:.3g}: use the model file itself",
            code="onnx_differs",
            differ=differ,
        )


def _graph_of(forest: FlatForest) -> bytes:
    from onnx import TensorProto, helper, numpy_helper

    def constant(name: str, value: Any, kind: Any = np.float64) -> Any:
        return numpy_helper.from_array(np.asarray(value, dtype=kind), name)

    graph = helper.make_graph(
        [
            helper.make_node("Equal", [INPUT, "missing"], ["is_missing"]),
            helper.make_node("Where", ["is_missing", "expected", INPUT], ["known"]),
            _trees(forest),
            helper.make_node("Cast", ["depths32"], ["depths"], to=TensorProto.DOUBLE),
            helper.make_node("Squeeze", ["depths", "column"], ["depth"]),
            helper.make_node("Div", ["depth", "minus_expected_depth"], ["exponent"]),
            helper.make_node("Pow", ["two", "exponent"], ["anomaly"]),
            helper.make_node("Add", ["anomaly", "offset"], [SCORE]),
            helper.make_node("Greater", [SCORE, "zero"], ["is_anomaly"]),
            helper.make_node("Where", ["is_anomaly", "minus_one", "one"], [LABEL]),
        ],
        "anomaly_detector",
        [helper.make_tensor_value_info(INPUT, TensorProto.DOUBLE, ["n_rows", len(FEATURES)])],
        [
            helper.make_tensor_value_info(SCORE, TensorProto.DOUBLE, ["n_rows"]),
            helper.make_tensor_value_info(LABEL, TensorProto.INT64, ["n_rows"]),
        ],
        [
            constant("missing", forest.missing),
            constant("expected", forest.expected),
            constant("column", [1], np.int64),
            constant("minus_expected_depth", -forest.expected_depth),
            constant("two", 2.0),
            constant("offset", forest.offset),
            constant("zero", 0.0),
            constant("minus_one", -1, np.int64),
            constant("one", 1, np.int64),
        ],
    )
    model = helper.make_model(
        graph,
        producer_name="aiops-assets",
        ir_version=IR_VERSION,
        opset_imports=[helper.make_opsetid(domain, version) for domain, version in OPSETS.items()],
    )
    helper.set_model_props(model, {"features": json.dumps(FEATURES)})
    data: bytes = model.SerializeToString(deterministic=True)
    return data


def _trees(forest: FlatForest) -> Any:
    """The node that sums a row's path lengths in all trees."""
    from onnx import TensorProto, helper

    n_nodes = len(forest.column)
    roots = forest.roots.astype(np.int64)
    tree = np.searchsorted(roots, np.arange(n_nodes), side="right") - 1
    node = np.arange(n_nodes) - roots[tree]
    left, right = (side.astype(np.int64) - roots[tree] for side in forest.children.T)
    is_leaf = left == node
    left, right = (np.where(is_leaf, 0, side) for side in (left, right))
    thresholds, depths = np.where(is_leaf, 0.0, forest.threshold), forest.depth[is_leaf]
    return helper.make_node(
        "TreeEnsembleRegressor",
        ["known"],
        ["depths32"],
        domain="ai.onnx.ml",
        n_targets=1,
        aggregate_function="SUM",
        post_transform="NONE",
        nodes_treeids=tree.tolist(),
        nodes_nodeids=node.tolist(),
        nodes_featureids=forest.column.tolist(),
        nodes_modes=np.where(is_leaf, "LEAF", "BRANCH_LEQ").tolist(),
        nodes_truenodeids=left.tolist(),
        nodes_falsenodeids=right.tolist(),
        nodes_missing_value_tracks_true=[0] * n_nodes,
        nodes_values_as_tensor=helper.make_tensor("thresholds", TensorProto.DOUBLE, [n_nodes], thresholds),
        target_treeids=tree[is_leaf].tolist(),
        target_nodeids=node[is_leaf].tolist(),
        target_ids=[0] * len(depths),
        target_weights_as_tensor=helper.make_tensor("path_lengths", TensorProto.DOUBLE, [len(depths)], depths),
    )
