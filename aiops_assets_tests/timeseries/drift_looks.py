"""Looks at simulated metrics, as the pipeline takes them: the newest 24 hours, again and again."""

from collections.abc import Iterable, Sequence

import numpy as np

from aiops_assets.timeseries.day_drift import MetricDrift, day_drift
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


def drifts(profile: Profile, seconds: Integers, values: Floats, times: Iterable[int]) -> list[bool]:
    """Whether each look sees a drift."""
    return [bool((found := look(profile, seconds, values, at)) and found.drifted) for at in times]


def alarms(times: Sequence[int], drifted: Sequence[bool]) -> int:
    """How many drifts begin; one ends after a day without, as in the pipeline."""
    seen, count = None, 0
    for at, now in zip(times, drifted, strict=True):
        if now:
            count += seen is None or at - seen > DAY_SECONDS
            seen = at
    return count
