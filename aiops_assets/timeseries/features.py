"""The anomaly-detector's 45 columns, defined once, for frames of many pods and for one row.

Nine statistics of each of the engine's five metrics, on a 1-minute grid; the window is t and the four
minutes before it (t - 5 min excluded), as Prometheus 3 reads ``[5m:]`` and as Prometheus 2 does at any
instant that is not a full minute. Source: contracts of the coordination engine, "anomaly-detector: 45
columns".
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from aiops_assets.errors import SchemaError
from aiops_assets.timeseries.catalog import ENGINE_METRICS
from aiops_assets.timeseries.series import Floats, PodSeries

STATISTICS = ("value", "mean_5m", "std_5m", "min_5m", "max_5m", "lag_1", "lag_5", "diff", "pct_change")
ENGINE_DEFAULT = (0.5, 0.5, 0.1, 0.3, 0.7, 0.5, 0.5, 0.0, 0.0)
"""The engine sends these nine statistics for a metric whose query failed: "nothing is known"."""

FEATURES = tuple(f"{metric.name}_{statistic}" for metric in ENGINE_METRICS for statistic in STATISTICS)
"""The 45 column names; index = 9 * metric + statistic."""

HISTORY = 6
"""Samples one row needs, a minute apart, oldest first: t - 5 min to t."""

ROW_EVERY_MINUTES = 5
"""Distance of training rows (ADR-052 samples every five minutes)."""

LIMIT = 1e12
"""Values are cut here, far above those of any unit: rows stay finite in the 32-bit floats of scikit-learn's trees."""

Mask = npt.NDArray[np.bool_]


def nine_statistics(history: Floats) -> Floats:
    """The nine statistics of a metric from windows of six samples.

    Args:
        history: (..., n_members, 6), a minute apart, oldest first; members are the series that describe
            the same thing (the nodes beside a pod; one for a pod's own metric). A sample may be missing or
            infinite; at an instant at which all members lack it, each takes its last one, or else its next.

    Returns:
        (..., 9) in the order of :data:`STATISTICS`, always finite; the engine's default where no member has a
        sample. Each is a mean over the members that have what it needs: a sample at its instant, or any in
        the window. That is what averaging the server's answers to the engine's queries gives, also while a
        node is away. The changes are computed from those means. ``std_5m`` is the population's;
        ``pct_change`` is 0 where ``lag_1`` is 0.
    """
    samples, used = _filled(np.asarray(history, dtype=np.float64))
    at_instants = _mean(samples, used, axis=-2)
    window, inside = samples[..., 1:], used[..., 1:]
    mean = _mean(window, inside, axis=-1)
    of_members = np.stack(
        [
            mean,
            np.sqrt(_mean((window - mean[..., np.newaxis]) ** 2, inside, axis=-1)),
            np.where(inside, window, np.inf).min(-1),
            np.where(inside, window, -np.inf).max(-1),
        ],
        axis=-1,
    )
    in_window: Mask = np.broadcast_to(inside.any(axis=-1, keepdims=True), of_members.shape)
    of_window = _mean(np.where(in_window, of_members, 0.0), in_window, axis=-2)
    levels = np.concatenate([at_instants[..., -1:], of_window, at_instants[..., -2:-1], at_instants[..., :1]], axis=-1)

    value, lag_1 = levels[..., 0], levels[..., 5]
    diff = value - lag_1
    with np.errstate(over="ignore"):
        pct_change = np.divide(diff, lag_1, out=np.zeros_like(diff), where=lag_1 != 0)
    statistics = np.concatenate([levels, diff[..., np.newaxis], pct_change[..., np.newaxis]], axis=-1)
    statistics = np.clip(statistics, -LIMIT, LIMIT)
    known: Mask = np.asarray(used.any(axis=(-2, -1)))
    return np.where(known[..., np.newaxis], statistics, ENGINE_DEFAULT)


def feature_row(history: Mapping[str, npt.ArrayLike]) -> Floats:
    """One row of the 45 columns, (45,).

    Args:
        history: metric name -> its last six samples a minute apart, oldest first: (6,), or (n_nodes, 6)
            for a node metric. A metric that is absent gets the engine's default.

    Raises:
        SchemaError: an unknown metric, or not six samples.
    """
    unknown = sorted(set(history) - {metric.name for metric in ENGINE_METRICS})
    if unknown:
        raise SchemaError(f"unknown metrics {unknown}: known are {[m.name for m in ENGINE_METRICS]}")
    blocks = []
    for metric in ENGINE_METRICS:
        if metric.name not in history:
            blocks.append(np.array(ENGINE_DEFAULT))
            continue
        samples = np.atleast_2d(np.asarray(history[metric.name], dtype=np.float64))
        if samples.shape[-1] != HISTORY:
            raise SchemaError(
                f"{metric.name}: {samples.shape[-1]} samples; a row needs {HISTORY}, a minute apart, oldest first",
                code="other_length",
                metric=metric.name,
                samples=samples.shape[-1],
            )
        blocks.append(nine_statistics(samples))
    return np.concatenate(blocks)


def row_mask(series: PodSeries, every: int = ROW_EVERY_MINUTES) -> Mask:
    """Where a training row can be taken, (n_pods, n_minutes).

    Every ``every`` minutes of the day, where each metric that the pod has at all has its six samples; of a node
    metric it is enough when some node has each: one of a hundred nodes is always missing a scrape. A pod
    without samples of a metric in the whole window (no memory limit, say) keeps its rows.
    """
    minute_of_day = np.asarray(series.times.hour * 60 + series.times.minute)
    mask = np.broadcast_to(minute_of_day % every == 0, (len(series.pods), len(series.times))).copy()
    mask[:, : HISTORY - 1] = False
    for metric in ENGINE_METRICS:
        there: Mask = np.asarray(np.isfinite(series.values[metric.name]).any(axis=1))
        so_far = np.pad(np.cumsum(there, axis=-1), ((0, 0), (1, 0)))
        whole: Mask = so_far[:, HISTORY:] - so_far[:, :-HISTORY] == HISTORY
        mask[:, HISTORY - 1 :] &= whole | ~there.any(axis=1, keepdims=True)
    return mask


def feature_matrix(series: PodSeries, pods: npt.NDArray[np.intp], minutes: npt.NDArray[np.intp]) -> Floats:
    """The 45 columns at the given (pod, minute) positions: (n_rows, 45)."""
    steps = np.arange(-HISTORY + 1, 1)
    once, which = np.unique(minutes, return_inverse=True)
    blocks = []
    for metric in ENGINE_METRICS:
        values = series.values[metric.name]
        members = np.arange(values.shape[1])[np.newaxis, :, np.newaxis]
        if len(values) > 1:
            when = minutes[:, np.newaxis, np.newaxis] + steps
            blocks.append(nine_statistics(values[pods[:, np.newaxis, np.newaxis], members, when]))
        else:  # all pods share it: hundreds of nodes for each row of each pod would be gigabytes
            blocks.append(nine_statistics(values[0, members, once[:, np.newaxis, np.newaxis] + steps])[which])
    return np.concatenate(blocks, axis=-1)


def _mean(values: Floats, used: Mask, axis: int) -> Floats:
    """Mean of the values that are used; 0 where none is."""
    total = np.asarray((values * used).sum(axis=axis), dtype=np.float64)
    return total / np.maximum(used.sum(axis=axis), 1)


def _filled(samples: Floats) -> tuple[Floats, Mask]:
    """Samples without gaps, bounded, and which of them count.

    Those that are there do; at an instant at which no member has one, those that members had last (or next) do.
    """
    present = np.isfinite(samples)
    samples = np.where(present, np.clip(samples, -LIMIT, LIMIT), 0.0)
    if present.all():
        return samples, present
    position = np.arange(samples.shape[-1])
    before = np.maximum.accumulate(np.where(present, position, -1), axis=-1)
    first = np.expand_dims(present.argmax(axis=-1), -1)
    filled = np.take_along_axis(samples, np.where(before >= 0, before, first), axis=-1)
    nobody = ~present.any(axis=-2, keepdims=True)
    return filled, np.asarray(present | (nobody & present.any(axis=-1, keepdims=True)), dtype=bool)
