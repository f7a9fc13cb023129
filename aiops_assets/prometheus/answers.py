"""What a server's answer means: the numbers in it, or the error it stands for. Pure functions."""

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from aiops_assets.errors import (
    PrometheusAccessError,
    PrometheusAnswerError,
    PrometheusError,
    PrometheusQueryError,
    PrometheusUnreachable,
)
from aiops_assets.prometheus.transport import Answer

Floats = npt.NDArray[np.float64]

GATEWAY_STATUSES = (408, 429, 502, 503, 504)
"""What a server or a proxy says when it could answer another time."""
TOO_MUCH = ("too many samples", "exceeded maximum resolution", "context deadline exceeded")
"""In the text of a refusal that a shorter range would escape."""
MOST_SHOWN = 300


def series_name(labels: dict[str, str]) -> str:
    """A series' labels as canonical JSON: sorted keys, no spaces; ``{}`` when there are none."""
    return json.dumps(labels, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def read_vector(answer: Answer, promql: str) -> list[tuple[dict[str, str], float]]:
    """Labels and value of each series of an instant query's answer; NaN for a NaN or infinite value.

    Raises:
        PrometheusError: see :func:`read_result`.
    """
    return [
        (labels, float(_samples([item.get("value")], promql)[1][0]))
        for labels, item in _series(read_result(answer, promql, "vector"), promql)
    ]


def read_matrix(answer: Answer, promql: str, start: int, points: int, step_seconds: int) -> dict[str, Floats]:
    """The series of a range query's answer by :func:`series_name`, on the grid that was asked for.

    Args:
        answer: of any status.
        promql: the query, for messages.
        start: first instant of the grid, Unix seconds.
        points: how many instants it has.
        step_seconds: their distance.

    Returns:
        (points,) float64 each; NaN where there is no sample, or a NaN or infinite one.

    Raises:
        PrometheusError: see :func:`read_result`; ``PrometheusAnswerError`` also for samples that are off the
            grid, outside it, out of order or there twice.
    """
    series = {}
    for labels, item in _series(read_result(answer, promql, "matrix"), promql):
        times, values = _samples(item.get("values"), promql)
        places = (times - start) / step_seconds
        on_grid = (places >= 0) & (places < points) & (places == np.floor(places))
        if not on_grid.all() or (np.diff(places) <= 0).any():
            raise PrometheusAnswerError(
                f"{series_name(labels)}: the samples are not one by one on the grid that was asked for; "
                f"PROMETHEUS_URL must name a Prometheus API. {_asked(promql)}"
            )
        column = np.full(points, np.nan)
        column[places.astype(np.intp)] = values
        series[series_name(labels)] = column
    return series


def read_result(answer: Answer, promql: str, kind: str) -> list[Any]:
    """The ``result`` of a complete, successful answer of the kind asked for (``vector``, ``matrix``).

    Raises:
        PrometheusUnreachable: a gateway's answer, or a server that is not up yet.
        PrometheusAccessError: 401, 403, a redirect, a web page.
        PrometheusQueryError: the query was refused.
        PrometheusAnswerError: anything else that is no success, a success with warnings, another kind.
    """
    document = _document(answer.body)
    if answer.status != 200 or document is None or document["status"] != "success":
        raise _refusal(answer, document, promql)
    if warnings := document.get("warnings"):
        raise PrometheusAnswerError(
            f"the answer is incomplete: {_line(warnings)}; the stores behind PROMETHEUS_URL must all be up. "
            f"{_asked(promql)}"
        )
    data = document.get("data")
    got = data.get("resultType") if isinstance(data, dict) else None
    if not isinstance(data, dict) or got != kind or not isinstance(data.get("result"), list):
        raise PrometheusAnswerError(
            f"expected a {kind}, got {_line(got)}; the query must yield series. {_asked(promql)}"
        )
    return list(data["result"])


def _document(body: bytes) -> dict[str, Any] | None:
    """A body as Prometheus writes them, or None."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return None
    known = isinstance(document, dict) and document.get("status") in ("success", "error")
    return document if known else None


def _refusal(answer: Answer, document: dict[str, Any] | None, promql: str) -> PrometheusError:
    status = answer.status
    if 300 <= status < 400:
        return PrometheusAccessError(
            f"HTTP {status}: a redirect, which is not followed; PROMETHEUS_URL must be the API itself"
        )
    if status in (401, 403, 407):
        return PrometheusAccessError(
            f"HTTP {status}: access refused; PROMETHEUS_TOKEN_FILE must hold a token that may query metrics"
        )
    if document is not None:
        return _stated_error(status, document, promql)
    if status in GATEWAY_STATUSES:
        return PrometheusUnreachable(
            f"HTTP {status} from a gateway ({_line(answer.body)}); check that PROMETHEUS_URL's server runs"
        )
    if status == 200 and answer.body.lstrip().startswith(b"<"):
        return PrometheusAccessError(
            "a web page instead of data, perhaps a login; PROMETHEUS_URL must be the API itself "
            "and PROMETHEUS_TOKEN_FILE hold a token"
        )
    what = "broken or cut off JSON" if status == 200 else _line(answer.body)
    return PrometheusAnswerError(
        f"HTTP {status} without a Prometheus answer ({what}); check scheme, host and prefix of PROMETHEUS_URL"
    )


def _stated_error(status: int, document: dict[str, Any], promql: str) -> PrometheusError:
    """The error of an answer in Prometheus' own words: ``errorType`` counts before the status."""
    kind, text = _line(document.get("errorType")), _line(document.get("error"))
    stated = f"HTTP {status}, {kind}: {text}"
    if status in (429, 502, 504) or kind == "unavailable":
        return PrometheusUnreachable(f"{stated}; the server of PROMETHEUS_URL is overloaded or starting")
    refused = status in (400, 422) or kind in ("bad_data", "execution", "timeout", "canceled")
    if status == 200 or not refused:
        return PrometheusAnswerError(f"{stated}; see the log of PROMETHEUS_URL's server. {_asked(promql)}")
    too_much = kind in ("timeout", "canceled") or any(words in text for words in TOO_MUCH)
    cure = "ask for a shorter range" if too_much else "correct the query"
    return PrometheusQueryError(f"{stated}; {cure}. {_asked(promql)}")


def _series(result: list[Any], promql: str) -> Iterator[tuple[dict[str, str], dict[str, Any]]]:
    """Labels and item of each series; refuses what is not a series, and two with the same labels."""
    seen = set()
    for item in result:
        labels = item.get("metric") if isinstance(item, dict) else None
        if not isinstance(labels, dict) or not all(isinstance(value, str) for value in labels.values()):
            raise PrometheusAnswerError(f"{_line(item)} is not a series with labels. {_asked(promql)}")
        if "histogram" in item or "histograms" in item:
            raise PrometheusAnswerError(
                f"{series_name(labels)} is a native histogram; use histogram_quantile. {_asked(promql)}"
            )
        if (name := series_name(labels)) in seen:
            raise PrometheusAnswerError(f"two series are both {name}. {_asked(promql)}")
        seen.add(name)
        yield labels, item


def _samples(pairs: Any, promql: str) -> tuple[Floats, Floats]:
    """Unix seconds and values of ``[[seconds, "value"], ...]``."""
    try:
        times, values = np.array([(float(time), float(value)) for time, value in pairs]).reshape(-1, 2).T
    except (TypeError, ValueError, OverflowError) as error:
        raise PrometheusAnswerError(f"unreadable samples: {_line(error)}. {_asked(promql)}") from error
    return times, np.where(np.isfinite(values), values, np.nan)


def _asked(promql: str) -> str:
    return f"Query: {' '.join(promql.split())}"


def _line(text: object) -> str:
    """One line of what a server sent, cut to a length that a log can take."""
    words = text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text)
    line = " ".join(words.split())
    return line if len(line) <= MOST_SHOWN else f"{line[:MOST_SHOWN]}..."
