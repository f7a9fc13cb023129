"""Routes that say why there is an alert, from the newest stored run of scores: nobody sends samples."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Request, Response

from aiops_assets.errors import AiopsError, SchemaError
from aiops_assets.registry.findings import ORDER, Findings
from aiops_assets.registry.metric_findings import explain_metric
from aiops_assets.registry.own_findings import own_alerts, silent
from aiops_assets.service import answers, explain_answers
from aiops_assets.service.bodies import MAX_NAME
from aiops_assets.service.newest_findings import NewestFindings
from aiops_assets.service.wire import PROBLEMS, error_answer, json_answer, status_of
from aiops_assets.service.workers import Lane, Workers
from aiops_assets.storage.explanations import PAGE

MAX_LISTED, LISTED_BY_DEFAULT = 1_000, 100
PNG = "image/png"
CACHED = {"cache-control": "private, max-age=60"}
TRUTHS = {"true": True, "1": True, "false": False, "0": False, "": False}
CODED_PROBLEMS: dict[int | str, dict[str, Any]] = {
    **PROBLEMS,
    400: {"model": answers.CodedProblem, "description": "The query is not valid; `error` states why."},
    404: {"model": answers.CodedProblem, "description": "No pod, node or metric of that name; `error` has others."},
    503: {"model": answers.CodedProblem, "description": "No run of scores is stored yet, or no answer in time."},
}
SUBJECTS = ("pod", "node", "metric")


def explain_routes(newest: NewestFindings, workers: Workers) -> APIRouter:
    """``/api/v1/scores``, ``/api/v1/explain`` and ``/api/v1/explain.png``."""
    router = APIRouter(prefix="/api/v1", responses=CODED_PROBLEMS, tags=["Why an alert"])

    async def answered(request: Request, lane: Lane, answer: Callable[[dict[str, str]], Response]) -> Response:
        """The answer, made in a thread; an error has its code beside its text."""
        try:
            query = _query(request)
            found: Response = await lane.call(lambda: answer(query))
            return found
        except AiopsError as error:
            if status_of(error) == 500:
                raise
            return error_answer(error, {"error": str(error), "code": error.code})

    @router.get(
        "/scores",
        response_model=explain_answers.ScoresAnswer,
        openapi_extra=_parameters(
            namespace="Only of this namespace.",
            pod="Only pods of this name.",
            alerts="true: only those with a page or a notice at this moment.",
            pages="true: only those with a page at this moment.",
            limit=f"Most entries, 1 to {MAX_LISTED}; {LISTED_BY_DEFAULT} by default.",
        ),
    )
    async def scores(request: Request) -> Response:
        """Pods and nodes of the newest run of scores: pages first, then notices, then the others."""
        return await answered(request, workers.light, lambda query: json_answer(_listed(newest.get(), query)))

    @router.get(
        "/explain",
        response_model=explain_answers.Explained | explain_answers.MetricExplained,
        openapi_extra=_parameters(**_OF_SUBJECT),
    )
    async def explain(request: Request) -> Response:
        """Why there is an alert: metrics with expected value and band, since when, and who raised it.

        Of a pod, a node or a metric; 404 with the names most like it where the newest run has none of that name.
        """
        return await answered(
            request, workers.light, lambda query: json_answer(asdict(_found(newest.get(), _one_subject(query))))
        )

    @router.get(
        "/explain.png",
        response_class=Response,
        openapi_extra=_parameters(**_OF_SUBJECT),
        responses={
            200: {"description": "A PNG.", "content": {PNG: {"schema": {"type": "string", "format": "binary"}}}}
        },
    )
    async def explain_picture(request: Request) -> Response:
        """The same as a picture: the newest day of each metric with its band, minutes of pages and notices shaded."""
        return await answered(request, workers.heavy, lambda query: _png(_picture(newest, _one_subject(query))))

    return router


_OF_SUBJECT = {
    "pod": "Name of a pod; one of pod, node and metric is needed.",
    "namespace": "Of the pod; needed where pods of several namespaces have this name.",
    "node": "A node, as the alert names it.",
    "metric": "A metric, as the alert names it.",
}


def _found(findings: Findings, query: Mapping[str, str]) -> Any:
    """An ``Explanation`` or a ``MetricExplanation``."""
    if query.get("metric"):
        return explain_metric(findings, query["metric"])
    if query.get("node"):
        return findings.of_node(query["node"])
    return findings.of_pod(query["pod"], query.get("namespace", ""))


def _png(data: bytes) -> Response:
    return Response(data, media_type=PNG, headers=CACHED)


def _picture(newest: NewestFindings, query: Mapping[str, str]) -> bytes:
    # Matplotlib takes a second to import, which nobody pays who asks for no picture.
    from aiops_assets.reporting.explained_pictures import picture_of, picture_of_metric

    findings = newest.get()
    found = _found(findings, query)
    draw: Callable[..., bytes] = picture_of_metric if query.get("metric") else picture_of
    return newest.picture(findings, repr(sorted(query.items())), lambda: draw(findings, found))


def _listed(findings: Findings, query: Mapping[str, str]) -> dict[str, Any]:
    pages, alerts = _truth(query, "pages"), _truth(query, "alerts")
    states = (PAGE,) if pages else ORDER[:2] if alerts else ORDER
    limit = _limit(query)
    found = findings.listed(query.get("namespace", ""), query.get("pod", ""), states)
    lists: dict[str, list[Any]] = {"subjects": found, "metrics": own_alerts(findings), "silent": silent(findings)}
    shown = {name: [asdict(one) for one in items[:limit]] for name, items in lists.items()}
    return {**findings.about, "total": len(found), **shown, "not_scored": findings.record.metrics_not_scored}


def _query(request: Request) -> dict[str, str]:
    """Raises SchemaError for a name that is longer than any can be."""
    query = {name: value for name, value in request.query_params.items() if value}
    for name, value in query.items():
        if len(value) > MAX_NAME:
            raise SchemaError(f"{name} is longer than {MAX_NAME} characters", code="name_too_long", parameter=name)
    return query


def _one_subject(query: dict[str, str]) -> dict[str, str]:
    """Raises SchemaError where not exactly one of pod, node and metric is named."""
    if sum(name in query for name in SUBJECTS) != 1:
        raise SchemaError("name one of pod, node and metric, such as ?namespace=shop&pod=cart-1", code="one_subject")
    return {name: value for name, value in query.items() if name in _OF_SUBJECT}


def _truth(query: Mapping[str, str], name: str) -> bool:
    text = query.get(name, "").lower()
    if text not in TRUTHS:
        raise SchemaError(f"{name}={text}: write true or false", code="bad_parameter", parameter=name)
    return TRUTHS[text]


def _limit(query: Mapping[str, str]) -> int:
    text = query.get("limit", str(LISTED_BY_DEFAULT))
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= MAX_LISTED):
        raise SchemaError(
            f"limit={text[:20]}: write a number from 1 to {MAX_LISTED}", code="bad_parameter", parameter="limit"
        )
    return int(text)


def _parameters(**described: str) -> dict[str, Any]:
    """OpenAPI's description of the parameters of a route that reads its query itself."""
    kinds: dict[str, dict[str, Any]] = {
        "alerts": {"type": "boolean"},
        "pages": {"type": "boolean"},
        "limit": {"type": "integer", "minimum": 1, "maximum": MAX_LISTED},
    }
    text = {"type": "string", "maxLength": MAX_NAME}
    return {
        "parameters": [
            {"name": name, "in": "query", "required": False, "description": about, "schema": kinds.get(name, text)}
            for name, about in described.items()
        ]
    }
