"""Detection of anomalies among the metrics of a request: the logic behind ``POST /api/v1/anomaly/detect``.

Four detectors are used as far as the samples allow: the row detector on the newest samples, tables of limits and jumps,
each name's own history in the request, and the served window detector on the pod's history from the lake. Source:
engine contract, section 2.2.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from types import MappingProxyType

import pandas as pd

from aiops_assets.engine.detection.clocks import notes_of_old, without_future
from aiops_assets.engine.detection.evidence import metrics_without_samples, reject_impossible, share_reported
from aiops_assets.engine.detection.findings import Anomaly, Finding, anomaly_of, confidence_of, score_of
from aiops_assets.engine.detection.histories import of_pod, of_series
from aiops_assets.engine.detection.jumps import find_jumps
from aiops_assets.engine.detection.leaks import leak_of_change, with_leaks
from aiops_assets.engine.detection.limits import OTHERS, above_limits, above_other_limits
from aiops_assets.engine.detection.own_history import MIN_SAMPLES, newest_time
from aiops_assets.engine.detection.recommendations import recommendations
from aiops_assets.engine.detection.row_verdict import CPUS, RowDetector, verdict
from aiops_assets.engine.detection.sent_row import COLUMNS, SentRow, sent_row
from aiops_assets.engine.familiar import is_blip, is_expected_now, is_ordinary, is_settling
from aiops_assets.engine.models import ROW_DETECTOR, WINDOW_DETECTOR, Judge
from aiops_assets.engine.samples import Sample, Series, by_name
from aiops_assets.engine.wording import say
from aiops_assets.errors import DataError
from aiops_assets.judging.statements import Statement
from aiops_assets.learners.contracts import WindowDetector
from aiops_assets.outlook.limits import LIMITS
from aiops_assets.timeseries.catalog import ENGINE_METRICS

DEFAULT_THRESHOLD = 0.5
"""The confidence at a detector's own threshold: by default, everything that any detector flags is reported."""
NO_CONTEXT: Mapping[str, str] = MappingProxyType({})
NOTHING_KNOWN = -math.inf
BELOW = -1.0
"""Excess of a row whose anomalous metrics are expected by their own history."""
SURE_WITHOUT_SCORE = 0.8
"""Confidence that nothing is wrong where only limits and histories were used: they give no distance to their bounds."""


@dataclass(frozen=True)
class Detection:
    """The answer to one request.

    Attributes:
        anomaly_detected: whether an anomaly is reported.
        confidence: 0-1, of the surest anomaly or, without one, that there is none: how far all detectors are below
            their thresholds, times the share of the metrics that were reported; 0 where nothing could be judged.
        anomaly_score: the largest distance from normal of all detectors, also below the threshold: 3 at a detector's
            own threshold, 6 and 12 where an anomaly is high and critical, see
            :func:`~aiops_assets.engine.detection.findings.score_of`.
        recommendations: what to do, the most severe first; empty without an anomaly.
        anomalies: at most one per pod, metric and label set, the surest first.
        total: number of samples of the request, also of unknown names.
        anomalies_found: number of reported anomalies.
        high_severity: number of those that are high or critical.
        judged_by: detectors that were used.
        notes: sentences about samples that could not be judged, or not as of now.
        not_judged: names as sent that nothing is known of: no column, no limit and fewer than ten samples, or a unit
            that is unclear.
    """

    anomaly_detected: bool
    confidence: float
    anomaly_score: float
    recommendations: list[Statement]
    anomalies: list[Anomaly]
    total: int
    anomalies_found: int
    high_severity: int
    judged_by: tuple[Judge, ...]
    notes: tuple[Statement, ...] = ()
    not_judged: tuple[str, ...] = ()


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
    """Detect anomalies among samples; one sample of one name is enough.

    Args:
        samples: samples of any names, in any order; several of one name are its history.
        row_detector: the detector over the 45 columns.
        now: present time with an offset, used for samples without a time. Old samples are judged as of their own time;
            samples more than ten minutes ahead are left out if their name has others.
        threshold: least confidence (0-1) of a reported anomaly; by default 0.5, which reports all of them.
        window: the served ensemble-predictor.
        history: the pod's history, five minutes apart, oldest first: ``timestamp`` (UTC) and the columns of ``window``.
            It is used if its newest row is at most an hour old, for the metrics of the request.
        context: ``namespace`` and ``resource``, for the recommendations.

    Raises:
        DataError: the newest value of a count or a ratio is below 0; some samples of a name have a time and some have
            none; or the threshold is not within 0 and 1.
        ModelError: the row detector gives no score.
    """
    least = DEFAULT_THRESHOLD if threshold is None else threshold
    if not 0.0 <= least <= 1.0:
        raise DataError(f"threshold {least}: a confidence is expected, send a number from 0 to 1")
    timely, notes = without_future(samples, now)
    newest, series = _newest(timely, now)
    reject_impossible(newest)
    notes += notes_of_old(newest, now)
    row = sent_row(newest, series, now)
    if row.unclear:
        notes.append(say("unclear_unit", names=set(row.unclear)))
    if unknown := metrics_without_samples(row):
        notes.append(say("default_sent", names=unknown))
    excess, found, judges = _judged(newest, series, row, row_detector, now)
    if window is not None and history is not None and row.sent:
        of_window = of_pod(window, history, row, now)
        if of_window is not None:
            found += of_window
            judges.append(WINDOW_DETECTOR)

    unjudged = _not_judged(newest, series, row)
    if unknown_names := set(unjudged) - row.unclear:
        notes.append(say("not_judged", names=unknown_names, least=MIN_SAMPLES))
    excess = max([excess, *(one.excess for one in found)])
    score = 0.0 if excess == NOTHING_KNOWN else confidence_of(excess)
    reported = [anomaly for anomaly in _surest(found) if anomaly.confidence >= least]
    well = SURE_WITHOUT_SCORE if excess == NOTHING_KNOWN else 1.0 - score
    confidence = max((one.confidence for one in reported), default=well * _share_reported(row, newest, series))
    return Detection(
        anomaly_detected=bool(reported),
        confidence=confidence,
        anomaly_score=score_of(excess),
        recommendations=recommendations(reported, context),
        anomalies=reported,
        total=len(samples),
        anomalies_found=len(reported),
        high_severity=sum(one.severity in ("high", "critical") for one in reported),
        judged_by=tuple(judges),
        notes=tuple(notes),
        not_judged=unjudged,
    )


def _judged(
    newest: Sequence[Sample], series: Mapping[str, Series], row: SentRow, row_detector: RowDetector, now: datetime
) -> tuple[float, list[Finding], list[Judge]]:
    """The row's excess, the findings of row detector, limits and own histories, and which of these were used."""
    excess, found, judges = NOTHING_KNOWN, list[Finding](), list[Judge]()
    if row.sent:
        calm = _calm(row, series)
        excess, flagged = verdict(row, row_detector)
        found = [one for one in flagged if one.metric not in calm]
        if len(found) < len(flagged):
            excess = max((one.excess for one in found), default=BELOW)
        found += above_limits(row, row_detector.expected.tolist(), series)
        found += leak_of_change(row)
        judged = [name for name, one in series.items() if len(one.values) >= MIN_SAMPLES]
        found += [one for one in find_jumps(row, judged) if one.metric not in calm]
        judges += [ROW_DETECTOR, "limits"]
    elif any(sample.name in OTHERS for sample in newest):
        judges.append("limits")
    found += above_other_limits(newest, row.factors, now, series)
    if any(len(one.values) >= MIN_SAMPLES for one in series.values()):
        found = with_leaks(found + of_series(series.values()), series)
        judges.append("history of the request")
    return excess, found, judges


def _calm(row: SentRow, series: Mapping[str, Series]) -> frozenset[str]:
    """Metrics whose newest value is what their own history in the request lets one expect.

    A level from which on issues are possible is only expected if it was there at this hour on other days.
    """
    calm = set()
    for metric, names in row.sent.items():
        level = row.level(metric)
        if level is None or level.name not in series or any(not one.column.bare for one in names):
            continue
        name, own = ENGINE_METRICS[metric].name, series[level.name]
        limit = LIMITS.get(name)
        usual = is_ordinary(level.value, own.values[:-1]) and (
            limit is None or level.value / level.factor < limit.warning
        )
        if usual or is_expected_now(own) or is_blip(own) or (name in CPUS and is_settling(own.values)):
            calm.add(name)
    return frozenset(calm)


def _not_judged(newest: Iterable[Sample], series: Mapping[str, Series], row: SentRow) -> tuple[str, ...]:
    """Names that no detector can judge, in the order sent."""
    return tuple(
        one.name
        for one in newest
        if one.name in row.unclear
        or (
            one.name not in COLUMNS
            and one.name not in OTHERS
            and (one.name not in series or len(series[one.name].values) < MIN_SAMPLES)
        )
    )


def _share_reported(row: SentRow, newest: Iterable[Sample], series: Mapping[str, Series]) -> float:
    others = [one.name for one in newest if one.name not in COLUMNS and one.name not in row.unclear]
    judged = [name in OTHERS or (name in series and len(series[name].values) >= MIN_SAMPLES) for name in others]
    return share_reported(row, sum(judged))


def _newest(samples: Sequence[Sample], now: datetime) -> tuple[list[Sample], dict[str, Series]]:
    """The newest sample of each name, and the series of those that have several."""
    names = {sample.name for sample in samples}
    if len(names) == len(samples):
        return list(samples), {}
    series = by_name(samples, now)
    newest = []
    for name, one in series.items():
        newest.append(Sample(name, float(one.values[-1]), newest_time(one) if one.timed else now))
    return newest, {name: one for name, one in series.items() if len(one.values) > 1}


def _surest(found: Iterable[Finding]) -> list[Anomaly]:
    """One anomaly per metric, the surest first; its reason is a reached limit if there is one: that is plainest."""
    by_metric: dict[str, list[Finding]] = {}
    for one in found:
        by_metric.setdefault(one.metric, []).append(one)
    best = []
    for of_metric in by_metric.values():
        plainest = max(of_metric, key=lambda one: (one.judge == "limits", one.excess))
        best.append(replace(plainest, excess=max(one.excess for one in of_metric)))
    return [anomaly_of(one) for one in sorted(best, key=lambda one: -one.excess)]
