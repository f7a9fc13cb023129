"""Reads a server's answer: its result, or the error that it stands for. Pure functions."""

import json
import math
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from aiops_assets.errors import (
    PrometheusAccessError,
    PrometheusAnswerError,
    PrometheusError,
    PrometheusPartial,
    PrometheusQueryError,
    PrometheusTooMuch,
    PrometheusUnreachable,
)
from aiops_assets.prometheus.transport import Answer

Floats = npt.NDArray[np.float64]

GATEWAY_STATUSES = (408, 429, 502, 503, 504)
"""HTTP statuses with which a server or a proxy says that a later request may succeed."""
TOO_MUCH = ("too many samples", "exceeded maximum resolution", "context deadline exceeded")
"""Texts of errors that a shorter range would avoid."""
MOST_SHOWN = 300
CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def series_name(labels: dict[str, str]) -> str:
    """Labels of a series as canonical JSON: sorted keys, no spaces; ``{}`` without labels."""
    return CANONICAL.encode(labels)


def read_vector(answer: Answer, promql: str) -> list[tuple[dict[str, str], float]]:
    """Labels and value of each series of an instant query's answer; NaN for a NaN or infinite value.

    Raises:
        PrometheusError: see :func:`read_result`.
    """
    vector = []
    for _, labels, item in series_of(read_result(answer, parsed(answer.body), promql, "vector"), promql):
        value = float(samples([item.get("value")], promql)[1][0])
        vector.append((labels, value if math.isfinite(value) else math.nan))
    return vector


def parsed(body: bytes) -> dict[str, Any] | None:
    """The JSON object of a body; ``None`` where the body is not one."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return None
    known = isinstance(document, dict) and document.get("status") in ("success", "error")
    return document if known else None


def read_result(answer: Answer, document: dict[str, Any] | None, promql: str, kind: str) -> list[Any]:
    """The ``result`` of a complete, successful answer of the requested kind (``vector``, ``matrix``).

    Args:
        answer: an answer of any HTTP status.
        document: its body as :func:`parsed` returns it.
        promql: the query, for messages.
        kind: the ``resultType`` that is expected.

    Raises:
        PrometheusUnreachable: a gateway's answer, a body that is cut off, or a server that is not up yet.
        PrometheusAccessError: 401, 403, a redirect, a web page.
        PrometheusTooMuch: the answer would be too large; a shorter range may succeed.
        PrometheusQueryError: the server rejected the query.
        PrometheusPartial: the answer is marked as incomplete.
        PrometheusAnswerError: any other answer that is not a success, or is of another kind.
    """
    if answer.status != 200 or document is None or document["status"] != "success":
        raise _failure(answer, document, promql)
    # Newer servers also send "infos", advice on the query; VictoriaMetrics sends isPartial instead of warnings.
    warnings = document.get("warnings") or (document.get("isPartial") is True and "isPartial")
    if warnings:
        raise PrometheusPartial(
            f"the answer is incomplete: {_line(warnings)}; the stores behind PROMETHEUS_URL must all be up. "
            f"{query_note(promql)}",
            code="incomplete",
            warnings=warnings,
        )
    data = document.get("data")
    got = data.get("resultType") if isinstance(data, dict) else None
    if not isinstance(data, dict) or got != kind or not isinstance(data.get("result"), list):
        raise PrometheusAnswerError(
            f"expected a {kind}, got {_line(got)}; the query must yield series. {query_note(promql)}",
            code="other_kind",
            expected=kind,
            got=got,
        )
    return list(data["result"])


def _failure(answer: Answer, document: dict[str, Any] | None, promql: str) -> PrometheusError:
    status = answer.status
    if 300 <= status < 400:
        return PrometheusAccessError(
            f"HTTP {status}: a redirect, which is not followed; PROMETHEUS_URL must be the API itself",
            code="redirect",
            status=status,
        )
    if status in (401, 403, 407):
        return PrometheusAccessError(
            f"HTTP {status}: access refused; PROMETHEUS_TOKEN_FILE must hold a token that may query metrics",
            code="access_refused",
            status=status,
        )
    if document is not None:
        return _stated_error(answer, document, promql)
    if status in GATEWAY_STATUSES:
        return PrometheusUnreachable(
            f"HTTP {status} from a gateway ({_line(answer.body)}); check that PROMETHEUS_URL's server runs",
            _retry_after(answer),
            code="gateway",
            status=status,
            body=_line(answer.body),
        )
    if status == 200 and answer.body.lstrip().startswith(b"<"):
        return PrometheusAccessError(
            "a web page instead of data, perhaps a login; PROMETHEUS_URL must be the API itself "
            "and PROMETHEUS_TOKEN_FILE hold a token",
            code="web_page",
        )
    if status == 200 and _cut_off(answer.body):
        return PrometheusUnreachable(
            "the answer's JSON is cut off; check what lies between here and PROMETHEUS_URL", code="cut_off"
        )
    what = "broken JSON" if status == 200 else _line(answer.body)
    return PrometheusAnswerError(
        f"HTTP {status} without a Prometheus answer ({what}); check scheme, host and prefix of PROMETHEUS_URL",
        code="no_prometheus_answer",
        status=status,
        what=what,
    )


def _cut_off(body: bytes) -> bool:
    """Whether an unreadable body begins like an answer but lacks its end."""
    text = body.strip()
    if not text.startswith(b"{"):
        return False
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        return not text.endswith(b"}") or error.pos >= len(error.doc)
    except (ValueError, RecursionError):
        return not text.endswith(b"}")
    return False


def _retry_after(answer: Answer) -> float | None:
    """Seconds until the next request, from Retry-After as a number or a date; ``None``: the server states none."""
    text = answer.headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        until = parsedate_to_datetime(text)
        now = parsedate_to_datetime(answer.headers["date"]) if "date" in answer.headers else datetime.now(UTC)
        return max(0.0, (until - now).total_seconds())
    except (ValueError, TypeError):  # not a date, or one without a time zone
        return None


def _stated_error(answer: Answer, document: dict[str, Any], promql: str) -> PrometheusError:
    """The error of an answer in Prometheus' format, where ``errorType`` decides before the HTTP status."""
    status = answer.status
    kind, text = _line(document.get("errorType")), _line(document.get("error"))
    stated = f"HTTP {status}, {kind}: {text}"
    facts = {"status": status, "error_type": kind, "text": text}
    if status in (429, 502, 504) or kind == "unavailable":
        cause = "the server of PROMETHEUS_URL is overloaded or starting"
        return PrometheusUnreachable(f"{stated}; {cause}", _retry_after(answer), code="not_ready", **facts)
    is_rejected = status in (400, 422) or kind in ("bad_data", "execution", "timeout", "canceled")
    if status == 200 or not is_rejected:
        return PrometheusAnswerError(
            f"{stated}; see the log of PROMETHEUS_URL's server. {query_note(promql)}", code="server_error", **facts
        )
    if kind in ("timeout", "canceled") or any(words in text for words in TOO_MUCH):
        return PrometheusTooMuch(f"{stated}; request a shorter range. {query_note(promql)}", code="too_much", **facts)
    return PrometheusQueryError(f"{stated}; correct the query. {query_note(promql)}", code="bad_query", **facts)


def series_of(result: list[Any], promql: str) -> Iterator[tuple[str, dict[str, str], dict[str, Any]]]:
    """Name (:func:`series_name`), labels and item of each series in a ``result``.

    Raises:
        PrometheusAnswerError: an item is not a series or is a histogram, or two have the same labels.
    """
    seen = set()
    for item in result:
        labels = item.get("metric") if isinstance(item, dict) else None
        if not isinstance(labels, dict) or not all(isinstance(value, str) for value in labels.values()):
            raise PrometheusAnswerError(
                f"{_line(item)} is not a series with labels. {query_note(promql)}", code="not_a_series", item=item
            )
        name = series_name(labels)
        if "histogram" in item or "histograms" in item:
            raise PrometheusAnswerError(
                f"{name} is a native histogram; use histogram_quantile. {query_note(promql)}",
                code="histogram",
                series=name,
            )
        if name in seen:
            raise PrometheusAnswerError(
                f"two series are both {name}. {query_note(promql)}", code="same_labels", series=name
            )
        seen.add(name)
        yield name, labels, item


def samples(pairs: Any, promql: str) -> tuple[Floats, Floats]:
    """Unix seconds and values of ``[[seconds, "value"], ...]``, each (n,) float64.

    Raises:
        PrometheusAnswerError: the pairs do not have this form.
    """
    try:
        times, values = np.array([(float(time), float(value)) for time, value in pairs]).reshape(-1, 2).T
    except (TypeError, ValueError, OverflowError) as error:
        raise PrometheusAnswerError(
            f"unreadable samples: {_line(error)}. {query_note(promql)}", code="unreadable_samples"
        ) from error
    return times, values


def query_note(promql: str) -> str:
    """The last sentence of a message about a query."""
    return f"Query: {' '.join(promql.split())}"


def _line(text: object) -> str:
    """Text of a server on one line, cut to ``MOST_SHOWN`` characters."""
    words = text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text)
    line = " ".join(words.split())
    return line if len(line) <= MOST_SHOWN else f"{line[:MOST_SHOWN]}..."
