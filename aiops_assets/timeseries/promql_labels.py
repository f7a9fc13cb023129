"""Which labels the series of a query can have. An answer with others belongs to another query.

Rules of Prometheus' engine (promql/engine.go: aggregation, VectorBinop, resultMetric), which Thanos, Mimir, Cortex and
VictoriaMetrics share.
"""

from functools import lru_cache, reduce

from promql_parser import (
    AggModifierType,
    AggregateExpr,
    BinaryExpr,
    Call,
    Expr,
    LabelModifierType,
    NumberLiteral,
    ParenExpr,
    StringLiteral,
    SubqueryExpr,
    UnaryExpr,
    ValueType,
    VectorMatchCardinality,
)

from aiops_assets.timeseries.promql import parse, value_type
from aiops_assets.timeseries.promql_text import UnreadableQuery

Labels = frozenset[str] | None
"""Names of labels, and no other is possible; ``None``: any is."""

KEEPING = frozenset({"topk", "bottomk", "limitk", "limit_ratio"})
"""Aggregations that yield some of their series as they are."""
FRESH = frozenset({"vector"})
"""Functions whose result has no label."""
OPEN = frozenset({"absent", "absent_over_time", "info"})
"""Functions whose labels do not come from those of their argument."""
NAMING = {"label_replace": 1, "label_join": 1}
"""Functions that set a label, and which argument names it."""


@lru_cache(maxsize=1024)
def possible_labels(promql: str) -> Labels:
    """The labels that series of a query can have; ``None``: any, or it is not known."""
    try:
        expr = parse(promql)
    except UnreadableQuery:
        return None
    return None if expr is None else _of(expr)


def _of(expr: Expr) -> Labels:
    if isinstance(expr, NumberLiteral | StringLiteral):
        return frozenset()
    if isinstance(expr, UnaryExpr | ParenExpr | SubqueryExpr):
        return _of(expr.expr)
    if isinstance(expr, AggregateExpr):
        return _of_aggregation(expr)
    if isinstance(expr, BinaryExpr):
        return _of_binary(expr)
    if isinstance(expr, Call):
        return _of_call(expr)
    return None


def _of_aggregation(expr: AggregateExpr) -> Labels:
    operation, below = str(expr.op), _of(expr.expr)
    if operation in KEEPING:
        return below
    added: Labels = _NONE
    if operation == "count_values":
        added = frozenset({expr.param.val}) if isinstance(expr.param, StringLiteral) else None
    if added is None:
        return None
    if expr.modifier is None:
        return added
    named = frozenset(expr.modifier.labels)
    if expr.modifier.type == AggModifierType.By:
        return (named if below is None else named & below) | added
    return None if below is None else (below - named) | added


def _of_call(expr: Call) -> Labels:
    name = expr.func.name
    if name in FRESH or expr.func.return_type == ValueType.Scalar:
        return _NONE
    if name in OPEN:
        return None
    below = _union([_of(argument) for argument in expr.args if value_type(argument) in _SERIES])
    if name in NAMING:
        target = expr.args[NAMING[name]]
        return below | {target.val} if below is not None and isinstance(target, StringLiteral) else None
    return below


def _of_binary(expr: BinaryExpr) -> Labels:
    left, right = _of(expr.lhs), _of(expr.rhs)
    if value_type(expr.lhs) == ValueType.Scalar:
        return right
    if value_type(expr.rhs) == ValueType.Scalar:
        return left
    operation, modifier = str(expr.op), expr.modifier
    if operation in ("and", "unless"):
        return left
    if operation == "or" or modifier is None or (modifier.matching is None and modifier.group_labels is None):
        return _union([left, right])
    given = frozenset(modifier.group_labels or ())
    if modifier.card == VectorMatchCardinality.ManyToOne:
        return None if left is None else left | given
    if modifier.card == VectorMatchCardinality.OneToMany:
        return None if right is None else right | given
    matching = modifier.matching
    if matching is not None and matching.type == LabelModifierType.Include:
        return frozenset(matching.labels)
    return _union([left, right])


def _union(labels: list[Labels]) -> Labels:
    return reduce(lambda a, b: None if a is None or b is None else a | b, labels, _NONE)


_NONE: Labels = frozenset()
_SERIES = (ValueType.Vector, ValueType.Matrix)
