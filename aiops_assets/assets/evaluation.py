"""evaluation/<name>: challenger and champion on the same untouched hold-out, and what follows from it."""

import dagster as dg

from aiops_assets import plots
from aiops_assets.assets.reporting import picture
from aiops_assets.assets.trained import model_key
from aiops_assets.errors import IntegrityError, NotFoundError
from aiops_assets.models import isolation_forest
from aiops_assets.models.catalog import ModelSpec
from aiops_assets.models.evaluation import Decision, Figures, decide, judge, replace_damaged
from aiops_assets.resources import StoresResource
from aiops_assets.stores.handoff import DecisionRef, TrainingSetRef, VersionRef
from aiops_assets.stores.served import MODEL_FILE, ServedModels


def evaluation_key(spec: ModelSpec) -> dg.AssetKey:
    """Key of a model's evaluation."""
    return dg.AssetKey(["evaluation", spec.name])


def evaluation_asset(spec: ModelSpec) -> dg.AssetsDefinition:
    """The asset that judges one model."""

    @dg.asset(
        key=evaluation_key(spec),
        ins={
            "challenger": dg.AssetIn(key=model_key(spec)),
            "training_set": dg.AssetIn(key=dg.AssetKey(["training_set", spec.view])),
        },
        group_name="evaluation",
        kinds={"scikitlearn"},
        backfill_policy=dg.BackfillPolicy.single_run(),
        description="Challenger and champion on the same newest fifth of the rows, unseen by the challenger's fit.",
    )
    def evaluation(
        challenger: VersionRef, training_set: TrainingSetRef, stores: StoresResource
    ) -> dg.MaterializeResult[DecisionRef]:
        served = stores.served()
        rows = stores.training_sets().rows(training_set.view, training_set.data_version)
        holdout = rows[rows["split"] == "holdout"]

        def figures_of(version: int, manifest_sha256: str) -> Figures:
            data = served.load_file(spec.name, version, MODEL_FILE, manifest_sha256)
            return judge(isolation_forest.from_bytes(data), holdout)

        judged = {
            f"challenger (version {challenger.version})": figures_of(challenger.version, challenger.manifest_sha256)
        }
        record = served.champion(spec.name)
        if record and record.champion.manifest_sha256 == challenger.manifest_sha256:
            decision = Decision(False, f"version {challenger.version} is the champion already", equal=True)
        elif record and (
            damage := _damage(served, spec.name, record.champion.version, record.champion.manifest_sha256)
        ):
            decision = replace_damaged(
                damage,
                challenger_source=served.manifest(spec.name, challenger.version).effective_source,
                champion_source=record.champion.effective_source,
            )
        elif record and _same_model(served, spec.name, challenger.version, record.champion.version):
            decision = Decision(False, f"the same model as the champion, version {record.champion.version}", equal=True)
        else:
            champion = figures_of(record.champion.version, record.champion.manifest_sha256) if record else None
            if record and champion:
                judged[f"champion (version {record.champion.version})"] = champion
            decision = decide(
                next(iter(judged.values())),
                champion,
                challenger_source=served.manifest(spec.name, challenger.version).effective_source,
                champion_source=record.champion.effective_source if record else None,
            )
        return dg.MaterializeResult(
            value=DecisionRef(
                challenger=challenger,
                champion=record.champion.version if record else None,
                promote=decision.promote,
                equal=decision.equal,
                reason=decision.reason,
            ),
            metadata={
                "decision": "promote" if decision.promote else "keep",
                "reason": decision.reason,
                "holdout_rows": len(holdout),
                "plot": picture(plots.figure_bars({who: f.as_metrics() for who, f in judged.items()}, decision.reason)),
                **next(iter(judged.values())).as_metrics(),
            },
        )

    return evaluation


def _same_model(served: ServedModels, name: str, *versions: int) -> bool:
    """Whether versions of one cluster hold the same files, byte for byte."""
    manifests = [served.manifest(name, version) for version in versions]
    return len({(manifest.cluster, *sorted(manifest.files.items())) for manifest in manifests}) == 1


def _damage(served: ServedModels, name: str, version: int, manifest_sha256: str) -> str:
    """Why a recorded champion cannot be loaded; empty when it can."""
    try:
        served.load_file(name, version, MODEL_FILE, manifest_sha256)
    except (IntegrityError, NotFoundError) as error:
        return str(error)
    return ""
