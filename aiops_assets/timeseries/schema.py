"""Columns of a training set, their validation, and the content digest that names it."""

import hashlib
from collections.abc import Mapping

import numpy as np
import pandas as pd

from aiops_assets.errors import SchemaError

DIGEST_BYTES = 16
"""32 hex digits: MLflow takes dataset digests of at most 36 characters."""


def content_digest(frame: pd.DataFrame) -> str:
    """A digest of rows, not of file bytes: 32 hex digits.

    The same rows give the same digest whatever the file format, the resolution of time stamps or the way
    text is held in memory. Row order, column order, names and kinds of values count.

    Raises:
        SchemaError: a column holds something else than numbers, flags, text or UTC time.
    """
    digest = hashlib.blake2b(digest_size=DIGEST_BYTES)
    digest.update(f"rows {len(frame)}\n".encode())
    for name in frame.columns:
        column = frame[name]
        if isinstance(column.dtype, pd.DatetimeTZDtype):
            kind, data = "time", column.dt.tz_convert("UTC").dt.as_unit("us").astype("int64").to_numpy()
        elif column.dtype == bool:
            kind, data = "flag", column.to_numpy()
        elif pd.api.types.is_integer_dtype(column.dtype):
            kind, data = "int", column.to_numpy(dtype="<i8")
        elif pd.api.types.is_float_dtype(column.dtype):
            # Adding zero makes -0.0 and 0.0 the same bytes, as they are the same number.
            kind, data = "float", column.to_numpy(dtype="<f8") + 0.0
        else:
            kind, data = "text", _text_bytes(column)
        digest.update(f"{name}\x00{kind}\n".encode())
        digest.update(np.ascontiguousarray(data).data)
    return digest.hexdigest()


def combined_digest(digests: Mapping[str, str]) -> str:
    """One digest of several named ones, whatever their order."""
    text = "".join(f"{name}={digests[name]}\n" for name in sorted(digests))
    return hashlib.blake2b(text.encode(), digest_size=DIGEST_BYTES).hexdigest()


def day_digests(frame: pd.DataFrame) -> dict[str, str]:
    """UTC day -> content digest of its rows, for a frame in order of its column ``timestamp``."""
    days = frame["timestamp"].dt.strftime("%Y-%m-%d")
    return {str(day): content_digest(rows) for day, rows in frame.groupby(days, sort=True)}


def require_columns(frame: pd.DataFrame, columns: tuple[str, ...]) -> None:
    """Check that the frame has exactly these columns in this order.

    Raises:
        SchemaError: naming what is missing, unexpected or out of place.
    """
    have = tuple(map(str, frame.columns))
    if have == columns:
        return
    missing = [name for name in columns if name not in have]
    extra = [name for name in have if name not in columns]
    if missing or extra:
        raise SchemaError(
            f"columns differ from the schema: missing {missing}, unexpected {extra}",
            code="other_columns",
            missing=missing,
            unexpected=extra,
        )
    first = next(i for i, (a, b) in enumerate(zip(have, columns, strict=True)) if a != b)
    raise SchemaError(
        f"columns are out of order: number {first} is {have[first]}, should be {columns[first]}",
        code="column_order",
        position=first,
    )


def require_rows(frame: pd.DataFrame, columns: tuple[str, ...]) -> None:
    """Check that a training set has exactly these columns in this order, and a row.

    Raises:
        SchemaError: naming what is wrong.
    """
    require_columns(frame, columns)
    if frame.empty:
        raise SchemaError("the training set has no rows", code="no_rows")


def require_no_infinity(frame: pd.DataFrame, columns: tuple[str, ...]) -> None:
    """Check that these columns hold numbers and NaN alone.

    Raises:
        SchemaError: naming the columns that do not.
    """
    infinite = [name for name in columns if np.isinf(frame[name]).any()]
    if infinite:
        raise SchemaError(f"infinite values in {infinite}", code="infinite_values", columns=infinite)


def _text_bytes(column: pd.Series) -> np.ndarray:
    """Codes and sorted distinct values, so that repeated text is cheap and categories do not matter."""
    unfit = SchemaError(
        f"column {column.name}: {column.dtype} values cannot be digested", code="no_digest", column=column.name
    )
    try:
        codes, distinct = pd.factorize(column)
    except TypeError:  # values that have no hash
        raise unfit from None
    values = list(distinct)
    if (codes < 0).any() or not all(isinstance(value, str) for value in values):
        raise unfit
    rank = np.empty(len(values), dtype="<i8")
    rank[sorted(range(len(values)), key=values.__getitem__)] = np.arange(len(values))
    joined = "\x00".join(sorted(values)).encode()
    return np.concatenate([np.frombuffer(joined, dtype=np.uint8), rank[codes].view(np.uint8)])
