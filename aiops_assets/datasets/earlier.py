"""Days before a training window: forecasters also learn from them where the lake holds them; training works without.

A server keeps a fortnight, a lake everything. So the window stays as short as the shortest retention, it alone is
fetched and judged by its coverage, and what lies before it in the lake comes for nothing.
"""

from collections.abc import Sequence
from datetime import date, timedelta

from aiops_assets.datasets.window import read_window
from aiops_assets.storage.lake import Lake
from aiops_assets.timeseries.catalog import MetricSpec
from aiops_assets.timeseries.quality import FULL_DAY


def with_earlier_days(lake: Lake, window: Sequence[date], metrics: Sequence[MetricSpec], most: int) -> list[date]:
    """A window, and before it the unbroken days of which the lake holds all metrics.

    A window that lacks more than :data:`~aiops_assets.timeseries.quality.FULL_DAY` allows stays alone: full days beside
    it would hide that from whoever looks at its coverage.

    Args:
        lake: the lake.
        window: days of the window, oldest first.
        metrics: metrics that a day must have, each with the coverage of a full day.
        most: how many earlier days are wanted at most.

    Raises:
        IntegrityError: the days are of several clusters.
    """
    if not most or read_window(lake, window, metrics).coverage.share < FULL_DAY:
        return list(window)
    earlier = [window[0] - timedelta(days=back) for back in range(1, most + 1)]
    found = read_window(lake, earlier, metrics)
    closed = {date.fromisoformat(day.day) for day in found.found if day.closed}
    days = list(window)
    for day in earlier:
        if day not in closed or any(shares[day] < FULL_DAY for shares in found.coverage.shares.values()):
            break
        days.insert(0, day)
    return days
