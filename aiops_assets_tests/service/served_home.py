"""Model roots with champions in them, made in seconds: for tests of what the service reads."""

import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version as package_version
from pathlib import Path
from typing import Any

import pandas as pd

from aiops_assets.families.anomaly_detector import ANOMALY_DETECTOR
from aiops_assets.families.catalog import MODELS
from aiops_assets.families.contract import ModelSpec
from aiops_assets.families.ensemble_predictor import ENSEMBLE_PREDICTOR
from aiops_assets.families.fracast_predictor import FRACAST_PREDICTOR
from aiops_assets.families.lstm_predictor import LSTM_PREDICTOR
from aiops_assets.judging.forecasting.task import FORECASTING
from aiops_assets.storage.records import Manifest
from aiops_assets.synthetic.pods import generate
from aiops_assets.views.catalog import CLUSTER_METRICS_VIEW, POD_FEATURES
from aiops_assets.views.pod_features import labelled_series, synthetic_rows
from aiops_assets.views.pod_series import segment_rows
from aiops_assets_tests.conftest import END
from aiops_assets_tests.once import made_once
from aiops_assets_tests.signed import served_in
from aiops_assets_tests.views.cluster_rows import cluster_rows

CREATED = datetime(2026, 11, 1, tzinfo=UTC)
SPECS = {spec.name: spec for spec in MODELS}


@cache
def rows_of(view: str) -> pd.DataFrame:
    """Few training rows of a view."""
    if view == POD_FEATURES:
        return synthetic_rows(labelled_series(20, 7, END, 42, 0.03), 2000, 0.03, seed=42)
    if view == CLUSTER_METRICS_VIEW:
        return cluster_rows(days=5)
    return segment_rows(generate(3, 3, END, seed=42), 3 * 1440 * 4 // 5, source="synthetic")


@cache
def model_file(name: str, seed: int = 42) -> bytes:
    """A fitted model as it is stored: seven fits take half a minute, so workers share the files."""
    return (_fitted(name, seed) / "model").read_bytes()


def predictions_before_storing(name: str) -> pd.DataFrame:
    """What the forecaster of ``model_file`` predicted of its hold-out rows when it had just been fitted."""
    return pd.read_parquet(_fitted(name, 42) / "predictions.parquet")


def _fitted(name: str, seed: int) -> Path:
    return made_once(f"{name}-{seed}", lambda folder: _fit(name, seed, folder))


def _fit(name: str, seed: int, folder: Path) -> None:
    spec = SPECS[name]
    parameters: dict[str, object] = dict(spec.parameters)
    if name == ANOMALY_DETECTOR.name:
        parameters["n_estimators"] = 50
    rows = rows_of(spec.view)
    family = spec.family
    model = family.fit(rows[rows["split"] == "train"], parameters, seed)
    # Forecasts of the pretrained network take most of a second each, and its file holds next to nothing.
    if family.task is FORECASTING and seed == 42 and name != FRACAST_PREDICTOR.name:
        family.predict_holdout(model, rows).to_parquet(folder / "predictions.parquet")
    (folder / "model").write_bytes(family.to_bytes(model))


class ServedHome:
    """A model root that a test fills."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.served = served_in(folder)

    def publish(self, name: str = ANOMALY_DETECTOR.name, data: bytes | None = None, **changes: object) -> int:
        """Commit a version that is not served yet; ``changes`` are of its manifest."""
        spec = SPECS[name]
        family = spec.family

        def manifest(version: int, files: dict[str, str]) -> Manifest:
            plain = Manifest(
                name=name, version=version, created=CREATED, description=spec.description, cluster="default",
                features=family.features, features_digest="", width=len(family.features), units=dict(family.units),
                parameters={}, packages={
                    "python": platform.python_version(), **{one: package_version(one) for one in family.packages}
                },
                view=spec.view, data_version=f"data-of-{version}", training_set_sha256="",
                effective_source="synthetic", run_id="", run_url="", dagster_run_id="", code_version="",
                fingerprint="", metrics={}, files=files,
            )  # fmt: skip
            return plain.model_copy(update=changes)

        return self.served.publish(name, {family.model_file: data or model_file(name)}, manifest).version

    def promote(self, version: int, name: str = ANOMALY_DETECTOR.name) -> None:
        """Make a version the champion."""
        record = self.served.champion(name)
        self.served.move_champion(
            name,
            version,
            self.served.manifest_sha256(name, version),
            reason="not worse",
            who="a test",
            seen=record.champion.version if record else None,
            by_hand=True,
        )

    def serve(self, names: Sequence[str], **changes: object) -> "ServedHome":
        """Publish and promote one version of each; ``changes`` are of their manifests."""
        for name in names:
            self.promote(self.publish(name, **changes), name)  # type: ignore[arg-type]
        return self


def window(rows: int = 60, value: float = 0.4) -> list[list[float]]:
    """A calm window of five metrics."""
    return [[value + 0.01 * (i % 3), value, value, value, value] for i in range(rows)]


WINDOW_DETECTORS = (ENSEMBLE_PREDICTOR.name, LSTM_PREDICTOR.name)


def alarming(spec: ModelSpec = ANOMALY_DETECTOR) -> bytes:
    """A detector that fails its smoke inference: everything is an anomaly to it."""
    family = spec.family
    pipeline: Any = family.from_bytes(model_file(spec.name))
    pipeline["forest"].offset_ = 1.0
    return family.to_bytes(pipeline)
