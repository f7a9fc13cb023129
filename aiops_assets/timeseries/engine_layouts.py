"""The rows that the engine sends to predictive-analytics (3264 columns by name, 5, 4 and 3), and the history in them.

A vector is 24 blocks of 136 columns, of the hours 0 to 23 back, newest first. The window of W hours is the W hourly
samples up to and including t (t - W h excluded), as the detector's; no value is read back from windows: the engine
itself takes theirs on a finer grid. Source: engine contract, section 1.2.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from aiops_assets.errors import DataError, SchemaError
from aiops_assets.timeseries.catalog import FORECAST_METRICS
from aiops_assets.timeseries.features import LIMIT
from aiops_assets.timeseries.history import STEP_SECONDS, History
from aiops_assets.timeseries.series import Floats

HOURS = 24
"""A vector has one block for each of so many hours."""
HOUR_SECONDS = 3600
LAGS = (1, 2, 3, 6, 12, 24)
WINDOWS = (3, 6, 12, 24)
METRICS = tuple(metric.name for metric in FORECAST_METRICS)
TIME_COLUMNS = ("hour", "day_of_week", "day_of_month", "month", "is_weekend", "is_business_hours")
LAG_COLUMNS = tuple(f"lag_{lag}h" for lag in LAGS)
WINDOW_COLUMNS = tuple(f"{statistic}_{hours}h" for hours in WINDOWS for statistic in ("mean", "std", "max", "min"))
METRIC_COLUMNS = ("value", *LAG_COLUMNS, *WINDOW_COLUMNS, "diff", "pct_change")
"""A block has these 25 columns of each metric."""
BLOCK = (*METRICS, *TIME_COLUMNS, *(f"{metric}_{column}" for metric in METRICS for column in METRIC_COLUMNS))
"""A block, one hour, has these 136 columns."""
ENGINE_VECTOR = tuple(f"h{hour:02d}_{column}" for hour in range(HOURS) for column in BLOCK)
"""The 3264 column names; ``h00`` is the newest hour."""
FOUR = ("hour", "day_of_week", "cpu_rolling_mean", "memory_rolling_mean")
"""In rows of four, Sunday is day 0."""
LAYERS = ("infrastructure", "platform", "application")
WIDTHS = (len(ENGINE_VECTOR), len(METRICS), len(FOUR), len(LAYERS))

SILENT = 0.5
"""The engine sends it as value and as each lag of a metric of which Prometheus has no sample."""
SILENT_WINDOW = {"mean": 0.5, "std": 0.1, "max": 0.6, "min": 0.4}
SILENT_COLUMNS = (
    SILENT, *(SILENT for _ in LAGS), *(SILENT_WINDOW[name.partition("_")[0]] for name in WINDOW_COLUMNS), 0.0, 0.0,
)  # fmt: skip
SILENT_ROW = (0.65, 0.72, 0.45, 0.10, 0.08)
"""The engine sends these values for metrics without a sample: in a row of five, and the first two in a row of four."""
PCT_LIMIT = 10.0
BUSINESS_HOURS = range(9, 17)
SATURDAY = 5
CALENDAR_YEARS = 14
"""Years before and after now in which a date is looked for: a calendar comes again within 28."""
CLOSE = 1e-6
"""Relative tolerance: numbers that differ by less are the same."""

_POSITION = {name: position for position, name in enumerate(BLOCK)}
_YEAR = pd.Timedelta(days=366)
_HISTORY_HOURS = HOURS + max(LAGS)
"""Hours that a vector holds samples of: 48."""

Mask = npt.NDArray[np.bool_]


def rows_of(instances: object) -> Floats:
    """Rows of one of the four widths, as they come in a request: (n_rows, width), n_rows >= 1.

    Raises:
        SchemaError: no list of rows, rows of differing width, or of a width that is none of :data:`WIDTHS`.
        DataError: no row at all, or a value that is not a finite number.
    """
    if isinstance(instances, np.ndarray):
        instances = instances.tolist()
    if not isinstance(instances, list | tuple):
        raise SchemaError(f"instances: a list of rows is expected, received {_kind(instances)}", code="no_list")
    if not instances:
        raise DataError("instances is empty: send at least one row", code="no_rows")
    first = _numbers(instances[0], "row 0", WIDTHS)
    return np.array([first, *(_numbers(row, f"row {i}", (len(first),)) for i, row in enumerate(instances[1:], 1))])


def engine_vectors(hourly: pd.DataFrame) -> Floats:
    """The vectors of every hour that has 47 hours before it: (n_hours - 47, 3264), as the engine would send them.

    Args:
        hourly: the five :data:`METRICS` (cores, ratio, ratio, bytes/s, bytes/s) on a UTC index of consecutive hours.
            Where a metric is missing, its columns are the defaults of a silent one; a lag that is missing is the
            value, and a window is of the samples that are there, as the engine does it.

    Raises:
        SchemaError: a metric is missing, or the index is not UTC, or not hours one after the other.
        DataError: fewer than 48 hours.
    """
    missing = [name for name in METRICS if name not in hourly.columns]
    if missing:
        raise SchemaError(f"column {missing[0]} is missing: vectors are made of {', '.join(METRICS)}")
    times = hourly.index
    if not isinstance(times, pd.DatetimeIndex) or str(times.tz) != "UTC":
        raise SchemaError("the index has to be times in UTC: use tz_convert('UTC')")
    if (times[1:] - times[:-1] != pd.Timedelta(hours=1)).any():
        raise SchemaError("the index has to be one hour after the other: use resample('1h').mean()", code="not_hourly")
    if len(hourly) < _HISTORY_HOURS:
        raise DataError(f"{len(hourly)} hours: a vector is of {_HISTORY_HOURS}, bring a longer series")
    values = hourly[list(METRICS)].to_numpy(dtype=np.float64, na_value=np.nan)
    values = np.where(np.isfinite(values), np.clip(values, -LIMIT, LIMIT), np.nan)
    raw = np.where(np.isnan(values), SILENT, values)
    blocks = np.concatenate([raw, _time_columns(times), *(_metric_columns(one) for one in values.T)], axis=1)
    newest_first = np.arange(_HISTORY_HOURS - 1, len(blocks))[:, np.newaxis] - np.arange(HOURS)
    return blocks[newest_first].reshape(-1, len(ENGINE_VECTOR))


def history_of_vector(vector: Sequence[float] | Floats, now: pd.Timestamp | None = None) -> History:
    """The history in a vector of 3264 columns: 48 hours of the five metrics, oldest first, 3600 s apart.

    The newest 24 are the blocks' own values, the others, and those of blocks that are silent, their lags. Not known
    is what the defaults of a silent metric stand for, and an hour about which lags disagree (the engine sends a
    block's own value for a lag that it does not find). Where nothing is known of a metric its values are as sent.

    Args:
        vector: (3264,) finite, columns as in :data:`ENGINE_VECTOR`.
        now: decides the year, and the time where the newest block's time columns are of no date; the clock by default.

    Raises:
        SchemaError: another width.
        DataError: a value that is not a finite number.
    """
    numbers = np.array(_numbers(vector, "vector", (len(ENGINE_VECTOR),)))
    blocks = np.clip(numbers, -LIMIT, LIMIT).reshape(HOURS, len(BLOCK))
    end = _reported_time({name: float(blocks[0, _POSITION[name]]) for name in TIME_COLUMNS}, now)
    reported = [_reported_hours(blocks, m) for m in range(len(METRICS))]
    values, known = (np.stack(part, axis=1)[::-1] for part in zip(*reported, strict=True))
    between = pd.DataFrame(values).where(known).interpolate(limit_direction="both").to_numpy()
    times = pd.date_range(end=end, periods=_HISTORY_HOURS, freq=f"{HOUR_SECONDS}s", name="timestamp")
    return History(METRICS, times, np.where(np.isnan(between), values, between), known, HOUR_SECONDS)


def history_of_row(
    row: Sequence[float] | Floats, step_seconds: int = STEP_SECONDS, now: pd.Timestamp | None = None
) -> History:
    """One sample of the five metrics as a history of one step, which begins at ``now`` (the clock) or before.

    Values that are exactly what the engine sends instead of a metric (:data:`SILENT_ROW`) are not known.

    Raises:
        SchemaError: not five values.
        DataError: a value that is not a finite number.
    """
    values = np.clip(np.array([_numbers(row, "row", (len(METRICS),))]), -LIMIT, LIMIT)
    begin = _now(now).floor(f"{step_seconds}s")
    times = pd.date_range(begin, periods=1, freq=f"{step_seconds}s", name="timestamp")
    return History(METRICS, times, values, ~np.isclose(values, SILENT_ROW, rtol=CLOSE, atol=0), step_seconds)


def _time_columns(times: pd.DatetimeIndex) -> Floats:
    weekend = times.day_of_week >= SATURDAY
    business = times.hour.isin(BUSINESS_HOURS) & ~weekend
    columns = (times.hour, times.day_of_week, times.day, times.month, weekend, business)
    return np.stack([np.asarray(column, dtype=np.float64) for column in columns], axis=1)


def _metric_columns(values: Floats) -> Floats:
    """(n_hours, 25) of one metric, (n_hours,) with NaN where there is no sample."""
    before = np.concatenate([np.full(max(LAGS), np.nan), values])
    lags = np.stack([before[max(LAGS) - lag : len(before) - lag] for lag in LAGS], axis=1)
    lags = np.where(np.isnan(lags), values[:, np.newaxis], lags)
    windows = []
    for hours in WINDOWS:
        window = np.lib.stride_tricks.sliding_window_view(before[max(LAGS) - hours + 1 :], hours)
        there = np.isfinite(window)
        samples, n = np.where(there, window, 0.0), np.maximum(there.sum(axis=1), 1)
        mean = samples.sum(axis=1) / n
        std = np.sqrt((there * (samples - mean[:, np.newaxis]) ** 2).sum(axis=1) / n)
        highest, lowest = np.where(there, window, -np.inf).max(axis=1), np.where(there, window, np.inf).min(axis=1)
        windows += [mean, std, highest, lowest]
    lag = lags[:, LAGS.index(1)]
    diff = values - lag
    with np.errstate(over="ignore"):
        pct_change = np.divide(diff, lag, out=np.zeros_like(diff), where=lag != 0).clip(-PCT_LIMIT, PCT_LIMIT)
    columns = np.column_stack([values, lags, *windows, diff, pct_change])
    return np.where(np.isnan(values)[:, np.newaxis], SILENT_COLUMNS, columns)


def _reported_hours(blocks: Floats, m: int) -> tuple[Floats, Mask]:
    """(48,) values of a metric, newest first, and which are known."""
    name = METRICS[m]
    of_metric = blocks[:, [_POSITION[f"{name}_{column}"] for column in METRIC_COLUMNS]]
    lags = blocks[:, [_POSITION[f"{name}_{column}"] for column in LAG_COLUMNS]]
    raw, value = blocks[:, _POSITION[name]], blocks[:, _POSITION[f"{name}_value"]]
    silent: Mask = np.asarray(np.isclose(of_metric, SILENT_COLUMNS, rtol=CLOSE, atol=CLOSE).all(axis=1))
    if FORECAST_METRICS[m].unit == "bytes/s":  # no interface receives a tenth of a byte for a day
        of_value = np.column_stack([value, lags])
        silent |= np.isclose(of_value, SILENT_ROW[m], rtol=CLOSE, atol=0).all(axis=1)
    values = np.concatenate([raw, np.full(_HISTORY_HOURS - HOURS, raw[-1])])
    known = np.zeros(_HISTORY_HOURS, dtype=bool)
    known[:HOURS] = ~silent | (np.abs(raw - value) > CLOSE * np.abs(value))
    for hour in np.flatnonzero(~known):
        sent = [lags[hour - lag, i] for i, lag in enumerate(LAGS) if 0 <= hour - lag < HOURS and not silent[hour - lag]]
        if sent:
            values[hour] = np.median(sent)
            known[hour] = np.allclose(sent, sent[0], rtol=CLOSE, atol=0)
    return values, known


def _reported_time(reported: dict[str, float], now: pd.Timestamp | None) -> pd.Timestamp:
    """The date and hour nearest to ``now`` that the time columns name; else the last of that weekday and hour."""
    now = _now(now).floor("h")
    hour = int(reported["hour"]) if reported["hour"] in range(24) else now.hour
    today = now.normalize() + pd.Timedelta(hours=hour)
    names = ("month", "day_of_month", "day_of_week")
    days = pd.date_range(today - CALENDAR_YEARS * _YEAR, today + CALENDAR_YEARS * _YEAR, freq="D")
    fits = np.logical_and.reduce([_time_columns(days)[:, TIME_COLUMNS.index(name)] == reported[name] for name in names])
    if fits.any():
        return min(days[fits], key=lambda day: abs(day - now))
    if reported["day_of_week"] in range(7):
        today -= pd.Timedelta(days=(today.day_of_week - int(reported["day_of_week"])) % 7)
    return today - pd.Timedelta(days=7 if today > now else 0)


def _now(now: pd.Timestamp | None) -> pd.Timestamp:
    return pd.Timestamp.now("UTC") if now is None else now.tz_convert("UTC")


def _numbers(row: object, where: str, widths: tuple[int, ...]) -> list[float]:
    """A row's values; JSON's true and false are not numbers."""
    if isinstance(row, np.ndarray):
        row = row.tolist()
    if not isinstance(row, list | tuple):
        raise SchemaError(
            f"{where}: a list of numbers is expected, received {_kind(row)}", code="no_numbers", where=where
        )
    if len(row) not in widths:
        expected = " or ".join(filter(None, [", ".join(map(str, widths[:-1])), str(widths[-1])]))
        raise SchemaError(
            f"{where}: expected {expected} values, received {len(row)}",
            code="other_width",
            where=where,
            widths=widths,
            received=len(row),
        )
    numbers = []
    for i, value in enumerate(row):
        if isinstance(value, bool) or not isinstance(value, int | float | np.floating | np.integer):
            raise DataError(
                f"{where}: value {i} is {_kind(value)}, not a number", code="not_a_number", where=where, position=i
            )
        try:
            number = float(value)
        except OverflowError:
            number = np.inf
        if not np.isfinite(number):
            raise DataError(
                f"{where}: value {i} is not finite: replace NaN and infinity before sending",
                code="not_finite",
                where=where,
                position=i,
            )
        numbers.append(number)
    return numbers


def _kind(value: object) -> str:
    names = {type(None): "null", str: "text", bool: "true or false", dict: "an object", list: "a list"}
    return names.get(type(value), f"a {type(value).__name__}")
