"""The task FORECASTING: judging of forecasts from several origins."""

from collections.abc import Callable, Sequence

import pandas as pd
from typing_extensions import override

from aiops_assets.judging.decision import Decision
from aiops_assets.judging.forecasting import gate, shadow
from aiops_assets.judging.forecasting.gate import ForecastComparison
from aiops_assets.judging.forecasting.holdout import TRIVIAL_NAMES, ForecastFigures, figures_of
from aiops_assets.judging.forecasting.shadow import ForecastsSideBySide
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
    def decide(
        self, comparison: ForecastComparison, *, challenger_source: str, champion_source: str | None
    ) -> Decision:
        return gate.decide(comparison, challenger_source=challenger_source, champion_source=champion_source)

    @override
    def worse(self, comparison: ForecastComparison) -> list[str]:
        return gate.worse_in(comparison)

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

    @override
    def compare_side_by_side(self, frame: pd.DataFrame) -> ForecastsSideBySide:
        return shadow.compare(frame)

    @override
    def summarize_windows(self, windows: Sequence[tuple[bool, ForecastsSideBySide]]) -> str:
        return shadow.summary_of(windows)


FORECASTING = Forecasting()
