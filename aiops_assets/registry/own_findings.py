"""Rows of the metrics of one's own in the form in which explanations read the others."""

import json

import pandas as pd

from aiops_assets.storage.explanations import CLUSTER, EXPLANATION_COLUMNS, NODE, POD, SIDES, nothing

_OF_POD = ("namespace", "pod", "workload")


def own_explanations(metrics: pd.DataFrame) -> pd.DataFrame:
    """``EXPLANATION_COLUMNS`` of the newest hour, from ``METRIC_COLUMNS``.

    Pods and nodes are subjects like any other. Of the series that are told apart by other labels the one with the
    highest newest score stands for the metric, since explanations know pods, nodes and the cluster.
    """
    if metrics.empty:
        return nothing(EXPLANATION_COLUMNS)
    rows = metrics.sort_values(["metric", "labels", "timestamp"], kind="stable")
    labels = {text: json.loads(text) for text in rows["labels"].unique()}
    kind = {text: POD if "pod" in own else NODE if "node" in own else CLUSTER for text, own in labels.items()}
    rows = rows.assign(kind=rows["labels"].map(kind))
    newest = rows.groupby(["metric", "labels"], sort=False).tail(1)
    shared = newest[newest["kind"] == CLUSTER].sort_values("score", ascending=False, kind="stable", na_position="last")
    chosen = set(zip(*(shared.drop_duplicates("metric")[name] for name in ("metric", "labels")), strict=True))
    keys = zip(rows["metric"], rows["labels"], rows["kind"], strict=True)
    rows = rows[[of != CLUSTER or (metric, text) in chosen for metric, text, of in keys]]
    texts = {name: [labels[text].get(name, "") for text in rows["labels"]] for name in ("node", *_OF_POD)}
    of_pod = rows["kind"] == POD
    columns = {name: [text if pod else "" for text, pod in zip(texts[name], of_pod, strict=True)] for name in _OF_POD}
    node = [text if of == NODE else "" for text, of in zip(texts["node"], rows["kind"], strict=True)]
    found = rows.assign(**columns, node=node, **{side: rows[side].astype("float32") for side in SIDES})
    return found[list(EXPLANATION_COLUMNS)].reset_index(drop=True)
