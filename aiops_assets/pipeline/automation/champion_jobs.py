"""Promotion and rollback by people as Dagster jobs, for the UI's launchpad where there is no shell."""

from collections.abc import Iterator

import dagster as dg

from aiops_assets.pipeline.keys import SERVED, key_of
from aiops_assets.pipeline.pod_resources import run_tags
from aiops_assets.pipeline.resources import StoresResource, TrackingResource
from aiops_assets.registry import champions
from aiops_assets.storage.records import ChampionRecord
from aiops_assets.storage.served import ServedModels

USER_TAG = "user"
"""Tag with the user's name, set by Dagster+ or by hand in the launchpad."""
DATA_VERSION_TAG = "dagster/data_version"


class PromoteConfig(dg.Config):
    """Which version a person wants to be served."""

    name: str
    version: int
    reason: str = "promoted by hand"


class RollbackConfig(dg.Config):
    """Which model goes back, by default to its newest earlier champion."""

    name: str
    to: int | None = None
    reason: str = "rolled back by hand"


def champion_jobs() -> list[dg.JobDefinition]:
    """The jobs `promote` and `rollback`; they use the resources `stores` and `tracking`."""

    @dg.op(
        out=dg.Out(dg.Nothing),
        description="Verifies the version, loads it, runs a smoke inference, then moves the champion record.",
    )
    def promote_version(
        context: dg.OpExecutionContext, config: PromoteConfig, stores: StoresResource, tracking: TrackingResource
    ) -> Iterator[dg.AssetMaterialization | dg.Output[None]]:
        served, spec = stores.served(), champions.model_named(config.name)
        record = champions.promote(
            served, tracking.tracker(), spec, config.version, reason=config.reason, who=_who(context)
        )
        yield _materialization(served, record)
        yield dg.Output(None)

    @dg.op(out=dg.Out(dg.Nothing), description="Serves an earlier version again, and vetoes the one it replaces.")
    def roll_back(
        context: dg.OpExecutionContext, config: RollbackConfig, stores: StoresResource, tracking: TrackingResource
    ) -> Iterator[dg.AssetMaterialization | dg.Output[None]]:
        served, spec = stores.served(), champions.model_named(config.name)
        record = champions.rollback(
            served, tracking.tracker(), spec, config.to, reason=config.reason, who=_who(context)
        )
        yield _materialization(served, record)
        yield dg.Output(None)

    @dg.job(
        name="promote",
        executor_def=dg.in_process_executor,
        description="Serve a version by hand.",
        tags=run_tags("promote"),
    )
    def promote() -> None:
        promote_version()

    @dg.job(
        name="rollback",
        executor_def=dg.in_process_executor,
        description="Serve an earlier version again.",
        tags=run_tags("rollback"),
    )
    def rollback() -> None:
        roll_back()

    return [promote, rollback]


def _who(context: dg.OpExecutionContext) -> str:
    user = context.run.tags.get(USER_TAG)
    return f"dagster run {context.run.run_id}" + (f" of {user}" if user else "")


def _materialization(served: ServedModels, record: ChampionRecord) -> dg.AssetMaterialization:
    """The materialization of the served asset, so that the graph shows who moved the champion and why."""
    champion = record.champion
    return dg.AssetMaterialization(
        asset_key=key_of(record.name, SERVED),
        description=champion.reason,
        tags={DATA_VERSION_TAG: champion.manifest_sha256[:32]},
        metadata={
            "champion": champion.version,
            "previous": record.history[0].version if record.history else "none",
            "reason": champion.reason,
            "who": champion.who,
            "since": champion.when.isoformat(),
            "vetoed": ", ".join(str(veto.version) for veto in record.vetoed) or "none",
            "effective_source": champion.effective_source,
            "data_version": champion.data_version,
            "dagster/uri": served.locate(record.name, champion.version),
        },
    )
