"""What a card says against a detector: read from the figures, so that nobody has to be honest by hand."""

from collections.abc import Mapping

from aiops_assets.judging.decision import SYNTHETIC
from aiops_assets.judging.detection.gate import AP_TOLERANCE
from aiops_assets.storage.records import EvaluationRecord, Manifest, SourceReport
from aiops_assets.synthetic.anomalies import ANOMALIES
from aiops_assets.timeseries.features import ROW_EVERY_MINUTES
from aiops_assets.timeseries.quality import FULL_DAY

LEAST_RECALL, LEAST_PRECISION = 0.5, 0.5
LEAST_RIGHT_FIRST = 0.9
LEAST_ANOMALOUS_ROWS = 30
"""Fewer move a figure by more than three points each."""
MOST_FALSE_ALARMS_A_DAY = 1.0
"""Normal rows of a pod under alert: whoever is called more often stops looking."""
NOTABLE_MISSING = 0.1
ROWS_A_DAY = 24 * 60 // ROW_EVERY_MINUTES
RECALL = "recall_"


def weaknesses(
    manifest: Manifest,
    evaluation: EvaluationRecord | None,
    figures: Mapping[str, float],
    right_first: Mapping[str, float],
    episodes: Mapping[str, tuple[int, int]],
) -> list[str]:
    """Plain sentences, the most serious kind first; empty when the figures show none.

    Args:
        manifest, evaluation: of the version.
        figures: on its hold-out.
        right_first: kind of anomaly -> share of its rows in which a metric that it changes speaks loudest.
        episodes: kind -> (episodes with an alert, all episodes).
    """
    found = _of_detection(figures, episodes) + _of_contributions(right_first)
    if evaluation:
        found += _of_evaluation(evaluation)
    found.append("The anomalies that it was judged by were generated, not incidents that people saw.")
    return found + of_data(manifest.effective_source, manifest.source)


def _of_detection(figures: Mapping[str, float], episodes: Mapping[str, tuple[int, int]]) -> list[str]:
    found = []
    for name, share in sorted(figures.items()):
        if name.startswith(RECALL) and share < LEAST_RECALL:
            kind = name.removeprefix(RECALL)
            some, all_of = episodes.get(kind, (0, 0))
            words = kind.replace("_", " ")
            if some * 2 > all_of:
                found.append(
                    f"Its alerts cover little of a {words}: {share:.0%} of the anomalous rows; {some} of {all_of} "
                    "episodes have one."
                )
            else:
                also = f", and {some} of {all_of} episodes have an alert" if all_of else ""
                found.append(f"It misses most of a {words}: {share:.0%} of the anomalous rows are under alert{also}.")
    unjudged = sorted(set(ANOMALIES) - {name.removeprefix(RECALL) for name in figures if name.startswith(RECALL)})
    if unjudged:
        kinds = ", ".join(kind.replace("_", " ") for kind in unjudged)
        found.append(f"It was never judged on: {kinds}. The hold-out has no such row.")
    precision = figures.get("precision")
    if precision is not None and precision < LEAST_PRECISION:
        found.append(f"Most of its alerts are wrong: {precision:.0%} of the rows under alert are anomalous.")
    daily = figures.get("false_alarm_rate", 0.0) * ROWS_A_DAY
    if daily >= MOST_FALSE_ALARMS_A_DAY:
        found.append(f"On average {daily:.1f} normal rows a pod and day are under alert; a day has {ROWS_A_DAY} rows.")
    return found


def _of_contributions(right_first: Mapping[str, float]) -> list[str]:
    return [
        f"Of a {kind.replace('_', ' ')} it names another metric first: one that changed comes first in {share:.0%} of "
        "the anomalous rows."
        for kind, share in sorted(right_first.items())
        if share < LEAST_RIGHT_FIRST
    ]


def _of_evaluation(evaluation: EvaluationRecord) -> list[str]:
    found = []
    gap = evaluation.gaps.get("average_precision")
    if gap and gap.value < -AP_TOLERANCE:
        sure = "beyond the noise" if gap.high < 0 else "which may be noise"
        found.append(f"It ranks rows worse than {evaluation.opponent}: {gap.value:+.3f} of average precision, {sure}.")
    if evaluation.anomalous_rows < LEAST_ANOMALOUS_ROWS:
        found.append(
            f"It was judged by {evaluation.anomalous_rows} anomalous rows: enough to compare two versions, too few to "
            "say how good one is."
        )
    return found


def of_data(effective_source: str, source: SourceReport) -> list[str]:
    """What is to be said against the rows of any model."""
    found = []
    if effective_source == SYNTHETIC:
        found.append("It never saw a real cluster: all its rows were generated.")
    if source.note:
        found.append(f"Its rows are not those that were asked for: {source.note}.")
    if source.cached_age_seconds is not None:
        found.append(f"Its newest rows had been fetched {source.cached_age_seconds / 3600:.1f} hours before.")
    if source.coverage is not None and source.coverage < FULL_DAY:
        found.append(f"Of the samples of its window {source.coverage:.0%} are there.")
    if source.missing_share is not None and source.missing_share > NOTABLE_MISSING:
        found.append(f"Gaps in the metrics cost {source.missing_share:.0%} of its rows.")
    return found + [f"Of its data was said: {warning}." for warning in source.warnings]
