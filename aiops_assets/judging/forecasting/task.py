"""The task FORECASTING: judging of forecasts from several origins."""

from collections.abc import Callable, Sequence

import pandas as pd

from aiops_assets.judging.decision import Decision
from aiops_assets.judging.forecasting import gate, shadow
from aiops_assets.judging.forecasting.gate import ForecastComparison
from aiops_assets.judging.forecasting.holdout import TRIVIAL_NAMES, ForecastFigures, figures_of
from aiops_assets.judging.forecasting.shadow import ForecastsSideBySide


class Forecasting:
    """Forecasts, judged by the true values; predictions are frames of ``holdout.KEYS`` and ``holdout.SIDES``."""

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

    def decide(
        self, comparison: ForecastComparison, *, challenger_source: str, champion_source: str | None
    ) -> Decision:
        """See Task."""
        return gate.decide(comparison, challenger_source=challenger_source, champion_source=champion_source)

    def worse(self, comparison: ForecastComparison) -> list[str]:
        """See Task."""
        return gate.worse_in(comparison)

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

    def compare_side_by_side(self, frame: pd.DataFrame) -> ForecastsSideBySide:
        """See Task."""
        return shadow.compare(frame)

    def summarize_windows(self, windows: Sequence[tuple[bool, ForecastsSideBySide]]) -> str:
        """See Task."""
        return shadow.summary_of(windows)


FORECASTING = Forecasting()
