"""Predicts each metric: the answer of ``POST /api/v1/prediction/predict`` to ``historical_metrics``.

Source: engine contract, section 2.2.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from statistics import NormalDist
from typing import Literal

import numpy as np

from aiops_assets.durations import parse_duration
from aiops_assets.engine.models import FORECASTER, Basis
from aiops_assets.engine.prediction.lines import HALF_INTERVAL
from aiops_assets.engine.prediction.outlooks import LINE, MAX_LINES, TREND, Outlook, outlooks
from aiops_assets.engine.prediction.sent_histories import series_of
from aiops_assets.engine.samples import FORECASTED, PERCENT_TO, Sample
from aiops_assets.engine.served_rows import HALF_CONFIDENCE_SAMPLES as OF_FORECASTER
from aiops_assets.engine.served_rows import MIN_CONFIDENCE, Forecasting, confidence
from aiops_assets.engine.wording import say
from aiops_assets.errors import DataError
from aiops_assets.judging.statements import Statement
from aiops_assets.outlook.breaches import Trend
from aiops_assets.outlook.limits import LIMITS
from aiops_assets.timeseries.series import DAY_SECONDS

Risk = Literal["low", "medium", "high"]

HIGH_PROBABILITY, MEDIUM_PROBABILITY = 0.5, 0.1
HIGH_HOURS = 24.0
DOUBLED, MIN_FOR_DOUBLED = 2.0, 12
HALF_CONFIDENCE_SAMPLES = {FORECASTER: OF_FORECASTER, TREND: OF_FORECASTER, LINE: 6}
"""Number of samples with which half of the confidence is reached, by ``judged_by``; the forecaster was trained on
weeks."""
HALF_CONFIDENCE_LAST_VALUE = 12
SHOWN = 40


@dataclass(frozen=True)
class Prediction:
    """The prediction of one metric.

    Attributes:
        metric_name: name as sent.
        predicted_value: predicted value, in the unit as sent.
        confidence: 0.01-1, see :func:`predict`.
        timestamp: time of the predicted value, UTC: that of the newest sample of the name plus the time ahead.
        trend: increasing, decreasing or stable.
        risk: see :func:`risk_of`.
        judged_by: "predictive-analytics" (the served forecaster), "trend" (an extrapolated leak), "robust-line" or
            "last-value".
        confidence_basis: "calibrated" where the interval behind the confidence is a forecaster's, whose width holds on
            its hold-out, for a day of samples or more that go on as before.
        namespace, pod: the pod in the labels of its samples, and its namespace; empty where they name none.
        workload: what made the pod, by its label ``workload`` or else by its name; empty without a pod.
        labels: labels that distinguish its samples from others of this name and pod; mostly empty.
    """

    metric_name: str
    predicted_value: float
    confidence: float
    timestamp: datetime
    trend: Trend
    risk: Risk
    judged_by: str
    confidence_basis: Basis = "not calibrated"
    namespace: str = ""
    pod: str = ""
    workload: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class PredictionSummary:
    """Summary of all predictions.

    Attributes:
        time_range: the time ahead as sent.
        metrics_count: number of predictions: of names, per pod.
        overall_confidence: mean of the predictions' confidences; 0 without any.
    """

    time_range: str
    metrics_count: int
    overall_confidence: float


@dataclass(frozen=True)
class Predictions:
    """The answer to ``historical_metrics``.

    Attributes:
        predictions: one per name, in order of first appearance.
        summary: summary of all predictions.
        notes: sentences about deviations from the request; mostly empty.
    """

    predictions: tuple[Prediction, ...]
    summary: PredictionSummary
    notes: tuple[Statement, ...] = ()


def ahead_seconds(ahead: object) -> float:
    """The time ahead, in seconds, above 0 and at most a day.

    Raises:
        DataError: it cannot be read, or is not in that range.
    """
    allowed = 'write above 0 and at most "24h", such as "5m", "1h" or "1h30m"'
    try:
        seconds = parse_duration(ahead).total_seconds() if isinstance(ahead, str) else 0.0
    except DataError:
        raise DataError(f"predict_ahead {_shown(ahead)} cannot be read: {allowed}") from None
    if not 0 < seconds <= DAY_SECONDS:
        raise DataError(f"predict_ahead {_shown(ahead)} cannot be predicted: {allowed}")
    return seconds


def predict(samples: Iterable[Sample], ahead: str, forecaster: Forecasting | None, *, now: datetime) -> Predictions:
    """Predict each metric for a time ahead of its newest sample.

    Between the steps of a forecast the later one is used. The confidence is the probability that the actual value is
    within a tenth of its scale (0.1 for a ratio, else a tenth of the largest value sent) of the prediction, if errors
    are normal with the 80 % interval (:func:`~aiops_assets.engine.served_rows.confidence`), times n / (n + k) for n
    samples with k from :data:`HALF_CONFIDENCE_SAMPLES`: one sample gives little confidence with any method.

    Args:
        samples: samples of any names, in any order; unknown names are no error.
        ahead: duration such as "5m", "1h", "24h", "1h30m0s"; at most a day.
        forecaster: the served forecaster; ``None``: nothing is served yet, and lines are used.
        now: present time with an offset, for samples without a time.

    Raises:
        DataError: the time ahead cannot be read or is too long, or see
            :func:`~aiops_assets.engine.prediction.sent_histories.series_of`.
        ModelError: the forecast is not usable.
    """
    seconds = ahead_seconds(ahead)
    series = series_of(list(samples), now)
    found = []
    for outlook in outlooks(series, seconds, forecaster):
        newest = series[outlook.name].times[-1].astype("datetime64[us]").item().replace(tzinfo=UTC)
        found.append(
            Prediction(
                metric_name=outlook.name,
                predicted_value=float(outlook.value[-1] * outlook.factor),
                confidence=_confidence(outlook),
                timestamp=newest + timedelta(seconds=seconds),
                trend=outlook.trend,
                risk=risk_of(outlook),
                judged_by=outlook.judged_by,
                confidence_basis="calibrated" if outlook.calibrated else "not calibrated",
            )
        )
    overall = float(np.mean([one.confidence for one in found])) if found else 0.0
    return Predictions(tuple(found), PredictionSummary(ahead, len(found), overall), _notes(series, forecaster))


def threshold_of(name: str, unit: str) -> float | None:
    """Threshold of a metric, in its unit; ``None``: there is none."""
    metric = FORECASTED.get(name, name) if unit == "ratio" else name
    limit = LIMITS.get(metric)
    if limit is None or not math.isfinite(limit.forecast):
        return None
    return limit.forecast * (PERCENT_TO if name.endswith("_percent") else 1.0)


def probability_at_or_above(outlook: Outlook, threshold: float) -> float:
    """Largest probability (0-1) of any step to be at or above a threshold, with normal errors around the median that
    have the interval's width on each side.
    """
    likeliest = 0.0
    for value, lower, upper in zip(outlook.value, outlook.lower, outlook.upper, strict=True):
        side = float(value - lower if value >= threshold else upper - value) / HALF_INTERVAL
        above = float(value - threshold)
        likeliest = max(likeliest, NormalDist().cdf(above / side) if side > 0 else float(above >= 0))
    return likeliest


def risk_of(outlook: Outlook) -> Risk:
    """Risk of a metric up to the requested time.

    ======  ==============================================================================================
    high    it is at or above its threshold, will reach it with a probability of 0.5 or more (the median does), or
            leaks and is full within a day
    medium  the probability is 0.1 or more (the 80 % interval reaches it), it leaks and is full within 14 days, or
            it has no threshold and the interval is above twice its median of at least 12 samples
    low     otherwise
    ======  ==============================================================================================

    Thresholds are ``forecast`` of :data:`~aiops_assets.outlook.limits.LIMITS`.
    """
    threshold = threshold_of(outlook.name, outlook.unit)
    if threshold is None:
        typical = outlook.level.median if outlook.level else outlook.last
        doubled = outlook.samples >= MIN_FOR_DOUBLED and 0 < DOUBLED * typical <= float(outlook.lower[-1])
        return "medium" if doubled else "low"
    probability = probability_at_or_above(outlook, threshold)
    hours = outlook.exhaustion.hours if outlook.exhaustion else None
    if outlook.last >= threshold or probability >= HIGH_PROBABILITY or (hours is not None and hours <= HIGH_HOURS):
        return "high"
    return "medium" if probability >= MEDIUM_PROBABILITY or hours is not None else "low"


def _confidence(outlook: Outlook) -> float:
    known_share = outlook.samples / (
        outlook.samples + HALF_CONFIDENCE_SAMPLES.get(outlook.judged_by, HALF_CONFIDENCE_LAST_VALUE)
    )
    sure = confidence(outlook.lower[-1:] / outlook.scale, outlook.upper[-1:] / outlook.scale, known_share)
    return max(sure[0], MIN_CONFIDENCE)


def _shown(ahead: object) -> str:
    return repr(ahead)[:SHOWN]


def _notes(series: Mapping[str, object], forecaster: Forecasting | None) -> tuple[Statement, ...]:
    notes = []
    if forecaster is None and any(name in FORECASTED for name in series):
        notes.append(say("no_forecaster"))
    if len(series) > MAX_LINES:
        notes.append(say("lines_left_out", most=MAX_LINES))
    return tuple(notes)
