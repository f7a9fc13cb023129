"""PromQL as text: its tokens, brackets and variables. The parser knows what a query means, and no positions."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

_TOKEN = re.compile(
    r"(?P<space>\s+)"
    r"|(?P<comment>\#[^\n]*)"
    r'|(?P<string>"(?:\\.|[^"\\\n])*"'
    r"|'(?:\\.|[^'\\\n])*'"
    r"|`[^`]*`)"
    r"|(?P<variable>\$\{[^}\s]*\}?|\$\w*|\[\[\w+(?::\w+)?\]\])"
    r"|(?P<number>0[xX][0-9a-fA-F_]+|(?:\d[\d_]*\.?[\d_]*|\.\d+)(?:[eE][+-]?\d+)?[a-zA-Z0-9]*)"
    r"|(?P<word>(?:[^\W\d]|:|\\.)(?:[\w.:]|\\.)*)"
    r"|(?P<operator>==|!=|<=|>=|=~|!~|[-+*/%^<>=,@:])"
    r"|(?P<bracket>[()\[\]{}])",
)
_IN_RANGE = re.compile(r"(?P<number>[\d.][\w.]*)|(?P<operator>:)")
_CLOSING = {")": "(", "]": "[", "}": "{"}
_GRAFANA = re.compile(r"\$\w|\$\{\w|\[\[\w+(?::\w+)?\]\]")


class UnreadableQuery(ValueError):
    """Text that no server takes as a query; the message says why. ``code``: which of the reasons it is."""

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Token:
    """A piece of a query.

    Attributes:
        kind: ``string``, ``number`` (durations, too), ``word``, ``operator`` or ``bracket``.
        text: as it is written.
        start, end: half-open positions in the query.
    """

    kind: str
    text: str
    start: int
    end: int

    @property
    def lower(self) -> str:
        """The text in lower case: keywords are taken in any case."""
        return self.text.lower()


@lru_cache(maxsize=1024)
def tokens(promql: str) -> tuple[Token, ...]:
    """The tokens of a query, without spaces and comments.

    Raises:
        UnreadableQuery: an unclosed string or bracket, a variable of a dashboard, a sign that PromQL does not have.
    """
    found: list[Token] = []
    open_brackets: list[Token] = []
    for token in _pieces(promql):
        found.append(token)
        if token.text in _CLOSING.values():
            open_brackets.append(token)
        elif token.text in _CLOSING and (not open_brackets or open_brackets.pop().text != _CLOSING[token.text]):
            raise UnreadableQuery(f"{token.text} {_at(promql, token.start)} closes no bracket", "wrong_bracket")
    if open_brackets:
        opened = open_brackets[-1]
        raise UnreadableQuery(f"{opened.text} {_at(promql, opened.start)} is never closed", "unclosed_bracket")
    if not found:
        raise UnreadableQuery("is empty or a comment", "empty_query")
    return tuple(found)


def _pieces(promql: str) -> Iterator[Token]:
    position, in_range = 0, False
    while position < len(promql):
        # In [1h:5m] the colon stands between durations; elsewhere names may begin with one.
        found = (in_range and _IN_RANGE.match(promql, position)) or _TOKEN.match(promql, position)
        if found is None:
            raise _stray(promql, position)
        kind = found.lastgroup or ""
        if kind == "variable":
            raise variable_error(found[0])
        if found[0] in "[]":
            in_range = found[0] == "["
        if kind not in ("space", "comment"):
            yield Token(kind, found[0], position, found.end())
        position = found.end()


def _stray(promql: str, position: int) -> UnreadableQuery:
    sign = promql[position]
    if sign in "\"'`":
        return UnreadableQuery(f"the string that begins {_at(promql, position)} is never closed", "unclosed_string")
    return UnreadableQuery(f"{sign!r} {_at(promql, position)} is not part of PromQL", "stray_sign")


def has_variable(value: str) -> bool:
    """Whether a matcher's value holds a variable of a dashboard: ``$job``, ``${job}``, ``[[job]]``.

    In a regular expression nothing matches ``$`` before a letter, so no anchor is mistaken for a variable.
    """
    return _GRAFANA.search(value) is not None


def variable_error(text: str) -> UnreadableQuery:
    """The error of a query with a variable."""
    shown = text if len(text) <= 40 else text[:37] + "..."
    return UnreadableQuery(
        f"{shown} is a variable of a dashboard, which no server fills in: write its value ([$] is a dollar sign in =~)",
        "variable",
    )


def _at(promql: str, position: int) -> str:
    before = promql[:position]
    return f"at line {before.count(chr(10)) + 1}, column {position - before.rfind(chr(10))}"
