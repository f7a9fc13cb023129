"""Scores of the newest rows of many entities at once, and what has to be kept of the rows before.

The same scores as those of :meth:`DeviationDetector.score` for each entity alone, up to rounding. What a row needs of
the past are raw rows (:mod:`newest_deviations`) and a :class:`Memory` of fixed width an entity: means that are weighted
exponentially, the last hours of terms, the scores so far, and how the alert rule stands. All of it is a function of the
rows since the entity's begin, so that a memory may be thrown away at any time and is made again from them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from aiops_assets.learners.contracts import Flags
from aiops_assets.learners.detectors.deviation_detector import Calibration, DeviationDetector, unusual_now
from aiops_assets.learners.detectors.deviation_scores import (
    QUIET_SHARE,
    SCALE_HALF_LIFE_HOURS,
    bounded,
    ratios_to,
    shares,
    total,
)
from aiops_assets.learners.detectors.online_spread import SpreadMemory, is_short, mixed, running_total
from aiops_assets.learners.detectors.raw_rows import RawRows, Read
from aiops_assets.learners.detectors.running_alerts import AlertMemory, running_alerts
from aiops_assets.learners.detectors.running_means import weighted_before
from aiops_assets.timeseries.frames import Grid
from aiops_assets.timeseries.series import Floats

Positions = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Memory:
    """What is kept of the rows so far; the first axis of each array are entities.

    Attributes:
        rows: (n,) rows since the begin.
        scale_mean, scale_weight: (n, n_kinds, n_columns) of bounded deviations.
        day_mean, day_weight: (n, n_kinds_of_contributions, n_columns) of ratios.
        terms: (n, n_terms, n_smoothed) means over the metrics of the last rows, 0 before the begin.
        alerts: of the alert rule.
        spread: of terms, for ranking after less than a day of training.
    """

    rows: Positions
    scale_mean: Floats
    scale_weight: Floats
    day_mean: Floats
    day_weight: Floats
    terms: Floats
    alerts: AlertMemory
    spread: SpreadMemory

    def arrays(self) -> dict[str, npt.NDArray[np.generic]]:
        """All arrays by name, those of its parts too."""
        found = {name: getattr(self, name) for name in _OWN}
        for prefix, part in (("alert_", self.alerts), ("", self.spread)):
            found |= {f"{prefix}{field.name}": getattr(part, field.name) for field in fields(part)}
        return found

    @classmethod
    def of(cls, arrays: Mapping[str, npt.NDArray[np.generic]]) -> "Memory":
        """Made of :meth:`arrays`; raises KeyError where one is missing."""
        own = {name: arrays[name] for name in _OWN}
        alerts = {field.name: arrays[f"alert_{field.name}"] for field in fields(AlertMemory)}
        spread = {field.name: arrays[field.name] for field in fields(SpreadMemory)}
        return cls(**own, alerts=AlertMemory(**alerts), spread=SpreadMemory(**spread))  # type: ignore[arg-type]


_OWN = tuple(field.name for field in fields(Memory) if field.name not in ("alerts", "spread"))


@dataclass(frozen=True)
class Newest:
    """Scores of the newest rows of some entities.

    Attributes:
        score, now: (n_rows, n_entities), NaN before an entity begins.
        alert: (n_rows, n_entities), False there.
        contributions: (n_rows, n_entities, n_columns).
    """

    score: Floats
    now: Floats
    alert: Flags
    contributions: Floats


def can_run(detector: object) -> bool:
    """Whether a fitted detector is one whose newest rows can be scored alone; files of the first format are not."""
    return isinstance(detector, DeviationDetector) and detector.runs


def newest_scores(
    detector: DeviationDetector, raw: RawRows, begins: Positions, first: int, memory: Memory | None
) -> tuple[Newest, Memory]:
    """Scores of the rows from ``first`` on, and the memory after the last one.

    Args:
        detector: a fitted detector for which :func:`can_run` holds.
        raw: n_rows of n_entities at the cadence of training.
        begins: (n_entities,) the row at which each begins; what is before it is not read.
        first: the first row that the memory does not know.
        memory: after the row before ``first``; ``None``: all entities begin at ``first`` or later.
    """
    calibration = detector.calibration
    n_rows, n_entities, n_columns = raw.shape
    memory = memory or _begun(detector, calibration, n_entities)
    rows = np.arange(first, n_rows)[:, np.newaxis]
    active = rows >= begins
    seen = np.maximum(rows - begins, 0)
    read = Read(raw, begins, detector.increases)
    values = read.part(first, n_rows)
    found = detector.newest_deviations(read, first)
    grid = Grid(values[:0, 0], np.arange(0), calibration.step_seconds)

    stacked = np.stack([found[kind] for kind in detector.kinds], axis=2)
    quantile, mean = calibration.quantile, calibration.mean
    alpha = 1 - 0.5 ** (1 / grid.rows(SCALE_HALF_LIFE_HOURS))
    lately, scale = weighted_before(bounded(stacked, quantile, mean), memory.scale_mean, memory.scale_weight, alpha)
    ratios = ratios_to(stacked, lately, seen[..., np.newaxis, np.newaxis], quantile, mean, grid)
    of_kind = {kind: ratios[:, :, i].reshape(-1, n_columns) for i, kind in enumerate(detector.kinds)}

    means = np.stack([shares(of_kind[term.kind], term.over).sum(axis=1) for term in detector.terms], axis=1)
    means = np.where(active[..., np.newaxis], means.reshape(*active.shape, -1), 0.0)
    smoothed, terms = _smoothed(means, seen, memory.terms, [grid.rows(hours) for hours in calibration.hours])
    flat = smoothed.reshape(-1, smoothed.shape[2])
    score = total(flat, calibration.middle, calibration.spread, detector.most_term).reshape(active.shape)
    known = np.isfinite(values).any(axis=2)
    score = np.where(active, np.where(known, score, calibration.scores[0]), np.nan)
    now = unusual_now(of_kind, calibration)
    assert now is not None
    now = np.where(active, now.reshape(active.shape), np.nan)
    alert, alerts = running_alerts(score, now, seen, calibration, grid, detector.alert_budget, memory.alerts)
    spread = memory.spread
    if is_short(calibration.rows, calibration.step_seconds):
        since_begin = np.where(active[..., np.newaxis], smoothed, np.nan)
        online, spread = running_total(since_begin, calibration.spread, detector.most_term, grid, spread)
        score = np.where(active & known, mixed(score, online), score)
    parts, day = _contributions(detector, ratios, active, memory, 1 - 0.5 ** (1 / grid.rows(24)))
    rows_after = memory.rows + active.sum(axis=0)
    return Newest(score, now, alert & known, parts), Memory(rows_after, *scale, *day, terms, alerts, spread)


def _begun(detector: DeviationDetector, calibration: Calibration, n: int) -> Memory:
    """The memory of entities that have no row yet."""
    kinds, columns = calibration.quantile.shape
    own = (n, len(detector.kinds_of_contributions), columns)
    grid = Grid(np.zeros((0, columns)), np.arange(0), calibration.step_seconds)
    longest = max(grid.rows(hours) for hours in calibration.hours)
    return Memory(
        np.zeros(n, dtype=np.int64),
        np.full((n, kinds, columns), np.nan),
        np.ones((n, kinds, columns)),
        np.full(own, np.nan),
        np.ones(own),
        np.zeros((n, len(detector.terms), longest - 1)),
        AlertMemory.begun(n, grid),
        SpreadMemory.begun(n, len(detector.terms)),
    )


def _smoothed(means: Floats, seen: Positions, before: Floats, spans: list[int]) -> tuple[Floats, Floats]:
    """(n_rows, n_entities, n_terms) means of each term over its last rows, and what the next rows need."""
    kept = before.shape[2]
    together = np.concatenate([before.transpose(2, 0, 1), means])
    result = np.empty_like(means)
    for i, span in enumerate(spans):
        if span == 1:
            result[..., i] = means[..., i]
            continue
        part = np.lib.stride_tricks.sliding_window_view(together[kept - span + 1 :, :, i], span, axis=0)
        result[..., i] = part.sum(axis=-1) / np.minimum(seen + 1, span)
    return result, together[len(together) - kept :].transpose(1, 2, 0)


def _contributions(
    detector: DeviationDetector, ratios: Floats, active: Flags, memory: Memory, alpha: float
) -> tuple[Floats, tuple[Floats, Floats]]:
    """(n_rows, n_entities, n_columns), as :func:`deviation_scores.contributions` has them."""
    at = [detector.kinds.index(kind) for kind in detector.kinds_of_contributions]
    ratio = np.where(active[..., np.newaxis, np.newaxis], np.nan_to_num(ratios[:, :, at], nan=0.0), np.nan)
    recent, day = weighted_before(ratio, memory.day_mean, memory.day_weight, alpha)
    strength = (np.nan_to_num(ratio, nan=0.0) / (np.nan_to_num(recent, nan=0.0) + QUIET_SHARE)) ** 2
    together = strength.sum(axis=2)
    whole = together.sum(axis=2, keepdims=True)
    return together / np.where(whole > 0, whole, 1.0), day
