"""Rows of the view ``cluster_metrics``: five metrics of the whole cluster, in unbroken segments for forecasters.

A training set is a frame of :data:`COLUMNS`: the segment that was fetched, and the one that was generated, each every
five minutes from its first to its last sample. Nothing is left out: where no sample is there is NaN. ``label`` is 0
and ``kind`` "normal" everywhere: nothing is injected, because nobody judges a forecaster by anomalies, and injected
ones would teach it futures that never come. ``split`` is "train" or "holdout", the newest fifth of the time that has
rows, at most :data:`MAX_HOLDOUT_ROWS`; both segments of a blend change sides at one instant.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from aiops_assets.errors import EmptyDataError, ModelError, SchemaError
from aiops_assets.timeseries.catalog import FORECAST_METRICS
from aiops_assets.timeseries.history import STEP_SECONDS, History, history_of
from aiops_assets.timeseries.quality import count_outside
from aiops_assets.timeseries.schema import require_no_infinity, require_rows
from aiops_assets.views.pod_features import ROW_COLUMNS, holdout_start, require_chronology
from aiops_assets.views.pod_series import SEGMENT, require_unbroken, segments

VALUES = tuple(metric.name for metric in FORECAST_METRICS)
COLUMNS = (*ROW_COLUMNS, *VALUES)
FETCHED, GENERATED = "cluster", "synthetic-000"
"""The column ``pod`` holds one of them in every row: of the cluster itself, or of a generated one."""

MAX_HOLDOUT_ROWS = 806
"""A fifth of two weeks of steps of five minutes: a longer history is to be learnt from, up to days that are new."""


def segment_of(values: pd.DataFrame) -> pd.DataFrame:
    """The rows between the first and the last sample.

    Args:
        values: ``timestamp``, on a regular grid, and :data:`VALUES`; NaN where no sample is.

    Raises:
        EmptyDataError: no metric has a sample.
    """
    there = np.flatnonzero(values[list(VALUES)].notna().any(axis=1))
    if not len(there):
        raise EmptyDataError(
            "no metric of the cluster has a sample in the window: is the history too short?", code="no_sample"
        )
    return values.iloc[there[0] : there[-1] + 1].reset_index(drop=True)


def holdout_of(segment: pd.DataFrame) -> pd.Timestamp:
    """The instant at which the hold-out of a segment begins: its newest fifth, at most :data:`MAX_HOLDOUT_ROWS`."""
    rows = len(segment)
    return pd.Timestamp(segment["timestamp"].iloc[max(holdout_start(rows), rows - MAX_HOLDOUT_ROWS)])


def segment_rows(segment: pd.DataFrame, cut: pd.Timestamp, source: str) -> pd.DataFrame:
    """Rows of :data:`COLUMNS`; from ``cut`` on they are hold-out. ``source`` is "prometheus" or "synthetic"."""
    row_columns = {
        "timestamp": segment["timestamp"],
        "pod": FETCHED if source == "prometheus" else GENERATED,
        "source": source,
        "split": np.where(segment["timestamp"] < cut, "train", "holdout"),
        "label": 0,
        "kind": "normal",
    }
    return pd.DataFrame({**row_columns, **{name: segment[name].astype(np.float64) for name in VALUES}})


def blended_segments(
    real: pd.DataFrame, generated: pd.DataFrame | None, synthetic_share: float
) -> tuple[pd.DataFrame, float]:
    """A fetched segment, and beside it the newest part of a generated one, as large as the share requires.

    Args:
        real: the fetched segment, from :func:`segment_of`.
        generated: one from :func:`~aiops_assets.synthetic.cluster.generate_cluster`, on the same window; one
            that is shorter than required is taken whole.
        synthetic_share: share of all rows that is generated, 0 to below 1.

    Returns:
        the frame, and the share of the real samples that is missing.
    """
    cut = holdout_of(real)
    frames = [segment_rows(real, cut, source="prometheus")]
    missing = missing_samples(frames[0])
    if generated is not None and (wanted := generated_rows(real, synthetic_share)):
        newest = generated.iloc[-wanted:].reset_index(drop=True)
        frames.append(segment_rows(newest, cut, source="synthetic"))
    return pd.concat(frames, ignore_index=True), missing


def generated_rows(real: pd.DataFrame, synthetic_share: float) -> int:
    """How many generated rows beside the real ones bring the synthetic share of all rows."""
    return round(len(real) * synthetic_share / (1 - synthetic_share))


def missing_samples(rows: pd.DataFrame) -> float:
    """Share of samples that are missing, of the metrics that there are at all."""
    there = rows[[name for name in VALUES if rows[name].notna().any()]].notna().to_numpy()
    return float(1.0 - there.mean()) if there.size else 0.0


def validate(frame: pd.DataFrame) -> None:
    """Check columns, values, both splits, that segments are whole and unbroken, and that nothing is labelled.

    Raises:
        SchemaError: naming the first thing that is wrong.
    """
    require_rows(frame, COLUMNS)
    require_no_infinity(frame, VALUES)
    if (frame["label"] != 0).any() or (frame["kind"] != "normal").any():
        raise SchemaError(
            "rows are labelled as anomalous: nothing may be injected into rows of forecasters",
            code="labelled_rows",
        )
    if len(frame[SEGMENT].drop_duplicates()) != frame["source"].nunique():
        raise SchemaError("a source has more than one segment", code="more_than_one_segment")
    require_unbroken(frame)
    require_chronology(frame)


def out_of_bounds(frame: pd.DataFrame) -> dict[str, int]:
    """Metric -> how many rows have a value outside the catalogue's bounds; metrics without any left out."""
    counts = {metric.name: count_outside(frame[metric.name], metric) for metric in FORECAST_METRICS}
    return {name: n for name, n in counts.items() if n}


def known(frame: pd.DataFrame) -> pd.DataFrame:
    """(n_rows, 5) bool, a column a metric: whether the row has a sample of it."""
    return frame[list(VALUES)].notna()


def main_segment(rows: pd.DataFrame) -> tuple[pd.DataFrame, list[pd.DataFrame]]:
    """The segment that a forecaster is fitted on and judged by, and the others: the cluster's own, if there is one.

    Args:
        rows: rows of the view ``cluster_metrics``.

    Raises:
        ModelError: no rows.
    """
    found = [segment for _, segment in segments(rows)]
    if not found:
        raise ModelError("no training rows: raise TRAINING_DAYS", code="no_training_rows")
    found.sort(key=lambda segment: (segment["source"].iloc[0] == "synthetic", -len(segment)))
    return found[0], found[1:]


def history_of_segment(segment: pd.DataFrame, metrics: Sequence[str]) -> History:
    """A segment as a history.

    Raises:
        ModelError: a metric has no sample.
        DataError: too few samples.
    """
    history = history_of(segment[["timestamp", *metrics]], STEP_SECONDS)
    if silent := [name for name in metrics if name not in history.metrics]:
        raise ModelError(
            f"{', '.join(silent)}: no sample in the training window, is it scraped?",
            code="silent_metrics",
            metrics=tuple(silent),
        )
    return history
