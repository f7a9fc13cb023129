"""Settings as people may see them: their values, what is allowed, and what is wrong."""

from collections.abc import Mapping
from datetime import date
from typing import Any, get_args

from aiops_assets.http_client import without_secrets
from aiops_assets.settings.table import Settings


def shown(value: object) -> str:
    """A value as people may see it: nothing before an @, nothing from a ? or # on."""
    if value is None:
        return ""
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    if isinstance(value, dict):
        return ",".join(f"{name}={one}" for name, one in value.items())
    return without_secrets(str(value))


def allowed(name: str) -> str:
    """The values that a variable may hold, in words; empty where anything of its type is allowed."""
    field = Settings.model_fields[name]
    options = [option for part in (field.annotation, *get_args(field.annotation)) for option in _options(part)]
    if options:
        return "one of " + ", ".join(options)
    low = next((m.ge for m in field.metadata if hasattr(m, "ge")), None)
    high = next((m.le for m in field.metadata if hasattr(m, "le")), None)
    if low is not None and high is not None:
        return f"{low} to {high}"
    return "a day, YYYY-MM-DD" if date in (field.annotation, *get_args(field.annotation)) else ""


def _options(annotation: object) -> list[str]:
    return [str(option) for option in get_args(annotation)] if "Literal" in str(type(annotation)) else []


def explain(problem: Any, given: Mapping[str, str]) -> str:
    """What is wrong with a value, in one line.

    Args:
        problem: one of pydantic's.
        given: the variables that are set, by names in lower case.
    """
    name, *inside = map(str, problem["loc"])
    # As it was written: pydantic reports seconds where that was a duration, and in a list only the entry that is wrong.
    value = problem["input"] if inside else given.get(name, problem["input"])
    # The message of our own validator is more exact than the list of what its type takes.
    ours = "" if problem["type"] == "value_error" else allowed(name)
    hint = ours or problem["msg"].removeprefix("Value error, ")
    return f"{name.upper()}={shown(value)}: not allowed, must be {hint.removeprefix('must be ')}"
