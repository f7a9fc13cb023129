"""Schedules and sensors: scores every few minutes, a fetch each day, a retrain when due, a log of failed runs.

Each window has one retrain. Schedule and sensor request it with the same run key and skip if a run with this key
exists; the sensor also skips while the schedule's own tick is due.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import islice

import dagster as dg

from aiops_assets.datasets.selection import active_models
from aiops_assets.errors import IntegrityError
from aiops_assets.pipeline.assets.raw_metrics import RAW_METRICS
from aiops_assets.pipeline.assets.scores import SCORES
from aiops_assets.pipeline.assets.synthetic_series import SYNTHETIC_SERIES
from aiops_assets.pipeline.automation.champion_jobs import champion_jobs
from aiops_assets.pipeline.executors import steps_apart
from aiops_assets.pipeline.partitions import days_to_fetch
from aiops_assets.pipeline.pod_resources import run_tags
from aiops_assets.pipeline.resources import stores_of
from aiops_assets.pipeline.run_history import close_dead_runs, failure_of
from aiops_assets.settings import Settings
from aiops_assets.storage.lake import Lake
from aiops_assets.storage.lake_files import readable_days
from aiops_assets.storage.served import ServedModels
from aiops_assets.timeseries.catalog import ENGINE_METRICS, MetricSpec
from aiops_assets.timeseries.quality import FULL_DAY

INGEST_CRON = "30 1 * * *"
"""After a day has closed, an hour and five minutes after its end (with ranges of half an hour: an hour and a half)."""
RETRAIN_CRON = "0 2 * * 0"
LONGEST_SCORES = timedelta(hours=1)
"""Age from which on an unfinished run of scores counts as killed and does not block others."""
SUNDAY, RETRAIN_DONE = 6, timedelta(hours=2, minutes=30)
"""The weekday and the time until which the sensor leaves the retrain to the schedule, from the begin of Sunday on."""
UNDER_WAY = [
    status
    for status in dg.DagsterRunStatus
    if status not in (dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)
]
UNFINISHED = [status for status in UNDER_WAY if status != dg.DagsterRunStatus.SUCCESS]
SENSOR_SECONDS = 600
MAX_VERSIONS_READ = 20
# The tags that `dagster asset materialize --partition-range` sets.
RANGE_START, RANGE_END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"
RUN_KEY = "dagster/run_key"
Tick = dg.RunRequest | dg.SkipReason


def automation_for(settings: Settings, current: Callable[[], Settings]) -> dg.Definitions:
    """Jobs, schedules and sensors of one environment.

    Args:
        settings: settings when the code location was loaded.
        current: returns the present settings: a code server runs for weeks, and its window must move on.
    """
    # On a laptop nothing starts automatically; it can be switched on in the UI, under Automation.
    on = settings.aiops_env in ("staging", "production")
    fetches = _fetches(settings)
    everything = dg.AssetSelection.all() if fetches else dg.AssetSelection.assets(SYNTHETIC_SERIES).downstream()
    ingest = dg.define_asset_job(
        "ingest",
        dg.AssetSelection.assets(RAW_METRICS),
        description="Fetch what is new.",
        tags=run_tags("ingest"),
        executor_def=dg.in_process_executor,
    )
    score = dg.define_asset_job(
        "score",
        dg.AssetSelection.assets(SCORES),
        description="Predict the newest window by the served models.",
        tags=run_tags("score"),
        executor_def=dg.in_process_executor,
    )
    retrain = dg.define_asset_job(
        "retrain",
        everything,
        description="Fetch, train, evaluate, and serve if not worse.",
        tags=run_tags("retrain", steps_apart=steps_apart(settings)),
    )

    @dg.schedule(
        job=ingest,
        cron_schedule=INGEST_CRON,
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING if on else dg.DefaultScheduleStatus.STOPPED,
        description="Each day at 01:30 UTC: what is new of the window's days and of today.",
    )
    def daily_ingest(context: dg.ScheduleEvaluationContext) -> Tick:
        return ingest_request(current(), context.scheduled_execution_time)

    @dg.schedule(
        job=score,
        cron_schedule=every(settings.score_minutes),
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING if on else dg.DefaultScheduleStatus.STOPPED,
        description="Every SCORE_MINUTES (5): scores of the newest hour and forecasts of the next day.",
    )
    def regular_scores(context: dg.ScheduleEvaluationContext) -> Tick:
        return score_request(current(), context.instance, context.scheduled_execution_time)

    @dg.schedule(
        job=retrain,
        cron_schedule=RETRAIN_CRON,
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING if on else dg.DefaultScheduleStatus.STOPPED,
        description="Sunday 02:00 UTC: fetch what is new and retrain on the newest window.",
    )
    def weekly_retrain(context: dg.ScheduleEvaluationContext) -> Tick:
        return retrain_request(current(), context.instance, context.scheduled_execution_time)

    @dg.sensor(
        job=retrain,
        minimum_interval_seconds=SENSOR_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING if on else dg.DefaultSensorStatus.STOPPED,
        description="Requests a retrain if RETRAIN_AFTER_DAYS complete days are newer than what a model was trained "
        "on, as after a missed Sunday or a back-fill.",
    )
    def retrain_when_days_pile_up(context: dg.SensorEvaluationContext) -> Tick:
        close_dead_runs(context.instance)
        now = datetime.now(UTC)
        tick = sensor_request(current(), context.instance, now)
        if isinstance(tick, dg.RunRequest) and now.weekday() == SUNDAY and context.cursor != tick.run_key:
            # The daemon may be about to run the schedule's missed tick of today.
            context.update_cursor(str(tick.run_key))
            return dg.SkipReason("requested at the next tick, unless the weekly retrain has started by then")
        return tick

    @dg.run_failure_sensor(
        default_status=dg.DefaultSensorStatus.RUNNING, description="Writes each failed run and its cause to the log."
    )
    def log_run_failures(context: dg.RunFailureSensorContext) -> None:
        run = context.dagster_run
        cause = failure_of(context.instance, run.run_id) or context.failure_event.message
        context.log.error(f"run {run.run_id} of job {run.job_name} failed: {cause}")

    return dg.Definitions(
        jobs=[ingest, score, retrain, *champion_jobs()],
        schedules=[daily_ingest, regular_scores, weekly_retrain],
        sensors=[retrain_when_days_pile_up, log_run_failures],
    )


def every(minutes: int) -> str:
    """The cron line of so many minutes, a part of an hour.

    A minute late: samples settle for five minutes, so that the row of :00 is there at :06, and not yet at :05.
    """
    if minutes in (1, 60):
        return "* * * * *" if minutes == 1 else "1 * * * *"
    return f"1-59/{minutes} * * * *"


def ingest_request(settings: Settings, at: datetime) -> Tick:
    """The request of the daily fetch, or why there is none."""
    if not _fetches(settings):
        return dg.SkipReason(_why_nothing_is_fetched(settings))
    return dg.RunRequest(run_key=f"ingest-{at.date()}", tags=_range(settings, at.date()))


def score_request(settings: Settings, instance: dg.DagsterInstance, at: datetime) -> Tick:
    """The request of scores, or why there is none: runs must not pile up in a busy queue."""
    if settings.wants_days and not settings.prometheus_url:
        return dg.SkipReason(_why_nothing_is_fetched(settings))
    held = dg.RunsFilter(job_name="score", statuses=UNFINISHED, created_after=at - LONGEST_SCORES)
    waiting = instance.get_runs(held, limit=1)
    if waiting:
        return dg.SkipReason(f"run {waiting[0].run_id} is not done yet")
    return dg.RunRequest(run_key=f"score-{settings.cluster}-{at.astimezone(UTC):%Y-%m-%dT%H:%M}")


def retrain_request(settings: Settings, instance: dg.DagsterInstance, at: datetime) -> Tick:
    """The request of a retrain on the newest window, unless it has a run that did not fail."""
    if settings.wants_days and not settings.prometheus_url:
        return dg.SkipReason(_why_nothing_is_fetched(settings))
    key = f"retrain-{settings.cluster}-{settings.end.date()}"
    runs = instance.get_runs(dg.RunsFilter(tags={RUN_KEY: key}, statuses=UNDER_WAY), limit=1)
    if runs:
        return dg.SkipReason(f"run {runs[0].run_id} has {key} already")
    return dg.RunRequest(run_key=key, tags=_range(settings, at.date()) if _fetches(settings) else {})


def sensor_request(settings: Settings, instance: dg.DagsterInstance, at: datetime) -> Tick:
    """The request of a retrain if enough complete days are newer than the training data of all versions, or why not."""
    if not _fetches(settings):
        return dg.SkipReason(_why_nothing_is_fetched(settings))
    if at.weekday() == SUNDAY and timedelta(hours=at.hour, minutes=at.minute) < RETRAIN_DONE:
        return dg.SkipReason("the weekly retrain is due: it is left to the schedule")
    stores = stores_of(settings)
    fetching = [spec for spec in active_models(settings) if settings.for_source(spec.source).mode != "synthetic"]
    trained = {spec.name: trained_until(stores.served(), spec.name) for spec in fetching}
    # One run trains all models, so that the one with the oldest data decides.
    oldest = None if None in trained.values() else min(filter(None, trained.values()))
    newer = complete_days(stores.lake(), since=oldest, enough=settings.retrain_after_days)
    if newer >= settings.retrain_after_days:
        return retrain_request(settings, instance, at)
    return dg.SkipReason(f"{newer} complete days are newer than the trained window, until {oldest or 'never'}")


def trained_until(served: ServedModels, name: str) -> date | None:
    """End (exclusive) of the newest window with real data on which any version of a model was fitted.

    Rejected challengers count too: otherwise they would be trained again each day.
    """
    ends = []
    for version in served.versions(name)[-MAX_VERSIONS_READ:]:
        try:
            manifest = served.manifest(name, version)
        except IntegrityError:
            continue
        if manifest.window_end and manifest.effective_source != "synthetic":
            ends.append(manifest.window_end.date())
    return max(ends, default=None)


def complete_days(lake: Lake, since: date | None, enough: int) -> int:
    """Number of closed days of the lake with nearly all samples of each of the engine's metrics, at most ``enough``.

    Args:
        lake: the lake with fetched days.
        since: first day to count; ``None``: all.
        enough: stop at this number, from the newest day on: a lake may hold years.
    """
    stored = [readable_days(lake, metric) for metric in ENGINE_METRICS]
    shared = set.intersection(*map(set, stored))
    newest_first = sorted((day for day in shared if since is None or day >= since), reverse=True)
    complete = (day for day in newest_first if _is_complete(lake, [days[day] for days in stored], day))
    return sum(1 for _ in islice(complete, enough))


def _is_complete(lake: Lake, metrics: Sequence[MetricSpec], day: date) -> bool:
    try:
        infos = [lake.info(metric, day) for metric in metrics]
    except IntegrityError:
        return False  # the next fetch replaces the damaged file
    return all(info and info.closed and info.coverage >= FULL_DAY for info in infos)


def _fetches(settings: Settings) -> bool:
    return settings.prometheus_url is not None and settings.fetches


def _why_nothing_is_fetched(settings: Settings) -> str:
    if settings.wants_days:
        sources = f"DATA_SOURCE={settings.data_source}" + ", MODEL_SOURCES" * bool(settings.model_sources)
        return f"{sources}: no days are fetched while PROMETHEUS_URL is not set"
    return f"DATA_SOURCE={settings.data_source}: no days are fetched"


def _range(settings: Settings, today: date) -> dict[str, str]:
    # A missed tick that the daemon runs later is of an earlier day than the window's end.
    days = days_to_fetch(settings, max(today, settings.end.date()))
    return {RANGE_START: days[0].isoformat(), RANGE_END: days[-1].isoformat()}
