"""The sensor that requests a retrain because of drift, once for each champion and drift."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import dagster as dg

from aiops_assets.pipeline.automation.jobs import (
    RETRAIN_DONE,
    SENSOR_SECONDS,
    SUNDAY,
    Tick,
    retrain_request,
)
from aiops_assets.pipeline.resources import stores_of
from aiops_assets.settings import Settings
from aiops_assets.storage.drift import MAX_AGE, DriftReport

REASON = "aiops/reason"
"""Tag of a run: why it was requested."""
EPISODE = "aiops/drift"
"""Tag of a run, and the sensor's cursor: which drift of which champions it was requested for."""


def drift_automation(settings: Settings, current: Callable[[], Settings]) -> dg.Definitions:
    """The sensor of one environment.

    Args:
        settings: settings when the code location was loaded.
        current: returns the present settings.
    """
    on = settings.aiops_env in ("staging", "production")

    @dg.sensor(
        job_name="retrain",
        minimum_interval_seconds=SENSOR_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING if on else dg.DefaultSensorStatus.STOPPED,
        description="Requests a retrain if the newest day is no longer like the days that a champion was trained on, "
        "once for each champion and drift. The run's tag aiops/reason names the metrics.",
    )
    def retrain_when_drifted(context: dg.SensorEvaluationContext) -> Tick:
        tick = drift_request(current(), context.instance, context.cursor, datetime.now(UTC))
        if isinstance(tick, dg.RunRequest):
            context.update_cursor(tick.tags[EPISODE])
        return tick

    return dg.Definitions(sensors=[retrain_when_drifted])


def drift_request(settings: Settings, instance: dg.DagsterInstance, done: str | None, at: datetime) -> Tick:
    """The request of a retrain because of drift, or why there is none.

    Args:
        settings: present settings.
        instance: looks up whether today's window has a retrain already; then the request is made tomorrow.
        done: the drift that a retrain was requested for last.
        at: time of the tick, with time zone.
    """
    if not settings.fetches:
        return dg.SkipReason("no days are fetched: generated days do not drift")
    if at.weekday() == SUNDAY and timedelta(hours=at.hour, minutes=at.minute) < RETRAIN_DONE:
        return dg.SkipReason("the weekly retrain is due: it is left to the schedule")
    report = stores_of(settings).drift().newest()
    if report is None:
        return dg.SkipReason("no look at drift yet: the job score looks once an hour")
    if at - report.when > MAX_AGE:
        return dg.SkipReason(f"the newest look is of {report.when:%Y-%m-%d %H:%M} UTC: is the job score running?")
    if report.since is None:
        return dg.SkipReason(f"no drift: {len(report.metrics)} metrics are as the champions were trained on them")
    episode = episode_of(report)
    if episode == done:
        return dg.SkipReason(f"a retrain was requested for it already: {report.text}")
    tick = retrain_request(settings, instance, at)
    if isinstance(tick, dg.SkipReason):
        return tick
    return dg.RunRequest(run_key=tick.run_key, tags={**tick.tags, REASON: report.text, EPISODE: episode})


def episode_of(report: DriftReport) -> str:
    """Name of a drift: its begin, and the data versions of the champions that it was seen against."""
    versions = ",".join(sorted({version[:8] for version in report.champions.values()}))
    return f"{report.since:%Y-%m-%dT%H:%M:%S} {versions}"
