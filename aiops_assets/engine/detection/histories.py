"""Findings from histories: each name's own in the request, and the pod's in the lake."""

from collections.abc import Iterable
from datetime import datetime, timedelta

import numpy as np
import pandas as pd

from aiops_assets.engine.detection.findings import Finding
from aiops_assets.engine.detection.limits import RESTARTING, UNITS
from aiops_assets.engine.detection.own_history import Deviation, alert_excess, newest_deviation
from aiops_assets.engine.detection.row_verdict import MIN_SHARE, kind_of
from aiops_assets.engine.detection.sent_row import SentRow
from aiops_assets.engine.familiar import is_blip, is_expected_now
from aiops_assets.engine.models import WINDOW_DETECTOR
from aiops_assets.engine.samples import MEANINGS, Series, unit_factor
from aiops_assets.errors import DataError, ModelError
from aiops_assets.learners.contracts import WindowDetector
from aiops_assets.outlook.limits import LIMITS
from aiops_assets.timeseries.catalog import ENGINE_METRICS, RESTARTS

MAX_HISTORY_AGE = timedelta(hours=1)
"""Largest age of the newest row of a pod's history that is used."""
STEADY = frozenset(
    (
        *("node_cpu_utilization", "pod_cpu_usage", "cluster_cpu_usage", "cpu_usage_percent"),
        *("node_memory_utilization", "pod_memory_usage", "cluster_memory_usage", "memory_usage_percent"),
    )
)
"""Metrics of load: a level of theirs that is healthy is never reported."""
STEADY_RATIO, SUDDEN_RATIO = 3.0, 2.0
"""A healthy new level of CPU or memory is no anomaly up to so many times the level before: where three samples have it,
as after a roll-out or scaling; and where a single sample has it."""


def of_series(series: Iterable[Series]) -> list[Finding]:
    """Findings about the newest sample of each name, compared with its own history in the request."""
    found = []
    for one in series:
        meaning = MEANINGS.get(one.name)
        metric = one.name if meaning is None else meaning.metric.name
        deviation = newest_deviation(one, counter=meaning is not None and meaning == MEANINGS[RESTARTS.name])
        if deviation is None or is_expected_now(one) or is_blip(one):
            continue
        factor = unit_factor(UNITS.get(metric, ""), one.values.tolist())
        if _is_healthy(metric, deviation, factor):
            continue
        above = deviation.value >= deviation.expected
        kind = kind_of(metric, deviation.value / factor, above)
        if metric == RESTARTS.name:
            if not above:
                continue  # fewer restarts than expected are not reported
            kind = "restart_storm" if deviation.value - deviation.expected >= RESTARTING.bound else "restart"
        elif deviation.lasting and kind in ("burst", "drop"):
            kind = "level_shift"
        how = "an ensemble fitted on them" if deviation.learned else "a robust deviation from their median"
        reason = (
            f"{one.name} is {deviation.value:.4g}, expected {deviation.expected:.4g}: "
            f"it does not fit the {deviation.samples} samples before it, judged by {how}."
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
                deviation.limit,
            )
        )
    return found


def _is_healthy(metric: str, deviation: Deviation, factor: float) -> bool:
    """Whether CPU or memory has another level that is healthy and not far from the one before."""
    limit = LIMITS.get(metric)
    if limit is None or metric not in STEADY or deviation.value / factor > limit.healthy or deviation.value <= 0:
        return False
    ratio = max(deviation.value, deviation.expected) / max(min(deviation.value, deviation.expected), 1e-12)
    return ratio <= (STEADY_RATIO if deviation.lasting else SUDDEN_RATIO)


def of_pod(window: WindowDetector, history: pd.DataFrame, row: SentRow, now: datetime) -> list[Finding] | None:
    """Findings of the window detector about the newest row; ``None`` where it cannot be used."""
    if not len(history) or now - history["timestamp"].iloc[-1] > MAX_HISTORY_AGE:
        return None
    try:
        scored = window.score(history)
    except (DataError, ModelError):
        return None  # another step, or a metric that the cluster lacks: the other detectors judge
    if not scored.alert[-1]:
        return []
    shares = dict(zip(window.columns, scored.contributions[-1].tolist(), strict=True))
    first = max(shares, key=shares.__getitem__)
    excess = alert_excess(scored, len(scored.score) - 1)
    found = []
    for metric, spec in enumerate(ENGINE_METRICS):
        level = row.level(metric)
        share = shares.get(spec.name, 0.0)
        if level is None or (spec.name != first and share < MIN_SHARE):
            continue
        column = history[spec.name].to_numpy(dtype=np.float64)
        known = column[np.isfinite(column)]
        if not len(known):
            continue
        usual = float(np.median(known))
        kind = "restart" if spec is RESTARTS else kind_of(spec.name, float(known[-1]), bool(known[-1] >= usual))
        reason = (
            f"{level.name}: by the ensemble-predictor, the pod deviates from the {len(history)} rows of its history; "
            f"this metric contributes {share:.0%} of that, and its median there is {usual:.4g}."
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
                WINDOW_DETECTOR,
            )
        )
    return found
