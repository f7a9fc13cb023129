"""The asset <name>_shadow: predictions of challenger and champion for the newest window, kept for comparison."""

import dagster as dg

from aiops_assets.families.contract import ModelSpec
from aiops_assets.pipeline.assets.training_sets import training_set_key
from aiops_assets.pipeline.keys import EVALUATION, OWNER, SHADOW, group_of, handed_over, key_of, tags_of
from aiops_assets.pipeline.metadata import picture, preview
from aiops_assets.pipeline.pod_resources import step_tags
from aiops_assets.pipeline.resources import StoresResource
from aiops_assets.registry.shadowing import score_window, window_record
from aiops_assets.reporting.reports import report_of
from aiops_assets.storage.handoff import DecisionRef, TrainingSetRef
from aiops_assets.storage.shadow import ShadowRecord

AFTER_SERVING: dict[str, object] = {"dagster/priority": "-1"}
"""Tags of steps that serve nothing: they wait for all other steps."""


def shadow_asset(spec: ModelSpec) -> dg.AssetsDefinition:
    """The asset that keeps the scores of one model's challenger and champion."""

    @dg.asset(
        key=key_of(spec.name, SHADOW),
        # The champion at the evaluation, which the challenger may have replaced since.
        ins={
            "decision": dg.AssetIn(key=key_of(spec.name, EVALUATION)),
            "training_set": dg.AssetIn(key=training_set_key(spec.view, spec.source)),
        },
        group_name=group_of(spec.name),
        owners=[OWNER],
        tags=tags_of(spec),
        metadata=handed_over(spec.name, SHADOW),
        kinds={spec.family.framework},
        backfill_policy=dg.BackfillPolicy.single_run(),
        op_tags=AFTER_SERVING | step_tags("shadow"),
        description=(
            "Predictions of challenger and champion for the newest fifth of the rows. Nothing waits for them and they "
            f"raise no alert; `aiops compare {spec.name}` compares the two over the stored windows."
        ),
    )
    def shadow(
        context: dg.AssetExecutionContext, decision: DecisionRef, training_set: TrainingSetRef, stores: StoresResource
    ) -> dg.MaterializeResult[ShadowRecord]:
        sets, served, kept = stores.training_sets(), stores.served(), stores.shadow()
        record = window_record(
            served,
            spec,
            sets.record(training_set.view, training_set.data_version),
            effective_source=training_set.effective_source,
            challenger=decision.challenger.version,
            challenger_sha256=decision.challenger.manifest_sha256,
            champion=decision.champion,
        )
        if record.note:
            context.log.warning(f"the champion, version {record.champion}, has no predictions: {record.note}")
        scores = kept.kept(record)
        if scores is None:
            scores = score_window(served, spec, record, sets.rows(training_set.view, training_set.data_version))
            for gone in kept.put(record, scores):
                context.log.info(f"removed {gone}, the oldest stored window")
        figures, plot = report_of(spec).shadow(record, scores)
        return dg.MaterializeResult(
            value=record,
            metadata={
                "challenger": record.challenger,
                "champion": record.champion or "none",
                **({"note": record.note} if record.note else {}),
                "dagster/uri": kept.locate(spec.name, record.file_name),
                "rows": len(scores),
                **{name: value for name, value in figures.items() if value is not None},
                **preview(report_of(spec).shadow_preview(scores)),
                **({"plot": picture(plot)} if plot else {}),
            },
        )

    return shadow
