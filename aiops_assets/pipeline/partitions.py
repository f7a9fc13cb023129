"""Partitions of the graph: UTC days of raw metrics."""

from collections.abc import Iterable
from datetime import date, timedelta

import dagster as dg

from aiops_assets.datasets.selection import active_models
from aiops_assets.errors import SettingsError
from aiops_assets.families.catalog import MODELS
from aiops_assets.settings import Settings

UNUSED_VIEW_DAYS = 14
"""Window in days of a view without a model; OpenShift keeps 15 days of metrics."""


def daily(settings: Settings) -> dg.DailyPartitionsDefinition:
    """Partitions from ``FIRST_DAY`` to today, which is fetched again in each run until it has ended."""
    return dg.DailyPartitionsDefinition(start_date=settings.first_day.isoformat(), timezone="UTC", end_offset=1)


def window_days(settings: Settings, most: int) -> list[date]:
    """The UTC days of a training window, oldest first: the newest ones that have ended.

    ``most`` is their number, unless ``TRAINING_DAYS`` is set.
    """
    days = settings.training_days or most
    last = settings.end.date()
    return [last - timedelta(days=back) for back in range(days, 0, -1)]


def days_to_fetch(settings: Settings, today: date) -> list[date]:
    """The days of the longest window, and today if the window ends at its begin.

    Raises:
        SettingsError: the window begins before the first partition, or ends in the future.
    """
    days = longest_window(settings)
    if days[0] < settings.first_day:
        raise SettingsError(f"FIRST_DAY={settings.first_day}: the window begins on {days[0]}, set it earlier")
    if days[-1] > today:
        raise SettingsError(f"SYNTHETIC_END={settings.end.date()}: real days end today, {today}, set it earlier")
    return [*days, today] if settings.end.date() == today else days


def training_days(view: str) -> int:
    """The longest window that a model of the view needs, in days."""
    return max((spec.training_days for spec in MODELS if spec.view == view), default=UNUSED_VIEW_DAYS)


def earlier_days(settings: Settings, view: str) -> int:
    """How many days before its window a training set of the view takes from the lake, if they are there."""
    if settings.training_days or settings.mode == "synthetic":
        return 0
    return max((spec.earlier_days for spec in active_models(settings) if spec.view == view), default=0)


def longest_window(settings: Settings, views: Iterable[str] | None = None) -> list[date]:
    """The days that training sets of ``views`` need together, oldest first; by default of the views of all models."""
    wanted = [spec.view for spec in active_models(settings)] if views is None else views
    return window_days(settings, max(map(training_days, wanted)))
