"""The asset <name>_card: the model card of the judged version, beside the version directories and in MLflow."""

import dagster as dg

from aiops_assets.errors import IntegrityError, NotFoundError, StoreError
from aiops_assets.families.contract import ModelSpec
from aiops_assets.pipeline.assets.shadow import AFTER_SERVING
from aiops_assets.pipeline.keys import CARD, EVALUATION, OWNER, SHADOW, group_of, handed_over, key_of, tags_of
from aiops_assets.pipeline.metadata import picture
from aiops_assets.pipeline.pod_resources import step_tags
from aiops_assets.pipeline.resources import StoresResource, TrackingResource
from aiops_assets.registry.version import version_of
from aiops_assets.reporting.cards.rendering import card_files
from aiops_assets.reporting.cards.subject import Subject
from aiops_assets.settings import Settings
from aiops_assets.storage.cards import CARD as CARD_FILE
from aiops_assets.storage.handoff import DecisionRef
from aiops_assets.storage.records import Manifest, TrainingSetRecord
from aiops_assets.storage.shadow import ShadowRecord
from aiops_assets.storage.training_sets import TrainingSets

ARTIFACTS = "card"
"""Folder of the MLflow run."""


def card_asset(spec: ModelSpec) -> dg.AssetsDefinition:
    """The asset that writes the card of one model's newest version."""

    @dg.asset(
        key=key_of(spec.name, CARD),
        ins={
            "decision": dg.AssetIn(key=key_of(spec.name, EVALUATION)),
            "shadow": dg.AssetIn(key=key_of(spec.name, SHADOW)),
        },
        group_name=group_of(spec.name),
        owners=[OWNER],
        tags=tags_of(spec),
        metadata=handed_over(spec.name, CARD),
        kinds={"markdown", "mlflow"},
        backfill_policy=dg.BackfillPolicy.single_run(),
        op_tags=AFTER_SERVING | step_tags("card"),
        description=(
            "The card of the version: purpose, data, figures and known weaknesses, written anew at each evaluation. "
            f"`aiops card {spec.name}` prints it."
        ),
    )
    def card(
        context: dg.AssetExecutionContext,
        decision: DecisionRef,
        shadow: ShadowRecord,
        settings: dg.ResourceParam[Settings],
        stores: StoresResource,
        tracking: TrackingResource,
    ) -> dg.MaterializeResult[None]:
        served, cards = stores.served(), stores.cards()
        judged = version_of(served, spec, decision.challenger)
        version, manifest = judged.number, judged.manifest
        files = card_files(
            Subject(
                spec=spec,
                manifest=manifest,
                manifest_sha256=judged.digest,
                directory=served.locate(spec.name, version),
                evaluation=served.evaluation(spec.name, version),
                training_set=_training_set(stores.training_sets(), manifest),
                scores=stores.shadow().read(spec.name, shadow.file_name)[1],
                shadow=shadow,
                seed=settings.random_seed,
            )
        )
        drawn = [content for file, content in files.items() if file.endswith(".png")]
        cards.put(spec.name, version, files)
        try:
            tracking.tracker().log_files(manifest.run_id, ARTIFACTS, files)
            kept = f"{manifest.run_url} ({ARTIFACTS}/)"
        except StoreError as error:
            # MLflow runs may be deleted, which must not fail a card that is written.
            kept = f"not kept there: {error}"
            context.log.warning(f"the card is {kept}")
        return dg.MaterializeResult(
            metadata={
                "version": version,
                "dagster/uri": cards.locate(spec.name, version),
                "mlflow": kept,
                "card": dg.MetadataValue.md(_without_pictures(files[CARD_FILE].decode())),
                **({"plot": picture(drawn[0])} if drawn else {}),
            }
        )

    return card


def _training_set(sets: TrainingSets, manifest: Manifest) -> TrainingSetRecord | None:
    """The record of the training set; ``None`` if it is missing or changed, about which the lineage says more."""
    try:
        return sets.record(manifest.view, manifest.data_version, manifest.training_set_sha256)
    except (NotFoundError, IntegrityError):
        return None


def _without_pictures(card: str) -> str:
    """The card without its pictures, which the Dagster UI cannot find."""
    return "\n".join(line for line in card.splitlines() if not line.startswith("!["))
