"""Registers versions in MLflow, each as a model that MLflow's own tools load.

The registered copy has the files of the served directory as they are, and MLflow's files beside them. The served
directory itself is never written to.
"""

from collections.abc import Callable
from importlib.metadata import packages_distributions
from importlib.metadata import version as installed_version
from importlib.util import find_spec
from typing import Any

from aiops_assets import __version__
from aiops_assets.errors import IntegrityError, ModelError, NotFoundError
from aiops_assets.families.contract import Asking, Family, ModelSpec
from aiops_assets.judging.detection.task import DETECTION
from aiops_assets.judging.forecasting.task import FORECASTING
from aiops_assets.judging.statements import Statement
from aiops_assets.learners.forecasters.hourly_baseline import ANSWERED
from aiops_assets.registry.version import version_of
from aiops_assets.settings import Settings
from aiops_assets.storage.handoff import VersionRef
from aiops_assets.storage.records import Loader, Manifest
from aiops_assets.storage.served import ServedModels
from aiops_assets.tracking.mlflow_model import ModelDescription, mlflow_files
from aiops_assets.tracking.tracker import (
    DAGSTER_RUN_TAG,
    DATA_TAG,
    FLAVORS_TAG,
    MANIFEST_TAG,
    NO_ONNX_TAG,
    RegisteredVersion,
    Tracker,
)

LOADER_MODULE = "aiops_assets.service.mlflow_loader"
"""MLmodel names it, so models that are registered already need it under this name."""
OURS = "aiops-assets"
DEFAULT_HORIZON = Settings.model_fields["forecast_horizon"].default
RELATIVE = "_pct_change"
EXAMPLE = 0.5
"""A ratio, as most metrics are."""
SHAPES: dict[Asking, Callable[[int, int], tuple[tuple[int, ...], tuple[int, ...]]]] = {
    Asking.ROWS: lambda width, rows: ((-1, width), (1, width)),
    Asking.ENGINE_ROWS: lambda width, rows: ((-1, -1), (1, width)),
    Asking.WINDOWS: lambda width, rows: ((-1, -1, width), (1, rows, width)),
}
"""Shape of an input and of an example, from the manifest's width and the rows that a prediction needs at least."""
FORECASTS: dict[str, Callable[[Family[Any, Any]], tuple[str, ...]]] = {
    DETECTION.name: lambda family: (),
    FORECASTING.name: lambda family: ANSWERED if family.asking is Asking.ENGINE_ROWS else family.contributors,
}
"""Metrics in an answer of forecasts, by the name of the family's task."""
PACKAGE_MISSING = "package_missing"


def loader_of(family: Family[Any, Any]) -> Loader:
    """What loads the model files of a family, for the manifest."""
    protocol = family.protocol or family.model_file.rpartition(".")[2]
    if family.read_by:
        return Loader(package=family.read_by, version=installed_version(family.read_by), protocol=protocol)
    top = type(family).__module__.partition(".")[0]
    if top == "aiops_assets":
        return Loader(package=OURS, version=__version__, protocol=protocol)
    names = packages_distributions().get(top, [])
    return (
        Loader(package=names[0], version=installed_version(names[0]), protocol=protocol)
        if names
        else (Loader(package=top, version="", protocol=protocol))
    )


def register(served: ServedModels, tracker: Tracker, spec: ModelSpec, manifest: Manifest, ref: VersionRef) -> None:
    """Register a committed version in MLflow, with the digest of its manifest.

    One that is registered already is completed where it is no MLflow model yet.

    Args:
        served: version directories.
        tracker: MLflow.
        spec: the model.
        manifest: manifest of the version.
        ref: the version, with the digest of this manifest.

    Raises:
        IntegrityError: the version is registered with another manifest, or its files differ from the manifest.
        StoreError: MLflow cannot be reached.
    """
    name, version = manifest.name, manifest.version
    found = tracker.find(name, version)
    # First of all: what was read has a known digest, so that the model is asked for without reading its file again.
    files = {} if found else served.files(name, version)
    model, form = ({}, {}) if found else _as_mlflow_model(served, spec, ref)
    tags = {
        MANIFEST_TAG: ref.manifest_sha256,
        "cluster": manifest.cluster,
        DATA_TAG: manifest.data_version,
        "effective_source": manifest.effective_source,
        DAGSTER_RUN_TAG: manifest.dagster_run_id,
        "served_directory": served.locate(name, version),
        **form,
    }
    made = tracker.register(
        name, version, lambda: {**(files or served.files(name, version)), **model}, run_id=manifest.run_id, tags=tags
    )
    complete(served, tracker, spec, made)


def complete(
    served: ServedModels, tracker: Tracker, spec: ModelSpec, registered: RegisteredVersion, *, repair: bool = True
) -> Statement | None:
    """Make a registered version of an earlier release an MLflow model, from its served directory.

    Args:
        served: version directories.
        tracker: MLflow.
        spec: the model.
        registered: the version as MLflow knows it.
        repair: whether to change anything; ``False``: only look.

    Returns:
        What was missing; ``None``: nothing, or nothing can be added, because its directory is gone or differs.

    Raises:
        StoreError: MLflow cannot be reached.
    """
    if not _lacks(spec.family, registered):
        return None
    digest = registered.tags.get(MANIFEST_TAG, "")
    ref = VersionRef(name=registered.name, version=registered.version, manifest_sha256=digest)
    try:
        served.verified(registered.name, registered.version, digest)
        if repair:
            tracker.add_files(registered, *_as_mlflow_model(served, spec, ref))
    except (NotFoundError, IntegrityError):
        return None
    text = f"MLflow has version {registered.version} without a form that its own tools load"
    return Statement("no_mlflow_model", text, version=registered.version)


def why_no_onnx(tracker: Tracker, name: str, version: int) -> str:
    """Why a registered version has no ONNX form though models of its kind have one; empty: it has, or there is none."""
    found = tracker.find(name, version)
    return found.tags.get(NO_ONNX_TAG, "") if found else ""


def _lacks(family: Family[Any, Any], registered: RegisteredVersion) -> bool:
    """Whether something can be added that would not have been there before."""
    if FLAVORS_TAG not in registered.tags:
        return True
    return registered.tags.get(NO_ONNX_TAG, "").startswith(PACKAGE_MISSING) and all(
        find_spec(package) for package in ("onnx", "onnxruntime")
    )


def _as_mlflow_model(served: ServedModels, spec: ModelSpec, ref: VersionRef) -> tuple[dict[str, bytes], dict[str, str]]:
    """MLflow's files of a version, and the tags that state which forms they are."""
    version = version_of(served, spec, ref)
    onnx, why = None, ""
    try:
        onnx = spec.family.to_onnx(version.model()) if _has_onnx(spec.family) else None
    except ModelError as error:
        why = f"{error.code}: {error}"
    description = describe(spec, version.manifest, ref.manifest_sha256, onnx)
    return mlflow_files(description), {FLAVORS_TAG: " ".join(description.flavors), NO_ONNX_TAG: why}


def _has_onnx(family: Family[Any, Any]) -> bool:
    """Whether the family has an ONNX form, without reading a model for it."""
    return type(family).to_onnx is not Family.to_onnx


def describe(spec: ModelSpec, manifest: Manifest, manifest_sha256: str, onnx: bytes | None = None) -> ModelDescription:
    """What MLflow has to know of a version."""
    family = spec.family
    shape, of_example = SHAPES[family.asking](manifest.width, family.least_rows)
    example: Any = EXAMPLE
    for length in reversed(of_example):
        example = [example] * length
    written_with = {name: release for name, release in manifest.packages.items() if name != "python"}
    return ModelDescription(
        loader_module=LOADER_MODULE,
        shape=shape,
        forecasts=FORECASTS[family.task.name](family),
        example=example,
        horizon=int(
            str(manifest.parameters.get("forecast_horizon", Settings.model_fields["forecast_horizon"].default))
        ),
        requirements=(
            f"{OURS}[service]=={__version__}",
            *(f"{name}=={release}" for name, release in sorted(written_with.items())),
        ),
        metadata={
            "name": manifest.name,
            "version": manifest.version,
            "manifest_sha256": manifest_sha256,
            "description": manifest.description,
            "columns": [{"name": name, "unit": unit_of(name, manifest.units)} for name in manifest.features],
            "units": manifest.units,
            "least_rows": family.least_rows,
            "data_version": manifest.data_version,
            "effective_source": manifest.effective_source,
            "loader": (manifest.loader or loader_of(family)).model_dump(),
        },
        onnx=onnx,
    )


def unit_of(column: str, units: dict[str, str]) -> str:
    """The unit of the metric with whose name a column begins; empty: not known. Relative changes are ratios."""
    if column.endswith(RELATIVE):
        return "ratio"
    return units.get(max((name for name in units if column.startswith(name)), key=len, default=""), "")
