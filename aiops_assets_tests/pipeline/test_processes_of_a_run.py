"""A run may be worked on by several processes, on several hosts: they agree on its day, and know who is gone."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from aiops_assets.commands.running import dagster_environment
from aiops_assets.pipeline.resources import resources_for, settings_of_run, tracking_of
from aiops_assets.settings import Settings
from aiops_assets.tracking.tracker import DAGSTER_RUN_TAG, HOST_TAG
from aiops_assets_tests.conftest import make_settings
from aiops_assets_tests.pipeline.graph import NAME, generate

BEFORE_MIDNIGHT = datetime(2026, 11, 21, 23, 59, tzinfo=UTC)


@pytest.mark.parametrize(
    ("end", "read_on", "expected"),
    [
        ("2026-11-21", date(2026, 11, 21), date(2026, 11, 21)),
        ("2026-11-22", date(2026, 11, 22), date(2026, 11, 21)),  # a step's process that started after midnight
        ("2026-11-01", date(2026, 11, 22), date(2026, 11, 1)),  # somebody set it
    ],
)
def test_all_processes_of_a_run_see_one_window(tmp_path: Path, end: str, read_on: date, expected: date) -> None:
    settings = make_settings(tmp_path, SYNTHETIC_END=end)
    assert settings_of_run(settings, BEFORE_MIDNIGHT, read_on).synthetic_end == expected


def test_assets_get_the_settings_of_their_run(tmp_path: Path) -> None:
    today = datetime.now(UTC).date()
    seen: list[date] = []

    @dg.asset
    def asked(settings: dg.ResourceParam[Settings]) -> None:
        seen.append(settings.synthetic_end)

    def ask(end: date, day_of_run: date) -> None:
        settings = make_settings(tmp_path, SYNTHETIC_END=end.isoformat())
        dg.materialize([asked], resources={"settings": resources_for(settings)["settings"]})
        assert seen.pop() == day_of_run

    ask(today, today)
    ask(today - timedelta(days=3), today - timedelta(days=3))


@pytest.mark.long
def test_a_fit_of_a_host_that_is_gone_is_closed_by_the_next_run(tmp_path: Path) -> None:
    settings = make_settings(tmp_path, MODELS=NAME)
    client, experiment = tracking_of(settings).tracker()._mlflow.open()

    @dg.asset
    def nothing() -> None: ...

    with dg.DagsterInstance.from_config(dagster_environment(settings)["DAGSTER_HOME"]) as instance:
        over = dg.materialize([nothing], instance=instance).run_id
    lost, at_work = (
        client.create_run(experiment, tags={HOST_TAG: "a-pod", DAGSTER_RUN_TAG: run}).info.run_id
        for run in (over, "under-way")
    )
    generate(settings, NAME, lasting=True)
    assert client.get_run(lost).info.status == "KILLED"
    assert client.get_run(at_work).info.status == "RUNNING"
