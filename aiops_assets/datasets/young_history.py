"""Whether a cluster's history has only begun: too short to train on, and without a fault."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from aiops_assets.datasets.notes import Note
from aiops_assets.datasets.window import Window, read_window
from aiops_assets.storage.lake import Lake
from aiops_assets.timeseries.catalog import MetricSpec
from aiops_assets.timeseries.quality import too_little


def young_history(
    lake: Lake, window: Window, metrics: Sequence[MetricSpec], least: float, now: datetime
) -> Note | None:
    """A note where the history has only begun; ``None`` where it suffices, or where something else is wrong.

    It has begun if the days before its first one hold no sample of any metric, and the days after that hold enough of
    each: a metric that is not scraped, or a server that was away, is no young history.

    Args:
        lake: the lake with fetched days.
        window: its days of a training window, which ends at midnight.
        metrics: the metrics that rows are made of.
        least: MIN_COVERAGE.
        now: present time: of a window that ends today, today's samples say that the history begins today.
    """
    shortage = too_little(window.coverage.share, window.coverage.full_days, len(window.days), least)
    if shortage is None:
        return None
    today = now.astimezone(UTC).date()
    later = [today] if window.days[-1] == today - timedelta(days=1) else []
    shares = read_window(lake, [*window.days, *later], metrics).coverage.shares.values()
    begun = [day for day in (*window.days, *later) if any(found[day] for found in shares)]
    if not begun or begun[0] == window.days[0]:
        return None
    whole = [day for day in window.days if day > begun[0]]
    if whole and min(sum(found[day] for day in whole) for found in shares) < least * len(whole):
        return None
    if not all(any(found[day] for day in begun) for found in shares):
        return None
    return Note("young_history", begin=begun[0], shortage=shortage)
