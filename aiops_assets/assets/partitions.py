"""Partitions of the graph: a UTC day of raw metrics."""

from datetime import date, timedelta

import dagster as dg

from aiops_assets.errors import SettingsError
from aiops_assets.models.catalog import MODELS
from aiops_assets.settings import Settings


def daily(settings: Settings) -> dg.DailyPartitionsDefinition:
    """The days from ``FIRST_DAY`` to today, which is fetched again at each run until it has ended."""
    return dg.DailyPartitionsDefinition(start_date=settings.first_day.isoformat(), timezone="UTC", end_offset=1)


def window_days(settings: Settings, training_days: int) -> list[date]:
    """The UTC days of a training window, oldest first: the newest ``training_days`` that have ended."""
    days = settings.training_days or training_days
    last = settings.end.date()
    return [last - timedelta(days=back) for back in range(days, 0, -1)]


def days_to_fetch(settings: Settings, today: date) -> list[date]:
    """The days of the longest window, and today when the window ends with it.

    Raises:
        SettingsError: the window begins before the first partition, or ends in the future.
    """
    days = longest_window(settings)
    if days[0] < settings.first_day:
        raise SettingsError(f"FIRST_DAY={settings.first_day}: the window begins on {days[0]}, set it earlier")
    if days[-1] > today:
        raise SettingsError(f"SYNTHETIC_END={settings.end.date()}: real days end today, {today}, set it earlier")
    return [*days, today] if settings.end.date() == today else days


def longest_window(settings: Settings) -> list[date]:
    """The days that the training sets of all models need together."""
    return window_days(settings, max(spec.training_days for spec in MODELS))
