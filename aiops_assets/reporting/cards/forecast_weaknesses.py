"""Known weaknesses of a forecaster, derived from its figures and its forecasts of the hold-out."""

from collections.abc import Mapping

import pandas as pd

from aiops_assets.judging.decision import SYNTHETIC
from aiops_assets.judging.forecasting.gate import ERROR_TOLERANCE, MIN_ORIGINS
from aiops_assets.judging.forecasting.holdout import COVERAGE, HORIZON_HOURS, TRIVIAL
from aiops_assets.judging.forecasting.shadow import by_metric, interval_sides
from aiops_assets.judging.statements import Statement
from aiops_assets.reporting.cards.weaknesses import of_data
from aiops_assets.storage.records import EvaluationRecord, Manifest

NOTABLE_COVERAGE = 0.05
"""Largest difference of the coverage from 80 % that is not a weakness."""
MIN_CARD_ORIGINS = 2 * MIN_ORIGINS
"""Fewest forecast origins for a card, twice those of the gate: a card judges one forecaster, the gate compares two."""
LOPSIDED = 0.1
"""Difference of the shares below and above an interval from which on it is called lopsided."""


def forecast_weaknesses(
    manifest: Manifest,
    evaluation: EvaluationRecord | None,
    figures: Mapping[str, float],
    forecasts: pd.DataFrame | None,
) -> list[Statement]:
    """Known weaknesses, the most serious first; empty when figures and records show none.

    Args:
        manifest, evaluation: records of the version.
        figures: its figures on the hold-out.
        forecasts: its forecasts of that hold-out, with the columns ``holdout.KEYS`` and ``SIDES``; ``None``: not kept.
    """
    found = _of_errors(figures)
    if forecasts is not None and len(forecasts):
        found += _of_metrics(forecasts)
    found += _of_coverage(figures)
    if forecasts is not None and len(forecasts):
        found += _of_sides(forecasts)
    if evaluation:
        found += _of_evaluation(evaluation)
    return found + _of_holdout(figures, forecasts) + of_data(manifest.effective_source, manifest.source)


def _of_errors(figures: Mapping[str, float]) -> list[Statement]:
    return [
        Statement(
            "loses_to_trivial",
            f"It loses to {who} {ahead(label)}: its error is {ratio:.2f} of that.",
            trivial=name,
            horizon=label,
            ratio=ratio,
        )
        for label in HORIZON_HOURS
        for name, who in TRIVIAL.items()
        if (ratio := figures.get(f"mae_to_{name}_{label}", 0.0)) > 1
    ]


def _of_metrics(forecasts: pd.DataFrame) -> list[Statement]:
    return [
        Statement(
            "loses_in_metric",
            f"For {metric} it loses to {TRIVIAL[name]}: its error is {ratio:.2f} of that, all horizons together.",
            metric=metric,
            trivial=name,
            ratio=ratio,
        )
        for metric, ratios in by_metric(forecasts).items()
        for name, ratio in ratios.items()
        if ratio > 1
    ]


def _of_coverage(figures: Mapping[str, float]) -> list[Statement]:
    shares = {label: figures[f"coverage_{label}"] for label in HORIZON_HOURS if f"coverage_{label}" in figures}
    found = []
    for sign, how in ((1, "too wide"), (-1, "too narrow")):
        off = {label: share for label, share in shares.items() if sign * (share - COVERAGE) > NOTABLE_COVERAGE}
        if off:
            words = [f"{share:.0%} of the values are inside {ahead(label)}" for label, share in off.items()]
            code = "wide_intervals" if sign > 0 else "narrow_intervals"
            found.append(Statement(code, f"Its 80 % intervals are {how}: {', '.join(words)}.", coverage=off))
    return found


def _of_sides(forecasts: pd.DataFrame) -> list[Statement]:
    shares = interval_sides(forecasts).groupby("metric", sort=True)[["below", "above"]].mean()
    return [
        Statement(
            "lopsided_interval",
            f"The interval of {metric} is lopsided: {below:.0%} of the values are below it, {above:.0%} above.",
            metric=metric,
            below=below,
            above=above,
        )
        for metric, below, above in shares.itertuples()
        if abs(below - above) > LOPSIDED
    ]


def _of_evaluation(evaluation: EvaluationRecord) -> list[Statement]:
    found = []
    gap = evaluation.gaps.get("mae")
    if gap and gap.value > ERROR_TOLERANCE:
        sure = "more than the noise" if gap.low > 0 else "which may be noise"
        text = f"Its error is larger than that of {evaluation.opponent}: by {gap.value:.1%}, {sure}."
        facts = {"opponent": evaluation.opponent, "difference": gap.value, "is_sure": gap.low > 0}
        found.append(Statement("worse_than_opponent", text, **facts))
    if evaluation.effective_source == SYNTHETIC:
        text = "It was judged by generated series alone, never on a real cluster."
        found.append(Statement("judged_by_generated", text))
    return found


def _of_holdout(figures: Mapping[str, float], forecasts: pd.DataFrame | None) -> list[Statement]:
    found = []
    missing = [label for label in HORIZON_HOURS if f"coverage_{label}" not in figures]
    if missing:
        horizons = ", ".join(label.replace("h", " h") for label in missing)
        text = f"It was never judged {horizons} ahead: the hold-out is too short for that."
        found.append(Statement("unjudged_horizons", text, horizons=missing))
    n_origins = 0 if forecasts is None else forecasts["origin"].nunique()
    if 0 < n_origins < MIN_CARD_ORIGINS:
        text = f"It was judged from {n_origins} forecast origins: too few to state how good it is."
        found.append(Statement("few_origins", text, origins=n_origins))
    return found


def ahead(label: str) -> str:
    """The hours ahead that a figure is about, in words."""
    return "in the first hour" if label == "1h" else f"in the first {label.removesuffix('h')} hours"
