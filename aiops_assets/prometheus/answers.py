"""Reads a server's answer: its result and the notes on the query, or the error that it stands for. Pure functions."""

import json
import math
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from aiops_assets.errors import PrometheusAnswerError, PrometheusPartial
from aiops_assets.prometheus.refusals import refusal
from aiops_assets.prometheus.transport import Answer
from aiops_assets.prometheus.wording import one_line, query_note

Floats = npt.NDArray[np.float64]

MAX_SERIES = 100_000
"""Series of one answer: more would be gigabytes of names and day files, and no model is trained on them."""
MAX_NAME_CHARACTERS = 65_536
"""Labels of one series as JSON; servers limit a label's value to a few kilobytes."""
CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False)
ABOUT_THE_QUERY = re.compile(r"PromQL (info|warning): |\d+ more info annotations omitted")
"""Begins what a server remarks on a query, while the data are whole. Thanos and Prometheus before 2.54 put such infos
among the warnings, which otherwise say that stores are away."""


class Repeated(dict[str, Any]):
    """A JSON object in which a key is given twice."""


def series_name(labels: dict[str, str]) -> str:
    """Labels of a series as canonical JSON: sorted keys, no spaces; ``{}`` without labels."""
    return CANONICAL.encode(labels)


def read_vector(answer: Answer, promql: str, most_series: int = MAX_SERIES) -> list[tuple[dict[str, str], float]]:
    """Labels and value of each series of an instant query's answer; NaN for a NaN or infinite value.

    Raises:
        PrometheusError: see :func:`read_result`.
    """
    vector = []
    result = read_result(answer, parsed(answer.body), promql, "vector", most_series)
    for _, labels, item in series_of(result, promql):
        value = float(samples([item.get("value")], promql)[1][0])
        vector.append((labels, value if math.isfinite(value) else math.nan))
    return vector


def parsed(body: bytes) -> dict[str, Any] | None:
    """The JSON object of a body; ``None`` where the body is not one. Those with repeated keys are :class:`Repeated`."""
    try:
        document = json.loads(body, object_pairs_hook=_object)
    except (ValueError, RecursionError):
        return None
    known = isinstance(document, dict) and document.get("status") in ("success", "error")
    return document if known else None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    return found if len(found) == len(pairs) else Repeated(found)


def read_result(
    answer: Answer, document: dict[str, Any] | None, promql: str, kind: str, most_series: int = MAX_SERIES
) -> list[Any]:
    """The ``result`` of a complete, successful answer of the requested kind (``vector``, ``matrix``).

    Args:
        answer: an answer of any HTTP status.
        document: its body as :func:`parsed` returns it.
        promql: the query, for messages.
        kind: the ``resultType`` that is expected.
        most_series: largest number of series.

    Raises:
        PrometheusUnreachable: a gateway's answer, a body that is cut off, or a server that is not up yet.
        PrometheusAccessError: 401, 403, a redirect, a web page; a proxy that lacks the tenant or the namespace.
        PrometheusTooMuch: the answer would be too large; a shorter range may succeed.
        PrometheusQueryError: the server rejected the query.
        PrometheusPartial: the answer is marked as incomplete.
        PrometheusAnswerError: any other answer that is not a success, is of another kind or has too many series.
    """
    if answer.status != 200 or document is None or document["status"] != "success":
        raise refusal(answer, document, promql)
    if incomplete := _incomplete(document):
        raise PrometheusPartial(
            f"the answer is incomplete: {one_line('; '.join(incomplete))}; the stores behind PROMETHEUS_URL must all "
            f"be up. {query_note(promql)}",
            code="incomplete",
            warnings=incomplete if document.get("warnings") else "isPartial",
        )
    data = document.get("data")
    got = data.get("resultType") if isinstance(data, dict) else None
    if not isinstance(data, dict) or got != kind or not isinstance(data.get("result"), list):
        raise PrometheusAnswerError(
            f"expected a {kind}, got {one_line(got)}; the query must yield series. {query_note(promql)}",
            code="other_kind",
            expected=kind,
            got=got,
        )
    if isinstance(document, Repeated) or isinstance(data, Repeated):
        raise PrometheusAnswerError(
            f"the answer's JSON gives a key twice; PROMETHEUS_URL must name a Prometheus API. {query_note(promql)}",
            code="repeated_key",
        )
    result = data["result"]
    check_number(len(result), promql, most_series)
    return list(result)


def check_number(series: int, promql: str, most_series: int) -> None:
    """Check that a query has not too many series.

    Raises:
        PrometheusAnswerError: it has.
    """
    if series > most_series:
        raise PrometheusAnswerError(
            f"{series} series, at most {most_series} are fetched; the query must aggregate, or select fewer, e.g. by "
            f"PROMETHEUS_MATCHER. {query_note(promql)}",
            code="too_many_series",
            series=series,
            most=most_series,
        )


def _incomplete(document: dict[str, Any]) -> list[str]:
    """What an answer says about data that are missing from it."""
    # VictoriaMetrics sends isPartial instead of warnings.
    marks = ["isPartial"] if document.get("isPartial") not in (None, False) else []
    warnings = _texts(document.get("warnings"))
    return [*(one_line(text) for text in warnings if not ABOUT_THE_QUERY.match(text)), *marks]


def notes_of(document: dict[str, Any]) -> tuple[str, ...]:
    """What a server remarks on a query whose data are whole: infos and PromQL's warnings, each once, one line."""
    about = [text for text in _texts(document.get("warnings")) if ABOUT_THE_QUERY.match(text)]
    infos = [text for text in _texts(document.get("infos")) if text]
    return tuple(dict.fromkeys(one_line(text) for text in (*about, *infos)))


def _texts(value: object) -> list[str]:
    """A list of strings as it is; anything else that is not empty as text."""
    if not value:
        return []
    return [str(item) for item in value] if isinstance(value, list) else [str(value)]


def series_of(result: list[Any], promql: str) -> Iterator[tuple[str, dict[str, str], dict[str, Any]]]:
    """Name (:func:`series_name`), labels and item of each series in a ``result``.

    Raises:
        PrometheusAnswerError: an item is not a series or is a histogram, two have the same labels, or labels are
            given twice, too long or not text.
    """
    seen = set()
    for item in result:
        labels = item.get("metric") if isinstance(item, dict) else None
        if not isinstance(labels, dict) or not all(isinstance(value, str) for value in labels.values()):
            raise PrometheusAnswerError(
                f"{one_line(item)} is not a series with labels. {query_note(promql)}",
                code="not_a_series",
                item=item,
            )
        name = _checked_name(item, labels, promql)
        if "histogram" in item or "histograms" in item:
            raise PrometheusAnswerError(
                f"{one_line(name)} is a native histogram; use histogram_quantile. {query_note(promql)}",
                code="histogram",
                series=name,
            )
        if name in seen:
            raise PrometheusAnswerError(
                f"two series are both {one_line(name)}. {query_note(promql)}", code="same_labels", series=name
            )
        seen.add(name)
        yield name, labels, item


def _checked_name(item: dict[str, Any], labels: dict[str, str], promql: str) -> str:
    """The name of a series, which must be text that can be stored."""
    name = series_name(labels)
    problem = ""
    if isinstance(item, Repeated) or isinstance(labels, Repeated):
        code, problem = "repeated_key", "gives a key twice"
    elif len(name) > MAX_NAME_CHARACTERS:
        code, problem = "long_labels", f"has more than {MAX_NAME_CHARACTERS} characters of labels"
    elif not _is_text(name):
        code, problem = "not_text", "has labels that are not valid Unicode"
    if problem:
        raise PrometheusAnswerError(
            f"{one_line(name)} {problem}; relabel it where it is scraped. {query_note(promql)}",
            code=code,
            series=one_line(name),
        )
    return name


def _is_text(name: str) -> bool:
    r"""Whether UTF-8 can hold it: JSON may name half a character (``\ud800``)."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def samples(pairs: Any, promql: str) -> tuple[Floats, Floats]:
    """Unix seconds and values of ``[[seconds, "value"], ...]``, each (n,) float64; a value may be a JSON number.

    Raises:
        PrometheusAnswerError: the pairs do not have this form.
    """
    try:
        times, values = np.array([(_number(time), _number(value)) for time, value in pairs]).reshape(-1, 2).T
    except (TypeError, ValueError, OverflowError) as error:
        raise PrometheusAnswerError(
            f"unreadable samples: {one_line(error)}. {query_note(promql)}", code="unreadable_samples"
        ) from error
    return times, values


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise TypeError(f"{one_line(value)} is not a number")
    if isinstance(value, str) and not _NUMBER.fullmatch(value):  # float() reads 1_000 and spaces, too
        raise ValueError(f"{one_line(value)} is not a number")
    return float(value)


_NUMBER = re.compile(r"[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|Inf(?:inity)?|NaN)", re.IGNORECASE | re.ASCII)
