"""Counts the restarts in a series of a cumulative count."""

import numpy as np

from aiops_assets.engine.familiar import HUGE
from aiops_assets.engine.samples import Series
from aiops_assets.timeseries.series import Floats

MIN_DOUBLED = 2.0
"""Least count whose doubling within one sample is taken for a second copy of the series."""


def newest_restarts(series: Series, hours: float = 1.0) -> tuple[float, float]:
    """Restarts within the newest hours, and the hours that these samples span.

    With one sample in that time the one before it is used, too.
    """
    age: Floats = (series.times[-1] - series.times) / np.timedelta64(1, "h")
    if len(age) < 2:
        return 0.0, 0.0
    first = min(int(np.argmax(age <= hours)), len(age) - 2)
    return float(restarts_of(series.values)[first + 1 :].sum()), float(age[first])


def restarts_of(count: Floats) -> Floats:
    """(n,) restarts since the sample before; the first is 0.

    A count that comes back to what it was had no restarts: while kube-state-metrics is rolled out there are two copies
    of each series, whose sum is twice the count. So a count that doubles within one sample has none either, until it
    goes on. The count of a pod that was replaced begins again at 0, and those before were restarts.

    Args:
        count: (n,) cumulative, oldest first.
    """
    count = np.clip(count, -HUGE, HUGE)
    found = np.maximum(np.diff(count, prepend=count[:1]), 0.0)
    for i in range(1, len(count)):
        if count[i] < count[i - 1] and count[i] > 0:
            same = np.flatnonzero(count[:i] == count[i])
            if len(same):
                found[same[-1] + 1 : i] = 0.0
        elif count[i - 1] >= MIN_DOUBLED and count[i] == 2 * count[i - 1]:
            found[i] = 0.0
    return found
