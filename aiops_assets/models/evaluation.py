"""How good a detector is on rows whose labels are known, and which of two is served."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from aiops_assets.models import isolation_forest
from aiops_assets.timeseries.catalog import (
    ENGINE_METRICS,
    NODE_CPU,
    NODE_MEMORY,
    POD_CPU,
    POD_MEMORY,
    RESTARTS,
)
from aiops_assets.timeseries.features import ENGINE_DEFAULT, FEATURES, HISTORY, nine_statistics
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
        precision, recall, f1: of the -1 answers.
        false_alarm_rate: share of -1 among normal rows.
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


@dataclass(frozen=True)
class Decision:
    """Whether the challenger becomes champion, and why; ``equal``: it is the champion, or its twin."""

    promote: bool
    reason: str
    equal: bool = False


def judge(pipeline: object, rows: pd.DataFrame) -> Figures:
    """Judge a row detector on rows with ``label``, ``kind`` and the feature columns."""
    from sklearn.metrics import average_precision_score

    features = rows[list(FEATURES)].to_numpy()
    truth = rows["label"].to_numpy() == 1
    scores = isolation_forest.anomaly_score(pipeline, features)
    alarm = isolation_forest.predict(pipeline, features) == -1
    precision = _share(truth[alarm])
    recall = _share(alarm[truth])
    f1 = 2 * precision * recall / (precision + recall) if precision and recall else None
    return Figures(
        rows=len(rows),
        anomalies=int(truth.sum()),
        average_precision=float(average_precision_score(truth, scores)) if truth.any() else None,
        precision=precision,
        recall=recall,
        f1=f1,
        false_alarm_rate=_share(alarm[~truth]),
        recall_by_kind={
            str(kind): float(alarm[truth & (rows["kind"] == kind).to_numpy()].mean())
            for kind in sorted(set(rows.loc[truth, "kind"]))
        },
    )


def decide(
    challenger: Figures, champion: Figures | None, *, challenger_source: str, champion_source: str | None
) -> Decision:
    """The rule until there is a judge of real incidents: the first is served, later ones when not worse.

    A version that saw only generated data never replaces one that saw a real cluster, and the first that saw
    a real cluster replaces one that did not: injected anomalies say little about what is normal there.

    Args:
        challenger, champion: figures on the same hold-out; no champion yet: ``None``.
        challenger_source, champion_source: where their rows really came from; anything but "synthetic" has
            seen a real cluster.
    """
    if champion is None:
        return Decision(True, "first version")
    if challenger_source == "synthetic" and champion_source != "synthetic":
        return Decision(False, f"trained on synthetic data; the champion saw {champion_source} data")
    if champion_source == "synthetic" and challenger_source != "synthetic":
        return Decision(True, f"first version that saw {challenger_source} data")
    new, old = challenger.average_precision, champion.average_precision
    if new is None or old is None:
        return Decision(False, "the hold-out has no anomalous row, so nothing shows that it is not worse")
    comparison = f"average precision {new:.3f} against the champion's {old:.3f} on the same hold-out"
    return Decision(new >= old, f"{'not worse' if new >= old else 'worse'}: {comparison}")


def replace_damaged(damage: str, *, challenger_source: str, champion_source: str) -> Decision:
    """Whether the challenger stands in for a champion whose files cannot be loaded; ``damage`` says why."""
    if challenger_source == "synthetic" and champion_source != "synthetic":
        return Decision(
            False, f"trained on synthetic data; the champion saw {champion_source} data, and cannot be served: {damage}"
        )
    return Decision(True, f"the champion cannot be served: {damage}")


def smoke_problems(pipeline: object) -> list[str]:
    """What is wrong with a detector that must not be served: empty when nothing is."""
    problems = []
    default = np.tile(ENGINE_DEFAULT, len(ENGINE_METRICS))
    if isolation_forest.predict(pipeline, default)[0] != 1:
        problems.append("the engine's default vector (nothing is known) raises an alarm")
    answers = isolation_forest.predict(pipeline, healthy_rows(100, seed=0))
    if not set(answers.tolist()) <= {-1, 1}:
        problems.append(f"answers {sorted(set(answers.tolist()))}, expected -1 and 1")
    if not np.isfinite(isolation_forest.anomaly_score(pipeline, healthy_rows(100, seed=0))).all():
        problems.append("scores that are not finite")
    return problems


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
