"""What a run of scores keeps of the reasons of its alerts: rows with their bands, and episodes.

Both are small files of the run, so that an alert of the night can be explained at noon, by a service that has no lake.
"""

from collections.abc import Sequence

import pandas as pd

EXPLANATIONS, EPISODES = "explanations.parquet", "episodes.parquet"
SUBJECT = ("kind", "namespace", "pod", "workload", "node")
"""What an alert is about: ``kind`` is one of :data:`KINDS`. A pod has no node and a node no pod; the cluster has
neither."""
POD, NODE, CLUSTER = "pod", "node", "cluster"
KINDS = (POD, NODE, CLUSTER)
SIDES = ("value", "expected", "lower", "upper")
EXPLANATION_COLUMNS = ("timestamp", *SUBJECT, "metric", *SIDES)
EPISODE_COLUMNS = (*SUBJECT, "raised_by", "metric", "since", "until")
PAGE = "page"
"""``raised_by`` of an episode of pages; else it is the name of the model whose notices these are."""

_TIMES = ("timestamp", "since", "until")


def nothing(columns: Sequence[str]) -> pd.DataFrame:
    """An empty frame of texts, times and, for :data:`SIDES`, numbers."""
    types = {
        name: "float32" if name in SIDES else "datetime64[us, UTC]" if name in _TIMES else "str" for name in columns
    }
    return pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in types.items()})
