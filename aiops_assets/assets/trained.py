"""model/<name>: fit on the training set, write the immutable version directory, record the MLflow run."""

import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version as package_version

import dagster as dg
import pandas as pd

from aiops_assets import plots
from aiops_assets.assets.handoff import TrainingSetRef, VersionRef
from aiops_assets.assets.reporting import picture
from aiops_assets.code_version import code_version
from aiops_assets.models import isolation_forest
from aiops_assets.models.catalog import ModelSpec
from aiops_assets.models.evaluation import Figures, judge
from aiops_assets.resources import StoresResource, TrackingResource
from aiops_assets.settings import Settings
from aiops_assets.stores.records import Manifest, TrainingSetRecord
from aiops_assets.stores.served import MODEL_FILE, ServedModels
from aiops_assets.timeseries.catalog import ENGINE_METRICS
from aiops_assets.timeseries.features import FEATURES
from aiops_assets.timeseries.schema import combined_digest
from aiops_assets.tracking import DatasetInput

PACKAGES = ("scikit-learn", "numpy", "scipy", "joblib", "pandas")


def model_key(spec: ModelSpec) -> dg.AssetKey:
    """Key of a model's asset."""
    return dg.AssetKey(["model", spec.name])


def model_asset(spec: ModelSpec) -> dg.AssetsDefinition:
    """The asset that fits one model."""

    @dg.asset(
        key=model_key(spec),
        ins={"training_set": dg.AssetIn(key=dg.AssetKey(["training_set", spec.view]))},
        group_name="models",
        kinds={"scikitlearn", "mlflow"},
        backfill_policy=dg.BackfillPolicy.single_run(),
        code_version=code_version(),
        description=(
            f"{spec.description} One immutable, integer-versioned directory a fit. "
            "With unchanged data, code and configuration fitting is skipped."
        ),
        metadata={"parameters": spec.parameters},
    )
    def model(
        context: dg.AssetExecutionContext,
        training_set: TrainingSetRef,
        settings: dg.ResourceParam[Settings],
        stores: StoresResource,
        tracking: TrackingResource,
    ) -> dg.MaterializeResult[VersionRef]:
        sets, served, tracker = stores.training_sets(), stores.served(), tracking.tracker()
        rows = sets.rows(training_set.view, training_set.data_version)
        record = sets.record(training_set.view, training_set.data_version)
        fingerprint = fingerprint_of(spec, record.data_version, settings.random_seed)
        for orphan in tracker.close_orphans():
            context.log.warning(f"MLflow run {orphan} was left by a killed process: marked as killed")

        manifest = unchanged_version(served, spec.name, fingerprint)
        trained = manifest is None
        if manifest is None:
            dataset = DatasetInput(
                name=record.view,
                data_version=record.data_version,
                source=sets.locate(record.view, record.data_version),
                profile={
                    "rows": record.rows,
                    "label_rate": record.label_rate,
                    "effective_source": record.effective_source,
                },
            )
            tags = {
                "effective_source": record.effective_source,
                "dagster_run_id": context.run_id,
                "code_version": code_version(),
                "data_version": record.data_version,
            }
            parameters = {**spec.parameters, "random_seed": settings.random_seed}
            with tracker.run(spec.name, dataset=dataset, params=parameters, tags=tags) as run:
                pipeline = isolation_forest.fit(rows[rows["split"] == "train"], spec.parameters, settings.random_seed)
                figures = judge(pipeline, rows[rows["split"] == "holdout"])
                run.log_metrics(figures.as_metrics())
                run.log_artifact("scores.png", _score_picture(pipeline, rows))
                manifest = served.publish(
                    spec.name,
                    {MODEL_FILE: isolation_forest.to_bytes(pipeline)},
                    lambda number, files: _manifest(
                        spec,
                        number,
                        files,
                        record=record,
                        record_sha256=sets.record_sha256(record.view, record.data_version),
                        figures=figures,
                        parameters=parameters,
                        fingerprint=fingerprint,
                        run_id=run.run_id,
                        run_url=tracker.run_url(run.run_id),
                        dagster_run_id=context.run_id,
                    ),
                )
        else:
            context.log.info(f"training skipped: data, code and configuration are those of version {manifest.version}")

        digest = served.manifest_sha256(spec.name, manifest.version)
        # Also for a version found unchanged: a process killed after its commit never came to this.
        tracker.register(
            spec.name,
            manifest.version,
            served.files(spec.name, manifest.version),
            run_id=manifest.run_id,
            tags={
                "manifest_sha256": digest,
                "data_version": manifest.data_version,
                "effective_source": manifest.effective_source,
                "dagster_run_id": manifest.dagster_run_id,
                "served_directory": served.locate(spec.name, manifest.version),
            },
        )
        pipeline = isolation_forest.from_bytes(served.load_file(spec.name, manifest.version, MODEL_FILE, digest))
        return dg.MaterializeResult(
            value=VersionRef(name=spec.name, version=manifest.version, manifest_sha256=digest),
            data_version=dg.DataVersion(digest[:32]),
            metadata={
                "training": "fitted" if trained else f"skipped: unchanged since version {manifest.version}",
                "version": manifest.version,
                "dagster/uri": served.locate(spec.name, manifest.version),
                "effective_source": manifest.effective_source,
                "data_version": manifest.data_version,
                "mlflow_run": manifest.run_url,
                "mlflow_run_id": manifest.run_id,
                **manifest.metrics,
                "plot": picture(_score_picture(pipeline, rows)),
            },
        )

    return model


def fingerprint_of(spec: ModelSpec, data_version: str, seed: int) -> str:
    """What decides a fit: data, code and configuration. The same fingerprint would give the same model."""
    return combined_digest(
        {
            "data": data_version,
            "code": code_version(),
            "parameters": repr(sorted(spec.parameters.items())),
            "seed": str(seed),
            **{name: package_version(name) for name in PACKAGES},
        }
    )


def unchanged_version(served: ServedModels, name: str, fingerprint: str) -> Manifest | None:
    """The newest whole version that was made with this fingerprint."""
    for version in reversed(served.versions(name)):
        manifest = served.manifest(name, version)
        if manifest.fingerprint == fingerprint and all(check.verified for check in served.check_files(manifest)):
            return manifest
    return None


def _manifest(
    spec: ModelSpec,
    version: int,
    files: dict[str, str],
    *,
    record: TrainingSetRecord,
    record_sha256: str,
    figures: Figures,
    parameters: Mapping[str, object],
    fingerprint: str,
    run_id: str,
    run_url: str,
    dagster_run_id: str,
) -> Manifest:
    return Manifest(
        name=spec.name,
        version=version,
        created=datetime.now(UTC),
        description=spec.description,
        cluster=record.cluster,
        features=FEATURES,
        features_digest=combined_digest({f"{i:03d}": name for i, name in enumerate(FEATURES)}),
        width=len(FEATURES),
        units={metric.name: metric.unit for metric in ENGINE_METRICS},
        parameters=dict(parameters),
        packages={"python": platform.python_version(), **{name: package_version(name) for name in PACKAGES}},
        view=record.view,
        data_version=record.data_version,
        training_set_sha256=record_sha256,
        effective_source=record.effective_source,
        run_id=run_id,
        run_url=run_url,
        dagster_run_id=dagster_run_id,
        code_version=code_version(),
        fingerprint=fingerprint,
        metrics=figures.as_metrics(),
        files=files,
    )


def _score_picture(pipeline: object, rows: pd.DataFrame) -> bytes:
    holdout = rows[rows["split"] == "holdout"]
    scores = isolation_forest.anomaly_score(pipeline, holdout[list(FEATURES)].to_numpy())
    return plots.score_histogram(scores, holdout["label"].to_numpy(), "hold-out rows by anomaly score")
