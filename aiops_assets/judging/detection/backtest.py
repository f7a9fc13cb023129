"""A detector on a series that it never saw: fitted on its train rows without labels, scored on every row."""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from aiops_assets.errors import DataError
from aiops_assets.learners.contracts import Flags, WindowDetector
from aiops_assets.learners.detectors.page_rule import pages
from aiops_assets.timeseries.frames import cadence

TIME_COLUMNS = ("timestamp", "split")


def score_series(
    make: Callable[[Sequence[str]], WindowDetector], frame: pd.DataFrame, *, explain: bool = False
) -> pd.DataFrame:
    """Fit a detector on the train rows of a series and score all its rows.

    Args:
        make: makes an unfitted detector from the names of the numeric columns.
        frame: ``timestamp`` (UTC), ``split`` ("train" or "test"), and numeric columns. Rows may be in any order
            and repeat; train rows may be younger than test rows: then they are what went before.
        explain: also say which column contributes most to each row.

    Returns:
        ``timestamp``, ``score``, ``alert``, ``page`` of each row, in the order given; a page is an alert that is as
        rare as :mod:`~aiops_assets.learners.detectors.page_rule` has it. To explain also ``first_column`` (empty
        where nothing is known) and ``first_contribution``, its share, 0-1.

    Raises:
        DataError: no train row.
        ModelError: nothing can be fitted on the train rows.
        SchemaError: a column holds no numbers.
    """
    columns = [column for column in frame.columns if column not in TIME_COLUMNS]
    order, train = stream_order(frame)
    stream = frame.iloc[order]
    detector = make(columns)
    detector.fit([stream[train]], _cadence(frame))
    scored = detector.score(stream)
    back = np.argsort(order)
    result = frame[["timestamp"]].reset_index(drop=True)
    result["score"], result["alert"] = scored.score[back], scored.alert[back]
    times = stream["timestamp"].to_numpy(dtype="datetime64[ms]")
    result["page"] = pages(times, scored.score, scored.alert, train)[back]
    if explain:
        shares = scored.contributions[back]
        first = np.array(columns, dtype=object)[shares.argmax(axis=1)]
        result["first_contribution"] = shares.max(axis=1)
        result["first_column"] = np.where(result["first_contribution"] > 0, first, "")
    return result


def stream_order(frame: pd.DataFrame) -> tuple[npt.NDArray[np.int64], Flags]:
    """The order in which the rows of a series are scored, and which of them, in that order, are train rows.

    By time. Where the train rows are one stretch and test rows lie before it, the train rows come first: what was
    learnt goes before what is judged.

    Raises:
        DataError: no train row.
    """
    train = (frame["split"] == "train").to_numpy()
    if not train.any():
        raise DataError("no train row: mark rows with split = 'train'", code="no_train_row")
    times = frame["timestamp"].to_numpy()
    tested, first, last = times[~train], times[train].min(), times[train].max()
    mixed = ((tested >= first) & (tested <= last)).any()
    train_first = not mixed and (tested < first).any()
    order = np.lexsort((times, ~train)) if train_first else np.argsort(times, kind="stable")
    return order, train[order]


def _cadence(frame: pd.DataFrame) -> int:
    """Cadence of all rows in the time of the train rows: where test rows lie between, train rows alone have gaps."""
    times = frame["timestamp"]
    trained = times[(frame["split"] == "train").to_numpy()]
    return cadence(times[times.between(trained.min(), trained.max())].sort_values())
