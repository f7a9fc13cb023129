"""Answers by models that were trained on generated rows alone, as on a cluster's first days: they claim less.

Such a model has seen no row of the cluster, and nobody has measured how often it is right there. Its confidence counts
by half above that of a coin, and a note says why.
"""

from collections.abc import Sequence
from dataclasses import replace

from aiops_assets.engine.detection.anomalies import Detection
from aiops_assets.engine.models import COLD_START, FORECASTER
from aiops_assets.engine.prediction.predictions import Predictions
from aiops_assets.engine.wording import say

MOST_COLD_PODS = 4
"""A forecast takes it most of a second: of more pods, predictive-analytics or lines are asked."""
COIN, BELIEVED = 0.5, 0.5
GENERATED = "synthetic"
"""The effective source of a model whose training rows were all generated."""


def believed(confidence: float) -> float:
    """The lowered confidence (0-1): of what lies above 0.5, half remains."""
    return confidence if confidence <= COIN else COIN + BELIEVED * (confidence - COIN)


def before_belief(threshold: float | None) -> float | None:
    """The confidence that :func:`believed` turns into a threshold (0-1), at most 1."""
    return threshold if threshold is None or threshold <= COIN else min(COIN + (threshold - COIN) / BELIEVED, 1.0)


def less_sure(found: Detection, models: Sequence[str]) -> Detection:
    """An answer of such models, with less confidence and a note that names them."""
    anomalies = [replace(one, confidence=believed(one.confidence)) for one in found.anomalies]
    note = say("models_of_generated_rows", names=set(models))
    return replace(found, confidence=believed(found.confidence), anomalies=anomalies, notes=(*found.notes, note))


def less_sure_predictions(found: Predictions, models: Sequence[str]) -> Predictions:
    """The same of predictions."""
    predictions = tuple(
        replace(one, confidence=believed(one.confidence), confidence_basis="not calibrated")
        for one in found.predictions
    )
    summary = replace(found.summary, overall_confidence=believed(found.summary.overall_confidence))
    note = say("models_of_generated_rows", names=set(models))
    return Predictions(predictions, summary, (*found.notes, note))


def by_cold_start(found: Predictions) -> Predictions:
    """Predictions of the cold start, under its name."""
    named = tuple(
        replace(one, judged_by=COLD_START) if one.judged_by == FORECASTER else one for one in found.predictions
    )
    return replace(found, predictions=named)
