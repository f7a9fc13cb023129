"""Generates rows from a recipe: equal recipes yield equal rows with the same code."""

import pandas as pd

from aiops_assets.storage.records import SyntheticRecipe
from aiops_assets.synthetic.cluster import generate_cluster
from aiops_assets.timeseries.series import PodSeries
from aiops_assets.views.pod_features import labelled_series


def series_of(recipe: SyntheticRecipe) -> PodSeries:
    """The labelled series of pods that a recipe yields with the present code."""
    return labelled_series(
        recipe.n_pods, recipe.days, pd.Timestamp(recipe.end), recipe.seed, recipe.anomaly_rate, recipe.kinds, recipe.cut
    )


def frame_of(recipe: SyntheticRecipe) -> pd.DataFrame:
    """The rows that the digests of a recipe's days are made of, in order of ``timestamp``."""
    if recipe.what == "cluster":
        return generate_cluster(recipe.days, pd.Timestamp(recipe.end), recipe.seed)
    return series_of(recipe).to_frame()
