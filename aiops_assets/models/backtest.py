"""The detector's recipe on labelled series that it never saw: any columns, any cadence, no labels in the fit."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from aiops_assets.errors import DataError
from aiops_assets.models import isolation_forest
from aiops_assets.models.evaluation import Figures, judge
from aiops_assets.timeseries.features import FEATURES, HISTORY, STATISTICS, nine_statistics, row_mask
from aiops_assets.timeseries.series import KINDS, Floats, PodSeries
from aiops_assets.timeseries.training_rows import label_frame

TIME_COLUMNS = ("timestamp", "split")


@dataclass(frozen=True)
class SeriesFigures:
    """How the recipe did on one series: ranking, and what its own alerts would have meant."""

    name: str
    rows: int
    columns: int
    average_precision: float
    label_rate: float
    recall: float
    alert_share_of_normal: float


def score_frame(frame: pd.DataFrame, seed: int = 42) -> tuple[Floats, np.ndarray]:
    """Score every row of a series from its causal past, fitted on its train rows.

    Args:
        frame: ``timestamp``, ``split`` ("train" or "test"), and numeric columns, at least 50 train rows.
        seed: of the forest.

    Returns:
        (n_rows,) scores, higher is more anomalous, and (n_rows,) flags, true where an alert is raised.

    Raises:
        DataError: no numeric column, or too few train rows.
    """
    from sklearn.ensemble import IsolationForest
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import RobustScaler

    columns = [name for name in frame.columns if name not in TIME_COLUMNS]
    train = (frame["split"] == "train").to_numpy()
    if not columns or train.sum() < 50:
        raise DataError(f"{len(columns)} columns and {train.sum()} train rows: at least 1 and 50 are needed")
    values = frame[columns].to_numpy(dtype=np.float64)
    padded = np.concatenate([np.repeat(values[:1], HISTORY - 1, axis=0), values])
    windows = np.lib.stride_tricks.sliding_window_view(padded, HISTORY, axis=0)
    features = nine_statistics(windows[:, :, np.newaxis]).reshape(len(frame), len(columns) * len(STATISTICS))
    model = make_pipeline(RobustScaler(), IsolationForest(contamination=0.03, random_state=seed))
    model.fit(features[train])
    scores = -model.decision_function(features)
    return scores, scores > 0


def labelled_folder(folder: Path) -> Iterator[tuple[str, pd.DataFrame, np.ndarray]]:
    """Series and labels of a folder: ``series/<name>.parquet`` beside ``labels/<name>.parquet``.

    Raises:
        DataError: the folder has another layout.
    """
    paths = sorted((folder / "series").glob("*.parquet"))
    if not paths:
        raise DataError(f"{folder} holds no series/*.parquet: a folder with series/ and labels/ is expected")
    for path in paths:
        truth = folder / "labels" / path.name
        if not truth.is_file():
            raise DataError(f"{truth} is missing: each series needs its labels")
        yield path.stem, pd.read_parquet(path), pd.read_parquet(truth)["label"].to_numpy()


def judge_series(name: str, frame: pd.DataFrame, labels: np.ndarray) -> SeriesFigures:
    """Fit on the train rows of a series, judge on its test rows."""
    from sklearn.metrics import average_precision_score

    scores, alerts = score_frame(frame)
    test = (frame["split"] == "test").to_numpy()
    truth = labels[test] == 1
    return SeriesFigures(
        name=name,
        rows=int(test.sum()),
        columns=frame.shape[1] - len(TIME_COLUMNS),
        average_precision=float(average_precision_score(truth, scores[test])) if truth.any() else float("nan"),
        label_rate=float(truth.mean()),
        recall=float(alerts[test][truth].mean()) if truth.any() else float("nan"),
        alert_share_of_normal=float(alerts[test][~truth].mean()),
    )


def judge_generated(pipeline: object, series: PodSeries) -> tuple[Figures, dict[str, float]]:
    """Judge a served row detector on labelled series that it never saw.

    Returns:
        figures over rows, and kind -> share of its episodes in which at least one row raises an alarm.
    """
    taken = row_mask(series)
    rows = label_frame(series, taken, 0, source="synthetic")
    figures = judge(pipeline, rows)
    alarms = np.zeros(taken.shape, dtype=bool)
    minutes, pods = np.nonzero(taken.T)
    alarms[pods, minutes] = isolation_forest.predict(pipeline, rows[list(FEATURES)].to_numpy()) == -1
    caught: dict[str, list[bool]] = {}
    for pod, kinds in enumerate(series.kind):
        edges = np.flatnonzero(np.diff(kinds, prepend=0, append=0))
        for begin, end in itertools.pairwise(edges):
            if kinds[begin] and taken[pod, begin:end].any():
                caught.setdefault(KINDS[kinds[begin]], []).append(bool(alarms[pod, begin:end].any()))
    return figures, {kind: float(np.mean(flags)) for kind, flags in sorted(caught.items())}
