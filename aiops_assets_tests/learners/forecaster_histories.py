"""Histories out of a seed, and what ARIMA and Prophet forecast of them."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from aiops_assets.learners.contracts import Forecast
from aiops_assets.learners.forecasters.arima import ArimaForecaster
from aiops_assets.learners.forecasters.per_metric import PerMetricForecaster
from aiops_assets.learners.forecasters.prophet import ProphetForecaster
from aiops_assets.timeseries.history import History, history_of
from aiops_assets.timeseries.series import Floats

DAY = 288
KINDS: list[Callable[[], PerMetricForecaster]] = [ArimaForecaster, ProphetForecaster]
both = pytest.mark.parametrize("kind", KINDS)


def history(*columns: Floats, keep: Floats | None = None, step: str = "5min") -> History:
    times = pd.date_range("2026-01-01", periods=len(columns[0]), freq=step, tz="UTC")
    frame = pd.DataFrame({"timestamp": times, **{f"m{i}": column for i, column in enumerate(columns)}})
    return history_of(frame if keep is None else frame[keep.astype(bool)])


def noisy(days: float, seed: int = 1, noise: float = 0.2) -> Floats:
    """A daily swing that stays where it is, below noise."""
    steps = np.arange(round(days * DAY))
    return 3 + np.sin(steps / DAY * 2 * np.pi) + np.random.default_rng(seed).normal(0, noise, len(steps))


def autoregressive(rows: int, share: float, seed: int = 1) -> Floats:
    values = np.random.default_rng(seed).normal(0, 1, rows)
    for t in range(1, rows):
        values[t] += share * values[t - 1]
    return values


def forecast_of(kind: Callable[[], PerMetricForecaster], known: History, horizon: int = DAY) -> Forecast:
    forecaster = kind()
    forecaster.fit(known)
    return forecaster.forecast(known, horizon)
