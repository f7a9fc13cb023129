"""Requests drawn from the OpenAPI document, also broken ones: never a 5xx, always what the document says."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from aiops_assets.families.anomaly_detector import ANOMALY_DETECTOR
from aiops_assets.families.catalog import MODEL_NAMES
from aiops_assets.families.predictive_analytics import PREDICTIVE_ANALYTICS
from aiops_assets.service.demo_scores import demo_run
from aiops_assets.service.serving import app_of
from aiops_assets.storage.scores import Scores
from aiops_assets.storage.storage import open_storage
from aiops_assets_tests.conftest import make_settings
from aiops_assets_tests.lengths import at_length
from aiops_assets_tests.service.running import serving
from aiops_assets_tests.service.served_home import ServedHome

CHECKS = [not_a_server_error, content_type_conformance, response_schema_conformance, status_code_conformance]
NAMES = (ANOMALY_DETECTOR.name, PREDICTIVE_ANALYTICS.name, "nobody")
CONFIG = schemathesis.Config.from_dict({"generation": {"mode": "all"}})
DOCUMENT = app_of(make_settings(Path("unused")), demo=True).openapi()


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Of a service with all models and a run of scores, in a process of its own."""
    home = tmp_path_factory.mktemp("whole")
    ServedHome(home / "models").serve(MODEL_NAMES)
    run = demo_run()
    record = run.record.model_copy(update={"cluster": "default"})
    Scores(open_storage(home), "default").put(replace(run, record=record))
    with serving(home) as running:
        running.wait_for("/v2/health/ready")
        yield running.url


OPERATIONS = sum(len(methods) for methods in DOCUMENT["paths"].values())
EXAMPLES = at_length(40, 20_000 // OPERATIONS + 1)

schema = schemathesis.openapi.from_dict(DOCUMENT, config=CONFIG)


@pytest.mark.long
@schema.parametrize()
@settings(
    max_examples=EXAMPLES, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)
def test_no_request_of_the_document_is_a_server_error(case: Any, address: str) -> None:
    if "name" in case.path_parameters:  # drawn names are nobody's
        case.path_parameters["name"] = NAMES[len(str(case.body)) % len(NAMES)]
    response = case.call(base_url=address)
    case.validate_response(response, checks=CHECKS)
