"""A detector on a series that it never saw: fitted on its train rows without labels, scored on every row."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from aiops_assets.errors import DataError
from aiops_assets.learners.contracts import Flags, WindowDetector
from aiops_assets.learners.detectors.deviation_scores import ALERT_BUDGET
from aiops_assets.learners.detectors.ensemble import EnsemblePredictor
from aiops_assets.learners.detectors.forest_windows import CONTAMINATION, ForestWindows
from aiops_assets.learners.detectors.lstm_autoencoder import LstmAutoencoder
from aiops_assets.timeseries.frames import cadence

TIME_COLUMNS = ("timestamp", "split")
Factory = Callable[[Sequence[str], float | None, int], WindowDetector]

WINDOW_MODELS: Mapping[str, Factory] = {
    "ensemble-predictor": lambda columns, budget, _: EnsemblePredictor(columns, budget or ALERT_BUDGET),
    "anomaly-detector": lambda columns, budget, seed: ForestWindows(columns, budget or CONTAMINATION, seed),
    "lstm-predictor": lambda columns, budget, seed: LstmAutoencoder(columns, budget or ALERT_BUDGET, seed),
}
"""Name -> makes an unfitted detector from columns, alert budget and seed.

``anomaly-detector`` is its recipe over any columns, not the served row detector.
"""


def backtest(
    name: str, frame: pd.DataFrame, seed: int = 42, *, alert_budget: float | None = None, explain: bool = False
) -> pd.DataFrame:
    """Fit a model on the train rows of a series and score all its rows.

    Args:
        name: one of :data:`WINDOW_MODELS`.
        frame: ``timestamp`` (UTC), ``split`` ("train" or "test"), and numeric columns. Rows may be in any order
            and repeat; train rows may be younger than test rows: then they are what went before.
        seed: of models that draw.
        alert_budget: share of the time that may be under alert, above 0 to 0.5; each model's own by default.
        explain: also say which column contributes most to each row.

    Returns:
        ``timestamp``, ``score``, ``alert`` of each row, in the order given; to explain also ``first_column`` (empty
        where nothing is known) and ``first_contribution``, its share, 0-1.

    Raises:
        DataError: unknown model, or no train row.
        ModelError: nothing can be fitted on the train rows.
        SchemaError: a column holds no numbers.
    """
    if name not in WINDOW_MODELS:
        raise DataError(f"no model {name!r} to back-test: there are {', '.join(WINDOW_MODELS)}")
    columns = [column for column in frame.columns if column not in TIME_COLUMNS]
    order, train = stream_order(frame)
    stream = frame.iloc[order]
    detector = WINDOW_MODELS[name](columns, alert_budget, seed)
    detector.fit([stream[train]], _cadence(frame))
    scored = detector.score(stream)
    back = np.argsort(order)
    result = frame[["timestamp"]].reset_index(drop=True)
    result["score"], result["alert"] = scored.score[back], scored.alert[back]
    if explain:
        shares = scored.contributions[back]
        first = np.array(columns, dtype=object)[shares.argmax(axis=1)]
        result["first_contribution"] = shares.max(axis=1)
        result["first_column"] = np.where(result["first_contribution"] > 0, first, "")
    return result


def stream_order(frame: pd.DataFrame) -> tuple[npt.NDArray[np.int64], Flags]:
    """In which order a series is lived through, and which of those rows are train rows.

    By time. Where the train rows are one stretch and test rows lie before it, the train rows come first: what was
    learnt goes before what is judged.

    Raises:
        DataError: no train row.
    """
    train = (frame["split"] == "train").to_numpy()
    if not train.any():
        raise DataError("no train row: mark rows with split = 'train'")
    times = frame["timestamp"].to_numpy()
    tested, first, last = times[~train], times[train].min(), times[train].max()
    mixed = ((tested >= first) & (tested <= last)).any()
    train_first = not mixed and (tested < first).any()
    order = np.lexsort((times, ~train)) if train_first else np.argsort(times, kind="stable")
    return order, train[order]


def _cadence(frame: pd.DataFrame) -> int:
    """Of all rows in the time of the train rows: where test rows lie between them, train rows alone have gaps."""
    times = frame["timestamp"]
    trained = times[(frame["split"] == "train").to_numpy()]
    return cadence(times[times.between(trained.min(), trained.max())].sort_values())
