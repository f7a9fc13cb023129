"""Label matchers that are put into every selector of a query: one cluster out of a server that holds several.

The text is changed where a small reader sees selectors, so that what people wrote stays as it is. What it did is
then proved by the parser: the tree of the new query is that of the old one, but for the matchers in each selector.
"""

import json
import re
from collections.abc import Sequence
from functools import lru_cache

import promql_parser
from promql_parser import (
    AggregateExpr,
    BinaryExpr,
    Call,
    Expr,
    Matcher,
    MatchOp,
    MatrixSelector,
    NumberLiteral,
    StringLiteral,
    SubqueryExpr,
    VectorSelector,
)

from aiops_assets.errors import SettingsError
from aiops_assets.timeseries.promql import parse, parts, walk
from aiops_assets.timeseries.promql_text import Token, UnreadableQuery, has_variable, tokens

MAX_CHARACTERS = 1000
GROUPING = frozenset(
    {"by", "without", "on", "ignoring", "group_left", "group_right", "fill", "fill_left", "fill_right"}
)
"""Words whose brackets hold labels or numbers, and no selector."""
NUMBERS = frozenset({"inf", "nan"})

_SIMPLE_NAME = re.compile(r"[a-zA-Z_]\w*")
_OPERATORS = ((MatchOp.Equal, "="), (MatchOp.NotEqual, "!="), (MatchOp.Re, "=~"), (MatchOp.NotRe, "!~"))

Key = tuple[str, str, str]
"""Name, operator and value of a matcher."""


@lru_cache(maxsize=64)
def canonical_matchers(text: str) -> str:
    """Matchers as people write them (``cluster="a", region=~"eu.*"``) in one form; empty for none.

    Raises:
        ValueError: the text is not a list of label matchers; says what is wrong.
    """
    if len(text) > MAX_CHARACTERS:
        raise ValueError(f"must be label matchers of at most {MAX_CHARACTERS} characters")
    return ",".join(f"{name}{sign}{json.dumps(value, ensure_ascii=False)}" for name, sign, value in _keys_of(text))


def _keys_of(text: str) -> list[Key]:
    if not text.strip():
        return []
    try:
        found = tokens(text)
        expr = promql_parser.parse(f"x{{{text}\n}}")
    except ValueError as error:
        raise ValueError(f'must be label matchers such as cluster="prod-1": {error}') from None
    plain = all(token.kind in ("string", "word") or token.text in (",", "=", "!=", "=~", "!~") for token in found)
    if not plain or not isinstance(expr, VectorSelector) or expr.matchers.or_matchers:
        raise ValueError('must be label matchers such as cluster="prod-1",region=~"eu.*", with a comma between them')
    keys = [_key(matcher) for matcher in expr.matchers.matchers]
    for name, sign, value in keys:
        if name == "__name__":
            raise ValueError("must be label matchers other than __name__")
        if has_variable(value):
            raise ValueError(f"must be label matchers with plain values: {name}{sign}{value} holds a variable")
    return keys


def _key(matcher: Matcher) -> Key:
    sign = next(sign for operator, sign in _OPERATORS if matcher.op == operator)
    name = matcher.name if _SIMPLE_NAME.fullmatch(matcher.name) else json.dumps(matcher.name, ensure_ascii=False)
    return name, sign, matcher.value


@lru_cache(maxsize=1024)
def with_matchers(promql: str, matchers: str) -> str:
    """A query whose every selector has these matchers, too. One that has them already, or no selector, stays as it is.

    Args:
        promql: the query.
        matchers: as :func:`canonical_matchers` takes them; empty: none.

    Raises:
        SettingsError: the query cannot be read, so that a selector might be missed, or reads series that no selector
            names (``info()``).
    """
    text = canonical_matchers(matchers)
    if not text:
        return promql
    wanted = frozenset(_keys_of(text))
    before = _readable(promql, text)
    if all(wanted <= group for selector in _selectors(before) for group in _groups(selector)):
        return promql
    changed = _insert(promql, text)
    if _tree(_readable(changed, text), frozenset()) != _tree(before, wanted):
        raise _unmatchable(promql, text, "the place of a selector in it is not clear")
    return changed


def _readable(promql: str, text: str) -> Expr:
    try:
        expr = parse(promql)
    except UnreadableQuery as error:
        raise _unmatchable(promql, text, str(error)) from None
    if expr is None:
        raise _unmatchable(promql, text, "it has words that are not PromQL's, or is very large")
    if any(isinstance(part, Call) and part.func.name == "info" for part in walk(expr)):
        raise _unmatchable(promql, text, "info() reads series that no selector names")
    return expr


def _unmatchable(promql: str, text: str, why: str) -> SettingsError:
    query = " ".join(promql.split())
    return SettingsError(
        f"PROMETHEUS_MATCHER={text} cannot be put into a query: {why}; write the query so that each selector is "
        f"plain. Query: {query if len(query) <= 300 else query[:297] + '...'}",
        code="unmatchable_query",
        matchers=text,
        why=why,
    )


def _selectors(expr: Expr) -> list[VectorSelector]:
    return [part for part in walk(expr) if isinstance(part, VectorSelector)]


def _groups(selector: VectorSelector, added: frozenset[Key] = frozenset()) -> list[frozenset[Key]]:
    """The matchers of a selector; several groups where VictoriaMetrics' ``or`` stands between them."""
    found = selector.matchers
    return [frozenset(map(_key, group)) | added for group in (found.or_matchers or [found.matchers])]


def _tree(expr: Expr, added: frozenset[Key]) -> object:
    """An expression as nested tuples that can be compared, with matchers added to each selector."""
    if isinstance(expr, VectorSelector):
        return "selector", expr.name, _groups(expr, added), expr.offset, _at(expr)
    own: tuple[object, ...] = ()
    if isinstance(expr, AggregateExpr):
        grouping = expr.modifier and (str(expr.modifier.type), expr.modifier.labels)
        own = (str(expr.op), grouping, expr.param is None)
    elif isinstance(expr, BinaryExpr):
        own = (str(expr.op), _modifier(expr))
    elif isinstance(expr, Call):
        own = (expr.func.name,)
    elif isinstance(expr, MatrixSelector):
        own = (expr.range,)
    elif isinstance(expr, SubqueryExpr):
        own = (expr.range, expr.step, expr.offset, _at(expr))
    elif isinstance(expr, NumberLiteral | StringLiteral):
        own = (repr(expr.val),)
    return type(expr).__name__, own, [_tree(part, added) for part in parts(expr)]


def _at(expr: VectorSelector | SubqueryExpr) -> object:
    return expr.at and (str(expr.at.type), expr.at.at)


def _modifier(expr: BinaryExpr) -> object:
    found = expr.modifier
    if found is None:
        return None
    matching = found.matching and (str(found.matching.type), found.matching.labels)
    fill = (found.fill_values.lhs, found.fill_values.rhs)
    return str(found.card), matching, found.return_bool, found.group_labels, fill


def _insert(promql: str, text: str) -> str:
    """The query with the text at the beginning of each pair of braces, and in new ones behind each name without."""
    found = tokens(promql)
    pieces, end = [], 0
    for position, addition in _places(found, text):
        pieces += [promql[end:position], addition]
        end = position
    return "".join([*pieces, promql[end:]])


def _places(found: Sequence[Token], text: str) -> list[tuple[int, str]]:
    places: list[tuple[int, str]] = []
    operand = True  # whether a value may begin here, and not an operator between two values
    i = 0
    while i < len(found):
        token, after = found[i], found[i + 1] if i + 1 < len(found) else None
        following = after.text if after else ""
        if token.text == "{":
            stop = _closing(found, i)
            starts = [i, *(k for k in range(i, stop) if found[k].kind == "word" and found[k].lower == "or")]
            places += [
                (found[k].end, (" " if k > i else "") + text + ("," if found[k + 1].text != "}" else ""))
                for k in starts
            ]
            i, operand = stop, False
        elif token.text == "[" or (token.lower in GROUPING and following == "("):
            i = _closing(found, i + (token.text != "["))
        elif token.kind == "word" and operand and following != "(" and not _is_operation(token, after):
            if token.lower not in NUMBERS or following == "{":
                places += [] if following == "{" else [(token.end, f"{{{text}}}")]
            operand = False
        else:
            operand = _begins_operand(token, operand)
        i += 1
    return places


def _is_operation(token: Token, after: Token | None) -> bool:
    """Whether a word is an aggregation before its grouping (``sum by (pod) (x)``), or the modifier ``bool``."""
    return token.lower == "bool" or (after is not None and after.lower in ("by", "without"))


def _begins_operand(token: Token, operand: bool) -> bool:
    """Whether a value may begin after a token that is not a selector."""
    if token.kind in ("number", "string") or token.text == ")":
        return False
    if token.kind == "word":  # a function, an aggregation, or an operator such as and, or, unless
        return True if operand else token.lower != "offset"
    return True


def _closing(found: Sequence[Token], opening: int) -> int:
    """Index of the bracket that closes the one at index ``opening``."""
    depth = 0
    for i in range(opening, len(found)):
        depth += found[i].text in ("(", "[", "{")
        depth -= found[i].text in (")", "]", "}")
        if depth == 0:
            return i
    return len(found) - 1
