"""The asset <name>_model: fit on the training set, write the immutable version directory, record the MLflow run."""

import platform
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version as package_version
from typing import Any

import dagster as dg

from aiops_assets.errors import IntegrityError
from aiops_assets.families.contract import Family, ModelSpec
from aiops_assets.pipeline.assets.training_sets import training_set_key
from aiops_assets.pipeline.keys import MODEL, OWNER, group_of, handed_over, key_of, tags_of
from aiops_assets.pipeline.metadata import link, picture, preview, source_metadata
from aiops_assets.pipeline.pod_resources import step_tags
from aiops_assets.pipeline.resources import StoresResource, TrackingResource
from aiops_assets.pipeline.run_history import close_dead_runs, has_ended
from aiops_assets.registry.code_digest import code_of
from aiops_assets.registry.fitting import Fitted, fit_model
from aiops_assets.registry.registering import loader_of, register, why_no_onnx
from aiops_assets.registry.restoring import restore
from aiops_assets.registry.version import version_of
from aiops_assets.reporting.reports import report_of
from aiops_assets.settings import Settings
from aiops_assets.storage.handoff import TrainingSetRef, VersionRef
from aiops_assets.storage.records import Manifest
from aiops_assets.storage.served import ServedModels
from aiops_assets.storage.training_sets import TrainingSets
from aiops_assets.timeseries.schema import combined_digest
from aiops_assets.tracking.tracker import DAGSTER_RUN_TAG, MANIFEST_TAG, DatasetInput, Tracker


def model_asset(spec: ModelSpec, *, gpu: bool = False) -> dg.AssetsDefinition:
    """The asset that fits one model.

    Args:
        spec: the model.
        gpu: whether its step requests a GPU of Kubernetes.
    """
    family = spec.family

    @dg.asset(
        key=key_of(spec.name, MODEL),
        ins={"training_set": dg.AssetIn(key=training_set_key(spec.view, spec.source))},
        group_name=group_of(spec.name),
        owners=[OWNER],
        tags=tags_of(spec),
        kinds={family.framework, "mlflow"},
        backfill_policy=dg.BackfillPolicy.single_run(),
        op_tags=step_tags("model", gpu=gpu),
        code_version=code_of(family),
        description=(
            f"{spec.description} One immutable, integer-versioned directory a fit. "
            "With unchanged data, code and configuration fitting is skipped."
        ),
        metadata={"parameters": spec.parameters, **handed_over(spec.name, MODEL)},
    )
    def model(
        context: dg.AssetExecutionContext,
        training_set: TrainingSetRef,
        settings: dg.ResourceParam[Settings],
        stores: StoresResource,
        tracking: TrackingResource,
    ) -> dg.MaterializeResult[VersionRef]:
        sets, served, tracker = stores.training_sets(), stores.served(), tracking.tracker()
        # Before minutes of fitting: a record that is not ours cannot be moved, and what is published needs a key.
        if repaired := restore(served, tracker, spec.name, who=f"dagster run {context.run.run_id}"):
            context.log.warning(repaired.text)
        if served.keys.make():
            context.log.info(f"made the key that versions are signed with: {settings.signing_key_file}")
        rows = sets.rows(training_set.view, training_set.data_version)
        for dead in close_dead_runs(context.instance):
            context.log.warning(f"Dagster run {dead} was left by a killed process: marked as failed")
        for orphan in tracker.close_orphans(partial(has_ended, context.instance)):
            context.log.warning(f"MLflow run {orphan} was left by a killed process: marked as killed")

        fingerprint = fingerprint_of(spec, settings.cluster, training_set, settings.random_seed)
        manifest = unchanged_version(served, tracker, spec, fingerprint)
        if manifest:
            training, fitted = stated_skip(manifest.version), None
        else:
            training = "fitted"
            manifest, fitted, plot = fit_version(
                spec, training_set, settings.random_seed, sets, served, tracker, dagster_run_id=context.run.run_id
            )
        context.log.info(f"training {training}")
        digest = served.manifest_sha256(spec.name, manifest.version)
        ref = VersionRef(name=spec.name, version=manifest.version, manifest_sha256=digest)
        version = version_of(served, spec, ref)
        if fitted:
            version.adopt(fitted.model, fitted.prediction, training_set.data_version)
        # Also for an unchanged version: a process that was killed after its commit did not register it.
        register(served, tracker, spec, manifest, ref)
        if why := why_no_onnx(tracker, spec.name, ref.version):
            context.log.info(f"{spec.name} version {ref.version} has no ONNX form in MLflow: {why}")
        if fitted:
            shown = fitted.prediction
        else:
            shown = version.predict_holdout(rows, training_set.data_version)
            plot = report_of(spec).holdout_picture(shown, rows, family.threshold)
        return dg.MaterializeResult(
            value=ref,
            data_version=dg.DataVersion(ref.manifest_sha256[:32]),
            metadata={
                **preview(report_of(spec).holdout_preview(shown, rows)),
                "training": training,
                "version": manifest.version,
                "dagster/uri": served.locate(spec.name, manifest.version),
                **source_metadata(manifest.effective_source, manifest.source),
                "data_version": manifest.data_version,
                "mlflow_run": link(manifest.run_url),
                "mlflow_run_id": manifest.run_id,
                **({"fit": manifest.fit} if manifest.fit else {}),
                **({"repaired": repaired.text} if repaired else {}),
                **manifest.metrics,
                "plot": picture(plot),
            },
        )

    return model


def stated_skip(version: int) -> str:
    """Why nothing was fitted, where a version of equal fingerprint is there."""
    return f"skipped: data, code and configuration are those of version {version}"


def fit_version(
    spec: ModelSpec,
    training_set: TrainingSetRef,
    seed: int,
    sets: TrainingSets,
    served: ServedModels,
    tracker: Tracker,
    *,
    dagster_run_id: str,
) -> tuple[Manifest, Fitted, bytes]:
    """Fit on the train rows, compute figures on the hold-out and commit a new version, all in one MLflow run.

    Returns:
        the manifest, the fitted model, and a PNG of its predictions for the hold-out.
    """
    family, view, data_version = spec.family, training_set.view, training_set.data_version
    rows, record = sets.rows(view, data_version), sets.record(view, data_version)
    dataset = DatasetInput(
        name=view,
        data_version=data_version,
        source=sets.locate(view, data_version),
        profile=record.model_dump(mode="json", include={"rows", "label_rate"})
        | {"effective_source": training_set.effective_source}
        | {"known": {name: round(one.share, 6) for name, one in training_set.source.known.items()}},
    )
    tags = {
        "cluster": record.cluster,
        "effective_source": training_set.effective_source,
        # All that the manifest records about the source: note, age of cached days, coverage.
        "source": training_set.source.model_dump_json(exclude_none=True),
        "data_version": data_version,
        DAGSTER_RUN_TAG: dagster_run_id,
        "code_version": code_of(family),
    }
    parameters = {**spec.parameters, "random_seed": seed}
    with tracker.run(spec.name, dataset=dataset, params=parameters, tags=tags) as run:
        fitted = fit_model(served, spec, rows, data_version, seed)
        metrics = family.task.figures(fitted.prediction, rows).as_metrics()
        run.log_metrics({**metrics, "fit_seconds": fitted.seconds})
        plot = report_of(spec).holdout_picture(fitted.prediction, rows, family.threshold)
        run.log_artifact("holdout.png", plot)

        def manifest(version: int, files: dict[str, str]) -> Manifest:
            return Manifest(
                name=spec.name,
                version=version,
                created=datetime.now(UTC),
                description=spec.description,
                cluster=record.cluster,
                cluster_ids=record.cluster_ids,
                features=family.features,
                features_digest=combined_digest({f"{i:03d}": name for i, name in enumerate(family.features)}),
                width=len(family.features),
                units=dict(family.units),
                parameters=parameters,
                packages={"python": platform.python_version(), **_package_versions(family)},
                view=view,
                data_version=data_version,
                training_set_sha256=sets.record_sha256(view, data_version),
                effective_source=training_set.effective_source,
                source=training_set.source,
                window_start=record.window_start,
                window_end=record.window_end,
                run_id=run.run_id,
                run_url=tracker.run_url(run.run_id),
                dagster_run_id=dagster_run_id,
                code_version=code_of(family),
                fingerprint=fingerprint_of(spec, record.cluster, training_set, seed),
                metrics=metrics,
                fit=fitted.how,
                trained_until=rows.loc[rows["split"] == "train", "timestamp"].max().to_pydatetime(),
                loader=loader_of(family),
                files=files,
            )

        # The model root may have been emptied; MLflow still knows the numbers that were given.
        known = max((entry.version for entry in tracker.versions(spec.name)), default=0)
        files = {family.model_file: fitted.data}
        return served.publish(spec.name, files, manifest, after=known), fitted, plot


def fingerprint_of(spec: ModelSpec, cluster: str, training_set: TrainingSetRef, seed: int) -> str:
    """Digest of data, code and configuration of a fit: equal fingerprints give equal models.

    The requested and the effective source are part of it: equal rows from the server and from the cache give equal
    models, but a manifest with "prometheus" must not be reused for a run in which no server answered.
    """
    return combined_digest(
        {
            "cluster": cluster,
            "data": training_set.data_version,
            "source": f"{training_set.source.asked}: {training_set.effective_source}",
            "code": code_of(spec.family),
            "parameters": repr(sorted(spec.parameters.items())),
            "seed": str(seed),
            **_package_versions(spec.family),
        }
    )


def unchanged_version(served: ServedModels, tracker: Tracker, spec: ModelSpec, fingerprint: str) -> Manifest | None:
    """Manifest of the newest undamaged version with this fingerprint; ``None``: there is none."""
    name = spec.name
    recorded = {entry.version: entry.tags.get(MANIFEST_TAG) for entry in tracker.versions(name)}
    for version in reversed(served.versions(name)):
        try:
            # A version that is not registered in MLflow yet has no other digest to compare with.
            manifest = served.manifest(name, version, recorded.get(version))
            if manifest.fingerprint == fingerprint:
                digest = recorded.get(version) or served.manifest_sha256(name, version)
                return version_of(served, spec, VersionRef(name=name, version=version, manifest_sha256=digest)).verify()
        except IntegrityError:
            continue
    return None


def _package_versions(family: Family[Any, Any]) -> dict[str, str]:
    return {name: package_version(name) for name in family.packages}
