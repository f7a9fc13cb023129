"""The numbers of a range query's answer, on the requested grid.

Nearly all of such a body is ``[1772366400,"0.25"]`` over and over, and a JSON parser spends ten times as long
on it as the network does. So the samples are cut out of the body, the small rest is parsed as JSON, and all
samples are read at once by pyarrow's CSV reader. Where the text is not exactly of that form, the whole body is
parsed as JSON: slower, and with the same result. Checks of the answer and their messages are the same for both ways.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyarrow import csv

from aiops_assets.errors import PrometheusAnswerError
from aiops_assets.prometheus.answers import MAX_SERIES, Floats, notes_of, parsed, read_result, samples, series_of
from aiops_assets.prometheus.transport import Answer
from aiops_assets.prometheus.wording import one_line, query_note

SAMPLES = re.compile(rb',"values":\[\[([^{]*)\]\]')
"""Matches the samples of a series with their delimiters, which a JSON string could only contain escaped."""
BETWEEN = b"],["
IN_NUMBERS = b"0123456789.eE+-NaInf"
NOT_FINITE = ["NaN", "+Inf", "-Inf"]
TO_LINES = bytes.maketrans(b",", b"\n")


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
    times: Floats
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
    finite = np.isfinite(read.values)
    values = np.full((len(read.names), points), np.nan)
    values[owner, places.astype(np.intp)] = np.where(finite, read.values, np.nan)
    return Matrix(read.names, values, int(finite.size - np.count_nonzero(finite)), read.notes)


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
    skeleton, regions = _cut(answer.body)
    text = BETWEEN.join(regions)
    commas = np.flatnonzero(np.frombuffer(text, dtype=np.uint8) == ord(","))
    if not _is_exact(text, commas, digits):
        return None
    ends = np.cumsum([len(region) + len(BETWEEN) for region in regions])
    lengths = np.diff(np.searchsorted(commas[::2], ends), prepend=0)
    found = _names_and_notes(skeleton, promql, most_series) if answer.status == 200 else None
    if found is None or len(found[0]) != len(regions):
        return None
    numbers = _numbers(text)
    if numbers is None or len(numbers) != len(commas) + 1:  # the CSV reader ignores an empty last line
        return None
    times, values = numbers.reshape(-1, 2).T
    return _Samples(found[0], lengths, times, values, found[1])


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


def _cut(body: bytes) -> tuple[bytes, list[bytes]]:
    """A body with the samples of its i-th series replaced by the number i, and those samples."""
    pieces = SAMPLES.split(body)
    rest, regions = pieces[::2], pieces[1::2]
    placeholders = [b',"values":[[%d]]' % i for i in range(len(regions))]
    return b"".join(chain.from_iterable(zip(rest, [*placeholders, b""], strict=True))), regions


def _is_exact(text: bytes, commas: npt.NDArray[np.intp], digits: int) -> bool:
    """Whether a text is ``digits,"number"],[digits,"number"`` and so on, as JSON has it.

    Args:
        text: all samples.
        commas: positions of its commas.
        digits: number of digits of each instant.
    """
    within, between = commas[::2], commas[1::2]
    if text.translate(None, IN_NUMBERS) != (b',""' + BETWEEN) * len(between) + b',""':
        return False
    # The delimiters are in order. They must also be adjacent, or a number could stand outside its quotes.
    signs = np.frombuffer(text, dtype=np.uint8)
    pairs = [(within + 1, '"'), (between - 2, '"'), (between - 1, "]"), (between + 1, "[")]
    if not text.endswith(b'"') or not all((signs[at] == ord(sign)).all() for at, sign in pairs):
        return False
    # A leading zero or a trailing point is not JSON, and the CSV reader would take it.
    return bool((within - np.concatenate([[0], between + 2]) == digits).all())


def _numbers(text: bytes) -> Floats | None:
    """Times and values, alternating; ``None`` if one cannot be read."""
    lines = text.translate(TO_LINES, b'[]"')
    try:
        table = csv.read_csv(
            pa.BufferReader(lines),
            read_options=csv.ReadOptions(column_names=["number"], use_threads=False, block_size=len(lines) + 1),
            parse_options=csv.ParseOptions(quote_char=False, ignore_empty_lines=False),
            convert_options=csv.ConvertOptions(column_types={"number": pa.float64()}, null_values=NOT_FINITE),
        )
    except pa.ArrowInvalid:
        return None
    return table.column("number").to_numpy()
