"""How good scores and alerts of one labelled series are, and what that is over many series.

Ranking is judged by the score alone: VUS-PR (Paparrizos et al., "Volume Under the Surface", PVLDB 15, 2022) and
average precision. What people would have experienced is judged by the alerts: events, false alarms, delay.
An *event* is an unbroken run of anomalous samples. Its *buffer* is the ``L // 2`` samples before and after it,
where ``L`` is the median length of the series' events, at least 4 samples and at most 1 hour: an alert there is
no false alarm, since the edges of labels are guesses.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt
import pandas as pd

from aiops_assets.errors import DataError
from aiops_assets.learners.contracts import Flags
from aiops_assets.timeseries.series import Floats

Positions = npt.NDArray[np.int64]

THRESHOLDS = 250
"""Precision and recall are taken at so many thresholds, spread evenly over the ranks of the scores, as in the authors'
own package."""
MIN_BUFFER_SAMPLES = 4
MAX_BUFFER_SECONDS = 3600
DAY_SECONDS = 86_400
FLAGS = ["alert", "page"]


@dataclass(frozen=True)
class DetectionFigures:
    """How good a detector is on a labelled series, or the mean over several. Shares are 0-1.

    ``None`` is a figure that does not exist: quality without events, a delay without a caught event.

    Attributes:
        rows, events: how many were judged (over several series: their sums).
        vus_pr: volume under the surface of precision and recall with buffers of 0 to L samples.
        auc_pr: average precision of the score (random: the share of anomalous rows).
        event_f1: harmonic mean of event precision and event recall.
        event_precision: share of alerted samples that lie in an event or its buffer; 0 without alerts.
        event_recall: share of events with at least one alert inside.
        false_alarms_per_day: episodes of alerts outside events and buffers, those less than L // 2 + 1 samples
            apart counted as one, a day of normal time.
        normal_time_under_alert: share of the samples outside events and buffers that are alerted.
        delay_minutes: median time from an event's first sample to its first alert, over the events caught.
        page_recall: share of events with at least one page inside.
        false_pages_per_day: episodes of pages outside events and buffers, those up to an hour apart counted as one, a
            day of the time outside events and buffers.
        fault_free_days: that time, in days.
    """

    rows: int
    events: int
    vus_pr: float | None
    auc_pr: float | None
    event_f1: float | None
    event_precision: float | None
    event_recall: float | None
    false_alarms_per_day: float | None
    normal_time_under_alert: float | None
    delay_minutes: float | None
    page_recall: float | None = None
    false_pages_per_day: float | None = None
    fault_free_days: float | None = None

    def as_metrics(self) -> dict[str, float]:
        """Flat name -> number, without what is not known."""
        return {f.name: float(value) for f in fields(self) if (value := getattr(self, f.name)) is not None}


@dataclass(frozen=True)
class MacroFigures:
    """Figures over many series: the mean in each data set, and the plain mean over data sets."""

    datasets: dict[str, DetectionFigures]
    macro: DetectionFigures


@dataclass(frozen=True)
class Events:
    """Unbroken runs of true samples: they begin at ``starts``, and ``stops`` are the first samples after them."""

    starts: Positions
    stops: Positions
    n_samples: int

    @classmethod
    def of(cls, flags: Flags) -> "Events":
        """The runs in (n_samples,) flags."""
        edges = np.flatnonzero(np.diff(flags, prepend=False, append=False))
        return cls(edges[::2], edges[1::2], len(flags))

    def __len__(self) -> int:
        return len(self.starts)

    def __iter__(self) -> Iterator[slice]:
        return (slice(start, stop) for start, stop in zip(self.starts, self.stops, strict=True))

    def widened(self, margin: int) -> Flags:
        """(n_samples,) true in the runs and up to ``margin`` samples beside them."""
        steps = np.zeros(self.n_samples + 1, dtype=np.int64)
        np.add.at(steps, np.maximum(self.starts - margin, 0), 1)
        np.add.at(steps, np.minimum(self.stops + margin, self.n_samples), -1)
        return np.cumsum(steps[:-1]) > 0


def detection_figures(
    labels: npt.ArrayLike,
    scores: npt.ArrayLike,
    alerts: npt.ArrayLike,
    step_seconds: int,
    pages: npt.ArrayLike | None = None,
) -> DetectionFigures:
    """Judge scores and alerts of one series, in order of time.

    Args:
        labels: (n_rows,) true or 1 where the row is anomalous.
        scores: (n_rows,) higher is more anomalous; what is not finite counts as the lowest.
        alerts: (n_rows,) true or 1 where people would have been alerted.
        step_seconds: distance of two rows.
        pages: (n_rows,) true or 1 where somebody would have been called; ``None``: pages are not judged.

    Raises:
        DataError: no rows, lengths that differ, or no positive step.
    """
    judged = (labels, alerts, alerts if pages is None else pages)
    truth, alerted, paging = (np.atleast_1d(np.asarray(flags)).astype(np.bool_) for flags in judged)
    values = _lowest_for_unknown(np.atleast_1d(np.asarray(scores, dtype=np.float64)))
    if not len(truth) or not truth.shape == alerted.shape == paging.shape == values.shape or step_seconds < 1:
        shapes = f"labels {truth.shape}, scores {values.shape}, alerts {alerted.shape}"
        raise DataError(
            f"{shapes}, {step_seconds} s apart: one of each for every row, and at least 1 s, are needed",
            code="unequal_lengths",
            lengths=(len(truth), len(values), len(alerted)),
            step_seconds=step_seconds,
        )
    events = Events.of(truth)
    buffer = buffer_samples(events, step_seconds)
    near = events.widened(buffer // 2)
    normal_days = int((~truth).sum()) * step_seconds / DAY_SECONDS
    episodes = _episodes(alerted & ~near, buffer // 2)
    of_alerts = _of_alerts(events, near, alerted, step_seconds)
    return DetectionFigures(
        rows=len(truth),
        events=len(events),
        vus_pr=vus_pr(truth, values, buffer) if len(events) else None,
        auc_pr=_average_precision(truth, values) if len(events) else None,
        **of_alerts,
        false_alarms_per_day=episodes / normal_days if normal_days else 0.0,
        normal_time_under_alert=_share(alerted[~near]),
        **({} if pages is None else _of_pages(events, near, paging, step_seconds)),
    )


def figures_of_frames(labels: pd.DataFrame, scored: pd.DataFrame) -> DetectionFigures:
    """Judge the test rows of a labelled series.

    Args:
        labels: ``timestamp``, ``split`` and ``label`` of each row.
        scored: ``timestamp``, ``score``, ``alert`` and, to be judged, ``page``, in any order; of a repeated time the
            first counts, and a row that is missing has the lowest score, no alert and no page.

    Raises:
        DataError: no test row.
    """
    ordered = labels.sort_values("timestamp", kind="stable")
    unit = ordered["timestamp"].dtype
    found = scored.assign(timestamp=scored["timestamp"].astype(unit)).drop_duplicates("timestamp")
    joined = found.set_index("timestamp").reindex(ordered["timestamp"])
    test = (ordered["split"] == "test").to_numpy()
    if not test.any():
        raise DataError("no row is of the split test: there is nothing to judge", code="no_test_row")
    steps = ordered["timestamp"].diff().dt.total_seconds()
    flags = joined[joined.columns.intersection(FLAGS)].astype(np.float64).fillna(0.0)[test] > 0.5
    return detection_figures(
        ordered["label"].to_numpy()[test],
        _lowest_for_unknown(joined["score"].to_numpy(dtype=np.float64))[test],
        flags["alert"].to_numpy(),
        int(steps.median()) if len(steps) > 1 else 0,
        flags["page"].to_numpy() if "page" in flags else None,
    )


def aggregate(figures: Mapping[str, DetectionFigures]) -> MacroFigures:
    """Figures over many series: the mean in each data set, then the plain mean over data sets.

    Args:
        figures: ``<set>__<series>`` -> its figures, at least one; what is ``None`` is left out of a mean.
    """
    members: dict[str, list[DetectionFigures]] = {}
    for name, one in figures.items():
        members.setdefault(name.partition("__")[0], []).append(one)
    datasets = {dataset: _mean(members[dataset]) for dataset in sorted(members)}
    return MacroFigures(datasets, _mean(list(datasets.values())))


def buffer_samples(events: Events, step_seconds: int) -> int:
    """``L`` in samples: the median length of the events, at least 4 samples and at most 1 hour."""
    if not len(events):
        return MIN_BUFFER_SAMPLES
    hour = max(MAX_BUFFER_SECONDS // step_seconds, MIN_BUFFER_SAMPLES)
    return int(min(hour, max(MIN_BUFFER_SAMPLES, np.median(events.stops - events.starts))))


def vus_pr(labels: Flags, scores: Floats, buffer: int) -> float:
    """Volume under the surface of precision and recall, the authors' version 'opt'.

    For each width w of 0 to ``buffer``, samples within w // 2 of an event count as partly anomalous,
    ``sqrt(1 - distance / w)``; recall is multiplied with the share of the widened events that are touched. The
    volume is the mean over widths of the area under precision and recall at 250 thresholds. Only the samples in
    buffers change from width to width, so only they are looked at again: each falls into the bin of the first
    threshold that it reaches.

    Args:
        labels: (n_samples,) at least one true.
        scores: (n_samples,) finite.
        buffer: L, in samples.
    """
    events = Events.of(labels)
    descending = np.sort(scores)[::-1]
    thresholds = descending[np.linspace(0, len(scores) - 1, THRESHOLDS).astype(np.int64)]
    predicted = np.searchsorted(-descending, -thresholds, side="right")
    reached = np.searchsorted(-thresholds, -scores, side="left")
    hits = np.cumsum(np.bincount(reached[labels], minlength=THRESHOLDS))
    around = _Surroundings(events, labels, buffer // 2)
    areas = []
    for width in range(buffer + 1):
        partly = np.bincount(reached[around.samples], weights=around.ramp(width), minlength=THRESHOLDS)
        gained = np.cumsum(partly)
        recall = np.minimum((hits + gained) / (labels.sum() + gained / 2), 1.0)
        recall *= _touched(events, scores, thresholds, width // 2)
        areas.append(np.diff(recall, prepend=0.0) @ ((hits + gained) / predicted))
    return float(np.mean(areas))


class _Surroundings:
    """The normal samples within reach of events, and how anomalous each counts for a width.

    Attributes:
        samples: (n,) their positions, each once.
    """

    def __init__(self, events: Events, labels: Flags, reach: int) -> None:
        away = np.arange(1, reach + 1)[:, np.newaxis]
        positions = np.concatenate([(events.stops - 1 + away), (events.starts - away)], axis=1)
        distances = np.broadcast_to(away, positions.shape).ravel()
        positions = positions.ravel()
        inside = (positions >= 0) & (positions < len(labels))
        inside[inside] = ~labels[positions[inside]]
        # Row by row, so in order of distance: a width takes a prefix.
        self._distances = distances[inside]
        self.samples, self._which = np.unique(positions[inside], return_inverse=True)

    def ramp(self, width: int) -> Floats:
        """(n,) 0-1; a sample between two events has what both give it, at most 1."""
        near = np.searchsorted(self._distances, width // 2, side="right")
        weights = np.sqrt(1.0 - self._distances[:near] / max(width, 1))
        return np.minimum(np.bincount(self._which[:near], weights=weights, minlength=len(self.samples)), 1.0)


def _touched(events: Events, scores: Floats, thresholds: Floats, margin: int) -> Floats:
    """(n_thresholds,) share of the events, widened by ``margin`` and joined where they meet, that reach each."""
    apart = events.starts[1:] - events.stops[:-1] >= 2 * margin
    begins = np.maximum(events.starts[np.concatenate([[True], apart])] - margin, 0)
    ends = np.minimum(events.stops[np.concatenate([apart, [True]])] + margin, events.n_samples)
    bounds = np.column_stack([begins, ends]).ravel()
    # An end may be one past the last sample, which reduceat does not take.
    highest = np.maximum.reduceat(np.append(scores, -np.inf), bounds)[::2]
    first = np.searchsorted(-thresholds, -highest, side="left")
    return np.cumsum(np.bincount(first, minlength=len(thresholds))) / len(highest)


def _of_alerts(events: Events, near: Flags, alerted: Flags, step_seconds: int) -> dict[str, float | None]:
    if not len(events):
        return dict.fromkeys(("event_f1", "event_precision", "event_recall", "delay_minutes"))
    waits = [int(alerted[event].argmax()) for event in events if alerted[event].any()]
    precision, recall = _share(near[alerted]), len(waits) / len(events)
    return {
        "event_f1": 2 * precision * recall / (precision + recall) if precision and recall else 0.0,
        "event_precision": precision,
        "event_recall": recall,
        "delay_minutes": float(np.median(waits)) * step_seconds / 60 if waits else None,
    }


def _of_pages(events: Events, near: Flags, paging: Flags, step_seconds: int) -> dict[str, float | None]:
    days = int((~near).sum()) * step_seconds / DAY_SECONDS
    pause = max(MAX_BUFFER_SECONDS // step_seconds, 1) - 1
    return {
        "page_recall": float(np.mean([paging[event].any() for event in events])) if len(events) else None,
        "false_pages_per_day": _episodes(paging & ~near, pause) / days if days else 0.0,
        "fault_free_days": days,
    }


def _episodes(flags: Flags, longest_gap: int) -> int:
    """How many runs there are, where those up to ``longest_gap`` samples apart are one."""
    runs = Events.of(flags)
    return int((runs.starts[1:] - runs.stops[:-1] > longest_gap).sum()) + min(len(runs), 1)


def _average_precision(labels: Flags, scores: Floats) -> float:
    from sklearn.metrics import average_precision_score

    return float(average_precision_score(labels, scores))


def _lowest_for_unknown(scores: Floats) -> Floats:
    known = np.isfinite(scores)
    return np.where(known, scores, scores[known].min() if known.any() else 0.0)


def _share(flags: Flags) -> float:
    return float(flags.mean()) if len(flags) else 0.0


def _mean(several: list[DetectionFigures]) -> DetectionFigures:
    means: dict[str, float | None] = {}
    for name in (field.name for field in fields(DetectionFigures)[2:]):
        known = [value for one in several if (value := getattr(one, name)) is not None]
        means[name] = sum(known) / len(known) if known else None
    return DetectionFigures(sum(one.rows for one in several), sum(one.events for one in several), **means)
