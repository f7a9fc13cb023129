"""One table of all methods whose scores lie in a folder: the project's own figures, for everybody the same."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from aiops_assets.judging.detection.series_figures import DetectionFigures, aggregate, figures_of_frames
from aiops_assets_tests.benchmarks.peers import score_files
from aiops_assets_tests.benchmarks.peers.score_files import Kept
from aiops_assets_tests.benchmarks.peers.series import series_files

QUANTILE = 0.995
OWN, TRAIN = "its own", "99.5 % of train"
HEAD = (
    "| method | alert | VUS-PR | AUC-PR | event F1 | false alarms/day | normal time under alert | s a series |",
    "|---|---|---|---|---|---|---|---|",
)


@dataclass(frozen=True)
class Judged:
    """A row of the table: means over the series of a set, then over sets.

    Attributes:
        alert: which rule raised the alerts: ``OWN`` or ``TRAIN``.
        missing: how many series the method has no scores of; they are left out of its means.
    """

    title: str
    alert: str
    figures: DetectionFigures
    seconds: float
    missing: int

    def __str__(self) -> str:
        title = f"{self.title} ({self.missing} series missing)" if self.missing else self.title
        found = self.figures
        cells = (
            _ratio(found.vus_pr),
            _ratio(found.auc_pr),
            _ratio(found.event_f1),
            f"{found.false_alarms_per_day or 0.0:.1f}",
            f"{found.normal_time_under_alert or 0.0:.1%}".replace("%", " %"),
            f"{self.seconds:.2f}" if self.seconds < 1 else f"{self.seconds:.1f}",
        )
        return f"| {title} | {self.alert} | {' | '.join(cells)} |"


def judge(data: Path, scores: Path, titles: Mapping[str, str]) -> list[Judged]:
    """The rows of the methods that have scores, in the order of ``titles``.

    A method with an alert rule of its own is judged by it, and in a second row, as everybody, by the 99.5 %
    quantile of its train rows' scores: a threshold that needs no label and no test row.
    """
    files = series_files(data)
    labels = {path.stem: pd.read_parquet(data / "labels" / path.name) for path in files}
    rows = []
    for name, title in titles.items():
        kept = {stem: score_files.read(path) for stem in labels if (path := scores / name / f"{stem}.parquet").exists()}
        if kept:
            rows += _rows_of(title, kept, labels)
    return rows


def table(rows: list[Judged]) -> str:
    """In Markdown."""
    return "\n".join([*HEAD, *map(str, rows)])


def with_train_alert(scored: pd.DataFrame, labels: pd.DataFrame) -> pd.DataFrame:
    """``scored`` with the alerts of the 99.5 % quantile of its train rows' scores."""
    train = labels.loc[labels["split"] == "train", "timestamp"].astype(scored["timestamp"].dtype)
    threshold = scored.loc[scored["timestamp"].isin(train), "score"].quantile(QUANTILE)
    return scored.assign(alert=scored["score"] > threshold)


def _rows_of(title: str, kept: Mapping[str, Kept], labels: Mapping[str, pd.DataFrame]) -> list[Judged]:
    seconds = sum(one.seconds for one in kept.values()) / len(kept)
    frames = {TRAIN: {stem: with_train_alert(one.frame, labels[stem]) for stem, one in kept.items()}}
    if all("alert" in one.frame for one in kept.values()):
        frames = {OWN: {stem: one.frame for stem, one in kept.items()}, **frames}
    rows = []
    for alert, by_series in frames.items():
        figures = {stem: figures_of_frames(labels[stem], frame) for stem, frame in by_series.items()}
        rows.append(Judged(title, alert, aggregate(figures).macro, seconds, len(labels) - len(kept)))
    return rows


def _ratio(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}".removeprefix("0")
