"""How good a detector is on rows whose labels are known."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from aiops_assets.judging.detection.series_figures import MIN_BUFFER_SAMPLES, Events
from aiops_assets.learners.contracts import Flags, Scored
from aiops_assets.timeseries.features import ROW_EVERY_MINUTES


@dataclass(frozen=True)
class Figures:
    """How good a detector is on labelled rows. Shares are 0-1; ``None`` where there is nothing to count.

    Attributes:
        rows, anomalies: how many were judged, how many of them are anomalous.
        average_precision: area under precision and recall of the score (random: the label rate).
        precision, recall, f1: of the alerts, by rows; no ``f1`` where there is an ``event_f1``, since it is no fault of
            an alert that it ends before its event does.
        event_f1: harmonic mean of the share of events with an alert inside and the share of alerted rows in or beside
            an event; ``None`` where rows were drawn apart, so that events cannot be told.
        false_alarm_rate: share of normal rows with an alert.
        recall_by_kind: kind -> share of its rows that are caught.
    """

    rows: int
    anomalies: int
    average_precision: float | None
    precision: float | None
    recall: float | None
    f1: float | None
    event_f1: float | None
    false_alarm_rate: float | None
    recall_by_kind: dict[str, float]

    def as_metrics(self) -> dict[str, float]:
        """Flat name -> number, without what is not known."""
        names = ("average_precision", "precision", "recall", "f1", "event_f1", "false_alarm_rate")
        flat = {name: getattr(self, name) for name in names}
        flat |= {f"recall_{kind}": value for kind, value in self.recall_by_kind.items()}
        return {name: float(value) for name, value in flat.items() if value is not None}


def judge(scored: Scored, rows: pd.DataFrame) -> Figures:
    """Figures of a detector by its predictions for rows with ``label`` and ``kind``."""
    from sklearn.metrics import average_precision_score

    truth = rows["label"].to_numpy() == 1
    precision, recall = _share(truth[scored.alert]), _share(scored.alert[truth])
    event_f1 = _event_f1(scored.alert, truth, rows)
    return Figures(
        rows=len(rows),
        anomalies=int(truth.sum()),
        average_precision=float(average_precision_score(truth, scored.score)) if truth.any() else None,
        precision=precision,
        recall=recall,
        f1=_harmonic_mean(precision, recall) if event_f1 is None else None,
        event_f1=event_f1,
        false_alarm_rate=_share(scored.alert[~truth]),
        recall_by_kind={
            str(kind): float(scored.alert[truth & (rows["kind"] == kind).to_numpy()].mean())
            for kind in sorted(set(rows.loc[truth, "kind"]))
        },
    )


def _event_f1(alert: Flags, truth: Flags, rows: pd.DataFrame) -> float | None:
    """F1 of alerts by events, see :class:`Figures`; an alert within two rows of an event is no false alarm."""
    order = np.lexsort((rows["timestamp"].to_numpy(), rows["pod"].to_numpy().astype(str)))
    pods, times = rows["pod"].to_numpy().astype(str)[order], rows["timestamp"].to_numpy()[order]
    follows = (pods[1:] == pods[:-1]) & (np.diff(times) == np.timedelta64(ROW_EVERY_MINUTES, "m"))
    if not truth.any() or 2 * follows.sum() < len(rows):
        return None
    # A row of nothing between two stretches, so that no event reaches from one into the next.
    gaps = np.flatnonzero(~follows) + 1
    anomalous, alerted = (np.insert(flags[order], gaps, False) for flags in (truth, alert))
    events = Events.of(anomalous)
    caught = float(np.mean([alerted[event].any() for event in events]))
    return _harmonic_mean(_share(events.widened(MIN_BUFFER_SAMPLES // 2)[alerted]), caught)


def _harmonic_mean(precision: float | None, recall: float | None) -> float | None:
    return 2 * precision * recall / (precision + recall) if precision and recall else None


def _share(flags: np.ndarray) -> float | None:
    return float(flags.mean()) if len(flags) else None
