"""An answer that is not a success, as the error that it stands for. The server's words are in each of them."""

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from aiops_assets.errors import (
    PrometheusAccessError,
    PrometheusAnswerError,
    PrometheusError,
    PrometheusQueryError,
    PrometheusTooMuch,
    PrometheusUnreachable,
)
from aiops_assets.prometheus.limits import Limit, limit_in
from aiops_assets.prometheus.transport import PROXY_AUTHENTICATION, Answer
from aiops_assets.prometheus.wording import one_line, query_note

GATEWAY_STATUSES = (408, 429, 502, 503, 504)
"""HTTP statuses with which a server or a proxy says that a later request may succeed."""
OWN_TIMEOUTS = (408, 502, 504)
"""Statuses of a proxy about itself: what its page says is not a limit of the server."""
MAX_SEARCHED = 10_000
"""Characters of a text that are searched for words of a limit; Thanos puts the names of its stores before them."""

_TAGS = re.compile(r"<(style|script)\b.*?</\1>|<[^>]*>", re.DOTALL | re.IGNORECASE)


@dataclass(frozen=True)
class Access:
    """A refusal of access that the server's words explain.

    Attributes:
        words: part of the text, in lower case.
        lacks: ``tenant``, ``namespace`` or ``role``.
        cure: what to do about it.
    """

    words: str
    lacks: str
    cure: str


_TENANT = "name the tenant by PROMETHEUS_TENANT, or give the header by PROMETHEUS_HEADERS_FILE"
_NAMESPACE = "this port answers for one namespace: name it by PROMETHEUS_NAMESPACE"
_ROLE = "the token's account lacks a role: on OpenShift cluster-monitoring-view, or view of PROMETHEUS_NAMESPACE"
_NOTHING_SENT = (
    "no credential was sent: set PROMETHEUS_TOKEN_FILE, or PROMETHEUS_USER and PROMETHEUS_PASSWORD_FILE, or "
    "PROMETHEUS_HEADERS_FILE"
)
_NOTHING_SENT_TO_PROXY = (
    "the proxy got no credential: set PROMETHEUS_PROXY_USER and PROMETHEUS_PROXY_PASSWORD_FILE to those of a user who "
    "may use it"
)

REFUSALS = (
    Access("no org id", "tenant", _TENANT),  # Cortex, Mimir
    Access("x-scope-orgid", "tenant", _TENANT),
    Access("thanos-tenant", "tenant", _TENANT),
    Access("no tenant", "tenant", _TENANT),
    Access('namespace" query parameter must be provided', "namespace", _NAMESPACE),  # prom-label-proxy
    Access('namespace" must be provided', "namespace", _NAMESPACE),
    Access("the request or configuration is malformed", "namespace", _NAMESPACE),  # kube-rbac-proxy on port 9092
    Access("resource=", "role", _ROLE),  # kube-rbac-proxy: Forbidden (user=..., verb=get, resource=prometheuses)
    Access("cannot get resource", "role", _ROLE),  # the API server's words
)
"""The first that fits counts."""


def refusal(answer: Answer, document: dict[str, Any] | None, promql: str) -> PrometheusError:
    """The error for an answer that is not a success.

    Args:
        answer: the answer, of any HTTP status.
        document: its body, if that is in Prometheus' format.
        promql: the query, for messages.
    """
    status = answer.status
    if 300 <= status < 400:
        return PrometheusAccessError(
            f"HTTP {status}: a redirect, which is not followed; PROMETHEUS_URL must be the API itself",
            code="redirect",
            status=status,
        )
    text = one_line(answer.body if document is None else document.get("error"))
    if access := _refused_access(answer, text):
        return access
    if document is not None:
        return _stated_error(answer, document, text, promql)
    searched = answer.body[:MAX_SEARCHED].decode("utf-8", "replace")
    if status >= 400 and status not in OWN_TIMEOUTS and (limit := limit_in(searched)):
        return _limited(answer, f"HTTP {status}: {text}", limit, promql, text=text, status=status)
    if status in GATEWAY_STATUSES:
        return PrometheusUnreachable(
            f"HTTP {status} from a gateway ({text}); check that PROMETHEUS_URL's server runs",
            retry_after(answer),
            code="gateway",
            status=status,
            body=text,
        )
    return _no_answer(answer, text, promql)


def _refused_access(answer: Answer, text: str) -> PrometheusAccessError | None:
    """The error of 401, 403, 407, and of 400 where a proxy lacks the namespace or tenant; ``None`` for others.

    Its fact ``lacks`` is ``tenant``, ``namespace`` or ``role`` where the server's words say so; else ``credential``
    where none was sent, and ``right`` where one was. Its fact ``sent`` has the settings that it came from.
    """
    status = answer.status
    if status not in (400, 401, 403, PROXY_AUTHENTICATION):
        return None
    words = text.lower()
    known = next((access for access in REFUSALS if access.words in words), None)
    if status == 400 and (known is None or known.lacks == "role"):
        return None
    text = one_line(_TAGS.sub(" ", text))
    said = f" ({text})" if text else ""
    if known and (answer.sent or known.lacks != "role"):
        cure, lacks = known.cure, known.lacks
    elif answer.sent:
        whose = " and ".join(answer.sent)
        cure, lacks = f"the credential of {whose} was sent and refused: it must be one that may query metrics", "right"
    else:
        cure = _NOTHING_SENT_TO_PROXY if status == PROXY_AUTHENTICATION else _NOTHING_SENT
        lacks = "credential"
    return PrometheusAccessError(
        f"HTTP {status}: access refused{said}; {cure}",
        code="access_refused",
        status=status,
        text=text,
        lacks=lacks,
        sent=answer.sent,
    )


def _stated_error(answer: Answer, document: dict[str, Any], text: str, promql: str) -> PrometheusError:
    """The error of an answer in Prometheus' format, where text and ``errorType`` decide before the HTTP status."""
    status, kind = answer.status, one_line(document.get("errorType"))
    stated = f"HTTP {status}, {kind}: {text}"
    facts = {"status": status, "error_type": kind, "text": text}
    if limit := limit_in(str(document.get("error"))[:MAX_SEARCHED]):
        return _limited(answer, stated, limit, promql, **facts)
    if status in (429, 502, 504) or kind == "unavailable":
        cause = "the server of PROMETHEUS_URL is overloaded or starting"
        return PrometheusUnreachable(f"{stated}; {cause}", retry_after(answer), code="not_ready", **facts)
    is_rejected = status in (400, 422) or kind in ("bad_data", "execution", "timeout", "canceled")
    if status == 200 or not is_rejected:
        return PrometheusAnswerError(
            f"{stated}; see the log of PROMETHEUS_URL's server. {query_note(promql)}", code="server_error", **facts
        )
    if kind in ("timeout", "canceled"):
        return PrometheusTooMuch(f"{stated}; request a shorter range. {query_note(promql)}", code="too_much", **facts)
    return PrometheusQueryError(f"{stated}; correct the query. {query_note(promql)}", code="bad_query", **facts)


def _limited(answer: Answer, stated: str, limit: Limit, promql: str, **facts: Any) -> PrometheusError:
    if limit.retry:
        return PrometheusUnreachable(f"{stated}; {limit.cure}", retry_after(answer), code="not_ready", **facts)
    least = limit.least_seconds
    return PrometheusTooMuch(
        f"{stated}; {limit.cure}. {query_note(promql)}",
        code="too_many_series" if least else "too_much",
        least_seconds=least,
        **facts,
    )


def _no_answer(answer: Answer, text: str, promql: str) -> PrometheusError:
    """The error of a body that is not Prometheus' format."""
    status = answer.status
    if status == 413:
        return PrometheusTooMuch(
            f"HTTP 413: {text}; request a shorter range. {query_note(promql)}",
            code="too_much",
            status=status,
            text=text,
        )
    if status == 414:
        return PrometheusQueryError(
            f"HTTP 414: {text}; shorten the query, or let what lies before PROMETHEUS_URL take longer addresses. "
            f"{query_note(promql)}",
            code="too_long",
            status=status,
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
    what = "broken JSON" if status == 200 else text
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


def retry_after(answer: Answer) -> float | None:
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
