"""Looks at simulated metrics, as the pipeline takes them: the newest 24 hours, again and again."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

import numpy as np

from aiops_assets.datasets.drift import episode
from aiops_assets.storage.drift import DriftReport
from aiops_assets.timeseries.day_drift import LINGERING, MetricDrift, day_drift
from aiops_assets.timeseries.drift_profile import Integers, Profile, profile_of
from aiops_assets.timeseries.series import DAY_SECONDS, Floats

METRICS = 5
"""Of a simulated cluster."""


def trained(seconds: Integers, values: Floats, until: int, step_seconds: int = 300) -> Profile:
    """The profile of what lies before ``until``."""
    before = seconds < until
    profile = profile_of(seconds[before], values[before], step_seconds)
    assert profile
    return profile


def look(profile: Profile, seconds: Integers, values: Floats, at: int, metrics: int = METRICS) -> MetricDrift | None:
    """The look at the day before ``at``."""
    begin, end = np.searchsorted(seconds, [at - DAY_SECONDS, at])
    return day_drift(profile, seconds[begin:end], values[begin:end], metrics)


def weights(profile: Profile, seconds: Integers, values: Floats, times: Iterable[int]) -> list[float]:
    """How heavy the drift of each look is; above 1 it is one."""
    found = [look(profile, seconds, values, at) for at in times]
    return [one.weight if one else 0.0 for one in found]


def drifts(profile: Profile, seconds: Integers, values: Floats, times: Iterable[int]) -> list[bool]:
    """Whether each look sees a drift."""
    return [weight > 1.0 for weight in weights(profile, seconds, values, times)]


def alarms(times: Sequence[int], heaviest: Sequence[float]) -> int:
    """How many drifts begin, by the rule of the pipeline; ``heaviest`` is the largest weight of all metrics."""
    before, count = None, 0
    for at, weight in zip(times, heaviest, strict=True):
        now = datetime.fromtimestamp(at, UTC)
        since, seen = episode(weight > 1.0, weight >= LINGERING, now, before)
        count += since == now
        before = DriftReport(when=now, champions={}, since=since, seen=seen)
    return count
