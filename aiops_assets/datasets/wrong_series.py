"""What must not be in the lake: series that are not a metric's, and values that cannot be true."""

from contextlib import suppress
from datetime import date
from functools import lru_cache

import numpy as np
import pandas as pd

from aiops_assets.errors import IntegrityError, NotFoundError
from aiops_assets.storage.day_file import names_of
from aiops_assets.storage.day_info import DayInfo
from aiops_assets.storage.lake import Lake
from aiops_assets.timeseries.catalog import MetricSpec
from aiops_assets.timeseries.pod_identity import pod_of
from aiops_assets.timeseries.quality import outside_mask
from aiops_assets.timeseries.shape import shape_problem


def of_metric(metric: MetricSpec, frame: pd.DataFrame) -> pd.DataFrame:
    """The series of an answer that are a metric's; what no pod owns beside series of pods is left out.

    Sums by pod have such a series where some containers carry no label of one.

    Args:
        metric: the metric that was requested.
        frame: (instants, series), columns named by their labels as JSON.

    Raises:
        PrometheusAnswerError: the series are those of another query, or two are about the same thing.
    """
    there = (~np.isnan(frame.to_numpy(dtype=np.float64))).any(axis=0)
    if not there.all():
        frame = frame.loc[:, there]
    names = tuple(names_of(frame))
    kept = _names_of(metric, names)
    return frame if len(kept) == len(names) else frame[list(kept)]


@lru_cache(maxsize=8)
def _names_of(metric: MetricSpec, names: tuple[str, ...]) -> tuple[str, ...]:
    """The names that are a metric's: mostly the same ones day after day. Raises PrometheusAnswerError: not all are."""
    if metric.per == "pod":
        names = tuple(name for name in names if pod_of(name)) or names
    problem = shape_problem(metric, names)
    if problem:
        raise problem.error()
    return names


def wrong_series(metric: MetricSpec, wide: pd.DataFrame) -> set[str]:
    """Stored series that a fetch would not store today: other labels than the query yields, or most values outside."""
    outside = outside_mask(wide.to_numpy(), metric).sum(axis=0) > wide.notna().sum(axis=0).to_numpy() / 2
    return {
        str(name) for name, is_out in zip(wide.columns, outside, strict=True) if is_out or shape_problem(metric, [name])
    }


def drop_wrong(lake: Lake, metric: MetricSpec, day: date) -> tuple[DayInfo | None, set[str]]:
    """Remove the wrong series of a stored day; its metadata afterwards, and the names of what was removed."""
    with suppress(NotFoundError, IntegrityError):
        wide, info = lake.read_day(metric, day)
        names = wrong_series(metric, wide)
        return (lake.drop_series(metric, day, names) if names else info), names
    return None, set()
