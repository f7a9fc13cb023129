"""A forecaster on a history: fitted on what was known at each origin, it forecasts what followed."""

from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd

from aiops_assets.errors import DataError
from aiops_assets.learners.contracts import Forecast, Forecaster
from aiops_assets.timeseries.history import MIN_ROWS, History

COLUMNS = ("origin", "timestamp", "metric", "value", "lower", "upper")


def origin_rows(history: History, horizon: int, origins: int) -> list[int]:
    """How many rows are known at each origin, oldest first: the last row, and ``origins`` - 1 earlier, a horizon apart.

    Raises:
        DataError: the earliest would leave too short a history.
    """
    rows = len(history.times)
    most = (rows - MIN_ROWS) // horizon + 1
    if not 1 <= origins <= most:
        raise DataError(
            f"{origins} origins, {horizon} steps apart: {rows} steps of history allow 1 to {most}, request fewer "
            "or bring a longer history",
            code="too_many_origins",
            origins=origins,
            most=most,
            rows=rows,
            horizon=horizon,
        )
    return [rows - horizon * back for back in range(origins - 1, -1, -1)]


def forecast_origins(
    make: Callable[[], Forecaster], history: History, horizon: int, origins: int = 1
) -> Iterator[pd.DataFrame]:
    """Fit a forecaster at each origin and forecast, oldest first, without anything that came later.

    Args:
        make: makes an unfitted forecaster.
        history: the history, from :func:`~aiops_assets.timeseries.history.history_of`.
        horizon: steps ahead, up to a day.
        origins: number of forecast origins.

    Yields:
        of each origin :data:`COLUMNS`: ``origin`` (the last step known) and ``timestamp`` in UTC, ``metric``, and
        ``value``, ``lower``, ``upper`` in its unit; metric by metric.

    Raises:
        DataError: a horizon or origins that the history does not allow.
    """
    for rows in origin_rows(history, horizon, origins):
        known = history.until(rows)
        forecaster = make()
        forecaster.fit(known)
        yield as_frame(known.times[-1], forecaster.forecast(known, horizon))


def as_frame(origin: pd.Timestamp, forecast: Forecast) -> pd.DataFrame:
    """A forecast as rows of :data:`COLUMNS`."""
    horizon, metrics = forecast.value.shape
    return pd.DataFrame(
        {
            "origin": origin,
            "timestamp": forecast.times[np.tile(np.arange(horizon), metrics)],
            "metric": np.repeat(np.array(forecast.metrics, dtype=object), horizon),
            **{name: getattr(forecast, name).T.ravel() for name in ("value", "lower", "upper")},
        }
    )
