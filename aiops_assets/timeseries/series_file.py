"""Files that users bring: a series to score, and folders of labelled series to judge detectors on.

A series is a Parquet file with ``timestamp`` (an instant; without a zone it is UTC), optionally ``split``
("train" or "test"), and 1 to 1,000 numeric columns, with rows 10 s to 1 h apart. Rows may be missing, repeated
and out of order, and train rows may lie after test rows. Without ``split``, the first third of the rows in order of
time is train. A folder of labelled series holds ``series/<set>__<name>.parquet`` and, under the same names in
``labels/``, ``timestamp``, ``split`` and ``label`` (1 is anomalous).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from aiops_assets.errors import DataError
from aiops_assets.timeseries.frames import supported
from aiops_assets.timeseries.series import Floats

TIME, SPLIT, LABEL = "timestamp", "split", "label"
SPLITS = ("train", "test")
ANSWERS = frozenset(
    ("label", "labels", "anomaly", "anomalies", "anomalous", "outlier", "changepoint", "groundtruth", "fault")
)
"""Names of columns, letters only and without a leading "is", that hold the answer if they hold 0 and 1."""
TRAIN_SHARE = 1 / 3
"""Where a series has no column ``split``, this share of its rows, the oldest, is train."""
MAX_COLUMNS = 1_000
MAX_ROWS = 5_000_000
MAX_VALUES = 25_000_000
"""Rows times columns: a detector takes up to 200 bytes of memory for each."""
YEARS = (1970, 2200)

_PANDAS_INDEX = "__index_level_"


@dataclass(frozen=True)
class LabelledSeries:
    """Where a labelled series lies; ``name`` is ``<set>__<series>``."""

    name: str
    series: Path
    labels: Path


def read_series(path: Path, *, to_fit: bool = True) -> pd.DataFrame:
    """A checked series, in the row order of its file.

    Args:
        path: Parquet file.
        to_fit: a detector is to be fitted on it, so some rows must be train rows.

    Returns:
        ``timestamp`` (UTC), ``split`` ("train" or "test"), then the numeric columns as float64; infinities are NaN.
        Columns that hold the answer (``label``, or 0 and 1 under a name such as ``is_anomaly``) are left out: a
        detector that reads it finds it. Their names are in ``attrs["left_out"]``.

    Raises:
        DataError: names the file, the column, what is wrong and the cure.
    """
    table = _table(path)
    left_out = [name for name in table.column_names if _is_answer(name, table)]
    names = [name for name in table.column_names if name not in (TIME, SPLIT, *left_out)]
    if not names:
        others = ", ".join((TIME, SPLIT, *(left_out or [LABEL])))
        raise DataError(
            f"{path}: no numeric column beside {others}: there is nothing to score",
            code="no_numeric_column",
        )
    if len(names) > MAX_COLUMNS:
        raise DataError(
            f"{path}: {len(names)} numeric columns: at most {MAX_COLUMNS} are allowed, choose some",
            code="too_many_columns",
            columns=len(names),
        )
    times = _times(path, table)
    _check_cadence(path, times)
    frame = pd.DataFrame(_values(path, table, names), columns=names)
    frame.insert(0, TIME, times)
    frame.insert(1, SPLIT, _given_split(path, table) if SPLIT in table.column_names else _first_third(times))
    if to_fit and not (frame[SPLIT] == "train").any():
        raise DataError(
            f"{path}: no row has {SPLIT} 'train': a detector is fitted on train rows only, mark some",
            code="no_train_row",
        )
    frame.attrs["left_out"] = tuple(left_out)
    return frame


def read_labels(path: Path) -> pd.DataFrame:
    """The truth about a series: ``timestamp`` (UTC), ``split``, ``label`` (0 or 1).

    Raises:
        DataError: names the file, the column, what is wrong and the cure.
    """
    table = _table(path)
    for name in (SPLIT, LABEL):
        if name not in table.column_names:
            raise DataError(
                f"{path}: no column {name}: labels need {TIME}, {SPLIT} and {LABEL}", code="missing_column", column=name
            )
    labels = _values(path, table, [LABEL])[:, 0]
    if not np.isin(labels, (0.0, 1.0)).all():
        raise DataError(
            f"{path}: column {LABEL} holds something else than 0 and 1: 1 is anomalous, 0 is not", code="bad_label"
        )
    split = _given_split(path, table)
    if "test" not in split:
        raise DataError(f"{path}: no row has {SPLIT} 'test': there is nothing to judge", code="no_test_row")
    return pd.DataFrame({TIME: _times(path, table), SPLIT: split, LABEL: labels.astype(np.int8)})


def labelled_folder(folder: Path) -> list[LabelledSeries]:
    """The labelled series of a folder, by name.

    Raises:
        DataError: the folder has another layout.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: there is no such folder", code="no_folder")
    paths = sorted((folder / "series").glob("*.parquet"))
    if not paths:
        raise DataError(
            f"{folder} holds no series/*.parquet: a folder with series/ and labels/ is expected", code="no_series"
        )
    found = [LabelledSeries(path.stem, path, folder / "labels" / path.name) for path in paths]
    for one in found:
        if not one.labels.is_file():
            raise DataError(
                f"{one.labels} is missing: each series needs its labels", code="missing_labels", path=one.labels
            )
    return found


def _is_answer(name: str, table: pa.Table) -> bool:
    """Whether a column says which rows are anomalous."""
    if name == LABEL:
        return True
    plain = "".join(filter(str.isalpha, name.lower())).removeprefix("is")
    column = table.column(name)
    return plain in ANSWERS and _is_number(column.type) and set(column.unique().to_pylist()) <= {0, 1, None}


def _table(path: Path) -> pa.Table:
    if not path.is_file():
        is_there = "is not a regular file" if path.exists() else "there is no such file"
        code = "not_regular" if path.exists() else "no_file"
        raise DataError(f"{path}: {is_there}, name a Parquet file", code=code)
    try:
        with pq.ParquetFile(path) as file:
            rows = file.metadata.num_rows
            names = [name for name in file.schema_arrow.names if not name.startswith(_PANDAS_INDEX)]
            _check_shape(path, rows, names)
            table = file.read(columns=names)
    except (pa.ArrowException, OSError, ValueError) as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(
            f"{path}: not a Parquet file that can be read, write it again: {first[:200]}", code="not_parquet"
        ) from None
    return table


def _check_shape(path: Path, rows: int, names: list[str]) -> None:
    if TIME not in names:
        others = f"; there are {', '.join(map(repr, names[:5]))}" if names else ""
        raise DataError(
            f"{path}: no column {TIME}: name the column of times so{others}", code="missing_column", column=TIME
        )
    repeated = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
    if repeated:
        raise DataError(
            f"{path}: more than one column is named {repeated[0]!r}: rename or drop all but one",
            code="repeated_column",
            column=repeated[0],
        )
    if not rows:
        raise DataError(f"{path}: no rows, export a longer range", code="no_rows")
    if rows > MAX_ROWS:
        raise DataError(
            f"{path}: {rows} rows: at most {MAX_ROWS} are allowed, score a shorter range or a longer step",
            code="too_many_rows",
            rows=rows,
        )
    if rows * len(names) > MAX_VALUES:
        raise DataError(
            f"{path}: {rows} rows of {len(names)} columns: at most {MAX_VALUES} values are allowed, score fewer "
            "columns or a shorter range",
            code="too_many_values",
            rows=rows,
            columns=len(names),
        )


def _times(path: Path, table: pa.Table) -> pd.Series:
    column = table.column(TIME)
    if not pa.types.is_timestamp(column.type):
        raise DataError(
            f"{path}: column {TIME} is {column.type}: write times, for example with pandas.to_datetime",
            code="not_times",
        )
    if column.null_count:
        raise DataError(
            f"{path}: column {TIME} is empty in {column.null_count} rows: drop them",
            code="empty_times",
            rows=column.null_count,
        )
    # With a zone or without one, the integers count from 1970 in UTC.
    instants = column.cast(pa.int64()).to_numpy().view(f"datetime64[{column.type.unit}]")
    years = instants[[instants.argmin(), instants.argmax()]].astype("datetime64[Y]").astype(np.int64) + 1970
    if years[0] < YEARS[0] or years[1] > YEARS[1]:
        raise DataError(
            f"{path}: column {TIME} goes from the year {years[0]} to {years[1]}: {YEARS[0]} to {YEARS[1]} is allowed, "
            "look at the unit it was written with",
            code="bad_years",
            first=int(years[0]),
            last=int(years[1]),
        )
    return pd.Series(instants).dt.tz_localize("UTC")


def _check_cadence(path: Path, times: pd.Series) -> None:
    instants = np.unique(times.dt.tz_localize(None).to_numpy())
    if len(instants) < 2:
        return
    step = float(np.median(np.diff(instants) / np.timedelta64(1, "s")))
    if not supported(step):
        raise DataError(
            f"{path}: rows are {step:g} s apart (median of column {TIME}): 10 s to 1 h is "
            "allowed, resample the series or look at the unit of its times",
            code="bad_cadence",
            step=float(step),
        )


def _values(path: Path, table: pa.Table, names: list[str]) -> Floats:
    values = np.empty((table.num_rows, len(names)), order="F")
    for position, name in enumerate(names):
        column = table.column(name)
        if not _is_number(column.type):
            raise DataError(
                f"{path}: column {name!r} is {column.type}, not numeric: drop it or turn it into numbers",
                code="not_numeric",
                column=name,
            )
        if pa.types.is_boolean(column.type):
            column = column.cast(pa.uint8())
        # Integers above 2^53 are rounded, as any float64 is.
        values[:, position] = column.cast(pa.float64(), safe=False).to_numpy()
    values[~np.isfinite(values)] = np.nan
    return values


def _is_number(kind: Any) -> bool:
    tests = (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean, pa.types.is_decimal, pa.types.is_null)
    return any(test(kind) for test in tests)


def _given_split(path: Path, table: pa.Table) -> npt.NDArray[np.object_]:
    column = table.column(SPLIT)
    found = column.unique().to_pylist()
    for value in found:
        if value not in SPLITS:
            raise DataError(
                f"{path}: column {SPLIT} holds {value!r:.80}: 'train' and 'test' are allowed",
                code="bad_split",
                value=value,
            )
    given: npt.NDArray[np.object_] = column.cast(pa.string()).to_numpy()
    return given


def _first_third(times: pd.Series) -> npt.NDArray[np.object_]:
    """Rows of one instant are of one split."""
    last = times.sort_values().iloc[int(np.ceil(len(times) * TRAIN_SHARE)) - 1]
    return np.where(times <= last, *SPLITS).astype(object)
