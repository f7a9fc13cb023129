"""The files that make a version's directory an MLflow model: MLmodel, signature, input example and requirements.

The model is loaded by a module of this package that MLmodel names, never by a pickle of MLflow's.
"""

import logging
import os
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from aiops_assets.errors import StoreError
from aiops_assets.tracking.tracker import MANIFEST_TAG, VERSION_TAG

if TYPE_CHECKING:
    from mlflow.models import ModelSignature

PYFUNC, ONNX = "python_function", "onnx"
ONNX_FILE = "model.onnx"
HORIZON, NOW, SCORES = "horizon", "now", "scores"
"""Parameters of a prediction: steps of a forecast, time of a window's newest row, scores instead of -1 and 1."""


@dataclass(frozen=True)
class ModelDescription:
    """What MLflow has to know of a version.

    Attributes:
        loader_module: module with ``_load_pyfunc(path)``.
        shape: shape of the input, with -1 for any number; 64-bit floats.
        forecasts: metrics that are forecast, in the order of the answer; empty: the answer is a list of -1 and 1.
        example: an input, as nested lists of this shape.
        horizon: steps of a forecast where none are requested.
        requirements: pinned requirements of pip.
        metadata: further facts, as JSON values: columns, units, origin.
        onnx: the model as an ONNX file; ``None``: there is none.
    """

    loader_module: str
    shape: tuple[int, ...]
    forecasts: tuple[str, ...]
    example: list[Any]
    horizon: int
    requirements: tuple[str, ...]
    metadata: dict[str, Any]
    onnx: bytes | None = None

    @property
    def flavors(self) -> tuple[str, ...]:
        """MLflow's names of the forms in which the model can be loaded."""
        return (PYFUNC, ONNX) if self.onnx else (PYFUNC,)


def mlflow_files(description: ModelDescription) -> dict[str, bytes]:
    """The files beside those of the version: path -> content."""
    # MLflow copies the uv.lock of whatever folder the process stands in.
    os.environ.setdefault("MLFLOW_UV_AUTO_DETECT", "false")
    with _quiet():
        from mlflow import pyfunc
        from mlflow.models import Model

    model = Model()
    files: dict[str, bytes] = {}
    if description.onnx:
        import onnx

        model.add_flavor(ONNX, onnx_version=onnx.__version__, data=ONNX_FILE, providers=["CPUExecutionProvider"])
        files[ONNX_FILE] = description.onnx
    with tempfile.TemporaryDirectory() as parent, _quiet():
        folder = Path(parent, "model")
        pyfunc.save_model(
            str(folder),
            loader_module=description.loader_module,
            mlflow_model=model,
            signature=_signature(description),
            input_example=np.array(description.example, dtype=np.float64),
            pip_requirements=list(description.requirements),
            metadata=description.metadata,
        )
        made = [path for path in folder.rglob("*") if path.is_file()]
        return files | {path.relative_to(folder).as_posix(): path.read_bytes() for path in made}


def recorded_digests(name: str, version: int) -> list[str]:
    """SHA-256 of a served version's manifest in the registry that this process's MLflow is set to; empty: not there.

    Raises:
        StoreError: the registry does not answer.
    """
    from mlflow.exceptions import MlflowException
    from mlflow.tracking import MlflowClient

    try:
        found = MlflowClient().search_model_versions(f"name = '{name}' AND tags.`{VERSION_TAG}` = '{version}'")
    except (MlflowException, OSError) as error:
        kind = type(error).__name__
        raise StoreError(  # without the cause, which may name a password
            f"MLflow's registry, which has the digest of {name} version {version}, does not answer ({kind}): check "
            "MLFLOW_TRACKING_URI",
            code="mlflow_failed",
            cause=kind,
        ) from None
    return [entry.tags[MANIFEST_TAG] for entry in found if MANIFEST_TAG in entry.tags]


@contextmanager
def _quiet() -> Iterator[None]:
    """Without MLflow's line for each input example, and its warning of its own type hints when it is imported."""
    logger = logging.getLogger("mlflow.pyfunc")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*type hint", UserWarning)
            yield
    finally:
        logger.setLevel(level)


def _signature(description: ModelDescription) -> "ModelSignature":
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema, TensorSpec
    from mlflow.types.schema import Array, Object, Property

    inputs = Schema([TensorSpec(np.dtype(np.float64), description.shape)])
    params = [ParamSpec(NOW, DataType.string, "")]
    if not description.forecasts:
        labels = Schema([TensorSpec(np.dtype(np.int64), (-1,))])
        return ModelSignature(inputs, labels, ParamSchema([*params, ParamSpec(SCORES, DataType.boolean, False)]))
    forecast = Object(
        [
            Property("forecast", Array(DataType.double)),
            Property("forecast_horizon", DataType.long),
            Property("confidence", Array(DataType.double)),
            Property("step_seconds", DataType.long),
            Property("instance", DataType.long),
        ]
    )
    outputs = Schema([ColSpec(forecast, metric) for metric in description.forecasts])
    params = [*params, ParamSpec(HORIZON, DataType.long, description.horizon)]
    return ModelSignature(inputs, outputs, ParamSchema(params))
