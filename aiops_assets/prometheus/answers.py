"""What a server's answer means: its result, or the error it stands for. Pure functions."""

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
"""What a server or a proxy says when it could answer another time."""
TOO_MUCH = ("too many samples", "exceeded maximum resolution", "context deadline exceeded")
"""In the text of a refusal that a shorter range would escape."""
MOST_SHOWN = 300
CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def series_name(labels: dict[str, str]) -> str:
    """A series' labels as canonical JSON: sorted keys, no spaces; ``{}`` when there are none."""
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
    """The document of a body as Prometheus writes them, or None."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return None
    known = isinstance(document, dict) and document.get("status") in ("success", "error")
    return document if known else None


def read_result(answer: Answer, document: dict[str, Any] | None, promql: str, kind: str) -> list[Any]:
    """The ``result`` of a complete, successful answer of the kind asked for (``vector``, ``matrix``).

    Args:
        answer: of any status.
        document: its body, :func:`parsed`.
        promql: the query, for messages.
        kind: the ``resultType`` that is expected.

    Raises:
        PrometheusUnreachable: a gateway's answer, a body that is cut off, or a server that is not up yet.
        PrometheusAccessError: 401, 403, a redirect, a web page.
        PrometheusTooMuch: a shorter range may pass.
        PrometheusQueryError: the query was refused.
        PrometheusPartial: a success that is marked incomplete.
        PrometheusAnswerError: anything else that is no success, or another kind.
    """
    if answer.status != 200 or document is None or document["status"] != "success":
        raise _refusal(answer, document, promql)
    # Newer servers also send "infos", advice on the query; VictoriaMetrics says isPartial instead of warnings.
    warnings = document.get("warnings") or (document.get("isPartial") is True and "isPartial")
    if warnings:
        raise PrometheusPartial(
            f"the answer is incomplete: {_line(warnings)}; the stores behind PROMETHEUS_URL must all be up. "
            f"{asked(promql)}",
            code="incomplete",
            warnings=warnings,
        )
    data = document.get("data")
    got = data.get("resultType") if isinstance(data, dict) else None
    if not isinstance(data, dict) or got != kind or not isinstance(data.get("result"), list):
        raise PrometheusAnswerError(
            f"expected a {kind}, got {_line(got)}; the query must yield series. {asked(promql)}",
            code="other_kind",
            expected=kind,
            got=got,
        )
    return list(data["result"])


def _refusal(answer: Answer, document: dict[str, Any] | None, promql: str) -> PrometheusError:
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
    """Whether a body that cannot be read begins as an answer does, and lacks its end."""
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
    """How many seconds the server asks to be left alone; it may say so as a number or as a date."""
    text = answer.headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        until = parsedate_to_datetime(text)
        now = parsedate_to_datetime(answer.headers["date"]) if "date" in answer.headers else datetime.now(UTC)
        return max(0.0, (until - now).total_seconds())
    except (ValueError, TypeError):  # no date, or one without a zone
        return None


def _stated_error(answer: Answer, document: dict[str, Any], promql: str) -> PrometheusError:
    """The error of an answer in Prometheus' own words: ``errorType`` counts before the status."""
    status = answer.status
    kind, text = _line(document.get("errorType")), _line(document.get("error"))
    stated = f"HTTP {status}, {kind}: {text}"
    facts = {"status": status, "error_type": kind, "text": text}
    if status in (429, 502, 504) or kind == "unavailable":
        cause = "the server of PROMETHEUS_URL is overloaded or starting"
        return PrometheusUnreachable(f"{stated}; {cause}", _retry_after(answer), code="not_ready", **facts)
    refused = status in (400, 422) or kind in ("bad_data", "execution", "timeout", "canceled")
    if status == 200 or not refused:
        return PrometheusAnswerError(
            f"{stated}; see the log of PROMETHEUS_URL's server. {asked(promql)}", code="server_error", **facts
        )
    if kind in ("timeout", "canceled") or any(words in text for words in TOO_MUCH):
        return PrometheusTooMuch(f"{stated}; ask for a shorter range. {asked(promql)}", code="too_much", **facts)
    return PrometheusQueryError(f"{stated}; correct the query. {asked(promql)}", code="bad_query", **facts)


def series_of(result: list[Any], promql: str) -> Iterator[tuple[str, dict[str, str], dict[str, Any]]]:
    """Name (:func:`series_name`), labels and item of each series in a ``result``.

    Raises:
        PrometheusAnswerError: one is not a series, or a histogram, or two have the same labels.
    """
    seen = set()
    for item in result:
        labels = item.get("metric") if isinstance(item, dict) else None
        if not isinstance(labels, dict) or not all(isinstance(value, str) for value in labels.values()):
            raise PrometheusAnswerError(
                f"{_line(item)} is not a series with labels. {asked(promql)}", code="not_a_series", item=item
            )
        name = series_name(labels)
        if "histogram" in item or "histograms" in item:
            raise PrometheusAnswerError(
                f"{name} is a native histogram; use histogram_quantile. {asked(promql)}", code="histogram", series=name
            )
        if name in seen:
            raise PrometheusAnswerError(f"two series are both {name}. {asked(promql)}", code="same_labels", series=name)
        seen.add(name)
        yield name, labels, item


def samples(pairs: Any, promql: str) -> tuple[Floats, Floats]:
    """Unix seconds and values of ``[[seconds, "value"], ...]``, each (n,) float64.

    Raises:
        PrometheusAnswerError: that is not what they are.
    """
    try:
        times, values = np.array([(float(time), float(value)) for time, value in pairs]).reshape(-1, 2).T
    except (TypeError, ValueError, OverflowError) as error:
        raise PrometheusAnswerError(
            f"unreadable samples: {_line(error)}. {asked(promql)}", code="unreadable_samples"
        ) from error
    return times, values


def asked(promql: str) -> str:
    """How a message ends that is about a query."""
    return f"Query: {' '.join(promql.split())}"


def _line(text: object) -> str:
    """One line of what a server sent, cut to a length that a log can take."""
    words = text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text)
    line = " ".join(words.split())
    return line if len(line) <= MOST_SHOWN else f"{line[:MOST_SHOWN]}..."
