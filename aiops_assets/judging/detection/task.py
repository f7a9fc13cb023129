"""The task DETECTION: judging of scores and alerts."""

from collections.abc import Callable, Sequence

import pandas as pd
from typing_extensions import override

from aiops_assets.judging.detection import gate, shadow
from aiops_assets.judging.detection.figures import Figures, judge
from aiops_assets.judging.detection.gate import Comparison
from aiops_assets.judging.task import Task
from aiops_assets.learners.contracts import Scored


class Detection(Task[Scored]):
    """Scores of rows, judged by labels."""

    name = "detector"
    baseline_name = gate.NULL_MODEL

    @override
    def figures(self, predictions: Scored, rows: pd.DataFrame) -> Figures:
        return judge(predictions, _holdout(rows))

    @override
    def compare(self, rows: pd.DataFrame, challenger: Scored, opponent: Scored, who: str, seed: int) -> Comparison:
        return gate.compare(_holdout(rows), challenger, opponent, who, seed)

    @override
    def side_by_side(
        self,
        rows: pd.DataFrame,
        challenger: Scored,
        champion: Scored | None,
        explain: Callable[[pd.DataFrame], Scored],
        contributors: Sequence[str],
    ) -> pd.DataFrame:
        """A frame of ``shadow.COLUMNS``, a row for each hold-out row."""
        holdout = _holdout(rows)
        first = shadow.first_contributors(explain, contributors, holdout, challenger)
        return shadow.side_by_side(holdout, challenger, champion, first)


def _holdout(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[rows["split"] == "holdout"]


DETECTION = Detection()
