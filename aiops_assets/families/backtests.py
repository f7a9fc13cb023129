"""Back-tests by a model's name: which models can be tried on a series or a history of one's own."""

from collections.abc import Callable, Iterator, Mapping, Sequence

import pandas as pd

from aiops_assets.errors import DataError
from aiops_assets.families.catalog import MODELS
from aiops_assets.families.contract import Family
from aiops_assets.judging.detection.backtest import score_series
from aiops_assets.judging.forecasting.backtest import forecast_origins
from aiops_assets.learners.contracts import Forecaster, WindowDetector
from aiops_assets.learners.forecasters.trivial import TRIVIAL
from aiops_assets.timeseries.history import History


def _random_forest(seed: int) -> Forecaster:
    """The documents' trees, a setting of predictive-analytics."""
    from aiops_assets.learners.forecasters.learned import LearnedForecaster
    from aiops_assets.learners.forecasters.trees import RandomForest

    return LearnedForecaster(seed, trees=RandomForest(seed))


DETECTORS: Mapping[str, Callable[[Sequence[str], float | None, int], WindowDetector]] = {
    spec.name: spec.family.window_detector
    for spec in MODELS
    if type(spec.family).window_detector is not Family.window_detector
}
"""Name -> makes an unfitted detector from columns, alert budget (``None``: the model's own) and seed."""
FORECASTERS: Mapping[str, Callable[[int], Forecaster]] = {
    **{spec.name: spec.family.forecaster for spec in MODELS if type(spec.family).forecaster is not Family.forecaster},
    "random-forest": _random_forest,
    **TRIVIAL,
}
"""Name -> makes an unfitted forecaster from a seed."""


def backtest(
    name: str, frame: pd.DataFrame, seed: int = 42, *, alert_budget: float | None = None, explain: bool = False
) -> pd.DataFrame:
    """Fit a model on the train rows of a series and score all its rows; see :func:`score_series`.

    Args:
        name: one of :data:`DETECTORS`.
        frame: ``timestamp`` (UTC), ``split`` ("train" or "test"), and numeric columns.
        seed: makes models that draw random numbers reproducible.
        alert_budget: share of the time that may be under alert, above 0 to 0.5; each model's own by default.
        explain: also say which column contributes most to each row.

    Raises:
        DataError: unknown model, or no train row.
        ModelError: nothing can be fitted on the train rows.
        SchemaError: a column holds no numbers.
    """
    if name not in DETECTORS:
        raise DataError(
            f"no model {name!r} to back-test: there are {', '.join(DETECTORS)}",
            code="unknown_detector",
            name=name,
            known=tuple(DETECTORS),
        )
    make = DETECTORS[name]
    return score_series(lambda columns: make(columns, alert_budget, seed), frame, explain=explain)


def forecasts(name: str, history: History, horizon: int, origins: int = 1, seed: int = 42) -> Iterator[pd.DataFrame]:
    """Fit and ask a forecaster at each origin, oldest first; see :func:`forecast_origins`.

    Args:
        name: one of :data:`FORECASTERS`.
        history: the history, from :func:`~aiops_assets.timeseries.history.history_of`.
        horizon: steps ahead, up to a day.
        origins: number of forecast origins.
        seed: makes models that draw random numbers reproducible.

    Raises:
        DataError: unknown model, or a horizon or origins that the history does not allow.
    """
    if name not in FORECASTERS:
        raise DataError(
            f"no forecaster {name!r}: there are {', '.join(FORECASTERS)}",
            code="unknown_forecaster",
            name=name,
            known=tuple(FORECASTERS),
        )
    make = FORECASTERS[name]
    return forecast_origins(lambda: make(seed), history, horizon, origins)
