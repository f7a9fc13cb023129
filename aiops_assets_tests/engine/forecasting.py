"""A forecaster whose answers a test can foresee, and samples at regular times."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt

from aiops_assets.engine.samples import Sample
from aiops_assets.learners.contracts import Forecast
from aiops_assets.timeseries.history import History

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


class LastValue:
    """Each metric stays where it is, give or take two percent; remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[History, int]] = []

    def forecast(self, history: History, horizon: int) -> Forecast:
        self.asked.append((history, horizon))
        value = np.repeat(history.values[-1:], horizon, axis=0)
        return Forecast(history.metrics, history.after(horizon), value, value * 0.98, value * 1.02)


def sent(name: str, values: Sequence[float] | npt.NDArray[np.floating[Any]], step_seconds: int = 300) -> list[Sample]:
    """Samples so far apart, the newest of them now."""
    ages = range(len(values) - 1, -1, -1)
    return [
        Sample(name, float(value), NOW - timedelta(seconds=step_seconds * age))
        for age, value in zip(ages, values, strict=True)
    ]
