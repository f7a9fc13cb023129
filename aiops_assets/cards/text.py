"""The text of a model card: what a version is for, what it was made of, how good it is and what speaks against it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pandas as pd

from aiops_assets.cards.markdown import table, text
from aiops_assets.cards.origin import columns_section, data_section, loading_section, making_section
from aiops_assets.cards.weaknesses import RECALL, weaknesses
from aiops_assets.models.catalog import ROW_FOREST, WINDOW_ENSEMBLE, ModelSpec
from aiops_assets.models.gate import Difference
from aiops_assets.models.shadow import episodes_caught, first_by_kind, right_first
from aiops_assets.stores.records import EvaluationRecord, Gap, Manifest, TrainingSetRecord
from aiops_assets.stores.shadow import ShadowRecord

TIMELINE, CONTRIBUTIONS, FIGURES = "timeline.png", "contributions.png", "figures.png"
NAMES = {
    "average_precision": "average precision",
    "precision": "rows under alert that are anomalous",
    "recall": "anomalous rows under alert",
    "f1": "F1 of the alerts",
    "false_alarm_rate": "normal rows under alert",
}
SCORES = ("average_precision", "f1")
"""Written as numbers; the other figures are shares."""
USES = {
    ROW_FOREST: (
        "For a coordination engine that asks about one row at a time: a pod, its nodes and the last six minutes. "
        "It answers 1 (normal) or -1 (an anomaly).",
        "It remembers nothing between two rows: what creeps for hours looks normal in each of them. A score says how "
        "odd a row is, not how likely an outage.",
    ),
    WINDOW_ENSEMBLE: (
        "For watching pods over time: it reads a pod's metrics in order and gives each row a score for ranking and an "
        "alert for people.",
        "It needs a pod's history, at least a day of it, and says little of one that has just begun. It keeps "
        "learning: what stays long enough becomes normal. A score says how odd a row is, not how likely an outage.",
    ),
}


@dataclass(frozen=True)
class Subject:
    """The version that a card is of.

    Attributes:
        spec: of the model.
        manifest, manifest_sha256: of the version; the digest as recorded outside its directory.
        directory: of the version, for people.
        evaluation: ``None``: it was never judged.
        training_set: ``None``: it is not there any more.
        scores: of ``models.shadow.COLUMNS``, in which it is the challenger; ``None``: none are kept.
        shadow: what the scores are of.
        seed: of the bootstrap.
    """

    spec: ModelSpec
    manifest: Manifest
    manifest_sha256: str
    directory: str
    evaluation: EvaluationRecord | None
    training_set: TrainingSetRecord | None
    scores: pd.DataFrame | None
    shadow: ShadowRecord | None
    seed: int

    @property
    def figures(self) -> Mapping[str, float]:
        """Of the newest evaluation, or else of the fit."""
        return self.evaluation.figures if self.evaluation else self.manifest.metrics

    @property
    def first_contributions(self) -> pd.DataFrame:
        """As ``models.shadow.first_by_kind`` gives it; empty without scores."""
        if self.scores is None or self.shadow is None:
            return pd.DataFrame()
        return first_by_kind(self.scores, self.shadow.metrics)

    @property
    def opponent_scores(self) -> pd.DataFrame | None:
        """The scores, when it is the evaluation's opponent that stands beside it there."""
        shadow = self.shadow
        if shadow is None or shadow.note or self.evaluation is None:
            return None
        return self.scores if self.evaluation.opponent == f"champion version {shadow.champion}" else None


def card_text(
    subject: Subject, intervals: Mapping[str, Difference] | None = None, pictures: tuple[str, ...] = ()
) -> str:
    """The card as Markdown.

    Args:
        subject: the version.
        intervals: figure -> its 95 % interval, where that is known.
        pictures: file names of those that lie beside it.
    """
    manifest = subject.manifest
    lines = [
        f"# {text(manifest.name)}, version {manifest.version}",
        "",
        f"Purpose: {text(manifest.description)}",
        *_use(subject.spec),
        *_quality(subject, intervals or {}, pictures),
        *_weak(subject),
        *data_section(manifest, subject.training_set),
        *columns_section(manifest),
        *making_section(manifest, subject.evaluation),
        *loading_section(manifest, subject.manifest_sha256, subject.directory),
    ]
    return "\n".join(lines) + "\n"


def _use(spec: ModelSpec) -> list[str]:
    if spec.family not in USES:
        return []
    use, limits = USES[spec.family]
    return ["", "## Use and limits", "", use, "", limits, "", "Nothing should be shut down on its word alone."]


def _quality(subject: Subject, intervals: Mapping[str, Difference], pictures: tuple[str, ...]) -> list[str]:
    evaluation = subject.evaluation
    lines = ["", "## How good it is", ""]
    if evaluation is None:
        lines += ["It was never judged beside another model; these are the figures of its own hold-out.", ""]
    else:
        lines += [
            f"Decision: **{evaluation.decision}**: {text(evaluation.reason)}",
            "",
            f"Judged on {evaluation.when:%Y-%m-%d %H:%M} UTC on the newest fifth of the rows, which its fit never saw: "
            f"{evaluation.holdout_rows:,} rows, {evaluation.anomalous_rows:,} of them anomalous. Opponent: "
            f"{text(evaluation.opponent)}. Intervals are 95 % ones of a block bootstrap.",
            "",
        ]
    gaps = gaps_of(evaluation)
    opponent = evaluation.opponent_figures if evaluation else {}
    lines += table(
        ["figure", "this version", "opponent", "difference"],
        [
            [
                text(figure_name(name)),
                _shown(name, value) + _interval(name, intervals.get(name), _shown),
                _shown(name, opponent[name]) if name in opponent else "-",
                f"{_signed(name, gaps[name].value)}{_interval(name, gaps[name], _signed)}" if name in gaps else "-",
            ]
            for name, value in subject.figures.items()
        ]
        + [
            [f"episodes of {text(kind.replace('_', ' '))} with an alert", f"{some} of {all_of}", "-", "-"]
            for kind, (some, all_of) in _episodes(subject).items()
        ],
    )
    shown = {
        FIGURES: "Figures beside the opponent's",
        TIMELINE: "Scores of the hold-out, with labels and alerts",
        CONTRIBUTIONS: "The metric that speaks loudest, by kind of anomaly",
    }
    for name in (name for name in shown if name in pictures):
        lines += ["", f"![{shown[name]}]({name})"]
    return lines


def _weak(subject: Subject) -> list[str]:
    found = weaknesses(
        subject.manifest,
        subject.evaluation,
        subject.figures,
        right_first(subject.first_contributions),
        _episodes(subject),
    )
    return ["", "## Known weaknesses", "", "Read from the figures above and from its records:", ""] + [
        f"- {text(sentence)}" for sentence in found
    ]


def gaps_of(evaluation: EvaluationRecord | None) -> dict[str, Difference]:
    """Figure -> difference to the opponent, of the figures that the gate looks at."""
    if evaluation is None:
        return {}
    gaps: dict[str, Gap | None] = {
        "average_precision": evaluation.average_precision_gap,
        "false_alarm_rate": evaluation.false_alarm_rate_gap,
    }
    return {name: Difference(gap.value, gap.low, gap.high) for name, gap in gaps.items() if gap}


def figure_name(name: str) -> str:
    """A figure, for people."""
    if name.startswith(RECALL):
        return f"rows of {name.removeprefix(RECALL).replace('_', ' ')} under alert"
    return NAMES.get(name, name.replace("_", " "))


def _episodes(subject: Subject) -> dict[str, tuple[int, int]]:
    return {} if subject.scores is None else episodes_caught(subject.scores)


def _shown(name: str, value: float) -> str:
    return f"{value:.3f}" if name in SCORES else f"{value:.2%}"


def _signed(name: str, value: float) -> str:
    return f"{value:+.3f}" if name in SCORES else f"{100 * value:+.2f} pp"


def _interval(name: str, found: Difference | None, shown: Callable[[str, float], str]) -> str:
    return f" ({shown(name, found.low)} to {shown(name, found.high)})" if found else ""
