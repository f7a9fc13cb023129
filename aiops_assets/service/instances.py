"""Converts instances of a request to arrays: rows of a fixed width, or windows of rows. Errors name the place."""

from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

from aiops_assets.errors import DataError, SchemaError

Floats = npt.NDArray[np.float64]
NUMBERS = {int, float}
KINDS = {type(None): "null", str: "text", bool: "true or false", dict: "an object", list: "a list", float: "a number"}
MAX_DIMENSIONS = 3
DATATYPES = ("FP64", "FP32", "INT64", "INT32")
"""Supported datatypes of tensors in the V2 protocol."""


def rows_of(instances: object, widths: Sequence[int]) -> Floats:
    """Rows of a request: (n_rows, width), n_rows >= 1, finite.

    Raises:
        SchemaError: the instances are not a list of rows, or their widths differ or are not in ``widths``.
        DataError: there is no row, or a value is not a finite number.
    """
    rows = _filled_list(instances, "instances", "a list of rows")
    for i, row in enumerate(rows):
        if type(row) is not list:
            raise SchemaError(f"instance {i}: a list of numbers is expected, received {_kind(row)}")
    width = len(rows[0])
    if width not in widths:
        expected = " or ".join(filter(None, [", ".join(map(str, widths[:-1])), str(widths[-1])]))
        raise SchemaError(
            f"instances: expected rows of width {expected}, received width {width}",
            code="wrong_width",
            width=width,
            expected=tuple(widths),
        )
    for i, row in enumerate(rows):
        if len(row) != width:
            raise SchemaError(f"instances: row 0 has width {width}, row {i} has width {len(row)}: send rows alike")
    return _numbers(rows, "row")


def windows_of(instances: object, width: int, least_rows: int) -> list[Floats]:
    """Windows of a request, each (n_rows, width) with at least ``least_rows`` rows, oldest first.

    A list of rows is one window: the engine's client sends lists of rows to every model (engine contract, section 6).

    Raises:
        SchemaError: the instances are not a list of windows or of rows, a row has another width, or a window is too
            short.
        DataError: there is no window, or a value is not a finite number.
    """
    expected = f"a window of at least {least_rows} rows of width {width}, oldest first"
    given = _filled_list(instances, "instances", f"a list of windows, each {expected}")
    if all(type(row) is list and row and type(row[0]) is not list for row in given):
        given = [given]
    windows = []
    for i, window in enumerate(given):
        if type(window) is not list or not window or type(window[0]) is not list:
            received = f"a row of width {len(window)}" if type(window) is list else _kind(window)
            raise SchemaError(f"instance {i}: expected {expected}, received {received}")
        widths = {len(row) for row in window if type(row) is list} - {width}
        if widths:
            raise SchemaError(
                f"instance {i}: expected {expected}, received rows of width {', '.join(map(str, sorted(widths)))}",
                code="wrong_width",
                expected=(width,),
                width=min(widths),
            )
        if len(window) < least_rows:
            raise SchemaError(f"instance {i}: expected {expected}, received {len(window)} rows", code="short_window")
        try:
            windows.append(rows_of(window, (width,)))
        except (DataError, SchemaError) as error:
            raise type(error)(f"instance {i}: {error}") from None
    return windows


def tensor(given: object) -> list[object]:
    """The one input of a V2 request as nested lists of its shape.

    Raises:
        SchemaError: there is not exactly one tensor, its datatype is not numeric, or its data do not fit its shape.
        DataError: a value is not a finite number.
    """
    inputs = _filled_list(given, "inputs", "a list with one tensor")
    if len(inputs) != 1 or type(inputs[0]) is not dict:
        raise SchemaError(f"inputs: one tensor is expected, received {len(inputs)}")
    shape, datatype, data = (inputs[0].get(name) for name in ("shape", "datatype", "data"))
    if datatype not in DATATYPES:
        raise SchemaError(f"inputs[0].datatype: expected one of {', '.join(DATATYPES)}")
    if type(shape) is not list or not 0 < len(shape) <= MAX_DIMENSIONS:
        raise SchemaError(f"inputs[0].shape: expected a list of 1 to {MAX_DIMENSIONS} integers")
    if any(type(n) is not int or n < 1 for n in shape):
        raise SchemaError("inputs[0].shape: expected positive integers")
    flat = _filled_list(data, "inputs[0].data", "a list of numbers")
    while type(flat[0]) is list:
        if any(type(one) is not list for one in flat):
            raise SchemaError("inputs[0].data: lists and numbers are mixed")
        flat = list(chain.from_iterable(flat))
        if not flat:
            raise DataError("inputs[0].data is empty")
    size = 1
    for n in shape:
        size *= n
    if len(flat) != size:
        raise SchemaError(f"inputs[0]: shape {shape} is {size} values, received {len(flat)}")
    nested: list[object] = _numbers([flat], "data")[0].reshape(shape).tolist()
    return nested


def _filled_list(value: object, where: str, what: str) -> list[Any]:
    if type(value) is not list:
        raise SchemaError(f"{where}: {what} is expected, received {_kind(value)}")
    if not value:
        raise DataError(f"{where} is empty: send at least one")
    return value


def _numbers(rows: list[Any], what: str) -> Floats:
    """Rows of one length as an array. JSON's true and false are not numbers."""
    if not set(map(type, chain.from_iterable(rows))) <= NUMBERS:
        for i, row in enumerate(rows):
            for j, value in enumerate(row):
                if type(value) not in NUMBERS:
                    raise DataError(f"{what} {i}: value {j} is {_kind(value)}, not a number")
    try:
        array = np.array(rows, dtype=np.float64)
    except OverflowError:
        raise DataError(f"{what}: a number is too large") from None
    if not np.isfinite(array).all():
        i, j = np.argwhere(~np.isfinite(array))[0]
        raise DataError(f"{what} {i}: value {j} is not finite: replace NaN and infinity before sending")
    return array


def _kind(value: object) -> str:
    return KINDS.get(type(value), "a number")
