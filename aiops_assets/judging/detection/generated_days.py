"""Judging a served row detector on generated, labelled days that it never saw."""

import itertools

import numpy as np

from aiops_assets.judging.detection.figures import Figures, judge
from aiops_assets.learners.detectors.isolation_forest import scored_rows
from aiops_assets.timeseries.features import FEATURES, row_mask
from aiops_assets.timeseries.series import KINDS, PodSeries
from aiops_assets.views.pod_features import label_frame


def judge_generated(pipeline: object, series: PodSeries) -> tuple[Figures, dict[str, float]]:
    """Judge a served row detector on labelled series that it never saw.

    Returns:
        figures over rows, and kind -> share of its episodes in which at least one row raises an alarm.
    """
    taken = row_mask(series)
    rows = label_frame(series, taken, 0, source="synthetic")
    scored = scored_rows(pipeline, rows[list(FEATURES)].to_numpy())
    figures = judge(scored, rows)
    alarms = np.zeros(taken.shape, dtype=bool)
    minutes, pods = np.nonzero(taken.T)
    alarms[pods, minutes] = scored.alert
    caught: dict[str, list[bool]] = {}
    for pod, kinds in enumerate(series.kind):
        edges = np.flatnonzero(np.diff(kinds, prepend=0, append=0))
        for begin, end in itertools.pairwise(edges):
            if kinds[begin] and taken[pod, begin:end].any():
                caught.setdefault(KINDS[kinds[begin]], []).append(bool(alarms[pod, begin:end].any()))
    return figures, {kind: float(np.mean(flags)) for kind, flags in sorted(caught.items())}
