"""The task FORECASTING: judging of forecasts from several origins."""

from collections.abc import Callable, Sequence

import pandas as pd

from aiops_assets.judging.forecasting import gate, shadow
from aiops_assets.judging.forecasting.gate import ForecastComparison
from aiops_assets.judging.forecasting.holdout import TRIVIAL_NAMES, ForecastFigures, figures_of


class Forecasting:
    """Forecasts, judged by what came; predictions are frames of ``holdout.KEYS`` and ``holdout.SIDES``."""

    name = "forecaster"
    baseline_name = TRIVIAL_NAMES

    def figures(self, predictions: pd.DataFrame, rows: pd.DataFrame) -> ForecastFigures:
        """See Task."""
        return figures_of(predictions)

    def compare(
        self, rows: pd.DataFrame, challenger: pd.DataFrame, opponent: pd.DataFrame, who: str, seed: int
    ) -> ForecastComparison:
        """See Task."""
        return gate.compare(challenger, opponent, who, seed)

    def side_by_side(
        self,
        rows: pd.DataFrame,
        challenger: pd.DataFrame,
        champion: pd.DataFrame | None,
        explain: Callable[[pd.DataFrame], pd.DataFrame],
        contributors: Sequence[str],
    ) -> pd.DataFrame:
        """See Task. Forecasts have no contributions."""
        return shadow.side_by_side(challenger, champion)


FORECASTING = Forecasting()
