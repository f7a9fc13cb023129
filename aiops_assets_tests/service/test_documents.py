"""The OpenAPI document: it has an example of every answer, which is what the demo answers, and describes the keys."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from starlette.testclient import TestClient

from aiops_assets.families.anomaly_detector import ANOMALY_DETECTOR
from aiops_assets.service import documents
from aiops_assets.service.documents import EXAMPLES, JSON, REFERENCE
from aiops_assets_tests.service.conftest import service

PLACES = {"{name}": ANOMALY_DETECTOR.name, "{version}": "1"}
CHANGING = ("uptime_seconds", "loaded")
KEY = "s3cret-key"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with service(tmp_path_factory.mktemp("demo"), demo=True) as client:
        yield client


@pytest.fixture(scope="module")
def document(demo: TestClient) -> dict[str, Any]:
    found: dict[str, Any] = demo.get("/openapi.json").json()
    return found


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def answered(demo: TestClient, document: dict[str, Any], path: str, method: str, operation: dict[str, Any]) -> Any:
    """What the demo answers to the example of a body."""
    body = None
    if "requestBody" in operation:
        name = operation["requestBody"]["content"][JSON]["schema"]["$ref"].removeprefix(REFERENCE)
        (body,) = document["components"]["schemas"][name]["examples"]
    for place, value in PLACES.items():
        path = path.replace(place, value)
    response = demo.request(method, path, json=body)
    assert response.status_code == 200, response.text
    return response.json()


def steady(answer: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in answer.items() if key not in CHANGING}


def test_each_answer_has_an_example_and_it_is_what_the_demo_answers(demo: TestClient, document: dict[str, Any]) -> None:
    found = {}
    for path, method, operation in operations(document):
        content = operation["responses"]["200"].get("content", {})
        name = content.get(JSON, {}).get("schema", {}).get("$ref", "").removeprefix(REFERENCE)
        if name and name != "ScoresAnswer" and name not in found:
            found[name] = answered(demo, document, path, method, operation)
    if os.environ.get("UPDATE_SNAPSHOTS"):
        text = json.dumps(dict(sorted(found.items())), indent=1) + "\n"
        Path(documents.__file__).with_name("examples.json").write_text(text)
    assert {name: steady(answer) for name, answer in found.items()} == {
        name: steady(answer) for name, answer in EXAMPLES.items()
    }


def test_every_documented_answer_has_an_example_that_is_valid(document: dict[str, Any]) -> None:
    schemas = {"components": document["components"]}
    for path, method, operation in operations(document):
        for status, response in operation["responses"].items():
            for kind, content in response.get("content", {}).items():
                if kind == "image/png":
                    continue
                assert "example" in content, (path, method, status)
                jsonschema.validate(content["example"], {**content["schema"], **schemas})


def test_what_may_be_null_is_described_so(demo: TestClient, document: dict[str, Any]) -> None:
    sent = {"metrics": None, "predict_ahead": None, "issue_context": {"recent_events": None, "metrics": None}}
    assert demo.post("/api/v1/prediction/predict", json=sent).status_code == 200
    schemas = document["components"]["schemas"]
    for name, fields in {
        "PredictBody": ("metrics", "historical_metrics", "predict_ahead", "issue_context"),
        "IssueContext": ("recent_events", "metrics"),
        "AnalyzeBody": ("metrics", "time_range", "analysis_type"),
        "Metric": ("timestamp", "labels"),
    }.items():
        for field in fields:
            jsonschema.validate(None, {**schemas[name]["properties"][field], "components": {"schemas": schemas}})


def test_numbers_have_a_range_or_say_their_unit(document: dict[str, Any]) -> None:
    for name, schema in document["components"]["schemas"].items():
        for field, described in schema.get("properties", {}).items():
            if described.get("type") in ("number", "integer"):
                assert {"description", "minimum", "maximum"} & described.keys(), (name, field)


def test_the_key_is_described_and_its_place_in_the_page_needs_none(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(KEY)
    with service(tmp_path, demo=True, SERVICE_API_KEY_FILE=str(tmp_path / "key")) as client:
        page, document = client.get("/docs"), client.get("/openapi.json")
        assert page.status_code == document.status_code == 200
        assert KEY not in page.text + document.text
        assert str(tmp_path) not in page.text + document.text
        found = document.json()
        assert {name: one["type"] for name, one in found["components"]["securitySchemes"].items()} == {
            "bearer": "http",
            "key": "apiKey",
        }
        for path, method, operation in operations(found):
            asked = client.request(method, path, headers={"accept": "application/json"}).status_code
            assert (asked == 401) == (operation.get("security", found["security"]) != []), path


def test_without_a_key_it_is_optional(document: dict[str, Any]) -> None:
    assert {} in document["security"]


def test_what_is_read_by_get_is_answered_to_head_without_a_body(demo: TestClient, document: dict[str, Any]) -> None:
    for path, method, _ in operations(document):
        if method == "get":
            for place, value in PLACES.items():
                path = path.replace(place, value)
            assert demo.head(path).status_code == demo.get(path).status_code, path
    assert demo.head("/docs").status_code == 200
    assert demo.head("/api/v1/anomaly/detect").status_code == 405


@pytest.mark.parametrize("version", ["2", "0", "champion", " 1"])
def test_a_version_that_is_not_served_is_unknown(demo: TestClient, version: str) -> None:
    path = f"/v2/models/{ANOMALY_DETECTOR.name}/versions/{version}"
    tensor = {"name": "rows", "shape": [1, 45], "datatype": "FP64", "data": [0.5] * 45}
    for response in (demo.get(path), demo.get(f"{path}/ready"), demo.post(f"{path}/infer", json={"inputs": [tensor]})):
        assert response.status_code == 404
        assert set(response.json()) == {"error"}
