"""What OpenAPI says beside the routes: bodies that routes read themselves, examples of answers, keys, and HEAD."""

import json
from importlib.resources import files
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

from aiops_assets.service import bodies
from aiops_assets.service.explain_example import EXPLAINED, LISTED
from aiops_assets.service.gate import OPEN_PATHS, OPEN_PREFIXES

REFERENCED = (bodies.DetectBody, bodies.PredictBody, bodies.AnalyzeBody, bodies.PredictRequest, bodies.InferRequest)
REFERENCE = "#/components/schemas/"
JSON = "application/json"
EXAMPLES: dict[str, Any] = json.loads(files("aiops_assets.service").joinpath("examples.json").read_text("utf-8"))
"""Name of an answer's schema -> what ``aiops serve --demo`` answers. FastAPI would take the nulls out of it."""
OF_SCORES: dict[str, Any] = {"ScoresAnswer": LISTED, "Explained": EXPLAINED}
PROBLEMS = {
    "400": 'metrics[0].value: Input should be a valid number; send {"name": ..., "value": ...}',
    "401": "send the API key as `Authorization: Bearer <key>` or `X-API-Key: <key>`",
    "404": "there is no model nobody: there are anomaly-detector, predictive-analytics",
    "408": "the body did not come within 9 s: send it again",
    "413": "the body is larger than 8388608 bytes: send less at once (SERVICE_MAX_BODY_BYTES)",
    "414": "the URL is larger than 65536 bytes (SERVICE_MAX_HEAD_BYTES)",
    "415": "Content-Encoding 'br' is not taken: send gzip, or no encoding",
    "422": "predictive-analytics gave a forecast that is not finite",
    "431": "the head is larger than 65536 bytes (SERVICE_MAX_HEAD_BYTES)",
    "503": "anomaly-detector has no version yet: run the pipeline, or wait for the next one",
}
"""Status -> an error."""
SECURITY = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "The key in the file SERVICE_API_KEY_FILE."},
    "key": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "The same key."},
}
ID_HEADERS = {
    "X-Request-ID": {
        "description": "That of the request, or a new one; it is in the service's log.",
        "schema": {"type": "string", "maxLength": 128},
    }
}
METRICS_ANSWER: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Prometheus' text format.",
        "content": {"text/plain": {"schema": {"type": "string"}, "example": 'aiops_model_info{model="a"} 1.0\n'}},
    }
}


def document(app: FastAPI, *, has_key: bool) -> None:
    """Complete the OpenAPI document of an application; it is made at the first request for it.

    Args:
        app: the application.
        has_key: whether an API key is set; without one the key is described as optional.
    """

    def openapi() -> dict[str, Any]:
        if not app.openapi_schema:
            schema = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
            _, found = models_json_schema(
                [(model, "validation") for model in REFERENCED], ref_template=REFERENCE + "{model}"
            )
            schema["components"]["schemas"].update(found["$defs"])
            schema["components"]["securitySchemes"] = SECURITY
            schema["security"] = [{name: []} for name in SECURITY] + ([] if has_key else [{}])
            for path, operations in schema["paths"].items():
                for method, operation in operations.items():
                    if method == "get" and _is_open(path):
                        operation["security"] = []
                    for status, response in operation["responses"].items():
                        _complete(status, response)
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _is_open(path: str) -> bool:
    return path in OPEN_PATHS or path.startswith(OPEN_PREFIXES)


def _complete(status: str, response: dict[str, Any]) -> None:
    """An example and the headers of a response."""
    response["headers"] = ID_HEADERS
    content = response.get("content", {}).get(JSON)
    if content is None:
        return
    schema = content["schema"]
    name = schema.get("anyOf", [schema])[0].get("$ref", "").removeprefix(REFERENCE)
    example = {**EXAMPLES, **OF_SCORES}.get(name) if status == "200" else {"error": PROBLEMS[status]}
    if name == "CodedProblem":
        example = {"error": PROBLEMS[status], "code": "one_subject"}
    elif name == "NotReady":
        example = {"error": PROBLEMS[status], "ready": False}
    if example is not None:
        content["example"] = example
