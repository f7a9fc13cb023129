"""Takes the names of objects out of free text: a pod that is called oom-success-normal says nothing by its name."""

import re
from collections.abc import Iterable

from aiops_assets.engine.events.rules import is_phrase

TOKEN = re.compile(r"\w+(?:[-./:@]+\w+)*")
NAME = re.compile(r"[a-z0-9]+(?:[-./:@][a-z0-9]+)+")
"""A name that Kubernetes allows and that has several parts: web-0, shop/cart, registry.local/cart:1.2."""
QUOTED = re.compile(
    r"(?i)\b(pods?|containers?|nodes?|namespaces?|images?|jobs?|deployments?|volumes?|secrets?)[ =:/]+"
    r"([\"'`])[^\"'`]*\2"
)
"""The kind of an object, followed by its name in quotation marks."""


def without_names(text: str, names: Iterable[str]) -> str:
    """A text without the names of objects: those that are known, and tokens that only a name is written like."""
    known = frozenset(names)

    def word_or_nothing(found: re.Match[str]) -> str:
        token = found[0]
        if token in known:
            return " "
        is_name = NAME.fullmatch(token) and (re.search("[/:@]", token) or not is_phrase(token))
        return " " if is_name else token

    return TOKEN.sub(word_or_nothing, QUOTED.sub(r"\1 ", text))
