"""How good a detector is on rows whose labels are known, and what healthy rows look like."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from aiops_assets.learners.contracts import Scored
from aiops_assets.timeseries.catalog import (
    ENGINE_METRICS,
    NODE_CPU,
    NODE_MEMORY,
    POD_CPU,
    POD_MEMORY,
    RESTARTS,
)
from aiops_assets.timeseries.features import HISTORY, nine_statistics
from aiops_assets.timeseries.series import Floats

HEALTHY_LEVELS = {
    NODE_CPU.name: (0.2, 0.6),
    NODE_MEMORY.name: (0.35, 0.7),
    POD_CPU.name: (0.02, 0.5),
    POD_MEMORY.name: (0.2, 0.7),
}
HEALTHY_NOISE = (0.005, 0.05)
MOST_HEALTHY_RESTARTS = 20


@dataclass(frozen=True)
class Figures:
    """What a detector does on labelled rows. Shares are 0-1; ``None`` where there is nothing to count.

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
    """Figures of a detector that said this of rows with ``label`` and ``kind``."""
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


def healthy_rows(n: int, seed: int) -> Floats:
    """Healthy rows as the coordination engine's contract describes them: (n, 45).

    Levels and minute-to-minute noise (0.5-5 % of the level) are drawn for each row and metric; restarts are
    any constant count. They come from another generator than the training data on purpose.
    """
    return rows_of(healthy_histories(n, np.random.default_rng([seed, 3])))


def healthy_histories(n: int, rng: np.random.Generator) -> dict[str, Floats]:
    """Metric -> (n, 6) samples a minute apart behind :func:`healthy_rows`."""
    histories = {}
    for metric, (low, high) in HEALTHY_LEVELS.items():
        level = rng.uniform(low, high, (n, 1))
        histories[metric] = level * (1 + rng.uniform(*HEALTHY_NOISE, (n, 1)) * rng.standard_normal((n, HISTORY)))
    counts = rng.integers(0, MOST_HEALTHY_RESTARTS + 1, (n, 1)).astype(np.float64)
    histories[RESTARTS.name] = np.repeat(counts, HISTORY, axis=1)
    return histories


def rows_of(histories: Mapping[str, Floats]) -> Floats:
    """The 45 columns of n histories of six samples: metric -> (n, 6) gives (n, 45)."""
    return np.concatenate([nine_statistics(histories[m.name][:, np.newaxis]) for m in ENGINE_METRICS], axis=-1)


def _share(flags: np.ndarray) -> float | None:
    return float(flags.mean()) if len(flags) else None
