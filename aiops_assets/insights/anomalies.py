"""Which of the metrics a client sent are anomalies, and why: the logic behind ``POST /api/v1/anomaly/detect``.

Four detectors have a say, each where it can: the row detector on the newest samples, a table of limits, each name's own
history in the request, and the served window detector on the pod's history from the lake. Source: engine contract,
section 2.2.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from types import MappingProxyType

import numpy as np
import pandas as pd

from aiops_assets.errors import DataError, ModelError
from aiops_assets.insights.findings import Anomaly, Finding, Judge, anomaly_of, confidence_of, shown
from aiops_assets.insights.limits import FILLING, MEMORY, RISING_FROM, SHARES, UNITS, beyond_limits, full_shares
from aiops_assets.insights.own_history import LEAST_SAMPLES, alert_excess, newest_deviation, rise_per_hour
from aiops_assets.insights.recommendations import recommendations
from aiops_assets.insights.row_verdict import LEAST_SHARE, RowDetector, kind_of, verdict
from aiops_assets.insights.samples import MEANINGS, Sample, Series, by_name, unit_factor
from aiops_assets.insights.sent_row import SentRow, sent_row
from aiops_assets.models.base import WindowDetector
from aiops_assets.timeseries.catalog import ENGINE_METRICS, POD_MEMORY, RESTARTS

DEFAULT_THRESHOLD = 0.5
"""The confidence at a detector's own bound: all that any detector calls an anomaly is reported."""
MOST_HISTORY_AGE = timedelta(hours=1)
"""A pod's history whose newest row is older says nothing of now."""
LEAKED = 0.1
"""Share of the memory limit that a steady rise has taken, for what is full to be called a leak."""
NO_CONTEXT: Mapping[str, str] = MappingProxyType({})
NOTHING_KNOWN = -np.inf


@dataclass(frozen=True)
class Detection:
    """The answer to one request.

    Attributes:
        anomaly_detected: whether anything is reported.
        confidence: 0-1, how sure the verdict is: of the surest anomaly, or that there is none (1 - anomaly_score);
            0 where nothing could be judged.
        anomaly_score: 0-1, 0.5 at a detector's own bound; the highest of all detectors, below the threshold too.
        recommendations: what to do, the most severe first; none without an anomaly.
        anomalies: at most one of each metric, the surest first.
        total: names in the request, also those nobody knows.
        anomalies_found: how many are reported.
        high_severity: how many of them are high or critical.
        judged_by: which detectors had a say.
    """

    anomaly_detected: bool
    confidence: float
    anomaly_score: float
    recommendations: list[str]
    anomalies: list[Anomaly]
    total: int
    anomalies_found: int
    high_severity: int
    judged_by: tuple[Judge, ...]


def detect(
    samples: Sequence[Sample],
    row_detector: RowDetector,
    *,
    now: datetime,
    threshold: float | None = None,
    window: WindowDetector | None = None,
    history: pd.DataFrame | None = None,
    context: Mapping[str, str] = NO_CONTEXT,
) -> Detection:
    """Judge what a client sent; one sample of one name is enough.

    Args:
        samples: of any names, in any order; several of one name are its history.
        row_detector: over the 45 columns.
        now: the time of samples without one, with an offset.
        threshold: 0-1; anomalies that are less sure are not reported. 0.5 by default, which is all of them.
        window: the served ensemble-predictor.
        history: the pod's, five minutes apart, oldest first: ``timestamp`` (UTC) and the columns of ``window``. It
            counts when its newest row is at most an hour old, for the metrics that were sent.
        context: ``namespace`` and ``resource``, for the recommendations.

    Raises:
        DataError: of one name some samples have a time and some have none, or the threshold is not within 0 and 1.
        ModelError: the row detector gives no score.
    """
    least = DEFAULT_THRESHOLD if threshold is None else threshold
    if not 0.0 <= least <= 1.0:
        raise DataError(f"threshold {least}: a confidence is asked for, send a number from 0 to 1")
    newest, series = _newest(samples, now)
    row = sent_row(newest, series, now)
    judges: list[Judge] = []
    found: list[Finding] = []
    excess = NOTHING_KNOWN
    if row.sent:
        excess, found = verdict(row, row_detector)
        found += beyond_limits(row, row_detector.expected.tolist())
        judges += ["anomaly-detector", "limits"]
    elif any(sample.name in SHARES for sample in newest):
        judges.append("limits")
    found += full_shares(newest, now)
    if any(len(one.values) >= LEAST_SAMPLES for one in series.values()):
        found = _with_leak(found + _from_series(series.values()), row, series)
        judges.append("history of the request")
    if window is not None and history is not None and row.sent:
        of_window = _from_pod(window, history, row, now)
        if of_window is not None:
            found += of_window
            judges.append("ensemble-predictor")

    excess = max([excess, *(one.excess for one in found)])
    score = 0.0 if excess == NOTHING_KNOWN else confidence_of(excess)
    reported = [anomaly for anomaly in _surest(found) if anomaly.confidence >= least]
    confidence = max((one.confidence for one in reported), default=1.0 - score if judges else 0.0)
    return Detection(
        anomaly_detected=bool(reported),
        confidence=confidence,
        anomaly_score=score,
        recommendations=recommendations(reported, context),
        anomalies=reported,
        total=len(newest),
        anomalies_found=len(reported),
        high_severity=sum(one.severity in ("high", "critical") for one in reported),
        judged_by=tuple(judges),
    )


def _newest(samples: Sequence[Sample], now: datetime) -> tuple[list[Sample], dict[str, Series]]:
    """The newest sample of each name, and the series of those that have several."""
    names = {sample.name for sample in samples}
    if len(names) == len(samples):
        return list(samples), {}
    series = by_name(samples, now)
    newest = []
    for name, one in series.items():
        micros = int(one.times[-1].astype("datetime64[us]").astype(np.int64))
        time = datetime.fromtimestamp(0, UTC) + timedelta(microseconds=micros)
        newest.append(Sample(name, float(one.values[-1]), time if one.timed else now))
    return newest, {name: one for name, one in series.items() if len(one.values) > 1}


def _from_series(series: Iterable[Series]) -> list[Finding]:
    """What each name's own history in the request says of its newest sample."""
    found = []
    for one in series:
        deviation = newest_deviation(one)
        if deviation is None:
            continue
        meaning = MEANINGS.get(one.name)
        metric = one.name if meaning is None else meaning.metric.name
        factor = unit_factor(UNITS.get(metric, ""), one.values.tolist())
        kind = kind_of(metric, deviation.value / factor, deviation.value >= deviation.expected)
        if metric == RESTARTS.name:
            kind = "restart"
        elif deviation.lasting and kind in ("burst", "drop"):
            kind = "level_shift"
        how = "an ensemble fitted on them" if deviation.learned else "a robust deviation from their median"
        reason = (
            f"{one.name} is {deviation.value:.4g}, {deviation.expected:.4g} is usual: "
            f"it does not fit to the {deviation.samples} samples before it, as {how} says."
        )
        found.append(
            Finding(
                metric,
                one.name,
                deviation.value,
                deviation.expected,
                deviation.time,
                kind,
                deviation.excess,
                reason,
                "history of the request",
            )
        )
    return found


def _with_leak(found: list[Finding], row: SentRow, series: Mapping[str, Series]) -> list[Finding]:
    """A pod whose memory was sent to rise steadily: what is full is a leak, and so is what will be in an hour."""
    level = row.level(MEMORY)
    if level is None or level.name not in series:
        return found
    own = series[level.name]
    rise = rise_per_hour(own)
    if rise is None or rise / level.factor < RISING_FROM:
        return found
    in_an_hour = (level.value + rise) / level.factor
    if float(np.ptp(own.values)) / level.factor >= LEAKED:
        found = [replace(f, kind="memory_leak") if f.kind == "memory_saturation" else f for f in found]
    if in_an_hour < FILLING.bound:
        return found
    usual = float(np.median(own.values))
    reason = (
        f"{level.name} is {shown(level.value, level.factor)} and rises by {rise:.3g} an hour, as the slope of its "
        f"{len(own.values)} samples says: {FILLING.why}."
    )
    excess = FILLING.excess(in_an_hour)
    return [
        *found,
        Finding(
            POD_MEMORY.name,
            level.name,
            level.value,
            usual,
            level.time,
            FILLING.kind,
            excess,
            reason,
            "history of the request",
        ),
    ]


def _from_pod(window: WindowDetector, history: pd.DataFrame, row: SentRow, now: datetime) -> list[Finding] | None:
    """What the window detector says of the newest row; ``None`` where it has no say."""
    if not len(history) or now - history["timestamp"].iloc[-1] > MOST_HISTORY_AGE:
        return None
    try:
        scored = window.score(history)
    except (DataError, ModelError):
        return None  # another cadence, or a metric that the cluster lacks: the others have their say
    if not scored.alert[-1]:
        return []
    shares = dict(zip(window.columns, scored.contributions[-1].tolist(), strict=True))
    first = max(shares, key=shares.__getitem__)
    excess = alert_excess(scored, len(scored.score) - 1)
    found = []
    for metric, spec in enumerate(ENGINE_METRICS):
        level = row.level(metric)
        share = shares.get(spec.name, 0.0)
        if level is None or (spec.name != first and share < LEAST_SHARE):
            continue
        column = history[spec.name].to_numpy(dtype=np.float64)
        known = column[np.isfinite(column)]
        if not len(known):
            continue
        usual = float(np.median(known))
        kind = "restart" if spec is RESTARTS else kind_of(spec.name, float(known[-1]), bool(known[-1] >= usual))
        reason = (
            f"{level.name}: the pod does not behave as in the {len(history)} rows of its history before, as the "
            f"ensemble-predictor says, and {share:.0%} of that is this metric; its median there is {usual:.4g}."
        )
        found.append(
            Finding(
                spec.name,
                level.name,
                level.value,
                usual * level.factor,
                level.time,
                kind,
                excess * share / shares[first],
                reason,
                "ensemble-predictor",
            )
        )
    return found


def _surest(found: Iterable[Finding]) -> list[Anomaly]:
    """One anomaly of each metric, the surest first; its reason is the limit, where one is reached: that is plainest."""
    by_metric: dict[str, list[Finding]] = {}
    for one in found:
        by_metric.setdefault(one.metric, []).append(one)
    best = []
    for of_metric in by_metric.values():
        plainest = max(of_metric, key=lambda one: (one.judge == "limits", one.excess))
        best.append(replace(plainest, excess=max(one.excess for one in of_metric)))
    return [anomaly_of(one) for one in sorted(best, key=lambda one: -one.excess)]
