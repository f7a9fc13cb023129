"""shadow/<name>: what challenger and champion said of the newest window, kept to be compared over time."""

import dagster as dg

from aiops_assets.assets.evaluation import evaluation_key
from aiops_assets.assets.reporting import picture
from aiops_assets.assets.training_sets import training_set_key
from aiops_assets.cards.pictures import score_timelines
from aiops_assets.models.catalog import ModelSpec
from aiops_assets.models.families import family_of
from aiops_assets.models.shadow import SideBySide, compare
from aiops_assets.registry.shadowing import score_window, window_record
from aiops_assets.resources import StoresResource
from aiops_assets.stores.handoff import DecisionRef, TrainingSetRef
from aiops_assets.stores.shadow import ShadowRecord

AFTER_SERVING = {"dagster/priority": "-1"}
"""What nobody is served by waits until there is nothing else to do."""


def shadow_key(spec: ModelSpec) -> dg.AssetKey:
    """Key of a model's shadow scores."""
    return dg.AssetKey(["shadow", spec.name])


def shadow_asset(spec: ModelSpec) -> dg.AssetsDefinition:
    """The asset that keeps the scores of one model's challenger and champion."""

    @dg.asset(
        key=shadow_key(spec),
        # The champion that the evaluation saw: until this runs, the challenger may have taken its place.
        ins={
            "decision": dg.AssetIn(key=evaluation_key(spec)),
            "training_set": dg.AssetIn(key=training_set_key(spec.view)),
        },
        group_name="evaluation",
        kinds={family_of(spec).framework},
        backfill_policy=dg.BackfillPolicy.single_run(),
        op_tags=AFTER_SERVING,
        description=(
            "Challenger beside champion on the newest fifth of the rows, score by score. Nothing waits for it and "
            f"nobody is called by it; `aiops compare {spec.name}` compares the two over the windows kept."
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
            context.log.warning(f"the champion, version {record.champion}, is not asked: {record.note}")
        scores = kept.kept(record)
        if scores is None:
            scores = score_window(served, spec, record, sets.rows(training_set.view, training_set.data_version))
            for gone in kept.put(record, scores):
                context.log.info(f"removed {gone}, the oldest of the windows kept")
        both = compare(scores)
        return dg.MaterializeResult(
            value=record,
            metadata={
                "challenger": record.challenger,
                "champion": record.champion or "none",
                **({"note": record.note} if record.note else {}),
                "dagster/uri": kept.locate(spec.name, record.file_name),
                "rows": len(scores),
                **_figures(both),
                "plot": picture(score_timelines(scores, _titles(record, both))),
            },
        )

    return shadow


def _figures(both: SideBySide) -> dict[str, float]:
    stated = {
        "alerts_agree": both.alerts_agree,
        "rank_correlation": both.rank_correlation,
        "challenger_average_precision": both.challenger.average_precision,
        "champion_average_precision": both.champion.average_precision if both.champion else None,
        "challenger_false_alarm_rate": both.challenger.false_alarm_rate,
        "champion_false_alarm_rate": both.champion.false_alarm_rate if both.champion else None,
    }
    return {name: value for name, value in stated.items() if value is not None}


def _titles(record: ShadowRecord, both: SideBySide) -> dict[str, str]:
    if not record.is_pair or both.champion is None:
        return {"challenger": f"version {record.challenger}"}
    return {
        "challenger": f"challenger, version {record.challenger}",
        "champion": f"champion, version {record.champion}",
    }
