"""Pictures and tables of detectors."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from typing_extensions import override

from aiops_assets.judging.detection.shadow import CHALLENGER, CHAMPION, SideBySide, compare, summary_of
from aiops_assets.judging.task import HoldoutFigures
from aiops_assets.learners.contracts import Scored
from aiops_assets.reporting import plots, previews
from aiops_assets.reporting.cards.detector_card import DetectorCard
from aiops_assets.reporting.pictures import score_timelines
from aiops_assets.reporting.task_report import CardReport, ShadowWindows, TaskReport, cell_text, window_facts
from aiops_assets.storage.shadow import ShadowRecord

WINDOW_HEAD = (
    "ROWS",
    "ANOMALOUS",
    "AVG PRECISION",
    "CHAMPION'S",
    "FALSE ALARMS",
    "CHAMPION'S",
    "ALERTS AGREE",
    "RANKS",
)


class DetectionReport(TaskReport[Scored]):
    """Pictures and tables of detectors."""

    card: CardReport = DetectorCard()

    @override
    def holdout_picture(self, predictions: Scored, rows: pd.DataFrame, threshold: float | None) -> bytes:
        """A histogram of scores by label."""
        labels = rows.loc[rows["split"] == "holdout", "label"].to_numpy()
        return plots.score_histogram(predictions.score, labels, "hold-out rows by anomaly score", threshold)

    @override
    def holdout_preview(self, predictions: Scored, rows: pd.DataFrame) -> str:
        """Scores in order of time; alerts are marked."""
        order = previews.in_order(rows.loc[rows["split"] == "holdout", "timestamp"])
        return previews.timeline(predictions.score[order], predictions.alert[order])

    @override
    def probe(self, prediction: Scored, threshold: float | None) -> tuple[dict[str, float], bytes]:
        """The share of alerts on healthy rows, and a histogram of their scores."""
        title = "smoke inference: healthy rows"
        histogram = plots.score_histogram(prediction.score, np.zeros(len(prediction.score)), title, threshold)
        return {"alarms_on_healthy_rows": float(prediction.alert.mean())}, histogram

    @override
    def counts(self, figures: HoldoutFigures) -> dict[str, int]:
        return {"holdout_rows": figures.rows, "anomalous_rows": figures.anomalies}

    @override
    def decision_picture(self, figures: Mapping[str, Mapping[str, float]], title: str) -> bytes:
        return plots.figure_bars({who: dict(side) for who, side in figures.items()}, title, "")

    @override
    def summary(self, metrics: Mapping[str, float]) -> str:
        if "average_precision" not in metrics:
            return "no anomalous row to judge by (ANOMALY_RATE=0)"
        caught = [
            f"{name.removeprefix('recall_').replace('_', ' ')} {value:.0%}"
            for name, value in sorted(metrics.items())
            if name.startswith("recall_")
        ]
        return (
            f"average precision {metrics['average_precision']:.2f}, false alarms "
            f"{metrics.get('false_alarm_rate', 0):.1%} of normal rows; rows caught: {', '.join(caught)}"
        )

    @override
    def shadow(self, record: ShadowRecord, frame: pd.DataFrame) -> tuple[dict[str, float | None], bytes]:
        """Figures and timelines of challenger and champion."""
        both = compare(frame)
        old = both.champion
        figures = {
            "alerts_agree": both.alerts_agree,
            "rank_correlation": both.rank_correlation,
            "challenger_average_precision": both.challenger.average_precision,
            "champion_average_precision": old.average_precision if old else None,
            "challenger_false_alarm_rate": both.challenger.false_alarm_rate,
            "champion_false_alarm_rate": old.false_alarm_rate if old else None,
        }
        return figures, score_timelines(frame, titles(record, are_two=old is not None))

    @override
    def shadow_preview(self, frame: pd.DataFrame) -> str:
        """Figures of both on the rows of the window."""
        both = compare(frame)
        return previews.bars(both.challenger.as_metrics(), both.champion.as_metrics() if both.champion else {})

    @override
    def windows(self, kept: Sequence[tuple[ShadowRecord, pd.DataFrame]]) -> ShadowWindows:
        """Average precision and false alarms of both."""
        found = [(record, compare(frame)) for record, frame in kept]
        return ShadowWindows(
            WINDOW_HEAD,
            [_cells(both) for _, both in found],
            [_facts(record, both) for record, both in found],
            summary_of([(record.is_pair, both) for record, both in found]),
        )


def _cells(both: SideBySide) -> tuple[str, ...]:
    new, old = both.challenger, both.champion
    return (
        str(new.rows),
        str(new.anomalies),
        cell_text(new.average_precision, "{:.3f}"),
        cell_text(old.average_precision if old else None, "{:.3f}"),
        cell_text(new.false_alarm_rate, "{:.2%}"),
        cell_text(old.false_alarm_rate if old else None, "{:.2%}"),
        cell_text(both.alerts_agree, "{:.1%}"),
        cell_text(both.rank_correlation, "{:.2f}"),
    )


def _facts(record: ShadowRecord, both: SideBySide) -> dict[str, object]:
    counts = {"rows": both.challenger.rows, "anomalies": both.challenger.anomalies}
    between = {"alerts_agree": both.alerts_agree, "rank_correlation": both.rank_correlation}
    return window_facts(record, both, counts, between)


def titles(record: ShadowRecord, are_two: bool) -> dict[str, str]:
    """Legend of a picture: "challenger" and "champion" -> title; the challenger alone unless there are two."""
    if not (record.is_pair and are_two):
        return {CHALLENGER: f"version {record.challenger}"}
    return {
        CHALLENGER: f"challenger, version {record.challenger}",
        CHAMPION: f"champion, version {record.champion}",
    }
