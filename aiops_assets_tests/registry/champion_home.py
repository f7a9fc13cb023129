"""Versions of a small detector in real directories and a real MLflow, to promote and roll back."""

import io
import platform
import shutil
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib.metadata import version as package_version
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import pandas as pd

from aiops_assets.families.anomaly_detector import ANOMALY_DETECTOR
from aiops_assets.families.contract import ModelSpec
from aiops_assets.learners.detectors import isolation_forest
from aiops_assets.registry import champions
from aiops_assets.registry.champions import CHAMPION_ALIAS
from aiops_assets.registry.version import Version, version_of
from aiops_assets.storage.handoff import VersionRef
from aiops_assets.storage.records import ChampionMove, ChampionRecord, Manifest, TrainingSetRecord
from aiops_assets.storage.served import CURRENT, ServedModels
from aiops_assets.storage.storage import LocalStorage
from aiops_assets.storage.training_sets import TrainingSets
from aiops_assets.timeseries.catalog import ENGINE_METRICS
from aiops_assets.timeseries.features import FEATURES
from aiops_assets.timeseries.schema import content_digest
from aiops_assets.tracking.tracker import DATA_TAG, FLAVORS_TAG, MANIFEST_TAG, DatasetInput, Tracker
from aiops_assets_tests.once import made_once
from aiops_assets_tests.signed import served_in

PARAMETERS = {"contamination": 0.03, "n_estimators": 5, "max_samples": 64}
PACKAGES = ("scikit-learn", "numpy", "scipy", "joblib", "pandas")
ARTIFACT_PLACES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)
"""Where MLflow keeps absolute paths of files."""
CREATED = datetime(2026, 11, 1, tzinfo=UTC)


@cache
def model_file(seed: int) -> bytes:
    """A detector as it is stored: another seed is another file."""
    return isolation_forest.to_bytes(fitted(seed))


def alarming_file() -> bytes:
    """A detector to which everything is an anomaly."""
    pipeline = fitted(0)
    pipeline["forest"].offset_ = 1.0
    return isolation_forest.to_bytes(pipeline)


def fitted(seed: int) -> Any:
    rows = np.random.default_rng(7).uniform(0.2, 0.6, (200, len(FEATURES)))
    return isolation_forest.fit(pd.DataFrame(rows, columns=list(FEATURES)), PARAMETERS, seed)


def holdout_rows() -> pd.DataFrame:
    """A hold-out of twenty rows."""
    rows = np.random.default_rng(8).uniform(0.2, 0.6, (20, len(FEATURES)))
    return pd.DataFrame(rows, columns=list(FEATURES)).assign(split="holdout")


class Trap:
    """Unpickled, it touches a file: so a test sees whether anything was."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def trap_file(path: Path) -> bytes:
    import joblib

    buffer = io.BytesIO()
    joblib.dump(Trap(path), buffer)
    return buffer.getvalue()


@dataclass(frozen=True)
class ChampionHome:
    """A home in which one model is served, as runs of the graph leave it.

    Attributes:
        folder: AIOPS_HOME.
        tracker: its MLflow, or one that several homes share.
        spec: the model; homes that share an MLflow need a name each.
    """

    folder: Path
    tracker: Tracker
    spec: ModelSpec = ANOMALY_DETECTOR

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def served(self) -> ServedModels:
        return served_in(self.folder / "models")

    @property
    def training_sets(self) -> TrainingSets:
        return TrainingSets(LocalStorage(self.folder), "default")

    @property
    def model_folder(self) -> Path:
        return self.folder / "models" / self.name

    def publish(self, data: bytes, **changes: object) -> int:
        """Commit a version directory; ``changes`` are of its manifest."""
        training_set = self._training_set()

        def manifest(version: int, files: dict[str, str]) -> Manifest:
            plain = Manifest(
                name=self.name, version=version, created=CREATED + timedelta(hours=version), description="",
                cluster="default", features=FEATURES, features_digest="", width=len(FEATURES),
                units={metric.name: metric.unit for metric in ENGINE_METRICS}, parameters={},
                packages={"python": platform.python_version(), **{name: package_version(name) for name in PACKAGES}},
                view=training_set.view, data_version=training_set.data_version,
                training_set_sha256=self.training_sets.record_sha256(training_set.view, training_set.data_version),
                effective_source="synthetic", run_id=_run_id(self.tracker), run_url="", dagster_run_id="",
                code_version="", fingerprint="", metrics={"average_precision": 0.9 + version / 100}, files=files,
            )  # fmt: skip
            return plain.model_copy(update=changes)

        return self.served.publish(self.name, {"model.joblib": data}, manifest).version

    def register(self, version: int, tags: Mapping[str, str] | None = None) -> None:
        """Let MLflow know a version; as the graph does, but for the files that make it a model of MLflow's."""
        manifest = self.served.manifest(self.name, version)
        known = {MANIFEST_TAG: self.digest(version), DATA_TAG: manifest.data_version, FLAVORS_TAG: "none in tests"}
        known |= tags or {}
        self.tracker.register(self.name, version, lambda: self.bytes_of(version), run_id=manifest.run_id, tags=known)

    def add(self, data: bytes | None = None, **changes: object) -> int:
        """A committed and registered version; by default a sound one, another each time."""
        newest = max(self.served.versions(self.name), default=0)
        version = self.publish(data or model_file(newest + 1), **changes)
        self.register(version)
        return version

    def add_twin(self, version: int) -> int:
        """Another version of the same model. Another process may pickle an equal one in other bytes."""
        return self.add((self.model_folder / str(version) / "model.joblib").read_bytes())

    def serve(self, version: int, seen: int | None) -> None:
        """Make a version the champion and let everything follow, as the graph does."""
        digest = self.digest(version)
        self.served.move_champion(self.name, version, digest, reason="not worse", who="dagster run 1", seen=seen)
        self.tracker.set_alias(self.name, CHAMPION_ALIAS, version)
        self.served.link_current(self.name, version)

    def digest(self, version: int) -> str:
        return self.served.manifest_sha256(self.name, version)

    def version(self, number: int, digest: str = "") -> Version[Any, Any]:
        """A version as the process shares it, by default with the digest that its manifest has now."""
        ref = VersionRef(name=self.name, version=number, manifest_sha256=digest or self.digest(number))
        return version_of(self.served, self.spec, ref)

    def champion_move(self) -> ChampionMove:
        record = self.served.champion(self.name)
        assert record
        return record.champion

    def champion(self) -> int | None:
        """The version that the record names, signed or not."""
        record = self.served.unsigned_champion(self.name)
        return record.champion.version if record else None

    def said(self) -> tuple[int | None, int | None, str | None]:
        """What champion record, MLflow's alias and the link say."""
        return self.champion(), self.tracker.alias(self.name, CHAMPION_ALIAS), self.served.current(self.name)

    def alias(self, version: int | None) -> None:
        """Set or remove MLflow's alias, as a person may."""
        if version is not None:
            self.tracker.set_alias(self.name, CHAMPION_ALIAS, version)
        elif self.tracker.alias(self.name, CHAMPION_ALIAS) is not None:
            client, _ = self.tracker._mlflow.open()
            client.delete_registered_model_alias(self.name, CHAMPION_ALIAS)

    def files(self) -> dict[str, bytes]:
        """Everything below the model's folder, links as what they point at."""
        return {
            path.relative_to(self.model_folder).as_posix(): str(path.readlink()).encode()
            if path.is_symlink()
            else path.read_bytes()
            for path in sorted(self.model_folder.rglob("*"))
            if (path.is_symlink() or path.is_file()) and CURRENT not in path.relative_to(self.model_folder).parts[:-1]
        }

    def bytes_of(self, version: int) -> dict[str, bytes]:
        return self.served.files(self.name, version)

    def _training_set(self) -> TrainingSetRecord:
        rows = pd.DataFrame({"timestamp": pd.date_range(CREATED, periods=10, freq="1min"), "x": np.arange(10.0)})
        record = TrainingSetRecord(
            view="pod_features", data_version=content_digest(rows), rows_sha256="", cluster="default",
            effective_source="synthetic", window_start=CREATED, window_end=CREATED, rows=len(rows), label_rate=0.0,
            anomaly_rate=0.0, seed=1, pods=("p",), days=(),
        )  # fmt: skip
        self.training_sets.put(rows, record)
        return record


def home_of(folder: Path, tracker: Tracker | None = None, name: str = ANOMALY_DETECTOR.name) -> ChampionHome:
    """An empty home; without a tracker it gets an MLflow of its own, where the settings look for it."""
    own = Tracker(f"sqlite:///{folder / 'mlflow' / 'mlflow.db'}", "aiops/default", str(folder / "mlflow" / "artifacts"))
    return ChampionHome(folder, tracker or own, replace(ANOMALY_DETECTOR, name=name))


def copied(name: str, fill: Callable[[ChampionHome], None], folder: Path) -> ChampionHome:
    """A copy in ``folder`` of a home with an MLflow of its own, which ``fill`` has filled once for all tests."""
    made = made_once(name, lambda place: fill(home_of(place)))
    shutil.copytree(made, folder, symlinks=True, dirs_exist_ok=True)
    with closing(sqlite3.connect(folder / "mlflow" / "mlflow.db")) as database, database:
        for table, column in ARTIFACT_PLACES:
            database.execute(f"UPDATE {table} SET {column} = replace({column}, ?, ?)", (str(made), str(folder)))
    return home_of(folder)


def three_versions(folder: Path) -> ChampionHome:
    """Versions 1, 2, 3, of which 2 is served and 1 was."""

    def fill(home: ChampionHome) -> None:
        for _ in range(3):
            home.add()
        home.serve(1, None)
        home.serve(2, 1)

    return copied("three-versions", fill, folder)


def promote(home: ChampionHome, version: int, served: ServedModels | None = None) -> ChampionRecord:
    return champions.promote(
        served or home.served, home.tracker, home.spec, version, reason="fewer pages", who="ann@ops"
    )


def rollback(home: ChampionHome, to: int | None = None, tracker: Tracker | None = None) -> ChampionRecord:
    return champions.rollback(
        home.served, tracker or home.tracker, home.spec, to, reason="pages at night", who="bob@ops"
    )


_RUNS: WeakKeyDictionary[Tracker, str] = WeakKeyDictionary()


def _run_id(tracker: Tracker) -> str:
    """One finished run of a tracker: what it recorded does not matter here."""
    if tracker not in _RUNS:
        with tracker.run("champions", dataset=DatasetInput("v", "0" * 32, "/data", {}), params={}, tags={}) as run:
            _RUNS[tracker] = run.run_id
    return _RUNS[tracker]
