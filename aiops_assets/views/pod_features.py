"""Rows of the view ``pod_features``: which, from where, labelled how, and on which side of the hold-out.

A training set is a frame of :data:`COLUMNS`, ordered by time, then pod. ``label`` is 1 when the row's own
minute is anomalous. A normal row is as the source reported it: its features are computed from the series before
injection, also right after an episode whose minutes its window would still hold. ``split`` is "train" or
"holdout": the newest fifth of the time that has rows, which no model fits.

Real rows are all kept; a blend adds as many generated ones as the synthetic share requires (ADR-052: a fifth in
production, half in staging), on the same calendar and with the same hold-out, so that it stays chronological.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from aiops_assets.errors import DataError, EmptyDataError, SchemaError
from aiops_assets.synthetic.anomalies import ANOMALIES, inject, kinds_visible_in
from aiops_assets.synthetic.pods import generate
from aiops_assets.timeseries.catalog import ENGINE_METRICS
from aiops_assets.timeseries.features import (
    ENGINE_DEFAULT,
    FEATURES,
    ROW_EVERY_MINUTES,
    STATISTICS,
    feature_matrix,
    row_mask,
)
from aiops_assets.timeseries.quality import count_outside, missing_share
from aiops_assets.timeseries.schema import require_rows
from aiops_assets.timeseries.series import KINDS, PodSeries

HOLDOUT_SHARE = 0.2
ROW_COLUMNS = ("timestamp", "pod", "source", "split", "label", "kind")
COLUMNS = (*ROW_COLUMNS, *FEATURES)
VISIBLE_KINDS = kinds_visible_in([metric.name for metric in ENGINE_METRICS])
"""A network burst changes none of the 45 columns: no row of this view can be labelled with it."""

Mask = npt.NDArray[np.bool_]


def holdout_start(n_minutes: int) -> int:
    """The minute of a window at which its hold-out begins."""
    return n_minutes - int(n_minutes * HOLDOUT_SHARE)


def holdout_of(series: PodSeries) -> int:
    """The minute at which the hold-out of fetched series begins: the newest fifth of the time that has rows.

    A history that begins late, or a server that was away at the end, must not empty one side of it.

    Raises:
        EmptyDataError: no row has the six minutes of samples it needs.
    """
    minutes = np.flatnonzero(row_mask(series).any(axis=0))
    if not len(minutes):
        raise EmptyDataError(
            "no row of the window has its six minutes of samples: is the history too short?", code="no_whole_row"
        )
    return int(minutes[0]) + holdout_start(int(minutes[-1] - minutes[0]) + 1)


def labelled_series(
    n_pods: int,
    days: int,
    end: pd.Timestamp,
    seed: int,
    rate: float,
    kinds: Sequence[str] = tuple(ANOMALIES),
    cut: int | None = None,
) -> PodSeries:
    """Generated series with anomalies injected, the requested share of rows on both sides of the hold-out.

    ``cut`` is the minute at which that begins, the newest fifth by default.
    """
    series = generate(n_pods, days, end, seed)
    cut = holdout_start(len(series.times)) if cut is None else cut
    return inject(series, row_mask(series), rate, seed, kinds, cut)


def synthetic_rows(
    series: PodSeries, n_rows: int, rate: float, seed: int, *, every: int = ROW_EVERY_MINUTES, cut: int | None = None
) -> pd.DataFrame:
    """``n_rows`` rows drawn from labelled series; a fifth is hold-out, the requested share of both is anomalous.

    Args:
        series: labelled series, from :func:`labelled_series`.
        n_rows: number of rows to draw.
        rate: share of anomalous rows, rounded to whole rows on each side of the hold-out.
        seed: makes the draw reproducible.
        every: distance in minutes of the rows that may be drawn.
        cut: minute at which the hold-out begins; the window's newest fifth by default.

    Raises:
        DataError: the series hold fewer rows of one class than requested.
    """
    cut = holdout_start(len(series.times)) if cut is None else cut
    mask = row_mask(series, every)
    rng = np.random.default_rng([seed, 2])
    n_holdout = round(n_rows * HOLDOUT_SHARE)
    minute = np.arange(len(series.times))
    taken = np.zeros_like(mask)
    for side, n_side in ((minute < cut, n_rows - n_holdout), (minute >= cut, n_holdout)):
        n_anomalous = round(n_side * rate)
        _draw(rng, mask & (series.kind == 0) & side, n_side - n_anomalous, taken)
        _draw_evenly(
            rng, [mask & (series.kind == KINDS.index(kind)) & side for kind in VISIBLE_KINDS], n_anomalous, taken
        )
    return label_frame(series, taken, cut, source="synthetic")


def blended_rows(
    real: PodSeries, synthetic: PodSeries | None, synthetic_share: float, rate: float, seed: int, cut: int
) -> tuple[pd.DataFrame, float]:
    """All rows of fetched series, and as many generated ones as the share requires.

    Args:
        real: fetched series, all minutes normal; anomalies of the kinds one can see are injected here.
        synthetic: labelled series on the same minutes and with the same ``cut``; none for a share of 0.
        synthetic_share: share of all rows that is generated, 0 to below 1.
        rate: share of anomalous rows, on each side of the hold-out of each source.
        seed: makes injection and draw reproducible.
        cut: minute at which the hold-out begins, from :func:`holdout_of`.

    Returns:
        the frame, and the share of real rows that gaps cost.

    Raises:
        DataError: the generated series hold too few rows.
    """
    mask = row_mask(real)
    frames = [label_frame(inject(real, mask, rate, seed, VISIBLE_KINDS, cut), mask, cut, source="prometheus")]
    if synthetic:
        n_synthetic = round(len(frames[0]) * synthetic_share / (1 - synthetic_share))
        frames.append(synthetic_rows(synthetic, n_synthetic, rate, seed, every=1, cut=cut))
    rows = pd.concat(frames, ignore_index=True)
    rows = rows.sort_values(["timestamp", "pod", "source"], ignore_index=True)
    return rows, missing_share(mask, ROW_EVERY_MINUTES)


def validate(frame: pd.DataFrame) -> None:
    """Check columns, finiteness, order and both splits.

    Raises:
        SchemaError: naming the first thing that is wrong.
    """
    require_rows(frame, COLUMNS)
    infinite = [name for name in FEATURES if not np.isfinite(frame[name]).all()]
    if infinite:
        raise SchemaError(f"values that are not finite in {infinite}", code="not_finite", columns=infinite)
    if not frame["timestamp"].is_monotonic_increasing:
        raise SchemaError("rows are not in order of time", code="not_in_order_of_time")
    require_chronology(frame)


def require_chronology(frame: pd.DataFrame) -> None:
    """Check that there are rows to train on and rows to judge by, the latter all newer.

    Raises:
        SchemaError: naming what is wrong.
    """
    splits = set(frame["split"].unique())
    if splits != {"train", "holdout"}:
        raise SchemaError(
            f"splits are {sorted(splits)}: rows for both train and holdout are needed",
            code="one_sided",
            splits=sorted(splits),
        )
    train_end = frame.loc[frame["split"] == "train", "timestamp"].max()
    if train_end >= frame.loc[frame["split"] == "holdout", "timestamp"].min():
        raise SchemaError("hold-out rows are not all newer than the train rows", code="holdout_not_newer")


def out_of_bounds(frame: pd.DataFrame) -> dict[str, int]:
    """Metric -> how many rows have a value outside the catalogue's bounds; metrics without any left out."""
    counts = {metric.name: count_outside(frame[f"{metric.name}_value"], metric) for metric in ENGINE_METRICS}
    return {name: n for name, n in counts.items() if n}


def known(frame: pd.DataFrame) -> pd.DataFrame:
    """(n_rows, 5) bool, a column a metric of the engine: whether the row holds samples of it, not the default.

    Five samples with the default's mean, extremes, value and lag deviate by 0.126, and the default says 0.1: a pod's
    own samples never look like it.
    """
    columns = {metric.name: [f"{metric.name}_{one}" for one in STATISTICS] for metric in ENGINE_METRICS}
    differs = {name: (frame[nine].to_numpy() != np.array(ENGINE_DEFAULT)).any(axis=1) for name, nine in columns.items()}
    return pd.DataFrame(differs, index=frame.index)


def _draw_evenly(rng: np.random.Generator, kinds: Sequence[Mask], n: int, taken: Mask) -> None:
    """Draw n rows, about as many of each kind; of a kind that a short series hardly holds, all there are.

    One episode of a kind that lasts for hours may be all the anomalous minutes that a day of few pods has.
    """
    there = [int(kind.sum()) for kind in kinds]
    if n > sum(there):
        _draw(rng, np.logical_or.reduce(kinds), n, taken)  # raises
    remaining = n
    for left, i in zip(range(len(kinds), 0, -1), np.argsort(there, kind="stable"), strict=True):
        share = min(-(-remaining // left), there[i])
        _draw(rng, kinds[i], share, taken)
        remaining -= share


def _draw(rng: np.random.Generator, candidates: Mask, n: int, taken: Mask) -> None:
    positions = np.flatnonzero(candidates)
    if n > len(positions):
        raise DataError(
            f"{n} rows requested, the series hold {len(positions)}: "
            "lower N_SAMPLES or SYNTHETIC_RATIO, or raise TRAINING_PODS or TRAINING_DAYS",
            code="too_few_rows",
            asked=n,
            there=len(positions),
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
