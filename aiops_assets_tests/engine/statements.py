"""Statements without their words: what tests compare."""

from collections.abc import Iterable
from typing import Any

from aiops_assets.judging.statements import Statement


def as_data(statements: Iterable[Statement]) -> list[tuple[str, dict[str, Any]]]:
    """Code and facts of each."""
    return [(one.code, dict(one.facts)) for one in statements]
