"""The task FORECASTING: judging of forecasts from several origins."""

from collections.abc import Callable, Mapping, Sequence

import pandas as pd
from typing_extensions import override

from aiops_assets.judging.forecasting import gate, shadow
from aiops_assets.judging.forecasting.gate import ForecastComparison
from aiops_assets.judging.forecasting.holdout import TRIVIAL_NAMES, ForecastFigures, figures_of
from aiops_assets.judging.task import Task


class Forecasting(Task[pd.DataFrame]):
    """Forecasts, judged by the true values; predictions are frames of ``holdout.KEYS`` and ``holdout.SIDES``."""

    name = "forecaster"
    baseline_name = TRIVIAL_NAMES

    @override
    def figures(self, predictions: pd.DataFrame, rows: pd.DataFrame) -> ForecastFigures:
        return figures_of(predictions)

    @override
    def compare(
        self, rows: pd.DataFrame, challenger: pd.DataFrame, opponent: pd.DataFrame, who: str, seed: int
    ) -> ForecastComparison:
        return gate.compare(challenger, opponent, who, seed)

    @override
    def proven_horizons(self, figures: Mapping[str, float]) -> tuple[str, ...]:
        return gate.proven_horizons(figures)

    @override
    def side_by_side(
        self,
        rows: pd.DataFrame,
        challenger: pd.DataFrame,
        champion: pd.DataFrame | None,
        explain: Callable[[pd.DataFrame], pd.DataFrame],
        contributors: Sequence[str],
    ) -> pd.DataFrame:
        """A frame of ``shadow.COLUMNS``; forecasts have no contributions to explain."""
        return shadow.side_by_side(challenger, champion)


FORECASTING = Forecasting()
