"""The views there are: which columns a training set has, and what must be true of its rows."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pandas as pd

from aiops_assets.synthetic.anomalies import ANOMALIES
from aiops_assets.timeseries.catalog import ENGINE_METRICS, FORECAST_METRICS, MetricSpec
from aiops_assets.timeseries.features import ROW_EVERY_MINUTES, STATISTICS
from aiops_assets.views import cluster_metrics as cluster_series
from aiops_assets.views import pod_features as training_rows
from aiops_assets.views import pod_series

POD_FEATURES, POD_SERIES, CLUSTER_METRICS_VIEW = "pod_features", "pod_series", "cluster_metrics"
POD_VIEWS = (POD_FEATURES, POD_SERIES)
"""Views whose training sets are made of whole pods, and labelled."""
MAX_EPISODE_ROWS = max(anomaly.minutes[1] for anomaly in ANOMALIES.values()) // ROW_EVERY_MINUTES
"""Rows of a segment that the longest injected episode covers."""
LABEL_TOLERANCE = 0.25
"""Share of the requested rate: episodes are whole, and rows in gaps, without a label, are rows of a segment too."""

LABELLED = "The requested share of rows is anomalous and labelled with its kind."


@dataclass(frozen=True)
class View:
    """One view.

    Attributes:
        name: name of the training set and of its folder.
        about: what a row is, for people.
        columns: numeric column -> (unit or statistic in words) of the columns after
            :data:`~aiops_assets.views.pod_features.ROW_COLUMNS`.
        metrics: which metrics must have been fetched for it.
        values: the columns that hold the metrics' own values, in the order of ``metrics``.
        counted: the unit in which gaps are counted: "rows" or "samples".
        validate: raises SchemaError.
        out_of_bounds: metric -> rows outside the catalogue's bounds.
        known: rows -> (n_rows, n_metrics) bool, a column a metric: whether the row has a sample of it, no fill-in.
        label_tolerance: (rows, requested rate) -> by how many rows the number of anomalous ones may differ from it.
        most_pods: most pods of a cluster, where TRAINING_PODS allows more; ``None``: it alone decides.
        is_labelled: whether anomalies are injected, and rows labelled.
    """

    name: str
    about: str
    columns: Mapping[str, str]
    metrics: tuple[MetricSpec, ...]
    values: tuple[str, ...]
    counted: str
    validate: Callable[[pd.DataFrame], None]
    out_of_bounds: Callable[[pd.DataFrame], dict[str, int]]
    known: Callable[[pd.DataFrame], pd.DataFrame]
    label_tolerance: Callable[[pd.DataFrame, float], float]
    most_pods: int | None = None
    is_labelled: bool = True


def _rounding(rows: pd.DataFrame, rate: float) -> float:
    """Each side of the hold-out of each source is rounded to whole rows."""
    return float(rows["source"].nunique())


def _whole_episodes(rows: pd.DataFrame, rate: float) -> float:
    return LABEL_TOLERANCE * rate * len(rows) + MAX_EPISODE_ROWS * (rate > 0)


VIEWS = {
    view.name: view
    for view in (
        View(
            name=POD_FEATURES,
            about=(
                "A row is one pod at one time: the 45 columns of the anomaly-detector. Real rows are all kept, every "
                f"five minutes; generated ones are added as the blend requires. {LABELLED}"
            ),
            columns={
                f"{metric.name}_{statistic}": f"{statistic} of: {metric.description} ({metric.unit})"
                for metric in ENGINE_METRICS
                for statistic in STATISTICS
            },
            metrics=ENGINE_METRICS,
            values=tuple(f"{metric.name}_value" for metric in ENGINE_METRICS),
            counted="rows",
            validate=training_rows.validate,
            out_of_bounds=training_rows.out_of_bounds,
            known=training_rows.known,
            label_tolerance=_rounding,
        ),
        View(
            name=POD_SERIES,
            about=(
                "An unbroken segment a pod, every five minutes: the engine's five metrics as they are, for detectors "
                f"that look back. At most {pod_series.MAX_PODS} pods of the same draw, and as many generated pods as "
                f"the blend requires. Missing samples stay missing. {LABELLED}"
            ),
            columns={metric.name: f"{metric.description} ({metric.unit})" for metric in ENGINE_METRICS},
            metrics=ENGINE_METRICS,
            values=pod_series.VALUES,
            counted="samples",
            validate=pod_series.validate,
            out_of_bounds=pod_series.out_of_bounds,
            known=pod_series.known,
            label_tolerance=_whole_episodes,
            most_pods=pod_series.MAX_PODS,
        ),
        View(
            name=CLUSTER_METRICS_VIEW,
            about=(
                "The cluster every five minutes, for forecasters: five metrics in an unbroken segment, and a generated "
                "one beside it as the blend requires. Missing samples stay missing. Nothing is injected and no row is "
                "labelled: forecasters are not judged by anomalies, and would learn futures that never occur."
            ),
            columns={metric.name: f"{metric.description} ({metric.unit})" for metric in FORECAST_METRICS},
            metrics=FORECAST_METRICS,
            values=cluster_series.VALUES,
            counted="samples",
            is_labelled=False,
            validate=cluster_series.validate,
            out_of_bounds=cluster_series.out_of_bounds,
            known=cluster_series.known,
            label_tolerance=_whole_episodes,
        ),
    )
}
