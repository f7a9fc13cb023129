"""What a PromQL query means, as promql-parser reads it: its kind of result, ranges, and the labels it can yield.

Every server has words of its own (VictoriaMetrics' MetricsQL, functions that are newer or older than the parser). A
query that cannot be read is therefore not wrong: :func:`parse` returns ``None``, and the server decides.
"""

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from itertools import pairwise

import promql_parser
from promql_parser import (
    AggregateExpr,
    AtModifier,
    AtModifierType,
    BinaryExpr,
    Call,
    Expr,
    Function,
    MatrixSelector,
    NumberLiteral,
    ParenExpr,
    StringLiteral,
    SubqueryExpr,
    UnaryExpr,
    ValueType,
    VectorSelector,
)

from aiops_assets.timeseries.promql_text import Token, UnreadableQuery, has_variable, tokens, variable_error

MAX_DEPTH = 40
"""A query with brackets nested deeper is not parsed: the parser recurses, and a stack overflow ends the process."""
MAX_OPERATORS = 80
"""A query with more operators is not parsed: the parser recurses over them as well."""
RATES = frozenset({"rate", "irate", "increase", "delta", "idelta", "deriv", "predict_linear", "holt_winters"})
"""Functions of a range that are empty where it holds fewer than two samples."""

_UNIT_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800, "y": 31_536_000}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhdwy])")
_MATRIX, _SCALAR, _VECTOR = ValueType.Matrix, ValueType.Scalar, ValueType.Vector
_METRICSQL = (
    "default_rollup",
    "delta_prometheus",
    "distinct_over_time",
    "increase_prometheus",
    "increase_pure",
    "integrate",
    "lag",
    "lifetime",
    "median_over_time",
    "mode_over_time",
    "range_over_time",
    "rate_over_sum",
    "rate_prometheus",
    "stale_samples_over_time",
    "sum2_over_time",
    "tfirst_over_time",
    "tlast_over_time",
    "tmax_over_time",
    "tmin_over_time",
    "zscore_over_time",
)
"""VictoriaMetrics' functions of one range."""
# holt_winters is Prometheus' name until 3.0.
_EXTRA = [Function(name, [_MATRIX], _VECTOR) for name in _METRICSQL]
_EXTRA.append(Function("holt_winters", [_MATRIX, _SCALAR, _SCALAR], _VECTOR))
for _function in _EXTRA:
    with suppress(ValueError):  # a later parser may know it
        promql_parser.register_extra_functions([_function])
_NOT_SERIES = (
    (ValueType.Scalar, "a number: vector() makes a series of it"),
    (ValueType.String, "a string"),
    (ValueType.Matrix, "a range: take a function of it, such as rate()"),
)


def parse(promql: str) -> Expr | None:
    """The tree of a query; ``None`` where the parser does not know all of its words or it is very large.

    Raises:
        UnreadableQuery: no server takes it; see :func:`aiops_assets.timeseries.promql_text.tokens`.
    """
    found = tokens(promql)
    if _depth(found) > MAX_DEPTH or sum(token.kind == "operator" for token in found) > MAX_OPERATORS:
        return None
    try:
        return promql_parser.parse(promql)
    except ValueError:
        return None


def _depth(found: tuple[Token, ...]) -> int:
    depth = deepest = 0
    for token in found:
        depth += (token.text in ("(", "[", "{")) - (token.text in (")", "]", "}"))
        deepest = max(deepest, depth)
    return deepest


def parts(expr: Expr) -> list[Expr]:
    """The expressions directly below one; a range selector's own selector is one of them."""
    if isinstance(expr, AggregateExpr):
        return [*([expr.param] if isinstance(expr.param, Expr) else []), expr.expr]
    if isinstance(expr, BinaryExpr):
        return [expr.lhs, expr.rhs]
    if isinstance(expr, Call):
        return list(expr.args)
    if isinstance(expr, MatrixSelector):
        return [expr.vector_selector]
    if isinstance(expr, UnaryExpr | ParenExpr | SubqueryExpr):
        return [expr.expr]
    return []


def walk(expr: Expr) -> Iterator[Expr]:
    """An expression and all below it."""
    yield expr
    for part in parts(expr):
        yield from walk(part)


def check_query(promql: str) -> None:
    """Check that a query can yield series whose values depend on nothing but the instant.

    Raises:
        UnreadableQuery: unclosed brackets or strings; a variable of a dashboard; a number, a string or a range as
            the result; ``@ start()`` or ``@ end()``, since the window is requested in parts.
    """
    expr = parse(promql)
    if expr is None:
        return
    for kind, what in _NOT_SERIES:
        if value_type(expr) == kind:
            raise UnreadableQuery(f"must yield series, and is {what}", "other_kind")
    for part in walk(expr):
        at = part.at if isinstance(part, VectorSelector | SubqueryExpr) else None
        if isinstance(at, AtModifier) and at.type != AtModifierType.At:
            ends = "start()" if at.type == AtModifierType.Start else "end()"
            raise UnreadableQuery(f"@ {ends} depends on how the window is cut into requests: leave it out", "at_bounds")
        for matcher in _matchers(part) if isinstance(part, VectorSelector) else ():
            if has_variable(matcher):
                raise variable_error(matcher)


def _matchers(selector: VectorSelector) -> list[str]:
    found = selector.matchers
    return [matcher.value for group in (found.matchers, *found.or_matchers) for matcher in group]


def value_type(expr: Expr) -> ValueType:
    """The type of an expression's result at one instant."""
    if isinstance(expr, NumberLiteral):
        return ValueType.Scalar
    if isinstance(expr, StringLiteral):
        return ValueType.String
    if isinstance(expr, MatrixSelector | SubqueryExpr):
        return ValueType.Matrix
    if isinstance(expr, Call):
        return expr.func.return_type
    if isinstance(expr, UnaryExpr | ParenExpr):
        return value_type(expr.expr)
    if isinstance(expr, BinaryExpr) and value_type(expr.lhs) == value_type(expr.rhs) == ValueType.Scalar:
        return ValueType.Scalar
    return ValueType.Vector


@dataclass(frozen=True)
class RateRange:
    """The range of a function that needs two samples in it: ``rate`` over 300 s."""

    function: str
    seconds: float

    def __str__(self) -> str:
        return f"{self.function} over [{promql_parser.display_duration(timedelta(seconds=self.seconds))}]"


@lru_cache(maxsize=1024)
def rate_ranges(promql: str) -> tuple[RateRange, ...]:
    """The ranges of :data:`RATES`; none where the query cannot be read. That of a subquery is not one of scrapes."""
    found = []
    for part in walk(expr) if (expr := _parse_or_none(promql)) is not None else ():
        if isinstance(part, Call) and part.func.name in RATES:
            ranges = [arg.range for arg in map(_unwrapped, part.args) if isinstance(arg, MatrixSelector)]
            found += [RateRange(part.func.name, length.total_seconds()) for length in ranges]
    return tuple(found)


def _unwrapped(expr: Expr) -> Expr:
    return _unwrapped(expr.expr) if isinstance(expr, ParenExpr) else expr


def _parse_or_none(promql: str) -> Expr | None:
    try:
        return parse(promql)
    except UnreadableQuery:
        return None


@lru_cache(maxsize=1024)
def reach_seconds(promql: str) -> tuple[float, float]:
    """The longest range of a query, and how far its offsets look into the future; both in seconds, 0 without.

    Ranges of subqueries are among them. Offsets add up along the way from a selector to the whole; one into the past
    changes nothing here. A query that the parser cannot read is searched for durations in brackets.
    """
    expr = _parse_or_none(promql)
    if expr is None:
        return _written_reach(promql)
    return _longest_range(expr), max(0.0, -_earliest_offset(expr))


def _longest_range(expr: Expr) -> float:
    ranges = [part.range for part in walk(expr) if isinstance(part, MatrixSelector | SubqueryExpr)]
    return max((length.total_seconds() for length in ranges if length), default=0.0)


def _earliest_offset(expr: Expr) -> float:
    """The lowest sum of offsets on any way down, in seconds; one into the future is negative."""
    own = expr.offset if isinstance(expr, VectorSelector | SubqueryExpr) else None
    below = min(map(_earliest_offset, parts(expr)), default=0.0)
    return (own or timedelta(0)).total_seconds() + below


def _written_reach(promql: str) -> tuple[float, float]:
    try:
        found = tokens(promql)
    except UnreadableQuery:
        return 0.0, 0.0
    ranges, ahead = [0.0], 0.0
    for before, token in pairwise(found):
        if before.text == "[":
            ranges.append(_seconds(token.text))
    for keyword, sign, token in zip(found, found[1:], found[2:], strict=False):
        if keyword.lower == "offset" and sign.text == "-":
            ahead += _seconds(token.text)
    return max(ranges), ahead


def _seconds(duration: str) -> float:
    if re.fullmatch(r"\d+(\.\d+)?", duration):
        return float(duration)
    return sum(float(number) * _UNIT_SECONDS[unit] for number, unit in _DURATION.findall(duration))
