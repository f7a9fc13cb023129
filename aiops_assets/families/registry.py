"""The kinds of model that the asset chain can fit, judge, store and serve, and what it asks of each."""

from collections.abc import Mapping
from typing import Any, Protocol

import pandas as pd

from aiops_assets.errors import ModelError
from aiops_assets.families.catalog import ARIMA, LSTM, PREDICTIVE, PROPHET, ROW_FOREST, WINDOW_ENSEMBLE, ModelSpec
from aiops_assets.families.detectors import LstmFamily, RowForest, WindowEnsemble
from aiops_assets.families.forecasters import ArimaFamily, PredictiveFamily, ProphetFamily
from aiops_assets.judging.detection.gate import Decision, Difference
from aiops_assets.learners.contracts import Family

DETECTOR, FORECASTER = "detector", "forecaster"


class HoldoutFigures(Protocol):
    """How good a model is on a hold-out.

    Attributes:
        rows, anomalies: how many rows or values were judged, how many of them are anomalous.
    """

    @property
    def rows(self) -> int: ...  # noqa: D102

    @property
    def anomalies(self) -> int: ...  # noqa: D102

    def as_metrics(self) -> dict[str, float]:
        """Flat name -> number."""


class ModelComparison(Protocol):
    """Two models on the same hold-out: who the opponent is, figures of both, and differences with their noise."""

    @property
    def opponent(self) -> str: ...  # noqa: D102

    @property
    def challenger_figures(self) -> HoldoutFigures: ...  # noqa: D102

    @property
    def opponent_figures(self) -> HoldoutFigures: ...  # noqa: D102

    @property
    def gaps(self) -> Mapping[str, Difference]: ...  # noqa: D102


class ChainFamily(Family, Protocol):
    """What the chain asks of a family besides the contract of all.

    What a model says of a hold-out is the family's own: :class:`~aiops_assets.learners.contracts.Scored` of a detector,
    a frame of forecasts of a forecaster; the chain hands it on.

    Attributes:
        kind: "detector" or "forecaster".
        contributors: what the columns of contributions, or the metrics of forecasts, are.
        framework: badge in the Dagster UI.
        threshold: the score above which there is an alert; ``None`` where that moves with time or there is none.
        null_name: whom a first version meets, in words.
        how_refitted: how a retrain comes to its model, for people.
        least_rows: of history that an answer is made from; 1 where one row is enough.
    """

    kind: str
    contributors: tuple[str, ...]
    framework: str
    threshold: float | None
    null_name: str
    how_refitted: str
    least_rows: int

    def judge_holdout(self, model: Any, rows: pd.DataFrame) -> Any:
        """What a model says of the hold-out of a training set; what is costly (contributions) may be left out."""

    def null(self, rows: pd.DataFrame) -> Any:
        """What the null model says of the hold-out, from what a model of this family is shown."""

    def figures(self, said: Any, rows: pd.DataFrame) -> HoldoutFigures:
        """How good that is."""

    def compare(self, rows: pd.DataFrame, challenger: Any, opponent: Any, who: str, seed: int) -> ModelComparison:
        """Two models by what they said; ``who`` is the opponent in words, ``seed`` is of the draws."""

    def decide(self, comparison: Any, *, challenger_source: str, champion_source: str | None) -> Decision:
        """Whether the challenger is served."""

    def worse(self, comparison: Any) -> list[str]:
        """The figures in which the challenger is worse beyond noise and tolerance."""

    def why_anew(self, start: Any, parameters: Mapping[str, object]) -> str:
        """Why a fit cannot go on from an earlier model; empty when it can."""

    def probe(self, model: Any) -> Any:
        """What a model says when nothing is wrong, for people to look at."""


FAMILIES: dict[str, ChainFamily] = {
    ROW_FOREST: RowForest(),
    WINDOW_ENSEMBLE: WindowEnsemble(),
    LSTM: LstmFamily(),
    PREDICTIVE: PredictiveFamily(),
    ARIMA: ArimaFamily(),
    PROPHET: ProphetFamily(),
}


def family_of(spec: ModelSpec) -> ChainFamily:
    """How the chain handles a model.

    Raises:
        ModelError: a family that is not known here.
    """
    try:
        return FAMILIES[spec.family]
    except KeyError:
        raise ModelError(f"{spec.name} is of family {spec.family}: known are {sorted(FAMILIES)}") from None
