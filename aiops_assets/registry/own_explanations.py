"""Rows of the metrics of one's own in the form in which explanations read the others."""

import json

import pandas as pd

from aiops_assets.storage.explanations import EXPLANATION_COLUMNS, NODE, POD, SIDES, nothing

_OF_POD = ("namespace", "pod", "workload")


def own_explanations(metrics: pd.DataFrame) -> pd.DataFrame:
    """``EXPLANATION_COLUMNS`` of the newest hour of the series that are of a pod or a node, from ``METRIC_COLUMNS``."""
    rows = metrics.sort_values(["metric", "labels", "timestamp"], kind="stable")
    labels = {text: json.loads(text) for text in rows["labels"].unique()}
    kind = {text: POD if "pod" in own else NODE if "node" in own else "" for text, own in labels.items()}
    rows = rows[rows["labels"].map(kind) != ""]
    if rows.empty:
        return nothing(EXPLANATION_COLUMNS)
    kinds = rows["labels"].map(kind)
    texts = {name: [str(labels[text].get(name, "")) for text in rows["labels"]] for name in ("node", *_OF_POD)}
    of_pod = [one == POD for one in kinds]
    columns = {name: [text if pod else "" for text, pod in zip(texts[name], of_pod, strict=True)] for name in _OF_POD}
    node = ["" if pod else text for text, pod in zip(texts["node"], of_pod, strict=True)]
    sides = {side: rows[side].astype("float32") for side in SIDES}
    return rows.assign(kind=kinds, **columns, node=node, **sides)[list(EXPLANATION_COLUMNS)].reset_index(drop=True)
