"""The asset <name>_served: moves the champion record if the evaluation decides so, and repairs alias and link."""

import dagster as dg

from aiops_assets.families.contract import ModelSpec
from aiops_assets.pipeline.keys import EVALUATION, OWNER, SERVED, group_of, handed_over, key_of, tags_of
from aiops_assets.pipeline.metadata import picture, preview
from aiops_assets.pipeline.pod_resources import step_tags
from aiops_assets.pipeline.resources import StoresResource, TrackingResource
from aiops_assets.registry import champions
from aiops_assets.registry.version import version_of
from aiops_assets.reporting import previews
from aiops_assets.reporting.reports import report_of
from aiops_assets.settings import Settings
from aiops_assets.storage.handoff import DecisionRef
from aiops_assets.storage.served import CURRENT, ServedModels

NOTHING_SERVED = "nothing is served yet"


def served_asset(spec: ModelSpec) -> dg.AssetsDefinition:
    """The asset that serves one model."""

    @dg.asset(
        key=key_of(spec.name, SERVED),
        ins={"decision": dg.AssetIn(key=key_of(spec.name, EVALUATION))},
        group_name=group_of(spec.name),
        owners=[OWNER],
        tags=tags_of(spec),
        metadata=handed_over(spec.name, SERVED),
        kinds={"kserve"},
        backfill_policy=dg.BackfillPolicy.single_run(),
        op_tags=step_tags("served"),
        description=(
            "The champion record is the one truth about what is served. MLflow's alias and the local link `current` "
            "follow it. The model file is read back, verified and given a smoke inference before it is served."
        ),
    )
    def served(
        context: dg.AssetExecutionContext,
        decision: DecisionRef,
        settings: dg.ResourceParam[Settings],
        stores: StoresResource,
        tracking: TrackingResource,
    ) -> dg.MaterializeResult[None]:
        models, name = stores.served(), spec.name
        who = f"dagster run {context.run.run_id}"
        # Repair first what people or killed runs left, so that changes of this run do not count as repairs.
        repaired = [one.text for one in champions.reconcile(models, tracking.tracker(), name, who=who)]
        for line in repaired:
            context.log.warning(line)
        if decision.promote and _move(models, spec, decision, who):
            context.log.info(f"{name}: version {decision.challenger.version} is served: {decision.reason}")
            champions.reconcile(models, tracking.tracker(), name, who=who)
        found = {"repaired": "; ".join(repaired)} if repaired else {}
        record = models.champion(name)
        if record is None:
            context.log.warning(f"{name}: {NOTHING_SERVED}: {decision.reason}")
            return dg.MaterializeResult(metadata={"champion": NOTHING_SERVED, "reason": decision.reason, **found})

        champion = record.champion
        probe = version_of(models, spec, champion).probe()
        models.sweep(name)
        retired = champions.retire(models, name, settings.keep_versions)
        if retired:
            context.log.info(f"{name}: removed versions {retired}, KEEP_VERSIONS={settings.keep_versions}")
        moves = (*reversed(record.history), champion)
        answer, plot = report_of(spec).probe(probe, spec.family.threshold)
        return dg.MaterializeResult(
            data_version=dg.DataVersion(champion.manifest_sha256[:32]),
            metadata={
                "champion": champion.version,
                "dagster/uri": models.locate(name, champion.version),
                "reason": champion.reason,
                "who": champion.who,
                "since": champion.when.isoformat(),
                "effective_source": champion.effective_source,
                "data_version": champion.data_version,
                **answer,
                **found,
                **preview(previews.history([(move.version, move.when) for move in moves])),
                "plot": picture(plot),
                "local_link": models.locate(name) + f"/{CURRENT}",
            },
        )

    return served


def _move(models: ServedModels, spec: ModelSpec, decision: DecisionRef, who: str) -> bool:
    """Make the challenger champion; ``False`` if it is the champion already.

    Raises:
        ModelError: the challenger cannot be loaded, or its predictions are not usable.
        ConflictError: another writer moved the champion meanwhile, or the version is vetoed.
    """
    challenger = decision.challenger
    version_of(models, spec, challenger).require_servable()
    current = models.champion(spec.name)
    if current and current.champion.version == challenger.version:
        return False
    models.move_champion(
        spec.name,
        challenger.version,
        challenger.manifest_sha256,
        reason=decision.reason,
        who=who,
        seen=decision.champion,
    )
    return True
