"""served/<name>: the champion record moved where the evaluation says so, and what is derived from it put right."""

import dagster as dg
import numpy as np

from aiops_assets import plots
from aiops_assets.assets.evaluation import evaluation_key
from aiops_assets.assets.reporting import picture
from aiops_assets.errors import ModelError, NotFoundError
from aiops_assets.models import isolation_forest
from aiops_assets.models.catalog import ModelSpec
from aiops_assets.models.evaluation import healthy_rows, smoke_problems
from aiops_assets.resources import StoresResource, TrackingResource
from aiops_assets.stores.handoff import DecisionRef
from aiops_assets.stores.served import CURRENT, MODEL_FILE

CHAMPION_ALIAS = "champion"


def served_key(spec: ModelSpec) -> dg.AssetKey:
    """Key of a model's served asset."""
    return dg.AssetKey(["served", spec.name])


def served_asset(spec: ModelSpec) -> dg.AssetsDefinition:
    """The asset that serves one model."""

    @dg.asset(
        key=served_key(spec),
        ins={"decision": dg.AssetIn(key=evaluation_key(spec))},
        group_name="served",
        kinds={"kserve"},
        backfill_policy=dg.BackfillPolicy.single_run(),
        description=(
            "The champion record is the one truth about what is served. MLflow's alias and the local link `current` "
            "follow it, and the model file is read back, verified and asked before it is called served."
        ),
    )
    def served(
        context: dg.AssetExecutionContext, decision: DecisionRef, stores: StoresResource, tracking: TrackingResource
    ) -> dg.MaterializeResult[None]:
        models = stores.served()
        challenger = decision.challenger
        if decision.promote:
            pipeline = isolation_forest.from_bytes(
                models.load_file(spec.name, challenger.version, MODEL_FILE, challenger.manifest_sha256)
            )
            if problems := smoke_problems(pipeline):
                raise ModelError(f"{spec.name} version {challenger.version} is not served: {'; '.join(problems)}")
            current = models.champion(spec.name)
            # Materialized again after the move: there is nothing left to move.
            if not current or current.champion.version != challenger.version:
                models.move_champion(
                    spec.name,
                    challenger.version,
                    challenger.manifest_sha256,
                    reason=decision.reason,
                    who=f"dagster run {context.run.run_id}",
                    seen=decision.champion,
                )
                context.log.info(f"{spec.name}: version {challenger.version} is served: {decision.reason}")
        record = models.champion(spec.name)
        if record is None:
            raise NotFoundError(f"{spec.name} has no champion: {decision.reason}")

        champion = record.champion
        pipeline = isolation_forest.from_bytes(
            models.load_file(spec.name, champion.version, MODEL_FILE, champion.manifest_sha256)
        )
        tracking.tracker().set_alias(spec.name, CHAMPION_ALIAS, champion.version)
        models.link_current(spec.name, champion.version)
        models.sweep(spec.name)
        rows = healthy_rows(300, seed=1)
        scores = isolation_forest.anomaly_score(pipeline, rows)
        return dg.MaterializeResult(
            data_version=dg.DataVersion(champion.manifest_sha256[:32]),
            metadata={
                "champion": champion.version,
                "dagster/uri": models.locate(spec.name, champion.version),
                "reason": champion.reason,
                "who": champion.who,
                "since": champion.when.isoformat(),
                "effective_source": champion.effective_source,
                "data_version": champion.data_version,
                "alarms_on_healthy_rows": float((scores > 0).mean()),
                "plot": picture(plots.score_histogram(scores, np.zeros(len(scores)), "smoke inference: healthy rows")),
                "local_link": models.locate(spec.name) + f"/{CURRENT}",
            },
        )

    return served
