"""Shrink a JSON Schema without changing what it accepts: ``python share.py FILE.json ...`` rewrites each file.

Descriptions and spaces are dropped. A subschema that stands in several places, such as the pod template in each
component of an InferenceService, is written once below ``$defs`` and referred to from there.
"""

import json
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

Schema = dict[str, Any]

OF_NAMES = ("properties", "patternProperties", "$defs")
"""Keywords whose value maps names to schemas."""
OF_ONE = ("items", "additionalProperties", "not", "if", "then", "else")
"""Keywords whose value is a schema, or true or false."""
OF_MANY = ("allOf", "anyOf", "oneOf", "prefixItems")
"""Keywords whose value is a list of schemas."""
WORTH_SHARING = 120
"""Characters of the shortest subschema that is written once: a reference itself takes about twenty."""


def map_subschemas(schema: Schema, change: Callable[[Schema], Schema]) -> Schema:
    """The schema with ``change`` applied to each schema directly below it."""

    def changed(value: Any) -> Any:
        return change(value) if isinstance(value, dict) else value

    result: Schema = {}
    for key, value in schema.items():
        if key in OF_NAMES:
            result[key] = {name: changed(one) for name, one in value.items()}
        elif key in OF_ONE:
            result[key] = changed(value)
        elif key in OF_MANY:
            result[key] = [changed(one) for one in value]
        else:
            result[key] = value
    return result


def without_descriptions(schema: Schema) -> Schema:
    return map_subschemas({key: schema[key] for key in schema if key != "description"}, without_descriptions)


def text(schema: Schema) -> str:
    return json.dumps(schema, separators=(",", ":"), sort_keys=True)


def shared(schema: Schema) -> Schema:
    """The same schema with its repeated subschemas below ``$defs``."""
    seen: Counter[str] = Counter()

    def count(one: Schema) -> Schema:
        seen[text(one)] += 1
        # What stands inside a repeated subschema is counted at its first place only.
        return map_subschemas(one, count) if seen[text(one)] == 1 else one

    map_subschemas(schema, count)
    names: dict[str, str] = {}
    definitions: Schema = {}

    def refer(one: Schema) -> Schema:
        key = text(one)
        if seen[key] < 2 or len(key) < WORTH_SHARING:
            return map_subschemas(one, refer)
        if key not in names:
            names[key] = str(len(names))
            definitions[names[key]] = map_subschemas(one, refer)
        return {"$ref": f"#/$defs/{names[key]}"}

    result = map_subschemas(schema, refer)
    return {**result, "$defs": definitions} if definitions else result


def expanded(schema: Schema) -> Schema:
    """The schema with each reference replaced by what it refers to."""
    definitions = schema.get("$defs", {})

    def follow(one: Schema) -> Schema:
        return map_subschemas(definitions[one["$ref"].rpartition("/")[2]] if "$ref" in one else one, follow)

    return map_subschemas({key: value for key, value in schema.items() if key != "$defs"}, follow)


if __name__ == "__main__":
    for name in sys.argv[1:]:
        original = without_descriptions(expanded(json.loads(Path(name).read_text())))
        small = shared(original)
        if expanded(small) != original:
            raise SystemExit(f"{name}: the shared form is not the same schema; the file was left as it was")
        Path(name).write_text(text(small) + "\n")
