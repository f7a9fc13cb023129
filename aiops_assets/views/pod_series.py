"""Rows of the view ``pod_series``: the engine's five metrics of whole pods, in unbroken segments for window detectors.

A training set is a frame of :data:`COLUMNS`, a segment a pod and source after the other, every five minutes from
the pod's first to its last sample. Nothing is left out: where no sample is there is NaN. Unlike in ``pod_features``
the values are the disturbed ones, also after an episode (a restart counter stays where a storm left it), because
a window detector has to see what it scores. ``label`` is 1 when the row's own minute is anomalous; ``split`` is
"train" or "holdout", the newest fifth of the time that has rows.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pandas as pd

from aiops_assets.errors import SchemaError
from aiops_assets.synthetic.anomalies import inject
from aiops_assets.timeseries.catalog import ENGINE_METRICS
from aiops_assets.timeseries.features import ROW_EVERY_MINUTES, row_mask
from aiops_assets.timeseries.quality import count_outside
from aiops_assets.timeseries.schema import require_no_infinity, require_rows
from aiops_assets.timeseries.series import KINDS, Floats, PodSeries
from aiops_assets.views.pod_features import ROW_COLUMNS, VISIBLE_KINDS, require_chronology

VALUES = tuple(metric.name for metric in ENGINE_METRICS)
COLUMNS = (*ROW_COLUMNS, *VALUES)
MAX_PODS = 20
"""A training set has so many pods at most: whole weeks of twenty are 40,000 rows, enough to know what is normal, and
fitted in seconds."""
SEGMENT = ["source", "pod"]
STEP = pd.Timedelta(minutes=ROW_EVERY_MINUTES)

Mask = npt.NDArray[np.bool_]


def segment_rows(series: PodSeries, cut: int, source: str) -> pd.DataFrame:
    """Rows of :data:`COLUMNS`, every five minutes of each pod's life; from minute ``cut`` on they are hold-out.

    A node metric is the mean over the nodes that have a sample at that instant.
    """
    shape = len(series.pods), len(series.times)
    # The mean first: a copy of all nodes for each pod would be gigabytes.
    means = {metric.name: _mean_of_members(series.values[metric.name]) for metric in ENGINE_METRICS}
    values = {name: np.broadcast_to(mean, shape) for name, mean in means.items()}
    minute_of_day = np.asarray(series.times.hour * 60 + series.times.minute)
    taken = _lives(series) & (minute_of_day % ROW_EVERY_MINUTES == 0)
    pods, minutes = np.nonzero(taken)
    kind = series.kind[pods, minutes]
    frame = pd.DataFrame(
        {
            "timestamp": series.times[minutes],
            "pod": np.array(series.pods, dtype=object)[pods],
            "source": source,
            "split": np.where(minutes < cut, "train", "holdout"),
            "label": (kind != 0).astype(np.int64),
            "kind": np.array(KINDS, dtype=object)[kind],
            **{name: array[pods, minutes] for name, array in values.items()},
        }
    )
    return frame.sort_values([*SEGMENT, "timestamp"], ignore_index=True)


def blended_segments(
    real: PodSeries, synthetic: PodSeries | None, rate: float, seed: int, cut: int
) -> tuple[pd.DataFrame, float]:
    """Segments of fetched series with anomalies injected, and those of generated pods beside them.

    Args:
        real: fetched series, all minutes normal.
        synthetic: labelled series on the same minutes and with the same ``cut``, all of whose pods are taken.
        rate: share of anomalous rows among those whose samples are all there, on each side of the hold-out.
        seed: makes the injection reproducible.
        cut: minute at which the hold-out begins, from :func:`~aiops_assets.views.pod_features.holdout_of`.

    Returns:
        the frame, and the share of the real pods' samples that is missing.

    Raises:
        DataError: the real series cannot show that many anomalies.
    """
    frames = [segment_rows(inject(real, row_mask(real), rate, seed, VISIBLE_KINDS, cut), cut, source="prometheus")]
    missing = missing_samples(frames[0])
    if synthetic:
        frames.append(segment_rows(synthetic, cut, source="synthetic"))
    return pd.concat(frames, ignore_index=True), missing


def generated_pods(real: PodSeries, synthetic_share: float) -> int:
    """How many whole generated pods bring the share of generated rows nearest to the requested one; at least one."""
    real_minutes = int(_lives(real).sum())
    return max(1, round(real_minutes * synthetic_share / (1 - synthetic_share) / len(real.times)))


def segments(rows: pd.DataFrame) -> Iterator[tuple[npt.NDArray[np.intp], pd.DataFrame]]:
    """(positions, rows) of each pod and source, the rows in order of time whatever the order of the frame."""
    if rows.empty:
        return
    owner = rows.groupby(SEGMENT, sort=True, observed=True).ngroup().to_numpy()
    order = np.lexsort((rows["timestamp"].to_numpy(), owner))
    for positions in np.split(order, np.flatnonzero(np.diff(owner[order])) + 1):
        yield positions, rows.iloc[positions]


def missing_samples(rows: pd.DataFrame) -> float:
    """Share of samples that are missing, of the metrics that a pod has at all."""
    there = rows[list(VALUES)].notna()
    has = there.groupby([rows[name] for name in SEGMENT], observed=True).transform("any")
    return float((~there & has).to_numpy().sum() / max(int(has.to_numpy().sum()), 1))


def validate(frame: pd.DataFrame) -> None:
    """Check columns, values, both splits, and that segments are whole and unbroken.

    Raises:
        SchemaError: naming the first thing that is wrong.
    """
    require_rows(frame, COLUMNS)
    require_no_infinity(frame, VALUES)
    require_unbroken(frame)
    require_chronology(frame)


def require_unbroken(frame: pd.DataFrame) -> None:
    """Check that segments stand one after the other, each whole and on its grid.

    Raises:
        SchemaError: naming the first thing that is wrong.
    """
    begins = (frame[SEGMENT] != frame[SEGMENT].shift()).any(axis=1)
    if begins.sum() != len(frame[SEGMENT].drop_duplicates()):
        raise SchemaError("rows of one pod are not together", code="scattered_pod")
    broken = (frame["timestamp"].diff() != STEP) & ~begins
    if broken.any():
        first = frame.iloc[int(np.argmax(broken))]
        raise SchemaError(
            f"segment of {first['pod']} is broken or out of order at {first['timestamp']}",
            code="broken_segment",
            pod=first["pod"],
            at=first["timestamp"],
        )


def out_of_bounds(frame: pd.DataFrame) -> dict[str, int]:
    """Metric -> how many rows have a value outside the catalogue's bounds; metrics without any left out."""
    counts = {metric.name: count_outside(frame[metric.name], metric) for metric in ENGINE_METRICS}
    return {name: n for name, n in counts.items() if n}


def known(frame: pd.DataFrame) -> pd.DataFrame:
    """(n_rows, 5) bool, a column a metric of the engine: whether the row has a sample of it."""
    return frame[list(VALUES)].notna()


def _lives(series: PodSeries) -> Mask:
    """(n_pods, n_minutes) true from a pod's first to its last sample of any metric of its own."""
    there = np.zeros((len(series.pods), len(series.times)), dtype=bool)
    for metric in ENGINE_METRICS:
        if metric.per == "pod":
            there |= np.isfinite(series.per_pod(metric.name)).any(axis=1)
    begun = np.maximum.accumulate(there, axis=1)
    goes_on = np.maximum.accumulate(there[:, ::-1], axis=1)[:, ::-1]
    return np.asarray(begun & goes_on, dtype=bool)


def _mean_of_members(values: Floats) -> Floats:
    """Mean over the members that have a sample: (n_pods, n_members, n_minutes) -> (n_pods, n_minutes)."""
    there = np.isfinite(values)
    count = there.sum(axis=1)
    total = np.where(there, values, 0.0).sum(axis=1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
