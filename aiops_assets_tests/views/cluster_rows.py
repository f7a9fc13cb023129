"""Rows of the view ``cluster_metrics`` out of a seed, small enough for quick tests."""

import pandas as pd

from aiops_assets.synthetic.cluster import generate_cluster
from aiops_assets.views.cluster_metrics import holdout_of, segment_rows
from aiops_assets_tests.conftest import END


def cluster_rows(days: int = 8, seed: int = 42, source: str = "synthetic") -> pd.DataFrame:
    segment = generate_cluster(days, END, seed)
    return segment_rows(segment, holdout_of(segment), source)
