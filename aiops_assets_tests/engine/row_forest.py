"""A row detector out of a seed, fitted once."""

from functools import cache

from aiops_assets.families.anomaly_detector import ANOMALY_DETECTOR
from aiops_assets.learners.detectors import isolation_forest
from aiops_assets.learners.detectors.flat_forest import FlatForest
from aiops_assets.views.pod_features import labelled_series, synthetic_rows
from aiops_assets_tests.conftest import END


@cache
def row_forest() -> FlatForest:
    """The anomaly-detector of 2,000 generated rows."""
    rows = synthetic_rows(labelled_series(50, 7, END, 42, 0.03), 2000, 0.03, 42)
    return FlatForest.from_pipeline(isolation_forest.fit(rows, ANOMALY_DETECTOR.parameters, 42))
