"""Validators of custom resources, by the schemas in schemas/."""

import json
from functools import cache
from pathlib import Path

from jsonschema import Draft202012Validator

SCHEMAS = Path(__file__).parent / "schemas"


@cache
def validator_of(kind: str, api_version: str) -> Draft202012Validator:
    """The schema itself is not checked: that takes seconds, and its patterns are of another dialect."""
    group, _, minor = api_version.partition("/")
    return Draft202012Validator(json.loads((SCHEMAS / f"{kind}.{group}.{minor}.json").read_text()))
