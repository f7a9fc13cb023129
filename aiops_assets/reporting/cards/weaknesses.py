"""Known weaknesses of a detector, derived from its figures."""

from collections.abc import Mapping

from aiops_assets.judging.decision import SYNTHETIC
from aiops_assets.judging.detection.gate import AP_TOLERANCE
from aiops_assets.judging.statements import Statement
from aiops_assets.storage.records import EvaluationRecord, Manifest, SourceReport
from aiops_assets.synthetic.anomalies import ANOMALIES
from aiops_assets.timeseries.features import ROW_EVERY_MINUTES
from aiops_assets.timeseries.quality import FULL_DAY

MIN_RECALL, MIN_PRECISION = 0.5, 0.5
MIN_RIGHT_FIRST = 0.9
MIN_ANOMALOUS_ROWS = 30
"""With fewer anomalous rows, each row changes a figure by more than three percentage points."""
MAX_FALSE_ALARMS_A_DAY = 1.0
"""Most normal rows under alert, per pod and day: people ignore alerts that are wrong more often."""
NOTABLE_MISSING = 0.1
ROWS_A_DAY = 24 * 60 // ROW_EVERY_MINUTES
RECALL = "recall_"


def weaknesses(
    manifest: Manifest,
    evaluation: EvaluationRecord | None,
    figures: Mapping[str, float],
    right_first: Mapping[str, float],
    episodes: Mapping[str, tuple[int, int]],
) -> list[Statement]:
    """Known weaknesses, the most serious first; empty when figures and records show none.

    Args:
        manifest, evaluation: records of the version.
        figures: its figures on the hold-out.
        right_first: kind of anomaly -> share of its rows to which a metric that the kind changes contributes most.
        episodes: kind -> (number of episodes with an alert, number of all episodes).
    """
    found = _of_detection(figures, episodes) + _of_contributions(right_first)
    if evaluation:
        found += _of_evaluation(evaluation)
    text = "The anomalies that it was judged by were generated, not real incidents."
    found.append(Statement("generated_anomalies", text))
    return found + of_data(manifest.effective_source, manifest.source)


def _of_detection(figures: Mapping[str, float], episodes: Mapping[str, tuple[int, int]]) -> list[Statement]:
    found = []
    for name, share in sorted(figures.items()):
        if name.startswith(RECALL) and share < MIN_RECALL:
            kind = name.removeprefix(RECALL)
            found.append(_of_recall(kind, share, *episodes.get(kind, (0, 0))))
    unjudged = sorted(set(ANOMALIES) - {name.removeprefix(RECALL) for name in figures if name.startswith(RECALL)})
    if unjudged:
        kinds = ", ".join(kind.replace("_", " ") for kind in unjudged)
        text = f"It was never judged on: {kinds}. The hold-out has no such row."
        found.append(Statement("unjudged_kinds", text, kinds=unjudged))
    precision = figures.get("precision")
    if precision is not None and precision < MIN_PRECISION:
        text = f"Most of its alerts are wrong: {precision:.0%} of the rows under alert are anomalous."
        found.append(Statement("low_precision", text, precision=precision))
    daily = figures.get("false_alarm_rate", 0.0) * ROWS_A_DAY
    if daily >= MAX_FALSE_ALARMS_A_DAY:
        text = f"On average {daily:.1f} normal rows a pod and day are under alert; a day has {ROWS_A_DAY} rows."
        found.append(Statement("false_alarms", text, daily=daily))
    return found


def _of_recall(kind: str, share: float, alerted: int, episodes: int) -> Statement:
    words = kind.replace("_", " ")
    facts = {"kind": kind, "recall": share, "alerted": alerted, "episodes": episodes}
    if alerted * 2 > episodes:
        return Statement(
            "low_recall_in_episodes",
            f"Its alerts cover little of a {words}: {share:.0%} of the anomalous rows; {alerted} of {episodes} "
            "episodes have one.",
            **facts,
        )
    also = f", and {alerted} of {episodes} episodes have an alert" if episodes else ""
    text = f"It misses most of a {words}: {share:.0%} of the anomalous rows are under alert{also}."
    return Statement("low_recall", text, **facts)


def _of_contributions(right_first: Mapping[str, float]) -> list[Statement]:
    return [
        Statement(
            "wrong_metric_first",
            f"In a {kind.replace('_', ' ')} it names another metric first: one that changed comes first in "
            f"{share:.0%} of the anomalous rows.",
            kind=kind,
            share=share,
        )
        for kind, share in sorted(right_first.items())
        if share < MIN_RIGHT_FIRST
    ]


def _of_evaluation(evaluation: EvaluationRecord) -> list[Statement]:
    found = []
    gap = evaluation.gaps.get("average_precision")
    if gap and gap.value < -AP_TOLERANCE:
        sure = "more than the noise" if gap.high < 0 else "which may be noise"
        text = f"It ranks rows worse than {evaluation.opponent}: {gap.value:+.3f} of average precision, {sure}."
        facts = {"opponent": evaluation.opponent, "difference": gap.value, "is_sure": gap.high < 0}
        found.append(Statement("worse_than_opponent", text, **facts))
    if evaluation.anomalous_rows < MIN_ANOMALOUS_ROWS:
        text = (
            f"It was judged by {evaluation.anomalous_rows} anomalous rows: enough to compare two versions, too few to "
            "state how good one is."
        )
        found.append(Statement("few_anomalous_rows", text, rows=evaluation.anomalous_rows))
    return found


def of_data(effective_source: str, source: SourceReport) -> list[Statement]:
    """Weaknesses that follow from the rows of the training set, for models of any task."""
    found = []
    if effective_source == SYNTHETIC:
        found.append(Statement("generated_rows", "It never saw a real cluster: all its rows were generated."))
    if source.note:
        text = f"Its rows are not the requested ones: {source.note}."
        found.append(Statement("other_source", text, note=source.note))
    if source.cached_age_seconds is not None:
        hours = source.cached_age_seconds / 3600
        text = f"Its newest rows had been fetched {hours:.1f} hours before."
        found.append(Statement("cached_rows", text, hours=hours))
    if source.coverage is not None and source.coverage < FULL_DAY:
        text = f"Its window has {source.coverage:.0%} of its samples."
        found.append(Statement("missing_samples", text, coverage=source.coverage))
    if source.missing_share is not None and source.missing_share > NOTABLE_MISSING:
        text = f"Gaps in the metrics cost {source.missing_share:.0%} of its rows."
        found.append(Statement("gaps", text, share=source.missing_share))
    return found + [Statement("warned", f"Warning about its data: {one}.", warning=one) for one in source.warnings]
