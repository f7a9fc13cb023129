"""The task DETECTION: judging of scores and alerts."""

from collections.abc import Callable, Sequence

import pandas as pd

from aiops_assets.judging.decision import Decision
from aiops_assets.judging.detection import gate, shadow
from aiops_assets.judging.detection.figures import Figures, judge
from aiops_assets.judging.detection.gate import Comparison
from aiops_assets.judging.detection.shadow import SideBySide
from aiops_assets.learners.contracts import Scored


class Detection:
    """Scores of rows, judged by labels."""

    name = "detector"
    baseline_name = gate.NULL_MODEL

    def figures(self, predictions: Scored, rows: pd.DataFrame) -> Figures:
        """See Task."""
        return judge(predictions, _holdout(rows))

    def compare(self, rows: pd.DataFrame, challenger: Scored, opponent: Scored, who: str, seed: int) -> Comparison:
        """See Task."""
        return gate.compare(_holdout(rows), challenger, opponent, who, seed)

    def decide(self, comparison: Comparison, *, challenger_source: str, champion_source: str | None) -> Decision:
        """See Task."""
        return gate.decide(comparison, challenger_source=challenger_source, champion_source=champion_source)

    def worse(self, comparison: Comparison) -> list[str]:
        """See Task. Gross differences count although their interval touches zero."""
        return gate.worse_in(comparison, gross=True)

    def side_by_side(
        self,
        rows: pd.DataFrame,
        challenger: Scored,
        champion: Scored | None,
        explain: Callable[[pd.DataFrame], Scored],
        contributors: Sequence[str],
    ) -> pd.DataFrame:
        """See Task: a frame of ``shadow.COLUMNS``."""
        holdout = _holdout(rows)
        first = shadow.first_contributors(explain, contributors, holdout, challenger)
        return shadow.side_by_side(holdout, challenger, champion, first)

    def compare_side_by_side(self, frame: pd.DataFrame) -> SideBySide:
        """See Task."""
        return shadow.compare(frame)

    def summarize_windows(self, windows: Sequence[tuple[bool, SideBySide]]) -> str:
        """See Task."""
        return shadow.summary_of(windows)


def _holdout(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[rows["split"] == "holdout"]


DETECTION = Detection()
