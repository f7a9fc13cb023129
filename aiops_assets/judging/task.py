"""The contract of a task: what its models predict, and how that is judged. There are two, detection and forecasting.

The two are not copies of each other and are not merged. Each is one object with the same methods, so that code
that handles models uses that object, and never needs to know which kind it is.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeVar

import pandas as pd

from aiops_assets.judging.bootstrap import Difference
from aiops_assets.judging.decision import Decision

Prediction = TypeVar("Prediction", contravariant=True)
"""Predictions for a hold-out: :class:`~aiops_assets.learners.contracts.Scored` of a detector, a frame of forecasts of a
forecaster."""


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


class Comparison(Protocol):
    """Two models on the same hold-out: who the opponent is, figures of both, and differences with their noise."""

    @property
    def opponent(self) -> str: ...  # noqa: D102

    @property
    def challenger_figures(self) -> HoldoutFigures: ...  # noqa: D102

    @property
    def opponent_figures(self) -> HoldoutFigures: ...  # noqa: D102

    @property
    def gaps(self) -> Mapping[str, Difference]: ...  # noqa: D102

    def worse(self) -> list[str]:
        """The figures in which the challenger is worse by more than noise and tolerance; also where a gross difference
        has an interval that ends at zero."""

    def decide(self, *, challenger_source: str, champion_source: str | None) -> Decision:
        """Whether the challenger is served.

        Args:
            challenger_source, champion_source: where their rows really came from; ``None``: there is no champion.
        """


class SideBySide(Protocol):
    """Challenger and champion on the rows of one window; a champion that gave no answer has no figures."""

    @property
    def challenger(self) -> HoldoutFigures: ...  # noqa: D102

    @property
    def champion(self) -> HoldoutFigures | None: ...  # noqa: D102


class Task(Protocol[Prediction]):
    """Judging of one kind of prediction.

    Attributes:
        name: "detector" or "forecaster", as records name the models of the task.
        baseline_name: the baseline that a first version is compared with, in words.
    """

    name: str
    baseline_name: str

    def figures(self, predictions: Prediction, rows: pd.DataFrame) -> HoldoutFigures:
        """How good predictions are; ``rows`` are those of the training set, train and hold-out."""

    def compare(
        self, rows: pd.DataFrame, challenger: Prediction, opponent: Prediction, who: str, seed: int
    ) -> Comparison:
        """Two models by their predictions; ``who`` is the opponent in words, ``seed`` is of the draws."""

    def proven_horizons(self, figures: Mapping[str, float]) -> tuple[str, ...]:
        """Labels of the horizons at which figures of a hold-out prove a model better than every trivial one.

        Models of a task without horizons have none.
        """
        return ()

    def side_by_side(
        self,
        rows: pd.DataFrame,
        challenger: Prediction,
        champion: Prediction | None,
        explain: Callable[[pd.DataFrame], Prediction],
        contributors: Sequence[str],
    ) -> pd.DataFrame:
        """Predictions of both for the hold-out, row by row, as shadow records keep them.

        Args:
            rows: rows of the training set, train and hold-out.
            challenger, champion: their predictions; ``None``: there are none of the champion.
            explain: the challenger's predictions of some rows with contributions, where those were left out.
            contributors: names of the columns of contributions.
        """
