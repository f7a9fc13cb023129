"""Registered versions as MLflow's own tools see them."""

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest

from aiops_assets.errors import IntegrityError, StoreError
from aiops_assets.families.anomaly_detector import ANOMALY_DETECTOR
from aiops_assets.judging.statements import Statement
from aiops_assets.learners.detectors import isolation_forest
from aiops_assets.learners.detectors.forest_onnx import scores_of
from aiops_assets.registry import champions, registering
from aiops_assets.registry.doctor import Doctor, Finding
from aiops_assets.storage.handoff import VersionRef
from aiops_assets.storage.records import Loader
from aiops_assets.synthetic.healthy import healthy_rows
from aiops_assets.tracking.tracker import FLAVORS_TAG, MANIFEST_TAG, RegisteredVersion, Tracker
from aiops_assets_tests.raising import raises
from aiops_assets_tests.registry.champion_home import ChampionHome, model_file, promote, rollback, trap_file

ROWS = healthy_rows(40, seed=2)
NAME = ANOMALY_DETECTOR.name


@pytest.fixture
def plain(home: ChampionHome, monkeypatch: pytest.MonkeyPatch) -> Iterator[ChampionHome]:
    """Three versions as an earlier release registered them, of which 2 is served; MLflow is set to their registry."""
    client, _ = home.tracker._mlflow.open()
    for number in ("1", "2", "3"):
        client.delete_model_version_tag(home.name, number, FLAVORS_TAG)
    uri = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(client.tracking_uri)
    yield home
    mlflow.set_tracking_uri(uri)


def loaded(version: str = "champion") -> Any:
    """A version, or that of an alias, by MLflow."""
    at = f"/{version}" if version.isdigit() else f"@{version}"
    return mlflow.pyfunc.load_model(f"models:/{NAME}{at}")


def expected(seed: int) -> list[int]:
    found: list[int] = isolation_forest.predict(isolation_forest.from_bytes(model_file(seed)), ROWS).tolist()
    return found


def registered(home: ChampionHome, version: int) -> RegisteredVersion:
    found = home.tracker.find(home.name, version)
    assert found
    return found


def register(home: ChampionHome, version: int) -> None:
    ref = VersionRef(name=home.name, version=version, manifest_sha256=home.digest(version))
    registering.register(home.served, home.tracker, home.spec, home.served.manifest(home.name, version), ref)


def artifacts(home: ChampionHome, version: int) -> dict[str, bytes]:
    """The registered copy."""
    folder = copy_of(home, version)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def copy_of(home: ChampionHome, version: int) -> Path:
    client, _ = home.tracker._mlflow.open()
    number = registered(home, version).registry_version
    return Path(client.get_model_version_download_uri(home.name, number).removeprefix("file://"))


def test_a_registered_version_is_the_served_directory_with_mlflows_files_beside(plain: ChampionHome) -> None:
    version = plain.publish(model_file(4))
    before = plain.files()
    register(plain, version)
    assert plain.files() == before
    found = artifacts(plain, version)
    assert plain.bytes_of(version).items() <= found.items()
    beside = found.keys() - plain.bytes_of(version).keys()
    assert beside >= {"MLmodel", "requirements.txt", "python_env.yaml", "input_example.json", "model.onnx"}
    assert not [name for name in beside if name.endswith((".pkl", ".pickle", ".joblib"))]
    tags = registered(plain, version).tags
    assert (tags[FLAVORS_TAG], tags[MANIFEST_TAG]) == ("python_function onnx", plain.digest(version))
    register(plain, version)  # a second call changes nothing
    assert artifacts(plain, version) == found

    model = loaded(str(version))
    assert model.predict(ROWS) == expected(4)
    assert model.predict(np.asarray(model.input_example)) in ([1], [-1])
    about = model.metadata.metadata
    assert about["columns"][18] == {"name": "pod_cpu_usage_value", "unit": "cores"}
    assert about["columns"][26] == {"name": "pod_cpu_usage_pct_change", "unit": "ratio"}
    assert about["manifest_sha256"] == plain.digest(version)
    assert model.metadata.signature.inputs.inputs[0].shape == (-1, 45)
    assert b"scikit-learn==" in found["requirements.txt"]
    onnx = mlflow.onnx.load_model(f"models:/{NAME}/{version}").SerializeToString(deterministic=True)
    assert scores_of(onnx, ROWS)[1].tolist() == expected(4)


def test_the_alias_follows_promotions_and_rollbacks_and_what_it_names_can_be_loaded(plain: ChampionHome) -> None:
    promote(plain, 3)
    assert loaded().predict(ROWS) == expected(3)
    rollback(plain)
    assert loaded().metadata.metadata["version"] == 2
    assert loaded().predict(ROWS) == expected(2)


def test_versions_of_earlier_releases_become_models_of_mlflow(plain: ChampionHome) -> None:
    before = plain.files()
    (looked,) = champions.reconcile(plain.served, plain.tracker, NAME, repair=False)
    assert (looked.code, looked.facts["version"]) == ("no_mlflow_model", 2)
    assert "MLmodel" not in artifacts(plain, 2)
    assert [one.code for one in champions.reconcile(plain.served, plain.tracker, NAME)] == ["no_mlflow_model"]
    assert champions.reconcile(plain.served, plain.tracker, NAME) == []
    assert loaded().predict(ROWS) == expected(2)

    assert models_finding(plain, repair=False) == ("to repair", "no_mlflow_model", [1, 3])
    assert models_finding(plain) == ("repaired", "no_mlflow_model", [1, 3])
    assert models_finding(plain) == ("ok", "ok", None)
    assert loaded("1").predict(ROWS) == expected(1)
    assert plain.files() == before


def models_finding(home: ChampionHome, *, repair: bool = True) -> tuple[str, str, object]:
    doctor = Doctor(home.served, home.training_sets, home.tracker, "me", repair)
    (found,) = [one for one in doctor.examine((home.spec,)) if one.what == "MLflow models"]
    assert isinstance(found, Finding)
    return found.state, found.code, found.facts.get("versions")


def test_a_version_whose_directory_is_gone_or_changed_stays_as_it_is(plain: ChampionHome) -> None:
    before = artifacts(plain, 1), artifacts(plain, 3)
    (plain.model_folder / "3" / "model.joblib").write_bytes(b"changed")
    plain.served.remove(NAME, 1)
    for number in (1, 3):
        assert completed(plain, number) is None
        assert FLAVORS_TAG not in registered(plain, number).tags
    assert (artifacts(plain, 1), artifacts(plain, 3)) == before


def completed(home: ChampionHome, version: int) -> Statement | None:
    return registering.complete(home.served, home.tracker, home.spec, registered(home, version))


@pytest.mark.parametrize("package", ["onnx", "onnxruntime"])
def test_without_onnx_a_version_is_registered_all_the_same_and_gets_its_form_later(
    plain: ChampionHome, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    with monkeypatch.context() as without:
        without.setitem(sys.modules, package, None)
        assert completed(plain, 2)
        assert registered(plain, 2).tags[FLAVORS_TAG] == "python_function"
        assert registering.why_no_onnx(plain.tracker, NAME, 2).startswith("package_missing: ")
        assert completed(plain, 2) is None, "not again in each run"
    assert loaded("2").predict(ROWS) == expected(2)
    assert completed(plain, 2)
    assert registered(plain, 2).tags[FLAVORS_TAG] == "python_function onnx"
    assert registering.why_no_onnx(plain.tracker, NAME, 2) == ""
    assert completed(plain, 2) is None


def a_changed_file(folder: Path, trap: bytes) -> None:
    (folder / "model.joblib").write_bytes(trap)


def a_changed_file_and_manifest(folder: Path, trap: bytes) -> None:
    from aiops_assets.storage.records import sha256

    manifest, file = folder / "manifest.json", folder / "model.joblib"
    text = manifest.read_text().replace(sha256(file.read_bytes()), sha256(trap))
    file.write_bytes(trap)
    manifest.write_text(text)


def another_version(folder: Path, trap: bytes) -> None:
    a_changed_file_and_manifest(folder, trap)
    manifest = folder / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"version": 2', '"version": 99'))


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (a_changed_file, "changed_file"),
        (a_changed_file_and_manifest, "not_registered"),
        (another_version, "not_registered"),
    ],
)
def test_a_foreign_pickle_among_mlflows_files_is_not_read(
    plain: ChampionHome, tmp_path: Path, change: Callable[[Path, bytes], None], code: str
) -> None:
    completed(plain, 2)
    touched = tmp_path / "touched"
    change(copy_of(plain, 2), trap_file(touched))
    with raises(IntegrityError, code):
        loaded("2")
    assert not touched.exists()


def test_a_copy_is_not_read_without_the_registry_that_knows_it(plain: ChampionHome, tmp_path: Path) -> None:
    completed(plain, 2)
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/other.db")
    with raises(IntegrityError, "not_registered", name=NAME, version=2):
        mlflow.pyfunc.load_model(str(copy_of(plain, 2)))


def test_nothing_is_lost_where_mlflow_does_not_answer(home: ChampionHome) -> None:
    before, away = home.files(), Tracker("http://127.0.0.1:9", "aiops/default")
    with raises(StoreError, "mlflow_failed"):
        register(replace(home, tracker=away), 2)
    assert home.files() == before


def test_the_manifest_states_what_loads_a_model() -> None:
    loader = registering.loader_of(ANOMALY_DETECTOR.family)
    assert (loader.package, loader.protocol) == ("scikit-learn", "joblib")
    from aiops_assets import __version__
    from aiops_assets.families.catalog import MODELS
    from aiops_assets_tests.families.other_package import Z_SCORE

    others = {spec.name: registering.loader_of(spec.family) for spec in MODELS if spec is not ANOMALY_DETECTOR}
    assert {(one.package, one.version) for one in others.values()} == {("aiops-assets", __version__)}
    assert {one.protocol for one in others.values()} == {"json", "joblib", "torch.export"}
    assert registering.loader_of(Z_SCORE.family) == Loader(package="aiops_assets_tests", version="", protocol="json")
