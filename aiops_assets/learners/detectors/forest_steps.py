"""The steps before the trees of an anomaly-detector, and the thresholds of the trees in raw values.

Each step only ever maps a larger value of a column to a larger or equal one, so that "transformed value <=
threshold" is the same question as "raw value <= t" for one raw number t. It is found by bisection over the 64-bit
floats with the Pipeline's own fitted steps and the 32-bit rounding of scikit-learn's trees: not nearly, but exactly.
"""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

from aiops_assets.errors import ModelError
from aiops_assets.timeseries.features import FEATURES
from aiops_assets.timeseries.series import Floats

Ints = npt.NDArray[np.int64]
Step = Callable[[Floats, Ints], Floats]
"""Maps values, each of the column (of a transformer) that is named beside it, to transformed values."""
OTHER_KIND = "not an anomaly-detector of the known kind: score it by its Pipeline"
WIDTH = len(FEATURES)


@dataclass(frozen=True)
class ScaledColumn:
    """A column that the trees read.

    Attributes:
        column: the raw column that it comes from, 0-44.
        position: where the raw column is among those of its transformer.
        steps: what happens to it, in order.
    """

    column: int
    position: int
    steps: tuple[Step, ...]


def require(holds: bool, code: str, otherwise: str) -> None:
    """Raise ModelError with this code and the text ``otherwise``, which describes the Pipeline, unless ``holds``."""
    if not holds:
        raise ModelError(f"{OTHER_KIND} ({otherwise})", code=code)


def imputed(transformer: Any) -> tuple[Ints, Floats, Floats]:
    """The parameters of a fitted imputation.

    Returns:
        The raw column at each position of its output; of each raw column, the value that stands for "not known",
        and the one that is filled in instead: (45,) each.

    Raises:
        ModelError: it does something else, or not to each column.
    """
    from sklearn.impute import SimpleImputer

    require(transformer.n_features_in_ == WIDTH, "other_width", f"its rows are not {WIDTH} wide")
    missing, expected, order = np.empty(WIDTH), np.empty(WIDTH), []
    for part, columns in _parts(transformer):
        require(
            type(part) is SimpleImputer and not part.add_indicator,
            "other_imputation",
            "its first step is not a plain imputation",
        )
        require(
            len(part.statistics_) == len(columns),
            "other_columns_imputed",
            "an imputer fills in other columns than it reads",
        )
        missing[columns], expected[columns] = part.missing_values, part.statistics_
        order += columns.tolist()
    require(
        sorted(order) == list(range(WIDTH)), "columns_not_imputed", f"it does not impute each of {WIDTH} columns once"
    )
    require(bool(np.isfinite([missing, expected]).all()), "imputed_not_finite", "it imputes what is not finite")
    return np.array(order), missing, expected


def scaled(transformer: Any, order: Ints) -> tuple[list[ScaledColumn], Floats]:
    """The parameters of a fitted scaling of columns that come in this order.

    Returns:
        The columns of its output; of each raw column the standard deviation that a normal distribution would have
        whose quantiles lie as far apart as those it is scaled with, 0 where it is not scaled: (45,).

    Raises:
        ModelError: it does something else than scale and stretch.
    """
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import RobustScaler

    columns: list[ScaledColumn] = []
    deviation = np.zeros(WIDTH)
    for part, positions in _parts(transformer):
        chain = [step for _, step in part.steps] if type(part) is Pipeline else [part]
        scaler, raw = chain[0], order[positions]
        require(
            type(scaler) is RobustScaler and scaler.scale_ is not None,
            "other_scaling",
            "columns are not scaled robustly",
        )
        require(bool((scaler.scale_ > 0).all()), "scale_not_positive", "a scale is not positive")
        low, high = (NormalDist().inv_cdf(percent / 100) for percent in scaler.quantile_range)
        deviation[raw] = scaler.scale_ if scaler.unit_variance else scaler.scale_ / (high - low)
        steps = tuple(_step(step) for step in chain)
        columns += [ScaledColumn(int(column), i, steps) for i, column in enumerate(raw)]
    return columns, deviation


def _parts(transformer: Any) -> list[tuple[Any, Ints]]:
    """The fitted transformers of a ColumnTransformer, each with the positions of its columns."""
    require(transformer.transformer_weights is None, "transformer_weights", "a ColumnTransformer has weights")
    width = transformer.n_features_in_
    parts = [(part, columns) for _, part, columns in transformer.transformers_ if part != "drop"]
    return [(part, np.arange(width)[columns]) for part, columns in parts]


def _step(transformer: Any) -> Step:
    """A transformer of each value by itself, which must never turn two values around."""
    from sklearn.preprocessing import FunctionTransformer, RobustScaler

    if type(transformer) is RobustScaler:
        scale = transformer.scale_
        center = np.zeros(len(scale)) if transformer.center_ is None else transformer.center_
        return lambda values, which: (values - center[which]) / scale[which]
    require(
        type(transformer) is FunctionTransformer and transformer.func in (np.clip, np.sinh),
        "unknown_step",
        f"{transformer} is not a known step",
    )
    function, arguments = transformer.func, transformer.kw_args or {}
    return lambda values, which: function(values, **arguments)


def raw_thresholds(read: Ints, threshold: Floats, columns: list[ScaledColumn]) -> Floats:
    """The raw value that a node's column is compared with: (n_nodes,).

    Args:
        read: (n_nodes,) which of the columns a node reads, -1 at a leaf.
        threshold: (n_nodes,) what the transformed value is compared with.
        columns: those that the trees read.

    Returns:
        The largest raw value that goes left; -infinity where none does, infinity at a leaf.
    """
    raw = np.full(len(read), np.inf)
    positions = np.array([column.position for column in columns])
    for steps in {column.steps for column in columns}:
        members = [i for i, column in enumerate(columns) if column.steps == steps]
        at = np.flatnonzero(np.isin(read, members))
        raw[at] = _largest_left(threshold[at], steps, positions[read[at]])
    return raw


def _largest_left(threshold: Floats, steps: tuple[Step, ...], which: Ints) -> Floats:
    """Bisection over all finite 64-bit floats, as integers in the same order."""

    def goes_left(values: Floats) -> npt.NDArray[np.bool_]:
        with np.errstate(over="ignore"):
            for step in steps:
                values = step(values, which)
            return values.astype(np.float32) <= threshold

    biggest = np.full(len(threshold), np.finfo(np.float64).max)
    low, high = _as_ordered(-biggest), _as_ordered(biggest)
    never, always = ~goes_left(-biggest), goes_left(biggest)
    for _ in range(64):
        # The sum of both would overflow.
        middle = (low >> 1) + (high >> 1) + (low & high & 1)
        left = goes_left(_as_floats(middle))
        low, high = np.where(left, middle, low), np.where(left, high, middle)
    return np.where(never, -np.inf, np.where(always, biggest, _as_floats(low)))


def _as_ordered(values: Floats) -> Ints:
    bits = values.view(np.int64)
    return np.where(bits < 0, np.iinfo(np.int64).min - bits, bits)


def _as_floats(ordered: Ints) -> Floats:
    bits = np.where(ordered < 0, np.iinfo(np.int64).min - ordered, ordered)
    return bits.view(np.float64)
