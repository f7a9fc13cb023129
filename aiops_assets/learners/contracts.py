"""The contracts of detectors and forecasters.

A high score is an anomaly, everywhere. A *row detector* maps one row to -1 or 1 without history; a *window
detector* gives a score and an alert for every row of a frame from that row's causal past.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd

from aiops_assets.timeseries.history import History
from aiops_assets.timeseries.series import Floats

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Scored:
    """Predictions of a detector for n rows.

    Attributes:
        score: (n_rows,) float64, finite, for ranking: higher is more anomalous.
        alert: (n_rows,) bool, for people: the score is above a threshold that was set without labels.
        contributions: (n_rows, n_columns) float64, each column's part in how anomalous the row is; a row sums to 1, or
            to 0 where nothing is known.
        now: (n_rows,) float64, how unusual the row's own values are, whatever came before; ``None``: the detector does
            not say.
    """

    score: Floats
    alert: Flags
    contributions: Floats
    now: Floats | None = None


class WindowDetector(Protocol):
    """Fits any numeric frame; scores every row from its past.

    A frame has ``timestamp`` (UTC) and numeric columns; it is of one entity (a pod, a server), in order of time.
    """

    columns: tuple[str, ...]

    def fit(self, frames: Sequence[pd.DataFrame], step_seconds: int | None = None) -> None:
        """Learn what is normal from training rows, a frame of each entity, without labels.

        ``step_seconds`` is the cadence of the rows; that of the longest frame by default.
        """

    def score(self, frame: pd.DataFrame) -> Scored:
        """Every row, from this and earlier rows only; state that keeps learning does so in frame order."""


@dataclass(frozen=True)
class Forecast:
    """Medians and intervals of the steps after one forecast origin.

    Attributes:
        metrics: names, in the order of the columns.
        times: (horizon,) begin of each step, UTC.
        value: (horizon, n_metrics) float64, medians, in the metrics' own units.
        lower: (horizon, n_metrics) float64, the begin of the 80 % interval, at most ``value``.
        upper: (horizon, n_metrics) float64, its end, at least ``value``.
    """

    metrics: tuple[str, ...]
    times: pd.DatetimeIndex
    value: Floats
    lower: Floats
    upper: Floats


class Forecaster(Protocol):
    """Learns from a history, and forecasts each of its metrics."""

    def fit(self, history: History) -> None:
        """Learn; short histories are learnt from as far as they go."""

    def forecast(self, history: History, horizon: int) -> Forecast:
        """The ``horizon`` steps after a history of the same metrics, from the newest it has."""
