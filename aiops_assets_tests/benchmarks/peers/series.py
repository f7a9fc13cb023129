"""A labelled series as every method sees it: its rows in the order in which they are learnt and scored."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Series:
    """A series without its labels; train rows first, each part in order of time.

    Train rows are learnt before any test row is scored, also where a series has them later in time.

    Attributes:
        frame: ``timestamp``, ``split``, and the metrics as they are in the file.
        values: (n_rows, n_metrics) float64, finite: a gap has the metric's last value, 0 before the first.
        n_train: how many rows of the beginning are train rows.
        step_seconds: between two rows.
    """

    frame: pd.DataFrame
    values: Floats
    n_train: int
    step_seconds: float

    def rows(self, seconds: float, least: int = 1) -> int:
        """How many rows are as long as ``seconds``, at least ``least``."""
        return max(round(seconds / self.step_seconds), least)


@dataclass(frozen=True)
class Scores:
    """What a method says of each row, in the order of a ``Series``.

    Attributes:
        score: (n_rows,) higher is more anomalous.
        alert: (n_rows,) by the method's own rule; None where it has none.
    """

    score: Floats
    alert: Flags | None = None


class Method(Protocol):
    """Fits the train rows and scores every row from this and earlier rows."""

    def __call__(self, series: Series) -> Scores:
        """Scores of all rows."""


def series_of(frame: pd.DataFrame) -> Series:
    """A frame with ``timestamp``, ``split`` (train or test) and numeric columns as a series."""
    train = frame["split"].eq("train")
    ordered = pd.concat([frame[train].sort_values("timestamp"), frame[~train].sort_values("timestamp")])
    metrics = ordered.drop(columns=["timestamp", "split"])
    filled = metrics.astype(np.float64).replace([np.inf, -np.inf], np.nan).ffill().fillna(0.0)
    step = frame["timestamp"].sort_values().diff().dt.total_seconds().median()
    return Series(ordered.reset_index(drop=True), filled.to_numpy(), int(train.sum()), float(step))


def series_files(folder: Path) -> list[Path]:
    """The series of a folder, in order of their names.

    Raises:
        SystemExit: there is none.
    """
    found = sorted((folder / "series").glob("*.parquet"))
    if not found:
        raise SystemExit(f"{folder} holds no series/*.parquet: a folder with series/ and labels/ is expected")
    return found
