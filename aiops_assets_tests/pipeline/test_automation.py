"""Jobs, schedules and sensors: what each asks for, and why it sometimes does not."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path

import dagster as dg
import pandas as pd
import pytest

from aiops_assets.commands.running import dagster_environment
from aiops_assets.families.catalog import MODELS
from aiops_assets.pipeline.assets.raw_metrics import POOL
from aiops_assets.pipeline.automation import jobs
from aiops_assets.pipeline.definitions import definitions_for
from aiops_assets.pipeline.resources import stores_of
from aiops_assets.settings import Settings
from aiops_assets.storage.records import Manifest, SourceReport
from aiops_assets.timeseries.catalog import ENGINE_METRICS
from aiops_assets.timeseries.series import minute_grid
from aiops_assets_tests.conftest import END, make_settings

NAMES = tuple(spec.name for spec in MODELS)
SUNDAY = datetime(2026, 11, 1, 2, 0, tzinfo=UTC)
KEY = "retrain-default-2026-11-01"


def _fill(settings: Settings, days: int, *, closed: bool = True) -> None:
    """Days before END with all samples."""
    lake = stores_of(settings).lake()
    for back in range(1, days + 1):
        day = (END - timedelta(days=back)).date()
        midnight = pd.Timestamp(day, tz="UTC")
        end = (midnight + timedelta(days=1)).to_pydatetime()
        frame = pd.DataFrame({"{}": 0.5}, index=minute_grid(midnight, midnight + timedelta(days=1)))
        for metric in ENGINE_METRICS:
            lake.upsert_day(metric, day, frame, fetched=end, fetched_until=end, closed=closed)


def _train(
    settings: Settings, window_end: date, source: str = "prometheus+synthetic", names: Sequence[str] = NAMES
) -> None:
    """A version of each model whose window ends on that day."""
    end = datetime(window_end.year, window_end.month, window_end.day, tzinfo=UTC)

    def manifest(name: str, version: int, files: dict[str, str]) -> Manifest:
        return Manifest(
            name=name, version=version, created=end, description="", cluster="default", features=("a",),
            features_digest="", width=1, units={}, parameters={}, packages={}, view="v", data_version="d" * 32,
            training_set_sha256="", effective_source=source, source=SourceReport(asked="prometheus", rows={}),
            window_start=end - timedelta(days=7), window_end=end, run_id="r", run_url="", dagster_run_id="",
            code_version="", fingerprint="", metrics={}, files=files,
        )  # fmt: skip

    for name in names:
        stores_of(settings).served().publish(name, {"model": b"m"}, partial(manifest, name))


def _asked(tick: dg.RunRequest | dg.SkipReason) -> str:
    """The run key that is asked for, or nothing."""
    return (tick.run_key or "") if isinstance(tick, dg.RunRequest) else ""


def test_the_daily_tick_asks_for_the_window_and_today_in_one_run(real: Settings) -> None:
    schedule = definitions_for(real).resolve_schedule_def("daily_ingest")
    assert schedule.cron_schedule == "30 1 * * *"
    with dg.build_schedule_context(scheduled_execution_time=SUNDAY) as context:
        (request,) = schedule.evaluate_tick(context).run_requests or []
    assert request.run_key == "ingest-2026-11-01"
    assert request.tags["dagster/asset_partition_range_start"] == "2026-10-18"
    assert request.tags["dagster/asset_partition_range_end"] == "2026-11-01"


def test_the_weekly_tick_asks_for_a_retrain_of_the_newest_window(real: Settings, instance: dg.DagsterInstance) -> None:
    schedule = definitions_for(real).resolve_schedule_def("weekly_retrain")
    assert (schedule.cron_schedule, schedule.execution_timezone) == ("0 2 * * 0", "UTC")
    # Closed before its instance: see _no_closed_instance in conftest.py.
    with dg.build_schedule_context(instance=instance, scheduled_execution_time=SUNDAY) as context:
        (request,) = schedule.evaluate_tick(context).run_requests or []
    assert request.run_key == KEY
    assert request.tags["dagster/asset_partition_range_end"] == "2026-11-01"


def test_in_synthetic_mode_a_retrain_needs_no_days_and_nothing_is_fetched(
    tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    settings = make_settings(tmp_path)
    request = jobs.retrain_request(settings, instance, SUNDAY)
    assert _asked(request) == KEY
    assert "dagster/asset_partition_range_end" not in request.tags  # type: ignore[union-attr]
    assert isinstance(jobs.ingest_request(settings, SUNDAY), dg.SkipReason)
    assert isinstance(jobs.sensor_request(settings, instance, SUNDAY), dg.SkipReason)


def test_the_sensor_asks_when_a_week_of_complete_days_is_newer(real: Settings, instance: dg.DagsterInstance) -> None:
    at = SUNDAY + timedelta(hours=10)
    assert _asked(jobs.sensor_request(real, instance, at)) == ""
    _fill(real, 6)
    assert _asked(jobs.sensor_request(real, instance, at)) == ""
    _fill(real, 7)
    assert _asked(jobs.sensor_request(real, instance, at)) == KEY
    _train(real, END.date() - timedelta(days=7))
    assert _asked(jobs.sensor_request(real, instance, at)) == KEY
    _train(real, END.date() - timedelta(days=6))
    skipped = jobs.sensor_request(real, instance, at)
    assert isinstance(skipped, dg.SkipReason)
    assert "6 complete days" in (skipped.skip_message or "")


def test_a_model_that_was_never_trained_asks_for_a_retrain(real: Settings, instance: dg.DagsterInstance) -> None:
    _fill(real, 7)
    _train(real, END.date(), names=NAMES[:1])
    assert _asked(jobs.sensor_request(real, instance, SUNDAY + timedelta(hours=10))) == KEY


def test_open_days_and_versions_of_generated_data_do_not_count(real: Settings, instance: dg.DagsterInstance) -> None:
    at = SUNDAY + timedelta(hours=10)
    _fill(real, 7, closed=False)
    assert _asked(jobs.sensor_request(real, instance, at)) == ""
    _fill(real, 7)
    _train(real, END.date(), source="synthetic")
    assert _asked(jobs.sensor_request(real, instance, at)) == KEY


def test_a_model_that_wants_generated_data_asks_for_nothing(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    variables = {"DATA_SOURCE": "hybrid", "PROMETHEUS_URL": "http://127.0.0.1:9", "MODELS": ",".join(NAMES[:2])}
    settings = make_settings(tmp_path, **variables, MODEL_SOURCES=f"{NAMES[1]}=synthetic")
    _fill(settings, 7)
    _train(settings, END.date(), names=NAMES[:1])
    assert _asked(jobs.sensor_request(settings, instance, SUNDAY + timedelta(hours=10))) == ""


def test_retrain_after_days_is_a_setting(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    variables = {"DATA_SOURCE": "hybrid", "PROMETHEUS_URL": "http://127.0.0.1:9", "RETRAIN_AFTER_DAYS": "3"}
    settings = make_settings(tmp_path, **variables)
    _fill(settings, 3)
    assert _asked(jobs.sensor_request(settings, instance, SUNDAY + timedelta(hours=10))) == KEY


def test_schedule_and_sensor_together_start_one_run(real: Settings, instance: dg.DagsterInstance) -> None:
    _fill(real, 7)
    due = jobs.sensor_request(real, instance, SUNDAY)
    assert isinstance(due, dg.SkipReason)
    assert _asked(jobs.retrain_request(real, instance, SUNDAY)) == KEY
    early = jobs.sensor_request(real, instance, SUNDAY - timedelta(minutes=30))
    assert isinstance(early, dg.SkipReason), "Saturday closes at 01:05: the sensor must not be first each week"
    instance.create_run_for_job(definitions_for(real).resolve_job_def("retrain"), tags={"dagster/run_key": KEY})
    assert isinstance(jobs.sensor_request(real, instance, SUNDAY + timedelta(hours=1)), dg.SkipReason)
    assert isinstance(jobs.retrain_request(real, instance, SUNDAY), dg.SkipReason)


def test_a_failed_run_does_not_stand_for_the_retrain(real: Settings, instance: dg.DagsterInstance) -> None:
    _fill(real, 7)
    run = instance.create_run_for_job(definitions_for(real).resolve_job_def("retrain"), tags={"dagster/run_key": KEY})
    instance.report_run_failed(run)
    assert _asked(jobs.retrain_request(real, instance, SUNDAY)) == KEY
    assert _asked(jobs.sensor_request(real, instance, SUNDAY + timedelta(hours=10))) == KEY


def test_a_day_with_half_its_samples_is_not_complete(real: Settings, instance: dg.DagsterInstance) -> None:
    _fill(real, 7)
    lake, day = stores_of(real).lake(), (END - timedelta(days=8)).date()
    assert jobs.complete_days(lake, None, enough=10) == 7
    midnight = pd.Timestamp(day, tz="UTC")
    end = (midnight + timedelta(days=1)).to_pydatetime()
    half = pd.DataFrame({"{}": 0.5}, index=minute_grid(midnight, midnight + timedelta(hours=12)))
    for metric in ENGINE_METRICS:
        lake.upsert_day(metric, day, half, fetched=end, fetched_until=end, closed=True)
    assert jobs.complete_days(lake, None, enough=10) == 7
    assert jobs.complete_days(lake, None, enough=3) == 3
    Path(real.aiops_home, lake._path(ENGINE_METRICS[0], day + timedelta(days=3))).write_bytes(b"damaged")
    Path(real.aiops_home, lake._path(ENGINE_METRICS[0], day)).with_name("copy of a day.parquet").touch()
    assert jobs.complete_days(lake, None, enough=10) == 6


def test_a_tick_that_is_caught_up_days_later_asks_for_the_window_of_now(
    real: Settings, instance: dg.DagsterInstance
) -> None:
    request = jobs.retrain_request(real, instance, SUNDAY - timedelta(days=7))
    assert isinstance(request, dg.RunRequest)
    assert request.tags["dagster/asset_partition_range_end"] == "2026-11-01"


def test_what_is_missing_is_named(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    settings = make_settings(tmp_path, AIOPS_ENV="production")
    for tick in (
        jobs.ingest_request(settings, SUNDAY),
        jobs.retrain_request(settings, instance, SUNDAY),
        jobs.sensor_request(settings, instance, SUNDAY),
    ):
        assert isinstance(tick, dg.SkipReason)
        assert "PROMETHEUS_URL is not set" in (tick.skip_message or "")


@pytest.mark.parametrize(("environment", "running"), [("dev", False), ("ci", False), ("production", True)])
def test_nothing_starts_by_itself_on_a_laptop(tmp_path: Path, environment: str, running: bool) -> None:
    settings = make_settings(tmp_path, AIOPS_ENV=environment, DATA_SOURCE="synthetic")
    definitions = definitions_for(settings)
    for name in ("daily_ingest", "regular_scores", "weekly_retrain"):
        status = definitions.resolve_schedule_def(name).default_status
        assert (status == dg.DefaultScheduleStatus.RUNNING) == running
    sensor = definitions.resolve_sensor_def("retrain_when_days_pile_up")
    assert (sensor.default_status == dg.DefaultSensorStatus.RUNNING) == running


def test_the_lake_has_a_pool_of_one_in_the_shipped_instance(real: Settings, tmp_path: Path) -> None:
    raw = definitions_for(real).resolve_assets_def("raw_metrics")
    assert raw.op.pool == POOL
    with dg.DagsterInstance.from_config(dagster_environment(real)["DAGSTER_HOME"]) as instance:
        assert instance.global_op_concurrency_default_limit == 1
