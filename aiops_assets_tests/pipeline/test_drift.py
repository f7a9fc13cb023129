"""Drift in Dagster: the check of scores, the sensor that requests a retrain once, and outliers of a training set."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import numpy as np
import pytest

from aiops_assets.families.catalog import MODELS
from aiops_assets.pipeline.automation import drift, jobs
from aiops_assets.pipeline.definitions import definitions_for
from aiops_assets.pipeline.drift_checks import drift_result, outliers_result
from aiops_assets.pipeline.resources import stores_of
from aiops_assets.settings import Settings
from aiops_assets.storage.drift import DriftReport, MetricFigures
from aiops_assets.timeseries.catalog import ENGINE_METRICS
from aiops_assets.views.catalog import CLUSTER_METRICS_VIEW, POD_FEATURES, POD_SERIES, VIEWS
from aiops_assets_tests.conftest import END, make_settings
from aiops_assets_tests.datasets.drift_home import DAY, FORECASTER, LIVE, TRAINED_DAYS, DriftHome, one_line
from aiops_assets_tests.pipeline.graph import CLOSED, ENSEMBLE, NAME
from aiops_assets_tests.service.served_home import rows_of

MONDAY = datetime(2026, 11, 2, 10, 0, tzinfo=UTC)
KEY = "retrain-default-2026-11-01"


def report(
    since: datetime | None = MONDAY - timedelta(hours=1), when: datetime = MONDAY, data: str = "d"
) -> DriftReport:
    figures = MetricFigures(
        metric="cpu_usage", models=("m",), psi=0.9, ks=0.4, shift=1.0, width=1.0, strength=2.0, coverage=1.0,
        drifted=since is not None,
    )  # fmt: skip
    return DriftReport(when=when, champions={"m": data}, metrics=(figures,), since=since, seen=since)


def skipped(tick: jobs.Tick) -> bool:
    return isinstance(tick, dg.SkipReason)


def test_the_check_warns_of_a_drift_with_the_figures_of_each_metric(real: Settings) -> None:
    home = DriftHome(stores_of(real), FORECASTER)
    home.fill(TRAINED_DAYS + 1, one_line())
    home.serve()
    quiet = drift_result(real, home.stores, [FORECASTER], LIVE + DAY)
    assert (quiet.passed, quiet.metadata["compared"].value, quiet.metadata["drifted"].value) == (True, 5, 0)
    home.fill(1, one_line(shift=1.0), after=LIVE.date())
    alarm = drift_result(real, home.stores, [FORECASTER], LIVE + DAY + timedelta(hours=1))
    assert (alarm.passed, alarm.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert "cpu_usage" in (alarm.description or "")
    table = alarm.metadata["metrics"]
    assert isinstance(table, dg.TableMetadataValue)
    assert {row.data["metric"] for row in table.records} == {m.name for m in VIEWS[CLUSTER_METRICS_VIEW].metrics}
    assert all(row.data["drifted"] for row in table.records)


@pytest.mark.needs("prometheus")
def test_champions_of_a_real_server_are_compared_with_their_own_days(home: Path) -> None:
    settings = make_settings(home, DATA_SOURCE="prometheus", PROMETHEUS_URL=CLOSED)
    result = drift_result(settings, stores_of(settings), MODELS, END.to_pydatetime())
    report = stores_of(settings).drift().newest()
    assert report
    assert {one.metric for one in report.metrics} == {metric.name for metric in ENGINE_METRICS}
    assert {one.models for one in report.metrics} == {(NAME, ENSEMBLE)}
    assert (result.passed, report.not_judged) == (True, {})


def test_generated_days_are_not_compared(tmp_path: Path) -> None:
    settings = make_settings(tmp_path)
    result = drift_result(settings, stores_of(settings), [FORECASTER], LIVE)
    assert (result.passed, result.description, result.metadata["compared"].value) == (True, None, 0)
    assert stores_of(settings).drift().newest() is None


def test_a_look_that_fails_is_a_warning_and_no_failure_of_the_scores(real: Settings) -> None:
    stores = stores_of(real)
    stores.served().storage.write(f"{FORECASTER.name}/champion.json", b"damaged")
    result = drift_result(real, stores, [FORECASTER], LIVE)
    assert (result.passed, result.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert FORECASTER.name in (result.description or "")


def test_the_sensor_requests_a_retrain_once_for_each_drift(real: Settings, instance: dg.DagsterInstance) -> None:
    store = stores_of(real).drift()
    assert skipped(drift.drift_request(real, instance, None, MONDAY))
    store.put(report(since=None))
    assert skipped(drift.drift_request(real, instance, None, MONDAY))
    store.put(report())
    tick = drift.drift_request(real, instance, None, MONDAY)
    assert isinstance(tick, dg.RunRequest)
    assert tick.run_key == KEY
    assert "cpu_usage" in tick.tags[drift.REASON]
    assert jobs.RANGE_START in tick.tags
    done = tick.tags[drift.EPISODE]
    later = MONDAY + timedelta(hours=2)
    store.put(report(when=later))
    assert skipped(drift.drift_request(real, instance, done, later))
    store.put(report(when=later, data="e"))
    assert not skipped(drift.drift_request(real, instance, done, later)), "another champion is compared"
    store.put(report(when=later, since=later))
    assert not skipped(drift.drift_request(real, instance, done, later)), "another drift"


def test_a_window_that_was_retrained_on_waits_for_the_next(real: Settings, instance: dg.DagsterInstance) -> None:
    stores_of(real).drift().put(report())
    instance.create_run_for_job(definitions_for(real).resolve_job_def("retrain"), tags={"dagster/run_key": KEY})
    assert skipped(drift.drift_request(real, instance, None, MONDAY))


def test_an_old_look_and_the_hours_of_the_weekly_retrain_request_nothing(
    real: Settings, instance: dg.DagsterInstance
) -> None:
    stores_of(real).drift().put(report())
    assert skipped(drift.drift_request(real, instance, None, MONDAY + timedelta(hours=4)))
    sunday = datetime(2026, 11, 1, 2, 0, tzinfo=UTC)
    stores_of(real).drift().put(report(when=sunday))
    assert skipped(drift.drift_request(real, instance, None, sunday))
    assert not skipped(drift.drift_request(real, instance, None, sunday + timedelta(hours=1)))


def test_generated_days_request_nothing(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    settings = make_settings(tmp_path)
    stores_of(settings).drift().put(report())
    assert skipped(drift.drift_request(settings, instance, None, MONDAY))


@pytest.mark.parametrize(("environment", "running"), [("dev", False), ("staging", True)])
def test_the_sensor_is_on_where_the_others_are(tmp_path: Path, environment: str, running: bool) -> None:
    settings = make_settings(tmp_path, AIOPS_ENV=environment, DATA_SOURCE="synthetic")
    definitions = definitions_for(settings)
    on = [
        definitions.resolve_sensor_def(name).default_status == dg.DefaultSensorStatus.RUNNING
        for name in ("retrain_when_drifted", "retrain_when_days_pile_up")
    ]
    assert on == [running, running]
    assert definitions.resolve_sensor_def("retrain_when_drifted").job_name == "retrain"


def test_a_tick_keeps_the_drift_that_it_requested_a_retrain_for(real: Settings, instance: dg.DagsterInstance) -> None:
    now = datetime.now(UTC)
    stores_of(real).drift().put(report(when=now, since=now))
    sensor = definitions_for(real).resolve_sensor_def("retrain_when_drifted")
    with dg.build_sensor_context(instance=instance) as context:
        first = sensor.evaluate_tick(context)
    if now.weekday() == jobs.SUNDAY and now.hour < 3:
        assert first.skip_message
        return
    (request,) = first.run_requests or []
    assert first.cursor == request.tags[drift.EPISODE]
    with dg.build_sensor_context(instance=instance, cursor=first.cursor) as context:
        second = sensor.evaluate_tick(context)
    assert second.skip_message


@pytest.mark.parametrize("view", [POD_FEATURES, POD_SERIES, CLUSTER_METRICS_VIEW])
def test_healthy_training_sets_have_no_day_of_outliers(view: str) -> None:
    result = outliers_result(dg.AssetKey(view), VIEWS[view], rows_of(view))
    assert (result.passed, result.metadata["days_with_many"].value) == (True, 0)


def test_a_day_of_outliers_warns_and_is_named() -> None:
    view, rows = VIEWS[CLUSTER_METRICS_VIEW], rows_of(CLUSTER_METRICS_VIEW)
    day = rows["timestamp"].dt.date == rows["timestamp"].dt.date.unique()[1]
    wrong = np.flatnonzero(day)[::8]
    rows = rows.assign(cpu_usage=rows["cpu_usage"].where(~np.isin(np.arange(len(rows)), wrong), 1e6))
    result = outliers_result(dg.AssetKey(view.name), view, rows)
    assert (result.passed, result.severity, result.metadata["days_with_many"].value) == (
        False,
        dg.AssetCheckSeverity.WARN,
        1,
    )
    assert str(rows["timestamp"].dt.date.unique()[1]) in (result.description or "")
