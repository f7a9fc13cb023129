"""Rows of the view ``pod_features``: which, from where, labelled how, and on which side of the hold-out.

A training set is a frame of :data:`COLUMNS`, ordered by time, then pod. ``label`` is 1 when the row's own
minute is anomalous. A normal row is what the source said: its features are computed from the series before
injection, also right after an episode whose minutes its window would still hold. ``split`` is "train" or
"holdout": the newest fifth of the window, which no model fits.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from aiops_assets.errors import DataError, EmptyDataError, SchemaError
from aiops_assets.timeseries.anomalies import ANOMALIES, inject, kinds_visible_in
from aiops_assets.timeseries.catalog import ENGINE_METRICS
from aiops_assets.timeseries.features import FEATURES, feature_matrix, row_mask
from aiops_assets.timeseries.schema import require_columns
from aiops_assets.timeseries.series import KINDS, PodSeries
from aiops_assets.timeseries.synthetic import generate

HOLDOUT_SHARE = 0.2
ROW_COLUMNS = ("timestamp", "pod", "source", "split", "label", "kind")
COLUMNS = (*ROW_COLUMNS, *FEATURES)
VISIBLE_KINDS = kinds_visible_in([metric.name for metric in ENGINE_METRICS])
"""A network burst changes none of the 45 columns: no row of this view can be labelled with it."""

BOUNDS_TOLERANCE = 0.05
"""Rates are extrapolated to the window's edges and pass a bound by a few percent without being wrong."""

Mask = npt.NDArray[np.bool_]


def holdout_start(n_minutes: int) -> int:
    """The minute of a window at which its hold-out begins."""
    return n_minutes - int(n_minutes * HOLDOUT_SHARE)


def labelled_series(
    n_pods: int, days: int, end: pd.Timestamp, seed: int, rate: float, kinds: Sequence[str] = tuple(ANOMALIES)
) -> PodSeries:
    """Generated series with anomalies injected, the asked share of rows on both sides of the hold-out."""
    series = generate(n_pods, days, end, seed)
    return inject(series, row_mask(series), rate, seed, kinds, cut=holdout_start(len(series.times)))


def synthetic_rows(series: PodSeries, n_rows: int, rate: float, seed: int) -> pd.DataFrame:
    """``n_rows`` rows drawn from labelled series; a fifth of them hold-out, the asked share anomalous in both.

    Args:
        series: from :func:`labelled_series`.
        n_rows: how many rows.
        rate: share of anomalous rows, rounded to whole rows on each side of the hold-out.
        seed: of the draw.

    Raises:
        DataError: the series hold fewer rows of one class than asked for.
    """
    mask = row_mask(series)
    cut = holdout_start(len(series.times))
    rng = np.random.default_rng([seed, 2])
    n_holdout = round(n_rows * HOLDOUT_SHARE)
    minute = np.arange(len(series.times))
    taken = np.zeros_like(mask)
    for side, n_side in ((minute < cut, n_rows - n_holdout), (minute >= cut, n_holdout)):
        n_anomalous = round(n_side * rate)
        _draw(rng, mask & (series.kind == 0) & side, n_side - n_anomalous, taken)
        for i, kind in enumerate(VISIBLE_KINDS):
            n_kind = len(range(i, n_anomalous, len(VISIBLE_KINDS)))  # as even as whole rows allow
            _draw(rng, mask & (series.kind == KINDS.index(kind)) & side, n_kind, taken)
    return label_frame(series, taken, cut, source="synthetic")


def real_rows(series: PodSeries, rate: float, seed: int) -> pd.DataFrame:
    """All rows of fetched series, the asked share made anomalous by injection of the kinds one can see.

    Raises:
        EmptyDataError: no row has the six minutes of samples it needs.
    """
    mask = row_mask(series)
    if not mask.any():
        raise EmptyDataError("no row of the window has its six minutes of samples: is the history too short?")
    cut = holdout_start(len(series.times))
    return label_frame(inject(series, mask, rate, seed, VISIBLE_KINDS, cut), mask, cut, source="prometheus")


def validate(frame: pd.DataFrame) -> None:
    """Check columns, finiteness, order and both splits.

    Raises:
        SchemaError: naming the first thing that is wrong.
    """
    require_columns(frame, COLUMNS)
    if frame.empty:
        raise SchemaError("the training set has no rows")
    infinite = [name for name in FEATURES if not np.isfinite(frame[name]).all()]
    if infinite:
        raise SchemaError(f"values that are not finite in {infinite}")
    if not frame["timestamp"].is_monotonic_increasing:
        raise SchemaError("rows are not in order of time")
    splits = set(frame["split"].unique())
    if splits != {"train", "holdout"}:
        raise SchemaError(f"splits are {sorted(splits)}: rows for both train and holdout are needed")
    train_end = frame.loc[frame["split"] == "train", "timestamp"].max()
    if train_end >= frame.loc[frame["split"] == "holdout", "timestamp"].min():
        raise SchemaError("hold-out rows are not all newer than the train rows")


def out_of_bounds(frame: pd.DataFrame) -> dict[str, int]:
    """Metric -> how many rows have a value outside the catalogue's bounds; metrics without any left out."""
    counts = {}
    for metric in ENGINE_METRICS:
        values = frame[f"{metric.name}_value"]
        upper = np.inf if metric.upper is None else metric.upper
        bad = (values < metric.lower - BOUNDS_TOLERANCE) | (values > upper + BOUNDS_TOLERANCE)
        if bad.any():
            counts[metric.name] = int(bad.sum())
    return counts


def _draw(rng: np.random.Generator, candidates: Mask, n: int, taken: Mask) -> None:
    positions = np.flatnonzero(candidates)
    if n > len(positions):
        raise DataError(
            f"{n} rows asked for, the series hold {len(positions)}: "
            "lower N_SAMPLES or raise TRAINING_PODS or TRAINING_DAYS"
        )
    taken.flat[rng.choice(positions, size=n, replace=False)] = True


def label_frame(series: PodSeries, taken: Mask, cut: int, source: str) -> pd.DataFrame:
    """Rows of :data:`COLUMNS` at the taken (pod, minute) positions; from minute ``cut`` on they are hold-out."""
    minutes, pods = np.nonzero(taken.T)
    kind = series.kind[pods, minutes]
    matrix = feature_matrix(series.undisturbed(), pods, minutes)
    anomalous = kind != 0
    matrix[anomalous] = feature_matrix(series, pods[anomalous], minutes[anomalous])
    frame = pd.DataFrame(
        {
            "timestamp": series.times[minutes],
            "pod": np.array(series.pods, dtype=object)[pods],
            "source": source,
            "split": np.where(minutes < cut, "train", "holdout"),
            "label": anomalous.astype(np.int64),
            "kind": np.array(KINDS, dtype=object)[kind],
        }
    )
    features = pd.DataFrame(matrix, columns=list(FEATURES))
    return pd.concat([frame, features], axis=1)
