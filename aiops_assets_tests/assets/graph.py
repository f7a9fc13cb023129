"""A run of the whole graph in process over real days, and what it left."""

from datetime import UTC, datetime

import dagster as dg

from aiops_assets.assets.partitions import days_to_fetch
from aiops_assets.definitions import definitions_for
from aiops_assets.resources import stores_of
from aiops_assets.running import dagster_environment
from aiops_assets.settings import Settings
from aiops_assets.stores.records import Manifest

NAME = "anomaly-detector"
CLOSED = "http://127.0.0.1:9"
"""The discard port: nothing listens."""


def materialize(settings: Settings, raise_on_error: bool = True) -> dg.ExecuteInProcessResult:
    """All assets over the days of the window in one run, as `aiops run` does."""
    days = days_to_fetch(settings, datetime.now(UTC).date())
    tags = {
        "dagster/asset_partition_range_start": days[0].isoformat(),
        "dagster/asset_partition_range_end": days[-1].isoformat(),
    }
    job = definitions_for(settings).resolve_job_def("retrain")
    with dg.DagsterInstance.from_config(dagster_environment(settings)["DAGSTER_HOME"]) as instance:
        return job.execute_in_process(instance=instance, tags=tags, raise_on_error=raise_on_error)


def metadata(result: dg.ExecuteInProcessResult, key: str) -> dict[str, object]:
    events = result.get_asset_materialization_events()
    event = next(e for e in events if e.asset_key == dg.AssetKey(key.split("/")))
    return {name: value.value for name, value in event.materialization.metadata.items()}


def checks(result: dg.ExecuteInProcessResult) -> dict[str, dg.AssetCheckEvaluation]:
    return {evaluation.check_name: evaluation for evaluation in result.get_asset_check_evaluations()}


def failure(result: dg.ExecuteInProcessResult) -> str:
    data = next(event.step_failure_data for event in result.all_events if event.is_step_failure)
    assert data.error
    return (data.error.cause or data.error).message


def newest(settings: Settings) -> Manifest:
    served = stores_of(settings).served()
    return served.manifest(NAME, served.versions(NAME)[-1])


def champion(settings: Settings) -> int:
    record = stores_of(settings).served().champion(NAME)
    assert record
    return record.champion.version
