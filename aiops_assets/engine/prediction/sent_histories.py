"""Histories for the forecaster: names with the same time span on one regular grid, in the catalogue's units."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

import numpy as np
import pandas as pd

from aiops_assets.engine.samples import FORECASTED, MEANINGS, Sample, Series, by_name, unit_factor
from aiops_assets.errors import DataError
from aiops_assets.timeseries.catalog import FORECAST_METRICS
from aiops_assets.timeseries.features import LIMIT
from aiops_assets.timeseries.history import STEP_SECONDS, History
from aiops_assets.timeseries.series import DAY_SECONDS, Floats

HOUR_SECONDS = 3600
HOURLY_FROM = 0.9 * HOUR_SECONDS
"""Samples with at least this distance (seconds) are forecast in steps of an hour."""
MAX_DAYS = 28
"""Longest history in days: older samples do not change a forecast, and hardly a trend."""
NEWEST_SAMPLES = 2016
"""Most samples of a series that are used, a week of five-minute ones."""
MAX_NAMES, MAX_SAMPLES = 20_000, 100_000
"""Most names and samples of a request: more take longer than clients wait."""
METRICS = tuple(metric.name for metric in FORECAST_METRICS)
UNITS = {metric.name: metric.unit for metric in FORECAST_METRICS}
LARGEST = 1e300
"""Largest absolute value of unknown names: sums of larger ones are not finite."""


def series_of(samples: Sequence[Sample], now: datetime) -> dict[str, Series]:
    """The newest 2016 samples of each name, see :func:`~aiops_assets.engine.samples.by_name`.

    Raises:
        DataError: see :func:`require_answerable` and ``by_name``.
    """
    require_answerable(samples)
    newest = slice(-NEWEST_SAMPLES, None)
    return {
        name: replace(one, values=one.values[newest], times=one.times[newest])
        for name, one in by_name(samples, now).items()
    }


def require_answerable(samples: Sequence[Sample]) -> None:
    """Raise DataError for more than 100,000 samples or 20,000 names."""
    if len(samples) > MAX_SAMPLES:
        raise DataError(
            f"{len(samples)} samples: send at most {MAX_SAMPLES} at once", code="too_many_samples", sent=len(samples)
        )
    names = len({sample.name for sample in samples})
    if names > MAX_NAMES:
        raise DataError(
            f"{names} names of metrics: send at most {MAX_NAMES} at once", code="too_many_names", sent=names
        )


def unit_of(name: str) -> str:
    """The catalogue's unit of a name as sent: ratio, cores, count, bytes/s; empty for unknown names."""
    meaning = MEANINGS.get(name)
    return meaning.metric.unit if meaning else UNITS.get(name, "")


def histories_of(series: Mapping[str, Series]) -> list[tuple[History, list[str]]]:
    """Histories and their names: names with the same time span share one, but not two names of the same metric."""
    groups: dict[tuple[int, int, int, int], dict[str, str]] = {}
    for name, one in series.items():
        step = _step(one)
        begins = _begins(one, step)
        span = (step, int(begins[0]), int(begins[-1]))
        metric = FORECASTED[name]
        rank = next(i for i in range(len(series)) if metric not in groups.get((*span, i), {}))
        groups.setdefault((*span, rank), {})[metric] = name
    found = []
    for (step, first, last, _), names in groups.items():
        rows = last - first + 1
        values, known = np.zeros((rows, len(METRICS))), np.zeros((rows, len(METRICS)), dtype=bool)
        for metric, name in names.items():
            m = METRICS.index(metric)
            values[:, m], known[:, m] = _on_grid(series[name], step, rows)
        times = pd.date_range(
            pd.Timestamp(first * step, unit="s", tz="UTC"), periods=rows, freq=f"{step}s", name="timestamp"
        )
        found.append((History(METRICS, times, values, known, step), list(names.values())))
    return found


def _step(one: Series) -> int:
    """The step in seconds: an hour if samples are about an hour apart, else five minutes."""
    if len(one.times) < 2:
        return STEP_SECONDS
    distance = float(np.median(np.diff(one.times) / np.timedelta64(1, "s")))
    return HOUR_SECONDS if distance >= HOURLY_FROM else STEP_SECONDS


def _begins(one: Series, step: int) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
    """The samples' steps since 1970, for the newest :data:`MAX_DAYS` days."""
    begins = one.times.astype("datetime64[s]").astype(np.int64) // step
    kept: np.ndarray[tuple[int], np.dtype[np.int64]] = begins[begins > begins[-1] - MAX_DAYS * DAY_SECONDS // step]
    return kept


def _on_grid(one: Series, step: int, rows: int) -> tuple[Floats, "np.ndarray[tuple[int], np.dtype[np.bool_]]"]:
    """(rows,) means of each step, interpolated where there is no sample; and whether there was one."""
    begins = _begins(one, step)
    values = in_unit(one)[-len(begins) :]
    place = begins - begins[-1] + rows - 1
    count = np.bincount(place, minlength=rows)
    known = count > 0
    mean = np.bincount(place, weights=values, minlength=rows)[known] / count[known]
    return np.interp(np.arange(rows), np.flatnonzero(known), mean), known


def in_unit(one: Series) -> Floats:
    """A series' values in the catalogue's unit, percent as ratios, clipped to possible values."""
    largest = LIMIT if unit_of(one.name) else LARGEST
    clipped: Floats = np.clip(one.values, -largest, largest)
    return clipped / unit_factor(unit_of(one.name), one.values.tolist())
