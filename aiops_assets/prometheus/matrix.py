"""The numbers of a range query's answer, on the requested grid.

Nearly all of such a body is ``[1772366400,"0.25"]`` over and over, and a JSON parser spends ten times as long
on it as the network does. So the samples are cut out of the body, the small rest is parsed as JSON, and pyarrow reads
all numbers at once where they stand: their texts are found by the quotes around the values. Where the text is not
exactly of that form, the whole body is parsed as JSON: slower, and with the same result. Checks of the answer and
their messages are the same for both ways.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from aiops_assets.errors import PrometheusAnswerError
from aiops_assets.prometheus.answers import MAX_SERIES, Floats, notes_of, parsed, read_result, samples, series_of
from aiops_assets.prometheus.transport import Answer
from aiops_assets.prometheus.wording import one_line, query_note

Number = TypeVar("Number", np.int64, np.float64)

SAMPLES, END = b',"values":[[', b"]]"
"""Stand before and after the samples of a series; a JSON string could contain them only escaped."""
BETWEEN = b'"],['
"""Stands between a value and the time of the next sample."""
EVERY_SECOND = b"\x55"
"""A bit for each of eight texts, of which every second one, from the first on, is read."""
LONGEST_NAN = len("-nan")
"""pyarrow also reads ``nan(...)``."""
MOST_BYTES = 2**31 - 1
"""pyarrow counts the bytes of texts in 32 bits."""


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
    body = answer.body
    cut = _cut(body) if len(body) <= MOST_BYTES else None
    if cut is None or not len(cut[1]):
        return None
    skeleton, regions = cut
    quotes, lengths = _quotes(body, regions)
    if not _are_samples(body, regions, quotes, lengths, digits):
        return None
    found = _names_and_notes(skeleton, promql, most_series) if answer.status == 200 else None
    if found is None or len(found[0]) != len(regions):
        return None
    times, values = _times(body, quotes[::2], digits), _values(body, quotes)
    return None if times is None or values is None else _Samples(found[0], lengths, times, values, found[1])


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


def _cut(body: bytes) -> tuple[bytes, npt.NDArray[np.intp]] | None:
    """A body with the samples of its i-th series replaced by the number i, and where those begin and end.

    Between the samples of two series stand the labels of the second one, which are an object.

    Returns:
        the rest, and (n_series, 2) positions in the body; ``None``: the body has something else.
    """
    view, rest, regions = memoryview(body), list[bytes | memoryview](), list[tuple[int, int]]()
    done, at = 0, body.find(SAMPLES)
    while at >= 0:
        begin = at + len(SAMPLES)
        until = body.find(b"{", begin)
        if until < 0:
            until = len(body)
        end = body.rfind(END, begin, until)
        if end < 0 or body.find(SAMPLES, end, until) >= 0:
            return None
        rest += view[done:at], b',"values":[[%d]]' % len(regions)
        regions.append((begin, end))
        done, at = end + len(END), body.find(SAMPLES, until)
    return b"".join([*rest, view[done:]]), np.array(regions, dtype=np.intp)


def _quotes(body: bytes, regions: npt.NDArray[np.intp]) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Positions of the quotes inside of some regions, and half of how many each region has: its number of samples."""
    places = np.flatnonzero(np.frombuffer(body, dtype=np.uint8) == ord('"'))
    first, stop = np.searchsorted(places, regions.T)
    inside = np.concatenate([places[i:j] for i, j in zip(first.tolist(), stop.tolist(), strict=True)])
    return inside, (stop - first) // 2


def _are_samples(
    body: bytes,
    regions: npt.NDArray[np.intp],
    quotes: npt.NDArray[np.intp],
    lengths: npt.NDArray[np.intp],
    digits: int,
) -> bool:
    """Whether each region is ``digits,"value"],[digits,"value"`` and so on.

    Times have ``digits`` characters. Which ones they and the values consist of is not checked.
    """
    opening, closing = quotes[::2], quotes[1::2]
    if not lengths.all() or len(quotes) != 2 * lengths.sum():
        return False
    last = np.cumsum(lengths) - 1
    first = last - lengths + 1
    if (opening[first] != regions[:, 0] + digits + 1).any() or (closing[last] != regions[:, 1] - 1).any():
        return False
    is_inner = np.ones(len(opening), dtype=bool)
    is_inner[last] = False
    inner, following = closing[is_inner], opening[1:][is_inner[:-1]]
    # A text of four characters at each position of the body.
    fours = np.ndarray(len(body) - len(BETWEEN) + 1, dtype=f"V{len(BETWEEN)}", buffer=body, strides=(1,))
    signs = np.frombuffer(body, dtype=np.uint8)
    return bool(
        (following - inner == len(BETWEEN) + digits + 1).all()
        and (fours[inner].view(np.uint32) == np.frombuffer(BETWEEN, dtype=np.uint32)).all()
        and (signs[opening - 1] == ord(",")).all()
    )


def _times(body: bytes, opening: npt.NDArray[np.intp], digits: int) -> npt.NDArray[np.int64] | None:
    """The times that stand before the quotes that open values; ``None`` if one is not a number of so many digits."""
    edges = np.empty(2 * len(opening), dtype=np.int32)
    edges[::2], edges[1::2] = opening - 1 - digits, opening - 1
    times = _read(_texts(body, edges), pa.int64(), np.int64)
    # pyarrow reads a leading zero, a minus and hexadecimal numbers, which are not JSON.
    is_hexadecimal = np.frombuffer(body, dtype=np.uint8)[opening - digits] | 0x20 == ord("x")
    return None if times is None or times.min() < 10 ** (digits - 1) or is_hexadecimal.any() else times


def _values(body: bytes, quotes: npt.NDArray[np.intp]) -> Floats | None:
    """The values between quotes that open and close them, in turn; ``None`` if one cannot be read."""
    edges = quotes.astype(np.int32)
    edges[::2] += 1
    texts = _texts(body, edges)
    values = _read(texts, pa.float64(), np.float64)
    if values is None:
        values = _read(pc.if_else(pc.equal(texts, "+Inf"), "Inf", texts), pa.float64(), np.float64)
    if values is None:
        return None
    is_nan = np.isnan(values)
    return None if is_nan.any() and (edges[1::2] - edges[::2])[is_nan].max() > LONGEST_NAN else values


def _texts(body: bytes, edges: npt.NDArray[np.int32]) -> pa.StringArray:
    """The texts between (2 n,) ascending positions of a body, of which every second one is null; nothing is copied."""
    n = len(edges) - 1
    is_read = pa.py_buffer(EVERY_SECOND * (n // 8 + 1))
    return pa.StringArray.from_buffers(n, pa.py_buffer(edges), pa.py_buffer(body), is_read)


def _read(texts: pa.StringArray, kind: pa.DataType, dtype: type[Number]) -> npt.NDArray[Number] | None:
    """Every second text as a number; ``None`` if one is not."""
    try:
        numbers = pc.cast(texts, kind)
    except pa.ArrowInvalid:
        return None
    return np.frombuffer(numbers.buffers()[1], dtype=dtype)[: len(numbers) : 2].copy()
