"""How good a detector is on rows whose labels are known."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from aiops_assets.learners.contracts import Scored


@dataclass(frozen=True)
class Figures:
    """How good a detector is on labelled rows. Shares are 0-1; ``None`` where there is nothing to count.

    Attributes:
        rows, anomalies: how many were judged, how many of them are anomalous.
        average_precision: area under precision and recall of the score (random: the label rate).
        precision, recall, f1: of the alerts.
        false_alarm_rate: share of normal rows with an alert.
        recall_by_kind: kind -> share of its rows that are caught.
    """

    rows: int
    anomalies: int
    average_precision: float | None
    precision: float | None
    recall: float | None
    f1: float | None
    false_alarm_rate: float | None
    recall_by_kind: dict[str, float]

    def as_metrics(self) -> dict[str, float]:
        """Flat name -> number, without what is not known."""
        flat = {
            name: getattr(self, name) for name in ("average_precision", "precision", "recall", "f1", "false_alarm_rate")
        }
        flat |= {f"recall_{kind}": value for kind, value in self.recall_by_kind.items()}
        return {name: float(value) for name, value in flat.items() if value is not None}


def judge(scored: Scored, rows: pd.DataFrame) -> Figures:
    """Figures of a detector by its predictions for rows with ``label`` and ``kind``."""
    from sklearn.metrics import average_precision_score

    truth = rows["label"].to_numpy() == 1
    precision, recall = _share(truth[scored.alert]), _share(scored.alert[truth])
    f1 = 2 * precision * recall / (precision + recall) if precision and recall else None
    return Figures(
        rows=len(rows),
        anomalies=int(truth.sum()),
        average_precision=float(average_precision_score(truth, scored.score)) if truth.any() else None,
        precision=precision,
        recall=recall,
        f1=f1,
        false_alarm_rate=_share(scored.alert[~truth]),
        recall_by_kind={
            str(kind): float(scored.alert[truth & (rows["kind"] == kind).to_numpy()].mean())
            for kind in sorted(set(rows.loc[truth, "kind"]))
        },
    )


def _share(flags: np.ndarray) -> float | None:
    return float(flags.mean()) if len(flags) else None
