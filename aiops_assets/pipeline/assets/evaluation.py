"""The asset <name>_evaluation: challenger and champion on the same unseen hold-out, and the decision."""

from collections.abc import Mapping

import dagster as dg

from aiops_assets.families.contract import ModelSpec
from aiops_assets.pipeline.assets.training_sets import training_set_key
from aiops_assets.pipeline.keys import EVALUATION, MODEL, OWNER, group_of, handed_over, key_of, tags_of
from aiops_assets.pipeline.metadata import picture, preview
from aiops_assets.pipeline.pod_resources import step_tags
from aiops_assets.pipeline.resources import StoresResource, TrackingResource
from aiops_assets.registry.judging import Verdict, evaluation_record, judge_challenger
from aiops_assets.registry.reconciling import restore
from aiops_assets.registry.version import version_of
from aiops_assets.reporting import previews
from aiops_assets.reporting.reports import report_of
from aiops_assets.settings import Settings
from aiops_assets.storage.handoff import DecisionRef, TrainingSetRef, VersionRef


def evaluation_asset(spec: ModelSpec) -> dg.AssetsDefinition:
    """The asset that judges one model."""

    @dg.asset(
        key=key_of(spec.name, EVALUATION),
        ins={
            "challenger": dg.AssetIn(key=key_of(spec.name, MODEL)),
            "training_set": dg.AssetIn(key=training_set_key(spec.view, spec.source)),
        },
        group_name=group_of(spec.name),
        owners=[OWNER],
        tags=tags_of(spec),
        metadata=handed_over(spec.name, EVALUATION),
        kinds={spec.family.framework},
        backfill_policy=dg.BackfillPolicy.single_run(),
        op_tags=step_tags("evaluation"),
        description=(
            "Challenger and champion predict the same newest fifth of the rows, unseen by the challenger's fit. The "
            "challenger is rejected if it is worse by more than the noise of a block bootstrap; a first version is "
            f"compared with {spec.family.task.baseline_name}."
        ),
    )
    def evaluation(
        context: dg.AssetExecutionContext,
        challenger: VersionRef,
        training_set: TrainingSetRef,
        settings: dg.ResourceParam[Settings],
        stores: StoresResource,
        tracking: TrackingResource,
    ) -> dg.MaterializeResult[DecisionRef]:
        served = stores.served()
        version = version_of(served, spec, challenger)
        rows = stores.training_sets().rows(training_set.view, training_set.data_version)
        repaired = restore(served, tracking.tracker(), spec.name, who=f"dagster run {context.run.run_id}")
        if repaired:
            context.log.warning(repaired.text)
        verdict = judge_challenger(version, rows, training_set.data_version, settings.random_seed)
        decision, report = verdict.decision, report_of(spec)
        # An evaluation of the champion itself must not replace the one that made it champion.
        if not (decision.equal and served.evaluation(spec.name, challenger.version)):
            served.put_evaluation(
                evaluation_record(
                    verdict,
                    version.manifest,
                    data_version=training_set.data_version,
                    effective_source=training_set.effective_source,
                    dagster_run_id=context.run.run_id,
                )
            )
        return dg.MaterializeResult(
            value=DecisionRef(
                challenger=challenger,
                champion=verdict.champion,
                promote=decision.promote,
                equal=decision.equal,
                reason=decision.because.text,
                code=decision.because.code,
            ),
            metadata={
                **preview(previews.bars(verdict.figures.as_metrics(), verdict.opponent_figures)),
                "decision": "promote" if decision.promote else "keep",
                "reason": decision.because.text,
                "opponent": verdict.opponent,
                **report.counts(verdict.figures),
                **({"repaired": repaired.text} if repaired else {}),
                **verdict.figures.as_metrics(),
                **{f"opponent_{name}": value for name, value in verdict.opponent_figures.items()},
                **_intervals(verdict),
                "plot": picture(report.decision_picture(*_sides(verdict, challenger.version))),
            },
        )

    return evaluation


def _intervals(verdict: Verdict) -> dict[str, float]:
    """Differences and the ends of their 95 % intervals, as flat metadata."""
    return {
        f"{name}_difference{end}": value
        for name, difference in (verdict.comparison.gaps if verdict.comparison else {}).items()
        for end, value in (("", difference.value), ("_low", difference.low), ("_high", difference.high))
    }


def _sides(verdict: Verdict, version: int) -> tuple[dict[str, Mapping[str, float]], str]:
    """Figures of challenger and opponent by name, and the title of their picture."""
    sides = {
        f"challenger (version {version})": verdict.figures.as_metrics(),
        verdict.opponent: verdict.opponent_figures,
    }
    title = "promoted" if verdict.decision.promote else "rejected, or nothing new"
    return {who: side for who, side in sides.items() if side}, title
