"""Errors by what they are, not by their words."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import pytest

from aiops_assets.errors import AiopsError

Kind = TypeVar("Kind", bound=AiopsError)


@contextmanager
def raises(kind: type[Kind], code: str, **facts: object) -> Iterator[pytest.ExceptionInfo[Kind]]:
    """Expect an error of a type and code whose facts are, among others, these."""
    with pytest.raises(kind) as raised:
        yield raised
    found = {name: value for name, value in raised.value.facts.items() if name in facts}
    assert (raised.value.code, found) == (code, facts), str(raised.value)
