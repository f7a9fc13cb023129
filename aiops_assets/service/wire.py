"""JSON of requests and answers: strict parsing, and errors in the form that clients expect."""

from typing import Any, TypeVar

import orjson
from fastapi import Response
from pydantic import BaseModel, ValidationError

from aiops_assets.errors import (
    AiopsError,
    DataError,
    ModelError,
    SchemaError,
    ServiceBusy,
    ServiceNotReady,
    UnknownModel,
    UnknownSubject,
)
from aiops_assets.service.answers import Problem

Body = TypeVar("Body", bound=BaseModel)

MAX_PROBLEMS = 5
"""Most problems that one error names."""
PROBLEMS: dict[int | str, dict[str, Any]] = {
    400: {"model": Problem, "description": "The request is not valid; `error` states why."},
    401: {"model": Problem, "description": "The API key is missing or wrong."},
    404: {"model": Problem, "description": "No such model, version or path."},
    408: {"model": Problem, "description": "Head or body did not come in time."},
    413: {"model": Problem, "description": "The body is too large, has too many values, or would when decompressed."},
    414: {"model": Problem, "description": "The URL is too large."},
    415: {"model": Problem, "description": "The body is compressed in another way than by gzip."},
    422: {"model": Problem, "description": "The model gave no usable prediction."},
    431: {"model": Problem, "description": "The headers are too large, or too many."},
    503: {
        "model": Problem,
        "description": "No model can answer yet, or not in time; with Retry-After where the service is busy.",
    },
}


STATUS = (
    (UnknownModel, 404),
    (UnknownSubject, 404),
    (ServiceNotReady, 503),
    (ServiceBusy, 503),
    (DataError, 400),
    (ModelError, 422),
)


def status_of(error: Exception) -> int:
    """The HTTP status of an error."""
    return next((code for kind, code in STATUS if isinstance(error, kind)), 500)


def json_answer(content: object, status: int = 200) -> Response:
    """A JSON response. The serializer rejects numpy's numbers, so that only JSON's own types are sent."""
    return Response(orjson.dumps(content), status, media_type="application/json")


def error_answer(error: AiopsError, content: dict[str, Any]) -> Response:
    """The JSON response of an error, with Retry-After where it states when to ask again."""
    answer = json_answer(content, status_of(error))
    if "retry_after" in error.facts:
        answer.headers["retry-after"] = str(error.facts["retry_after"])
    return answer


def json_object(data: bytes) -> dict[str, Any]:
    """A body as a JSON object; NaN and infinity are not JSON.

    Raises:
        SchemaError: the body is not JSON, or not an object.
    """
    try:
        found = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise SchemaError(f"the body is not JSON: {error}") from None
    if type(found) is not dict:
        raise SchemaError("the body has to be a JSON object")
    return found


def parsed(model: type[Body], data: bytes) -> Body:
    """A body validated by a model.

    Raises:
        SchemaError: the body is not valid; the message names the first places.
    """
    try:
        return model.model_validate_json(data)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        places = [_place(one["loc"]) + one["msg"].removeprefix("Value error, ") for one in found[:MAX_PROBLEMS]]
        more = f"; and {len(found) - MAX_PROBLEMS} more" if len(found) > MAX_PROBLEMS else ""
        raise SchemaError("; ".join(places) + more) from None


def takes(model: type[BaseModel]) -> dict[str, Any]:
    """OpenAPI's description of the body of a route that reads its body itself."""
    reference = {"$ref": f"#/components/schemas/{model.__name__}"}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": reference}}}}


def _place(path: tuple[int | str, ...]) -> str:
    place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")
    return f"{place}: " if place else ""
