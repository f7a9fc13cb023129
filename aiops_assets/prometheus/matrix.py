"""The numbers of a range query's answer, on the requested grid.

Nearly all of such a body is ``[1772366400,"0.25"]`` over and over, and a JSON parser spends ten times as long
on it as the network does. So the samples are cut out of the body, the small rest is parsed as JSON, and all
samples are read at once by pyarrow's CSV reader. Where the text is not exactly of that form, the whole body is
parsed as JSON: slower, and with the same result. Checks of the answer and their messages are the same for both ways.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyarrow import csv

from aiops_assets.errors import PrometheusAnswerError
from aiops_assets.prometheus.answers import MAX_SERIES, Floats, notes_of, parsed, read_result, samples, series_of
from aiops_assets.prometheus.transport import Answer
from aiops_assets.prometheus.wording import one_line, query_note

SAMPLES, END = b',"values":[[', b"]]"
"""Stand before and after the samples of a series; a JSON string could contain them only escaped."""
BEGIN, BETWEEN = b",[", b"],["
NOT_FINITE = ["NaN", "+Inf", "-Inf"]
COLUMNS = ["nothing", "time", "value"]
"""Of ``],[1772366400,"0.25"`` the CSV reader is given a new line and ``,1772366400,0.25``."""
NOT_IN_NUMBERS = b" \t\n\v\f\rxX(){}"
"""The CSV reader trims space, and reads some numbers that are not JSON's with these characters."""
TO_TABLE = bytes.maketrans(b"]" + NOT_IN_NUMBERS, b"\n" + b"!" * len(NOT_IN_NUMBERS))
LEFT_OUT, LEFT_OUT_OF_EACH = b'["', 3


@dataclass(frozen=True)
class Matrix:
    """Series on a grid.

    Attributes:
        names: (n_series,) names by :func:`series_name`, in the order of the server.
        values: (n_series, points) float64; NaN where there is no sample, or a NaN or infinite one.
        not_finite: number of samples that were NaN or infinite.
        notes: what the server remarks on the query (:func:`aiops_assets.prometheus.answers.notes_of`).
    """

    names: tuple[str, ...]
    values: Floats
    not_finite: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Samples:
    """The samples of all series, one after the other: (n_series,) names and lengths, (n,) numbers; the notes."""

    names: tuple[str, ...]
    lengths: npt.NDArray[np.intp]
    times: Floats | npt.NDArray[np.int64]
    values: Floats
    notes: tuple[str, ...]


def read_matrix(
    answer: Answer,
    promql: str,
    start: int,
    points: int,
    step_seconds: int,
    *,
    most_series: int = MAX_SERIES,
    fast: bool = True,
) -> Matrix:
    """The series of a range query's answer.

    Args:
        answer: an answer of any HTTP status.
        promql: the query, for messages.
        start: first instant of the grid, Unix seconds.
        points: number of instants of the grid.
        step_seconds: distance of two instants, seconds.
        most_series: largest number of series.
        fast: allow the faster reader, which gives the same result.

    Raises:
        PrometheusError: see :func:`read_result`; ``PrometheusAnswerError`` also for samples that are off the
            grid, outside it, out of order or duplicate.
    """
    read = _read_text(answer, promql, len(str(start)), most_series) if fast else None
    read = read or _read_json(answer, promql, most_series)
    values = _whole(read, start, points, step_seconds)
    if values is None:
        values = _placed(read, promql, start, points, step_seconds)
    n_samples = len(read.values)
    not_finite = n_samples - int(np.count_nonzero(np.isfinite(read.values)))
    if not_finite:
        values = np.where(np.isfinite(values), values, np.nan)
    return Matrix(read.names, values, not_finite, read.notes)


def _whole(read: _Samples, start: int, points: int, step_seconds: int) -> Floats | None:
    """(n_series, points) values of series that have each instant of the grid, in order; ``None``: not all have."""
    shape = len(read.names), points
    if len(read.values) != shape[0] * points or not (read.lengths == points).all():
        return None
    grid = start + step_seconds * np.arange(points)
    return read.values.reshape(shape) if (read.times.reshape(shape) == grid).all() else None


def _placed(read: _Samples, promql: str, start: int, points: int, step_seconds: int) -> Floats:
    """(n_series, points) values at their instants, NaN elsewhere; raises PrometheusAnswerError for other instants."""
    owner = np.repeat(np.arange(len(read.names)), read.lengths)
    places = (read.times - start) / step_seconds
    right = (places >= 0) & (places < points) & (places == np.floor(places))
    right[1:] &= (np.diff(places) > 0) | (np.diff(owner) > 0)
    if not right.all():
        name = read.names[owner[np.argmin(right)]]
        raise PrometheusAnswerError(
            f"{one_line(name)}: the samples are not one by one on the requested grid; "
            f"PROMETHEUS_URL must name a Prometheus API. {query_note(promql)}",
            code="off_grid",
            series=name,
        )
    values = np.full((len(read.names), points), np.nan)
    values[owner, places.astype(np.intp)] = read.values
    return values


def _read_json(answer: Answer, promql: str, most_series: int) -> _Samples:
    names, times, values = [], [np.empty(0)], [np.empty(0)]
    document = parsed(answer.body)
    for name, _, item in series_of(read_result(answer, document, promql, "matrix", most_series), promql):
        seconds, numbers = samples(item.get("values"), promql)
        names.append(name)
        times.append(seconds)
        values.append(numbers)
    lengths = np.array([len(seconds) for seconds in times[1:]], dtype=np.intp)
    return _Samples(tuple(names), lengths, np.concatenate(times), np.concatenate(values), notes_of(document or {}))


def _read_text(answer: Answer, promql: str, digits: int, most_series: int = MAX_SERIES) -> _Samples | None:
    """The same, cut out of the text; ``None`` where the text is not exactly in the form that servers write.

    Args:
        answer: an answer of any HTTP status.
        promql: the query, for messages.
        digits: number of digits of each instant.
        most_series: largest number of series.
    """
    cut = _cut(answer.body)
    if cut is None or not cut[1]:
        return None
    skeleton, regions = cut
    text = BETWEEN.join([BEGIN + bytes(regions[0]), *regions[1:]])
    opening = _values_begin(text, digits)
    if opening is None:
        return None
    ends = np.cumsum([len(region) + len(BETWEEN) for region in regions]) + len(BEGIN)
    lengths = np.diff(np.searchsorted(opening, ends), prepend=0)
    found = _names_and_notes(skeleton, promql, most_series) if answer.status == 200 else None
    if found is None or len(found[0]) != len(regions):
        return None
    numbers = _numbers(text, len(opening))
    # A leading zero is not JSON, and the CSV reader takes it; so it does a minus. It ignores an empty last line.
    if numbers is None or len(numbers[0]) != len(opening) or numbers[0].min() < 10 ** (digits - 1):
        return None
    return _Samples(found[0], lengths, *numbers, found[1])


@lru_cache(maxsize=4)
def _names_and_notes(skeleton: bytes, promql: str, most_series: int) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
    """Names of the series and notes of an answer of which the samples are cut; ``None``: it is read as a whole.

    The parts of a range mostly have the same series. Where there are many, a part is short, and their names would cost
    more than its samples.
    """
    document = parsed(skeleton)
    if document is None or document["status"] != "success":
        return None
    series = list(series_of(read_result(Answer(200, {}, b""), document, promql, "matrix", most_series), promql))
    if [item.get("values") for _, _, item in series] != [[[i]] for i in range(len(series))]:
        return None
    return tuple(name for name, _, _ in series), notes_of(document)


def _cut(body: bytes) -> tuple[bytes, list[memoryview]] | None:
    """A body with the samples of its i-th series replaced by the number i, and those samples; ``None``: it has others.

    Between the samples of two series stand the labels of the second one, which are an object.
    """
    view, rest, regions = memoryview(body), list[bytes | memoryview](), list[memoryview]()
    done, at = 0, body.find(SAMPLES)
    while at >= 0:
        begin = at + len(SAMPLES)
        following, until = body.find(SAMPLES, begin), body.find(b"{", begin)
        if until < 0:
            until = len(body)
        end = body.rfind(END, begin, until)
        if end < 0 or 0 <= following < until:
            return None
        rest += view[done:at], b',"values":[[%d]]' % len(regions)
        regions.append(view[begin:end])
        done, at = end + len(END), following
    return b"".join([*rest, view[done:]]), regions


def _values_begin(text: bytes, digits: int) -> npt.NDArray[np.intp] | None:
    """Positions of the quotes that open values, if a text is ``,[digits,"value"],[digits,"value"`` and so on.

    Times have ``digits`` characters. Which ones they and the values consist of is not checked.
    """
    signs = np.frombuffer(text, dtype=np.uint8)
    quotes = np.flatnonzero(signs == ord('"'))
    opening, closing = quotes[::2], quotes[1::2]
    if len(quotes) % 2 or not len(quotes) or closing[-1] != len(text) - 1 or not text.startswith(BEGIN):
        return None
    if opening[0] != len(BEGIN) + digits + 1 or (opening[1:] - closing[:-1] != len(BETWEEN) + digits + 2).any():
        return None
    pairs = [(opening - 1, ","), *((closing[:-1] + i, sign) for i, sign in enumerate(BETWEEN.decode(), 1))]
    return opening if all((signs[at] == ord(sign)).all() for at, sign in pairs) else None


def _numbers(text: bytes, n_samples: int) -> tuple[npt.NDArray[np.int64], Floats] | None:
    """Times and values of a text of which :func:`_values_begin` has seen the form; ``None`` if one cannot be read."""
    lines = text.translate(TO_TABLE, LEFT_OUT)
    # Within a number, what is left out would not be missed; of an empty last line the reader says nothing.
    if len(text) - len(lines) != LEFT_OUT_OF_EACH * n_samples or lines.endswith(b"\n"):
        return None
    try:
        table = csv.read_csv(
            pa.BufferReader(lines),
            read_options=csv.ReadOptions(column_names=COLUMNS, use_threads=False, block_size=len(lines) + 1),
            parse_options=csv.ParseOptions(quote_char=False, ignore_empty_lines=False),
            convert_options=csv.ConvertOptions(
                column_types={"time": pa.int64(), "value": pa.float64()},
                include_columns=COLUMNS[1:],
                null_values=NOT_FINITE,
            ),
        )
    except pa.ArrowInvalid:
        return None
    times, values = table.columns
    return None if times.null_count else (times.to_numpy(), values.to_numpy())
