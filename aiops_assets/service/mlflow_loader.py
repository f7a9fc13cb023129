"""Loads a registered version for MLflow, whose ``pyfunc.load_model`` and ``models serve`` answer as the service.

MLmodel names this module as its loader, so MLflow unpickles nothing of its own. The files are verified as everywhere:
the manifest by its signature and by the digest that MLflow's registry has of it, the model file by the manifest.
"""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from aiops_assets.errors import AiopsError, DataError, IntegrityError, ModelError, SchemaError, package_missing
from aiops_assets.families.catalog import MODELS
from aiops_assets.families.contract import ModelSpec
from aiops_assets.registry.version import Version
from aiops_assets.service.inference import Question, infer
from aiops_assets.service.ready import ReadyModel
from aiops_assets.settings import Settings, load_settings
from aiops_assets.storage.mounted import MountedVersion
from aiops_assets.storage.records import ChampionMove, Manifest, sha256
from aiops_assets.storage.served import MANIFEST, ServedModels
from aiops_assets.storage.signatures import Keys
from aiops_assets.tracking.mlflow_model import HORIZON, NOW, SCORES, recorded_digests

MAX_MANIFEST_BYTES = 2**22


def _load_pyfunc(path: str) -> "ServedVersion":
    """The model in a copy of a registered version: the function that MLflow calls.

    Args:
        path: folder with manifest and model file.

    Raises:
        IntegrityError: the manifest is not signed, or not the one that MLflow's registry has recorded, or the model
            file is not the one that the manifest names; nothing was unpickled.
        ModelError: the model is not known here, cannot be read, or its predictions are not usable.
        StoreError: MLflow's registry does not answer.
    """
    served = ServedModels(MountedVersion(Path(path)), Keys(load_settings(os.environ).verify_key_file))
    digest, manifest = _manifest(Path(path, MANIFEST))
    spec = _spec_of(manifest.name)
    recorded = recorded_digests(manifest.name, manifest.version)
    if digest not in recorded:
        state = "has another digest of its manifest" if recorded else "does not have it"
        raise IntegrityError(
            f"{path} is {manifest.name} version {manifest.version}, and MLflow's registry {state}: do not load it; "
            f"load models:/{manifest.name}@champion, from the registry that MLFLOW_TRACKING_URI names",
            code="not_registered",
            name=manifest.name,
            version=manifest.version,
        )
    move = ChampionMove(
        version=manifest.version,
        manifest_sha256=digest,
        data_version=manifest.data_version,
        effective_source=manifest.effective_source,
        reason="loaded by MLflow",
        who="MLflow",
        when=datetime.now(UTC),
    )
    version: Version[Any, Any] = Version(served, spec, move)
    version.require_servable()
    try:
        model = spec.family.for_serving(version.model())
    except ImportError as error:
        raise package_missing(error.name or "a package", "service") from error
    return ServedVersion(ReadyModel(spec, move, manifest, model))


class ServedVersion:
    """A version with MLflow's way to ask a model."""

    def __init__(self, ready: ReadyModel) -> None:
        self._ready = ready

    def predict(self, model_input: Any, params: dict[str, Any] | None = None) -> Any:
        """What the service has under ``predictions`` for the same instances.

        Args:
            model_input: instances: an array (n_rows, width) for models of rows, (n_windows, n_rows, width) for others.
            params: ``horizon`` (steps of a forecast), ``now`` (time of the newest row, ISO with an offset; empty: that
                of the clock), ``scores`` (a detector's scores instead of -1 and 1).

        Returns:
            A list of -1 and 1 or of scores, or metric -> ``forecast``, ``forecast_horizon``, ``confidence``.

        Raises:
            MlflowException: the input does not fit the model; MLflow's server answers 400 with its message.
        """
        from mlflow.exceptions import MlflowException

        given = params or {}
        try:
            horizon = int(given.get(HORIZON) or Settings.model_fields["forecast_horizon"].default)
            if horizon < 1:
                raise DataError(f"horizon: at least 1 step is expected, received {horizon}", code="horizon")
            instances = np.asarray(model_input).tolist()
            answer = infer(self._ready, Question(instances, horizon, _time(str(given.get(NOW) or ""))))
        except AiopsError as error:
            raise MlflowException.invalid_parameter_value(str(error)) from error
        return list(answer.scores) if given.get(SCORES) else answer.predictions


def _manifest(file: Path) -> tuple[str, Manifest]:
    """Digest and content of a manifest."""
    try:
        with file.open("rb") as opened:
            data = opened.read(MAX_MANIFEST_BYTES + 1)
        if len(data) > MAX_MANIFEST_BYTES:
            raise IntegrityError(f"{file} is larger than any manifest: do not load it", code="invalid_manifest")
        return sha256(data), Manifest.model_validate_json(data)
    except (OSError, ValidationError) as error:
        raise IntegrityError(
            f"{file} is not a manifest that can be read ({type(error).__name__}): load models:/<name>@champion of the "
            "registry",
            code="invalid_manifest",
        ) from error


def _spec_of(name: str) -> ModelSpec:
    spec = next((one for one in MODELS if one.name == name), None)
    if spec is None:
        raise ModelError(
            f"{name} is not a model of this installation: install the package that brings it",
            code="no_model",
            name=name,
        )
    return spec


def _time(text: str) -> datetime:
    """The time of a window's newest row."""
    if not text:
        return datetime.now(UTC)
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        time = None
    if time is None or time.tzinfo is None:
        raise SchemaError(
            f"now: {text[:40]!r} is not an ISO time with an offset, such as 2026-11-30T12:00:00Z", code="now"
        )
    return time
